//! What a memory holds before its guest runs, as pages that many memories share until
//! they write to them.
//!
//! ```text
//!   memfd  [ pages of the image ]
//!             |            \______ view: read-only, to copy pages back from
//!             | private, copy on write
//!   memory [ 0 ... | start ...... start+bytes | 0 ... ]
//! ```
//!
//! Not here: which data segments make an image (the embedder), when it is mapped (`pool`).
//!
//! # Safety
//!
//! The file is sealed once it is filled, so nothing can change under the view or under the
//! memories that it is mapped into. The view is our own mapping, and only read.

use crate::mmap::page_ceil;
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::ops::Range;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// The first contents of a memory, apart from zeros before and after.
#[derive(Debug)]
pub struct MemoryImage {
    file: OwnedFd,
    /// Where it starts in the memory: a whole page.
    start: usize,
    /// Its length: whole pages.
    bytes: usize,
    view: NonNull<u8>,
}

// SAFETY: it owns its mapping, which is not bound to a thread.
unsafe impl Send for MemoryImage {}
// SAFETY: what it points to is never written.
unsafe impl Sync for MemoryImage {}

impl MemoryImage {
    /// The image of a memory into which `segments` (offset, bytes) were copied in this
    /// order; `None` where there are none, or the system does not let us.
    pub fn new(segments: &[(usize, &[u8])]) -> Option<Arc<MemoryImage>> {
        let page = helve_fiber::page_size();
        let used = segments.iter().filter(|(_, bytes)| !bytes.is_empty());
        let first = used.clone().map(|&(at, _)| at).min()?;
        let mut last = 0;
        for &(at, bytes) in used.clone() {
            last = last.max(at.checked_add(bytes.len())?);
        }
        let start = first / page * page;
        let bytes = page_ceil(last)?.checked_sub(start)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("helve-memory", flags).ok()?;
        rustix::fs::ftruncate(&file, bytes as u64).ok()?;
        for &(at, bytes) in used {
            let mut at = (at - start) as u64;
            let mut rest = bytes;
            while !rest.is_empty() {
                let written = rustix::io::pwrite(&file, rest, at).ok()?;
                rest = rest.get(written..).filter(|_| written > 0)?;
                at += written as u64;
            }
        }
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals).ok()?;
        // SAFETY: a fresh mapping of our own file at an address of the kernel's choice.
        let view = unsafe {
            rustix::mm::mmap(
                null_mut(),
                bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
                &file,
                0,
            )
        };
        Some(Arc::new(MemoryImage {
            start,
            bytes,
            view: NonNull::new(view.ok()?.cast())?,
            file,
        }))
    }

    /// Where in a memory it stands.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.bytes
    }

    /// What it is mapped from.
    pub(crate) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Its contents, from the start of [`MemoryImage::range`].
    pub(crate) fn contents(&self) -> &[u8] {
        // SAFETY: a mapping of that length, never written, as long as `self`.
        unsafe { std::slice::from_raw_parts(self.view.as_ptr(), self.bytes) }
    }
}

impl Drop for MemoryImage {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and its owner is going away. A failure would leak it.
        let _ = unsafe { rustix::mm::munmap(self.view.as_ptr().cast(), self.bytes) };
    }
}
