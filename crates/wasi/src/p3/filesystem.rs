//! `wasi:filesystem` 0.3: `preopens` and `types`, over `host::fs`.
//!
//! Operations on files do not wait for others, so the `async` functions here are ready at
//! once. Contents and entries come and go as streams.

use super::filesystem_types::{
    DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, NewTimestamp, code,
};
use super::pipe::{self, Ended};
use crate::host::fs::{Descriptor, Entries, ErrorCode as HostError, FsResult, OpenFor};
use crate::p2::bind::{func, resource};
use crate::p2::filesystem_types::{
    Advice, DescriptorFlags, MetadataHashValue, OpenFlags, PathFlags, open_how,
};
use crate::{WasiCtxView, WasiView};
use helve::component::{
    Destination, FutureReader, Linker, LinkerInstance, Resource, StreamProducer, StreamReader,
    StreamState,
};
use helve::{Result, StoreContextMut};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

type Desc = Resource<Descriptor>;
/// What a function of the package returns.
type Outcome<R> = Result<Result<R, ErrorCode>>;

/// The guest's form of a host's result.
fn outcome<R>(result: FsResult<R>) -> Outcome<R> {
    Ok(result.map_err(ErrorCode::from))
}

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut preopens = linker.instance("wasi:filesystem/preopens@0.3.0")?;
    func(&mut preopens, "get-directories", |host, (): ()| {
        let mut directories = Vec::new();
        for (descriptor, name) in &host.ctx.preopens {
            directories.push((host.table.push(descriptor.clone())?, name.clone()));
        }
        Ok(directories)
    })?;
    let mut types = linker.instance("wasi:filesystem/types@0.3.0")?;
    resource::<T, Descriptor>(&mut types, "descriptor")?;
    streams(&mut types)?;
    read_directory(&mut types)?;
    facts(&mut types)?;
    changes(&mut types)?;
    paths(&mut types)?;
    set_times_and_open(&mut types)?;
    two_paths(&mut types)
}

fn streams<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func_wrap(
        "[method]descriptor.read-via-stream",
        |mut cx: StoreContextMut<'_, T>, (desc, offset): (Desc, u64)| {
            let table = cx.data_mut().wasi().table;
            let input = table
                .get(&desc)?
                .as_file()
                .and_then(|f| f.read_stream(offset));
            let both = match input {
                Ok(input) => pipe::from_input(&mut cx, input, code)?,
                Err(e) => (
                    pipe::closed(&mut cx)?,
                    pipe::settled(&mut cx, Err(ErrorCode::from(e)))?,
                ),
            };
            Ok((both,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        |cx: StoreContextMut<'_, T>, (desc, data, offset): (Desc, StreamReader<u8>, u64)| {
            write(cx, &desc, data, Some(offset))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        |cx: StoreContextMut<'_, T>, (desc, data): (Desc, StreamReader<u8>)| {
            write(cx, &desc, data, None)
        },
    )
}

/// Writes what comes at an offset, or at the file's end.
fn write<T: WasiView>(
    mut cx: StoreContextMut<'_, T>,
    desc: &Desc,
    data: StreamReader<u8>,
    offset: Option<u64>,
) -> Result<(FutureReader<Ended<ErrorCode>>,)> {
    let table = cx.data_mut().wasi().table;
    let output = table
        .get(desc)?
        .as_file()
        .and_then(|f| f.write_stream(offset));
    Ok((match output {
        Ok(output) => pipe::into_output(&mut cx, data, output, code)?,
        Err(e) => pipe::settled(&mut cx, Err(ErrorCode::from(e)))?,
    },))
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

fn read_directory<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func_wrap(
        "[method]descriptor.read-directory",
        |mut cx: StoreContextMut<'_, T>, (desc,): (Desc,)| {
            let table = cx.data_mut().wasi().table;
            let entries = table.get(&desc)?.as_dir().and_then(|d| d.entries());
            let both = match entries {
                Ok(entries) => {
                    let (end, future) = pipe::ended::<T, ErrorCode>(&mut cx)?;
                    let list = List {
                        entries,
                        end: Some(end),
                    };
                    (StreamReader::new(&mut cx, list)?, future)
                }
                Err(e) => (
                    pipe::closed(&mut cx)?,
                    pipe::settled(&mut cx, Err(ErrorCode::from(e)))?,
                ),
            };
            Ok((both,))
        },
    )
}

fn facts<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]descriptor.get-flags",
        |host, (desc,): (Desc,)| {
            let flags = DescriptorFlags::from(host.table.get(&desc)?.open_for());
            outcome(Ok(flags))
        },
    )?;
    func(
        types,
        "[method]descriptor.get-type",
        |host, (desc,): (Desc,)| {
            let stat = host.table.get(&desc)?.stat();
            outcome(stat.map(|s| DescriptorType::from(s.kind)))
        },
    )?;
    func(
        types,
        "[method]descriptor.stat",
        |host, (desc,): (Desc,)| outcome(host.table.get(&desc)?.stat().map(DescriptorStat::from)),
    )?;
    func(
        types,
        "[method]descriptor.metadata-hash",
        |host, (desc,): (Desc,)| {
            outcome(host.table.get(&desc)?.stat().map(MetadataHashValue::from))
        },
    )?;
    func(
        types,
        "[method]descriptor.is-same-object",
        |host, (one, other): (Desc, Desc)| {
            let one = host.table.get(&one)?.stat().map(|s| s.identity);
            let other = host.table.get(&other)?.stat().map(|s| s.identity);
            Ok(matches!((one, other), (Ok(one), Ok(other)) if one == other))
        },
    )
}

