//! The system's error numbers as the names that WASI's filesystem has for them.

use helve::component::{ComponentType, Lift, Lower};
use rustix::io::Errno;

/// Why a filesystem operation failed (`wasi:filesystem/types.error-code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[allow(missing_docs, reason = "the names are WASI's own")]
pub enum ErrorCode {
    Access,
    WouldBlock,
    Already,
    BadDescriptor,
    Busy,
    Deadlock,
    Quota,
    Exist,
    FileTooLarge,
    IllegalByteSequence,
    InProgress,
    Interrupted,
    Invalid,
    Io,
    IsDirectory,
    Loop,
    TooManyLinks,
    MessageSize,
    NameTooLong,
    NoDevice,
    NoEntry,
    NoLock,
    InsufficientMemory,
    InsufficientSpace,
    NotDirectory,
    NotEmpty,
    NotRecoverable,
    Unsupported,
    NoTty,
    NoSuchDevice,
    Overflow,
    NotPermitted,
    Pipe,
    ReadOnly,
    InvalidSeek,
    TextFileBusy,
    CrossDevice,
}

const NUMBERS: &[(Errno, ErrorCode)] = &[
    (Errno::ACCESS, ErrorCode::Access),
    (Errno::AGAIN, ErrorCode::WouldBlock),
    (Errno::ALREADY, ErrorCode::Already),
    (Errno::BADF, ErrorCode::BadDescriptor),
    (Errno::BUSY, ErrorCode::Busy),
    (Errno::DEADLK, ErrorCode::Deadlock),
    (Errno::DQUOT, ErrorCode::Quota),
    (Errno::EXIST, ErrorCode::Exist),
    (Errno::FBIG, ErrorCode::FileTooLarge),
    (Errno::ILSEQ, ErrorCode::IllegalByteSequence),
    (Errno::INPROGRESS, ErrorCode::InProgress),
    (Errno::INTR, ErrorCode::Interrupted),
    (Errno::INVAL, ErrorCode::Invalid),
    (Errno::IO, ErrorCode::Io),
    (Errno::ISDIR, ErrorCode::IsDirectory),
    (Errno::LOOP, ErrorCode::Loop),
    (Errno::MLINK, ErrorCode::TooManyLinks),
    (Errno::MSGSIZE, ErrorCode::MessageSize),
    (Errno::NAMETOOLONG, ErrorCode::NameTooLong),
    (Errno::NODEV, ErrorCode::NoDevice),
    (Errno::NOENT, ErrorCode::NoEntry),
    (Errno::NOLCK, ErrorCode::NoLock),
    (Errno::NOMEM, ErrorCode::InsufficientMemory),
    (Errno::NOSPC, ErrorCode::InsufficientSpace),
    (Errno::NOTDIR, ErrorCode::NotDirectory),
    (Errno::NOTEMPTY, ErrorCode::NotEmpty),
    (Errno::NOTRECOVERABLE, ErrorCode::NotRecoverable),
    (Errno::NOTSUP, ErrorCode::Unsupported),
    (Errno::NOSYS, ErrorCode::Unsupported),
    (Errno::NOTTY, ErrorCode::NoTty),
    (Errno::NXIO, ErrorCode::NoSuchDevice),
    (Errno::OVERFLOW, ErrorCode::Overflow),
    (Errno::PERM, ErrorCode::NotPermitted),
    (Errno::PIPE, ErrorCode::Pipe),
    (Errno::ROFS, ErrorCode::ReadOnly),
    (Errno::SPIPE, ErrorCode::InvalidSeek),
    (Errno::TXTBSY, ErrorCode::TextFileBusy),
    (Errno::XDEV, ErrorCode::CrossDevice),
];

impl From<Errno> for ErrorCode {
    fn from(errno: Errno) -> ErrorCode {
        NUMBERS
            .iter()
            .find(|(n, _)| *n == errno)
            .map_or(ErrorCode::Io, |(_, code)| *code)
    }
}

impl From<&std::io::Error> for ErrorCode {
    fn from(error: &std::io::Error) -> ErrorCode {
        use std::io::ErrorKind;
        if let Some(number) = error.raw_os_error() {
            return Errno::from_raw_os_error(number).into();
        }
        match error.kind() {
            ErrorKind::NotFound => ErrorCode::NoEntry,
            // The sandbox's own refusal of a path that leads outside.
            ErrorKind::PermissionDenied => ErrorCode::NotPermitted,
            ErrorKind::AlreadyExists => ErrorCode::Exist,
            ErrorKind::InvalidInput => ErrorCode::Invalid,
            ErrorKind::Unsupported => ErrorCode::Unsupported,
            ErrorKind::Interrupted => ErrorCode::Interrupted,
            _ => ErrorCode::Io,
        }
    }
}

impl From<std::io::Error> for ErrorCode {
    fn from(error: std::io::Error) -> ErrorCode {
        (&error).into()
    }
}
