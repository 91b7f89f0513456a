//! `wasi:sockets`: networks, name lookup, and the makers of sockets, over `host::net`.
//!
//! `tcp.rs` and `udp.rs` have the sockets' methods. An operation with a start and a finish
//! is done at its start; what takes time then is waited for with `subscribe`.

mod tcp;
mod udp;

use super::bind::{func, resource};
use super::io::{IoError, Pollable};
use crate::WasiView;
use crate::host::net::{
    IpAddress, IpAddressFamily, Lookup, NetError, NetResult, TcpSocket, UdpSocket,
};
use crate::host::poll::{Flag, Readiness};
use helve::Result;
use helve::component::{ComponentType, Lift, Linker, Lower, Resource};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// `wasi:sockets/network.network`: there is one, and what it reaches is in the context.
pub struct Network;

/// `wasi:sockets/network.error-code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
pub enum ErrorCode {
    Unknown,
    AccessDenied,
    NotSupported,
    InvalidArgument,
    OutOfMemory,
    Timeout,
    ConcurrencyConflict,
    NotInProgress,
    WouldBlock,
    InvalidState,
    NewSocketLimit,
    AddressNotBindable,
    AddressInUse,
    RemoteUnreachable,
    ConnectionRefused,
    ConnectionReset,
    ConnectionAborted,
    DatagramTooLarge,
    NameUnresolvable,
    TemporaryResolverFailure,
    PermanentResolverFailure,
}

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

/// What a function of the package returns.
type Outcome<R> = Result<Result<R, ErrorCode>>;

/// The guest's form of a host's result.
fn outcome<R>(result: NetResult<R>) -> Outcome<R> {
    Ok(result.map_err(ErrorCode::from))
}

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut network = linker.instance("wasi:sockets/network@0.2.12")?;
    resource::<T, Network>(&mut network, "network")?;
    func(
        &mut network,
        "network-error-code",
        |host, (error,): (Resource<IoError>,)| {
            let error = &host.table.get(&error)?.0;
            // Only what has a number of the system can have come from a socket.
            let known = error
                .raw_os_error()
                .map(|_| ErrorCode::from(NetError::from(error)));
            Ok(known)
        },
    )?;
    let mut instance_network = linker.instance("wasi:sockets/instance-network@0.2.12")?;
    func(&mut instance_network, "instance-network", |host, (): ()| {
        Ok(host.table.push(Network)?)
    })?;
    create(linker)?;
    tcp::add_to_linker(&mut linker.instance("wasi:sockets/tcp@0.2.12")?)?;
    udp::add_to_linker(&mut linker.instance("wasi:sockets/udp@0.2.12")?)?;
    lookup(linker)
}

fn create<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut tcp = linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?;
    func(
        &mut tcp,
        "create-tcp-socket",
        |host, (family,): (IpAddressFamily,)| match TcpSocket::create(&host.ctx.network, family) {
            Ok(socket) => Ok(Ok(host.table.push(socket)?)),
            Err(e) => Ok(Err(ErrorCode::from(e))),
        },
    )?;
    let mut udp = linker.instance("wasi:sockets/udp-create-socket@0.2.12")?;
    func(
        &mut udp,
        "create-udp-socket",
        |host, (family,): (IpAddressFamily,)| match UdpSocket::create(&host.ctx.network, family) {
            Ok(socket) => Ok(Ok(host.table.push(udp::Socket::new(socket))?)),
            Err(e) => Ok(Err(ErrorCode::from(e))),
        },
    )
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

fn lookup<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut lookup = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    resource::<T, Addresses>(&mut lookup, "resolve-address-stream")?;
    func(
        &mut lookup,
        "resolve-addresses",
        |host, (_, name): (Resource<Network>, String)| match Lookup::new(
            &host.ctx.network.grants,
            &name,
        ) {
            Ok(lookup) => Ok(Ok(host.table.push(Addresses::start(lookup)?)?)),
            Err(e) => Ok(Err(ErrorCode::from(e))),
        },
    )?;
    func(
        &mut lookup,
        "[method]resolve-address-stream.resolve-next-address",
        |host, (addresses,): (Resource<Addresses>,)| outcome(host.table.get(&addresses)?.next()),
    )?;
    func(
        &mut lookup,
        "[method]resolve-address-stream.subscribe",
        |host, (addresses,): (Resource<Addresses>,)| {
            let readiness = Readiness::Flag(host.table.get(&addresses)?.done.clone());
            let pollable = Pollable::fixed(readiness);
            Ok(host.table.push_child(pollable, &addresses)?)
        },
    )
}
