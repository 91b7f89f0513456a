//! The way into compiled code, and every way out of it.
//!
//! ```text
//!   embedder                                        VMStoreContext
//!     | enter()            <-- Activation 1 <---+     activation --+
//!     |  arch::enter       (previous: null)     |                  |
//!     |   entry trampoline                      |                  |
//!     |    wasm frames                          |                  |
//!     |     host trampoline  (exit_fp, exit_pc) |                  |
//!     |      HostCall -> host_call(f)           |                  |
//!     |       enter()      <-- Activation 2 <---|------------------+
//!     |        ...         (previous: 1; keeps exit_fp, exit_pc of the frames above)
//! ```
//!
//! One activation is left in one of these ways, all of which land in its `enter`:
//!
//! ```text
//!   returns                  entry trampoline returns                 Ok(())
//!   host error, host panic   host_call records it, status FAILED,
//!                            trampoline -> Builtin::Raise             Err(Host | Panic)
//!   trap                     signal -> handler records pc and fp ->
//!                            trap_landing -> `trapped` records the
//!                            backtrace -> raise                       Err(Trap)
//!   exception              thrown, and no frame catches it (`exception`)   Err(Exception)
//!   panic in a limiter       recorded; the growth fails; found when
//!                            the activation ends in any way           Err(Panic)
//! ```
//!
//! `raise` skips frames of compiled code only: a host function has returned its status
//! by then, a built-in has returned too, and a nested `enter` has returned its error.
//!
//! **Stack limit.** The outermost `enter` of a store sets `stack_limit` to the stack
//! pointer less `guest_stack_bytes`, but never so low that less than `host_stack_bytes`
//! of the thread's real stack would remain below: so overflow is a clean trap on small
//! threads too. Nested ones keep it: a host function runs below the guest's limit, and a
//! guest it calls there traps at once.
//!
//! Not here: fibers (`fibers`), which make an activation of their own and save and
//! restore all of this at each switch.
//!
//! # Safety
//!
//! Activations stand in the frame of `enter` (or on their fiber's stack) and are reached
//! through raw pointers only, from the store context, while that frame lives. Compiled
//! code has no unwind tables, so no panic may reach it: [`host_call`] and the built-ins
//! catch them.

use crate::arch::{self, EntryRecord};
use crate::backtrace::{self, Backtrace};
use crate::builtins;
use crate::exception::ThrownException;
use crate::fibers::Continuation;
use crate::thread;
use helve_base::builtin::status;
use helve_base::limits::Limits;
use helve_base::vmctx::{CodePtr, EntryTrampoline, VMStoreContext, ValRaw};
use helve_base::{Bug, Error, Result, Trap};
use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::atomic::AtomicU64;
use std::task::Poll;

/// Why compiled code was left other than by returning.
#[derive(Debug)]
pub enum Exit {
    /// Compiled code trapped.
    Trap {
        /// Which trap.
        trap: Trap,
        /// The instruction that trapped.
        pc: usize,
        /// The address that could not be accessed, where the trap is about one.
        fault_address: Option<usize>,
        /// The wasm frames, innermost first.
        backtrace: Backtrace,
    },
    /// A host function failed.
    Host(Error, Backtrace),
    /// An exception was thrown that nothing caught.
    Exception(ThrownException, Backtrace),
    /// A host function or limiter panicked: to be resumed.
    Panic(Box<dyn Any + Send>),
}

/// What the signal handler notes, in plain data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) trap: Trap,
    pub(crate) pc: usize,
    pub(crate) fp: usize,
    pub(crate) address: Option<usize>,
}

/// One live `enter`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Activation {
    /// First, because `raise` finds it at the activation's address.
    pub(crate) entry: EntryRecord,
    /// The store's `exit_fp` and `exit_pc` when this one began: where the wasm frames of
    /// `previous` end. Apart, as in the store.
    pub(crate) exit_fp: usize,
    /// The store's `calls` when this one began: what is noted later ends with it.
    pub(crate) calls: *mut u8,
    pub(crate) exit_pc: usize,
    /// The next outer one of the same store.
    pub(crate) previous: *mut Activation,
    /// The fiber this is the first activation of, or null.
    pub(crate) fiber: *mut Continuation,
    /// Noted by the signal handler, taken by `trapped`.
    pub(crate) fault: Option<Fault>,
    /// Why it is being left, once that is known.
    pub(crate) outcome: Option<Exit>,
}

