//! `wasi:sockets` 0.3: `types` and `ip-name-lookup`, over `host::net`.
//!
//! `tcp.rs` and `udp.rs` have the sockets' methods.

mod tcp;
mod udp;

use super::bindings::wasi::sockets::ip_name_lookup::{self, ErrorCode as LookupError};
use super::bindings::wasi::sockets::types::{self, ErrorCode};
use crate::host::net::{Fault, IpAddress, Lookup, NetError};
use crate::{HasWasi, WasiCtxView};
use helve::Result;
use helve::component::Accessor;

impl From<NetError> for ErrorCode {
    fn from(error: NetError) -> ErrorCode {
        match error {
            NetError::AccessDenied => ErrorCode::AccessDenied,
            NetError::NotSupported => ErrorCode::NotSupported,
            NetError::InvalidArgument => ErrorCode::InvalidArgument,
            NetError::OutOfMemory => ErrorCode::OutOfMemory,
            NetError::Timeout => ErrorCode::Timeout,
            NetError::InvalidState | NetError::ConcurrencyConflict | NetError::NotInProgress => {
                ErrorCode::InvalidState
            }
            NetError::AddressNotBindable => ErrorCode::AddressNotBindable,
            NetError::AddressInUse => ErrorCode::AddressInUse,
            NetError::RemoteUnreachable => ErrorCode::RemoteUnreachable,
            NetError::ConnectionRefused => ErrorCode::ConnectionRefused,
            NetError::ConnectionBroken => ErrorCode::ConnectionBroken,
            NetError::ConnectionReset => ErrorCode::ConnectionReset,
            NetError::ConnectionAborted => ErrorCode::ConnectionAborted,
            NetError::DatagramTooLarge => ErrorCode::DatagramTooLarge,
            NetError::NewSocketLimit => ErrorCode::Other(Some("too many open sockets".into())),
            NetError::Unknown
            | NetError::WouldBlock
            | NetError::NameUnresolvable
            | NetError::TemporaryResolverFailure
            | NetError::PermanentResolverFailure => ErrorCode::Other(None),
        }
    }
}

/// A stream's error in the sockets' terms.
fn code(error: std::io::Error) -> ErrorCode {
    NetError::from(error).into()
}

impl types::Host for WasiCtxView<'_> {
    fn convert_error_code(&mut self, fault: Fault) -> Result<ErrorCode> {
        fault.told()
    }
}

impl From<NetError> for LookupError {
    fn from(error: NetError) -> LookupError {
        match error {
            NetError::AccessDenied => LookupError::AccessDenied,
            NetError::InvalidArgument => LookupError::InvalidArgument,
            NetError::NameUnresolvable => LookupError::NameUnresolvable,
            NetError::TemporaryResolverFailure => LookupError::TemporaryResolverFailure,
            NetError::PermanentResolverFailure => LookupError::PermanentResolverFailure,
            other => LookupError::Other(Some(format!("{other:?}"))),
        }
    }
}

impl ip_name_lookup::Host for WasiCtxView<'_> {
    fn convert_error_code(&mut self, fault: Fault) -> Result<LookupError> {
        fault.told()
    }
}

impl ip_name_lookup::HostWithStore for HasWasi {
    async fn resolve_addresses<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        name: String,
    ) -> Result<Vec<IpAddress>, Fault> {
        let grants = cx.with(|mut host| host.get().ctx.network.grants.clone())?;
        let found = Lookup::new(&grants, &name)?.addresses().await?;
        Ok(found.into_iter().map(IpAddress::from).collect())
    }
}
