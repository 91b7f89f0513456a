//! Tells `perf` what generated code is called.
//!
//! ```text
//!   perf map   /tmp/perf-PID.map   one line for each function: address, size, name
//!   jitdump    ./jit-PID.dump      header, then a record for each function, with its code;
//!                                  mapped executable, which is how perf finds the file
//! ```
//!
//! With a perf map, `perf report` names functions. With a jitdump, `perf record -k 1` and
//! `perf inject --jit` can annotate their instructions too. Both formats are perf's own.
//!
//! Not here: names (the embedder's).
//!
//! # Safety
//!
//! The mapping of the dump is our own, and nothing ever looks at it.

use helve_base::vmctx::CodePtr;
use helve_base::{Result, error::Context};
use rustix::mm::{MapFlags, ProtFlags};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

/// What perf is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `/tmp/perf-PID.map`.
    PerfMap,
    /// `jit-PID.dump` in the current folder.
    JitDump,
}

/// An open file for perf.
#[derive(Debug)]
pub struct Profile {
    format: Format,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Functions so far.
    count: u64,
}

/// The machine's number in ELF files.
const MACHINE: u32 = if cfg!(target_arch = "aarch64") {
    183
} else {
    62
};

/// Bytes of a jitdump's header, and of a record before its name.
const HEADER: u32 = 40;
const RECORD: u32 = 56;

impl Profile {
    /// Starts a file for this process; one that is there is written anew.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn open(format: Format) -> Result<Profile> {
        let process = std::process::id();
        let path = match format {
            Format::PerfMap => PathBuf::from(format!("/tmp/perf-{process}.map")),
            Format::JitDump => PathBuf::from(format!("jit-{process}.dump")),
        };
        let open = || -> io::Result<File> {
            let mut options = File::options();
            let mut file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path)?;
            if format == Format::JitDump {
                file.write_all(&header(process))?;
                map(&file)?;
            }
            Ok(file)
        };
        let file = open().with_context(|| format!("cannot write `{}` for perf", path.display()))?;
        Ok(Profile {
            format,
            state: Mutex::new(State { file, count: 0 }),
            path,
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Tells that `code` runs at `at`, and what it is called. What cannot be written is left
    /// out.
    pub fn add(&self, name: &str, at: CodePtr, code: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // One line, one string.
        let name: String = name
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let record = match self.format {
            Format::PerfMap => format!("{:x} {:x} {name}\n", at.addr(), code.len()).into_bytes(),
            Format::JitDump => record(state.count, &name, at.addr(), code),
        };
        state.count += 1;
        let _ = state.file.write_all(&record);
    }
}

/// perf sees this mapping, and by it the file's name. It stays as long as the process.
fn map(file: &File) -> io::Result<()> {
    // SAFETY: a fresh mapping at an address of the kernel's choice.
    unsafe {
        rustix::mm::mmap(
            null_mut(),
            helve_fiber::page_size(),
            ProtFlags::READ | ProtFlags::EXEC,
            MapFlags::PRIVATE,
            file,
            0,
        )?;
    }
    Ok(())
}

/// Nanoseconds, on the clock that `perf record -k 1` has.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn header(process: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0x4a69_5444, 1, HEADER, MACHINE, 0, process] {
        bytes.extend_from_slice(&u32::to_ne_bytes(word));
    }
    for word in [now(), 0] {
        bytes.extend_from_slice(&u64::to_ne_bytes(word));
    }
    bytes
}

/// A `JIT_CODE_LOAD`.
fn record(index: u64, name: &str, at: usize, code: &[u8]) -> Vec<u8> {
    let size = RECORD as usize + name.len() + 1 + code.len();
    let mut bytes = Vec::with_capacity(size);
    for word in [0, u32::try_from(size).unwrap_or(u32::MAX)] {
        bytes.extend_from_slice(&u32::to_ne_bytes(word));
    }
    bytes.extend_from_slice(&now().to_ne_bytes());
    // SAFETY: asks for a number.
    let thread = unsafe { libc::gettid() } as u32;
    for word in [std::process::id(), thread] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    for word in [at as u64, at as u64, code.len() as u64, index] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(code);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_say_how_long_they_are() {
        assert_eq!(header(7).len(), HEADER as usize);
        let bytes = record(3, "f", 0x1000, &[1, 2, 3]);
        assert_eq!(bytes.len(), RECORD as usize + 2 + 3);
        assert_eq!(bytes[4..8], (bytes.len() as u32).to_ne_bytes());
        assert_eq!(bytes[RECORD as usize..], [b'f', 0, 1, 2, 3]);
    }
}
