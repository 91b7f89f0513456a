//! Operations on an open file, and the streams that read and write one.
//!
//! Reads and writes are positioned (`pread`, `pwrite`): two streams of one file do not
//! share an offset. Not here: paths (`dir.rs`).

use super::{ErrorCode, File, FsResult};
use crate::host::poll::Readiness;
use crate::host::stream::{InputStream, MAX_TRANSFER, OutputStream, StreamError};
use cap_std::fs::FileExt as _;
use helve::component::{ComponentType, Lift, Lower};
use std::io::IoSlice;
use std::sync::Arc;

/// How a guest will use a range of a file (`advice`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[allow(missing_docs, reason = "the names are POSIX's")]
pub enum Advice {
    Normal,
    Sequential,
    Random,
    WillNeed,
    DontNeed,
    NoReuse,
}

impl File {
    fn readable(&self) -> FsResult<()> {
        if self.open_for.read && self.perms.read {
            Ok(())
        } else {
            Err(ErrorCode::BadDescriptor)
        }
    }

    fn writable(&self) -> FsResult<()> {
        if self.open_for.write && self.perms.write {
            Ok(())
        } else {
            Err(ErrorCode::BadDescriptor)
        }
    }

    /// Reads up to `len` bytes at `offset` (and at most [`MAX_TRANSFER`]); whether the
    /// end was reached.
    pub fn read(&self, len: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        self.readable()?;
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(MAX_TRANSFER);
        let mut buffer = vec![0; len];
        let count = self.file.read_at(&mut buffer, offset)?;
        buffer.truncate(count);
        Ok((buffer, count == 0 && len != 0))
    }

    /// Writes at `offset`; how many bytes it took.
    pub fn write(&self, bytes: &[u8], offset: u64) -> FsResult<u64> {
        self.writable()?;
        Ok(self.file.write_at(bytes, offset)? as u64)
    }

    /// Cuts or stretches it.
    pub fn set_size(&self, size: u64) -> FsResult<()> {
        self.writable()?;
        Ok(self.file.set_len(size)?)
    }

    /// Says how a range will be used.
    pub fn advise(&self, offset: u64, len: u64, advice: Advice) -> FsResult<()> {
        use rustix::fs::Advice as Use;
        let how = match advice {
            Advice::Normal => Use::Normal,
            Advice::Sequential => Use::Sequential,
            Advice::Random => Use::Random,
            Advice::WillNeed => Use::WillNeed,
            Advice::DontNeed => Use::DontNeed,
            Advice::NoReuse => Use::NoReuse,
        };
        rustix::fs::fadvise(&*self.file, offset, std::num::NonZeroU64::new(len), how)?;
        Ok(())
    }

    /// A stream that reads from `offset` on.
    pub fn read_stream(&self, offset: u64) -> FsResult<FileInput> {
        self.readable()?;
        Ok(FileInput {
            file: self.file.clone(),
            position: offset,
        })
    }

    /// A stream that writes from `offset` on, or always at the end.
    pub fn write_stream(&self, offset: Option<u64>) -> FsResult<FileOutput> {
        self.writable()?;
        Ok(FileOutput {
            file: self.file.clone(),
            position: offset,
        })
    }
}

/// Reads a file from a position on.
pub struct FileInput {
    file: Arc<cap_std::fs::File>,
    position: u64,
}

impl InputStream for FileInput {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, StreamError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut buffer = vec![0; max.min(MAX_TRANSFER)];
        let count = self.file.read_at(&mut buffer, self.position)?;
        if count == 0 {
            return Err(StreamError::Closed);
        }
        self.position = self.position.saturating_add(count as u64);
        buffer.truncate(count);
        Ok(buffer)
    }

    fn readiness(&self) -> Readiness {
        Readiness::Now
    }
}

/// Writes a file from a position on, or at its end.
pub struct FileOutput {
    file: Arc<cap_std::fs::File>,
    /// `None`: every write goes to the end, wherever that is by then.
    position: Option<u64>,
}

impl OutputStream for FileOutput {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let count = match &mut self.position {
                Some(position) => {
                    let count = self.file.write_at(bytes, *position)?;
                    *position = position.saturating_add(count as u64);
                    count
                }
                None => {
                    let append = rustix::io::ReadWriteFlags::APPEND;
                    rustix::io::pwritev2(&*self.file, &[IoSlice::new(bytes)], 0, append)
                        .map_err(std::io::Error::from)?
                }
            };
            if count == 0 {
                return Err(StreamError::Failed(std::io::ErrorKind::WriteZero.into()));
            }
            bytes = bytes.get(count..).unwrap_or(&[]);
        }
        Ok(())
    }
}
