//! `wasi:sockets/udp`: the methods of `udp-socket` and of its datagram streams.

use super::{ErrorCode, Network, Outcome, outcome};
use crate::both;
use crate::both::socket::Face;
use crate::host::net::{
    IpAddressFamily, IpSocketAddress, MAX_DATAGRAM, NetError, NetResult, Options, UdpSocket,
};
use crate::host::poll::Readiness;
use crate::p2::bind::{func, resource};
use crate::p2::io::Pollable;
use crate::{WasiCtxView, WasiView};
use helve::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};
use helve::{Result, ensure};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// `udp-socket`.
pub struct Socket {
    socket: UdpSocket,
    /// How often `stream` was called: streams of earlier calls are closed.
    generation: Arc<AtomicU64>,
}

impl Socket {
    pub fn new(socket: UdpSocket) -> Socket {
        Socket {
            socket,
            generation: Arc::default(),
        }
    }

    /// Makes the streams; those made before are closed by that.
    fn streams(&mut self, remote: Option<SocketAddr>) -> NetResult<(Incoming, Outgoing)> {
        if !self.socket.is_bound() {
            return Err(NetError::InvalidState);
        }
        match remote {
            Some(remote) => self.socket.connect(remote)?,
            None if self.socket.remote_address().is_ok() => self.socket.disconnect()?,
            None => {}
        }
        let number = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        let end = || End {
            socket: self.socket.share(),
            generation: self.generation.clone(),
            number,
        };
        Ok((
            Incoming(end()),
            Outgoing {
                end: end(),
                permit: 0,
            },
        ))
    }
}

impl both::socket::Socket for Socket {
    const NAME: &str = "udp-socket";

    fn local_address(&self) -> NetResult<SocketAddr> {
        self.socket.local_address()
    }

    fn remote_address(&self) -> NetResult<SocketAddr> {
        self.socket.remote_address()
    }

    fn family(&self) -> IpAddressFamily {
        self.socket.family()
    }

    fn options(&self) -> NetResult<Options<'_>> {
        Ok(self.socket.options())
    }
}

/// One of the two streams.
struct End {
    socket: UdpSocket,
    generation: Arc<AtomicU64>,
    number: u64,
}

impl End {
    fn check(&self) -> NetResult<()> {
        if self.generation.load(Ordering::SeqCst) == self.number {
            Ok(())
        } else {
            Err(NetError::InvalidState)
        }
    }
}

/// `incoming-datagram-stream`.
pub struct Incoming(End);

/// `outgoing-datagram-stream`.
pub struct Outgoing {
    end: End,
    /// Datagrams that the last `check-send` allowed and no send has used yet.
    permit: u64,
}

/// `incoming-datagram`.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
pub struct IncomingDatagram {
    pub data: Vec<u8>,
    pub remote_address: IpSocketAddress,
}

/// `outgoing-datagram`.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
pub struct OutgoingDatagram {
    pub data: Vec<u8>,
    pub remote_address: Option<IpSocketAddress>,
}

/// Most datagrams of one `receive` or `send`, and most bytes of one `receive`.
const MOST_DATAGRAMS: u64 = 16;
const MOST_BYTES: usize = 4 * MAX_DATAGRAM;

impl Incoming {
    fn receive(&self, max: u64) -> NetResult<Vec<IncomingDatagram>> {
        self.0.check()?;
        let mut datagrams = Vec::new();
        let mut bytes = 0;
        while (datagrams.len() as u64) < max.min(MOST_DATAGRAMS) && bytes < MOST_BYTES {
            match self.0.socket.receive() {
                Ok((data, from)) => {
                    bytes += data.len();
                    datagrams.push(IncomingDatagram {
                        data,
                        remote_address: from.into(),
                    });
                }
                Err(NetError::WouldBlock) => break,
                Err(_) if !datagrams.is_empty() => break,
                Err(e) => return Err(e),
            }
        }
        Ok(datagrams)
    }
}

impl Outgoing {
    fn check_send(&mut self) -> NetResult<u64> {
        self.end.check()?;
        let ready = self.end.socket.descriptor().is_writable();
        self.permit = if ready { MOST_DATAGRAMS } else { 0 };
        Ok(self.permit)
    }

