//! UDP sockets.
//!
//! A datagram reaches the guest only from whom it may reach, or at an address where it may
//! listen: an implicit bind opens no door.

use super::address::check_remote;
use super::{IpAddressFamily, NetError, NetResult, NetUse, Network, Options, Socket};
use crate::host::poll::Descriptor;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::net::SocketAddr;
use std::sync::Arc;

/// No datagram is larger.
pub const MAX_DATAGRAM: usize = 65_535;

/// A UDP socket.
pub struct UdpSocket {
    socket: Socket,
    state: State,
    network: Network,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unbound,
    /// WASI 0.2's, between start and finish.
    Binding,
    Bound,
    Connected(SocketAddr),
}

impl UdpSocket {
    /// A new socket.
    pub fn create(network: &Network, family: IpAddressFamily) -> NetResult<UdpSocket> {
        Ok(UdpSocket {
            socket: Socket::create(network, family, socket2::Type::DGRAM)?,
            state: State::Unbound,
            network: network.clone(),
        })
    }

    /// The family it was made for.
    pub fn family(&self) -> IpAddressFamily {
        self.socket.family
    }

    /// To wait for.
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.socket.fd
    }

    /// Its options.
    pub fn options(&self) -> NetResult<Options<'_>> {
        Ok(self.socket.options())
    }

    /// The same socket, for a stream of it.
    pub fn share(&self) -> UdpSocket {
        UdpSocket {
            socket: Socket {
                fd: self.socket.fd.clone(),
                slot: self.socket.slot.clone(),
                family: self.socket.family,
            },
            state: self.state,
            network: self.network.clone(),
        }
    }

    /// Binds it; until [`UdpSocket::finish_bind`] nothing else can be done with it.
    pub fn start_bind(&mut self, address: SocketAddr) -> NetResult<()> {
        match self.state {
            State::Unbound => {}
            State::Binding => return Err(NetError::ConcurrencyConflict),
            State::Bound | State::Connected(_) => return Err(NetError::InvalidState),
        }
        self.socket.family.check(&address)?;
        self.bind_checked(address)?;
        self.state = State::Binding;
        Ok(())
    }

    fn bind_checked(&self, address: SocketAddr) -> NetResult<()> {
        let grants = &self.network.grants;
        // Any free port is harmless: `receive` looks at each sender.
        let harmless = address.port() == 0 && grants.allows_any(NetUse::Udp);
        if !harmless && !grants.check(NetUse::Listen, &address) {
            return Err(NetError::AccessDenied);
        }
        rustix::net::bind(&*self.socket.fd, &address)?;
        Ok(())
    }

    /// Ends a bind.
    pub fn finish_bind(&mut self) -> NetResult<()> {
        if self.state != State::Binding {
            return Err(NetError::NotInProgress);
        }
        self.state = State::Bound;
        Ok(())
    }

    /// Whether it has an address.
    pub fn is_bound(&self) -> bool {
        matches!(self.state, State::Bound | State::Connected(_))
    }

    fn check_peer(&self, address: &SocketAddr) -> NetResult<()> {
        self.socket.family.check(address)?;
        check_remote(address)?;
        if !self.network.grants.check(NetUse::Udp, address) {
            return Err(NetError::AccessDenied);
        }
        Ok(())
    }

    /// Sets the only peer; binds to any port where it is not bound.
    pub fn connect(&mut self, address: SocketAddr) -> NetResult<()> {
        if self.state == State::Binding {
            return Err(NetError::ConcurrencyConflict);
        }
        self.check_peer(&address)?;
        if matches!(self.state, State::Connected(_)) {
            self.disconnect()?;
        }
        rustix::net::connect(&*self.socket.fd, &address).map_err(|e| match e {
            Errno::ADDRNOTAVAIL => NetError::AddressInUse,
            e => e.into(),
        })?;
        self.state = State::Connected(address);
        Ok(())
    }

    /// Lets it have all peers again.
    pub fn disconnect(&mut self) -> NetResult<()> {
        if !matches!(self.state, State::Connected(_)) {
            return Err(NetError::InvalidState);
        }
        rustix::net::connect_unspec(&*self.socket.fd)?;
        self.state = State::Bound;
        Ok(())
    }

    /// Sends one datagram without blocking, to `to` or else to the only peer.
    pub fn send(&mut self, data: &[u8], to: Option<SocketAddr>) -> NetResult<()> {
        if data.len() > MAX_DATAGRAM {
            return Err(NetError::DatagramTooLarge);
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = match (self.state, to) {
            (State::Binding, _) => return Err(NetError::InvalidState),
            (State::Connected(peer), Some(to)) if peer != to => {
                return Err(NetError::InvalidArgument);
            }
            (State::Connected(_), _) => rustix::net::send(&*self.socket.fd, data, flags),
            (_, None) => return Err(NetError::InvalidArgument),
            (state, Some(to)) => {
                self.check_peer(&to)?;
                if state == State::Unbound {
                    self.bind_checked(self.socket.family.unspecified())?;
                    self.state = State::Bound;
                }
                rustix::net::sendto(&*self.socket.fd, data, flags, &to)
            }
        };
        match sent {
            Ok(_) => Ok(()),
            // What the last datagram met: it is reported once, and not about this one.
            Err(Errno::CONNREFUSED) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// The next datagram and who sent it; `WouldBlock` where there is none.
    pub fn receive(&self) -> NetResult<(Vec<u8>, SocketAddr)> {
        if !self.is_bound() {
            return Err(NetError::InvalidState);
        }
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let received =
                rustix::net::recvfrom(&*self.socket.fd, &mut buffer[..], RecvFlags::DONTWAIT);
            let (count, from) = match received {
                Ok((count, _, from)) => (count, from),
                Err(Errno::CONNREFUSED | Errno::INTR) => continue,
                Err(e) => return Err(e.into()),
            };
            let from = from
                .and_then(|from| SocketAddr::try_from(from).ok())
                .ok_or(NetError::Unknown)?;
            if self.may_hear(&from)? {
                buffer.truncate(count);
                return Ok((buffer, from));
            }
        }
    }

    fn may_hear(&self, from: &SocketAddr) -> NetResult<bool> {
        let grants = &self.network.grants;
        Ok(
            grants.allows(NetUse::Udp, from)
                || grants.allows(NetUse::Listen, &self.socket.local()?),
        )
    }

    /// The local address; `InvalidState` where it has none yet.
    pub fn local_address(&self) -> NetResult<SocketAddr> {
        if !self.is_bound() {
            return Err(NetError::InvalidState);
        }
        self.socket.local()
    }

    /// The only peer.
    pub fn remote_address(&self) -> NetResult<SocketAddr> {
        match self.state {
            State::Connected(address) => Ok(address),
            _ => Err(NetError::InvalidState),
        }
    }
}
