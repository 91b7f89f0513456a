//! `wasi:sockets/udp`: the methods of `udp-socket` and of its datagram streams.

use super::Network;
use crate::WasiCtxView;
use crate::both::options;
use crate::host::net::{
    Fault, IpAddressFamily, IpSocketAddress, MAX_DATAGRAM, NetError, NetResult, Options, UdpSocket,
};
use crate::host::poll::Readiness;
use crate::p2::bindings::wasi::sockets::udp::{self, IncomingDatagram, OutgoingDatagram};
use crate::p2::io::Pollable;
use helve::component::Resource;
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

    fn options(&self) -> NetResult<Options<'_>> {
        self.socket.options()
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

    fn check_permit(&self, count: usize) -> Result<()> {
        ensure!(
            count as u64 <= self.permit,
            "`send` of {count} datagrams where `check-send` allowed {}",
            self.permit
        );
        Ok(())
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

impl udp::Host for WasiCtxView<'_> {}

impl udp::HostUdpSocket for WasiCtxView<'_> {
    fn start_bind(
        &mut self,
        socket: Udp,
        _: Resource<Network>,
        address: IpSocketAddress,
    ) -> Result<(), Fault> {
        let socket = &mut self.table.get_mut(&socket)?.socket;
        Ok(socket.start_bind(address.into())?)
    }

    fn finish_bind(&mut self, socket: Udp) -> Result<(), Fault> {
        Ok(self.table.get_mut(&socket)?.socket.finish_bind()?)
    }

    fn stream(
        &mut self,
        socket: Udp,
        remote: Option<IpSocketAddress>,
    ) -> Result<(Resource<Incoming>, Resource<Outgoing>), Fault> {
        let remote = remote.map(SocketAddr::from);
        let (incoming, outgoing) = self.table.get_mut(&socket)?.streams(remote)?;
        Ok((
            self.table.push_child(incoming, &socket)?,
            self.table.push_child(outgoing, &socket)?,
        ))
    }

    fn local_address(&mut self, socket: Udp) -> Result<IpSocketAddress, Fault> {
        Ok(self.table.get(&socket)?.socket.local_address()?.into())
    }

    fn remote_address(&mut self, socket: Udp) -> Result<IpSocketAddress, Fault> {
        Ok(self.table.get(&socket)?.socket.remote_address()?.into())
    }

    fn address_family(&mut self, socket: Udp) -> Result<IpAddressFamily> {
        Ok(self.table.get(&socket)?.socket.family())
    }

    options! { Socket:
        unicast_hop_limit, set_unicast_hop_limit: u8 = hop_limit, set_hop_limit;
        receive_buffer_size, set_receive_buffer_size: u64 = receive_buffer, set_receive_buffer;
        send_buffer_size, set_send_buffer_size: u64 = send_buffer, set_send_buffer;
    }

    fn subscribe(&mut self, socket: Udp) -> Result<Resource<Pollable>> {
        // Nothing about a socket itself takes time.
        let pollable = Pollable::fixed(Readiness::Now);
        Ok(self.table.push_child(pollable, &socket)?)
    }

    fn drop(&mut self, socket: Udp) -> Result<()> {
        self.discard(socket)
    }
}

impl udp::HostIncomingDatagramStream for WasiCtxView<'_> {
    fn receive(
        &mut self,
        stream: Resource<Incoming>,
        max: u64,
    ) -> Result<Vec<IncomingDatagram>, Fault> {
        Ok(self.table.get(&stream)?.receive(max)?)
    }

    fn subscribe(&mut self, stream: Resource<Incoming>) -> Result<Resource<Pollable>> {
        let fd = self.table.get(&stream)?.0.socket.descriptor().clone();
        let pollable = Pollable::fixed(Readiness::Readable(fd));
        Ok(self.table.push_child(pollable, &stream)?)
    }

    fn drop(&mut self, stream: Resource<Incoming>) -> Result<()> {
        self.discard(stream)
    }
}

impl udp::HostOutgoingDatagramStream for WasiCtxView<'_> {
    fn check_send(&mut self, stream: Resource<Outgoing>) -> Result<u64, Fault> {
        Ok(self.table.get_mut(&stream)?.check_send()?)
    }

    fn send(
        &mut self,
        stream: Resource<Outgoing>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> Result<u64, Fault> {
        let outgoing = self.table.get_mut(&stream)?;
        outgoing.check_permit(datagrams.len())?;
        Ok(outgoing.send(datagrams)?)
    }

    fn subscribe(&mut self, stream: Resource<Outgoing>) -> Result<Resource<Pollable>> {
        let fd = self.table.get(&stream)?.end.socket.descriptor().clone();
        let pollable = Pollable::fixed(Readiness::Writable(fd));
        Ok(self.table.push_child(pollable, &stream)?)
    }

    fn drop(&mut self, stream: Resource<Outgoing>) -> Result<()> {
        self.discard(stream)
    }
}
