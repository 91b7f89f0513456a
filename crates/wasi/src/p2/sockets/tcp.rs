//! `wasi:sockets/tcp`: the methods of `tcp-socket`.

use super::Network;
use crate::WasiCtxView;
use crate::both::options;
use crate::host::net::{
    Fault, IpAddressFamily, IpSocketAddress, TcpInput, TcpOutput, TcpSocket, TcpState,
};
use crate::host::poll::Readiness;
use crate::p2::bindings::wasi::sockets::tcp::{self, ShutdownType};
use crate::p2::io::{Input, Output, Pollable};
use helve::Result;
use helve::component::Resource;

type Socket = Resource<TcpSocket>;
type Streams = (Resource<Input>, Resource<Output>);

impl tcp::Host for WasiCtxView<'_> {}

impl tcp::HostTcpSocket for WasiCtxView<'_> {
    fn start_bind(
        &mut self,
        socket: Socket,
        _: Resource<Network>,
        address: IpSocketAddress,
    ) -> Result<(), Fault> {
        Ok(self.table.get_mut(&socket)?.start_bind(address.into())?)
    }

    fn finish_bind(&mut self, socket: Socket) -> Result<(), Fault> {
        Ok(self.table.get_mut(&socket)?.finish_bind()?)
    }

    fn start_connect(
        &mut self,
        socket: Socket,
        _: Resource<Network>,
        address: IpSocketAddress,
    ) -> Result<(), Fault> {
        Ok(self.table.get_mut(&socket)?.start_connect(address.into())?)
    }

    fn finish_connect(&mut self, socket: Socket) -> Result<Streams, Fault> {
        self.table.get_mut(&socket)?.finish_connect()?;
        self.streams(&socket)
    }

    fn start_listen(&mut self, socket: Socket) -> Result<(), Fault> {
        Ok(self.table.get_mut(&socket)?.start_listen(false)?)
    }

    fn finish_listen(&mut self, socket: Socket) -> Result<(), Fault> {
        Ok(self.table.get_mut(&socket)?.finish_listen()?)
    }

    fn accept(
        &mut self,
        socket: Socket,
    ) -> Result<(Socket, Resource<Input>, Resource<Output>), Fault> {
        let accepted = self.table.get(&socket)?.accept()?;
        let accepted = self.table.push(accepted)?;
        let borrowed = Resource::new_borrow(accepted.rep());
        let (input, output) = self.streams(&borrowed)?;
        Ok((accepted, input, output))
    }

    fn local_address(&mut self, socket: Socket) -> Result<IpSocketAddress, Fault> {
        Ok(self.table.get(&socket)?.local_address()?.into())
    }

    fn remote_address(&mut self, socket: Socket) -> Result<IpSocketAddress, Fault> {
        Ok(self.table.get(&socket)?.remote_address()?.into())
    }

    fn is_listening(&mut self, socket: Socket) -> Result<bool> {
        Ok(self.table.get(&socket)?.state() == TcpState::Listening)
    }

    fn address_family(&mut self, socket: Socket) -> Result<IpAddressFamily> {
        Ok(self.table.get(&socket)?.family())
    }

    fn set_listen_backlog_size(&mut self, socket: Socket, value: u64) -> Result<(), Fault> {
        Ok(self.table.get_mut(&socket)?.set_backlog(value)?)
    }

    options! { TcpSocket:
        keep_alive_enabled, set_keep_alive_enabled: bool = keep_alive, set_keep_alive;
        keep_alive_idle_time, set_keep_alive_idle_time: u64 = keep_alive_idle, set_keep_alive_idle;
        keep_alive_interval, set_keep_alive_interval: u64 = keep_alive_interval, set_keep_alive_interval;
        keep_alive_count, set_keep_alive_count: u32 = keep_alive_count, set_keep_alive_count;
        hop_limit, set_hop_limit: u8 = hop_limit, set_hop_limit;
        receive_buffer_size, set_receive_buffer_size: u64 = receive_buffer, set_receive_buffer;
        send_buffer_size, set_send_buffer_size: u64 = send_buffer, set_send_buffer;
    }

    fn subscribe(&mut self, socket: Socket) -> Result<Resource<Pollable>> {
        let open = self.table.get(&socket)?;
        let fd = open.descriptor().clone();
        let readiness = match open.state() {
            TcpState::Connecting => Readiness::Writable(fd),
            TcpState::Listening => Readiness::Readable(fd),
            _ => Readiness::Now,
        };
        Ok(self.table.push_child(Pollable::fixed(readiness), &socket)?)
    }

    fn shutdown(&mut self, socket: Socket, how: ShutdownType) -> Result<(), Fault> {
        let connection = self.table.get(&socket)?.connection()?;
        if how != ShutdownType::Send {
            connection.shutdown_receive()?;
        }
        if how != ShutdownType::Receive {
            connection.shutdown_send()?;
        }
        Ok(())
    }

    fn drop(&mut self, socket: Socket) -> Result<()> {
        self.discard(socket)
    }
}

impl WasiCtxView<'_> {
    /// The two streams of a connected socket, as its children.
    fn streams(&mut self, socket: &Socket) -> Result<Streams, Fault> {
        let connection = self.table.get(socket)?.connection()?.clone();
        let input = Input::new(TcpInput(connection.clone()));
        let output = Output::new(TcpOutput(connection));
        Ok((
            self.table.push_child(input, socket)?,
            self.table.push_child(output, socket)?,
        ))
    }
}
