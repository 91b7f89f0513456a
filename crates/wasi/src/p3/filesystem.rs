//! `wasi:filesystem` 0.3: `preopens` and `types`, over `host::fs`.
//!
//! Operations on files do not wait for others, so the `async` functions here are ready at
//! once. Contents and entries come and go as streams.

use super::bindings::wasi::clocks::system_clock::Instant;
use super::bindings::wasi::filesystem::preopens;
use super::bindings::wasi::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use super::pipe::{self, Ended};
use crate::host::fs::{
    Descriptor, Entries, Entry, ErrorCode as HostError, Fault, FileKind, NewTime, OpenFor, Stat,
};
use crate::p2::filesystem::open_how;
use crate::{HasWasi, WasiCtxView};
use helve::Result;
use helve::component::{
    Access, Destination, FutureReader, Resource, StreamProducer, StreamReader, StreamState,
};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

type Desc = Resource<Descriptor>;
/// How a stream of the package ends.
type End = FutureReader<Ended<ErrorCode>>;

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
fn code(error: std::io::Error) -> ErrorCode {
    HostError::from(error).into()
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

impl From<Stat> for DescriptorStat {
    fn from(stat: Stat) -> DescriptorStat {
        DescriptorStat {
            type_: stat.kind.into(),
            link_count: stat.links,
            size: stat.size,
            data_access_timestamp: stat.accessed.map(Instant::from),
            data_modification_timestamp: stat.modified.map(Instant::from),
            status_change_timestamp: stat.changed.map(Instant::from),
        }
    }
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

impl From<Entry> for DirectoryEntry {
    fn from(entry: Entry) -> DirectoryEntry {
        DirectoryEntry {
            type_: entry.kind.into(),
            name: entry.name,
        }
    }
}

impl preopens::Host for WasiCtxView<'_> {
    fn get_directories(&mut self) -> Result<Vec<(Desc, String)>> {
        crate::p2::bindings::wasi::filesystem::preopens::Host::get_directories(self)
    }
}

impl types::Host for WasiCtxView<'_> {
    fn convert_error_code(&mut self, fault: Fault) -> Result<ErrorCode> {
        fault.told()
    }
}

