//! `wasi:filesystem/types` 0.3: what differs from 0.2, and its way to and from what
//! `host::fs` speaks.

use super::clocks::Instant;
use crate::host::fs::{Entry, ErrorCode as HostError, FileKind, NewTime, Stat};
use helve::component::{ComponentType, Lift, Lower};

/// `error-code`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum ErrorCode {
    Access,
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
    Other(Option<String>),
}

macro_rules! same_names {
    ($($name:ident)*) => {
        impl From<HostError> for ErrorCode {
            fn from(error: HostError) -> ErrorCode {
                match error {
                    // 0.3 has no word for it: there, operations wait.
                    HostError::WouldBlock => ErrorCode::Other(Some("would block".into())),
                    $(HostError::$name => ErrorCode::$name,)*
                }
            }
        }
    };
}

same_names! {
    Access Already BadDescriptor Busy Deadlock Quota Exist FileTooLarge IllegalByteSequence
    InProgress Interrupted Invalid Io IsDirectory Loop TooManyLinks MessageSize NameTooLong
    NoDevice NoEntry NoLock InsufficientMemory InsufficientSpace NotDirectory NotEmpty
    NotRecoverable Unsupported NoTty NoSuchDevice Overflow NotPermitted Pipe ReadOnly
    InvalidSeek TextFileBusy CrossDevice
}

/// A stream's error in the filesystem's terms.
pub fn code(error: std::io::Error) -> ErrorCode {
    HostError::from(error).into()
}

/// `descriptor-type`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum DescriptorType {
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    SymbolicLink,
    RegularFile,
    Socket,
    Other(Option<String>),
}

impl From<FileKind> for DescriptorType {
    fn from(kind: FileKind) -> DescriptorType {
        match kind {
            FileKind::Unknown => DescriptorType::Other(None),
            FileKind::BlockDevice => DescriptorType::BlockDevice,
            FileKind::CharacterDevice => DescriptorType::CharacterDevice,
            FileKind::Directory => DescriptorType::Directory,
            FileKind::Fifo => DescriptorType::Fifo,
            FileKind::SymbolicLink => DescriptorType::SymbolicLink,
            FileKind::RegularFile => DescriptorType::RegularFile,
            FileKind::Socket => DescriptorType::Socket,
        }
    }
}

/// `descriptor-stat`.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub struct DescriptorStat {
    #[component(name = "type")]
    pub kind: DescriptorType,
    pub link_count: u64,
    pub size: u64,
    pub data_access_timestamp: Option<Instant>,
    pub data_modification_timestamp: Option<Instant>,
    pub status_change_timestamp: Option<Instant>,
}

impl From<Stat> for DescriptorStat {
    fn from(stat: Stat) -> DescriptorStat {
        DescriptorStat {
            kind: stat.kind.into(),
            link_count: stat.links,
            size: stat.size,
            data_access_timestamp: stat.accessed.map(Instant::from),
            data_modification_timestamp: stat.modified.map(Instant::from),
            status_change_timestamp: stat.changed.map(Instant::from),
        }
    }
}

/// `new-timestamp`.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum NewTimestamp {
    NoChange,
    Now,
    Timestamp(Instant),
}

impl From<NewTimestamp> for NewTime {
    fn from(time: NewTimestamp) -> NewTime {
        match time {
            NewTimestamp::NoChange => NewTime::Keep,
            NewTimestamp::Now => NewTime::Now,
            NewTimestamp::Timestamp(at) => NewTime::At(at.seconds.into(), at.nanoseconds),
        }
    }
}

/// `directory-entry`.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub struct DirectoryEntry {
    #[component(name = "type")]
    pub kind: DescriptorType,
    pub name: String,
}

impl From<Entry> for DirectoryEntry {
    fn from(entry: Entry) -> DirectoryEntry {
        DirectoryEntry {
            kind: entry.kind.into(),
            name: entry.name,
        }
    }
}
