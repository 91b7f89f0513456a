//! `wasi:cli`: environment, exit, the standard streams and terminals.

use super::bind::{func, proc, resource};
use super::io::{Input, Output};
use crate::{I32Exit, WasiView};
use helve::component::{Linker, Resource};
use helve::{Error, Result};

/// The guest's end of a terminal to read from (`terminal-input`).
pub struct TerminalInput;
/// The guest's end of a terminal to write to (`terminal-output`).
pub struct TerminalOutput;

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut environment = linker.instance("wasi:cli/environment@0.2.12")?;
    func(&mut environment, "get-environment", |host, (): ()| {
        Ok(host.ctx.env.clone())
    })?;
    func(&mut environment, "get-arguments", |host, (): ()| {
        Ok(host.ctx.args.clone())
    })?;
    func(&mut environment, "initial-cwd", |_, (): ()| {
        Ok(None::<String>)
    })?;

    let mut exit = linker.instance("wasi:cli/exit@0.2.12")?;
    proc(&mut exit, "exit", |_, (status,): (Result<(), ()>,)| {
        Err(Error::new(I32Exit(if status.is_ok() { 0 } else { 1 })))
    })?;
    proc(&mut exit, "exit-with-code", |_, (code,): (u8,)| {
        Err(Error::new(I32Exit(code.into())))
    })?;

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
    })?;
    terminals(linker)
}

fn terminals<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    resource::<T, TerminalInput>(
        &mut linker.instance("wasi:cli/terminal-input@0.2.12")?,
        "terminal-input",
    )?;
    resource::<T, TerminalOutput>(
        &mut linker.instance("wasi:cli/terminal-output@0.2.12")?,
        "terminal-output",
    )?;
    let mut stdin = linker.instance("wasi:cli/terminal-stdin@0.2.12")?;
    func(&mut stdin, "get-terminal-stdin", |host, (): ()| {
        let terminal = host.ctx.stdin.is_terminal();
        let made: Option<Resource<TerminalInput>> = terminal
            .then(|| host.table.push(TerminalInput))
            .transpose()?;
        Ok(made)
    })?;
    let mut stdout = linker.instance("wasi:cli/terminal-stdout@0.2.12")?;
    func(&mut stdout, "get-terminal-stdout", |host, (): ()| {
        let terminal = host.ctx.stdout.is_terminal();
        let made: Option<Resource<TerminalOutput>> = terminal
            .then(|| host.table.push(TerminalOutput))
            .transpose()?;
        Ok(made)
    })?;
    let mut stderr = linker.instance("wasi:cli/terminal-stderr@0.2.12")?;
    func(&mut stderr, "get-terminal-stderr", |host, (): ()| {
        let terminal = host.ctx.stderr.is_terminal();
        let made: Option<Resource<TerminalOutput>> = terminal
            .then(|| host.table.push(TerminalOutput))
            .transpose()?;
        Ok(made)
    })
}