impl Activation {
    /// A fresh one, not yet linked.
    pub(crate) const fn new() -> Activation {
        Activation {
            entry: EntryRecord { sp: 0, fp: 0 },
            previous: null_mut(),
            exit_fp: 0,
            exit_pc: 0,
            calls: null_mut(),
            fiber: null_mut(),
            fault: None,
            outcome: None,
        }
    }

    /// The innermost one of `store`, or null.
    ///
    /// # Safety
    ///
    /// `store` is live.
    pub(crate) unsafe fn innermost(store: *const VMStoreContext) -> *mut Activation {
        // SAFETY: by contract.
        unsafe { (*store).activation.cast() }
    }

    /// Makes `this` the innermost one of `store`.
    ///
    /// # Safety
    ///
    /// Both are live until `unlink`.
    #[inline]
    pub(crate) unsafe fn link(this: *mut Activation, store: *mut VMStoreContext) {
        // SAFETY: by contract.
        unsafe {
            (*this).previous = (*store).activation.cast();
            (*this).exit_fp = (*store).exit_fp;
            (*this).exit_pc = (*store).exit_pc;
            (*this).calls = (*store).calls;
            (*store).activation = this.cast();
        }
    }

    /// Undoes `link`.
    ///
    /// # Safety
    ///
    /// As for `link`, and it is the innermost one.
    #[inline]
    pub(crate) unsafe fn unlink(this: *mut Activation, store: *mut VMStoreContext) {
        // SAFETY: by contract.
        unsafe {
            (*store).activation = (*this).previous.cast();
            (*store).exit_fp = (*this).exit_fp;
            (*store).exit_pc = (*this).exit_pc;
            (*store).calls = (*this).calls;
        }
    }

    /// What the `enter` that made it returns; `left` is what `arch::enter` returned.
    #[inline]
    pub(crate) fn finish(&mut self, left: u32) -> Result<(), Exit> {
        match self.outcome.take() {
            None if left == 0 => Ok(()),
            None => Err(Exit::Host(
                Bug("a host function failed without saying why".into()).into(),
                Backtrace::default(),
            )),
            Some(exit) => Err(exit),
        }
    }
}

/// The epoch of stores whose embedder has none.
static NO_EPOCH: AtomicU64 = AtomicU64::new(0);

/// A store's context with nothing entered yet. `owner` is the embedder's own.
pub fn store_context(limits: &Limits, owner: *mut u8) -> VMStoreContext {
    VMStoreContext {
        stack_limit: usize::MAX,
        exit_fp: 0,
        exit_pc: 0,
        activation: null_mut(),
        builtins: builtins::array(),
        owner,
        guest_stack_bytes: limits.guest_stack_bytes,
        host_stack_bytes: limits.host_stack_bytes,
        exceptions: null_mut(),
        fuel: 0,
        epoch: &NO_EPOCH,
        epoch_deadline: u64::MAX,
        interrupts: null_mut(),
        calls: null_mut(),
    }
}

/// Calls `trampoline(code, callee, args)` and comes back whichever way it is left.
///
/// # Safety
///
/// `store` is live, used by this thread only, and pinned; no reference to it (or to
/// anything that host functions of the store reach) is held across the call.
/// `trampoline`, `code`, `callee` and `args` fit each other and belong to `store`; their
/// code stays published until this returns.
#[inline]
pub unsafe fn enter(
    store: *mut VMStoreContext,
    trampoline: EntryTrampoline,
    code: CodePtr,
    callee: *mut u8,
    args: *mut ValRaw,
) -> Result<(), Exit> {
    // What is in it to be dropped `finish` has taken out.
    let mut activation = ManuallyDrop::new(Activation::new());
    let this: *mut Activation = &raw mut *activation;
    // SAFETY: by contract; `activation` outlives its being linked, and is only reached
    // through `this` until then.
    unsafe {
        let before = thread::begin(store);
        Activation::link(this, store);
        let left = arch::enter(&raw mut (*this).entry, trampoline, code, callee, args);
        Activation::unlink(this, store);
        thread::end(before);
        (*this).finish(left)
    }
}

