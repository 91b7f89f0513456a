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

/// Returns 1 from the innermost `enter` of the store.
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

/// `Builtin::Throw`: goes on where `exception` lands, with its address in `rax`, or raises.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn throw(context: *mut u8, exception: *mut u8) {
    core::arch::naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "sub rsp, 32",
        "mov rdi, [rdi + {store}]",
        "mov [rsp + 24], rdi",
        // The frame that throws: its frame pointer and the address it is returned to.
        "mov rdx, [rbp]",
        "mov rcx, [rbp + 8]",
        "mov r8, rsp",
        "cld",
        "call {throw}",
        "test rax, rax",
        "jz 2f",
        "mov rcx, [rsp + {pc}]",
        "mov rbp, [rsp + {fp}]",
        "mov rsp, [rsp + {sp}]",
        "jmp rcx",
        "2:",
        "mov rdi, [rsp + 24]",
        "jmp {raise}",
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
        "push rbp",
        "mov rbp, rsp",
        "sub rsp, 32",
        "mov [rsp + 24], rdi",
        "mov rsi, rsp",
        "cld",
        "call {failed}",
        "test rax, rax",
        "jz 2f",
        "mov rcx, [rsp + {pc}]",
        "mov rbp, [rsp + {fp}]",
        "mov rsp, [rsp + {sp}]",
        "jmp rcx",
        "2:",
        "mov rdi, [rsp + 24]",
        "jmp {raise}",
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
        "mov rdi, [rdi + {store}]",
        "mov rax, [rsp]",
        "mov [rdi + {exit_pc}], rax",
        "mov [rdi + {exit_fp}], rbp",
        "mov esi, 1",
        "jmp {interrupted}",
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
        "mov rdi, [rdi + {store}]",
        "mov rax, [rsp]",
        "mov [rdi + {exit_pc}], rax",
        "mov [rdi + {exit_fp}], rbp",
        "xor esi, esi",
        "jmp {interrupted}",
        store = const offset::VMCONTEXT_STORE,
        exit_pc = const offset::STORE_EXIT_PC,
        exit_fp = const offset::STORE_EXIT_FP,
        interrupted = sym interrupt::interrupted,
    )
}

/// The registers that functions keep for their callers, now.
#[inline(always)]
pub(crate) fn kept_registers() -> [usize; 6] {
    let mut registers = [0usize; 6];
    // SAFETY: writes the array only.
    unsafe {
        core::arch::asm!(
            "mov [{at}], rbx",
            "mov [{at} + 8], rbp",
            "mov [{at} + 16], r12",
            "mov [{at} + 24], r13",
            "mov [{at} + 32], r14",
            "mov [{at} + 40], r15",
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
            "mov {word}, [{at}]",
            word = out(reg) word,
            at = in(reg) at,
            options(nostack, readonly, preserves_flags),
        );
    }
    word
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

/// Where every stub of [`stub_block`] goes, with the function's index in `eax`, entered as
/// the function itself is: the callee's context in `rdi`, arguments in the registers of the
/// `tail` convention (those of System V) and on the stack. Nothing of that may change.
#[unsafe(naked)]
unsafe extern "C" fn fill_stub() {
    core::arch::naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rdi",
        "push rsi",
        "push rdx",
        "push rcx",
        "push r8",
        "push r9",
        "sub rsp, 128",
        "movups [rsp], xmm0",
        "movups [rsp + 16], xmm1",
        "movups [rsp + 32], xmm2",
        "movups [rsp + 48], xmm3",
        "movups [rsp + 64], xmm4",
        "movups [rsp + 80], xmm5",
        "movups [rsp + 96], xmm6",
        "movups [rsp + 112], xmm7",
        "mov esi, eax",
        // The frame that calls: its frame pointer and the address it is returned to.
        "mov rdx, [rbp]",
        "mov rcx, [rbp + 8]",
        // The stack is aligned: return address and rbp, then 6 * 8 + 128 bytes.
        "cld",
        "call {fill}",
        "movups xmm0, [rsp]",
        "movups xmm1, [rsp + 16]",
        "movups xmm2, [rsp + 32]",
        "movups xmm3, [rsp + 48]",
        "movups xmm4, [rsp + 64]",
        "movups xmm5, [rsp + 80]",
        "movups xmm6, [rsp + 96]",
        "movups xmm7, [rsp + 112]",
        "add rsp, 128",
        "pop r9",
        "pop r8",
        "pop rcx",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "pop rbp",
        "test rax, rax",
        "jz 2f",
        "jmp rax",
        "2:",
        "mov rdi, [rdi + {store}]",
        "jmp {raise}",
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
        "push rbp",
        "mov rbp, rsp",
        "push rdi",
        "push rsi",
        "push rdx",
        "push rcx",
        "push r8",
        "push r9",
        "sub rsp, 128",
        "movups [rsp], xmm0",
        "movups [rsp + 16], xmm1",
        "movups [rsp + 32], xmm2",
        "movups [rsp + 48], xmm3",
        "movups [rsp + 64], xmm4",
        "movups [rsp + 80], xmm5",
        "movups [rsp + 96], xmm6",
        "movups [rsp + 112], xmm7",
        // The frame that calls: its frame pointer and the address it is returned to.
        "mov rsi, [rbp]",
        "mov rdx, [rbp + 8]",
        "cld",
        "call {link}",
        "movups xmm0, [rsp]",
        "movups xmm1, [rsp + 16]",
        "movups xmm2, [rsp + 32]",
        "movups xmm3, [rsp + 48]",
        "movups xmm4, [rsp + 64]",
        "movups xmm5, [rsp + 80]",
        "movups xmm6, [rsp + 96]",
        "movups xmm7, [rsp + 112]",
        "add rsp, 128",
        "pop r9",
        "pop r8",
        "pop rcx",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "pop rbp",
        "test eax, eax",
        "jnz {forward}",
        "mov rdi, [rdi + {store}]",
        "jmp {raise}",
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
        "mov rax, [rdi + {slot}]",
        "mov rdi, [rdi + {vmctx}]",
        "jmp [rax]",
        slot = const late::TARGET_SLOT,
        vmctx = const late::TARGET_VMCTX,
    )
}

/// Bytes of one stub, and of the head of a block of them.
pub(crate) const STUB_BYTES: usize = 16;

/// Stubs for `count` functions from `first` on: the block's head, which is the address of
/// `fill_stub`, then one stub after the other.
pub(crate) fn stub_block(first: u32, count: u32) -> Vec<u8> {
    let mut code = Vec::with_capacity((count as usize + 1) * STUB_BYTES);
    let target: unsafe extern "C" fn() = fill_stub;
    code.extend((target as usize).to_le_bytes());
    code.resize(STUB_BYTES, 0xcc);
    for index in first..first.saturating_add(count) {
        // mov eax, index
        code.push(0xb8);
        code.extend(index.to_le_bytes());
        // jmp [rip + back to the head]
        let back = -((code.len() + 6) as i32);
        code.extend([0xff, 0x25]);
        code.extend(back.to_le_bytes());
        code.resize(code.len().next_multiple_of(STUB_BYTES), 0xcc);
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
        "push rbp",
        "mov rbp, rsp",
        "mov rsp, rdi",
        "mov rdi, rdx",
        "call rsi",
        "mov rsp, rbp",
        "pop rbp",
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
