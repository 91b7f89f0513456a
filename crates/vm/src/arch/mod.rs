//! The few lines that depend on the machine, behind one face.
//!
//! | name | what |
//! | --- | --- |
//! | `enter` | saves callee-saved registers, records `sp` and `fp` in an activation, calls an entry trampoline; returns 0, or 1 when left by `raise` |
//! | `raise` | restores what `enter` saved and returns 1 from it |
//! | `fail` | throws what a host function failed with, if that is an exception and caught; else raises |
//! | `throw` | goes on where an exception lands: its address in the first result's register, as compiled code's landings expect; else raises |
//! | `out_of_fuel`, `epoch_passed` | leave word of the frame that calls, then ask `interrupt` |
//! | `kept_registers` | the registers that functions keep for their callers, now |
//! | `read_word` | reads a word of a stack, whoever's it is |
//! | `trap_landing` | where the signal handler sends a trapped thread: records the backtrace, then raises |
//! | `Registers` | pc, sp, fp of an interrupted thread, and sending it elsewhere |
//! | `publish` | makes freshly written code visible to instruction fetch |
//! | `fill_stub` | where stubs of functions that are not compiled yet jump to: saves all argument registers, asks `lazy::fill` for the code, goes on there |
//! | `late_stub`, `late_forward` | what calls of imports go through that are linked when they are first called |
//! | `stub_block` | the bytes of many such stubs |
//! | `call_on` | calls a function on another stack |
//! | `stack_pointer` | about where the stack is now |
//!
//! Not here: what they are used for (`traps`, `signals`, `code`).

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::*;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
compile_error!("helve-vm knows x86-64 and aarch64 only; add a file beside these for more");

/// What `enter` records for `raise` and for backtraces: the head of an activation.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct EntryRecord {
    /// The stack pointer under the saved registers.
    pub(crate) sp: usize,
    /// The frame pointer of `enter`'s own frame: the wasm frames end above it.
    pub(crate) fp: usize,
}
