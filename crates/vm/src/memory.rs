//! A linear memory: address space reserved once, committed as it grows, never moved.
//!
//! ```text
//!                VMMemory { base, len, owner }   <- what compiled code reads
//!                             |          ^ `home` until an instance takes it, then in its VMContext
//!   32-bit:  [ committed ... | no access up to 4 GiB | guard ]   MEMORY32_RESERVATION
//!   64-bit:  [ committed ... | no access up to the limit | guard ]
//! ```
//!
//! Growth is `mprotect`; failing is `None` (the guest sees -1), never an abort. Pages
//! smaller than the machine's are committed in whole machine pages: with such types,
//! compiled code checks bounds explicitly.
//!
//! Not here: data segments and bulk operations (`instance`, `builtins`).
//!
//! # Safety
//!
//! A [`Memory`] owns its reservation; `len` never exceeds what is committed. The
//! definition is reached through raw pointers only, because compiled code reads it at
//! any time; it stands in the memory itself (boxed, hence stable) or in the `VMContext`
//! of the instance that owns the memory.

use crate::image::MemoryImage;
use crate::limiter::Limiter;
use crate::pool::{MemoryPool, Space};
use crate::shared_memory::Waiters;
use helve_base::core_type::MemoryType;
use helve_base::vmctx::{MEMORY_GUARD, MEMORY32_RESERVATION, VMMemory};
use helve_base::{Result, ensure};
use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// A linear memory. Its address ([`Box`] or [`Arc`]) is stable for its life.
#[repr(C)]
pub struct Memory {
    /// First: compiled code finds a shared memory's length by its owner's address.
    home: UnsafeCell<VMMemory>,
    ty: MemoryType,
    space: Space,
    /// Most bytes it may ever have: by its type, its index width and the limit.
    most: u64,
    /// `home`, or where the instance has it that owns the memory; `home` where it is shared.
    definition: Cell<*mut VMMemory>,
    /// For a shared one: itself, and a lock for growing.
    itself: Weak<Memory>,
    growing: Mutex<()>,
    waiters: Waiters,
}

// SAFETY: it owns what it points to; a memory is used by one thread at a time.
unsafe impl Send for Memory {}
// SAFETY: only shared memories are reached by several threads at once. Their `definition`
// stays as it was made, their length is read and written atomically and grows under a
// lock; committing pages is a system call on memory that nobody could use before.
unsafe impl Sync for Memory {}

impl Memory {
    /// A memory of `ty`, zeroed, that will never have more than `limit_bytes`.
    pub fn new(ty: &MemoryType, limit_bytes: u64) -> Result<Box<Memory>> {
        Memory::with_image(ty, limit_bytes, None, None)
    }

    /// As [`Memory::new`], with address space out of `pool`, and holding `image`, which
    /// must lie within its first size.
    pub fn with_image(
        ty: &MemoryType,
        limit_bytes: u64,
        pool: Option<&Arc<MemoryPool>>,
        image: Option<&Arc<MemoryImage>>,
    ) -> Result<Box<Memory>> {
        ensure!(
            ty.page_size_log2 <= 16,
            "memory with pages of 2^{} bytes; at most 2^16 are possible",
            ty.page_size_log2
        );
        let index_most = if ty.memory64 { u64::MAX } else { 1 << 32 };
        let type_most = ty.maximum.map_or(u64::MAX, |pages| bytes_of(ty, pages));
        let most = limit_bytes.min(index_most).min(type_most);
        let minimum = bytes_of(ty, ty.minimum);
        ensure!(
            minimum <= most,
            "memory of at least {minimum} bytes where the limit is {most}; raise Limits::memory_bytes"
        );
        let reserve = if ty.memory64 {
            most.saturating_add(MEMORY_GUARD)
        } else {
            MEMORY32_RESERVATION
        };
        let len = usize::try_from(minimum).unwrap_or(usize::MAX);
        let space = match pool {
            Some(pool) if reserve == MEMORY32_RESERVATION => pool.take(len, image)?,
            _ => Space::single(usize::try_from(reserve).unwrap_or(usize::MAX), len, image)?,
        };
        let memory = Box::new(Memory::over(ty, most, space, len));
        memory.settle();
        Ok(memory)
    }

    /// A memory that several threads use.
    pub(crate) fn shared(ty: &MemoryType, limit_bytes: u64) -> Result<Arc<Memory>> {
        let memory = *Memory::new(ty, limit_bytes)?;
        let memory = Arc::new_cyclic(|itself| Memory {
            itself: itself.clone(),
            ..memory
        });
        memory.settle();
        Ok(memory)
    }

    fn over(ty: &MemoryType, most: u64, space: Space, len: usize) -> Memory {
        Memory {
            home: UnsafeCell::new(VMMemory {
                base: space.base(),
                len,
                owner: null_mut(),
            }),
            ty: *ty,
            space,
            most,
            definition: Cell::new(null_mut()),
            itself: Weak::new(),
            growing: Mutex::new(()),
            waiters: Waiters::default(),
        }
    }

