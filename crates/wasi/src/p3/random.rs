//! `wasi:random` 0.3: `random`, `insecure` and `insecure-seed`.
//!
//! The insecure ones give the same bytes: nothing is won by worse ones. One request gives
//! at most as many bytes as the context allows, as the interface lets hosts do.

use crate::p2::bind::func;
use crate::{WasiCtxView, WasiView};
use helve::Result;
use helve::component::Linker;

fn bytes(host: WasiCtxView<'_>, len: u64) -> Result<Vec<u8>> {
    let len = len.min(host.ctx.max_random_bytes);
    host.ctx
        .random
        .bytes(usize::try_from(len).unwrap_or(usize::MAX))
}

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut random = linker.instance("wasi:random/random@0.3.0")?;
    func(&mut random, "get-random-bytes", |host, (len,): (u64,)| {
        bytes(host, len)
    })?;
    func(&mut random, "get-random-u64", |host, (): ()| {
        host.ctx.random.u64()
    })?;
    let mut insecure = linker.instance("wasi:random/insecure@0.3.0")?;
    func(
        &mut insecure,
        "get-insecure-random-bytes",
        |host, (len,): (u64,)| bytes(host, len),
    )?;
    func(&mut insecure, "get-insecure-random-u64", |host, (): ()| {
        host.ctx.random.u64()
    })?;
    let mut seed = linker.instance("wasi:random/insecure-seed@0.3.0")?;
    func(&mut seed, "get-insecure-seed", |host, (): ()| {
        host.ctx.insecure_seed()
    })
}
