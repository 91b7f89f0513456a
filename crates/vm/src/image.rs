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
//! **Usual pages.** Guests of one module write much the same pages: their stack, their
//! globals, the start of their heap. Which ones is learnt from the first of them, and later
//! ones get copies of those pages in one go, in place of two faults for each: one that reads
//! and one that writes. It makes no difference to what the memory holds.
//!
//! Not here: which data segments make an image (the embedder), when it is mapped, who is
//! looked at (`pool`).
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
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The first contents of a memory, apart from zeros before and after.
#[derive(Debug)]
pub struct MemoryImage {
    file: OwnedFd,
    /// Where it starts in the memory: a whole page.
    start: usize,
    /// Its length: whole pages.
    bytes: usize,
    view: NonNull<u8>,
    usual: Mutex<Learning>,
    learnt: OnceLock<Box<[Range<usize>]>>,
}

/// What was seen of memories with this image.
#[derive(Debug, Default)]
struct Learning {
    seen: u32,
    /// Pages that each of them wrote.
    pages: Vec<usize>,
}

/// How many memories are looked at.
const LOOKS: u32 = 3;

/// Most pages that are usual.
const MOST_USUAL: usize = 64;

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
            usual: Mutex::default(),
            learnt: OnceLock::new(),
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

impl MemoryImage {
    /// Whether it is not known yet what guests usually write.
    pub(crate) fn is_learning(&self) -> bool {
        self.learnt.get().is_none()
    }

    /// The runs of pages of a memory that guests usually write.
    pub(crate) fn usual(&self) -> &[Range<usize>] {
        self.learnt.get().map_or(&[], |runs| runs)
    }

    /// A guest wrote these runs of pages of its memory, and no others.
    pub(crate) fn learn(&self, runs: &[Range<usize>]) {
        let page = helve_fiber::page_size();
        // Nothing panics under this lock; were it poisoned, what it has would still hold.
        let mut usual = self.usual.lock().unwrap_or_else(PoisonError::into_inner);
        let pages = runs.iter().flat_map(|run| run.clone().step_by(page));
        match usual.seen {
            0 => usual.pages = pages.take(MOST_USUAL).collect(),
            _ => {
                let written = |at: &usize| runs.iter().any(|run| run.contains(at));
                usual.pages.retain(written);
            }
        }
        usual.seen += 1;
        if usual.seen < LOOKS {
            return;
        }
        let mut runs: Vec<Range<usize>> = Vec::new();
        for &at in &usual.pages {
            match runs.last_mut() {
                Some(run) if run.end == at => run.end += page,
                _ => runs.push(at..at + page),
            }
        }
        self.learnt.get_or_init(|| runs.into());
    }
}

impl Drop for MemoryImage {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and its owner is going away. A failure would leak it.
        let _ = unsafe { rustix::mm::munmap(self.view.as_ptr().cast(), self.bytes) };
    }
}