    fn send(&mut self, datagrams: Vec<OutgoingDatagram>) -> NetResult<u64> {
        self.end.check()?;
        let mut sent = 0;
        for datagram in datagrams {
            let to = datagram.remote_address.map(SocketAddr::from);
            match self.end.socket.send(&datagram.data, to) {
                Ok(()) => sent += 1,
                Err(_) if sent > 0 => break,
                Err(NetError::WouldBlock) => break,
                Err(e) => return Err(e),
            }
        }
        self.permit = self.permit.saturating_sub(sent);
        Ok(sent)
    }
}

type Udp = Resource<Socket>;

pub fn add_to_linker<T: WasiView>(udp: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, Socket>(udp, "udp-socket")?;
    resource::<T, Incoming>(udp, "incoming-datagram-stream")?;
    resource::<T, Outgoing>(udp, "outgoing-datagram-stream")?;
    func(
        udp,
        "[method]udp-socket.start-bind",
        |host, (socket, _, address): (Udp, Resource<Network>, IpSocketAddress)| {
            outcome(
                host.table
                    .get_mut(&socket)?
                    .socket
                    .start_bind(address.into()),
            )
        },
    )?;
    func(
        udp,
        "[method]udp-socket.finish-bind",
        |host, (socket,): (Udp,)| outcome(host.table.get_mut(&socket)?.socket.finish_bind()),
    )?;
    func(
        udp,
        "[method]udp-socket.stream",
        |host, (socket, remote): (Udp, Option<IpSocketAddress>)| {
            let remote = remote.map(SocketAddr::from);
            make_streams(host, &socket, remote)
        },
    )?;
    func(
        udp,
        "[method]udp-socket.subscribe",
        |host, (socket,): (Udp,)| {
            host.table.get(&socket)?;
            // Nothing about a socket itself takes time.
            let pollable = Pollable::fixed(Readiness::Now);
            Ok(host.table.push_child(pollable, &socket)?)
        },
    )?;
    let mut face = Face {
        interface: &mut *udp,
        get: "",
    };
    face.facts::<Socket, ErrorCode>()?;
    face.udp_options::<Socket, ErrorCode>()?;
    datagrams(udp)
}

fn make_streams(
    host: WasiCtxView<'_>,
    socket: &Udp,
    remote: Option<SocketAddr>,
) -> Outcome<(Resource<Incoming>, Resource<Outgoing>)> {
    let (incoming, outgoing) = match host.table.get_mut(socket)?.streams(remote) {
        Ok(streams) => streams,
        Err(e) => return Ok(Err(ErrorCode::from(e))),
    };
    Ok(Ok((
        host.table.push_child(incoming, socket)?,
        host.table.push_child(outgoing, socket)?,
    )))
}

fn datagrams<T: WasiView>(udp: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        udp,
        "[method]incoming-datagram-stream.receive",
        |host, (stream, max): (Resource<Incoming>, u64)| {
            outcome(host.table.get(&stream)?.receive(max))
        },
    )?;
    func(
        udp,
        "[method]incoming-datagram-stream.subscribe",
        |host, (stream,): (Resource<Incoming>,)| {
            let fd = host.table.get(&stream)?.0.socket.descriptor().clone();
            let pollable = Pollable::fixed(Readiness::Readable(fd));
            Ok(host.table.push_child(pollable, &stream)?)
        },
    )?;
    func(
        udp,
        "[method]outgoing-datagram-stream.check-send",
        |host, (stream,): (Resource<Outgoing>,)| outcome(host.table.get_mut(&stream)?.check_send()),
    )?;
    func(
        udp,
        "[method]outgoing-datagram-stream.send",
        |host, (stream, datagrams): (Resource<Outgoing>, Vec<OutgoingDatagram>)| {
            let outgoing = host.table.get_mut(&stream)?;
            ensure!(
                datagrams.len() as u64 <= outgoing.permit,
                "`send` of {} datagrams where `check-send` allowed {}",
                datagrams.len(),
                outgoing.permit
            );
            outcome(outgoing.send(datagrams))
        },
    )?;
    func(
        udp,
        "[method]outgoing-datagram-stream.subscribe",
        |host, (stream,): (Resource<Outgoing>,)| {
            let fd = host.table.get(&stream)?.end.socket.descriptor().clone();
            let pollable = Pollable::fixed(Readiness::Writable(fd));
            Ok(host.table.push_child(pollable, &stream)?)
        },
    )
}
