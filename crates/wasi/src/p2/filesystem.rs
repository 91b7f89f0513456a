//! `wasi:filesystem`: `preopens` and `types`, over `host::fs`.

use super::bind::{func, resource};
use super::filesystem_types::*;
use super::io::{Input, IoError, Output};
use crate::host::fs::{Descriptor, Entries, ErrorCode, FsResult};
use crate::{WasiCtxView, WasiView};
use helve::Result;
use helve::component::{Linker, LinkerInstance, Resource};

type Desc = Resource<Descriptor>;

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    let mut preopens = linker.instance("wasi:filesystem/preopens@0.2.12")?;
    func(&mut preopens, "get-directories", |host, (): ()| {
        let mut directories = Vec::new();
        for (descriptor, name) in &host.ctx.preopens {
            directories.push((host.table.push(descriptor.clone())?, name.clone()));
        }
        Ok(directories)
    })?;
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    resource::<T, Descriptor>(&mut types, "descriptor")?;
    resource::<T, Entries>(&mut types, "directory-entry-stream")?;
    streams(&mut types)?;
    descriptor(&mut types)?;
    contents(&mut types)?;
    paths(&mut types)?;
    two_paths(&mut types)?;
    func(
        &mut types,
        "filesystem-error-code",
        |host, (error,): (Resource<IoError>,)| Ok(Some(host.table.get(&error)?.code())),
    )
}

/// A descriptor's operation that yields a new resource.
fn make<R: Send + 'static>(
    host: WasiCtxView<'_>,
    made: FsResult<R>,
) -> Result<FsResult<Resource<R>>> {
    Ok(match made {
        Ok(value) => Ok(host.table.push(value)?),
        Err(code) => Err(code),
    })
}

fn streams<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]descriptor.read-via-stream",
        |host, (desc, offset): (Desc, u64)| {
            let made = host
                .table
                .get(&desc)?
                .as_file()
                .and_then(|f| f.read_stream(offset))
                .map(Input::new);
            make(host, made)
        },
    )?;
    func(
        types,
        "[method]descriptor.write-via-stream",
        |host, (desc, offset): (Desc, u64)| {
            let made = host
                .table
                .get(&desc)?
                .as_file()
                .and_then(|f| f.write_stream(Some(offset)))
                .map(Output::new);
            make(host, made)
        },
    )?;
    func(
        types,
        "[method]descriptor.append-via-stream",
        |host, (desc,): (Desc,)| {
            let made = host
                .table
                .get(&desc)?
                .as_file()
                .and_then(|f| f.write_stream(None))
                .map(Output::new);
            make(host, made)
        },
    )?;
    func(
        types,
        "[method]descriptor.read-directory",
        |host, (desc,): (Desc,)| {
            let made = host.table.get(&desc)?.as_dir().and_then(|d| d.entries());
            make(host, made)
        },
    )?;
    let next = "[method]directory-entry-stream.read-directory-entry";
    func(types, next, |host, (entries,): (Resource<Entries>,)| {
        let entry = host.table.get_mut(&entries)?.next_entry();
        Ok(entry.map(|e| e.map(DirectoryEntry::from)))
    })
}

fn descriptor<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]descriptor.get-flags",
        |host, (desc,): (Desc,)| {
            let flags = DescriptorFlags::from(host.table.get(&desc)?.open_for());
            Ok(FsResult::Ok(flags))
        },
    )?;
    func(
        types,
        "[method]descriptor.get-type",
        |host, (desc,): (Desc,)| {
            Ok(host
                .table
                .get(&desc)?
                .stat()
                .map(|s| DescriptorType::from(s.kind)))
        },
    )?;
    func(
        types,
        "[method]descriptor.stat",
        |host, (desc,): (Desc,)| Ok(host.table.get(&desc)?.stat().map(DescriptorStat::from)),
    )?;
    func(
        types,
        "[method]descriptor.metadata-hash",
        |host, (desc,): (Desc,)| Ok(host.table.get(&desc)?.stat().map(MetadataHashValue::from)),
    )?;
    func(
        types,
        "[method]descriptor.is-same-object",
        |host, (one, other): (Desc, Desc)| {
            let one = host.table.get(&one)?.stat().map(|s| s.identity);
            let other = host.table.get(&other)?.stat().map(|s| s.identity);
            Ok(matches!((one, other), (Ok(one), Ok(other)) if one == other))
        },
    )?;
    func(
        types,
        "[method]descriptor.sync",
        |host, (desc,): (Desc,)| Ok(host.table.get(&desc)?.sync(false)),
    )?;
    func(
        types,
        "[method]descriptor.sync-data",
        |host, (desc,): (Desc,)| Ok(host.table.get(&desc)?.sync(true)),
    )?;
    func(
        types,
        "[method]descriptor.set-times",
        |host, (desc, accessed, modified): (Desc, NewTimestamp, NewTimestamp)| {
            Ok(host
                .table
                .get(&desc)?
                .set_times(accessed.into(), modified.into()))
        },
    )
}

