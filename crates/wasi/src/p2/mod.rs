//! WASI 0.2: names and types over `host/*`.
//!
//! Registered as version 0.2.12; the linker serves other 0.2 versions with them, by the
//! rules of semver. `wasi:http` has a crate of its own.

pub mod bind;
mod cli;
mod clocks;
mod command;
mod filesystem;
pub(crate) mod filesystem_types;
pub mod io;
mod random;
mod sockets;

pub use command::Command;

use crate::WasiView;
use helve::Result;
use helve::component::Linker;

/// Adds everything that a command can import.
///
/// # Errors
/// Where `linker` already has one of the names and does not allow shadowing.
pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    io::add_to_linker(linker)?;
    cli::add_to_linker(linker)?;
    clocks::add_to_linker(linker)?;
    random::add_to_linker(linker)?;
    filesystem::add_to_linker(linker)?;
    sockets::add_to_linker(linker)
}
