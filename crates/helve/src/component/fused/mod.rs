//! Calls between components of one root by generated adapters.
//!
//! ```text
//!  Component::new   plan --shapes--> compiler --> FusedCode (one image)            (code)
//!  instantiation    a lowered function's adapter + pointers --> AdapterContext     (context)
//!  a call           caller -> adapter -> callee; what is rare or about handles
//!                   goes through routines                                          (routines)
//! ```
//!
//! Where there is no adapter (the pair meets only in the linker, calls of an instance to
//! itself, `Config::fused_adapters` off), `call::adapter` and `drive` do the same slowly.
//! Calls whose callee needs a stack of its own are `drive`'s too; code moves their values. Both give the same results and trap with
//! the same texts; the tests compare them.
//!
//! Not here: what adapters do (`helve_compile::component`).

mod code;
mod context;
mod resource;
mod routines;
mod task;
mod transcode;

pub(crate) use code::FusedCode;
pub(crate) use context::{AdapterContext, AdapterPtr, Fused, import, make};
pub(crate) use resource::builtin;
pub(crate) use task::key as return_key;