fn contents<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]descriptor.read",
        |host, (desc, len, offset): (Desc, u64, u64)| {
            Ok(host
                .table
                .get(&desc)?
                .as_file()
                .and_then(|f| f.read(len, offset)))
        },
    )?;
    func(
        types,
        "[method]descriptor.write",
        |host, (desc, bytes, offset): (Desc, Vec<u8>, u64)| {
            Ok(host
                .table
                .get(&desc)?
                .as_file()
                .and_then(|f| f.write(&bytes, offset)))
        },
    )?;
    func(
        types,
        "[method]descriptor.set-size",
        |host, (desc, size): (Desc, u64)| {
            Ok(host
                .table
                .get(&desc)?
                .as_file()
                .and_then(|f| f.set_size(size)))
        },
    )?;
    func(
        types,
        "[method]descriptor.advise",
        |host, (desc, offset, len, advice): (Desc, u64, u64, Advice)| {
            Ok(host
                .table
                .get(&desc)?
                .as_file()
                .and_then(|f| f.advise(offset, len, advice.into())))
        },
    )
}

fn paths<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]descriptor.create-directory-at",
        |host, (desc, path): (Desc, String)| {
            Ok(host
                .table
                .get(&desc)?
                .as_dir()
                .and_then(|d| d.create_directory_at(&path)))
        },
    )?;
    func(
        types,
        "[method]descriptor.remove-directory-at",
        |host, (desc, path): (Desc, String)| {
            Ok(host
                .table
                .get(&desc)?
                .as_dir()
                .and_then(|d| d.remove_directory_at(&path)))
        },
    )?;
    func(
        types,
        "[method]descriptor.unlink-file-at",
        |host, (desc, path): (Desc, String)| {
            Ok(host
                .table
                .get(&desc)?
                .as_dir()
                .and_then(|d| d.unlink_file_at(&path)))
        },
    )?;
    func(
        types,
        "[method]descriptor.readlink-at",
        |host, (desc, path): (Desc, String)| {
            Ok(host
                .table
                .get(&desc)?
                .as_dir()
                .and_then(|d| d.readlink_at(&path)))
        },
    )?;
    func(
        types,
        "[method]descriptor.stat-at",
        |host, (desc, flags, path): (Desc, PathFlags, String)| {
            let stat = host
                .table
                .get(&desc)?
                .as_dir()
                .and_then(|d| d.stat_at(&path, flags.follow()));
            Ok(stat.map(DescriptorStat::from))
        },
    )?;
    hash_times_and_open(types)
}

fn hash_times_and_open<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]descriptor.metadata-hash-at",
        |host, (desc, flags, path): (Desc, PathFlags, String)| {
            let stat = host
                .table
                .get(&desc)?
                .as_dir()
                .and_then(|d| d.stat_at(&path, flags.follow()));
            Ok(stat.map(MetadataHashValue::from))
        },
    )?;
    func(
        types,
        "[method]descriptor.set-times-at",
        |host,
         (desc, flags, path, accessed, modified): (
            Desc,
            PathFlags,
            String,
            NewTimestamp,
            NewTimestamp,
        )| {
            let dir = host.table.get(&desc)?.as_dir();
            Ok(dir.and_then(|d| {
                d.set_times_at(&path, flags.follow(), accessed.into(), modified.into())
            }))
        },
    )?;
    func(
        types,
        "[method]descriptor.open-at",
        |host,
         (desc, path_flags, path, open, flags): (
            Desc,
            PathFlags,
            String,
            OpenFlags,
            DescriptorFlags,
        )| {
            let how = open_how(path_flags, open);
            let made = host
                .table
                .get(&desc)?
                .as_dir()
                .and_then(|d| d.open_at(&path, how, flags.into()));
            make(host, made)
        },
    )
}

fn two_paths<T: WasiView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]descriptor.symlink-at",
        |host, (desc, target, path): (Desc, String, String)| {
            Ok(host
                .table
                .get(&desc)?
                .as_dir()
                .and_then(|d| d.symlink_at(&target, &path)))
        },
    )?;
    func(
        types,
        "[method]descriptor.rename-at",
        |host, (desc, from, into, to): (Desc, String, Desc, String)| {
            let (dir, into) = (host.table.get(&desc)?, host.table.get(&into)?);
            Ok((|| dir.as_dir()?.rename_at(&from, into.as_dir()?, &to))())
        },
    )?;
    func(
        types,
        "[method]descriptor.link-at",
        |host, (desc, flags, from, into, to): (Desc, PathFlags, String, Desc, String)| {
            let (dir, into) = (host.table.get(&desc)?, host.table.get(&into)?);
            let linked = || -> Result<(), ErrorCode> {
                dir.as_dir()?
                    .link_at(&from, flags.follow(), into.as_dir()?, &to)
            };
            Ok(linked())
        },
    )
}
