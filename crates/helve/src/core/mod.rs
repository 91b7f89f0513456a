//! Core WebAssembly: modules, instances and what they export.
//!
//! The component half stands on this one and is all that most embedders need.

pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod engine;
pub(crate) mod store;
pub(crate) mod types;
