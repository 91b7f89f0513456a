//! Helve's embedding API.
//!
//! ```text
//!  Engine --compiles--> core::Module, component::Component
//!    |                        |
//!  Store<T> <--instantiates-- Linker<T> (host functions)
//! ```
//!
//! An [`Engine`] holds the compiler and is shared; a [`Store`] holds everything that
//! belongs to one run of guests, with the host's data. [`mod@core`] is core WebAssembly,
//! `component` the Component Model on top of it.

#![warn(missing_docs)]

pub mod component;
pub mod core;

pub use crate::core::allocation::{Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};
pub use crate::core::backtrace::{Backtrace, Frame};
pub use crate::core::config::{CompileMode, Config, OptLevel, ProfilingStrategy, Schedule};
pub use crate::core::context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
pub use crate::core::disassemble::Disassembly;
pub use crate::core::engine::Engine;
pub use crate::core::interrupt::UpdateDeadline;
pub use crate::core::store::Store;
pub use crate::core::symbols::FrameSymbol;
pub use helve_base::error::{Bug, Context, ErrorKind, GuestTrap};
pub use helve_base::limits::{InstanceLimits, Limits};
pub use helve_base::{Error, Result, Trap, bail, ensure, format_err};
pub use helve_compile::Features as CoreFeatures;
pub use helve_macros::bindgen;
pub use helve_vm::Limiter;
pub use helve_vm::exception::ThrownException;

/// The guide's examples, so that they stay true.
#[cfg(doctest)]
mod guide {
    macro_rules! pages {
        ($($name:ident = $file:literal;)*) => {$(
            #[doc = include_str!(concat!("../../../docs/src/", $file))]
            pub struct $name;
        )*};
    }

    pages! {
        Tutorial = "tutorial.md";
        Values = "values.md";
        Async = "async.md";
        Inspecting = "inspecting.md";
    }
}
