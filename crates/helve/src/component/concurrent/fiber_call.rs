//! Calls into components without tasks that may have to wait: the whole call on a fiber.
//!
//! ```text
//!   start: enter, lower --> core function on a fiber --> done: lift, post-return, leave
//!                               |         ^
//!                               v         | resume: the host's answer, or its failure
//!                            suspended in an async host function
//! ```
//!
//! The call's tree stays entered while it is suspended, so nothing else gets in. Not here:
//! components with tasks (`drive`).
//!
//! # Safety
//!
//! Lanes are boxed, and kept until the core function is done. No reference into the store
//! is alive while a guest runs; `&InstanceData` may be.

use super::call::Asked;
use super::host_task::{Purpose, Yielded, give_up, yielded_fiber};
use super::side::{Ending, HostEnd};
use super::slots::Key;
use super::{abandoned, again};
use crate::component::call::enter::LiftedFunc;
use crate::component::call::lane::Lane;
use crate::component::call::scope::CallScope;
use crate::component::drive::call::LANES;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::span::{HOST, Span};
use crate::component::state::InstanceData;
use crate::component::store::StoreShared;
use crate::core::backtrace::component_exit_error;
use crate::core::store::StorePtr;
use helve_base::{Error, Result};
use helve_vm::fibers::{FiberResult, Resume, Suspended};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

/// A call whose guest runs, or is suspended.
pub(super) struct FiberCall {
    instance: NonNull<InstanceData>,
    lifted: NonNull<LiftedFunc>,
    side: HostEnd,
    scope: CallScope,
    lanes: Box<[Lane]>,
    context: [u64; 2],
    guest: Option<Suspended>,
    span: Span,
}

impl FiberCall {
    /// Whose function was called.
    pub fn instance(&self) -> NonNull<InstanceData> {
        self.instance
    }

    fn parts<'a>(&self) -> (&'a InstanceData, &'a LiftedFunc) {
        // SAFETY: both live as long as the store, which runs this.
        unsafe { (self.instance.as_ref(), self.lifted.as_ref()) }
    }
}

/// Enters a call's tree, lowers its arguments, and runs it until it is done or waits.
pub(super) fn start(
    store: StorePtr,
    shared: &StoreShared,
    (instance, lifted): (&InstanceData, &LiftedFunc),
    side: HostEnd,
    begun: impl FnOnce(Asked),
) {
    let concurrent = &shared.concurrent;
    if let Err(error) = instance.enter_chain(&lifted.chain) {
        return side.end(&concurrent.tokens, Ending::Failed(error));
    }
    let part = instance.part(lifted.owner);
    let mut call = FiberCall {
        instance: NonNull::from(instance),
        lifted: NonNull::from(lifted),
        side,
        scope: CallScope::default(),
        lanes: vec![Lane::ZERO; LANES].into_boxed_slice(),
        context: part.context.replace([0; 2]),
        guest: None,
        span: Span::of_guest(lifted.watch.as_deref(), HOST),
    };
    let span = call.span.clone();
    let mut cx = LowerContext::new(&lifted.options, instance, &mut call.scope);
    let lowered = call
        .side
        .lower(&concurrent.tokens, &lifted.shape, &mut cx, &mut call.lanes);
    if let Err(error) = lowered {
        // What the host did wrong before the guest ran leaves the guest as it was.
        let trapped = error.trap().is_some() || !part.may_leave.get();
        return over(shared, call, Err(error), trapped);
    }
    let lanes = call.lanes.as_mut_ptr();
    let key = concurrent.state.borrow_mut().fibers.insert(call);
    begun(Asked::Fiber(key));
    run(shared, key, || {
        span.within(|| lifted.core.enter_on_fiber(store, lanes))
    });
}

