//! `wasi:http/types.fields` and its errors, and `http-error-code`.

use super::bindings::wasi::http::types::{self, HeaderError};
use crate::WasiHttpCtxView;
use crate::host::error::{self, ErrorCode};
use crate::host::fields::{Fault, FieldError, Fields};
use helve::component::Resource;
use helve::{Result, bail};
use helve_wasi::p2::io::IoError;

type Own = Resource<Fields>;

impl types::Host for WasiHttpCtxView<'_> {
    fn http_error_code(&mut self, error: Resource<IoError>) -> Result<Option<ErrorCode>> {
        let error = &self.table.get(&error)?.0;
        let inner = error.get_ref().and_then(|e| e.downcast_ref::<ErrorCode>());
        Ok(inner.cloned())
    }

    fn convert_error_code(&mut self, fault: error::Fault) -> Result<ErrorCode> {
        fault.told()
    }

    fn convert_header_error(&mut self, fault: Fault) -> Result<HeaderError> {
        Ok(match fault.told()? {
            FieldError::InvalidSyntax => HeaderError::InvalidSyntax,
            FieldError::Forbidden => HeaderError::Forbidden,
            FieldError::Immutable => HeaderError::Immutable,
            FieldError::SizeExceeded => bail!(
                "the guest set more header fields than `WasiHttpCtx::field_limits` allows, in number or size"
            ),
        })
    }
}

impl types::HostFields for WasiHttpCtxView<'_> {
    fn new(&mut self) -> Result<Own> {
        Ok(self.table.push(Fields::new(self.http.field_limits))?)
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<Own, Fault> {
        let fields = Fields::of(entries, self.http.field_limits)?;
        Ok(self.table.push(fields)?)
    }

    fn get(&mut self, fields: Own, name: String) -> Result<Vec<Vec<u8>>> {
        Ok(self.table.get(&fields)?.get(&name))
    }

    fn has(&mut self, fields: Own, name: String) -> Result<bool> {
        Ok(self.table.get(&fields)?.has(&name))
    }

    fn set(&mut self, fields: Own, name: String, values: Vec<Vec<u8>>) -> Result<(), Fault> {
        Ok(self.table.get_mut(&fields)?.set(&name, values)?)
    }

    fn delete(&mut self, fields: Own, name: String) -> Result<(), Fault> {
        self.table.get_mut(&fields)?.delete(&name)?;
        Ok(())
    }

    fn append(&mut self, fields: Own, name: String, value: Vec<u8>) -> Result<(), Fault> {
        Ok(self.table.get_mut(&fields)?.append(&name, value)?)
    }

    fn entries(&mut self, fields: Own) -> Result<Vec<(String, Vec<u8>)>> {
        Ok(self.table.get(&fields)?.entries())
    }

    fn clone(&mut self, fields: Own) -> Result<Own> {
        let copy = self.table.get(&fields)?.thawed();
        Ok(self.table.push(copy)?)
    }

    fn drop(&mut self, fields: Own) -> Result<()> {
        self.discard(fields)
    }
}
