//! Sockets: TCP, UDP and name lookup, non-blocking, each step checked against the grants.
//!
//! ```text
//!   grant.rs    which addresses and names          tcp.rs   state machine of a TCP socket
//!   address.rs  addresses as WASI writes them      udp.rs   the same of a UDP socket
//!   error.rs    why something failed               dns.rs   names to addresses
//! ```
//!
//! A socket counts against the guest's limit until the last thing that holds it is gone:
//! handle, stream or accepted connection. Not here: HTTP, which has a crate of its own.

mod address;
mod dns;
mod error;
mod grant;
mod options;
mod tcp;
mod udp;

pub use address::{
    IpAddress, IpAddressFamily, IpSocketAddress, Ipv4Address, Ipv4SocketAddress, Ipv6Address,
    Ipv6SocketAddress,
};
pub use dns::Lookup;
pub use error::{Fault, NetError, NetResult};
pub use grant::{NetGrants, NetRule, NetUse};
pub use options::Options;
pub use tcp::{Connection, TcpInput, TcpOutput, TcpSocket, TcpState};
pub use udp::{MAX_DATAGRAM, UdpSocket};

use super::poll::Descriptor;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one guest has of the network: its grants and how many sockets it may hold.
#[derive(Clone)]
pub struct Network {
    /// What it may reach.
    pub grants: NetGrants,
    most_sockets: usize,
    open: Arc<AtomicUsize>,
}

impl Network {
    /// A network with these grants and at most so many open sockets at a time.
    pub fn new(grants: NetGrants, most_sockets: usize) -> Network {
        Network {
            grants,
            most_sockets,
            open: Arc::default(),
        }
    }

    fn slot(&self) -> NetResult<Slot> {
        let slot = Slot(Arc::new(Counted(self.open.clone())));
        if self.open.fetch_add(1, Ordering::AcqRel) >= self.most_sockets {
            return Err(NetError::NewSocketLimit);
        }
        Ok(slot)
    }
}

/// A socket's place in its guest's count, for as long as anything holds it.
#[derive(Clone)]
struct Slot(#[allow(dead_code, reason = "held for its drop")] Arc<Counted>);

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An open socket and its place in the count.
struct Socket {
    fd: Arc<Descriptor>,
    slot: Slot,
    family: IpAddressFamily,
}

impl Socket {
    fn create(network: &Network, family: IpAddressFamily, ty: socket2::Type) -> NetResult<Socket> {
        let slot = network.slot()?;
        let domain = match family {
            IpAddressFamily::Ipv4 => socket2::Domain::IPV4,
            IpAddressFamily::Ipv6 => socket2::Domain::IPV6,
        };
        let created = socket2::Socket::new(domain, ty, None).map_err(|e| {
            match rustix::io::Errno::from_io_error(&e) {
                // What POSIX calls a wrong argument is a wish that cannot be met, here.
                Some(rustix::io::Errno::AFNOSUPPORT) => NetError::NotSupported,
                _ => e.into(),
            }
        })?;
        created.set_nonblocking(true)?;
        if family == IpAddressFamily::Ipv6 {
            created.set_only_v6(true)?;
        }
        Ok(Socket {
            fd: Descriptor::new(OwnedFd::from(created)),
            slot,
            family,
        })
    }

    fn local(&self) -> NetResult<std::net::SocketAddr> {
        let address = socket2::SockRef::from(&*self.fd).local_addr()?;
        address.as_socket().ok_or(NetError::Unknown)
    }

    fn options(&self) -> Options<'_> {
        Options::new(&self.fd, self.family)
    }
}
