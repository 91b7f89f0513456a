//! TCP sockets: what may be done in which state, and the bytes of a connection.
//!
//! ```text
//!                  +--------------------------------------+
//!                  |                                      v
//!   Unbound --> [Binding] --> Bound --> [Starting] --> Listening
//!      |                        |
//!      +--------> Connecting <--+
//!                  |       |
//!                  v       v
//!              Connected  Closed
//! ```
//!
//! `Binding` and `Starting` are WASI 0.2's: there, each operation has a start and a
//! finish. Everything is non-blocking; whoever must wait waits for the descriptor.

use super::address::{check_remote, check_unicast};
use super::{IpAddressFamily, NetError, NetResult, NetUse, Network, Options, Slot, Socket};
use crate::host::poll::{Descriptor, Flag, Readiness};
use crate::host::stream::{InputStream, MAX_TRANSFER, OutputStream, StreamError};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a TCP socket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are WASI's own")]
pub enum TcpState {
    Unbound,
    Binding,
    Bound,
    Starting,
    Listening,
    Connecting,
    Connected,
    Closed,
}

use TcpState::{Binding, Bound, Closed, Connected, Connecting, Listening, Starting, Unbound};

/// A TCP socket.
pub struct TcpSocket {
    socket: Socket,
    state: TcpState,
    backlog: i32,
    network: Network,
    connection: Option<Arc<Connection>>,
    /// Whether the connection's bytes to read, and to write, were handed out (WASI 0.3).
    pub receiving: bool,
    /// See `receiving`.
    pub sending: bool,
}

const BACKLOG: i32 = 128;
const MOST_BACKLOG: u64 = 4096;

impl TcpSocket {
    /// A new socket.
    pub fn create(network: &Network, family: IpAddressFamily) -> NetResult<TcpSocket> {
        let socket = Socket::create(network, family, socket2::Type::STREAM)?;
        // So that a port can be bound again at once after its last user is gone.
        socket2::SockRef::from(&*socket.fd).set_reuse_address(true)?;
        Ok(TcpSocket::of(socket, Unbound, network.clone()))
    }

    fn of(socket: Socket, state: TcpState, network: Network) -> TcpSocket {
        TcpSocket {
            socket,
            state,
            backlog: BACKLOG,
            network,
            connection: None,
            receiving: false,
            sending: false,
        }
    }

    /// Where it is in its life.
    pub fn state(&self) -> TcpState {
        self.state
    }

    /// The family it was made for.
    pub fn family(&self) -> IpAddressFamily {
        self.socket.family
    }

