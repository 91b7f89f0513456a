//! Files and folders under the folders that were granted.
//!
//! Paths are resolved by `cap-std`, which never leaves the folder it starts from,
//! whatever symlinks and `..` say. On top of that every descriptor knows what its grant
//! allows ([`DirPerms`], [`FilePerms`]) and what the guest opened it for
//! ([`OpenFor`]); the checks stand at the head of each operation, once.
//!
//! `file.rs`: operations on an open file; `dir.rs`: operations on paths below a folder.

mod dir;
mod file;

pub use super::errno::ErrorCode;
pub use dir::{Entries, Entry, OpenHow};
pub use file::{Advice, FileInput, FileOutput};

use super::denied::{Denials, Denied};
use cap_std::fs::MetadataExt as _;
use helve::component::{ComponentType, Lift, Lower};
use std::sync::Arc;
use std::time::SystemTime;

/// What a filesystem operation returns.
pub type FsResult<T> = Result<T, ErrorCode>;
/// What a face's function on files fails with.
pub type Fault = crate::Fault<ErrorCode>;

/// What may be done with a granted folder and those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirPerms {
    /// Whether it may be listed and its files opened.
    pub read: bool,
    /// Whether entries may be made, removed, renamed and their times set.
    pub mutate: bool,
}

impl DirPerms {
    /// Everything.
    pub const ALL: DirPerms = DirPerms {
        read: true,
        mutate: true,
    };
    /// Listing and opening only.
    pub const READ: DirPerms = DirPerms {
        read: true,
        mutate: false,
    };
}

/// What may be done with files in a granted folder and those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePerms {
    /// Whether they may be read.
    pub read: bool,
    /// Whether they may be written, truncated and their times set.
    pub write: bool,
}

impl FilePerms {
    /// Everything.
    pub const ALL: FilePerms = FilePerms {
        read: true,
        write: true,
    };
    /// Reading only.
    pub const READ: FilePerms = FilePerms {
        read: true,
        write: false,
    };
}

/// The folder that was granted, for messages about what was denied below it.
#[derive(Clone)]
pub struct DirGrant {
    name: Arc<str>,
    denials: Denials,
}

impl DirGrant {
    /// The grant of a folder that the guest knows as `name`.
    pub fn new(name: &str, denials: Denials) -> DirGrant {
        DirGrant {
            name: name.into(),
            denials,
        }
    }

    /// `Err(NotPermitted)` unless the grant allows it, which is told otherwise.
    fn permit(&self, allowed: bool) -> FsResult<()> {
        if allowed {
            return Ok(());
        }
        self.denials.tell(Denied::ReadOnly(self.name.to_string()));
        Err(ErrorCode::NotPermitted)
    }

    /// The guest's code for an error of an operation on a path.
    fn path_error(&self, error: std::io::Error) -> ErrorCode {
        // The sandbox's own refusal has no number of the system.
        if error.kind() == std::io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
            self.denials.tell(Denied::Outside(self.name.to_string()));
        }
        error.into()
    }
}

/// What a guest opened a descriptor for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenFor {
    /// To read.
    pub read: bool,
    /// To write.
    pub write: bool,
    /// To change a folder's entries.
    pub mutate_directory: bool,
    /// Every write reaches the disk, data and metadata, before it returns.
    pub file_sync: bool,
    /// Every write's data reaches the disk before it returns.
    pub data_sync: bool,
    /// Reads wait for pending writes.
    pub requested_write_sync: bool,
}

/// An open file or folder.
#[derive(Clone)]
pub enum Descriptor {
    /// A file (or a device, a pipe: anything but a folder).
    File(File),
    /// A folder.
    Dir(Dir),
}

/// An open file.
#[derive(Clone)]
pub struct File {
    file: Arc<cap_std::fs::File>,
    perms: FilePerms,
    open_for: OpenFor,
    grant: DirGrant,
}

/// An open folder.
#[derive(Clone)]
pub struct Dir {
    dir: Arc<cap_std::fs::Dir>,
    perms: DirPerms,
    file_perms: FilePerms,
    open_for: OpenFor,
    grant: DirGrant,
}

/// What a path or descriptor leads to (0.2's `descriptor-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[allow(missing_docs, reason = "the names are POSIX's")]
pub enum FileKind {
    Unknown,
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    SymbolicLink,
    RegularFile,
    Socket,
}

impl From<cap_std::fs::FileType> for FileKind {
    fn from(ty: cap_std::fs::FileType) -> FileKind {
        use cap_std::fs::FileTypeExt as _;
        let kinds = [
            (ty.is_dir(), FileKind::Directory),
            (ty.is_file(), FileKind::RegularFile),
            (ty.is_symlink(), FileKind::SymbolicLink),
            (ty.is_block_device(), FileKind::BlockDevice),
            (ty.is_char_device(), FileKind::CharacterDevice),
            (ty.is_fifo(), FileKind::Fifo),
            (ty.is_socket(), FileKind::Socket),
        ];
        kinds
            .iter()
            .find(|(is, _)| *is)
            .map_or(FileKind::Unknown, |(_, kind)| *kind)
    }
}

