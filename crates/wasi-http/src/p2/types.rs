//! The small types of `wasi:http/types` 0.2 that are not the host's own.

use crate::host::error::ErrorCode;
use crate::host::fields::FieldError;
use helve::component::{ComponentType, Lift, Lower};
use helve::{Result, bail};

/// `header-error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum HeaderError {
    InvalidSyntax,
    Forbidden,
    Immutable,
}

/// The guest's form of why a field was refused. 0.2 has no word for "too much": that traps.
pub fn header_error(error: FieldError) -> Result<HeaderError> {
    Ok(match error {
        FieldError::InvalidSyntax => HeaderError::InvalidSyntax,
        FieldError::Forbidden => HeaderError::Forbidden,
        FieldError::Immutable => HeaderError::Immutable,
        FieldError::SizeExceeded => bail!(
            "the guest set more header fields than `WasiHttpCtx::field_limits` allows, in number or size"
        ),
    })
}

/// What an operation on fields returns to the guest.
pub fn header_result<R>(result: Result<R, FieldError>) -> Result<Result<R, HeaderError>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(e) => Ok(Err(header_error(e)?)),
    }
}

/// A stream's error as HTTP knows it.
pub fn stream_error(code: ErrorCode) -> std::io::Error {
    std::io::Error::other(code)
}