    /// Notes its address, which will not change any more.
    fn settle(&self) {
        let owner = (&raw const *self).cast_mut().cast();
        self.definition.set(self.home.get());
        // SAFETY: `home` is our own, and nobody else has its address yet.
        unsafe { (*self.home.get()).owner = owner };
    }

    /// A shared memory once more.
    pub(crate) fn again(&self) -> Option<Arc<Memory>> {
        self.itself.upgrade()
    }

    /// `memory.atomic.wait` at an address that compiled code has found to be aligned and
    /// within the memory: for a value of 4 or 8 bytes; a timeout below 0 is none.
    pub fn wait(
        &self,
        address: u64,
        bytes: u32,
        expected: u64,
        timeout: i64,
        interrupted: impl FnMut() -> bool,
    ) -> u32 {
        let holds = || {
            let Some(at) = self.range(address, bytes.into()) else {
                return false;
            };
            // SAFETY: `range` says it is within the memory; aligned by contract.
            unsafe {
                match bytes {
                    8 => AtomicU64::from_ptr(at.cast()).load(Ordering::SeqCst) == expected,
                    _ => {
                        u64::from(AtomicU32::from_ptr(at.cast()).load(Ordering::SeqCst)) == expected
                    }
                }
            }
        };
        let timeout = u64::try_from(timeout).ok().map(Duration::from_nanos);
        self.waiters.wait(address, holds, timeout, interrupted)
    }

    /// `memory.atomic.notify`: wakes at most `count` threads that wait at `address`; how
    /// many.
    pub fn notify(&self, address: u64, count: u32) -> u32 {
        self.waiters.notify(address, count)
    }

    /// The memory that `definition` is of.
    ///
    /// # Safety
    ///
    /// `definition` was made by this file, and its memory lives for `'a`.
    pub unsafe fn of<'a>(definition: *const VMMemory) -> &'a Memory {
        // SAFETY: by contract; `owner` is set once, by `new`.
        unsafe { &*(*definition).owner.cast::<Memory>() }
    }

    /// What compiled code reads.
    pub fn definition(&self) -> *mut VMMemory {
        self.definition.get()
    }

    /// Moves the definition to `at`, before any code has seen it where it was.
    ///
    /// # Safety
    ///
    /// `at` is writable for as long as the memory lives.
    pub(crate) unsafe fn bind(&self, at: *mut VMMemory) {
        // SAFETY: both are valid, by contract and by construction.
        unsafe { at.write(*self.definition.get()) };
        if !self.ty.shared {
            self.definition.set(at);
        }
    }

    /// Nobody has written to it since it was made. Whoever does, or lets others, says so
    /// first: see [`Memory::touch`].
    pub(crate) fn set_untouched(&self) {
        if !self.ty.shared {
            self.space.set_untouched();
        }
    }

    /// From now on it may have been written to. Nothing is ever known of a shared one.
    pub(crate) fn touch(&self) {
        if !self.ty.shared {
            self.space.touch();
        }
    }

    /// Its type, as declared.
    pub fn ty(&self) -> &MemoryType {
        &self.ty
    }

    /// Its first byte; never changes.
    pub fn base(&self) -> *mut u8 {
        self.space.base()
    }

    /// Bytes that may be accessed.
    pub fn len(&self) -> usize {
        self.atomic_len().load(Ordering::Acquire)
    }

    fn atomic_len(&self) -> &AtomicUsize {
        // SAFETY: the definition is valid by construction; compiled code reads the length
        // with one instruction.
        unsafe { AtomicUsize::from_ptr(&raw mut (*self.definition.get()).len) }
    }

    /// Whether it has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its size in pages of its type.
    pub fn pages(&self) -> u64 {
        self.len() as u64 >> self.ty.page_size_log2
    }

    /// All its bytes, as a raw slice: guests may write them whenever they run.
    pub fn bytes(&self) -> *mut [u8] {
        std::ptr::slice_from_raw_parts_mut(self.base(), self.len())
    }

    /// The bytes from `at` on, where `len` of them are within the memory.
    pub fn range(&self, at: u64, len: u64) -> Option<*mut u8> {
        let end = at.checked_add(len)?;
        // Within a memory that is mapped, so it fits in `usize`.
        (end <= self.len() as u64).then(|| self.base().wrapping_add(at as usize))
    }

