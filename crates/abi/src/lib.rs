//! The Component Model's canonical ABI as data: types, layouts, flattening, strings,
//! names, the table of canonical built-ins, and the one walk over a type.
//!
//! Nothing here touches a guest's memory or knows an engine: dynamic values, typed
//! values and generated adapters all run the same [`program`]s over their own idea of
//! memory. File names are the spec's nouns.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod canon;
pub mod display;
mod equal;
pub mod error;
mod facts;
pub mod flat;
pub mod layout;
pub mod names;
pub mod options;
pub mod program;
pub mod strings;
pub mod types;

pub use canon::CanonBuiltin;
pub use error::{AbiError, Content};
pub use flat::{FlatType, FlatTypes};
pub use layout::{Layout, PointerWidth};
pub use options::{CanonicalOptions, StringEncoding};
pub use program::{Program, ProgramId, Programs};
pub use types::{FuncType, FuncTypeId, InterfaceType, ResourceTypeId, TypeError, Types};
