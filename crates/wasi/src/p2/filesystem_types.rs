//! `wasi:filesystem/types`: its records, variants and flags, and their way to and from
//! what `host::fs` speaks.

use super::clocks::Datetime;
use crate::host::fs::{Advice as HostAdvice, Entry, FileKind, NewTime, OpenFor, OpenHow, Stat};
use helve::component::{ComponentType, Lift, Lower, flags};

/// `descriptor-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
pub enum DescriptorType {
    Unknown,
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    SymbolicLink,
    RegularFile,
    Socket,
}

impl From<FileKind> for DescriptorType {
    fn from(kind: FileKind) -> DescriptorType {
        match kind {
            FileKind::Unknown => DescriptorType::Unknown,
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

flags! {
    /// `descriptor-flags`.
    pub DescriptorFlags {
        #[component(name = "read")]
        const READ;
        #[component(name = "write")]
        const WRITE;
        #[component(name = "file-integrity-sync")]
        const FILE_INTEGRITY_SYNC;
        #[component(name = "data-integrity-sync")]
        const DATA_INTEGRITY_SYNC;
        #[component(name = "requested-write-sync")]
        const REQUESTED_WRITE_SYNC;
        #[component(name = "mutate-directory")]
        const MUTATE_DIRECTORY;
    }
}

impl From<DescriptorFlags> for OpenFor {
    fn from(flags: DescriptorFlags) -> OpenFor {
        OpenFor {
            read: flags.contains(DescriptorFlags::READ),
            write: flags.contains(DescriptorFlags::WRITE),
            mutate_directory: flags.contains(DescriptorFlags::MUTATE_DIRECTORY),
            file_sync: flags.contains(DescriptorFlags::FILE_INTEGRITY_SYNC),
            data_sync: flags.contains(DescriptorFlags::DATA_INTEGRITY_SYNC),
            requested_write_sync: flags.contains(DescriptorFlags::REQUESTED_WRITE_SYNC),
        }
    }
}

impl From<OpenFor> for DescriptorFlags {
    fn from(open_for: OpenFor) -> DescriptorFlags {
        let pairs = [
            (open_for.read, DescriptorFlags::READ),
            (open_for.write, DescriptorFlags::WRITE),
            (open_for.mutate_directory, DescriptorFlags::MUTATE_DIRECTORY),
            (open_for.file_sync, DescriptorFlags::FILE_INTEGRITY_SYNC),
            (open_for.data_sync, DescriptorFlags::DATA_INTEGRITY_SYNC),
            (
                open_for.requested_write_sync,
                DescriptorFlags::REQUESTED_WRITE_SYNC,
            ),
        ];
        let set = pairs.into_iter().filter(|(is_set, _)| *is_set);
        set.fold(DescriptorFlags::empty(), |all, (_, flag)| all | flag)
    }
}

flags! {
    /// `path-flags`.
    pub PathFlags {
        #[component(name = "symlink-follow")]
        const SYMLINK_FOLLOW;
    }
}

impl PathFlags {
    /// Whether a symbolic link at the end of the path is followed.
    pub fn follow(self) -> bool {
        self.contains(PathFlags::SYMLINK_FOLLOW)
    }
}

flags! {
    /// `open-flags`.
    pub OpenFlags {
        #[component(name = "create")]
        const CREATE;
        #[component(name = "directory")]
        const DIRECTORY;
        #[component(name = "exclusive")]
        const EXCLUSIVE;
        #[component(name = "truncate")]
        const TRUNCATE;
    }
}

/// How `open-at`'s two sets of flags say to open.
pub fn open_how(path: PathFlags, open: OpenFlags) -> OpenHow {
    OpenHow {
        follow: path.follow(),
        create: open.contains(OpenFlags::CREATE),
        directory: open.contains(OpenFlags::DIRECTORY),
        exclusive: open.contains(OpenFlags::EXCLUSIVE),
        truncate: open.contains(OpenFlags::TRUNCATE),
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
    pub data_access_timestamp: Option<Datetime>,
    pub data_modification_timestamp: Option<Datetime>,
    pub status_change_timestamp: Option<Datetime>,
}

impl From<Stat> for DescriptorStat {
    fn from(stat: Stat) -> DescriptorStat {
        DescriptorStat {
            kind: stat.kind.into(),
            link_count: stat.links,
            size: stat.size,
            data_access_timestamp: stat.accessed.map(Datetime::from),
            data_modification_timestamp: stat.modified.map(Datetime::from),
            status_change_timestamp: stat.changed.map(Datetime::from),
        }
    }
}

/// `new-timestamp`.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum NewTimestamp {
    NoChange,
    Now,
    Timestamp(Datetime),
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

/// `advice`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
pub enum Advice {
    Normal,
    Sequential,
    Random,
    WillNeed,
    DontNeed,
    NoReuse,
}

impl From<Advice> for HostAdvice {
    fn from(advice: Advice) -> HostAdvice {
        match advice {
            Advice::Normal => HostAdvice::Normal,
            Advice::Sequential => HostAdvice::Sequential,
            Advice::Random => HostAdvice::Random,
            Advice::WillNeed => HostAdvice::WillNeed,
            Advice::DontNeed => HostAdvice::DontNeed,
            Advice::NoReuse => HostAdvice::NoReuse,
        }
    }
}

/// `metadata-hash-value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct MetadataHashValue {
    pub lower: u64,
    pub upper: u64,
}

impl From<Stat> for MetadataHashValue {
    /// Of the identity alone, hashed so that a guest cannot read inode numbers off it.
    fn from(stat: Stat) -> MetadataHashValue {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let hash = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, stat.identity).hash(&mut hasher);
            hasher.finish()
        };
        MetadataHashValue {
            lower: hash(0),
            upper: hash(1),
        }
    }
}