/// What the body of every `HostCall` runs in: a panic or an error is recorded in the
/// store's innermost activation, and the status tells the trampoline.
///
/// # Safety
///
/// Called from a `HostCall` of `store`, which returns the status at once, with nothing
/// left that needs dropping.
#[inline]
pub unsafe fn host_call(store: *mut VMStoreContext, f: impl FnOnce() -> Result<()>) -> u32 {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => status::RETURNED,
        // SAFETY: by contract.
        failed => unsafe { host_failed(store, failed.map(|result| result.err())) },
    }
}

/// As [`host_call`], for a function that may want to wait: `Pending` suspends the fiber
/// that the guest runs on, until the embedder resumes it (see `fibers`).
///
/// # Safety
///
/// As for [`host_call`].
#[inline]
pub unsafe fn host_call_async(
    store: *mut VMStoreContext,
    f: impl FnOnce() -> Result<Poll<()>>,
) -> u32 {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(Poll::Ready(()))) => status::RETURNED,
        Ok(Ok(Poll::Pending)) => status::SUSPEND,
        // SAFETY: by contract.
        failed => unsafe { host_failed(store, failed.map(|result| result.err())) },
    }
}

/// The same, for one that sets a flag where it is to wait: what is returned by way of a
/// register and a flag costs less than what is put together in memory.
///
/// # Safety
///
/// As for [`host_call`].
#[inline]
pub unsafe fn host_call_waiting(
    store: *mut VMStoreContext,
    f: impl FnOnce(&mut bool) -> Result<()>,
) -> u32 {
    let mut waits = false;
    let flag = &mut waits;
    match catch_unwind(AssertUnwindSafe(move || f(flag))) {
        Ok(Ok(())) if !waits => status::RETURNED,
        Ok(Ok(())) => status::SUSPEND,
        // SAFETY: by contract.
        failed => unsafe { host_failed(store, failed.map(|result| result.err())) },
    }
}

#[cold]
unsafe fn host_failed(
    store: *mut VMStoreContext,
    failure: Result<Option<Error>, Box<dyn Any + Send>>,
) -> u32 {
    let exit = match failure {
        Ok(Some(error)) => {
            // SAFETY: in a host call, so the exit record is fresh.
            let backtrace = unsafe { backtrace::capture(store) };
            host_exit(store, error, backtrace)
        }
        Ok(None) => return status::RETURNED,
        Err(panic) => Exit::Panic(panic),
    };
    // SAFETY: in a host call, so there is an activation.
    unsafe { record(store, exit) };
    status::FAILED
}

/// A host function's error; one with an exception of this store inside is that exception.
pub(crate) fn host_exit(store: *const VMStoreContext, error: Error, backtrace: Backtrace) -> Exit {
    match error.downcast_ref::<ThrownException>() {
        Some(thrown) if thrown.of(store).is_some() => Exit::Exception(thrown.clone(), backtrace),
        _ => Exit::Host(error, backtrace),
    }
}

/// Notes why the innermost activation is being left. The first reason stays.
///
/// # Safety
///
/// `store` is live and has an activation.
pub(crate) unsafe fn record(store: *mut VMStoreContext, exit: Exit) {
    // SAFETY: by contract; no other reference to the field exists.
    let outcome = unsafe { &mut (*Activation::innermost(store)).outcome };
    if outcome.is_none() {
        *outcome = Some(exit);
    }
}

/// On a trapped thread, out of the signal handler, on the stack below the trapped
/// frame: records the trap with its backtrace. `raise` follows.
///
/// # Safety
///
/// Called by `trap_landing` only, after the handler has noted the fault.
pub(crate) unsafe extern "C" fn trapped(store: *mut VMStoreContext) {
    // SAFETY: the handler found this activation through the same pointers.
    let fault = unsafe { (*Activation::innermost(store)).fault.take() };
    let Some(Fault {
        trap,
        pc,
        fp,
        address,
    }) = fault
    else {
        return;
    };
    // SAFETY: the frames from `fp` on are live: nothing was popped yet.
    let backtrace = unsafe { backtrace::capture_from(store, pc, fp) };
    let exit = Exit::Trap {
        trap,
        pc,
        fault_address: address,
        backtrace,
    };
    // SAFETY: as above.
    unsafe { record(store, exit) };
}
