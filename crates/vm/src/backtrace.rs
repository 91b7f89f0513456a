//! The wasm frames on a store's stack, innermost first.
//!
//! Compiled code keeps frame pointers: a frame is `[fp] = caller's fp`,
//! `[fp + 8] = return address` on every machine we know. One activation's frames run
//! from where it was left (`exit_fp`, `exit_pc`, or the trapped instruction) up to its
//! entry trampoline, whose caller's frame pointer the activation knows; then those of
//! the next outer activation follow, wherever its stack is.
//!
//! Not here: names and wasm offsets; the embedder looks pcs up (`code::lookup`) while
//! the code is alive.
//!
//! # Safety
//!
//! Only words of frames are read that are live: each frame pointer must be aligned, grow
//! and stay at or below the activation's own frame, or the walk of that activation ends.

use crate::traps::Activation;
use helve_base::vmctx::VMStoreContext;

/// Most frames that are recorded; deeper stacks are cut there.
pub const MAX_FRAMES: usize = 256;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it is: the trapped instruction, or a return address.
    pub pc: usize,
    /// Whether `pc` is a return address: then the call is the instruction before it.
    pub returns: bool,
}

impl Frame {
    /// An address within the instruction that the frame stands at: what to look up.
    pub fn lookup_pc(&self) -> usize {
        self.pc - usize::from(self.returns && self.pc > 0)
    }
}

/// The wasm frames of a store, innermost first. Entry trampolines are among them; host
/// functions and host trampolines are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backtrace {
    /// The frames.
    pub frames: Vec<Frame>,
    /// Whether there were more than [`MAX_FRAMES`].
    pub truncated: bool,
}

/// The frames below a host function that was called from compiled code; none where the
/// store is not entered.
///
/// # Safety
///
/// `store` is live and on this thread, and is in a host call, or not entered at all.
pub unsafe fn capture(store: *const VMStoreContext) -> Backtrace {
    // SAFETY: by contract the exit record, if any, is that of live frames.
    unsafe {
        let start = Start {
            pc: (*store).exit_pc,
            fp: (*store).exit_fp,
            returns: true,
        };
        walk(Activation::innermost(store), start)
    }
}

/// The frames from a trapped instruction on.
///
/// # Safety
///
/// `store` is live and on this thread; the frame of `pc` has frame pointer `fp`.
pub(crate) unsafe fn capture_from(store: *const VMStoreContext, pc: usize, fp: usize) -> Backtrace {
    // SAFETY: by contract.
    unsafe {
        walk(
            Activation::innermost(store),
            Start {
                pc,
                fp,
                returns: false,
            },
        )
    }
}

/// Where the frames of one activation start.
pub(crate) struct Start {
    pub(crate) pc: usize,
    pub(crate) fp: usize,
    pub(crate) returns: bool,
}

/// The frames of `activation` from `start` on, and those of all outer ones.
///
/// # Safety
///
/// `activation` is null or live, as are its outer ones and their frames.
pub(crate) unsafe fn walk(mut activation: *const Activation, mut start: Start) -> Backtrace {
    let mut trace = Backtrace::default();
    while !activation.is_null() {
        // SAFETY: live by contract.
        unsafe {
            walk_one((*activation).entry.fp, start, &mut trace);
            start = Start {
                pc: (*activation).exit_pc,
                fp: (*activation).exit_fp,
                returns: true,
            };
            activation = (*activation).previous;
        }
    }
    trace
}

/// The frames from `start` to the one that was called by the frame at `end`.
///
/// # Safety
///
/// `start.fp` is 0 or the frame pointer of a live frame below the one at `end`.
unsafe fn walk_one(end: usize, start: Start, trace: &mut Backtrace) {
    let Start {
        mut pc,
        mut fp,
        mut returns,
    } = start;
    // No record of where it was left: a built-in that ran embedder code.
    if fp == 0 {
        return;
    }
    loop {
        if trace.frames.len() >= MAX_FRAMES {
            trace.truncated = true;
            return;
        }
        trace.frames.push(Frame { pc, returns });
        if fp % align_of::<usize>() != 0 || fp >= end {
            return;
        }
        // SAFETY: `fp` is a live frame's, aligned, below `end` on the same stack.
        let [caller_fp, return_pc] = unsafe { *(fp as *const [usize; 2]) };
        if caller_fp <= fp || caller_fp >= end {
            return;
        }
        (pc, fp, returns) = (return_pc, caller_fp, true);
    }
}
