//! `tcp-socket` of `wasi:sockets/types` 0.3.

use super::code;
use crate::both::options;
use crate::host::net::{
    Connection, Fault, IpAddressFamily, IpSocketAddress, NetError, NetResult, TcpInput, TcpOutput,
    TcpSocket, TcpState,
};
use crate::host::poll::Readiness;
use crate::host::stream::{InputStream, OutputStream, StreamError};
use crate::p3::bindings::wasi::sockets::types::{ErrorCode, HostTcpSocket, HostTcpSocketWithStore};
use crate::p3::pipe::{self, Ended};
use crate::{HasWasi, WasiCtxView};
use helve::Result;
use helve::component::{
    Access, Accessor, FutureReader, Resource, StreamReader, StreamWriter, stream,
};
use std::sync::Arc;
use std::time::Duration;

type Socket = Resource<TcpSocket>;

impl HostTcpSocket for WasiCtxView<'_> {
    fn create(&mut self, family: IpAddressFamily) -> Result<Socket, Fault> {
        let socket = TcpSocket::create(&self.ctx.network, family)?;
        Ok(self.table.push(socket)?)
    }

    fn get_local_address(&mut self, socket: Socket) -> Result<IpSocketAddress, Fault> {
        Ok(self.table.get(&socket)?.local_address()?.into())
    }

    fn get_remote_address(&mut self, socket: Socket) -> Result<IpSocketAddress, Fault> {
        Ok(self.table.get(&socket)?.remote_address()?.into())
    }

    fn get_is_listening(&mut self, socket: Socket) -> Result<bool> {
        Ok(self.table.get(&socket)?.state() == TcpState::Listening)
    }

    fn get_address_family(&mut self, socket: Socket) -> Result<IpAddressFamily> {
        Ok(self.table.get(&socket)?.family())
    }

    fn set_listen_backlog_size(&mut self, socket: Socket, value: u64) -> Result<(), Fault> {
        Ok(self.table.get_mut(&socket)?.set_backlog(value)?)
    }

    options! { TcpSocket:
        get_keep_alive_enabled, set_keep_alive_enabled: bool = keep_alive, set_keep_alive;
        get_keep_alive_idle_time, set_keep_alive_idle_time: u64 = keep_alive_idle, set_keep_alive_idle;
        get_keep_alive_interval, set_keep_alive_interval: u64 = keep_alive_interval, set_keep_alive_interval;
        get_keep_alive_count, set_keep_alive_count: u32 = keep_alive_count, set_keep_alive_count;
        get_hop_limit, set_hop_limit: u8 = hop_limit, set_hop_limit;
        get_receive_buffer_size, set_receive_buffer_size: u64 = receive_buffer, set_receive_buffer;
        get_send_buffer_size, set_send_buffer_size: u64 = send_buffer, set_send_buffer;
    }

    fn drop(&mut self, socket: Socket) -> Result<()> {
        self.discard(socket)
    }
}