/// Facts about a file or folder.
#[derive(Clone, Debug)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Its device and inode: together its identity.
    pub identity: (u64, u64),
    /// Hard links to it.
    pub links: u64,
    /// Bytes.
    pub size: u64,
    /// When it was last read.
    pub accessed: Option<SystemTime>,
    /// When it was last written.
    pub modified: Option<SystemTime>,
    /// When its metadata last changed.
    pub changed: Option<SystemTime>,
}

impl From<&cap_std::fs::Metadata> for Stat {
    fn from(m: &cap_std::fs::Metadata) -> Stat {
        let changed = u64::try_from(m.ctime()).ok().and_then(|seconds| {
            let nanos = u32::try_from(m.ctime_nsec()).unwrap_or(0).min(999_999_999);
            SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::new(seconds, nanos))
        });
        Stat {
            kind: m.file_type().into(),
            identity: (m.dev(), m.ino()),
            links: m.nlink(),
            size: m.len(),
            accessed: m.accessed().ok().map(|t| t.into_std()),
            modified: m.modified().ok().map(|t| t.into_std()),
            changed,
        }
    }
}

/// What to set a file's time to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTime {
    /// Leave it.
    Keep,
    /// The present.
    Now,
    /// Seconds and nanoseconds since 1970, whatever a guest says they are.
    At(i128, u32),
}

/// A time that a file can be given.
enum Checked {
    Keep,
    Now,
    At(i64, u32),
}

impl NewTime {
    /// Whether a file's time can be set to it.
    fn checked(self) -> FsResult<Checked> {
        Ok(match self {
            NewTime::Keep => Checked::Keep,
            NewTime::Now => Checked::Now,
            NewTime::At(_, nanos) if nanos >= 1_000_000_000 => return Err(ErrorCode::Invalid),
            NewTime::At(seconds, nanos) => {
                let seconds = i64::try_from(seconds).map_err(|_| ErrorCode::Overflow)?;
                Checked::At(seconds, nanos)
            }
        })
    }
}

impl Descriptor {
    /// A granted folder, open for all that its permissions allow.
    pub fn dir(
        dir: cap_std::fs::Dir,
        perms: DirPerms,
        file_perms: FilePerms,
        grant: DirGrant,
    ) -> Descriptor {
        let open_for = OpenFor {
            read: true,
            mutate_directory: perms.mutate,
            ..OpenFor::default()
        };
        Descriptor::Dir(Dir {
            dir: Arc::new(dir),
            perms,
            file_perms,
            open_for,
            grant,
        })
    }

    /// The file, where it is one.
    pub fn as_file(&self) -> FsResult<&File> {
        match self {
            Descriptor::File(file) => Ok(file),
            Descriptor::Dir(_) => Err(ErrorCode::IsDirectory),
        }
    }

    /// The folder, where it is one.
    pub fn as_dir(&self) -> FsResult<&Dir> {
        match self {
            Descriptor::Dir(dir) => Ok(dir),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory),
        }
    }

    /// What the guest opened it for.
    pub fn open_for(&self) -> OpenFor {
        match self {
            Descriptor::File(file) => file.open_for,
            Descriptor::Dir(dir) => dir.open_for,
        }
    }

    /// Facts about it.
    pub fn stat(&self) -> FsResult<Stat> {
        let metadata = match self {
            Descriptor::File(file) => file.file.metadata()?,
            Descriptor::Dir(dir) => dir.dir.dir_metadata()?,
        };
        Ok((&metadata).into())
    }

    /// Waits until its data (and metadata, unless `data_only`) are on disk.
    pub fn sync(&self, data_only: bool) -> FsResult<()> {
        let synced = match (self, data_only) {
            (Descriptor::File(file), true) => file.file.sync_data(),
            (Descriptor::File(file), false) => file.file.sync_all(),
            (Descriptor::Dir(dir), _) => rustix::fs::fsync(&*dir.dir).map_err(Into::into),
        };
        match synced {
            Ok(()) => Ok(()),
            // Not every kind of file can be synced; there is nothing to wait for then.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Sets its times.
    pub fn set_times(&self, accessed: NewTime, modified: NewTime) -> FsResult<()> {
        let times = rustix::fs::Timestamps {
            last_access: spec(accessed)?,
            last_modification: spec(modified)?,
        };
        match self {
            Descriptor::File(file) => {
                file.grant.permit(file.perms.write)?;
                rustix::fs::futimens(&*file.file, &times)?;
            }
            Descriptor::Dir(dir) => {
                dir.grant.permit(dir.perms.mutate)?;
                rustix::fs::futimens(&*dir.dir, &times)?;
            }
        }
        Ok(())
    }
}

fn spec(time: NewTime) -> FsResult<rustix::fs::Timespec> {
    Ok(match time.checked()? {
        Checked::Keep => rustix::fs::Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        Checked::Now => rustix::fs::Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        },
        Checked::At(seconds, nanos) => rustix::fs::Timespec {
            tv_sec: seconds,
            tv_nsec: nanos.into(),
        },
    })
}
