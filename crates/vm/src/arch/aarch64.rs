//! aarch64 (Linux), AAPCS64. **Untested**: written from the architecture's documents,
//! never run by the project's own tests yet.
//!
//! ```text
//!   enter's frame:   | caller's x29, x30 |  <---- fp
//!                    | x19 .. x28        |
//!           sp ----> | d8 .. d15         |
//! ```
//!
//! # Safety
//!
//! As in `x86_64`.

use super::EntryRecord;
use crate::traps;
use helve_base::vmctx::{CodePtr, EntryTrampoline, VMStoreContext, ValRaw};
use std::mem::offset_of;

/// Calls `trampoline(code, callee, args)`; 0 when it returned, 1 when it was left.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn enter(
    record: *mut EntryRecord,
    trampoline: EntryTrampoline,
    code: CodePtr,
    callee: *mut u8,
    args: *mut ValRaw,
) -> u32 {
    core::arch::naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "stp x19, x20, [sp, #-16]!",
        "stp x21, x22, [sp, #-16]!",
        "stp x23, x24, [sp, #-16]!",
        "stp x25, x26, [sp, #-16]!",
        "stp x27, x28, [sp, #-16]!",
        "stp d8, d9, [sp, #-16]!",
        "stp d10, d11, [sp, #-16]!",
        "stp d12, d13, [sp, #-16]!",
        "stp d14, d15, [sp, #-16]!",
        "mov x9, sp",
        "str x9, [x0, #{sp}]",
        "str x29, [x0, #{fp}]",
        "mov x9, x1",
        "mov x0, x2",
        "mov x1, x3",
        "mov x2, x4",
        "blr x9",
        "mov w0, #0",
        "mov sp, x29",
        "ldp x29, x30, [sp], #16",
        "ret",
        sp = const offset_of!(EntryRecord, sp),
        fp = const offset_of!(EntryRecord, fp),
    )
}

/// `Builtin::Raise`: returns 1 from the innermost `enter` of the store.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn raise(store: *mut u8) {
    core::arch::naked_asm!(
        "ldr x9, [x0, #{activation}]",
        "ldr x9, [x9, #{sp}]",
        "mov sp, x9",
        "mov w0, #1",
        "ldp d14, d15, [sp], #16",
        "ldp d12, d13, [sp], #16",
        "ldp d10, d11, [sp], #16",
        "ldp d8, d9, [sp], #16",
        "ldp x27, x28, [sp], #16",
        "ldp x25, x26, [sp], #16",
        "ldp x23, x24, [sp], #16",
        "ldp x21, x22, [sp], #16",
        "ldp x19, x20, [sp], #16",
        "ldp x29, x30, [sp], #16",
        "ret",
        activation = const offset_of!(VMStoreContext, activation),
        sp = const offset_of!(EntryRecord, sp),
    )
}

/// Where a trapped thread goes on, with the store in the first argument's register and
/// the stack as the trapped code left it (16-byte aligned, as the machine demands).
#[unsafe(naked)]
unsafe extern "C" fn trap_landing(store: *mut VMStoreContext) {
    core::arch::naked_asm!(
        "sub sp, sp, #128",
        "str x0, [sp]",
        "bl {trapped}",
        "ldr x0, [sp]",
        "b {raise}",
        trapped = sym traps::trapped,
        raise = sym raise,
    )
}

/// The registers of a thread that a signal interrupted.
pub(crate) struct Registers<'a>(&'a mut libc::ucontext_t);

impl<'a> Registers<'a> {
    /// Of the context that the kernel passed to a handler.
    pub(crate) fn new(context: &'a mut libc::ucontext_t) -> Registers<'a> {
        Registers(context)
    }

    /// The instruction that was interrupted.
    pub(crate) fn pc(&self) -> usize {
        self.0.uc_mcontext.pc as usize
    }

    /// The frame pointer.
    pub(crate) fn fp(&self) -> usize {
        self.0.uc_mcontext.regs[29] as usize
    }

    /// Makes the thread go on in `trap_landing`.
    pub(crate) fn land(&mut self, store: *mut VMStoreContext) {
        self.0.uc_mcontext.pc = trap_landing as *const () as u64;
        self.0.uc_mcontext.regs[0] = store as u64;
    }
}

/// Cleans the data cache and drops the instruction cache for freshly written code.
pub(crate) fn publish(start: *const u8, bytes: usize) {
    // The least line size the architecture allows is 16 bytes; stepping by it is always
    // right, if not the fastest.
    const LINE: usize = 16;
    let (from, to) = (
        start.addr() & !(LINE - 1),
        start.addr().saturating_add(bytes),
    );
    for at in (from..to).step_by(LINE) {
        // SAFETY: cache maintenance on memory that is mapped.
        unsafe { core::arch::asm!("dc cvau, {}", in(reg) at, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier.
    unsafe { core::arch::asm!("dsb ish", options(nostack, preserves_flags)) };
    for at in (from..to).step_by(LINE) {
        // SAFETY: cache maintenance on memory that is mapped.
        unsafe { core::arch::asm!("ic ivau, {}", in(reg) at, options(nostack, preserves_flags)) };
    }
    // SAFETY: barriers.
    unsafe { core::arch::asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// About where the stack is now.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    sp
}
