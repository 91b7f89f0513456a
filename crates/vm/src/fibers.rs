//! Entering compiled code on a stack of its own, which a host function may suspend.
//!
//! ```text
//!   enter_on_fiber ----> Done(result)             the stack goes back to its pool
//!        |
//!        | a HostCall returned SUSPEND: its trampoline calls Builtin::Suspend
//!        v
//!   Suspended --resume(Return | Fail | Panic)--> Done(result) | Suspended again
//!        |
//!        +--drop--> the stack goes back; nothing is unwound
//! ```
//!
//! **How to use it** (async host functions). The `HostCall` body runs in
//! `traps::host_call_async`; where its future is not ready it stores the future and the
//! argument array's address in the store and returns `Pending`. The array is in the
//! trampoline's frame: it stays valid while the fiber is suspended. `enter_on_fiber`
//! then returns [`FiberResult::Suspended`] to the scheduler. Once the future is done, it
//! writes the results into the array and calls [`Suspended::resume`] with
//! [`Resume::Return`], or with the failure.
//!
//! A guest that was not entered on a fiber, or has a host function between its fiber's
//! entry and itself (host -> guest -> host -> guest), cannot suspend: `Builtin::Suspend`
//! then records an error and says FAILED.
//!
//! **What is saved at each switch.** Of the store: `stack_limit`, `exit_fp`, `exit_pc`,
//! `activation`, `calls`. Of the thread: the current store and stack bounds. The fiber's first
//! activation is linked below whichever one resumes it, so backtraces show who did.
//!
//! **On the fiber's stack** stand, from its base: the switching crate's root frame,
//! `run`, `arch::enter`, generated code, `suspend`. None of these Rust frames owns
//! anything, so a suspended fiber may be dropped, or resumed by another thread.
//!
//! The `Continuation` stands in the record area above the stack's base: entering a
//! pooled fiber allocates nothing.
//!
//! # Safety
//!
//! A continuation is written before its fiber first runs and lives as long as the fiber
//! holds its stack. It is reached through raw pointers only.

use crate::arch;
use crate::backtrace::{self, Backtrace, Start};
use crate::exception;
use crate::thread;
use crate::traps::{Activation, Exit, host_exit, record};
use helve_base::builtin::status;
use helve_base::vmctx::{CodePtr, EntryTrampoline, VMStoreContext, ValRaw};
use helve_base::{Error, Result};
use helve_fiber::{Fiber, PooledStack, RECORD_BYTES, Step, Suspender};
use std::any::Any;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// What is kept per fiber, in its stack's record area.
#[repr(C)]
pub(crate) struct Continuation {
    activation: Activation,
    store: *mut VMStoreContext,
    trampoline: EntryTrampoline,
    code: CodePtr,
    callee: *mut u8,
    args: *mut ValRaw,
    suspender: *const Suspender,
    /// The store's fields as they are while the fiber runs.
    inner: Fields,
    /// About where the fiber's stack ended when it was left.
    left_at: usize,
    /// About where the stack that resumed it ended then.
    resumed_at: usize,
    /// What owns the stack that this stands on, while the guest is not done: so that a
    /// suspended guest is one pointer.
    fiber: MaybeUninit<Fiber>,
}

/// Bytes that the frames between a recorded stack pointer and the switch itself take at
/// most.
const SWITCH_BYTES: usize = 1024;

impl Continuation {
    /// The part of a suspended fiber's stack that frames are on.
    pub(crate) fn stack_in_use(&self) -> (usize, usize) {
        let low = self.left_at.saturating_sub(SWITCH_BYTES);
        (low, self.activation.entry.fp)
    }

    /// Where frames are, from here up, on the stack that resumed it.
    pub(crate) fn resumed_at(&self) -> usize {
        self.resumed_at.saturating_sub(SWITCH_BYTES)
    }
}

/// Bytes that fibers' stacks have beside what guests and host functions are promised: so
/// much may be in use where another guest's code is to run on top, and has no less room.
pub const SPARE_STACK: usize = 64 << 10;

/// Bytes of each stack's record area that are whoever's that enters guests on it.
pub const ROOM_BYTES: usize = RECORD_BYTES - size_of::<Continuation>().next_multiple_of(16);

const _: () = assert!(ROOM_BYTES >= 400);
const _: () = assert!(align_of::<Continuation>() <= 16);

/// The fields of a store that each stack has its own of.
#[derive(Clone, Copy)]
struct Fields {
    stack_limit: usize,
    exit_fp: usize,
    exit_pc: usize,
    activation: *mut u8,
    calls: *mut u8,
}

impl Fields {
    /// Reads them.
    ///
    /// # Safety
    ///
    /// `store` is live.
    unsafe fn of(store: *const VMStoreContext) -> Fields {
        // SAFETY: by contract.
        unsafe {
            Fields {
                stack_limit: (*store).stack_limit,
                exit_fp: (*store).exit_fp,
                exit_pc: (*store).exit_pc,
                activation: (*store).activation,
                calls: (*store).calls,
            }
        }
    }

