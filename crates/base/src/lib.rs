//! What every floor of Helve may know: ids, core types, trap codes, the layout of
//! the memory that compiled code and the VM share, built-in signatures, limits and
//! errors.
//!
//! `helve-compile` and `helve-vm` never see each other; whatever one must tell the
//! other stands here, as data. Not here: anything that acts.

#![forbid(unsafe_code)]

pub mod adapter;
pub mod builtin;
pub mod core_type;
pub mod error;
pub mod handler;
pub mod id;
pub mod limits;
pub mod resource;
pub mod trap;
pub mod vmctx;

#[doc(hidden)] // for macros
pub use anyhow as __anyhow;
pub use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap, entity_impl};
pub use error::{Bug, Error, Result};
pub use handler::Handler;
pub use trap::Trap;
