//! Operations on paths below an open folder.
//!
//! `cap-std` keeps every path inside; this file adds what the grant allows. Not here:
//! open files (`file.rs`).

use super::{
    Checked, Descriptor, Dir, ErrorCode, File, FileKind, FsResult, NewTime, OpenFor, Stat,
};
use cap_fs_ext::{
    DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsMaybeDirExt as _,
};
use cap_fs_ext::{OpenOptionsSyncExt as _, SystemTimeSpec};
use cap_std::fs::OpenOptions;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How to open a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// Follow a symbolic link at the end of the path.
    pub follow: bool,
    /// Make the file where there is none.
    pub create: bool,
    /// Fail unless it is a folder.
    pub directory: bool,
    /// With `create`: fail where it is already there.
    pub exclusive: bool,
    /// Cut the file to nothing.
    pub truncate: bool,
}

impl Dir {
    fn may_read(&self) -> FsResult<()> {
        self.grant.permit(self.perms.read)
    }

    fn on_path<R>(&self, result: std::io::Result<R>) -> FsResult<R> {
        result.map_err(|e| self.grant.path_error(e))
    }

    fn may_mutate(&self) -> FsResult<()> {
        self.grant.permit(self.perms.mutate)
    }

    /// Opens what `path` leads to.
    pub fn open_at(&self, path: &str, how: OpenHow, open_for: OpenFor) -> FsResult<Descriptor> {
        self.may_read()?;
        if how.directory && (how.create || how.exclusive || how.truncate) {
            return Err(ErrorCode::Invalid);
        }
        if how.create || how.truncate || open_for.mutate_directory {
            self.may_mutate()?;
        }
        if how.truncate || open_for.write {
            self.grant.permit(self.file_perms.write)?;
        }
        self.grant.permit(!open_for.read || self.file_perms.read)?;
        let mut options = OpenOptions::new();
        options
            .maybe_dir(true)
            .read(open_for.read || !open_for.write);
        options.write(open_for.write || how.truncate || how.create);
        options
            .create(how.create && !how.exclusive)
            .create_new(how.create && how.exclusive)
            .truncate(how.truncate);
        options.follow(if how.follow {
            FollowSymlinks::Yes
        } else {
            FollowSymlinks::No
        });
        options
            .sync(open_for.file_sync)
            .dsync(open_for.data_sync)
            .rsync(open_for.requested_write_sync);
        if how.directory {
            if open_for.write {
                return Err(ErrorCode::IsDirectory);
            }
            options.write(false).read(true);
        }
        let opened = self
            .dir
            .open_with(path, &options)
            .map_err(|e| self.grant.path_error(e))?;
        let metadata = opened.metadata()?;
        if metadata.is_dir() {
            let dir = cap_std::fs::Dir::from_std_file(opened.into_std());
            let perms = self.perms;
            return Ok(Descriptor::Dir(Dir {
                dir: Arc::new(dir),
                perms,
                file_perms: self.file_perms,
                open_for,
                grant: self.grant.clone(),
            }));
        }
        if how.directory {
            return Err(ErrorCode::NotDirectory);
        }
        Ok(Descriptor::File(File {
            file: Arc::new(opened),
            perms: self.file_perms,
            open_for,
            grant: self.grant.clone(),
        }))
    }

    /// Facts about what `path` leads to.
    pub fn stat_at(&self, path: &str, follow: bool) -> FsResult<Stat> {
        self.may_read()?;
        let metadata = if follow {
            self.on_path(self.dir.metadata(path))?
        } else {
            self.on_path(self.dir.symlink_metadata(path))?
        };
        Ok((&metadata).into())
    }

    /// Makes a folder.
    pub fn create_directory_at(&self, path: &str) -> FsResult<()> {
        self.may_mutate()?;
        // A trailing slash says "folder", which is what is made anyway.
        let bare = path.trim_end_matches('/');
        let path = if bare.is_empty() { path } else { bare };
        self.on_path(self.dir.create_dir(path))
    }

    /// Removes an empty folder.
    pub fn remove_directory_at(&self, path: &str) -> FsResult<()> {
        self.may_mutate()?;
        let bare = path.trim_end_matches('/');
        // A trailing slash is right for a folder, and for nothing else.
        let is_folder = || self.dir.symlink_metadata(bare).is_ok_and(|m| m.is_dir());
        let path = if bare.len() < path.len() && !bare.is_empty() && is_folder() {
            bare
        } else {
            path
        };
        self.on_path(self.dir.remove_dir(path))
    }

