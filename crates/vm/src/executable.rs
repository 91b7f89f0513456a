//! Executable memory: no page is ever writable and executable.
//!
//! ```text
//!   usual:     one memfd --+--> view RW   (written here, unmapped by `seal`)
//!                          +--> view RX   (run here)
//!   fallback:  one private mapping, RW while it is filled, RX after `seal`
//! ```
//!
//! The fallback is for systems that refuse memfds or executable views of them. With two
//! views, code can be added while other code of the region runs (43 ns, against 5,700
//! for a flip of protections); a region is therefore filled in pieces by `write`, and
//! `seal` ends that. Whole images are sealed at once; a lazily filled region simply
//! is not sealed until it is full.
//!
//! Not here: what is where in it (`code`), who finds it by pc (`registry`).
//!
//! # Safety
//!
//! The views are our own mappings; writes are checked against the region's size, and go
//! through the writable view, which nobody else has.

use crate::arch;
use crate::mmap::page_ceil;
use crate::pages;
use helve_base::{Result, ensure, error::Context};
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

/// A range of executable memory.
#[derive(Debug)]
pub(crate) struct Executable {
    /// Where it runs.
    run: NonNull<u8>,
    /// Where it is written; `None` once sealed.
    write: Option<NonNull<u8>>,
    bytes: usize,
    /// Bytes, from the start, whose pages are present where they are written.
    present: usize,
}

/// Bytes whose pages are made present at once, as they are about to be written.
const AHEAD: usize = 256 << 10;

// SAFETY: it owns its mappings, which are not bound to a thread.
unsafe impl Send for Executable {}
// SAFETY: shared references only read addresses.
unsafe impl Sync for Executable {}

/// Whether to use two views of a memfd where the system allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Views {
    /// Two views, or else one.
    Preferred,
    /// One view whose protection is flipped.
    #[cfg(test)]
    One,
}

impl Executable {
    /// Room for `bytes`, writable through `write`.
    pub(crate) fn new(bytes: usize, views: Views) -> Result<Executable> {
        let Some(bytes) = page_ceil(bytes.max(1)) else {
            helve_base::bail!("cannot map {bytes} bytes for code: too much");
        };
        if views == Views::Preferred
            && let Some(two) = Executable::two_views(bytes)
        {
            return Ok(two);
        }
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }
        .with_context(|| format!("cannot map {bytes} bytes for code"))?;
        let Some(run) = NonNull::new(start.cast()) else {
            helve_base::bail!("the kernel mapped code at address 0");
        };
        Ok(Executable {
            run,
            write: Some(run),
            bytes,
            present: 0,
        })
    }

    /// Two views of one memfd, if the system allows.
    fn two_views(bytes: usize) -> Option<Executable> {
        let memfd = |flags| rustix::fs::memfd_create("helve-code", MemfdFlags::CLOEXEC | flags);
        // Kernels before 6.3 know no EXEC flag.
        let file = memfd(MemfdFlags::EXEC)
            .or_else(|_| memfd(MemfdFlags::empty()))
            .ok()?;
        rustix::fs::ftruncate(&file, bytes as u64).ok()?;
        let view = |protection| {
            // SAFETY: a fresh mapping of our own file at an address of the kernel's choice.
            let start = unsafe {
                rustix::mm::mmap(null_mut(), bytes, protection, MapFlags::SHARED, &file, 0)
            };
            NonNull::new(start.ok()?.cast::<u8>())
        };
        let write = view(ProtFlags::READ | ProtFlags::WRITE)?;
        match view(ProtFlags::READ | ProtFlags::EXEC) {
            Some(run) => Some(Executable {
                run,
                write: Some(write),
                bytes,
                present: 0,
            }),
            None => {
                unmap(write, bytes);
                None
            }
        }
    }

    /// Where offset 0 runs.
    pub(crate) fn run(&self) -> NonNull<u8> {
        self.run
    }

    /// Its size in bytes, whole pages.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether code can be added while other code of the region runs.
    pub(crate) fn has_two_views(&self) -> bool {
        self.write.is_some_and(|view| view != self.run)
    }

    /// Writes `code` at `offset`; other code of the region may be running.
    pub(crate) fn write(&mut self, offset: usize, code: &[u8]) -> Result<()> {
        let Some(view) = self.write else {
            helve_base::bail!("code was written into a sealed region");
        };
        ensure!(
            offset
                .checked_add(code.len())
                .is_some_and(|end| end <= self.bytes),
            "code of {} bytes at {offset} does not fit a region of {}",
            code.len(),
            self.bytes
        );
        self.expect(view, offset + code.len());
        // SAFETY: checked above to lie within the writable view, which is only ours.
        unsafe {
            view.add(offset)
                .copy_from_nonoverlapping(NonNull::from(code).cast(), code.len());
            arch::publish(self.run.add(offset).as_ptr(), code.len());
        }
        Ok(())
    }

    /// Has pages present before they are written one after the other.
    fn expect(&mut self, view: NonNull<u8>, end: usize) {
        if end > self.present {
            let ahead = end.next_multiple_of(AHEAD).min(self.bytes);
            let start = view.as_ptr().wrapping_add(self.present);
            pages::populate(start, ahead - self.present);
            self.present = ahead;
        }
    }

    /// Ends writing.
    pub(crate) fn seal(&mut self) -> Result<()> {
        let Some(view) = self.write.take() else {
            return Ok(());
        };
        if view != self.run {
            unmap(view, self.bytes);
            return Ok(());
        }
        // SAFETY: our own mapping.
        unsafe {
            rustix::mm::mprotect(
                self.run.as_ptr().cast(),
                self.bytes,
                MprotectFlags::READ | MprotectFlags::EXEC,
            )
        }
        .context("the system does not let this process make code executable")
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        if let Some(view) = self.write.filter(|&view| view != self.run) {
            unmap(view, self.bytes);
        }
        unmap(self.run, self.bytes);
    }
}

fn unmap(start: NonNull<u8>, bytes: usize) {
    // SAFETY: called with a view of our own that is going away. A failure would leak it.
    let _ = unsafe { rustix::mm::munmap(start.as_ptr().cast::<c_void>(), bytes) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The permissions of the mapping that holds `address`, as the kernel tells them.
    fn permissions(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| {
            let (from, rest) = line.split_once('-').unwrap();
            let to = rest.split(' ').next().unwrap();
            let parse = |s| usize::from_str_radix(s, 16).unwrap();
            (parse(from)..parse(to)).contains(&address)
        });
        line.unwrap().split(' ').nth(1).unwrap()[..3].to_owned()
    }

    #[test]
    fn never_writable_and_executable() {
        for (views, while_written) in [(Views::Preferred, ["r-x", "rw-"]), (Views::One, ["rw-"; 2])]
        {
            let mut code = Executable::new(5000, views).unwrap();
            code.write(4998, &[1, 2]).unwrap();
            assert!(code.write(8191, &[1, 2]).is_err());
            assert!(code.write(usize::MAX, &[1, 2]).is_err());
            let write = code.write.unwrap().addr().get();
            let run = code.run().addr().get();
            assert_eq!(
                [permissions(run), permissions(write)],
                while_written,
                "{views:?}"
            );
            code.seal().unwrap();
            assert_eq!(permissions(run), "r-x");
            assert!(code.write(0, &[1]).is_err());
            // SAFETY: within the region, which is readable.
            assert_eq!(unsafe { code.run().add(4999).read() }, 2);
        }
    }
}
