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
use crate::exception::{self, Landing};
use crate::interrupt;
use crate::late;
use crate::lazy;
use crate::traps;
use helve_base::vmctx::{CodePtr, EntryTrampoline, VMStoreContext, ValRaw, offset};
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

/// Returns 1 from the innermost `enter` of the store.
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

/// `Builtin::Throw`: goes on where `exception` lands, with its address in `x0`, or raises.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn throw(context: *mut u8, exception: *mut u8) {
    core::arch::naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "sub sp, sp, #32",
        "ldr x0, [x0, #{store}]",
        "str x0, [sp, #24]",
        "ldr x2, [x29]",
        "mov x3, x30",
        "mov x4, sp",
        "bl {throw}",
        "cbz x0, 2f",
        "ldr x9, [sp, #{pc}]",
        "ldr x29, [sp, #{fp}]",
        "ldr x10, [sp, #{sp}]",
        "mov sp, x10",
        "br x9",
        "2:",
        "ldr x0, [sp, #24]",
        "b {raise}",
        store = const offset::VMCONTEXT_STORE,
        throw = sym exception::throw,
        raise = sym raise,
        pc = const offset_of!(Landing, pc),
        fp = const offset_of!(Landing, fp),
        sp = const offset_of!(Landing, sp),
    )
}

/// `Builtin::Raise`: where the failure is an exception that is caught, goes on as `throw`
/// does; else raises.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn fail(store: *mut u8) {
    core::arch::naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "sub sp, sp, #32",
        "str x0, [sp, #24]",
        "mov x1, sp",
        "bl {failed}",
        "cbz x0, 2f",
        "ldr x9, [sp, #{pc}]",
        "ldr x29, [sp, #{fp}]",
        "ldr x10, [sp, #{sp}]",
        "mov sp, x10",
        "br x9",
        "2:",
        "ldr x0, [sp, #24]",
        "b {raise}",
        failed = sym exception::failed,
        raise = sym raise,
        pc = const offset_of!(Landing, pc),
        fp = const offset_of!(Landing, fp),
        sp = const offset_of!(Landing, sp),
    )
}

/// `Builtin::OutOfFuel`: leaves word of the calling frame, then asks.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn out_of_fuel(context: *mut u8) -> u32 {
    core::arch::naked_asm!(
        "ldr x0, [x0, #{store}]",
        "str x30, [x0, #{exit_pc}]",
        "str x29, [x0, #{exit_fp}]",
        "mov w1, #1",
        "b {interrupted}",
        store = const offset::VMCONTEXT_STORE,
        exit_pc = const offset::STORE_EXIT_PC,
        exit_fp = const offset::STORE_EXIT_FP,
        interrupted = sym interrupt::interrupted,
    )
}

/// `Builtin::EpochPassed`: leaves word of the calling frame, then asks.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn epoch_passed(context: *mut u8) -> u32 {
    core::arch::naked_asm!(
        "ldr x0, [x0, #{store}]",
        "str x30, [x0, #{exit_pc}]",
        "str x29, [x0, #{exit_fp}]",
        "mov w1, #0",
        "b {interrupted}",
        store = const offset::VMCONTEXT_STORE,
        exit_pc = const offset::STORE_EXIT_PC,
        exit_fp = const offset::STORE_EXIT_FP,
        interrupted = sym interrupt::interrupted,
    )
}

