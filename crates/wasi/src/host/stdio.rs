//! Standard streams: the process's own, bytes in memory, or nothing.
//!
//! The process's streams are used without a buffer of ours, so nothing that a guest
//! printed is lost when it traps.

use super::poll::{self, Readiness};
use super::stream::{InputStream, MAX_TRANSFER, OutputStream, StreamError};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// What a guest reads as stdin.
#[derive(Clone)]
pub struct Stdin(Input);

#[derive(Clone)]
enum Input {
    Empty,
    Bytes(Arc<Mutex<std::collections::VecDeque<u8>>>),
    Descriptor {
        fd: Arc<poll::Descriptor>,
        terminal: bool,
    },
}

impl Stdin {
    /// The process's stdin; empty where it is closed.
    pub fn inherit() -> Stdin {
        Stdin(match std::io::stdin().as_fd().try_clone_to_owned() {
            Ok(fd) => Input::Descriptor {
                terminal: rustix::termios::isatty(&fd),
                fd: poll::Descriptor::new(fd),
            },
            Err(_) => Input::Empty,
        })
    }

    /// Nothing: ends at once.
    pub fn empty() -> Stdin {
        Stdin(Input::Empty)
    }

    /// These bytes, then the end.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Stdin {
        Stdin(Input::Bytes(Arc::new(Mutex::new(bytes.into().into()))))
    }

    /// Whether a person sits at the other end.
    pub fn is_terminal(&self) -> bool {
        matches!(self.0, Input::Descriptor { terminal: true, .. })
    }
}

impl InputStream for Stdin {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, StreamError> {
        let max = max.min(MAX_TRANSFER);
        match &self.0 {
            Input::Empty => Err(StreamError::Closed),
            Input::Bytes(bytes) => {
                let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                if bytes.is_empty() {
                    return Err(StreamError::Closed);
                }
                let count = max.min(bytes.len());
                Ok(bytes.drain(..count).collect())
            }
            Input::Descriptor { fd, .. } => {
                if max == 0 || !fd.is_readable() {
                    return Ok(Vec::new());
                }
                let mut buffer = vec![0; max];
                let count = rustix::io::read(fd, &mut buffer).map_err(std::io::Error::from)?;
                if count == 0 {
                    return Err(StreamError::Closed);
                }
                buffer.truncate(count);
                Ok(buffer)
            }
        }
    }

    fn readiness(&self) -> Readiness {
        match &self.0 {
            Input::Descriptor { fd, .. } => Readiness::Readable(fd.clone()),
            _ => Readiness::Now,
        }
    }
}

/// Where a guest's stdout or stderr goes.
#[derive(Clone)]
pub struct Stdout(Output);

#[derive(Clone)]
enum Output {
    Sink,
    Memory(MemoryOutput),
    Descriptor { fd: Arc<OwnedFd>, terminal: bool },
}

impl Stdout {
    /// The process's stdout; a sink where it is closed.
    pub fn inherit_stdout() -> Stdout {
        Stdout::descriptor(std::io::stdout().as_fd().try_clone_to_owned())
    }

    /// The process's stderr; a sink where it is closed.
    pub fn inherit_stderr() -> Stdout {
        Stdout::descriptor(std::io::stderr().as_fd().try_clone_to_owned())
    }

    fn descriptor(fd: std::io::Result<OwnedFd>) -> Stdout {
        Stdout(match fd {
            Ok(fd) => Output::Descriptor {
                terminal: rustix::termios::isatty(&fd),
                fd: Arc::new(fd),
            },
            Err(_) => Output::Sink,
        })
    }

    /// Swallows all.
    pub fn sink() -> Stdout {
        Stdout(Output::Sink)
    }

    /// Keeps what is written in `memory`.
    pub fn memory(memory: &MemoryOutput) -> Stdout {
        Stdout(Output::Memory(memory.clone()))
    }

    /// Whether a person sits at the other end.
    pub fn is_terminal(&self) -> bool {
        matches!(self.0, Output::Descriptor { terminal: true, .. })
    }
}

impl OutputStream for Stdout {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        match &self.0 {
            Output::Sink => Ok(()),
            Output::Memory(memory) => memory.append(bytes),
            Output::Descriptor { fd, .. } => {
                while !bytes.is_empty() {
                    match rustix::io::write(fd, bytes) {
                        Ok(count) => bytes = bytes.get(count..).unwrap_or(&[]),
                        Err(rustix::io::Errno::INTR) => {}
                        // The descriptor may be non-blocking through no doing of ours.
                        Err(rustix::io::Errno::AGAIN) => {
                            poll::block_until_writable(fd)?;
                        }
                        Err(e) => return Err(std::io::Error::from(e).into()),
                    }
                }
                Ok(())
            }
        }
    }
}

/// Output kept in memory, up to a bound; clones share it.
#[derive(Clone)]
pub struct MemoryOutput {
    bytes: Arc<Mutex<Vec<u8>>>,
    most: usize,
}

impl MemoryOutput {
    /// Keeps up to `most` bytes; a write beyond that fails.
    pub fn new(most: usize) -> MemoryOutput {
        MemoryOutput {
            bytes: Arc::default(),
            most,
        }
    }

    /// What was written so far.
    pub fn contents(&self) -> Vec<u8> {
        self.bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn append(&self, more: &[u8]) -> Result<(), StreamError> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len().saturating_add(more.len()) > self.most {
            return Err(StreamError::Failed(std::io::Error::other(
                "the host keeps no more of this output",
            )));
        }
        bytes.extend_from_slice(more);
        Ok(())
    }
}