fn changes<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]descriptor.sync",
        |host, (desc,): (Desc,)| outcome(host.table.get(&desc)?.sync(false)),
    )?;
    func(
        types,
        "[method]descriptor.sync-data",
        |host, (desc,): (Desc,)| outcome(host.table.get(&desc)?.sync(true)),
    )?;
    func(
        types,
        "[method]descriptor.set-times",
        |host, (desc, accessed, modified): (Desc, NewTimestamp, NewTimestamp)| {
            let desc = host.table.get(&desc)?;
            outcome(desc.set_times(accessed.into(), modified.into()))
        },
    )?;
    func(
        types,
        "[method]descriptor.set-size",
        |host, (desc, size): (Desc, u64)| {
            let file = host.table.get(&desc)?.as_file();
            outcome(file.and_then(|f| f.set_size(size)))
        },
    )?;
    func(
        types,
        "[method]descriptor.advise",
        |host, (desc, offset, len, advice): (Desc, u64, u64, Advice)| {
            let file = host.table.get(&desc)?.as_file();
            let file = file.map_err(|_| HostError::BadDescriptor);
            outcome(file.and_then(|f| f.advise(offset, len, advice.into())))
        },
    )
}

/// Defines an operation on one path below a folder.
fn at_path<T: WasiView>(
    types: &mut LinkerInstance<'_, T>,
    name: &str,
    work: fn(&crate::host::fs::Dir, &str) -> FsResult<()>,
) -> Result<()> {
    func(types, name, move |host, (desc, path): (Desc, String)| {
        let dir = host.table.get(&desc)?.as_dir();
        outcome(dir.and_then(|d| work(d, &path)))
    })
}

fn paths<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    at_path(
        types,
        "[method]descriptor.create-directory-at",
        |d, path| d.create_directory_at(path),
    )?;
    at_path(
        types,
        "[method]descriptor.remove-directory-at",
        |d, path| d.remove_directory_at(path),
    )?;
    at_path(types, "[method]descriptor.unlink-file-at", |d, path| {
        d.unlink_file_at(path)
    })?;
    func(
        types,
        "[method]descriptor.readlink-at",
        |host, (desc, path): (Desc, String)| {
            let dir = host.table.get(&desc)?.as_dir();
            outcome(dir.and_then(|d| d.readlink_at(&path)))
        },
    )?;
    type StatAt = (Desc, PathFlags, String);
    func(
        types,
        "[method]descriptor.stat-at",
        |host, (desc, flags, path): StatAt| {
            let dir = host.table.get(&desc)?.as_dir();
            let stat = dir.and_then(|d| d.stat_at(&path, flags.follow()));
            outcome(stat.map(DescriptorStat::from))
        },
    )?;
    func(
        types,
        "[method]descriptor.metadata-hash-at",
        |host, (desc, flags, path): StatAt| {
            let dir = host.table.get(&desc)?.as_dir();
            let stat = dir.and_then(|d| d.stat_at(&path, flags.follow()));
            outcome(stat.map(MetadataHashValue::from))
        },
    )
}

fn set_times_and_open<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    type SetTimes = (Desc, PathFlags, String, NewTimestamp, NewTimestamp);
    func(
        types,
        "[method]descriptor.set-times-at",
        |host, (desc, flags, path, accessed, modified): SetTimes| {
            let dir = host.table.get(&desc)?.as_dir();
            let (accessed, modified) = (accessed.into(), modified.into());
            outcome(dir.and_then(|d| d.set_times_at(&path, flags.follow(), accessed, modified)))
        },
    )?;
    func(types, "[method]descriptor.open-at", open_at)
}

/// Opens a file or folder: a new descriptor.
fn open_at(
    host: WasiCtxView<'_>,
    (desc, path_flags, path, open, flags): (Desc, PathFlags, String, OpenFlags, DescriptorFlags),
) -> Outcome<Desc> {
    let how = open_how(path_flags, open);
    let mut open_for = OpenFor::from(flags);
    // Without a wish, it is to be read; and what may be made is to be written.
    open_for.read |= !open_for.write;
    open_for.write |= how.create;
    let dir = host.table.get(&desc)?.as_dir();
    match dir.and_then(|d| d.open_at(&path, how, open_for)) {
        Ok(opened) => Ok(Ok(host.table.push(opened)?)),
        Err(e) => Ok(Err(ErrorCode::from(e))),
    }
}

fn two_paths<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]descriptor.symlink-at",
        |host, (desc, target, path): (Desc, String, String)| {
            let dir = host.table.get(&desc)?.as_dir();
            outcome(dir.and_then(|d| d.symlink_at(&target, &path)))
        },
    )?;
    func(
        types,
        "[method]descriptor.rename-at",
        |host, (desc, from, into, to): (Desc, String, Desc, String)| {
            let (dir, into) = (host.table.get(&desc)?, host.table.get(&into)?);
            outcome((|| dir.as_dir()?.rename_at(&from, into.as_dir()?, &to))())
        },
    )?;
    func(
        types,
        "[method]descriptor.link-at",
        |host, (desc, flags, from, into, to): (Desc, PathFlags, String, Desc, String)| {
            let (dir, into) = (host.table.get(&desc)?, host.table.get(&into)?);
            let link = || {
                let (dir, into) = (dir.as_dir()?, into.as_dir()?);
                dir.link_at(&from, flags.follow(), into, &to)
            };
            outcome(link())
        },
    )
}