impl types::HostDescriptor for WasiCtxView<'_> {
    fn get_flags(&mut self, desc: Desc) -> Result<DescriptorFlags, Fault> {
        Ok(self.table.get(&desc)?.open_for().into())
    }

    fn get_type(&mut self, desc: Desc) -> Result<DescriptorType, Fault> {
        Ok(self.table.get(&desc)?.stat()?.kind.into())
    }

    fn stat(&mut self, desc: Desc) -> Result<DescriptorStat, Fault> {
        Ok(self.table.get(&desc)?.stat()?.into())
    }

    fn metadata_hash(&mut self, desc: Desc) -> Result<MetadataHashValue, Fault> {
        Ok(self.table.get(&desc)?.stat()?.into())
    }

    fn is_same_object(&mut self, one: Desc, other: Desc) -> Result<bool> {
        self.is_same(&one, &other)
    }

    fn sync(&mut self, desc: Desc) -> Result<(), Fault> {
        Ok(self.table.get(&desc)?.sync(false)?)
    }

    fn sync_data(&mut self, desc: Desc) -> Result<(), Fault> {
        Ok(self.table.get(&desc)?.sync(true)?)
    }

    fn set_times(
        &mut self,
        desc: Desc,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> Result<(), Fault> {
        let desc = self.table.get(&desc)?;
        Ok(desc.set_times(accessed.into(), modified.into())?)
    }

    fn set_size(&mut self, desc: Desc, size: u64) -> Result<(), Fault> {
        Ok(self.table.get(&desc)?.as_file()?.set_size(size)?)
    }

    fn advise(&mut self, desc: Desc, offset: u64, len: u64, how: Advice) -> Result<(), Fault> {
        let file = self.table.get(&desc)?.as_file();
        let file = file.map_err(|_| HostError::BadDescriptor)?;
        Ok(file.advise(offset, len, how)?)
    }

    fn create_directory_at(&mut self, desc: Desc, path: String) -> Result<(), Fault> {
        let dir = self.table.get(&desc)?.as_dir()?;
        Ok(dir.create_directory_at(&path)?)
    }

    fn remove_directory_at(&mut self, desc: Desc, path: String) -> Result<(), Fault> {
        let dir = self.table.get(&desc)?.as_dir()?;
        Ok(dir.remove_directory_at(&path)?)
    }

    fn unlink_file_at(&mut self, desc: Desc, path: String) -> Result<(), Fault> {
        Ok(self.table.get(&desc)?.as_dir()?.unlink_file_at(&path)?)
    }

    fn readlink_at(&mut self, desc: Desc, path: String) -> Result<String, Fault> {
        Ok(self.table.get(&desc)?.as_dir()?.readlink_at(&path)?)
    }

    fn stat_at(
        &mut self,
        desc: Desc,
        flags: PathFlags,
        path: String,
    ) -> Result<DescriptorStat, Fault> {
        let dir = self.table.get(&desc)?.as_dir()?;
        Ok(dir.stat_at(&path, flags.follow())?.into())
    }

    fn metadata_hash_at(
        &mut self,
        desc: Desc,
        flags: PathFlags,
        path: String,
    ) -> Result<MetadataHashValue, Fault> {
        let dir = self.table.get(&desc)?.as_dir()?;
        Ok(dir.stat_at(&path, flags.follow())?.into())
    }

    fn set_times_at(
        &mut self,
        desc: Desc,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> Result<(), Fault> {
        let dir = self.table.get(&desc)?.as_dir()?;
        Ok(dir.set_times_at(&path, flags.follow(), accessed.into(), modified.into())?)
    }

    fn open_at(
        &mut self,
        desc: Desc,
        path_flags: PathFlags,
        path: String,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<Desc, Fault> {
        let how = open_how(path_flags, open);
        let mut open_for = OpenFor::from(flags);
        // Without a wish, it is to be read; and what may be made is to be written.
        open_for.read |= !open_for.write;
        open_for.write |= how.create;
        let dir = self.table.get(&desc)?.as_dir()?;
        let opened = dir.open_at(&path, how, open_for)?;
        Ok(self.table.push(opened)?)
    }

    fn symlink_at(&mut self, desc: Desc, target: String, path: String) -> Result<(), Fault> {
        Ok(self
            .table
            .get(&desc)?
            .as_dir()?
            .symlink_at(&target, &path)?)
    }

    fn rename_at(&mut self, desc: Desc, from: String, into: Desc, to: String) -> Result<(), Fault> {
        let (dir, into) = (self.table.get(&desc)?, self.table.get(&into)?);
        Ok(dir.as_dir()?.rename_at(&from, into.as_dir()?, &to)?)
    }

    fn link_at(
        &mut self,
        desc: Desc,
        flags: PathFlags,
        from: String,
        into: Desc,
        to: String,
    ) -> Result<(), Fault> {
        let (dir, into) = (self.table.get(&desc)?, self.table.get(&into)?);
        Ok(dir
            .as_dir()?
            .link_at(&from, flags.follow(), into.as_dir()?, &to)?)
    }

    fn drop(&mut self, desc: Desc) -> Result<()> {
        self.discard(desc)
    }
}

impl types::HostDescriptorWithStore for HasWasi {
    fn read_via_stream<T: 'static>(
        mut host: Access<'_, T, Self>,
        desc: Desc,
        offset: u64,
    ) -> Result<(StreamReader<u8>, End)> {
        let file = host.get().table.get(&desc)?.as_file();
        match file.and_then(|f| f.read_stream(offset)) {
            Ok(input) => pipe::from_input(&mut host, input, code),
            Err(e) => pipe::failed(&mut host, ErrorCode::from(e)),
        }
    }

    fn write_via_stream<T: 'static>(
        host: Access<'_, T, Self>,
        desc: Desc,
        data: StreamReader<u8>,
        offset: u64,
    ) -> Result<End> {
        write(host, &desc, data, Some(offset))
    }

    fn append_via_stream<T: 'static>(
        host: Access<'_, T, Self>,
        desc: Desc,
        data: StreamReader<u8>,
    ) -> Result<End> {
        write(host, &desc, data, None)
    }

    fn read_directory<T: 'static>(
        mut host: Access<'_, T, Self>,
        desc: Desc,
    ) -> Result<(StreamReader<DirectoryEntry>, End)> {
        let entries = host.get().table.get(&desc)?.as_dir();
        match entries.and_then(|d| d.entries()) {
            Ok(entries) => {
                let (end, future) = pipe::ended(&mut host)?;
                let list = List {
                    entries,
                    end: Some(end),
                };
                Ok((StreamReader::new(&mut *host, list)?, future))
            }
            Err(e) => pipe::failed(&mut host, ErrorCode::from(e)),
        }
    }
}

/// Writes what comes at an offset, or at the file's end.
fn write<T: 'static>(
    mut host: Access<'_, T, HasWasi>,
    desc: &Desc,
    data: StreamReader<u8>,
    offset: Option<u64>,
) -> Result<End> {
    let file = host.get().table.get(desc)?.as_file();
    match file.and_then(|f| f.write_stream(offset)) {
        Ok(output) => pipe::into_output(&mut host, data, output, code),
        Err(e) => pipe::settled(&mut host, Err(ErrorCode::from(e))),
    }
}

/// A folder's entries, as the guest asks for them.
struct List {
    entries: Entries,
    end: Option<oneshot::Sender<Ended<ErrorCode>>>,
}

/// Entries that are read at once.
const MOST_ENTRIES: usize = 64;

impl StreamProducer<DirectoryEntry> for List {
    fn poll_produce(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut Destination<'_, DirectoryEntry>,
    ) -> Poll<Result<StreamState>> {
        let mut some = Vec::new();
        let mut state = StreamState::Open;
        while some.len() < to.remaining().min(MOST_ENTRIES) {
            let ended = match self.entries.next_entry() {
                Ok(Some(entry)) => {
                    some.push(DirectoryEntry::from(entry));
                    continue;
                }
                Ok(None) => Ok(()),
                Err(e) => Err(ErrorCode::from(e)),
            };
            state = StreamState::Closed;
            if let Some(end) = self.end.take() {
                // Nobody listens where the guest dropped the future.
                let _ = end.send(ended);
            }
            break;
        }
        to.put(&mut some)?;
        Poll::Ready(Ok(state))
    }
}