    /// Adds `pages`, if limits, `limiter` and the kernel allow; the pages before, or `None`.
    pub fn grow(&self, pages: u64, limiter: Option<&mut dyn Limiter>) -> Option<u64> {
        // Nothing panics under this lock but a limiter, which leaves the memory as it is.
        let _growing = match self.ty.shared {
            true => Some(self.growing.lock().unwrap_or_else(PoisonError::into_inner)),
            false => None,
        };
        let before = self.pages();
        let wanted = before.checked_add(pages)?;
        let bytes = wanted.checked_shl(self.ty.page_size_log2.into())?;
        if bytes >> self.ty.page_size_log2 != wanted || bytes > self.most {
            return None;
        }
        if let Some(limiter) = limiter {
            let maximum = self.ty.maximum.map(|pages| bytes_of(&self.ty, pages));
            if !limiter.memory_growing(self.len() as u64, bytes, maximum) {
                return None;
            }
        }
        let len = usize::try_from(bytes).ok()?;
        // A limiter is the embedder's code: it may have grown this very memory.
        if self.pages() != before || !self.space.commit(len) {
            return None;
        }
        self.atomic_len().store(len, Ordering::Release);
        Some(before)
    }
}

/// `pages` of `ty` in bytes; saturates, and saturated sizes exceed every limit.
fn bytes_of(ty: &MemoryType, pages: u64) -> u64 {
    pages.saturating_mul(ty.page_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 65536;

    fn ty(minimum: u64, maximum: Option<u64>, memory64: bool) -> MemoryType {
        MemoryType {
            minimum,
            maximum,
            memory64,
            shared: false,
            page_size_log2: 16,
        }
    }

    #[test]
    fn growth_obeys_type_limit_and_index_width() {
        // (type, limit in bytes, pages to add, pages before or None)
        let cases = [
            (ty(1, Some(3), false), 1 << 32, 2, Some(1)),
            (ty(1, Some(3), false), 1 << 32, 3, None),
            (ty(1, None, false), 4 * PAGE, 3, Some(1)),
            (ty(1, None, false), 4 * PAGE, 4, None),
            (ty(0, None, false), u64::MAX, 65537, None),
            (ty(0, None, false), u64::MAX, u64::MAX, None),
            (ty(1, None, true), 4 * PAGE, 3, Some(1)),
            (ty(1, None, true), 4 * PAGE, u64::MAX, None),
            (ty(1, None, true), 4 * PAGE, 1 << 48, None),
            (ty(2, Some(2), true), 4 * PAGE, 0, Some(2)),
        ];
        for (ty, limit, add, before) in cases {
            let memory = Memory::new(&ty, limit).unwrap();
            let base = memory.base();
            assert_eq!(memory.grow(add, None), before, "{ty:?} {limit} {add}");
            let pages = before.map_or(ty.minimum, |n| n + add);
            assert_eq!(memory.pages(), pages);
            assert_eq!(memory.base(), base);
            if pages > 0 {
                // SAFETY: the last byte of the memory, and nobody else uses it.
                unsafe { assert_eq!(*base.add(memory.len() - 1), 0) };
            }
        }
    }

    #[test]
    fn whole_4_gib_can_be_had() {
        let memory = Memory::new(&ty(0, None, false), u64::MAX).unwrap();
        assert_eq!(memory.grow(65536, None), Some(0));
        assert_eq!(memory.len(), 1 << 32);
        assert_eq!(memory.grow(1, None), None);
    }

    #[test]
    fn sizes_over_the_limit_are_errors() {
        assert!(Memory::new(&ty(2, None, false), PAGE).is_err());
        assert!(Memory::new(&ty(u64::MAX, None, true), u64::MAX).is_err());
        assert!(Memory::new(&ty(0, None, true), u64::MAX).is_err());
    }

    #[test]
    fn small_pages_count_in_their_own_unit() {
        let ty = MemoryType {
            page_size_log2: 0,
            ..ty(10, Some(20), false)
        };
        let memory = Memory::new(&ty, 1 << 20).unwrap();
        assert_eq!(memory.grow(5, None), Some(10));
        assert_eq!(memory.len(), 15);
        assert_eq!(memory.grow(6, None), None);
    }

    struct AtMost(u64);
    impl Limiter for AtMost {
        fn memory_growing(&mut self, _: u64, desired: u64, _: Option<u64>) -> bool {
            desired <= self.0
        }
        fn table_growing(&mut self, _: u64, _: u64, _: Option<u64>) -> bool {
            false
        }
    }

    #[test]
    fn the_limiter_decides() {
        let memory = Memory::new(&ty(1, None, false), 1 << 32).unwrap();
        let mut limiter = AtMost(2 * PAGE);
        assert_eq!(memory.grow(1, Some(&mut limiter)), Some(1));
        assert_eq!(memory.grow(1, Some(&mut limiter)), None);
    }

    #[test]
    fn a_definition_finds_its_memory() {
        let memory = Memory::new(&ty(1, None, false), 1 << 32).unwrap();
        // SAFETY: just made.
        let found = unsafe { Memory::of(memory.definition()) };
        assert!(std::ptr::eq(found, &*memory));
    }
}
