//! Runs WebAssembly scripts (`.wast`): core and component directives, threads, with the
//! `spectest` module and the `host` instance that scripts import.
//!
//! Every directive is tried, whatever became of those before it; a [`Report`] lists the
//! ones that did not hold. Trap texts are compared by substring, the texts of invalid
//! and malformed modules not at all. Not here: the command line (`helve wast`).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cancellable;
mod component_value;
mod core_value;
mod host;
mod report;
mod script;
mod spectest;
mod thread;

pub use report::{Failure, Report};
pub use script::{Options, run};
