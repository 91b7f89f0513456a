//! `wasi:sockets`: networks, name lookup, and the makers of sockets, over `host::net`.
//!
//! `tcp.rs` and `udp.rs` have the sockets' methods. An operation with a start and a finish
//! is done at its start; what takes time then is waited for with `subscribe`.

mod tcp;
pub(crate) mod udp;

use super::bindings::wasi::sockets::network::{self, ErrorCode};
use super::bindings::wasi::sockets::{
    instance_network, ip_name_lookup, tcp_create_socket, udp_create_socket,
};
use super::io::{IoError, Pollable};
use crate::WasiCtxView;
use crate::host::net::{
    Fault, IpAddress, IpAddressFamily, Lookup, NetError, NetResult, TcpSocket, UdpSocket,
};
use crate::host::poll::{Flag, Readiness};
use helve::Result;
use helve::component::Resource;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// `wasi:sockets/network.network`: there is one, and what it reaches is in the context.
pub struct Network;

impl From<NetError> for ErrorCode {
    fn from(error: NetError) -> ErrorCode {
        match error {
            NetError::Unknown => ErrorCode::Unknown,
            NetError::AccessDenied => ErrorCode::AccessDenied,
            NetError::NotSupported => ErrorCode::NotSupported,
            NetError::InvalidArgument => ErrorCode::InvalidArgument,
            NetError::OutOfMemory => ErrorCode::OutOfMemory,
            NetError::Timeout => ErrorCode::Timeout,
            NetError::ConcurrencyConflict => ErrorCode::ConcurrencyConflict,
            NetError::NotInProgress => ErrorCode::NotInProgress,
            NetError::WouldBlock => ErrorCode::WouldBlock,
            NetError::InvalidState => ErrorCode::InvalidState,
            NetError::NewSocketLimit => ErrorCode::NewSocketLimit,
            NetError::AddressNotBindable => ErrorCode::AddressNotBindable,
            NetError::AddressInUse => ErrorCode::AddressInUse,
            NetError::RemoteUnreachable => ErrorCode::RemoteUnreachable,
            NetError::ConnectionRefused => ErrorCode::ConnectionRefused,
            NetError::ConnectionReset | NetError::ConnectionBroken => ErrorCode::ConnectionReset,
            NetError::ConnectionAborted => ErrorCode::ConnectionAborted,
            NetError::DatagramTooLarge => ErrorCode::DatagramTooLarge,
            NetError::NameUnresolvable => ErrorCode::NameUnresolvable,
            NetError::TemporaryResolverFailure => ErrorCode::TemporaryResolverFailure,
            NetError::PermanentResolverFailure => ErrorCode::PermanentResolverFailure,
        }
    }
}

impl network::Host for WasiCtxView<'_> {
    fn convert_error_code(&mut self, fault: Fault) -> Result<ErrorCode> {
        fault.told()
    }

    fn network_error_code(&mut self, error: Resource<IoError>) -> Result<Option<ErrorCode>> {
        let error = &self.table.get(&error)?.0;
        // Only what has a number of the system can have come from a socket.
        let number = error.raw_os_error();
        Ok(number.map(|_| NetError::from(error).into()))
    }
}

impl network::HostNetwork for WasiCtxView<'_> {
    fn drop(&mut self, network: Resource<Network>) -> Result<()> {
        self.discard(network)
    }
}

impl instance_network::Host for WasiCtxView<'_> {
    fn instance_network(&mut self) -> Result<Resource<Network>> {
        Ok(self.table.push(Network)?)
    }
}

impl tcp_create_socket::Host for WasiCtxView<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> Result<Resource<TcpSocket>, Fault> {
        let socket = TcpSocket::create(&self.ctx.network, family)?;
        Ok(self.table.push(socket)?)
    }
}

impl udp_create_socket::Host for WasiCtxView<'_> {
    fn create_udp_socket(
        &mut self,
        family: IpAddressFamily,
    ) -> Result<Resource<udp::Socket>, Fault> {
        let socket = UdpSocket::create(&self.ctx.network, family)?;
        Ok(self.table.push(udp::Socket::new(socket))?)
    }
}

/// `resolve-address-stream`: a lookup at work, or what it found.
#[derive(Clone, Default)]
pub struct Addresses {
    found: Arc<Mutex<Option<NetResult<VecDeque<IpAddr>>>>>,
    done: Flag,
}

impl Addresses {
    fn start(lookup: Lookup) -> Result<Addresses> {
        let addresses = Addresses::default();
        let to = addresses.clone();
        crate::host::executor::spawn(async move {
            let result = lookup.addresses().await.map(VecDeque::from);
            *to.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            to.done.set(true);
        })?;
        Ok(addresses)
    }

    fn next(&self) -> NetResult<Option<IpAddress>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *found {
            None => Err(NetError::WouldBlock),
            Some(Err(e)) => Err(*e),
            Some(Ok(addresses)) => Ok(addresses.pop_front().map(IpAddress::from)),
        }
    }
}

impl ip_name_lookup::Host for WasiCtxView<'_> {
    fn resolve_addresses(
        &mut self,
        _: Resource<Network>,
        name: String,
    ) -> Result<Resource<Addresses>, Fault> {
        let lookup = Lookup::new(&self.ctx.network.grants, &name)?;
        Ok(self.table.push(Addresses::start(lookup)?)?)
    }
}

impl ip_name_lookup::HostResolveAddressStream for WasiCtxView<'_> {
    fn resolve_next_address(
        &mut self,
        addresses: Resource<Addresses>,
    ) -> Result<Option<IpAddress>, Fault> {
        Ok(self.table.get(&addresses)?.next()?)
    }

    fn subscribe(&mut self, addresses: Resource<Addresses>) -> Result<Resource<Pollable>> {
        let readiness = Readiness::Flag(self.table.get(&addresses)?.done.clone());
        let pollable = Pollable::fixed(readiness);
        Ok(self.table.push_child(pollable, &addresses)?)
    }

    fn drop(&mut self, addresses: Resource<Addresses>) -> Result<()> {
        self.discard(addresses)
    }
}
