//! Calls on a stack of their own, and host functions that may wait.
//!
//! ```text
//!  Drive (a future)                         guest's stack (pooled fiber)
//!    poll --enter_on_fiber--------------->  entry trampoline, wasm frames
//!      ^                                      host trampoline
//!      |                                        call_async_closure: polls the future once
//!      |                                          ready:     RETURNED, no switch
//!      +--- Suspended, `HandOver::pending` <----  not ready: SUSPEND
//!    poll the pending future until it is ready
//!      ready --Suspended::resume----------->  ... goes on
//! ```
//!
//! A future that waits is held by the [`Drive`], never by a frame on the guest's stack:
//! dropping the `Drive` drops the future, then the stack, and nothing is unwound.
//!
//! # Safety
//!
//! A host's future may borrow the store through its `Caller`. It is polled only while the
//! `Drive` that holds it, and so the store, is borrowed by whoever polls that, and no
//! guest of the store runs meanwhile except those that the future itself calls. The
//! argument array it writes to stands in the trampoline's frame, on the suspended stack,
//! which goes after the future.

use crate::core::backtrace::exit_error;
use crate::core::engine::Engine;
use crate::core::host::{HostContext, HostFunc, RawCaller};
use crate::core::store::StorePtr;
use helve_base::core_type::FuncType;
use helve_base::vmctx::{EntryTrampoline, VMFuncRef, VMHostContext, ValRaw};
use helve_base::{Bug, Error, Result};
use helve_vm::fibers::{FiberResult, Resume, Suspended, enter_on_fiber};
use helve_vm::traps::host_call_async;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

/// A host function at work; when it is ready its results stand in the argument array.
/// It borrows the store, whatever its type says: see the head of this file.
pub(crate) type HostFuture = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What a store hands from its driver to host functions and back.
#[derive(Default)]
pub(crate) struct HandOver {
    /// Of the innermost `Drive` that is entering its guest, while it does.
    waker: Option<Waker>,
    /// The future for which the guest was suspended just now.
    pub pending: Option<HostFuture>,
}

impl HandOver {
    /// Has the driver, if there is one that can wait, let others run before it goes on.
    pub fn pause(&mut self) -> bool {
        let Some(waker) = &self.waker else {
            return false;
        };
        waker.wake_by_ref();
        self.pending = Some(Box::pin(std::future::ready(Ok(()))));
        true
    }
}

/// The argument array, for a future that may move between threads with its store.
#[derive(Clone, Copy)]
pub(crate) struct Slots {
    at: *mut ValRaw,
    len: usize,
}

// SAFETY: it is of a guest of the store that the future moves with.
unsafe impl Send for Slots {}

impl Slots {
    /// # Safety
    ///
    /// Only one such borrow at a time, while the host function's call lasts.
    pub unsafe fn get<'a>(self) -> &'a mut [ValRaw] {
        // SAFETY: the trampoline's array, as long as `len` says.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.len) }
    }
}

/// What [`call_async_closure`] finds behind `VMHostContext.data`.
struct Closure<F> {
    slots: usize,
    f: F,
}

impl HostFunc {
    /// As [`HostFunc::new`], for a function that may wait. The future that `f` returns
    /// may use the store until it is ready or dropped.
    pub fn new_async<F>(engine: &Engine, ty: &FuncType, f: F) -> HostFunc
    where
        F: Fn(RawCaller, Slots) -> HostFuture + Send + Sync + 'static,
    {
        let closure = Closure {
            slots: ty.params.len().max(ty.results.len()),
            f,
        };
        HostFunc::from_parts(
            engine,
            ty,
            true,
            call_async_closure::<F>,
            std::sync::Arc::new(closure),
        )
    }
}

/// The `HostCall` of every closure that may wait.
///
/// # Safety
///
/// As for `call_closure` in `host.rs`.
unsafe extern "C" fn call_async_closure<F>(context: *mut VMHostContext, args: *mut ValRaw) -> u32
where
    F: Fn(RawCaller, Slots) -> HostFuture + Send + Sync + 'static,
{
    // SAFETY: as for `call_closure`.
    unsafe {
        let vm = (*context).store;
        let caller = RawCaller {
            store: StorePtr::from_vm(vm),
            importer: HostContext::importer(context),
        };
        let closure = &*(*context).data.cast::<Closure<F>>();
        host_call_async(vm, move || {
            let slots = Slots {
                at: args,
                len: closure.slots,
            };
            let mut future = (closure.f)(caller, slots);
            let waker = caller.store.get().hand_over.waker.clone();
            let mut cx = Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()));
            match future.as_mut().poll(&mut cx) {
                Poll::Ready(done) => done.map(Poll::Ready),
                Poll::Pending if waker.is_none() => Err(Error::msg(
                    "an async host function that has to wait was called by a call that \
                     cannot: use `call_async`",
                )),
                Poll::Pending => {
                    caller.store.get().hand_over.pending = Some(future);
                    Ok(Poll::Pending)
                }
            }
        })
    }
}

