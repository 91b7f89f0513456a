//! Byte streams as guests see them: reads and writes that never block, and how to wait.
//!
//! Not here: which streams there are (`stdio.rs`, `fs.rs`).

use super::poll::Readiness;

/// The most bytes one read or write moves, whatever the guest asks for.
pub const MAX_TRANSFER: usize = 64 << 10;

/// Why a stream gave nothing.
#[derive(Debug)]
pub enum StreamError {
    /// It ended.
    Closed,
    /// An operation failed.
    Failed(std::io::Error),
}

impl From<std::io::Error> for StreamError {
    fn from(error: std::io::Error) -> StreamError {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => StreamError::Closed,
            _ => StreamError::Failed(error),
        }
    }
}

/// Something to read bytes from.
pub trait InputStream: Send + 'static {
    /// Reads up to `max` bytes without blocking; empty where none are there yet.
    fn read(&mut self, max: usize) -> Result<Vec<u8>, StreamError>;

    /// How it becomes readable.
    fn readiness(&self) -> Readiness;
}

/// Something to write bytes to.
pub trait OutputStream: Send + 'static {
    /// How many bytes the next `write` takes; 0 where none yet.
    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(MAX_TRANSFER)
    }

    /// Writes all of `bytes`, which are at most what `check_write` said.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError>;

    /// Starts to hand on what was written; whether all of it was. Where not, it is asked
    /// again once the stream is ready.
    fn flush(&mut self) -> Result<bool, StreamError> {
        Ok(true)
    }

    /// How it becomes writable.
    fn readiness(&self) -> Readiness {
        Readiness::Now
    }
}
