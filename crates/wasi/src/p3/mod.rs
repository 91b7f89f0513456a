//! WASI 0.3: the traits of `bindings` over `host/*`.
//!
//! Registered as version 0.3.0; the linker serves later 0.3 versions with them, by the
//! rules of semver. `wasi:http` has a crate of its own.

pub mod bindings;
mod cli;
mod clocks;
mod command;
mod filesystem;
pub mod pipe;
mod random;
mod sockets;

pub use command::{Command, finish};

use crate::p2::bindings::wasi::cli as p2_cli;
use crate::{HasWasi, WasiView};
use helve::Result;
use helve::component::Linker;

/// Adds everything that a command can import.
///
/// # Errors
/// Where `linker` already has one of the names and does not allow shadowing.
pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    bindings::Command::add_to_linker::<T, HasWasi>(linker, T::wasi)?;
    // The same as in 0.2.
    macro_rules! same {
        ($($interface:ident: $name:literal;)*) => {$(
            let name = concat!("wasi:cli/", $name, "@0.3.0");
            p2_cli::$interface::add_to_linker_as::<T, HasWasi>(linker, name, T::wasi)?;
        )*};
    }
    same! {
        exit: "exit";
        terminal_input: "terminal-input";
        terminal_output: "terminal-output";
        terminal_stdin: "terminal-stdin";
        terminal_stdout: "terminal-stdout";
        terminal_stderr: "terminal-stderr";
    }
    Ok(())
}