    /// Writes them.
    ///
    /// # Safety
    ///
    /// `store` is live.
    unsafe fn put(self, store: *mut VMStoreContext) {
        // SAFETY: by contract.
        unsafe {
            (*store).stack_limit = self.stack_limit;
            (*store).exit_fp = self.exit_fp;
            (*store).exit_pc = self.exit_pc;
            (*store).activation = self.activation;
            (*store).calls = self.calls;
        }
    }
}

/// How far a guest on a fiber came.
pub enum FiberResult {
    /// It is done, as `traps::enter` would say; here is its stack.
    Done(Result<(), Exit>, PooledStack),
    /// A host function suspended it.
    Suspended(Suspended),
}

/// A suspended guest: its continuation, which nothing runs, and the fiber in it. Dropping it
/// abandons the guest where it is and frees its stack.
pub struct Suspended(NonNull<Continuation>);

/// How the host function that suspended a guest ends.
pub enum Resume {
    /// Its results are in the argument array.
    Return,
    /// It failed.
    Fail(Error),
    /// It panicked.
    Panic(Box<dyn Any + Send>),
}

impl Drop for Suspended {
    fn drop(&mut self) {
        let this = self.0.as_ptr();
        // SAFETY: the fiber, and with it its stack, is there and not running; it is taken out
        // of its place on that stack before it goes.
        unsafe {
            exception::resumed((*this).store, this);
            (*this).activation.outcome = None;
            drop((*this).fiber.assume_init_read());
        }
    }
}

// SAFETY: generated code only is live on it (see the head of this file); what it points
// to belongs to its store, which moves between threads together with it.
unsafe impl Send for Suspended {}

/// [`ROOM_BYTES`] bytes above a stack's base, aligned to 16: they last as long as the stack
/// is held, whatever runs on it.
pub fn room(stack: &PooledStack) -> *mut u8 {
    // In the record area.
    stack.record().wrapping_add(RECORD_BYTES - ROOM_BYTES)
}

/// As `traps::enter`, on `stack`; `calls` is what is noted there at the start.
///
/// # Safety
///
/// As for `traps::enter`; `code`, `callee` and `args` stay valid until the guest is done
/// or dropped. The store outlives what is returned. `calls` is good until the guest is first
/// suspended, or as long as the fiber is where it is in its stack's [`room`].
pub unsafe fn enter_on_fiber(
    store: *mut VMStoreContext,
    stack: PooledStack,
    trampoline: EntryTrampoline,
    code: CodePtr,
    callee: *mut u8,
    args: *mut ValRaw,
    calls: *mut u8,
) -> FiberResult {
    let this = stack.record().cast::<Continuation>();
    // SAFETY: the record area is ours while we hold the stack, large and aligned enough
    // (asserted above); the rest by contract.
    unsafe {
        this.write(Continuation {
            activation: Activation::new(),
            store,
            trampoline,
            code,
            callee,
            args,
            suspender: std::ptr::null(),
            inner: Fields {
                stack_limit: fiber_limit(store, stack.low(), stack.base()),
                exit_fp: 0,
                exit_pc: 0,
                activation: (&raw mut (*this).activation).cast(),
                calls,
            },
            left_at: 0,
            resumed_at: 0,
            fiber: MaybeUninit::uninit(),
        });
        (*this).activation.fiber = this;
        let fiber = &raw mut (*this).fiber;
        fiber
            .cast::<Fiber>()
            .write(Fiber::new(stack, run, this.cast()));
        switch(this, status::RETURNED)
    }
}

/// The lowest address guests may use on a stack from `low` to `base`.
///
/// # Safety
///
/// `store` is live.
unsafe fn fiber_limit(store: *const VMStoreContext, low: usize, base: usize) -> usize {
    // SAFETY: by contract.
    let (guest, host) = unsafe { ((*store).guest_stack_bytes, (*store).host_stack_bytes) };
    low.saturating_add(host).max(base.saturating_sub(guest))
}

/// What runs first on every fiber. Owns nothing: see the head of this file.
unsafe extern "C" fn run(this: *mut u8, suspender: &Suspender, _first: usize) -> usize {
    let this = this.cast::<Continuation>();
    // SAFETY: written by `enter_on_fiber`; callable by its contract.
    unsafe {
        (*this).suspender = suspender;
        let entry = &raw mut (*this).activation.entry;
        let left = arch::enter(
            entry,
            (*this).trampoline,
            (*this).code,
            (*this).callee,
            (*this).args,
        );
        left as usize
    }
}

