//! Why a component was refused: what, where in the bytes, and what to do about it.
//!
//! [`DecodeError`] is the source of every error of this crate that is the file's fault
//! (`Error::downcast_ref` finds it). What is ours ([`helve_base::Bug`]) is never one:
//! indices that validation has checked are looked up with a checked lookup all the same.

use crate::features::Features;
use helve_base::{Bug, Error};
use std::fmt;

/// Why a component was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are a core module: componentize it, or load it as a module.
    CoreModule,
    /// The bytes are neither a component nor a core module.
    NotWasm,
    /// The component is malformed or invalid.
    Invalid {
        /// What is wrong.
        message: String,
        /// Where in the bytes.
        offset: u64,
        /// What to do about it.
        remedy: String,
    },
    /// The component is valid and uses something that Helve cannot do.
    Unsupported {
        /// What it uses.
        what: String,
        /// Where in the bytes.
        offset: u64,
    },
    /// What was given for an import of a component's type does not have that type.
    Mismatch {
        /// Where, and what differs.
        message: String,
    },
    /// The component asks for more than a limit allows.
    Limit {
        /// Which limit, with its value.
        message: String,
        /// Where in the bytes.
        offset: u64,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::CoreModule => f.write_str(
                "this is a core WebAssembly module, not a component \
                 (load it as a module, or make a component of it with an adapter)",
            ),
            DecodeError::NotWasm => f.write_str(
                "this is not WebAssembly: the bytes do not start with its magic number \
                 (is it the right file, and complete?)",
            ),
            DecodeError::Invalid {
                message,
                offset,
                remedy,
            } => write!(
                f,
                "not a valid component: {message} (at byte {offset:#x}); {remedy}"
            ),
            DecodeError::Unsupported { what, offset } => {
                write!(f, "{what} (at byte {offset:#x}): not supported")
            }
            DecodeError::Mismatch { message } => f.write_str(message),
            DecodeError::Limit { message, offset } => write!(
                f,
                "{message} (at byte {offset:#x}); raise the limit if you trust the component"
            ),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Wraps what the parser or validator found.
pub(crate) fn invalid(error: &wasmparser::Error) -> Error {
    let mut message = error.message().replace('\n', ": ");
    if let Some(at) = message.find(" (ResourceId {") {
        message.truncate(at); // the validator's own numbers say nothing to anyone
    }
    let remedy = match error.missing_wasm_feature() {
        Some(missing) => match Features::knob(missing) {
            Some(knob) => format!("turn on the feature `{knob}` to allow it"),
            None => "it uses a WebAssembly proposal that is not turned on".to_string(),
        },
        None if message.contains("unexpected end") => {
            "the file seems to be truncated: get or build it again".to_string()
        }
        None => "check that the file is intact, or build it again with current tools".to_string(),
    };
    Error::new(DecodeError::Invalid {
        message,
        offset: error.offset(),
        remedy,
    })
}

/// An error for what we find out ourselves.
pub(crate) fn refused(message: impl Into<String>, offset: u64) -> Error {
    Error::new(DecodeError::Invalid {
        message: message.into(),
        offset,
        remedy: "check that the file is intact, or change the component's source".to_string(),
    })
}

/// An error for something that the plan cannot express.
pub(crate) fn unsupported(what: impl Into<String>, offset: u64) -> Error {
    Error::new(DecodeError::Unsupported {
        what: what.into(),
        offset,
    })
}

/// An error for a thing that has not the type that it must have. Within one file
/// validation has seen to that; what a linker supplies is looked at here.
pub(crate) fn mismatch(message: impl Into<String>) -> Error {
    Error::new(DecodeError::Mismatch {
        message: message.into(),
    })
}

/// An error for a limit that was reached.
pub(crate) fn limit(message: impl Into<String>, offset: u64) -> Error {
    Error::new(DecodeError::Limit {
        message: message.into(),
        offset,
    })
}

/// An error for something that validation has promised and that does not hold.
pub(crate) fn bug(what: impl Into<String>) -> Error {
    Error::new(Bug(what.into()))
}
