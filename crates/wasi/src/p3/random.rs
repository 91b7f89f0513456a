//! `wasi:random` 0.3: `random`, `insecure` and `insecure-seed`.
//!
//! The insecure ones give the same bytes: nothing is won by worse ones. One request gives
//! at most as many bytes as the context allows, as the interface lets hosts do.

use super::bindings::wasi::random::{insecure, insecure_seed, random};
use crate::WasiCtxView;
use helve::Result;

impl random::Host for WasiCtxView<'_> {
    fn get_random_bytes(&mut self, max: u64) -> Result<Vec<u8>> {
        self.ctx.random_bytes(max.min(self.ctx.max_random_bytes))
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        self.ctx.random.u64()
    }
}

impl insecure::Host for WasiCtxView<'_> {
    fn get_insecure_random_bytes(&mut self, max: u64) -> Result<Vec<u8>> {
        random::Host::get_random_bytes(self, max)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        self.ctx.random.u64()
    }
}

impl insecure_seed::Host for WasiCtxView<'_> {
    fn get_insecure_seed(&mut self) -> Result<(u64, u64)> {
        self.ctx.insecure_seed()
    }
}
