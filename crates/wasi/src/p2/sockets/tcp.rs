//! `wasi:sockets/tcp`: the methods of `tcp-socket`.

use super::{ErrorCode, Network, outcome};
use crate::both::socket::Face;
use crate::host::net::{IpSocketAddress, TcpInput, TcpOutput, TcpSocket, TcpState};
use crate::host::poll::Readiness;
use crate::p2::bind::{func, resource};
use crate::p2::io::{Input, Output, Pollable};
use crate::{WasiCtxView, WasiView};
use helve::Result;
use helve::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};

type Socket = Resource<TcpSocket>;
type Streams = (Resource<Input>, Resource<Output>);

/// `shutdown-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
pub enum ShutdownType {
    Receive,
    Send,
    Both,
}

pub fn add_to_linker<T: WasiView>(tcp: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, TcpSocket>(tcp, "tcp-socket")?;
    bind_and_listen(tcp)?;
    connect_and_accept(tcp)?;
    let mut face = Face {
        interface: tcp,
        get: "",
    };
    face.facts::<TcpSocket, ErrorCode>()?;
    face.listening::<ErrorCode>()?;
    face.tcp_options::<ErrorCode>()?;
    func(
        tcp,
        "[method]tcp-socket.shutdown",
        |host, (socket, how): (Socket, ShutdownType)| {
            let connection = match host.table.get(&socket)?.connection() {
                Ok(connection) => connection,
                Err(e) => return outcome(Err(e)),
            };
            let receive = how != ShutdownType::Send;
            let send = how != ShutdownType::Receive;
            outcome((|| {
                if receive {
                    connection.shutdown_receive()?;
                }
                if send {
                    connection.shutdown_send()?;
                }
                Ok(())
            })())
        },
    )
}

fn bind_and_listen<T: WasiView>(tcp: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        tcp,
        "[method]tcp-socket.start-bind",
        |host, (socket, _, address): (Socket, Resource<Network>, IpSocketAddress)| {
            outcome(host.table.get_mut(&socket)?.start_bind(address.into()))
        },
    )?;
    func(
        tcp,
        "[method]tcp-socket.finish-bind",
        |host, (socket,): (Socket,)| outcome(host.table.get_mut(&socket)?.finish_bind()),
    )?;
    func(
        tcp,
        "[method]tcp-socket.start-listen",
        |host, (socket,): (Socket,)| outcome(host.table.get_mut(&socket)?.start_listen(false)),
    )?;
    func(
        tcp,
        "[method]tcp-socket.finish-listen",
        |host, (socket,): (Socket,)| outcome(host.table.get_mut(&socket)?.finish_listen()),
    )?;
    func(
        tcp,
        "[method]tcp-socket.subscribe",
        |host, (socket,): (Socket,)| {
            let open = host.table.get(&socket)?;
            let fd = open.descriptor().clone();
            let readiness = match open.state() {
                TcpState::Connecting => Readiness::Writable(fd),
                TcpState::Listening => Readiness::Readable(fd),
                _ => Readiness::Now,
            };
            Ok(host.table.push_child(Pollable::fixed(readiness), &socket)?)
        },
    )
}

fn connect_and_accept<T: WasiView>(tcp: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        tcp,
        "[method]tcp-socket.start-connect",
        |host, (socket, _, address): (Socket, Resource<Network>, IpSocketAddress)| {
            outcome(host.table.get_mut(&socket)?.start_connect(address.into()))
        },
    )?;
    func(
        tcp,
        "[method]tcp-socket.finish-connect",
        |host, (socket,): (Socket,)| match host.table.get_mut(&socket)?.finish_connect() {
            Ok(_) => Ok(Ok(streams(host, &socket)?)),
            Err(e) => outcome(Err(e)),
        },
    )?;
    func(
        tcp,
        "[method]tcp-socket.accept",
        |host, (socket,): (Socket,)| {
            let accepted = match host.table.get(&socket)?.accept() {
                Ok(accepted) => accepted,
                Err(e) => return Ok(Err(ErrorCode::from(e))),
            };
            let accepted = host.table.push(accepted)?;
            let borrowed = Resource::new_borrow(accepted.rep());
            let (input, output) = streams(host, &borrowed)?;
            Ok(Ok((accepted, input, output)))
        },
    )
}

/// The two streams of a connected socket, as its children.
fn streams(host: WasiCtxView<'_>, socket: &Socket) -> Result<Streams> {
    let connection = match host.table.get(socket)?.connection() {
        Ok(connection) => connection.clone(),
        Err(_) => helve::bail!("a connected socket has no connection"),
    };
    let input = Input::new(TcpInput(connection.clone()));
    let output = Output::new(TcpOutput(connection));
    Ok((
        host.table.push_child(input, socket)?,
        host.table.push_child(output, socket)?,
    ))
}
