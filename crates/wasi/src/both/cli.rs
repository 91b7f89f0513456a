//! `wasi:cli`: environment, exit and terminals.

use crate::host::stdio::Stdout;
use crate::p2::bind::{func, proc, resource};
use crate::{I32Exit, WasiCtx, WasiView};
use helve::component::{Linker, Resource};
use helve::{Error, Result};

/// The guest's end of a terminal to read from (`terminal-input`).
pub struct TerminalInput;
/// The guest's end of a terminal to write to (`terminal-output`).
pub struct TerminalOutput;

/// `environment`; the folder that a guest starts in is called by a name of its own in each
/// version.
pub fn environment<T: WasiView>(linker: &mut Linker<T>, version: &str, cwd: &str) -> Result<()> {
    let mut environment = linker.instance(&format!("wasi:cli/environment@{version}"))?;
    func(&mut environment, "get-environment", |host, (): ()| {
        Ok(host.ctx.env.clone())
    })?;
    func(&mut environment, "get-arguments", |host, (): ()| {
        Ok(host.ctx.args.clone())
    })?;
    func(&mut environment, cwd, |_, (): ()| Ok(None::<String>))
}

/// `exit`.
pub fn exit<T: WasiView>(linker: &mut Linker<T>, version: &str) -> Result<()> {
    let mut exit = linker.instance(&format!("wasi:cli/exit@{version}"))?;
    proc(&mut exit, "exit", |_, (status,): (Result<(), ()>,)| {
        Err(Error::new(I32Exit(if status.is_ok() { 0 } else { 1 })))
    })?;
    proc(&mut exit, "exit-with-code", |_, (code,): (u8,)| {
        Err(Error::new(I32Exit(code.into())))
    })
}

/// Which of a context's outputs a function is about.
type OutputOf = fn(&WasiCtx) -> &Stdout;

/// `terminal-input` to `terminal-stderr`.
pub fn terminals<T: WasiView>(linker: &mut Linker<T>, version: &str) -> Result<()> {
    let name = |interface: &str| format!("wasi:cli/{interface}@{version}");
    resource::<T, TerminalInput>(
        &mut linker.instance(&name("terminal-input"))?,
        "terminal-input",
    )?;
    resource::<T, TerminalOutput>(
        &mut linker.instance(&name("terminal-output"))?,
        "terminal-output",
    )?;
    let mut stdin = linker.instance(&name("terminal-stdin"))?;
    func(&mut stdin, "get-terminal-stdin", |host, (): ()| {
        let terminal = host.ctx.stdin.is_terminal();
        let made: Option<Resource<TerminalInput>> = terminal
            .then(|| host.table.push(TerminalInput))
            .transpose()?;
        Ok(made)
    })?;
    let outputs: [(&str, OutputOf); 2] = [
        ("terminal-stdout", |ctx| &ctx.stdout),
        ("terminal-stderr", |ctx| &ctx.stderr),
    ];
    for (interface, which) in outputs {
        func(
            &mut linker.instance(&name(interface))?,
            &format!("get-{interface}"),
            move |host, (): ()| {
                let terminal = which(host.ctx).is_terminal();
                let made: Option<Resource<TerminalOutput>> = terminal
                    .then(|| host.table.push(TerminalOutput))
                    .transpose()?;
                Ok(made)
            },
        )?;
    }
    Ok(())
}
