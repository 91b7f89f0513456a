//! Address space: reserve it, commit a prefix of it, give it back.
//!
//! ```text
//!   base            base+committed                     base+reserved
//!     | read + write | no access (reserve, guard) .......... |
//!     +--------------+---------------------------------------+
//! ```
//!
//! Files can be mapped over accessible pages, copied on write.
//!
//! Not here: executable memory (`code`), stacks (`helve-fiber`), reuse (`pool`).
//!
//! # Safety
//!
//! Each call into the kernel names a range of a mapping that its [`Reservation`] owns;
//! the ranges are computed with checked arithmetic and rounded to pages.

use helve_base::{Result, ensure, error::Context};
use rustix::fd::OwnedFd;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use std::cell::Cell;
use std::ops::Range;
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Address space of our own, of which a prefix can be accessed.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: NonNull<u8>,
    reserved: usize,
    committed: Cell<usize>,
}

// SAFETY: it owns its mapping, which is not bound to a thread.
unsafe impl Send for Reservation {}

/// `bytes` rounded up to whole pages.
pub(crate) fn page_ceil(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(helve_fiber::page_size())
}

/// What one entry of a page directory covers on most machines.
const DIRECTORY: usize = 1 << 30;

/// Where a big mapping had best be: at the start of a part of the address space that nobody
/// else has mappings in. Unmapping looks at every page table entry of what it unmaps, which
/// are thousands where a neighbour has tables there already, and else a few. The kernel
/// takes another place where this one is taken.
fn wish(bytes: usize) -> *mut std::ffi::c_void {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    static TOP: OnceLock<usize> = OnceLock::new();
    /// How many places there are before the first comes again, and how far below other
    /// mappings they start.
    const PLACES: usize = 2048;
    const AWAY: usize = 1 << 40;
    if bytes < DIRECTORY {
        return null_mut();
    }
    let top = TOP.get_or_init(|| {
        // Where the kernel places a small one, at random; none, where it has no room.
        let other = Reservation::new(1).map_or(0, |other| other.base().addr());
        other.saturating_sub(AWAY) & !(DIRECTORY - 1)
    });
    let number = NEXT.fetch_add(1, Ordering::Relaxed) % PLACES + 1;
    let place = bytes
        .checked_next_multiple_of(DIRECTORY)
        .and_then(|stride| stride.checked_mul(number))
        .and_then(|below| top.checked_sub(below));
    place.map_or(null_mut(), std::ptr::without_provenance_mut)
}

impl Reservation {
    /// Reserves `bytes` (rounded up to pages), none of it accessible yet.
    pub(crate) fn new(bytes: usize) -> Result<Reservation> {
        let reserved = page_ceil(bytes.max(1));
        ensure!(
            reserved.is_some_and(|n| n <= isize::MAX as usize),
            "cannot reserve {bytes} bytes of address space: too much"
        );
        let reserved = reserved.unwrap_or(0);
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                wish(reserved),
                reserved,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .with_context(|| {
            format!(
                "cannot reserve {reserved} bytes of address space; use fewer or smaller memories"
            )
        })?;
        let Some(base) = NonNull::new(base.cast::<u8>()) else {
            helve_base::bail!("the kernel mapped memory at address 0");
        };
        Ok(Reservation {
            base,
            reserved,
            committed: Cell::new(0),
        })
    }

    /// Reserves `guard + bytes` and makes all but the first `guard` accessible: a stack
    /// that grows down. Both are whole pages.
    pub(crate) fn new_top(guard: usize, bytes: usize) -> Result<Reservation> {
        let space = Reservation::new(guard.saturating_add(bytes))?;
        // SAFETY: the upper part of our own mapping.
        unsafe {
            let start = space.base().add(guard);
            rustix::mm::mprotect(
                start.cast(),
                bytes,
                MprotectFlags::READ | MprotectFlags::WRITE,
            )
        }
        .context("cannot make a signal stack accessible")?;
        Ok(space)
    }

    /// Its first byte.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Bytes of address space.
    pub(crate) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Bytes that are accessible.
    pub(crate) fn accessible(&self) -> usize {
        self.committed.get()
    }

    /// Makes the first `bytes`, in whole pages, accessible, and nothing else. What was
    /// accessible keeps its contents; what never was is zero.
    pub(crate) fn set_accessible(&self, bytes: usize) -> bool {
        let Some(wanted) = page_ceil(bytes) else {
            return false;
        };
        let committed = self.committed.get();
        if wanted >= committed {
            return self.commit(wanted);
        }
        // SAFETY: `wanted < committed <= reserved`: a range of our own mapping.
        let done = unsafe {
            let start = self.base.as_ptr().add(wanted);
            rustix::mm::mprotect(start.cast(), committed - wanted, MprotectFlags::empty())
        };
        if done.is_ok() {
            self.committed.set(wanted);
        }
        done.is_ok()
    }

