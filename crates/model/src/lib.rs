//! The handle tables of the WebAssembly Component Model as pure state machines.
//!
//! One table per component instance holds everything a guest has an index for:
//! resources, the ends of streams and futures, subtasks, waitable sets and error
//! contexts; a second one holds its threads. The rules are the Canonical ABI's, and the
//! file names are its nouns. This crate decides; performing (running destructors,
//! copying elements, resuming threads) is for whoever uses it: operations that need the
//! outside return what is to be done.
//!
//! It stands alone: no dependency, no `unsafe`, `no_std` with `alloc`, so that another
//! engine can take it. Slots can live in memory that compiled code shares, through
//! [`Storage`]; [`layout`] says where everything in a slot is.
//!
//! An operation that fails has changed nothing.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod error;
pub mod handles;
pub mod layout;
pub mod resource;

pub use error::{HandleError, Names};
pub use handles::{Kind, Slot, Storage, Table, TypeId, VecStorage};
pub use resource::{Dropped, Lent, Loans, ScopeId, Scopes};
