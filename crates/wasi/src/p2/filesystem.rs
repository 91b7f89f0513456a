//! `wasi:filesystem`: `preopens` and `types`, over `host::fs`.

use super::bindings::wasi::clocks::wall_clock::Datetime;
use super::bindings::wasi::filesystem::preopens;
use super::bindings::wasi::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use super::io::{Input, IoError, Output};
use crate::WasiCtxView;
use crate::host::fs::{
    Descriptor, Entries, Entry, ErrorCode, Fault, NewTime, OpenFor, OpenHow, Stat,
};
use helve::Result;
use helve::component::Resource;

type Desc = Resource<Descriptor>;

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

impl PathFlags {
    /// Whether a symbolic link at the end of the path is followed.
    pub(crate) fn follow(self) -> bool {
        self.contains(PathFlags::SYMLINK_FOLLOW)
    }
}

/// How `open-at`'s two sets of flags say to open.
pub(crate) fn open_how(path: PathFlags, open: OpenFlags) -> OpenHow {
    OpenHow {
        follow: path.follow(),
        create: open.contains(OpenFlags::CREATE),
        directory: open.contains(OpenFlags::DIRECTORY),
        exclusive: open.contains(OpenFlags::EXCLUSIVE),
        truncate: open.contains(OpenFlags::TRUNCATE),
    }
}

impl From<Stat> for DescriptorStat {
    fn from(stat: Stat) -> DescriptorStat {
        DescriptorStat {
            type_: stat.kind,
            link_count: stat.links,
            size: stat.size,
            data_access_timestamp: stat.accessed.map(Datetime::from),
            data_modification_timestamp: stat.modified.map(Datetime::from),
            status_change_timestamp: stat.changed.map(Datetime::from),
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
            type_: entry.kind,
            name: entry.name,
        }
    }
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

impl preopens::Host for WasiCtxView<'_> {
    fn get_directories(&mut self) -> Result<Vec<(Desc, String)>> {
        let mut directories = Vec::new();
        for (descriptor, name) in &self.ctx.preopens {
            directories.push((self.table.push(descriptor.clone())?, name.clone()));
        }
        Ok(directories)
    }
}

impl types::Host for WasiCtxView<'_> {
    fn convert_error_code(&mut self, fault: Fault) -> Result<ErrorCode> {
        fault.told()
    }

    fn filesystem_error_code(&mut self, error: Resource<IoError>) -> Result<Option<ErrorCode>> {
        Ok(Some(self.table.get(&error)?.code()))
    }
}

impl types::HostDirectoryEntryStream for WasiCtxView<'_> {
    fn read_directory_entry(
        &mut self,
        entries: Resource<Entries>,
    ) -> Result<Option<DirectoryEntry>, Fault> {
        let entry = self.table.get_mut(&entries)?.next_entry()?;
        Ok(entry.map(DirectoryEntry::from))
    }

    fn drop(&mut self, entries: Resource<Entries>) -> Result<()> {
        self.discard(entries)
    }
}

impl types::HostDescriptor for WasiCtxView<'_> {
    fn read_via_stream(&mut self, desc: Desc, offset: u64) -> Result<Resource<Input>, Fault> {
        let input = self.table.get(&desc)?.as_file()?.read_stream(offset)?;
        Ok(self.table.push(Input::new(input))?)
    }

    fn write_via_stream(&mut self, desc: Desc, offset: u64) -> Result<Resource<Output>, Fault> {
        let file = self.table.get(&desc)?.as_file()?;
        let output = file.write_stream(Some(offset))?;
        Ok(self.table.push(Output::new(output))?)
    }

    fn append_via_stream(&mut self, desc: Desc) -> Result<Resource<Output>, Fault> {
        let output = self.table.get(&desc)?.as_file()?.write_stream(None)?;
        Ok(self.table.push(Output::new(output))?)
    }

    fn read_directory(&mut self, desc: Desc) -> Result<Resource<Entries>, Fault> {
        let entries = self.table.get(&desc)?.as_dir()?.entries()?;
        Ok(self.table.push(entries)?)
    }

    fn get_flags(&mut self, desc: Desc) -> Result<DescriptorFlags, Fault> {
        Ok(self.table.get(&desc)?.open_for().into())
    }

    fn get_type(&mut self, desc: Desc) -> Result<DescriptorType, Fault> {
        Ok(self.table.get(&desc)?.stat()?.kind)
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

    fn read(&mut self, desc: Desc, len: u64, offset: u64) -> Result<(Vec<u8>, bool), Fault> {
        Ok(self.table.get(&desc)?.as_file()?.read(len, offset)?)
    }

    fn write(&mut self, desc: Desc, bytes: Vec<u8>, offset: u64) -> Result<u64, Fault> {
        Ok(self.table.get(&desc)?.as_file()?.write(&bytes, offset)?)
    }

    fn set_size(&mut self, desc: Desc, size: u64) -> Result<(), Fault> {
        Ok(self.table.get(&desc)?.as_file()?.set_size(size)?)
    }

    fn advise(&mut self, desc: Desc, offset: u64, len: u64, how: Advice) -> Result<(), Fault> {
        Ok(self.table.get(&desc)?.as_file()?.advise(offset, len, how)?)
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
        let dir = self.table.get(&desc)?.as_dir()?;
        let opened = dir.open_at(&path, open_how(path_flags, open), flags.into())?;
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

impl WasiCtxView<'_> {
    /// Whether both lead to one file or folder, as far as anybody can say.
    pub(crate) fn is_same(&self, one: &Desc, other: &Desc) -> Result<bool> {
        let one = self.table.get(one)?.stat().map(|s| s.identity);
        let other = self.table.get(other)?.stat().map(|s| s.identity);
        Ok(matches!((one, other), (Ok(one), Ok(other)) if one == other))
    }
}
