//! `udp-socket` of `wasi:sockets/types` 0.3.

use super::{ErrorCode, outcome};
use crate::WasiView;
use crate::both::socket::Face;
use crate::host::net::{IpAddressFamily, IpSocketAddress, NetError, UdpSocket};
use crate::p2::bind::{func, resource};
use helve::Result;
use helve::component::{Accessor, LinkerInstance, Resource};
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
    let mut face = Face {
        interface: types,
        get: "get-",
    };
    face.facts::<UdpSocket, ErrorCode>()?;
    face.udp_options::<UdpSocket, ErrorCode>()
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
