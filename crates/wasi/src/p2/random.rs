//! `wasi:random`: `random`, `insecure` and `insecure-seed`.
//!
//! The insecure ones give the same bytes: nothing is won by worse ones.

use super::bindings::wasi::random::{insecure, insecure_seed, random};
use crate::WasiCtxView;
use helve::{Result, ensure};

impl random::Host for WasiCtxView<'_> {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        let most = self.ctx.max_random_bytes;
        ensure!(
            len <= most,
            "the guest asked for {len} random bytes; at most {most} (`WasiCtxBuilder::max_random_bytes`)"
        );
        self.ctx.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        self.ctx.random.u64()
    }
}

impl insecure::Host for WasiCtxView<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        random::Host::get_random_bytes(self, len)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        self.ctx.random.u64()
    }
}

impl insecure_seed::Host for WasiCtxView<'_> {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        self.ctx.insecure_seed()
    }
}