    /// To wait for.
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.socket.fd
    }

    /// Its options; `InvalidState` where it is closed.
    pub fn options(&self) -> NetResult<Options<'_>> {
        if self.state == Closed {
            return Err(NetError::InvalidState);
        }
        Ok(self.socket.options())
    }

    /// Binds it; until [`TcpSocket::finish_bind`] it is `Binding`.
    pub fn start_bind(&mut self, address: SocketAddr) -> NetResult<()> {
        match self.state {
            Unbound => {}
            Binding | Starting | Connecting => return Err(NetError::ConcurrencyConflict),
            _ => return Err(NetError::InvalidState),
        }
        self.socket.family.check(&address)?;
        check_unicast(&address)?;
        self.bind_checked(address)?;
        self.state = Binding;
        Ok(())
    }

    fn bind_checked(&self, address: SocketAddr) -> NetResult<()> {
        let grants = &self.network.grants;
        // Any free port is no more than what connecting takes; the check of who may listen
        // comes when it does.
        let harmless = address.port() == 0 && grants.allows_any(NetUse::Tcp);
        if !harmless && !grants.check(NetUse::Listen, &address) {
            return Err(NetError::AccessDenied);
        }
        rustix::net::bind(&*self.socket.fd, &address)?;
        Ok(())
    }

    /// Ends `Binding`.
    pub fn finish_bind(&mut self) -> NetResult<()> {
        if self.state != Binding {
            return Err(NetError::NotInProgress);
        }
        self.state = Bound;
        Ok(())
    }

    /// Starts to connect; it is `Connecting` until [`TcpSocket::finish_connect`].
    pub fn start_connect(&mut self, address: SocketAddr) -> NetResult<()> {
        match self.state {
            Unbound | Bound => {}
            Binding | Starting | Connecting => return Err(NetError::ConcurrencyConflict),
            _ => return Err(NetError::InvalidState),
        }
        self.socket.family.check(&address)?;
        check_unicast(&address)?;
        check_remote(&address)?;
        if !self.network.grants.check(NetUse::Tcp, &address) {
            return Err(NetError::AccessDenied);
        }
        match rustix::net::connect(&*self.socket.fd, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {
                self.state = Connecting;
                Ok(())
            }
            Err(e) => {
                self.state = Closed;
                Err(connect_error(e))
            }
        }
    }

    /// Ends `Connecting`; `WouldBlock` where it goes on.
    pub fn finish_connect(&mut self) -> NetResult<Arc<Connection>> {
        if self.state != Connecting {
            return Err(NetError::NotInProgress);
        }
        if !self.socket.fd.is_writable() {
            return Err(NetError::WouldBlock);
        }
        if let Some(e) = socket2::SockRef::from(&*self.socket.fd).take_error()? {
            self.state = Closed;
            return Err(match Errno::from_io_error(&e) {
                Some(errno) => connect_error(errno),
                None => e.into(),
            });
        }
        Ok(self.connected())
    }

    fn connected(&mut self) -> Arc<Connection> {
        let connection = Arc::new(Connection {
            fd: self.socket.fd.clone(),
            outgoing: Mutex::default(),
            free: Flag::new(true),
            received: Mutex::new(false),
            _slot: self.socket.slot.clone(),
        });
        self.state = Connected;
        self.connection = Some(connection.clone());
        connection
    }

    /// The connection; `InvalidState` where there is none.
    pub fn connection(&self) -> NetResult<&Arc<Connection>> {
        self.connection.as_ref().ok_or(NetError::InvalidState)
    }

    /// Starts to listen; it is `Starting` until [`TcpSocket::finish_listen`]. With
    /// `implicit_bind`, an unbound socket is bound to any port first.
    pub fn start_listen(&mut self, implicit_bind: bool) -> NetResult<()> {
        match self.state {
            Bound => {}
            Unbound if implicit_bind => {
                self.bind_checked(self.socket.family.unspecified())?;
                self.state = Bound;
            }
            Binding | Starting | Connecting => return Err(NetError::ConcurrencyConflict),
            _ => return Err(NetError::InvalidState),
        }
        let local = self.socket.local()?;
        if !self.network.grants.check(NetUse::Listen, &local) {
            return Err(NetError::AccessDenied);
        }
        rustix::net::listen(&*self.socket.fd, self.backlog)?;
        self.state = Starting;
        Ok(())
    }

    /// Ends `Starting`.
    pub fn finish_listen(&mut self) -> NetResult<()> {
        if self.state != Starting {
            return Err(NetError::NotInProgress);
        }
        self.state = Listening;
        Ok(())
    }

    /// The next connection; `WouldBlock` where there is none yet.
    pub fn accept(&self) -> NetResult<TcpSocket> {
        if self.state != Listening {
            return Err(NetError::InvalidState);
        }
        let slot = self.network.slot()?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let accepted = rustix::net::accept_with(&*self.socket.fd, flags)?;
        let socket = Socket {
            fd: Descriptor::new(accepted),
            slot,
            family: self.socket.family,
        };
        let mut socket = TcpSocket::of(socket, Connecting, self.network.clone());
        socket.connected();
        Ok(socket)
    }

    /// What listens, apart from the handle: accepts for a stream that outlives it.
    pub fn listener(&self) -> NetResult<TcpSocket> {
        let socket = Socket {
            fd: self.socket.fd.clone(),
            slot: self.socket.slot.clone(),
            family: self.socket.family,
        };
        Ok(TcpSocket::of(socket, self.state, self.network.clone()))
    }

    /// The local address; `InvalidState` where it has none yet.
    pub fn local_address(&self) -> NetResult<SocketAddr> {
        match self.state {
            Unbound | Closed | Binding => Err(NetError::InvalidState),
            _ => self.socket.local(),
        }
    }

    /// The other side's address.
    pub fn remote_address(&self) -> NetResult<SocketAddr> {
        if self.state != Connected {
            return Err(NetError::InvalidState);
        }
        let address = socket2::SockRef::from(&*self.socket.fd).peer_addr()?;
        address.as_socket().ok_or(NetError::Unknown)
    }

    /// Sets how many connections may wait to be accepted.
    pub fn set_backlog(&mut self, value: u64) -> NetResult<()> {
        if value == 0 {
            return Err(NetError::InvalidArgument);
        }
        if matches!(self.state, Connecting | Connected | Closed) {
            return Err(NetError::InvalidState);
        }
        self.backlog = i32::try_from(value.min(MOST_BACKLOG)).unwrap_or(BACKLOG);
        if self.state == Listening {
            // Linux takes a second `listen` as a change of its length.
            rustix::net::listen(&*self.socket.fd, self.backlog)?;
        }
        Ok(())
    }
}

fn connect_error(errno: Errno) -> NetError {
    match errno {
        // No port was left for the socket's own end.
        Errno::ADDRNOTAVAIL => NetError::AddressInUse,
        Errno::AFNOSUPPORT => NetError::InvalidArgument,
        errno => errno.into(),
    }
}

/// The bytes of a connection, shared by its socket's handle and streams.
pub struct Connection {
    fd: Arc<Descriptor>,
    outgoing: Mutex<Outgoing>,
    /// Up while nothing of what the guest wrote waits in `outgoing`.
    free: Flag,
    /// Whether receiving was shut down.
    received: Mutex<bool>,
    _slot: Slot,
}

