//! `wasi:http/types.request-options` 0.3.

use super::bindings::wasi::http::types::{HostRequestOptions, RequestOptionsError};
use crate::WasiHttpCtxView;
use crate::host::message::RequestOptions;
use helve::Result;
use helve::component::Resource;

/// `request-options`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub times: RequestOptions,
    pub immutable: bool,
}

type Own = Resource<Options>;
/// What a setter returns.
type Set = Result<Result<(), RequestOptionsError>>;

impl WasiHttpCtxView<'_> {
    /// Sets what `field` finds, unless the options are a request's.
    fn set_option(
        &mut self,
        options: &Own,
        field: fn(&mut RequestOptions) -> &mut Option<u64>,
        value: Option<u64>,
    ) -> Set {
        let options = self.table.get_mut(options)?;
        if options.immutable {
            return Ok(Err(RequestOptionsError::Immutable));
        }
        *field(&mut options.times) = value;
        Ok(Ok(()))
    }
}

impl HostRequestOptions for WasiHttpCtxView<'_> {
    fn new(&mut self) -> Result<Own> {
        Ok(self.table.push(Options::default())?)
    }

    fn get_connect_timeout(&mut self, options: Own) -> Result<Option<u64>> {
        Ok(self.table.get(&options)?.times.connect_timeout)
    }

    fn set_connect_timeout(&mut self, options: Own, value: Option<u64>) -> Set {
        self.set_option(&options, |o| &mut o.connect_timeout, value)
    }

    fn get_first_byte_timeout(&mut self, options: Own) -> Result<Option<u64>> {
        Ok(self.table.get(&options)?.times.first_byte_timeout)
    }

    fn set_first_byte_timeout(&mut self, options: Own, value: Option<u64>) -> Set {
        self.set_option(&options, |o| &mut o.first_byte_timeout, value)
    }

    fn get_between_bytes_timeout(&mut self, options: Own) -> Result<Option<u64>> {
        Ok(self.table.get(&options)?.times.between_bytes_timeout)
    }

    fn set_between_bytes_timeout(&mut self, options: Own, value: Option<u64>) -> Set {
        self.set_option(&options, |o| &mut o.between_bytes_timeout, value)
    }

    fn clone(&mut self, options: Own) -> Result<Own> {
        let copy = Options {
            immutable: false,
            ..*self.table.get(&options)?
        };
        Ok(self.table.push(copy)?)
    }

    fn drop(&mut self, options: Own) -> Result<()> {
        self.discard(options)
    }
}
