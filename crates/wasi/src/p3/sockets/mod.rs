//! `wasi:sockets` 0.3: `types` and `ip-name-lookup`, over `host::net`.
//!
//! `tcp.rs` and `udp.rs` have the sockets' methods.

mod tcp;
mod udp;

use crate::WasiView;
use crate::host::net::{IpAddress, Lookup, NetError, NetResult};
use helve::Result;
use helve::component::{Accessor, ComponentType, Lift, Linker, Lower};

/// `types.error-code`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum ErrorCode {
    AccessDenied,
    NotSupported,
    InvalidArgument,
    OutOfMemory,
    Timeout,
    InvalidState,
    AddressNotBindable,
    AddressInUse,
    RemoteUnreachable,
    ConnectionRefused,
    ConnectionBroken,
    ConnectionReset,
    ConnectionAborted,
    DatagramTooLarge,
    Other(Option<String>),
}

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

/// What a function of the package returns.
type Outcome<R> = Result<Result<R, ErrorCode>>;

/// The guest's form of a host's result.
fn outcome<R>(result: NetResult<R>) -> Outcome<R> {
    Ok(result.map_err(ErrorCode::from))
}

/// `ip-name-lookup.error-code`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum LookupError {
    AccessDenied,
    InvalidArgument,
    NameUnresolvable,
    TemporaryResolverFailure,
    PermanentResolverFailure,
    Other(Option<String>),
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

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut types = linker.instance("wasi:sockets/types@0.3.0")?;
    tcp::add_to_linker(&mut types)?;
    udp::add_to_linker(&mut types)?;
    let mut lookup = linker.instance("wasi:sockets/ip-name-lookup@0.3.0")?;
    lookup.func_wrap_async(
        "resolve-addresses",
        |cx: Accessor<T>, (name,): (String,)| async move {
            let grants = cx.with(|mut store| {
                let network = &store.data_mut().wasi().ctx.network;
                network.grants.clone()
            })?;
            let found = match Lookup::new(&grants, &name) {
                Ok(lookup) => lookup.addresses().await,
                Err(e) => Err(e),
            };
            let addresses = found.map(|all| all.into_iter().map(IpAddress::from).collect());
            let result: Result<Vec<IpAddress>, LookupError> = addresses.map_err(LookupError::from);
            Ok((result,))
        },
    )
}