/// What the guest wrote and the system did not take yet; a task of ours hands it on.
#[derive(Default)]
struct Outgoing {
    bytes: VecDeque<u8>,
    shut: bool,
    error: Option<Errno>,
}

impl Connection {
    /// To wait for.
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.fd
    }

    /// Reads without blocking; 0 at the end.
    ///
    /// # Errors
    ///
    /// The system's; `EAGAIN` where there is nothing yet.
    pub fn receive(&self, into: &mut [u8]) -> Result<usize, Errno> {
        if *self.received.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(0);
        }
        let (count, _) = rustix::net::recv(&*self.fd, into, RecvFlags::DONTWAIT)?;
        Ok(count)
    }

    /// Writes without blocking; how much of it.
    ///
    /// # Errors
    ///
    /// The system's; `EAGAIN` where there is no room.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::send(&*self.fd, bytes, flags)
    }

    /// Ends receiving: what is still unread is gone.
    pub fn shutdown_receive(&self) -> NetResult<()> {
        *self.received.lock().unwrap_or_else(PoisonError::into_inner) = true;
        ignore_unconnected(rustix::net::shutdown(&*self.fd, Shutdown::Read))
    }

    /// Ends sending, after what was written.
    pub fn shutdown_send(&self) -> NetResult<()> {
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        outgoing.shut = true;
        if !outgoing.bytes.is_empty() {
            return Ok(());
        }
        ignore_unconnected(rustix::net::shutdown(&*self.fd, Shutdown::Write))
    }

    /// Takes all of `bytes`; what the system does not take at once is handed on later.
    fn take(self: &Arc<Self>, bytes: &[u8]) -> Result<(), StreamError> {
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        outgoing.check()?;
        let sent = match self.send(bytes) {
            Ok(sent) => sent,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(e) => return Err(io::Error::from(e).into()),
        };
        let rest = bytes.get(sent..).unwrap_or_default();
        if !rest.is_empty() {
            outgoing.bytes.extend(rest);
            self.free.set(false);
            crate::host::executor::spawn(self.clone().hand_on())
                .map_err(|e| StreamError::Failed(io::Error::other(e.to_string())))?;
        }
        Ok(())
    }

    async fn hand_on(self: Arc<Self>) {
        loop {
            self.fd.writable().await;
            let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
            match self.send(outgoing.bytes.as_slices().0) {
                Ok(sent) => drop(outgoing.bytes.drain(..sent)),
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(e) => {
                    outgoing.error = Some(e);
                    outgoing.bytes.clear();
                }
            }
            if outgoing.bytes.is_empty() {
                if outgoing.shut {
                    let _ = rustix::net::shutdown(&*self.fd, Shutdown::Write);
                }
                drop(outgoing);
                return self.free.set(true);
            }
        }
    }
}

impl Outgoing {
    /// Whether more can be written.
    fn check(&mut self) -> Result<(), StreamError> {
        match self.error.take() {
            Some(e) => Err(io::Error::from(e).into()),
            None if self.shut => Err(StreamError::Closed),
            None => Ok(()),
        }
    }
}

/// The other side may have ended the connection before: then there is nothing to shut down.
fn ignore_unconnected(result: Result<(), Errno>) -> NetResult<()> {
    match result {
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// A connection's bytes, to read.
pub struct TcpInput(pub Arc<Connection>);

impl InputStream for TcpInput {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, StreamError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut buffer = vec![0; max.min(MAX_TRANSFER)];
        match self.0.receive(&mut buffer) {
            Ok(0) => Err(StreamError::Closed),
            Ok(count) => {
                buffer.truncate(count);
                Ok(buffer)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Vec::new()),
            Err(e) => Err(io::Error::from(e).into()),
        }
    }

    fn readiness(&self) -> Readiness {
        Readiness::Readable(self.0.fd.clone())
    }
}

/// A connection's bytes, to write.
pub struct TcpOutput(pub Arc<Connection>);

impl OutputStream for TcpOutput {
    fn check_write(&mut self) -> Result<usize, StreamError> {
        let mut outgoing = self
            .0
            .outgoing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        outgoing.check()?;
        let ready = outgoing.bytes.is_empty() && self.0.fd.is_writable();
        Ok(if ready { MAX_TRANSFER } else { 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.0.take(bytes)
    }

    fn flush(&mut self) -> Result<bool, StreamError> {
        let mut outgoing = self
            .0
            .outgoing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        outgoing.check()?;
        Ok(outgoing.bytes.is_empty())
    }

    fn readiness(&self) -> Readiness {
        if self.0.free.is_up() {
            Readiness::Writable(self.0.fd.clone())
        } else {
            Readiness::Flag(self.0.free.clone())
        }
    }
}
