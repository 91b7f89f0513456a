//! A global's storage: sixteen bytes, read and written by type.
//!
//! A global stands in its instance's `VMContext`, or, if the host made it, in a
//! [`Global`] of its own. Not here: types and mutability checks (the embedder).
//!
//! # Safety
//!
//! Values are reached through raw pointers only, as compiled code writes them.

use helve_base::vmctx::{VMGlobal, ValRaw};
use std::cell::UnsafeCell;

/// A global of the host's own. Its address ([`Box`]) is stable for its life.
pub struct Global(UnsafeCell<VMGlobal>);

// SAFETY: plain bytes, used by one thread at a time.
unsafe impl Send for Global {}

impl Global {
    /// A global that holds `value`.
    pub fn new(value: ValRaw) -> Box<Global> {
        Box::new(Global(UnsafeCell::new(VMGlobal { value })))
    }

    /// What compiled code reads and writes.
    pub fn definition(&self) -> *mut VMGlobal {
        self.0.get()
    }
}

/// The value of the global at `global`.
///
/// # Safety
///
/// `global` is live.
pub unsafe fn get(global: *const VMGlobal) -> ValRaw {
    // SAFETY: by contract.
    unsafe { (*global).value }
}

/// Sets the global at `global`.
///
/// # Safety
///
/// `global` is live, and `value` is of its type.
pub unsafe fn set(global: *mut VMGlobal, value: ValRaw) {
    // SAFETY: by contract.
    unsafe { (*global).value = value }
}
