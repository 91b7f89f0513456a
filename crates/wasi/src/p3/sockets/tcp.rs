//! `tcp-socket` of `wasi:sockets/types` 0.3.

use super::{ErrorCode, code};
use crate::WasiView;
use crate::both::socket::Face;
use crate::host::net::{
    Connection, IpAddressFamily, IpSocketAddress, NetError, NetResult, TcpInput, TcpOutput,
    TcpSocket,
};
use crate::host::poll::Readiness;
use crate::host::stream::{InputStream, OutputStream, StreamError};
use crate::p2::bind::{func, resource};
use crate::p3::pipe;
use helve::component::{Accessor, LinkerInstance, Resource, StreamReader, StreamWriter, stream};
use helve::{Result, StoreContextMut};
use std::sync::Arc;
use std::time::Duration;

type Socket = Resource<TcpSocket>;

pub fn add_to_linker<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, TcpSocket>(types, "tcp-socket")?;
    func(
        types,
        "[static]tcp-socket.create",
        |host, (family,): (IpAddressFamily,)| match TcpSocket::create(&host.ctx.network, family) {
            Ok(socket) => Ok(Ok(host.table.push(socket)?)),
            Err(e) => Ok(Err(ErrorCode::from(e))),
        },
    )?;
    bind(types)?;
    connect(types)?;
    listen(types)?;
    bytes(types)?;
    let mut face = Face {
        interface: types,
        get: "get-",
    };
    face.facts::<TcpSocket, ErrorCode>()?;
    face.listening::<ErrorCode>()?;
    face.tcp_options::<ErrorCode>()
}

fn bind<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func_wrap_async(
        "[method]tcp-socket.bind",
        |cx: Accessor<T>, (socket, address): (Socket, IpSocketAddress)| async move {
            let attempt = || {
                cx.with(|mut store| -> Result<_> {
                    let socket = store.data_mut().wasi().table.get_mut(&socket)?;
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
            Ok((bound.map_err(ErrorCode::from),))
        },
    )
}

fn connect<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func_wrap_async(
        "[method]tcp-socket.connect",
        |cx: Accessor<T>, (socket, address): (Socket, IpSocketAddress)| async move {
            let started = cx.with(|mut store| -> Result<_> {
                let socket = store.data_mut().wasi().table.get_mut(&socket)?;
                let started = socket.start_connect(address.into());
                Ok(started.map(|()| socket.descriptor().clone()))
            })??;
            let fd = match started {
                Ok(fd) => fd,
                Err(e) => return Ok((Err(ErrorCode::from(e)),)),
            };
            loop {
                fd.writable().await;
                let finished = cx.with(|mut store| -> Result<_> {
                    let socket = store.data_mut().wasi().table.get_mut(&socket)?;
                    Ok(socket.finish_connect())
                })??;
                match finished {
                    Ok(_) => return Ok((Ok(()),)),
                    Err(NetError::WouldBlock) => {}
                    Err(e) => return Ok((Err(ErrorCode::from(e)),)),
                }
            }
        },
    )
}

type Listening = Result<StreamReader<Socket>, ErrorCode>;

fn listen<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func_wrap_async(
        "[method]tcp-socket.listen",
        |cx: Accessor<T>, (socket,): (Socket,)| async move {
            let started = cx.with(|mut store| -> Result<_> {
                let socket = store.data_mut().wasi().table.get_mut(&socket)?;
                let started = socket.start_listen(true);
                let listener = started
                    .and_then(|()| socket.finish_listen())
                    .and_then(|()| socket.listener());
                Ok(match listener {
                    Ok(listener) => Ok((listener, stream::<Socket>(store)?)),
                    Err(e) => Err(ErrorCode::from(e)),
                })
            })??;
            let (listener, (writer, reader)) = match started {
                Ok(started) => started,
                Err(e) => return Ok((Listening::Err(e),)),
            };
            cx.spawn(accept(cx.clone(), listener, writer))?;
            Ok((Ok(reader),))
        },
    )
}

/// Gives the guest one connection after the other, each when it asks for one.
async fn accept<T: WasiView>(
    cx: Accessor<T>,
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
        let socket = cx.with(|mut store| store.data_mut().wasi().table.push(accepted))??;
        for left in writer.write(&cx, vec![socket]).await? {
            cx.with(|mut store| store.data_mut().wasi().table.delete(left))??;
        }
    }
    Ok(())
}

/// A connection's bytes to read; when the guest wants no more, the rest is thrown away.
struct Receive(TcpInput);

impl InputStream for Receive {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, StreamError> {
        self.0.read(max)
    }

    fn readiness(&self) -> Readiness {
        self.0.readiness()
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        let _ = self.0.0.shutdown_receive();
    }
}

/// A connection's bytes to write; when the guest has no more, the other side is told.
struct Send(TcpOutput);

impl OutputStream for Send {
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

impl Drop for Send {
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

fn bytes<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func_wrap(
        "[method]tcp-socket.send",
        |mut cx: StoreContextMut<'_, T>, (socket, data): (Socket, StreamReader<u8>)| {
            let socket = cx.data_mut().wasi().table.get_mut(&socket)?;
            let sent = match once(socket, |s| &mut s.sending) {
                Ok(connection) => {
                    let output = Send(TcpOutput(connection));
                    pipe::into_output(&mut cx, data, output, code)?
                }
                Err(e) => pipe::settled(&mut cx, Err(ErrorCode::from(e)))?,
            };
            Ok((sent,))
        },
    )?;
    types.func_wrap(
        "[method]tcp-socket.receive",
        |mut cx: StoreContextMut<'_, T>, (socket,): (Socket,)| {
            let socket = cx.data_mut().wasi().table.get_mut(&socket)?;
            let received = match once(socket, |s| &mut s.receiving) {
                Ok(connection) => pipe::from_input(&mut cx, Receive(TcpInput(connection)), code)?,
                Err(e) => (
                    pipe::closed(&mut cx)?,
                    pipe::settled(&mut cx, Err(ErrorCode::from(e)))?,
                ),
            };
            Ok((received,))
        },
    )
}
