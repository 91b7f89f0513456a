//! Imports that are linked when they are first called.
//!
//! ```text
//!   caller --*slot--> arch::late_stub              (argument registers saved)
//!                        -> link(import)           on the guest's stack
//!                            -> LateImport.link    on a stack for compiling: what it is
//!                        <-
//!                     arch::late_forward --> the function itself, with its own context
//! ```
//!
//! Most of what a component imports is not called in a short run. So an importer gets the
//! address of a small record at first; what stands behind it is made when it is called.
//! From then on the record passes calls on, and its function reference is the function's.
//!
//! Failure and stacks: as for functions that are compiled when they are called (`lazy`).
//! Not here: what is linked to what (the embedder's [`Link`]).
//!
//! # Safety
//!
//! A record stands where it is as long as its store's code runs; only the stub and whoever
//! made it write to it, and no guest runs meanwhile.

use crate::arch;
use crate::backtrace;
use crate::lazy::on_big_stack;
use crate::traps::{self, Exit};
use helve_base::Result;
use helve_base::vmctx::{CodePtr, VMFuncRef, VMFunctionImport, VMStoreContext};
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{NonNull, null, null_mut};

/// What a [`LateImport`] is: finds or makes the function behind the record.
pub type Link = unsafe fn(*mut LateImport) -> Result<NonNull<VMFuncRef>>;

/// An imported function that is not linked before it is called: the head of a record of the
/// embedder's.
#[derive(Debug)]
#[repr(C)]
pub struct LateImport {
    /// As in every context.
    store: *mut VMStoreContext,
    link: Link,
    slot: CodePtr,
    /// What it is, once it was called.
    target: VMFunctionImport,
    func_ref: VMFuncRef,
}

/// Where assembly finds the function behind a record.
pub(crate) const TARGET_SLOT: usize =
    offset_of!(LateImport, target) + offset_of!(VMFunctionImport, slot);
/// The same, its context.
pub(crate) const TARGET_VMCTX: usize =
    offset_of!(LateImport, target) + offset_of!(VMFunctionImport, vmctx);

const _: () = assert!(offset_of!(LateImport, store) == 0);

impl LateImport {
    /// One of a function of this engine-wide type, to be put in its place and settled there.
    pub fn new(store: *mut VMStoreContext, link: Link, type_id: u32) -> LateImport {
        LateImport {
            store,
            link,
            slot: arch::late_stub as *const () as CodePtr,
            target: VMFunctionImport {
                slot: null(),
                vmctx: null_mut(),
            },
            func_ref: VMFuncRef {
                slot: null(),
                vmctx: null_mut(),
                type_id,
            },
        }
    }

    /// Notes its address, which will not change any more.
    ///
    /// # Safety
    ///
    /// `this` is valid, and nobody else uses it yet. It lives as long as its importers, and
    /// calls of it come from code of its store.
    pub unsafe fn settle(this: *mut LateImport) {
        // SAFETY: by contract.
        unsafe {
            (*this).func_ref.slot = &raw const (*this).slot;
            (*this).func_ref.vmctx = this.cast();
        }
    }

    /// The function, or what stands for it.
    ///
    /// # Safety
    ///
    /// `this` is valid.
    pub unsafe fn func_ref(this: *mut LateImport) -> NonNull<VMFuncRef> {
        // SAFETY: a field of what is not null.
        unsafe { NonNull::new_unchecked(&raw mut (*this).func_ref) }
    }
}

/// Links `import`: whether that could be done. If not, the reason is recorded. `fp` and `pc`
/// are the calling frame.
///
/// # Safety
///
/// Called by the stub only, with the context that compiled code passed.
pub(crate) unsafe extern "C" fn link(import: *mut LateImport, fp: usize, pc: usize) -> u32 {
    // SAFETY: by contract; the fields never change.
    let (store, link) = unsafe { ((*import).store, (*import).link) };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: by contract: the record is one that `link` was made for.
        on_big_stack(|| unsafe { link(import) })?
    }));
    let exit = match outcome {
        Ok(Ok(func)) => {
            // SAFETY: functions are valid; nobody else writes to the record.
            unsafe {
                let VMFuncRef { slot, vmctx, .. } = *func.as_ptr();
                (*import).target = VMFunctionImport { slot, vmctx };
                (*import).slot = arch::late_forward as *const () as CodePtr;
                (*import).func_ref.slot = slot;
                (*import).func_ref.vmctx = vmctx;
            }
            return 1;
        }
        Ok(Err(error)) => {
            // SAFETY: the frame that called is live, as is everything above it.
            let trace = unsafe {
                (*store).exit_fp = fp;
                (*store).exit_pc = pc;
                backtrace::capture(store)
            };
            Exit::Host(error, trace)
        }
        Err(panic) => Exit::Panic(panic),
    };
    // SAFETY: compiled code runs, so there is an activation.
    unsafe { traps::record(store, exit) };
    0
}
