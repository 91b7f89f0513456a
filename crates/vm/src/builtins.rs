//! The routines that compiled code calls, one for each row of `base::builtin`.
//!
//! All follow the platform's C convention. Bounds are checked in `u64`, before anything
//! is written, and overflow is out of bounds. None of them raises: one that can fail
//! returns 1, and compiled code traps.
//!
//! Growth asks the store's [`Limiter`], which is the embedder's code: a panic in it is
//! caught and recorded, and resumes when the innermost `enter` ends.
//!
//! # Safety
//!
//! Compiled code passes its own `VMContext` and indices that validation has checked. No
//! reference to guest memory is made: bytes move between raw pointers.

use crate::arch::{epoch_passed, fail as raise, out_of_fuel, throw};
use crate::exception;
use crate::fibers::suspend;
use crate::instance::Instance;
use crate::lazy::loop_hot;
use crate::limiter::Limiter;
use crate::memory::Memory;
use crate::table::Table;
use crate::traps::{self, Exit};
use helve_base::EntityRef;
use helve_base::builtin::Builtin;
use helve_base::id::{DataIndex, ElemIndex, MemoryIndex, TableIndex, TagIndex};
use helve_base::vmctx::{CodePtr, VMStoreContext};
use helve_base::{Trap, for_each_builtin};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

/// What a failed growth returns.
const REFUSED: u64 = u64::MAX;

/// The array of built-ins, in the order of `Builtin::ALL`.
pub fn array() -> *const CodePtr {
    BUILTINS.0.as_ptr()
}

struct Array([CodePtr; Builtin::ALL.len()]);

// SAFETY: addresses of functions.
unsafe impl Sync for Array {}

