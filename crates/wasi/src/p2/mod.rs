//! WASI 0.2: the traits of `bindings` over `host/*`.
//!
//! Registered as version 0.2.12; the linker serves other 0.2 versions with them, by the
//! rules of semver. `wasi:http` has a crate of its own.

pub mod bindings;
pub(crate) mod cli;
mod clocks;
mod command;
pub(crate) mod filesystem;
pub mod io;
mod random;
pub(crate) mod sockets;

pub use command::Command;

use crate::{HasWasi, WasiView};
use helve::Result;
use helve::component::Linker;

/// Adds everything that a command can import.
///
/// # Errors
/// Where `linker` already has one of the names and does not allow shadowing.
pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    bindings::Command::add_to_linker::<T, HasWasi>(linker, T::wasi)
}