/// The registers that functions keep for their callers, now.
#[inline(always)]
pub(crate) fn kept_registers() -> [usize; 10] {
    let mut registers = [0usize; 10];
    // SAFETY: writes the array only.
    unsafe {
        core::arch::asm!(
            "stp x19, x20, [{at}]",
            "stp x21, x22, [{at}, #16]",
            "stp x23, x24, [{at}, #32]",
            "stp x25, x26, [{at}, #48]",
            "stp x27, x28, [{at}, #64]",
            at = in(reg) registers.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
    registers
}

/// The word at `at`, which may be part of any function's frame.
///
/// # Safety
///
/// `at` is aligned, and mapped.
#[inline(always)]
pub(crate) unsafe fn read_word(at: usize) -> usize {
    let word: usize;
    // SAFETY: by contract; written as an instruction because what the compiler knows of
    // that memory (nothing, or that it is not initialised) is none of its business here.
    unsafe {
        core::arch::asm!(
            "ldr {word}, [{at}]",
            word = out(reg) word,
            at = in(reg) at,
            options(nostack, readonly, preserves_flags),
        );
    }
    word
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

/// Where every stub of [`stub_block`] goes, with the function's index in `w16`, entered as
/// the function itself is: the callee's context in `x2`, arguments in the registers of the
/// `tail` convention (`x2` to `x7`, `v0` to `v7`) and on the stack. Nothing of that may
/// change.
#[unsafe(naked)]
unsafe extern "C" fn fill_stub() {
    core::arch::naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "stp x0, x1, [sp, #-16]!",
        "stp x2, x3, [sp, #-16]!",
        "stp x4, x5, [sp, #-16]!",
        "stp x6, x7, [sp, #-16]!",
        "stp q0, q1, [sp, #-32]!",
        "stp q2, q3, [sp, #-32]!",
        "stp q4, q5, [sp, #-32]!",
        "stp q6, q7, [sp, #-32]!",
        "mov x0, x2",
        "mov w1, w16",
        "ldr x2, [x29]",
        "mov x3, x30",
        "bl {fill}",
        "mov x17, x0",
        "ldp q6, q7, [sp], #32",
        "ldp q4, q5, [sp], #32",
        "ldp q2, q3, [sp], #32",
        "ldp q0, q1, [sp], #32",
        "ldp x6, x7, [sp], #16",
        "ldp x4, x5, [sp], #16",
        "ldp x2, x3, [sp], #16",
        "ldp x0, x1, [sp], #16",
        "ldp x29, x30, [sp], #16",
        "cbz x17, 2f",
        "br x17",
        "2:",
        "ldr x0, [x2, #{store}]",
        "b {raise}",
        fill = sym lazy::fill,
        raise = sym raise,
        store = const offset::VMCONTEXT_STORE,
    )
}

/// What the slot of an import holds that was not called yet: entered as the function itself
/// is, with the record as the callee's context. Nothing of that may change.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn late_stub() {
    core::arch::naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "stp x0, x1, [sp, #-16]!",
        "stp x2, x3, [sp, #-16]!",
        "stp x4, x5, [sp, #-16]!",
        "stp x6, x7, [sp, #-16]!",
        "stp q0, q1, [sp, #-32]!",
        "stp q2, q3, [sp, #-32]!",
        "stp q4, q5, [sp, #-32]!",
        "stp q6, q7, [sp, #-32]!",
        "mov x0, x2",
        "ldr x1, [x29]",
        "mov x2, x30",
        "bl {link}",
        "mov w17, w0",
        "ldp q6, q7, [sp], #32",
        "ldp q4, q5, [sp], #32",
        "ldp q2, q3, [sp], #32",
        "ldp q0, q1, [sp], #32",
        "ldp x6, x7, [sp], #16",
        "ldp x4, x5, [sp], #16",
        "ldp x2, x3, [sp], #16",
        "ldp x0, x1, [sp], #16",
        "ldp x29, x30, [sp], #16",
        "cbz w17, 2f",
        "b {forward}",
        "2:",
        "ldr x0, [x2, #{store}]",
        "b {raise}",
        link = sym late::link,
        forward = sym late_forward,
        raise = sym raise,
        store = const offset::VMCONTEXT_STORE,
    )
}

/// What the slot holds from then on: goes to the function itself.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn late_forward() {
    core::arch::naked_asm!(
        "ldr x17, [x2, #{slot}]",
        "ldr x2, [x2, #{vmctx}]",
        "ldr x17, [x17]",
        "br x17",
        slot = const late::TARGET_SLOT,
        vmctx = const late::TARGET_VMCTX,
    )
}

/// Bytes of one stub, and of the head of a block of them.
pub(crate) const STUB_BYTES: usize = 16;

/// Stubs for `count` functions from `first` on: the block's head, which is the address of
/// `fill_stub`, then one stub after the other. Their number is bounded by the reach of
/// `ldr` (1 MiB).
pub(crate) fn stub_block(first: u32, count: u32) -> Vec<u8> {
    let mut code = Vec::with_capacity((count as usize + 1) * STUB_BYTES);
    let target: unsafe extern "C" fn() = fill_stub;
    code.extend((target as usize).to_le_bytes());
    code.resize(STUB_BYTES, 0);
    for index in first..first.saturating_add(count) {
        let (low, high) = (index & 0xffff, index >> 16);
        let back = ((-((code.len() + 8) as i32) / 4) as u32) & 0x7ffff;
        for instruction in [
            // movz w16, low; movk w16, high, lsl 16
            0x5280_0010 | (low << 5),
            0x72a0_0010 | (high << 5),
            // ldr x17, the head; br x17
            0x5800_0011 | (back << 5),
            0xd61f_0220,
        ] {
            code.extend(instruction.to_le_bytes());
        }
    }
    code
}

/// Calls `f(data)` on the stack whose high end is `top`, which is aligned.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn call_on(
    top: usize,
    f: unsafe extern "C" fn(*mut u8),
    data: *mut u8,
) {
    core::arch::naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "mov sp, x0",
        "mov x0, x2",
        "blr x1",
        "mov sp, x29",
        "ldp x29, x30, [sp], #16",
        "ret",
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