    /// Maps a file's first pages over the accessible pages of `range`; writes stay ours.
    pub(crate) fn map_file(&self, range: Range<usize>, file: &OwnedFd) -> Result<()> {
        self.check(&range)?;
        // SAFETY: checked to be accessible pages of our own mapping.
        unsafe {
            rustix::mm::mmap(
                self.base.as_ptr().add(range.start).cast(),
                range.len(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
                file,
                0,
            )
        }
        .context("cannot map a memory's first contents")?;
        Ok(())
    }

    /// Makes the accessible pages of `range` zero, and no file's.
    pub(crate) fn map_zeros(&self, range: Range<usize>) -> Result<()> {
        self.check(&range)?;
        // SAFETY: checked to be accessible pages of our own mapping.
        unsafe {
            rustix::mm::mmap_anonymous(
                self.base.as_ptr().add(range.start).cast(),
                range.len(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
            )
        }
        .context("cannot map zeros into a memory")?;
        Ok(())
    }

    /// Gives the accessible pages of `range` back: they are as the mapping has them, zero
    /// or the file's.
    pub(crate) fn discard(&self, range: Range<usize>) -> bool {
        if range.is_empty() {
            return true;
        }
        if self.check(&range).is_err() {
            return false;
        }
        // SAFETY: checked to be accessible pages of our own mapping.
        unsafe {
            let start = self.base.as_ptr().add(range.start);
            rustix::mm::madvise(start.cast(), range.len(), Advice::LinuxDontNeed).is_ok()
        }
    }

    /// Makes the accessible pages of `range` pages of our own, which hold what they would
    /// once they are written to. The system may decline.
    pub(crate) fn populate(&self, range: Range<usize>) {
        if self.check(&range).is_ok() {
            // SAFETY: checked to be accessible pages of our own mapping; what they hold stays.
            unsafe {
                let start = self.base.as_ptr().add(range.start);
                let _ = rustix::mm::madvise(start.cast(), range.len(), Advice::LinuxPopulateWrite);
            }
        }
    }

    /// Makes a forked child find zeros here; `false` where the system can't.
    pub(crate) fn wipe_on_fork(&self) -> bool {
        // SAFETY: our own mapping.
        unsafe {
            rustix::mm::madvise(
                self.base.as_ptr().cast(),
                self.reserved,
                Advice::LinuxWipeOnFork,
            )
        }
        .is_ok()
    }

    /// That `range` is of whole accessible pages.
    fn check(&self, range: &Range<usize>) -> Result<()> {
        let page = helve_fiber::page_size();
        let whole = range.start.is_multiple_of(page) && range.end.is_multiple_of(page);
        ensure!(
            whole && range.start < range.end && range.end <= self.committed.get(),
            "{range:?} are no accessible pages of a memory"
        );
        Ok(())
    }

    /// Makes at least the first `bytes` accessible; new pages are zero. `false` where
    /// they are more than was reserved or the kernel refuses.
    pub(crate) fn commit(&self, bytes: usize) -> bool {
        let Some(wanted) = page_ceil(bytes) else {
            return false;
        };
        let committed = self.committed.get();
        if wanted <= committed {
            return true;
        }
        if wanted > self.reserved {
            return false;
        }
        // SAFETY: `committed <= wanted <= reserved`: a range of our own mapping.
        let done = unsafe {
            let start = self.base.as_ptr().add(committed);
            rustix::mm::mprotect(
                start.cast(),
                wanted - committed,
                MprotectFlags::READ | MprotectFlags::WRITE,
            )
        };
        if done.is_ok() {
            self.committed.set(wanted);
        }
        done.is_ok()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and its owner is going away. A failure would leak it.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.reserved) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_a_prefix_of_zeros() {
        let r = Reservation::new(1 << 30).unwrap();
        assert!(r.commit(1));
        assert!(r.commit(100_000));
        assert!(r.commit(5));
        for at in [0, 99_999] {
            // SAFETY: committed above.
            let byte = unsafe { *r.base().add(at) };
            assert_eq!(byte, 0);
        }
        assert!(!r.commit(r.reserved() + 1));
        assert!(!r.commit(usize::MAX));
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert!(Reservation::new(usize::MAX).is_err());
        assert!(Reservation::new(1 << 60).is_err());
    }
}
