//! WASI 0.3: names and types over `host/*`.
//!
//! Registered as version 0.3.0; the linker serves later 0.3 versions with them, by the
//! rules of semver. `wasi:http` has a crate of its own.

mod cli;
mod clocks;
mod command;
mod filesystem;
mod filesystem_types;
pub mod pipe;
mod random;
mod sockets;

pub use command::{Command, finish};

use crate::WasiView;
use helve::Result;
use helve::component::Linker;

/// Adds everything that a command can import.
///
/// # Errors
/// Where `linker` already has one of the names and does not allow shadowing.
pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    cli::add_to_linker(linker)?;
    clocks::add_to_linker(linker)?;
    random::add_to_linker(linker)?;
    filesystem::add_to_linker(linker)?;
    sockets::add_to_linker(linker)
}
