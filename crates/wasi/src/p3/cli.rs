//! `wasi:cli` 0.3: environment, exit, the standard streams and terminals.

use super::pipe;
use crate::host::stdio::Stdout;
use crate::p2::bind::{func, proc, resource};
use crate::{I32Exit, WasiView};
use helve::component::{ComponentType, Lift, Linker, Lower, Resource, StreamReader};
use helve::{Error, Result, StoreContextMut};

/// The guest's end of a terminal to read from (`terminal-input`).
pub struct TerminalInput;
/// The guest's end of a terminal to write to (`terminal-output`).
pub struct TerminalOutput;

/// `wasi:cli/types.error-code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
pub enum ErrorCode {
    Io,
    IllegalByteSequence,
    Pipe,
}

fn code(error: std::io::Error) -> ErrorCode {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => ErrorCode::Pipe,
        std::io::ErrorKind::InvalidData => ErrorCode::IllegalByteSequence,
        _ => ErrorCode::Io,
    }
}

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    linker.instance("wasi:cli/types@0.3.0")?;
    let mut environment = linker.instance("wasi:cli/environment@0.3.0")?;
    func(&mut environment, "get-environment", |host, (): ()| {
        Ok(host.ctx.env.clone())
    })?;
    func(&mut environment, "get-arguments", |host, (): ()| {
        Ok(host.ctx.args.clone())
    })?;
    func(&mut environment, "get-initial-cwd", |_, (): ()| {
        Ok(None::<String>)
    })?;

    let mut exit = linker.instance("wasi:cli/exit@0.3.0")?;
    proc(&mut exit, "exit", |_, (status,): (Result<(), ()>,)| {
        Err(Error::new(I32Exit(if status.is_ok() { 0 } else { 1 })))
    })?;
    proc(&mut exit, "exit-with-code", |_, (code,): (u8,)| {
        Err(Error::new(I32Exit(code.into())))
    })?;

    let mut stdin = linker.instance("wasi:cli/stdin@0.3.0")?;
    stdin.func_wrap(
        "read-via-stream",
        |mut cx: StoreContextMut<'_, T>, (): ()| {
            let input = cx.data_mut().wasi().ctx.stdin.clone();
            Ok((pipe::from_input(&mut cx, input, code)?,))
        },
    )?;
    output(linker, "wasi:cli/stdout@0.3.0", |host| host.stdout.clone())?;
    output(linker, "wasi:cli/stderr@0.3.0", |host| host.stderr.clone())?;
    terminals(linker)
}

fn output<T: WasiView>(
    linker: &mut Linker<T>,
    name: &str,
    which: fn(&crate::WasiCtx) -> Stdout,
) -> Result<()> {
    let mut interface = linker.instance(name)?;
    interface.func_wrap(
        "write-via-stream",
        move |mut cx: StoreContextMut<'_, T>, (data,): (StreamReader<u8>,)| {
            let output = which(cx.data_mut().wasi().ctx);
            Ok((pipe::into_output(&mut cx, data, output, code)?,))
        },
    )
}

/// Which of a context's outputs a function is about.
type OutputOf = fn(&crate::WasiCtx) -> &Stdout;

fn terminals<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    resource::<T, TerminalInput>(
        &mut linker.instance("wasi:cli/terminal-input@0.3.0")?,
        "terminal-input",
    )?;
    resource::<T, TerminalOutput>(
        &mut linker.instance("wasi:cli/terminal-output@0.3.0")?,
        "terminal-output",
    )?;
    let mut stdin = linker.instance("wasi:cli/terminal-stdin@0.3.0")?;
    func(&mut stdin, "get-terminal-stdin", |host, (): ()| {
        let terminal = host.ctx.stdin.is_terminal();
        let made: Option<Resource<TerminalInput>> = terminal
            .then(|| host.table.push(TerminalInput))
            .transpose()?;
        Ok(made)
    })?;
    let outputs: [(&str, &str, OutputOf); 2] = [
        (
            "wasi:cli/terminal-stdout@0.3.0",
            "get-terminal-stdout",
            |c| &c.stdout,
        ),
        (
            "wasi:cli/terminal-stderr@0.3.0",
            "get-terminal-stderr",
            |c| &c.stderr,
        ),
    ];
    for (interface, name, which) in outputs {
        func(
            &mut linker.instance(interface)?,
            name,
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