impl HostTcpSocketWithStore for HasWasi {
    async fn bind<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        socket: Socket,
        address: IpSocketAddress,
    ) -> Result<(), Fault> {
        let attempt = || {
            cx.with(|mut host| -> Result<NetResult<()>> {
                let socket = host.get().table.get_mut(&socket)?;
                let bound = socket.start_bind(address.into());
                Ok(bound.and_then(|()| socket.finish_bind()))
            })?
        };
        let mut bound = attempt()?;
        if bound == Err(NetError::AddressInUse) {
            // A listener that the guest has just dropped goes once the store's loop has
            // seen that nobody asks for its connections.
            cx.sleep(Duration::from_millis(1)).await?;
            bound = attempt()?;
        }
        Ok(bound?)
    }

    async fn connect<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        socket: Socket,
        address: IpSocketAddress,
    ) -> Result<(), Fault> {
        let fd = cx.with(|mut host| -> Result<_, Fault> {
            let socket = host.get().table.get_mut(&socket)?;
            socket.start_connect(address.into())?;
            Ok(socket.descriptor().clone())
        })??;
        loop {
            fd.writable().await;
            let finished = cx.with(|mut host| -> Result<NetResult<_>> {
                Ok(host.get().table.get_mut(&socket)?.finish_connect())
            })??;
            match finished {
                Err(NetError::WouldBlock) => {}
                finished => return Ok(finished.map(drop)?),
            }
        }
    }

    async fn listen<T: Send + 'static>(
        cx: &Accessor<T, Self>,
        socket: Socket,
    ) -> Result<StreamReader<Socket>, Fault> {
        let (listener, (writer, reader)) = cx.with(|mut host| -> Result<_, Fault> {
            let socket = host.get().table.get_mut(&socket)?;
            socket.start_listen(true)?;
            socket.finish_listen()?;
            Ok((socket.listener()?, stream::<Socket>(host)?))
        })??;
        cx.spawn(accept(cx.clone(), listener, writer))?;
        Ok(reader)
    }

    fn send<T: 'static>(
        mut host: Access<'_, T, Self>,
        socket: Socket,
        data: StreamReader<u8>,
    ) -> Result<FutureReader<Ended<ErrorCode>>> {
        let socket = host.get().table.get_mut(&socket)?;
        match once(socket, |s| &mut s.sending) {
            Ok(connection) => {
                let output = Sending(TcpOutput(connection));
                pipe::into_output(&mut host, data, output, code)
            }
            Err(e) => pipe::settled(&mut host, Err(e.into())),
        }
    }

    fn receive<T: 'static>(
        mut host: Access<'_, T, Self>,
        socket: Socket,
    ) -> Result<(StreamReader<u8>, FutureReader<Ended<ErrorCode>>)> {
        let socket = host.get().table.get_mut(&socket)?;
        match once(socket, |s| &mut s.receiving) {
            Ok(connection) => pipe::from_input(&mut host, Receiving(TcpInput(connection)), code),
            Err(e) => pipe::failed(&mut host, e.into()),
        }
    }
}

/// Gives the guest one connection after the other, each when it asks for one.
async fn accept<T: Send + 'static>(
    cx: Accessor<T, HasWasi>,
    listener: TcpSocket,
    mut writer: StreamWriter<Socket>,
) -> Result<()> {
    // `false`: nobody asks any more.
    while writer.ready(&cx).await? {
        let accepted = loop {
            match listener.accept() {
                Ok(accepted) => break accepted,
                Err(NetError::WouldBlock) => listener.descriptor().readable().await,
                Err(NetError::InvalidState) => return Ok(()),
                // About one connection that came to nothing, or too many sockets for now.
                Err(_) => cx.sleep(Duration::from_millis(10)).await?,
            }
        };
        let socket = cx.with(|mut host| host.get().table.push(accepted))??;
        for left in writer.write(&cx, vec![socket]).await? {
            cx.with(|mut host| host.get().table.delete(left))??;
        }
    }
    Ok(())
}

/// A connection's bytes to read; when the guest wants no more, the rest is thrown away.
struct Receiving(TcpInput);

impl InputStream for Receiving {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, StreamError> {
        self.0.read(max)
    }

    fn readiness(&self) -> Readiness {
        self.0.readiness()
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let _ = self.0.0.shutdown_receive();
    }
}

/// A connection's bytes to write; when the guest has no more, the other side is told.
struct Sending(TcpOutput);

impl OutputStream for Sending {
    fn check_write(&mut self) -> Result<usize, StreamError> {
        self.0.check_write()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<bool, StreamError> {
        self.0.flush()
    }

    fn readiness(&self) -> Readiness {
        self.0.readiness()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let _ = self.0.0.shutdown_send();
    }
}

/// The connection, the first time that one of its directions is asked for.
fn once(
    socket: &mut TcpSocket,
    taken: fn(&mut TcpSocket) -> &mut bool,
) -> NetResult<Arc<Connection>> {
    let connection = socket.connection()?.clone();
    match std::mem::replace(taken(socket), true) {
        true => Err(NetError::InvalidState),
        false => Ok(connection),
    }
}
