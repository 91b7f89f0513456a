//! Why a socket's operation failed: one set of names for both versions of WASI.

use rustix::io::Errno;
use std::io;

/// Why a socket's operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are WASI's own")]
pub enum NetError {
    Unknown,
    AccessDenied,
    NotSupported,
    InvalidArgument,
    OutOfMemory,
    Timeout,
    ConcurrencyConflict,
    NotInProgress,
    WouldBlock,
    InvalidState,
    NewSocketLimit,
    AddressNotBindable,
    AddressInUse,
    RemoteUnreachable,
    ConnectionRefused,
    ConnectionBroken,
    ConnectionReset,
    ConnectionAborted,
    DatagramTooLarge,
    NameUnresolvable,
    TemporaryResolverFailure,
    PermanentResolverFailure,
}

/// What a socket's operation returns.
pub type NetResult<T> = Result<T, NetError>;
/// What a face's function on sockets fails with.
pub type Fault = crate::Fault<NetError>;

const NUMBERS: &[(Errno, NetError)] = &[
    (Errno::ACCESS, NetError::AccessDenied),
    (Errno::PERM, NetError::AccessDenied),
    (Errno::OPNOTSUPP, NetError::NotSupported),
    (Errno::NOPROTOOPT, NetError::NotSupported),
    (Errno::PFNOSUPPORT, NetError::NotSupported),
    (Errno::PROTONOSUPPORT, NetError::NotSupported),
    (Errno::SOCKTNOSUPPORT, NetError::NotSupported),
    (Errno::AFNOSUPPORT, NetError::InvalidArgument),
    (Errno::INVAL, NetError::InvalidArgument),
    (Errno::DESTADDRREQ, NetError::InvalidArgument),
    (Errno::NOMEM, NetError::OutOfMemory),
    (Errno::NOBUFS, NetError::OutOfMemory),
    (Errno::TIMEDOUT, NetError::Timeout),
    (Errno::ALREADY, NetError::ConcurrencyConflict),
    (Errno::AGAIN, NetError::WouldBlock),
    (Errno::INPROGRESS, NetError::WouldBlock),
    (Errno::NOTCONN, NetError::InvalidState),
    (Errno::ISCONN, NetError::InvalidState),
    (Errno::MFILE, NetError::NewSocketLimit),
    (Errno::NFILE, NetError::NewSocketLimit),
    (Errno::ADDRNOTAVAIL, NetError::AddressNotBindable),
    (Errno::ADDRINUSE, NetError::AddressInUse),
    (Errno::HOSTUNREACH, NetError::RemoteUnreachable),
    (Errno::HOSTDOWN, NetError::RemoteUnreachable),
    (Errno::NETDOWN, NetError::RemoteUnreachable),
    (Errno::NETUNREACH, NetError::RemoteUnreachable),
    (Errno::NONET, NetError::RemoteUnreachable),
    (Errno::CONNREFUSED, NetError::ConnectionRefused),
    (Errno::PIPE, NetError::ConnectionBroken),
    (Errno::CONNRESET, NetError::ConnectionReset),
    (Errno::CONNABORTED, NetError::ConnectionAborted),
    (Errno::MSGSIZE, NetError::DatagramTooLarge),
];

impl From<&io::Error> for NetError {
    fn from(error: &io::Error) -> NetError {
        let Some(number) = error.raw_os_error() else {
            return match error.kind() {
                io::ErrorKind::WouldBlock => NetError::WouldBlock,
                io::ErrorKind::TimedOut => NetError::Timeout,
                _ => NetError::Unknown,
            };
        };
        let errno = Errno::from_raw_os_error(number);
        let known = NUMBERS.iter().find(|(n, _)| *n == errno);
        known.map_or(NetError::Unknown, |(_, error)| *error)
    }
}

impl From<io::Error> for NetError {
    fn from(error: io::Error) -> NetError {
        (&error).into()
    }
}

impl From<Errno> for NetError {
    fn from(errno: Errno) -> NetError {
        io::Error::from(errno).into()
    }
}
