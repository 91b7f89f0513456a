//! `wasi:http/types.fields` and its errors, and `http-error-code`.

use crate::WasiHttpView;
use crate::bind::func;
use crate::both;
use crate::host::error::ErrorCode;
use crate::host::fields::FieldError;
use helve::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};
use helve::{Result, bail};
use helve_wasi::p2::io::IoError;

/// `header-error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum HeaderError {
    InvalidSyntax,
    Forbidden,
    Immutable,
}

impl both::HeaderError for HeaderError {
    fn of(error: FieldError) -> Result<HeaderError> {
        Ok(match error {
            FieldError::InvalidSyntax => HeaderError::InvalidSyntax,
            FieldError::Forbidden => HeaderError::Forbidden,
            FieldError::Immutable => HeaderError::Immutable,
            FieldError::SizeExceeded => bail!(
                "the guest set more header fields than `WasiHttpCtx::field_limits` allows, in number or size"
            ),
        })
    }
}

pub fn add_to_linker<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "http-error-code",
        |host, (error,): (Resource<IoError>,)| {
            let error = &host.table.get(&error)?.0;
            let inner = error.get_ref().and_then(|e| e.downcast_ref::<ErrorCode>());
            Ok(inner.cloned())
        },
    )?;
    both::fields::<T, HeaderError>(types, "entries")
}
