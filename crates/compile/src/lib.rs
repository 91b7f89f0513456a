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

mod artifact;
pub mod artifact_file;
mod bounds;
mod bytes;
mod compiler;
pub mod component;
pub mod debug;
mod env;
pub mod features;
mod func;
pub mod function_cache;
mod interrupt;
mod liveness;
pub mod module;
mod names;
mod ops;
mod osr;
mod signature;
mod stack;
mod trampoline;
mod translate;
mod trap;
mod types;

pub use artifact::{CompiledFunction, CompiledModule, FunctionRange};
pub use bytes::Bytes;
pub use compiler::{Compiler, CompilerOptions, OptLevel, RegisterAllocator};
pub use features::Features;
pub use module::Module;
pub use names::FunctionNames;
pub use translate::{Translation, translate, translate_validated};

pub(crate) use stack::ValueStack;
pub(crate) use trap::trap_code;
