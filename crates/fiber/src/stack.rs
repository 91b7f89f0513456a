//! One stack: a private mapping with a guard page at its low end.
//!
//! ```text
//!   low()                                                    base()        high()
//!     | guard page | usable bytes ......................... <-- | record      |
//!     +------------+--------------------------------------------+-------------+
//!     mapping start                           (grows down)        RECORD_BYTES
//! ```
//!
//! The record above the base belongs to whoever runs the fiber: what it must keep per
//! fiber stands there without an allocation of its own.
//!
//! The guard page is a backstop only: compiled code checks its limit in prologues, and
//! host functions get headroom. Where the kernel offers it (Linux 6.13), the guard is
//! made without splitting the mapping, so that ten thousand stacks do not use up
//! `vm.max_map_count`.
//!
//! Not here: reuse (`pool`).
//!
//! # Safety
//!
//! Every pointer handed to the kernel is a mapping that this file made and that its
//! [`Stack`] owns alone; nobody reads or writes stack memory through this type.

use helve_base::{Result, error::Context};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::num::NonZeroUsize;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes above the base that are the runner's own; aligned to 16.
pub const RECORD_BYTES: usize = 1024;

/// The least number of usable bytes a stack is made with.
const LEAST_BYTES: usize = 16 << 10;

/// `MADV_GUARD_INSTALL`, which the libc crate does not name yet.
const MADV_GUARD_INSTALL: i32 = 102;

/// Whether `MADV_GUARD_INSTALL` failed once: then it is not tried again.
static NO_LIGHT_GUARD: AtomicBool = AtomicBool::new(false);

/// A stack; unmapped when dropped.
#[derive(Debug)]
pub struct Stack {
    /// The start of the mapping: the guard page.
    start: NonZeroUsize,
    /// Bytes of the whole mapping.
    bytes: usize,
}

impl Stack {
    /// Maps a stack with at least `usable` bytes between guard page and base.
    pub fn new(usable: usize) -> Result<Stack> {
        let page = page_size();
        let bytes = usable
            .max(LEAST_BYTES)
            .checked_add(RECORD_BYTES + page)
            .and_then(|n| n.checked_next_multiple_of(page))
            .with_context_of(usable)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::STACK,
            )
        }
        .with_context(|| {
            format!("cannot map a fiber stack of {bytes} bytes; use fewer or smaller fiber stacks")
        })?;
        let Some(start) = NonZeroUsize::new(start.addr()) else {
            helve_base::bail!("the kernel mapped a fiber stack at address 0");
        };
        let stack = Stack { start, bytes };
        stack.guard(page)?;
        Ok(stack)
    }

    /// Makes the lowest page inaccessible.
    fn guard(&self, page: usize) -> Result<()> {
        let start = self.start.get() as *mut std::ffi::c_void;
        if !NO_LIGHT_GUARD.load(Ordering::Relaxed) {
            // SAFETY: the first page of our own mapping; nothing was stored there.
            if unsafe { libc::madvise(start, page, MADV_GUARD_INSTALL) } == 0 {
                return Ok(());
            }
            NO_LIGHT_GUARD.store(true, Ordering::Relaxed);
        }
        // SAFETY: as above.
        unsafe { rustix::mm::mprotect(start, page, MprotectFlags::empty()) }.context(
            "cannot protect the guard page of a fiber stack; raise vm.max_map_count or use fewer fibers",
        )
    }

    /// The lowest usable address, just above the guard page.
    pub fn low(&self) -> usize {
        self.start.get() + page_size()
    }

    /// The address the stack grows down from; aligned to 16.
    pub fn base(&self) -> usize {
        self.high() - RECORD_BYTES
    }

    /// The end of the mapping.
    pub fn high(&self) -> usize {
        self.start.get() + self.bytes
    }

    /// The runner's own [`RECORD_BYTES`]: zero on a fresh stack, what the last runner left on a
    /// reused one.
    pub fn record(&self) -> *mut u8 {
        self.base() as *mut u8
    }

    /// Gives the pages below the top `keep` bytes back to the kernel.
    pub(crate) fn trim(&mut self, keep: usize) {
        let page = page_size();
        let end = self.high().saturating_sub(keep) / page * page;
        let low = self.low();
        if end > low {
            // SAFETY: our own mapping, and no fiber runs on it: `self` is borrowed mutably.
            // Failure leaves the pages in place, which is harmless.
            let _ = unsafe {
                rustix::mm::madvise(low as *mut _, end - low, rustix::mm::Advice::LinuxDontNeed)
            };
        }
    }

    /// Frames that were left without returning have left marks for AddressSanitizer, which
    /// it would take for those of the frames that come to stand there.
    #[cfg(feature = "sanitizer")]
    pub(crate) fn unmark(&self) {
        unsafe extern "C" {
            fn __asan_unpoison_memory_region(at: *const u8, size: usize);
        }
        // SAFETY: only the marks of our own mapping change.
        unsafe { __asan_unpoison_memory_region(self.start.get() as *const u8, self.bytes) };
    }

    /// Nothing but AddressSanitizer marks stacks.
    #[cfg(not(feature = "sanitizer"))]
    #[inline(always)]
    pub(crate) fn unmark(&self) {}

    /// The mapping's start (its guard page), as the switching crate wants it.
    pub(crate) fn limit(&self) -> NonZeroUsize {
        self.start
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.unmark();
        // SAFETY: our own mapping, and its owner is going away. A failure would leak it.
        let _ = unsafe { rustix::mm::munmap(self.start.get() as *mut _, self.bytes) };
    }
}

/// `Option` to `Result` for a size that does not fit.
trait WithContextOf<T> {
    fn with_context_of(self, usable: usize) -> Result<T>;
}

impl<T> WithContextOf<T> for Option<T> {
    fn with_context_of(self, usable: usize) -> Result<T> {
        self.ok_or_else(|| {
            helve_base::Error::msg(format!("a fiber stack of {usable} bytes is too large"))
        })
    }
}

/// The system's page size, in bytes.
///
/// By the C library: what asks the kernel's own table of a process finds addresses there
/// that do not exist in a process that runs under Valgrind.
#[inline]
pub fn page_size() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: it only answers.
            let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let size = usize::try_from(size).unwrap_or(4096);
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_as_drawn() {
        let stack = Stack::new(100_000).unwrap();
        assert!(stack.base() - stack.low() >= 100_000);
        assert_eq!(stack.base() % 16, 0);
        assert_eq!(stack.low() - stack.limit().get(), page_size());
        assert_eq!(stack.record() as usize + RECORD_BYTES, stack.high());
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert!(Stack::new(usize::MAX).is_err());
        assert!(Stack::new(1 << 60).is_err());
    }
}
