//! `wasi:cli`: environment, exit, the standard streams as streams of `wasi:io`, terminals.

use super::bindings::wasi::cli;
use super::io::{Input, Output};
use crate::host::stdio::Stdout;
use crate::{I32Exit, WasiCtxView};
use helve::component::Resource;
use helve::{Error, Result};

/// The guest's end of a terminal to read from (`terminal-input`).
pub struct TerminalInput;
/// The guest's end of a terminal to write to (`terminal-output`).
pub struct TerminalOutput;

impl cli::environment::Host for WasiCtxView<'_> {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(self.ctx.env.clone())
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(self.ctx.args.clone())
    }

    fn initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(None)
    }
}

impl cli::exit::Host for WasiCtxView<'_> {
    fn exit(&mut self, status: Result<(), ()>) -> Result<()> {
        Err(Error::new(I32Exit(if status.is_ok() { 0 } else { 1 })))
    }

    fn exit_with_code(&mut self, code: u8) -> Result<()> {
        Err(Error::new(I32Exit(code.into())))
    }
}

impl cli::stdin::Host for WasiCtxView<'_> {
    fn get_stdin(&mut self) -> Result<Resource<Input>> {
        Ok(self.table.push(Input::new(self.ctx.stdin.clone()))?)
    }
}

impl cli::stdout::Host for WasiCtxView<'_> {
    fn get_stdout(&mut self) -> Result<Resource<Output>> {
        Ok(self.table.push(Output::new(self.ctx.stdout.clone()))?)
    }
}

impl cli::stderr::Host for WasiCtxView<'_> {
    fn get_stderr(&mut self) -> Result<Resource<Output>> {
        Ok(self.table.push(Output::new(self.ctx.stderr.clone()))?)
    }
}

impl cli::terminal_input::Host for WasiCtxView<'_> {}
impl cli::terminal_input::HostTerminalInput for WasiCtxView<'_> {
    fn drop(&mut self, terminal: Resource<TerminalInput>) -> Result<()> {
        self.discard(terminal)
    }
}

impl cli::terminal_output::Host for WasiCtxView<'_> {}
impl cli::terminal_output::HostTerminalOutput for WasiCtxView<'_> {
    fn drop(&mut self, terminal: Resource<TerminalOutput>) -> Result<()> {
        self.discard(terminal)
    }
}

impl cli::terminal_stdin::Host for WasiCtxView<'_> {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<TerminalInput>>> {
        let terminal = self.ctx.stdin.is_terminal();
        let made = terminal.then(|| self.table.push(TerminalInput));
        Ok(made.transpose()?)
    }
}

impl cli::terminal_stdout::Host for WasiCtxView<'_> {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<TerminalOutput>>> {
        let output = self.ctx.stdout.clone();
        self.terminal(&output)
    }
}

impl cli::terminal_stderr::Host for WasiCtxView<'_> {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<TerminalOutput>>> {
        let output = self.ctx.stderr.clone();
        self.terminal(&output)
    }
}

impl WasiCtxView<'_> {
    fn terminal(&mut self, output: &Stdout) -> Result<Option<Resource<TerminalOutput>>> {
        let terminal = output.is_terminal();
        let made = terminal.then(|| self.table.push(TerminalOutput));
        Ok(made.transpose()?)
    }
}
