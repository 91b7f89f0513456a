//! `udp-socket` of `wasi:sockets/types` 0.3.

use super::{ErrorCode, Outcome, outcome};
use crate::WasiView;
use crate::host::net::{IpAddressFamily, IpSocketAddress, NetError, NetResult, Options, UdpSocket};
use crate::p2::bind::{func, resource};
use helve::Result;
use helve::component::{Accessor, Lift, LinkerInstance, Lower, Resource};
use std::net::SocketAddr;

type Socket = Resource<UdpSocket>;

pub fn add_to_linker<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, UdpSocket>(types, "udp-socket")?;
    func(
        types,
        "[static]udp-socket.create",
        |host, (family,): (IpAddressFamily,)| match UdpSocket::create(&host.ctx.network, family) {
            Ok(socket) => Ok(Ok(host.table.push(socket)?)),
            Err(e) => Ok(Err(ErrorCode::from(e))),
        },
    )?;
    func(
        types,
        "[method]udp-socket.bind",
        |host, (socket, address): (Socket, IpSocketAddress)| {
            let socket = host.table.get_mut(&socket)?;
            let bound = socket.start_bind(address.into());
            outcome(bound.and_then(|()| socket.finish_bind()))
        },
    )?;
    func(
        types,
        "[method]udp-socket.connect",
        |host, (socket, address): (Socket, IpSocketAddress)| {
            outcome(host.table.get_mut(&socket)?.connect(address.into()))
        },
    )?;
    func(
        types,
        "[method]udp-socket.disconnect",
        |host, (socket,): (Socket,)| outcome(host.table.get_mut(&socket)?.disconnect()),
    )?;
    datagrams(types)?;
    facts(types)?;
    options(types)
}

fn datagrams<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    type Datagram = (Socket, Vec<u8>, Option<IpSocketAddress>);
    types.func_wrap_async(
        "[method]udp-socket.send",
        |cx: Accessor<T>, (socket, data, to): Datagram| async move {
            let to = to.map(SocketAddr::from);
            loop {
                let (sent, fd) = cx.with(|mut store| -> Result<_> {
                    let socket = store.data_mut().wasi().table.get_mut(&socket)?;
                    Ok((socket.send(&data, to), socket.descriptor().clone()))
                })??;
                match sent {
                    Err(NetError::WouldBlock) => fd.writable().await,
                    sent => return Ok((sent.map_err(ErrorCode::from),)),
                }
            }
        },
    )?;
    types.func_wrap_async(
        "[method]udp-socket.receive",
        |cx: Accessor<T>, (socket,): (Socket,)| async move {
            loop {
                let (received, fd) = cx.with(|mut store| -> Result<_> {
                    let socket = store.data_mut().wasi().table.get_mut(&socket)?;
                    Ok((socket.receive(), socket.descriptor().clone()))
                })??;
                match received {
                    Err(NetError::WouldBlock) => fd.readable().await,
                    received => {
                        let received =
                            received.map(|(data, from)| (data, IpSocketAddress::from(from)));
                        return Ok((received.map_err(ErrorCode::from),));
                    }
                }
            }
        },
    )
}

fn facts<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]udp-socket.get-local-address",
        |host, (socket,): (Socket,)| {
            let address = host.table.get(&socket)?.local_address();
            outcome(address.map(IpSocketAddress::from))
        },
    )?;
    func(
        types,
        "[method]udp-socket.get-remote-address",
        |host, (socket,): (Socket,)| {
            let address = host.table.get(&socket)?.remote_address();
            outcome(address.map(IpSocketAddress::from))
        },
    )?;
    func(
        types,
        "[method]udp-socket.get-address-family",
        |host, (socket,): (Socket,)| Ok(host.table.get(&socket)?.family()),
    )
}

/// Defines the getter `get-NAME` and the setter `set-NAME` of an option.
fn option<T: WasiView, V>(
    types: &mut LinkerInstance<'_, T>,
    name: &str,
    get: fn(&Options<'_>) -> NetResult<V>,
    set: fn(&Options<'_>, V) -> NetResult<()>,
) -> Result<()>
where
    V: Lift + Lower + Send + 'static,
{
    let getter = format!("[method]udp-socket.get-{name}");
    func(
        types,
        &getter,
        move |host, (socket,): (Socket,)| -> Outcome<V> {
            outcome(get(&host.table.get(&socket)?.options()))
        },
    )?;
    let setter = format!("[method]udp-socket.set-{name}");
    func(
        types,
        &setter,
        move |host, (socket, value): (Socket, V)| -> Outcome<()> {
            outcome(set(&host.table.get(&socket)?.options(), value))
        },
    )
}

fn options<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    option(
        types,
        "unicast-hop-limit",
        |o| o.hop_limit(),
        |o, v| o.set_hop_limit(v),
    )?;
    option(
        types,
        "receive-buffer-size",
        |o| o.receive_buffer(),
        |o, v| o.set_receive_buffer(v),
    )?;
    option(
        types,
        "send-buffer-size",
        |o| o.send_buffer(),
        |o, v| o.set_send_buffer(v),
    )
}
