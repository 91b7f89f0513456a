//! x86-64, System V convention.
//!
//! ```text
//!   enter's frame:   | return address |
//!           fp ----> | caller's rbp   |
//!                    | rbx r12 .. r15 |
//!           sp ----> | (alignment)    |
//!                    | return address of the entry trampoline ...
//! ```
//!
//! # Safety
//!
//! `raise` abandons every frame between its caller and the innermost `enter`: these are
//! compiled code only (see `traps`). The signal context is changed only for a thread
//! that was interrupted in compiled code.

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
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "mov [rdi + {sp}], rsp",
        "mov [rdi + {fp}], rbp",
        "mov rax, rsi",
        "mov rdi, rdx",
        "mov rsi, rcx",
        "mov rdx, r8",
        "call rax",
        // The trampoline kept the callee-saved registers, so they need no reloading.
        "xor eax, eax",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
        sp = const offset_of!(EntryRecord, sp),
        fp = const offset_of!(EntryRecord, fp),
    )
}

/// `Builtin::Raise`: returns 1 from the innermost `enter` of the store.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn raise(store: *mut u8) {
    core::arch::naked_asm!(
        "mov rax, [rdi + {activation}]",
        "mov rsp, [rax + {sp}]",
        "mov eax, 1",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        activation = const offset_of!(VMStoreContext, activation),
        sp = const offset_of!(EntryRecord, sp),
    )
}

/// Where a trapped thread goes on, with the store in the first argument's register and
/// the stack as the trapped code left it.
#[unsafe(naked)]
unsafe extern "C" fn trap_landing(store: *mut VMStoreContext) {
    core::arch::naked_asm!(
        "sub rsp, 128",
        "and rsp, -16",
        "push rdi",
        "push rdi",
        "cld",
        "call {trapped}",
        "pop rdi",
        "jmp {raise}",
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
        self.0.uc_mcontext.gregs[libc::REG_RIP as usize] as usize
    }

    /// The frame pointer.
    pub(crate) fn fp(&self) -> usize {
        self.0.uc_mcontext.gregs[libc::REG_RBP as usize] as usize
    }

    /// Makes the thread go on in `trap_landing`.
    pub(crate) fn land(&mut self, store: *mut VMStoreContext) {
        let registers = &mut self.0.uc_mcontext.gregs;
        registers[libc::REG_RIP as usize] = trap_landing as *const () as i64;
        registers[libc::REG_RDI as usize] = store as i64;
    }
}

/// Instruction caches are coherent here: nothing to do.
pub(crate) fn publish(_start: *const u8, _bytes: usize) {}

/// About where the stack is now.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    sp
}
