//! `udp-socket` of `wasi:sockets/types` 0.3.

use crate::both::options;
use crate::host::net::{Fault, IpAddressFamily, IpSocketAddress, NetError, UdpSocket};
use crate::p3::bindings::wasi::sockets::types::{HostUdpSocket, HostUdpSocketWithStore};
use crate::{HasWasi, WasiCtxView};
use helve::Result;
use helve::component::{Accessor, Resource};
use std::net::SocketAddr;

type Socket = Resource<UdpSocket>;

impl HostUdpSocket for WasiCtxView<'_> {
    fn create(&mut self, family: IpAddressFamily) -> Result<Socket, Fault> {
        let socket = UdpSocket::create(&self.ctx.network, family)?;
        Ok(self.table.push(socket)?)
    }

    fn bind(&mut self, socket: Socket, address: IpSocketAddress) -> Result<(), Fault> {
        let socket = self.table.get_mut(&socket)?;
        socket.start_bind(address.into())?;
        Ok(socket.finish_bind()?)
    }

    fn connect(&mut self, socket: Socket, address: IpSocketAddress) -> Result<(), Fault> {
        Ok(self.table.get_mut(&socket)?.connect(address.into())?)
    }

    fn disconnect(&mut self, socket: Socket) -> Result<(), Fault> {
        Ok(self.table.get_mut(&socket)?.disconnect()?)
    }

    fn get_local_address(&mut self, socket: Socket) -> Result<IpSocketAddress, Fault> {
        Ok(self.table.get(&socket)?.local_address()?.into())
    }

    fn get_remote_address(&mut self, socket: Socket) -> Result<IpSocketAddress, Fault> {
        Ok(self.table.get(&socket)?.remote_address()?.into())
    }

    fn get_address_family(&mut self, socket: Socket) -> Result<IpAddressFamily> {
        Ok(self.table.get(&socket)?.family())
    }

    options! { UdpSocket:
        get_unicast_hop_limit, set_unicast_hop_limit: u8 = hop_limit, set_hop_limit;
        get_receive_buffer_size, set_receive_buffer_size: u64 = receive_buffer, set_receive_buffer;
        get_send_buffer_size, set_send_buffer_size: u64 = send_buffer, set_send_buffer;
    }

    fn drop(&mut self, socket: Socket) -> Result<()> {
        self.discard(socket)
    }
}

impl HostUdpSocketWithStore for HasWasi {
    async fn send<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        socket: Socket,
        data: Vec<u8>,
        to: Option<IpSocketAddress>,
    ) -> Result<(), Fault> {
        let to = to.map(SocketAddr::from);
        loop {
            let (sent, fd) = cx.with(|mut host| -> Result<_> {
                let socket = host.get().table.get_mut(&socket)?;
                Ok((socket.send(&data, to), socket.descriptor().clone()))
            })??;
            match sent {
                Err(NetError::WouldBlock) => fd.writable().await,
                sent => return Ok(sent?),
            }
        }
    }

    async fn receive<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        socket: Socket,
    ) -> Result<(Vec<u8>, IpSocketAddress), Fault> {
        loop {
            let (received, fd) = cx.with(|mut host| -> Result<_> {
                let socket = host.get().table.get_mut(&socket)?;
                Ok((socket.receive(), socket.descriptor().clone()))
            })??;
            match received {
                Err(NetError::WouldBlock) => fd.readable().await,
                received => {
                    let (data, from) = received?;
                    return Ok((data, from.into()));
                }
            }
        }
    }
}
