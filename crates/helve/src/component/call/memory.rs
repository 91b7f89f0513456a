//! A guest's linear memory as lifting and lowering see it.
//!
//! Not here: who checks ranges (`lift`, `lower`); growing (core).
//!
//! # Safety
//!
//! Slices of guest memory are only alive while no guest runs: a lift runs none, and a
//! lower takes a new slice for each write, so none is alive across a `realloc`. Memories
//! live as long as their store and never move; they can only grow.

use helve_base::vmctx::VMMemory;
use std::ptr::NonNull;

/// A memory by the address of what compiled code knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuestMemory(NonNull<VMMemory>);

// SAFETY: the pointer is only followed with the store at hand.
unsafe impl Send for GuestMemory {}
// SAFETY: as above.
unsafe impl Sync for GuestMemory {}

impl GuestMemory {
    /// # Safety
    ///
    /// `memory` must be alive as long as the result, and those made from it, are used.
    pub unsafe fn new(memory: NonNull<VMMemory>) -> GuestMemory {
        GuestMemory(memory)
    }

    /// What compiled code knows of it.
    pub fn as_ptr(self) -> *mut VMMemory {
        self.0.as_ptr()
    }

    /// Its bytes.
    ///
    /// # Safety
    ///
    /// No guest may run and nobody else may write to the memory during `'a`.
    #[inline]
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: the memory is alive, `base` is valid for `len` bytes, and nobody
        // writes, as the caller says.
        unsafe {
            let memory = self.0.as_ref();
            std::slice::from_raw_parts(memory.base, memory.len)
        }
    }

    /// Its bytes, to write.
    ///
    /// # Safety
    ///
    /// No guest may run and nobody else may use the memory during `'a`.
    #[inline]
    pub unsafe fn bytes_mut<'a>(self) -> &'a mut [u8] {
        // SAFETY: as above.
        unsafe {
            let memory = self.0.as_ref();
            std::slice::from_raw_parts_mut(memory.base, memory.len)
        }
    }
}