/// The host function for which the call waits is done.
pub(super) fn resume(_: StorePtr, shared: &StoreShared, key: Key, how: Resume) {
    let guest = {
        let mut state = shared.concurrent.state.borrow_mut();
        let call = state.fibers.get_mut(key);
        call.and_then(|call| Some((call.guest.take()?, call.span.clone())))
    };
    if let Some((guest, span)) = guest {
        // SAFETY: the results stand in its array.
        let resume = || unsafe { guest.resume(how) };
        run(shared, key, || Ok(span.within(resume)));
    }
}

/// Runs the guest, then does what comes next.
fn run(shared: &StoreShared, key: Key, go: impl FnOnce() -> Result<FiberResult>) {
    let concurrent = &shared.concurrent;
    let went = catch_unwind(AssertUnwindSafe(|| {
        let went = concurrent.running(Some(key), go)?;
        Ok(match went {
            FiberResult::Done(result, stack) => {
                drop(stack);
                result.map_err(component_exit_error)?;
                None
            }
            FiberResult::Suspended(guest) => Some(guest),
        })
    }));
    let (went, panic) = match went {
        Ok(went) => (went, None),
        Err(panic) => (Err(Error::msg("a host function panicked")), Some(panic)),
    };
    let mut state = concurrent.state.borrow_mut();
    if let Ok(Some(guest)) = went {
        let Some(call) = state.fibers.get_mut(key) else {
            return;
        };
        call.guest = Some(guest);
        let (instance, _) = call.parts();
        drop(state);
        return yielded_fiber(instance, key);
    }
    let call = state.fibers.remove(key);
    drop(state);
    if let Some(call) = call {
        finish(shared, call, went.map(|_| ()));
    }
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// The core function is done.
fn finish(shared: &StoreShared, mut call: FiberCall, went: Result<()>) {
    let (instance, lifted) = call.parts();
    let tokens = &shared.concurrent.tokens;
    let done = went.and_then(|()| {
        // SAFETY: lifting runs no guest.
        let memory = lifted
            .options
            .memory
            .map_or(&[][..], |memory| unsafe { memory.bytes() });
        let mut cx = LiftContext::new(memory, &lifted.options, instance, &mut call.scope);
        call.side
            .lift(tokens, &lifted.shape, &mut cx, &call.lanes)?;
        instance.end_loans(lifted.owner, &mut call.scope)?;
        let Some(post_return) = lifted.options.post_return else {
            return Ok(());
        };
        let part = instance.part(lifted.owner);
        part.may_leave.set(false);
        post_return.call(instance.store(), &mut call.lanes)?;
        part.may_leave.set(true);
        Ok(())
    });
    over(shared, call, done, true);
}

fn over(shared: &StoreShared, mut call: FiberCall, done: Result<()>, entered: bool) {
    let (instance, lifted) = call.parts();
    let leave = || {
        instance.part(lifted.owner).context.set(call.context);
        instance.leave_chain(&lifted.chain);
    };
    match done {
        Ok(()) => leave(),
        Err(error) => {
            match entered {
                true => instance.lock(),
                false => leave(),
            }
            instance.abandon_loans(&mut call.scope);
            call.side
                .end(&shared.concurrent.tokens, Ending::Failed(error));
        }
    }
}

/// Gives a call up, and its tree with it.
pub(super) fn abandon(shared: &StoreShared, key: Key) {
    let concurrent = &shared.concurrent;
    let (call, waits) = {
        let mut state = concurrent.state.borrow_mut();
        let waits = state.tasks.iter().find_map(|(task, waiting)| {
            let of = match waiting.purpose {
                Purpose::Fiber { fiber, .. } | Purpose::Yielded(Yielded::Fiber(fiber)) => fiber,
                _ => return None,
            };
            (of == key).then_some(task)
        });
        (state.fibers.remove(key), waits)
    };
    if let Some(waits) = waits {
        give_up(concurrent, waits);
    }
    if let Some(mut call) = call {
        let (instance, _) = call.parts();
        instance.lock();
        instance.abandon_loans(&mut call.scope);
        drop(call.guest.take());
        let error = again(&abandoned());
        call.side.end(&concurrent.tokens, Ending::Failed(error));
    }
}