    /// Removes anything but a folder.
    pub fn unlink_file_at(&self, path: &str) -> FsResult<()> {
        self.may_mutate()?;
        if path.ends_with('/') {
            return Err(if self.on_path(self.dir.metadata(path))?.is_dir() {
                ErrorCode::IsDirectory
            } else {
                ErrorCode::NotDirectory
            });
        }
        self.on_path(self.dir.remove_file_or_symlink(path))
    }

    /// Renames `from` below this folder to `to` below `into`.
    pub fn rename_at(&self, from: &str, into: &Dir, to: &str) -> FsResult<()> {
        self.may_mutate()?;
        into.may_mutate()?;
        self.on_path(self.dir.rename(from, &into.dir, to))
    }

    /// Makes `to` below `into` another name of the file `from`.
    pub fn link_at(&self, from: &str, follow: bool, into: &Dir, to: &str) -> FsResult<()> {
        self.may_mutate()?;
        into.may_mutate()?;
        // A second name in a folder with more rights would give the file those rights.
        self.grant
            .permit(self.file_perms.write || !into.file_perms.write)?;
        if follow {
            return Err(ErrorCode::Invalid);
        }
        self.on_path(self.dir.hard_link(from, &into.dir, to))
    }

    /// Makes `path` a symbolic link that says `target`.
    pub fn symlink_at(&self, target: &str, path: &str) -> FsResult<()> {
        self.may_mutate()?;
        self.on_path(self.dir.symlink(target, path))
    }

    /// What a symbolic link says.
    pub fn readlink_at(&self, path: &str) -> FsResult<String> {
        self.may_read()?;
        let target = self.on_path(self.dir.read_link(path))?;
        target
            .into_os_string()
            .into_string()
            .map_err(|_| ErrorCode::IllegalByteSequence)
    }

    /// Sets the times of what `path` leads to.
    pub fn set_times_at(
        &self,
        path: &str,
        follow: bool,
        accessed: NewTime,
        modified: NewTime,
    ) -> FsResult<()> {
        self.may_mutate()?;
        self.grant.permit(self.file_perms.write)?;
        let (accessed, modified) = (spec(accessed)?, spec(modified)?);
        if follow {
            self.on_path(self.dir.set_times(path, accessed, modified))?;
        } else {
            self.on_path(self.dir.set_symlink_times(path, accessed, modified))?;
        }
        Ok(())
    }

    /// The entries, without `.` and `..`.
    pub fn entries(&self) -> FsResult<Entries> {
        self.may_read()?;
        Ok(Entries(self.dir.entries()?))
    }
}

fn spec(time: NewTime) -> FsResult<Option<SystemTimeSpec>> {
    Ok(match time.checked()? {
        Checked::Keep => None,
        Checked::Now => Some(SystemTimeSpec::SymbolicNow),
        Checked::At(seconds, nanos) => {
            let whole = Duration::from_secs(seconds.unsigned_abs());
            let time = if seconds < 0 {
                SystemTime::UNIX_EPOCH.checked_sub(whole)
            } else {
                SystemTime::UNIX_EPOCH.checked_add(whole)
            };
            let time = time.and_then(|t| t.checked_add(Duration::from_nanos(nanos.into())));
            let time = time.ok_or(ErrorCode::Overflow)?;
            Some(SystemTimeSpec::Absolute(
                cap_std::time::SystemTime::from_std(time),
            ))
        }
    })
}

/// A folder's entries, read as they are asked for.
pub struct Entries(cap_std::fs::ReadDir);

/// One entry of a folder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is.
    pub kind: FileKind,
    /// Its name.
    pub name: String,
}

impl Entries {
    /// The next entry, `None` at the end.
    pub fn next_entry(&mut self) -> FsResult<Option<Entry>> {
        let Some(entry) = self.0.next() else {
            return Ok(None);
        };
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| ErrorCode::IllegalByteSequence)?;
        Ok(Some(Entry {
            kind: entry.file_type()?.into(),
            name,
        }))
    }
}
