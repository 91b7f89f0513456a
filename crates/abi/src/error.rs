//! What a guest can do wrong with values: each one traps.
//!
//! The texts contain what the official scripts quote; where those quote different texts
//! for a host's and a component's view of one thing, the text holds both. Not here:
//! handles (`helve-model`).

use helve_base::Trap;
use helve_base::error::{Error, GuestTrap};
use std::fmt;

/// What a pointer and length describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// A string.
    String,
    /// A list or map.
    List,
    /// Parameters or results that go through memory.
    Values,
    /// The buffer of a stream or future.
    Buffer,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Content::String => "string",
            Content::List => "list",
            Content::Values => "value",
            Content::Buffer => "buffer",
        })
    }
}

/// A broken rule of the canonical ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbiError {
    /// A pointer that is not a multiple of its content's alignment.
    Unaligned,
    /// Bytes outside of the memory.
    OutOfBounds(Content),
    /// More bytes than [`MAX_BYTES`](crate::strings::MAX_BYTES).
    TooLong(Content),
    /// `realloc` returned a pointer that is not aligned as asked.
    ReallocUnaligned,
    /// `realloc` returned bytes outside of the memory.
    ReallocOutOfBounds(Content),
    /// Bytes that are not UTF-8, from this one on.
    InvalidUtf8(usize),
    /// UTF-8 that ends in the middle of a character, which starts at this byte.
    IncompleteUtf8(usize),
    /// A surrogate without its other half, at this code unit.
    InvalidUtf16(usize),
    /// Not a character.
    InvalidChar(u32),
    /// No case of the variant or enum; the value, and how many cases there are.
    InvalidDiscriminant(u32, u32),
    /// The values need more bytes of the host's memory than the limit allows.
    LiftedTooMuch(usize),
}

impl fmt::Display for AbiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            AbiError::Unaligned => f.write_str("unaligned pointer"),
            AbiError::OutOfBounds(what) => {
                write!(
                    f,
                    "{what} content out-of-bounds: {what} pointer/length out of bounds of memory"
                )
            }
            AbiError::TooLong(what) => {
                write!(
                    f,
                    "{what} content out-of-bounds: {what} of 2^28 bytes or more"
                )
            }
            AbiError::ReallocUnaligned => {
                f.write_str("unaligned pointer (realloc return: result not aligned)")
            }
            AbiError::ReallocOutOfBounds(what) => {
                write!(
                    f,
                    "{what} content out-of-bounds (realloc return: beyond end of memory)"
                )
            }
            AbiError::InvalidUtf8(at) => write!(f, "invalid utf-8 at byte {at} of a string"),
            AbiError::IncompleteUtf8(at) => {
                write!(f, "incomplete utf-8 byte sequence at byte {at} of a string")
            }
            AbiError::InvalidUtf16(at) => {
                write!(
                    f,
                    "invalid utf-16: unpaired surrogate at code unit {at} of a string"
                )
            }
            AbiError::InvalidChar(bits) => write!(f, "invalid `char` bit pattern {bits:#x}"),
            AbiError::InvalidDiscriminant(tag, cases) => {
                write!(
                    f,
                    "invalid variant discriminant {tag} of a type with {cases} cases"
                )
            }
            AbiError::LiftedTooMuch(limit) => {
                write!(
                    f,
                    "values that need more than the limit of {limit} bytes of host memory"
                )
            }
        }
    }
}

impl AbiError {
    /// The trap it is.
    pub fn trap(&self) -> Trap {
        match self {
            AbiError::LiftedTooMuch(_) => Trap::LimitExceeded,
            _ => Trap::CanonicalAbi,
        }
    }
}

impl From<AbiError> for GuestTrap {
    fn from(error: AbiError) -> GuestTrap {
        GuestTrap::new(error.trap(), error.to_string())
    }
}

impl From<AbiError> for Error {
    fn from(error: AbiError) -> Error {
        Error::new(GuestTrap::from(error))
    }
}