macro_rules! fill {
    ($($(#[$doc:meta])* $name:ident = $fn:ident($($param:ident),*) $(-> $result:ident $(, $trap:ident)?)?;)*) => {
        /// Each routine, checked against the types of its row.
        static BUILTINS: Array = Array([
            $($fn as unsafe extern "C" fn($(fill!(@type $param)),*) $(-> fill!(@type $result))? as CodePtr),*
        ]);
    };
    (@type VMContext) => { *mut u8 };
    (@type Pointer) => { *mut u8 };
    (@type I32) => { u32 };
    (@type I64) => { u64 };
}

for_each_builtin!(fill);

unsafe extern "C" fn memory_grow(context: *mut u8, memory: u32, pages: u64) -> u64 {
    // SAFETY: compiled code passes its own context and a valid index.
    unsafe {
        let instance = Instance::of(context);
        let memory = Memory::of(instance.memory(MemoryIndex::new(memory as usize)));
        let grown = asking(instance, |limiter| memory.grow(pages, limiter));
        grown.unwrap_or(REFUSED)
    }
}

unsafe extern "C" fn fill_bytes(to: *mut u8, byte: u32, len: u64) {
    // SAFETY: compiled code has checked that the bytes are within a memory.
    unsafe { to.write_bytes(byte as u8, len as usize) }
}

unsafe extern "C" fn move_bytes(to: *mut u8, from: *mut u8, len: u64) {
    // SAFETY: compiled code has checked that both are within memories, which may be one:
    // `copy_to` allows overlap.
    unsafe { from.copy_to(to, len as usize) }
}

unsafe extern "C" fn memory_init(
    context: *mut u8,
    memory: u32,
    segment: u32,
    to: u64,
    from: u32,
    len: u32,
) -> u32 {
    // SAFETY: compiled code passes its own context.
    let instance = unsafe { Instance::of(context) };
    let (memory, segment) = (
        MemoryIndex::new(memory as usize),
        DataIndex::new(segment as usize),
    );
    failed(instance.memory_init(memory, segment, to, from, len))
}

unsafe extern "C" fn data_drop(context: *mut u8, segment: u32) {
    // SAFETY: compiled code passes its own context.
    unsafe { Instance::of(context) }.data_drop(DataIndex::new(segment as usize));
}

unsafe extern "C" fn table_grow(context: *mut u8, table: u32, more: u64, value: *mut u8) -> u64 {
    // SAFETY: compiled code passes its own context and a valid index.
    unsafe {
        let instance = Instance::of(context);
        let table = Table::of(instance.table(TableIndex::new(table as usize)));
        let grown = asking(instance, |limiter| table.grow(more, value, limiter));
        grown.unwrap_or(REFUSED)
    }
}

unsafe extern "C" fn table_fill(
    context: *mut u8,
    table: u32,
    index: u64,
    value: *mut u8,
    len: u64,
) -> u32 {
    // SAFETY: compiled code passes its own context and a valid index.
    let table = unsafe { Table::of(Instance::of(context).table(TableIndex::new(table as usize))) };
    u32::from(table.fill(index, value, len).is_none())
}

unsafe extern "C" fn table_copy(
    context: *mut u8,
    to_table: u32,
    from_table: u32,
    to: u64,
    from: u64,
    len: u64,
) -> u32 {
    // SAFETY: compiled code passes its own context and valid indices.
    let (target, source) = unsafe {
        let instance = Instance::of(context);
        (
            Table::of(instance.table(TableIndex::new(to_table as usize))),
            Table::of(instance.table(TableIndex::new(from_table as usize))),
        )
    };
    u32::from(target.copy(to, source, from, len).is_none())
}

unsafe extern "C" fn table_init(
    context: *mut u8,
    table: u32,
    segment: u32,
    to: u64,
    from: u32,
    len: u32,
) -> u32 {
    // SAFETY: compiled code passes its own context.
    let instance = unsafe { Instance::of(context) };
    let (table, segment) = (
        TableIndex::new(table as usize),
        ElemIndex::new(segment as usize),
    );
    failed(instance.table_init(table, segment, to, from, len))
}

unsafe extern "C" fn elem_drop(context: *mut u8, segment: u32) {
    // SAFETY: compiled code passes its own context.
    unsafe { Instance::of(context) }.elem_drop(ElemIndex::new(segment as usize));
}

unsafe extern "C" fn atomic_notify(context: *mut u8, memory: u32, address: u64, most: u32) -> u32 {
    // SAFETY: compiled code passes its own context and a valid index.
    let memory =
        unsafe { Memory::of(Instance::of(context).memory(MemoryIndex::new(memory as usize))) };
    memory.notify(address, most)
}

unsafe extern "C" fn atomic_wait(
    context: *mut u8,
    memory: u32,
    address: u64,
    bytes: u32,
    expected: u64,
    timeout: u64,
) -> u32 {
    // SAFETY: compiled code passes its own context and a valid index.
    let instance = unsafe { Instance::of(context) };
    // SAFETY: as above.
    let memory = unsafe { Memory::of(instance.memory(MemoryIndex::new(memory as usize))) };
    let store = instance.store();
    memory.wait(address, bytes, expected, timeout as i64, || {
        // SAFETY: the store is live while its instance runs.
        unsafe { (*(*store).epoch).load(Ordering::Relaxed) >= (*store).epoch_deadline }
    })
}

unsafe extern "C" fn exception_new(context: *mut u8, tag: u32, values: u32) -> *mut u8 {
    // SAFETY: compiled code passes its own context and a valid index, and runs: so this is
    // the stack of the innermost activation.
    unsafe {
        let instance = Instance::of(context);
        let tag = instance.tag(TagIndex::new(tag as usize));
        let made = exception::create(instance.store(), tag, values as usize);
        made.map_or(std::ptr::null_mut(), |exception| exception.as_ptr().cast())
    }
}

fn failed(result: Result<(), Trap>) -> u32 {
    u32::from(result.is_err())
}

/// Runs a growth with the limiter of `instance`; a panic in it is recorded, and the
/// growth refused.
fn asking(
    instance: &Instance,
    grow: impl FnOnce(Option<&mut dyn Limiter>) -> Option<u64>,
) -> Option<u64> {
    let Some(mut limiter) = instance.limiter() else {
        return grow(None);
    };
    let store: *mut VMStoreContext = instance.store();
    // No frames of compiled code are on record here: a backtrace that the limiter takes
    // starts at the next outer activation.
    // SAFETY: the store is live while its instance runs.
    unsafe {
        (*store).exit_fp = 0;
        (*store).exit_pc = 0;
    }
    // SAFETY: it outlives the instance, and is not in use: limiters don't run guests.
    let asked = catch_unwind(AssertUnwindSafe(|| grow(Some(unsafe { limiter.as_mut() }))));
    asked.unwrap_or_else(|panic| {
        // SAFETY: compiled code of the store runs, so there is an activation.
        unsafe { traps::record(store, Exit::Panic(panic)) };
        None
    })
}
