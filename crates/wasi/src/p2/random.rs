//! `wasi:random`: `random`, `insecure` and `insecure-seed`.
//!
//! The insecure ones give the same bytes: nothing is won by worse ones.

use super::bind::func;
use crate::{WasiCtxView, WasiView};
use helve::Result;
use helve::component::Linker;
use helve::{bail, ensure};

fn bytes(host: WasiCtxView<'_>, len: u64) -> Result<Vec<u8>> {
    let most = host.ctx.max_random_bytes;
    ensure!(
        len <= most,
        "the guest asked for {len} random bytes; at most {most} (`WasiCtxBuilder::max_random_bytes`)"
    );
    match usize::try_from(len) {
        Ok(len) => host.ctx.random.bytes(len),
        Err(_) => {
            bail!("the guest asked for {len} random bytes, more than this machine can address")
        }
    }
}

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut random = linker.instance("wasi:random/random@0.2.12")?;
    func(&mut random, "get-random-bytes", |host, (len,): (u64,)| {
        bytes(host, len)
    })?;
    func(&mut random, "get-random-u64", |host, (): ()| {
        host.ctx.random.u64()
    })?;
    let mut insecure = linker.instance("wasi:random/insecure@0.2.12")?;
    func(
        &mut insecure,
        "get-insecure-random-bytes",
        |host, (len,): (u64,)| bytes(host, len),
    )?;
    func(&mut insecure, "get-insecure-random-u64", |host, (): ()| {
        host.ctx.random.u64()
    })?;
    let mut seed = linker.instance("wasi:random/insecure-seed@0.2.12")?;
    func(&mut seed, "insecure-seed", |host, (): ()| {
        host.ctx.insecure_seed()
    })
}
