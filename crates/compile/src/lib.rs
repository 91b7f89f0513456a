//! Core WebAssembly and trampolines to machine code, with Cranelift.
//!
//! ```text
//! bytes --translate--> Translation (Module + where its bodies are)
//!                        |  compile_module / compile_function
//!                        v
//!                 CompiledModule / CompiledFunction (code, traps, locations)
//! ```
//!
//! What compiled code and the VM must agree about (contexts, slots, built-ins) stands
//! in `helve_base`; this crate never sees the VM. Not here: executable memory,
//! instances, anything that runs.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod ops;
mod stack;
mod trap;

pub(crate) use stack::ValueStack;
pub(crate) use trap::trap_code;
