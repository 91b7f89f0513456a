//! `wasi:cli`: the standard streams as streams of `wasi:io`; the rest is 0.3's too.

use super::bind::func;
use super::io::{Input, Output};
use crate::WasiView;
use crate::both::cli;
use helve::Result;
use helve::component::Linker;

const VERSION: &str = "0.2.12";

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    cli::environment(linker, VERSION, "initial-cwd")?;
    cli::exit(linker, VERSION)?;
    cli::terminals(linker, VERSION)?;
    let mut stdin = linker.instance("wasi:cli/stdin@0.2.12")?;
    func(&mut stdin, "get-stdin", |host, (): ()| {
        Ok(host.table.push(Input::new(host.ctx.stdin.clone()))?)
    })?;
    let mut stdout = linker.instance("wasi:cli/stdout@0.2.12")?;
    func(&mut stdout, "get-stdout", |host, (): ()| {
        Ok(host.table.push(Output::new(host.ctx.stdout.clone()))?)
    })?;
    let mut stderr = linker.instance("wasi:cli/stderr@0.2.12")?;
    func(&mut stderr, "get-stderr", |host, (): ()| {
        Ok(host.table.push(Output::new(host.ctx.stderr.clone()))?)
    })
}
