//! Component bytes to one flat [`Plan`]: the only thing that compiling a component's
//! trampolines and instantiating it read.
//!
//! ```text
//!  bytes -> reader (parse + validate) -> resolve (run the definitions) -> Plan
//!                                          scope: index spaces
//! ```
//!
//! Not here: core modules' code (`helve-compile` reads the byte ranges that the plan
//! names), text (`.wat` is the callers'), linking to a host.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod adapter;
mod cancellable;
mod canon;
mod core_instances;
mod core_types;
mod error;
mod features;
mod item_type;
mod named_list;
pub mod origin;
pub mod plan;
mod reader;
pub mod reflect;
mod resolve;
mod scope;
mod types;
mod unique_names;

pub use error::DecodeError;
pub use features::Features;
pub use named_list::NamedList;
pub use plan::Plan;

use helve_base::limits::Limits;

/// How to decode.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What validation accepts.
    pub features: Features,
    /// Bounds on what one component may make.
    pub limits: Limits,
    /// Whether to validate the bodies of core functions too. Off by default: the
    /// compiler does that when it translates each of [`Plan::modules`], in parallel.
    pub validate_bodies: bool,
}

/// The plan of the component in `bytes`. Errors of the file's making have a
/// [`DecodeError`] as their source.
pub fn decode(bytes: &[u8], options: &Options) -> helve_base::Result<Plan> {
    let read = reader::read(bytes, options)?;
    resolve::resolve(&read, options)
}

/// The plan of the component at `origin` in files that were decoded before, with the same
/// options, whose component imports are `given`. What does not have the type that it must
/// have is an error with [`DecodeError::Mismatch`] as its source.
pub fn decode_linked(
    files: &[&[u8]],
    origin: &origin::Origin,
    given: &[(plan::ImportPath, origin::Given)],
    options: &Options,
) -> helve_base::Result<Plan> {
    origin::resolve(files, origin, given, options)
}