/// One call of a guest that may wait; see the head of this file.
pub(crate) struct Drive {
    store: StorePtr,
    state: State,
}

/// ```text
///  Start --> Waiting <-> (guest runs) --> Done
/// ```
enum State {
    Start {
        func: NonNull<VMFuncRef>,
        trampoline: EntryTrampoline,
        args: *mut ValRaw,
    },
    /// Dropped in this order: the future may refer to the stack.
    Waiting {
        future: HostFuture,
        guest: Suspended,
    },
    Done,
}

// SAFETY: it moves together with the borrow of its store and argument array, which belong
// to a future whose store's data is `Send`.
unsafe impl Send for Drive {}

impl Drive {
    /// # Safety
    ///
    /// As for `call_raw`, until it is ready or dropped; then the store's borrow is the
    /// drive's.
    pub unsafe fn new(
        store: StorePtr,
        func: NonNull<VMFuncRef>,
        trampoline: EntryTrampoline,
        args: *mut ValRaw,
    ) -> Drive {
        Drive {
            store,
            state: State::Start {
                func,
                trampoline,
                args,
            },
        }
    }

    fn start(
        &self,
        func: NonNull<VMFuncRef>,
        trampoline: EntryTrampoline,
        args: *mut ValRaw,
    ) -> Result<FiberResult> {
        // SAFETY: as `new`'s caller says.
        unsafe {
            let stack = self.store.get().engine().stacks().take()?;
            let VMFuncRef { slot, vmctx, .. } = *func.as_ptr();
            Ok(enter_on_fiber(
                self.store.vm(),
                stack,
                trampoline,
                *slot,
                vmctx,
                args,
                std::ptr::null_mut(),
            ))
        }
    }
}

impl Future for Drive {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let (guest, how) = match std::mem::replace(&mut this.state, State::Done) {
            State::Start {
                func,
                trampoline,
                args,
            } => {
                let _entering = Entering::new(this.store, cx.waker());
                match this.start(func, trampoline, args) {
                    Ok(result) => return this.went(result),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            State::Waiting { mut future, guest } => {
                let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
                let how = match polled {
                    Ok(Poll::Pending) => {
                        this.state = State::Waiting { future, guest };
                        return Poll::Pending;
                    }
                    Ok(Poll::Ready(Ok(()))) => Resume::Return,
                    Ok(Poll::Ready(Err(error))) => Resume::Fail(error),
                    Err(panic) => Resume::Panic(panic),
                };
                (guest, how)
            }
            State::Done => {
                return Poll::Ready(Err(Bug("a finished call was polled".into()).into()));
            }
        };
        let _entering = Entering::new(this.store, cx.waker());
        // SAFETY: the future has written results of its function's type, or has failed.
        let result = unsafe { guest.resume(how) };
        this.went(result)
    }
}

impl Drive {
    /// What becomes of it after its guest ran.
    fn went(&mut self, result: FiberResult) -> Poll<Result<()>> {
        match result {
            FiberResult::Done(result, stack) => {
                drop(stack);
                // Left over where a guest could not be suspended.
                // SAFETY: no guest runs now.
                drop(unsafe { self.store.get() }.hand_over.pending.take());
                Poll::Ready(result.map_err(exit_error))
            }
            FiberResult::Suspended(guest) => {
                // SAFETY: no guest runs now.
                let pending = unsafe { self.store.get() }.hand_over.pending.take();
                let Some(future) = pending else {
                    return Poll::Ready(Err(Bug("a guest waits for nothing".into()).into()));
                };
                // It was polled when it was made: its waker is known to it.
                self.state = State::Waiting { future, guest };
                Poll::Pending
            }
        }
    }
}

/// Lends the waker to host functions while a guest runs on a fiber.
pub(crate) struct Entering {
    store: StorePtr,
    outer: Option<Waker>,
}

impl Entering {
    pub fn new(store: StorePtr, waker: &Waker) -> Entering {
        // SAFETY: no guest runs now.
        let hand_over = unsafe { &mut store.get().hand_over };
        Entering {
            store,
            outer: hand_over.waker.replace(waker.clone()),
        }
    }
}

impl Drop for Entering {
    fn drop(&mut self) {
        // SAFETY: no guest runs now.
        unsafe { self.store.get() }.hand_over.waker = self.outer.take();
    }
}