/// Runs the fiber until it suspends or is done.
///
/// # Safety
///
/// `this` is a continuation with its fiber, which is not running; its store is live, on
/// this thread, and no reference to it is held.
unsafe fn switch(this: *mut Continuation, status: u32) -> FiberResult {
    // SAFETY: by contract.
    unsafe {
        let store = (*this).store;
        let fiber = (&raw mut (*this).fiber).cast::<Fiber>();
        let outer = Fields::of(store);
        let activation = &raw mut (*this).activation;
        (*activation).previous = outer.activation.cast();
        (*activation).exit_fp = outer.exit_fp;
        (*activation).exit_pc = outer.exit_pc;
        (*this).inner.put(store);
        exception::resumed(store, this);
        (*this).resumed_at = arch::stack_pointer();
        let saved = thread::begin_on(store, (*fiber).low(), this.addr());
        let step = (*fiber).resume(status as usize);
        thread::end_on(&saved);
        (*this).inner = Fields::of(store);
        outer.put(store);
        match step {
            Step::Finished(left) => {
                let result = (*activation).finish(left as u32);
                FiberResult::Done(result, fiber.read().into_stack())
            }
            Step::Suspended => {
                // The outer activation may be gone when it is resumed, or walked.
                (*activation).previous = std::ptr::null_mut();
                exception::suspended(store, this);
                FiberResult::Suspended(Suspended(NonNull::new_unchecked(this)))
            }
        }
    }
}

impl Suspended {
    /// Goes on with the guest: the host function that suspended it ends as `how` says.
    ///
    /// # Safety
    ///
    /// As for `traps::enter`, with the store that it was entered with. For
    /// [`Resume::Return`], the argument array holds results of the function's type.
    pub unsafe fn resume(self, how: Resume) -> FiberResult {
        let exit = match how {
            Resume::Return => None,
            Resume::Fail(error) => {
                // SAFETY: the store outlives its fibers.
                let store = unsafe { (*self.0.as_ptr()).store };
                Some(host_exit(store, error, self.backtrace()))
            }
            Resume::Panic(panic) => Some(Exit::Panic(panic)),
        };
        let this = std::mem::ManuallyDrop::new(self).0.as_ptr();
        let status = if exit.is_some() {
            status::FAILED
        } else {
            status::RETURNED
        };
        // SAFETY: it is not running, so nothing else reaches its continuation.
        unsafe {
            let outcome = &mut (*this).activation.outcome;
            if outcome.is_none() {
                *outcome = exit;
            }
        }
        // SAFETY: by contract.
        unsafe { switch(this, status) }
    }

    /// Its stack's [`room`].
    pub fn room(&self) -> *mut u8 {
        let record = self.0.as_ptr().cast::<u8>();
        record.wrapping_add(RECORD_BYTES - ROOM_BYTES)
    }

    /// The innermost call that adapters have noted on its stack, or null.
    pub fn calls(&self) -> *mut u8 {
        // SAFETY: it is suspended, so its continuation is there and nothing writes to it.
        unsafe { (*self.0.as_ptr()).inner.calls }
    }

    /// The wasm frames on its stack, innermost first.
    pub fn backtrace(&self) -> Backtrace {
        // SAFETY: it is suspended in a host call, so its exit record is that of live
        // frames; the activation has no outer one now.
        unsafe {
            let inner = (*self.0.as_ptr()).inner;
            let start = Start {
                pc: inner.exit_pc,
                fp: inner.exit_fp,
                returns: true,
            };
            backtrace::walk(inner.activation.cast(), start)
        }
    }
}

/// `Builtin::Suspend`: leaves the current fiber until it is resumed; the status that
/// the host function then has. Owns nothing: see the head of this file.
///
/// # Safety
///
/// Called by a host trampoline of `store`, after status SUSPEND.
pub(crate) unsafe extern "C" fn suspend(store: *mut u8) -> u32 {
    let store = store.cast::<VMStoreContext>();
    // SAFETY: there is an activation, as compiled code runs; its fiber, if it has one,
    // is the one that runs.
    unsafe {
        let fiber = (*Activation::innermost(store)).fiber;
        if fiber.is_null() {
            cannot_suspend(store);
            return status::FAILED;
        }
        (*fiber).left_at = arch::stack_pointer();
        (*(*fiber).suspender).suspend() as u32
    }
}

/// Whether a host function that compiled code of `store` calls now could suspend it.
///
/// # Safety
///
/// `store` is live, and one of its host functions runs.
pub unsafe fn can_suspend(store: *const VMStoreContext) -> bool {
    // SAFETY: there is an activation, as compiled code runs.
    unsafe { !(*Activation::innermost(store)).fiber.is_null() }
}

#[cold]
unsafe fn cannot_suspend(store: *mut VMStoreContext) {
    let error = Error::msg(
        "an async host function that is not ready was called where the guest cannot wait: \
         call the guest with an async call, and not from inside another host function",
    );
    // SAFETY: in a host call, so the exit record is fresh and there is an activation.
    unsafe {
        let backtrace = backtrace::capture(store);
        record(store, Exit::Host(error, backtrace));
    }
}
