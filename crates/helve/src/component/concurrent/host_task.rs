//! Host futures that wait, and what happens to the guest when one is done.
//!
//! ```text
//!   Purpose::Subtask   an async call: its result is lowered, the subtask resolved
//!   Purpose::Parked    a call of a function that is not async: the stack goes on
//!   Purpose::Fiber     the same, in a component without tasks
//!   Purpose::Yielded   a guest that has run for long and lets others have their turn
//!   Purpose::Spawned   nobody waits
//! ```
//!
//! A future is taken out of its place while it is polled, so that whatever it does to the
//! store finds the place without it. Not here: how calls come to wait (`host_func`).
//!
//! # Safety
//!
//! Runs in the event loop, which has the store borrowed: no guest runs. The lanes of a
//! suspended stack stand in its trampoline's frame, which goes after the future's place.

use super::accessor::open;
use super::event_loop::locked_down;
use super::fiber_call;
use super::mailbox::{Bell, Woken};
use super::slots::Key;
use super::{Concurrent, State};
use crate::component::call::host::{Caller, HostCall};
use crate::component::call::lane::Lane;
use crate::component::call::scope::{CallScope, KeptScope};
use crate::component::drive::run;
use crate::component::hook::{CallHook, Watch};
use crate::component::state::{InstanceData, InstancePtr};
use crate::component::store::StoreShared;
use crate::core::store::{StoreOpaque, StorePtr};
use helve_base::{Error, Result};
use helve_model::{ParkedId, ThreadId, WaitableId};
use helve_vm::fibers::Resume;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A host function at work, or a spawned task.
pub(crate) trait HostWait: Send {
    /// Polls it: an error, or its result is kept.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Lowers the result that it keeps: into `lanes`, or to where `to` says.
    fn lower(
        self: Pin<&mut Self>,
        call: HostCall<'_>,
        scope: &mut CallScope,
        to: Lane,
        lanes: &mut [Lane],
    ) -> Result<()>;
}

/// The same in its place.
pub(crate) type Waiting = Pin<Box<dyn HostWait>>;

/// A call of a host function.
pub(super) struct Pending {
    pub caller: Arc<Caller>,
    /// What is told that it is over.
    pub watch: Option<Box<Watch>>,
    pub scope: KeptScope,
    /// Where the result goes, where it goes through memory.
    pub to: Lane,
}

/// The argument array of a suspended host call.
#[derive(Clone, Copy)]
pub(super) struct Lanes {
    pub at: *mut Lane,
    pub len: usize,
    /// Whether its caller wants to know that it has returned.
    pub is_async: bool,
}

/// What a host future is for.
pub(super) enum Purpose {
    Spawned,
    Subtask {
        call: Pending,
        subtask: WaitableId,
        is_async: bool,
    },
    Parked {
        call: Pending,
        parked: ParkedId,
        thread: ThreadId,
        lanes: Lanes,
    },
    Fiber {
        call: Pending,
        fiber: Key,
        lanes: Lanes,
    },
    /// A guest that has run for long goes on.
    Yielded(Yielded),
    /// None yet.
    Spare,
}

/// A guest that stands still so that others have their turn.
pub(super) enum Yielded {
    Thread {
        instance: InstancePtr,
        parked: ParkedId,
        thread: ThreadId,
    },
    Fiber(Key),
}

/// ```text
///   Waiting <--> Polled --> Done (its guest can't be told yet)
///                  |
///                  +--> Cancelled, while polled: dropped after that
/// ```
pub(super) enum Stage {
    Waiting(Waiting),
    Polled,
    Cancelled,
    Done(Waiting, Result<()>),
}

/// A host future and its place.
pub(super) struct HostTask {
    pub stage: Stage,
    /// Whether it was woken while it was being polled, by a loop inside its own poll.
    pub again: bool,
    pub purpose: Purpose,
    pub bell: Arc<Bell>,
    pub waker: Waker,
}

/// What [`super::Accessor::spawn`] was given.
struct Spawned(Pin<Box<dyn Future<Output = Result<()>> + Send>>);

impl HostWait for Spawned {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.as_mut().poll(cx)
    }

    fn lower(
        self: Pin<&mut Self>,
        _: HostCall<'_>,
        _: &mut CallScope,
        _: Lane,
        _: &mut [Lane],
    ) -> Result<()> {
        Ok(())
    }
}

/// A guest has run for long and was suspended: it goes on once the executor had its turn,
/// before anything else of the store.
fn yielded(concurrent: &Concurrent, who: Yielded) {
    let key = {
        let mut state = concurrent.state.borrow_mut();
        let (key, ..) = state.place(concurrent);
        let ready = Spawned(Box::pin(std::future::ready(Ok(()))));
        state.fill(key, Box::pin(ready), Purpose::Yielded(who));
        key
    };
    concurrent.pauses.set(true);
    concurrent.yielded.set(Some(key));
}

/// The same, of a thread of the model's; `false`: it was not suspended for that.
pub(crate) fn yielded_thread(instance: &InstanceData, thread: ThreadId) -> Result<bool> {
    // SAFETY: no guest runs.
    let pending = unsafe { instance.store().get() }.hand_over.pending.take();
    if pending.is_none() {
        return Ok(false);
    }
    let parked = instance.shared().drive.state().model.park();
    let who = Yielded::Thread {
        instance: instance.ptr(),
        parked: parked.map_err(crate::component::drive::other_trap)?,
        thread,
    };
    yielded(&instance.shared().concurrent, who);
    Ok(true)
}

/// The same, of a call of a component without tasks.
pub(super) fn yielded_fiber(instance: &InstanceData, fiber: Key) {
    // SAFETY: no guest runs.
    let pending = unsafe { instance.store().get() }.hand_over.pending.take();
    if pending.is_some() {
        yielded(&instance.shared().concurrent, Yielded::Fiber(fiber));
    }
}

/// Adds a future of the host's own to the store's loop.
pub(super) fn spawn(
    store: &mut StoreOpaque,
    task: Pin<Box<dyn Future<Output = Result<()>> + Send>>,
) -> Result<()> {
    let shared = store.components.shared();
    let concurrent = &shared.concurrent;
    let key = {
        let mut state = concurrent.state.borrow_mut();
        let (key, ..) = state.place(concurrent);
        state.spare = None;
        state.fill(key, Box::pin(Spawned(task)), Purpose::Spawned);
        key
    };
    concurrent.mailbox.wake(Woken::Task(key));
    Ok(())
}

impl Purpose {
    /// The call is over: whoever watches it is told, in a place where nothing borrows from
    /// the store.
    fn tell(&self) -> Result<()> {
        let (Purpose::Subtask { call, .. }
        | Purpose::Parked { call, .. }
        | Purpose::Fiber { call, .. }) = self
        else {
            return Ok(());
        };
        let Some(watch) = &call.watch else {
            return Ok(());
        };
        // SAFETY: the store is alive.
        let store = unsafe { call.caller.instance.get() }.store();
        watch.tell(store, CallHook::ReturningFromHost)
    }
}

impl State {
    /// A place for a future and its waker; [`State::fill`] takes it, or [`State::empty`]
    /// has it back. While it is in use it is nobody else's: the future may spawn others.
    pub fn place(&mut self, concurrent: &Concurrent) -> (Key, Arc<Bell>, Waker) {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let mut made = None;
        self.tasks.insert_with(|key| {
            let bell = Bell::new(&concurrent.mailbox, Woken::Task(key));
            let waker = Waker::from(bell.clone());
            made = Some((key, bell.clone(), waker.clone()));
            HostTask {
                stage: Stage::Polled,
                again: false,
                purpose: Purpose::Spare,
                bell,
                waker,
            }
        });
        made.unwrap_or_else(|| {
            let bell = Bell::new(&concurrent.mailbox, Woken::Main);
            (Key::NONE, bell.clone(), Waker::from(bell))
        })
    }

    /// A future in its place was ready at once: the next one may have it.
    pub fn empty(&mut self, key: Key, bell: Arc<Bell>, waker: Waker) {
        // Nobody but the place itself and we know the bell: no waker of it is left.
        if self.spare.is_none() && Arc::strong_count(&bell) == 4 {
            self.spare = Some((key, bell, waker));
        } else {
            self.tasks.remove(key);
        }
    }

    /// A place whose future will not wait after all.
    pub fn vacate(&mut self, key: Key) {
        if self.spare.as_ref().is_some_and(|(spare, ..)| *spare == key) {
            self.spare = None;
        }
        self.tasks.remove(key);
    }

    /// Puts a future into its place.
    pub(super) fn fill(&mut self, key: Key, waiting: Waiting, purpose: Purpose) {
        if self.spare.as_ref().is_some_and(|(spare, ..)| *spare == key) {
            self.spare = None;
        }
        match &purpose {
            Purpose::Subtask { subtask, .. } => {
                self.by_subtask.insert(*subtask, key);
            }
            Purpose::Parked { parked, .. } | Purpose::Yielded(Yielded::Thread { parked, .. }) => {
                self.by_parked.insert(*parked, key);
            }
            _ => {}
        }
        if let Some(task) = self.tasks.get_mut(key) {
            task.stage = Stage::Waiting(waiting);
            task.purpose = purpose;
        }
    }

    /// Whether there is still one here.
    pub fn has_task(&mut self, key: Key) -> bool {
        self.tasks.get_mut(key).is_some()
    }

    /// Futures that wait.
    pub fn waiting(&self) -> usize {
        self.tasks.len() - usize::from(self.spare.is_some())
    }

    fn take(&mut self, key: Key) -> Option<HostTask> {
        let task = self.tasks.remove(key)?;
        match &task.purpose {
            Purpose::Subtask { subtask, .. } => drop(self.by_subtask.remove(*subtask)),
            Purpose::Parked { parked, .. } | Purpose::Yielded(Yielded::Thread { parked, .. }) => {
                self.by_parked.remove(parked);
            }
            _ => {}
        }
        Some(task)
    }
}

/// A future whose guest is gone, or has asked to cancel: `true` where it is gone at once,
/// `false` where it is being polled, and goes then.
pub(crate) fn give_up(concurrent: &Concurrent, key: Key) -> bool {
    let gone = {
        let mut state = concurrent.state.borrow_mut();
        match state.tasks.get_mut(key) {
            Some(HostTask { stage, .. }) if matches!(stage, Stage::Polled) => {
                *stage = Stage::Cancelled;
                return false;
            }
            _ => state.take(key),
        }
    };
    // The host's code may look at the store when it is dropped: nothing is borrowed here.
    if let Some(task) = gone {
        drop(task.stage);
        if let Err(error) = task.purpose.tell() {
            concurrent.fail(error);
        }
        if let Purpose::Subtask { mut call, .. }
        | Purpose::Parked { mut call, .. }
        | Purpose::Fiber { mut call, .. } = task.purpose
        {
            // SAFETY: the store is alive.
            unsafe { call.caller.instance.get() }.abandon_loans(&mut call.scope.take());
        }
    }
    true
}

/// Polls a future that was woken.
pub(super) fn poll(store: StorePtr, shared: &StoreShared, key: Key) {
    let concurrent = &shared.concurrent;
    let (mut waiting, waker) = {
        let mut state = concurrent.state.borrow_mut();
        let Some(task) = state.tasks.get_mut(key) else {
            return;
        };
        match std::mem::replace(&mut task.stage, Stage::Polled) {
            Stage::Waiting(waiting) => {
                task.bell.answer();
                (waiting, task.waker.clone())
            }
            Stage::Done(waiting, result) => {
                drop(state);
                return done(store, shared, key, waiting, result);
            }
            other => {
                task.again = matches!(other, Stage::Polled);
                task.stage = other;
                return;
            }
        }
    };
    // SAFETY: the loop has the store, and nothing is borrowed from it here.
    let id = unsafe { store.get() }.id();
    let mut cx = Context::from_waker(&waker);
    let keeps = concurrent.exclusive.again(key);
    let polled = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as above.
        unsafe { open(id, store, || waiting.as_mut().poll(&mut cx)) }
    }));
    if keeps.is_some() && !matches!(polled, Ok(Poll::Pending)) {
        concurrent.exclusive.end(key);
    }
    drop(keeps);
    match polled {
        Ok(Poll::Pending) => {
            let cancelled = {
                let mut state = concurrent.state.borrow_mut();
                match state.tasks.get_mut(key) {
                    Some(task) if matches!(task.stage, Stage::Polled) => {
                        task.stage = Stage::Waiting(waiting);
                        if std::mem::take(&mut task.again) {
                            concurrent.mailbox.wake(Woken::Task(key));
                        }
                        return;
                    }
                    _ => state.take(key),
                }
            };
            drop(waiting);
            if let Some(task) = cancelled {
                cancelled_late(shared, task);
            }
        }
        Ok(Poll::Ready(result)) => done(store, shared, key, waiting, result),
        Err(panic) => {
            drop(waiting);
            let error = Error::msg("a host function panicked");
            let task = concurrent.state.borrow_mut().take(key);
            if let Some(task) = task {
                let _ = task.purpose.tell();
                fail(store, shared, task.purpose, error);
            }
            resume_unwind(panic)
        }
    }
}

/// A guest asked to cancel while the future was being polled.
fn cancelled_late(shared: &StoreShared, task: HostTask) {
    if let Err(error) = task.purpose.tell() {
        shared.concurrent.fail(error);
    }
    if let Purpose::Subtask {
        mut call, subtask, ..
    } = task.purpose
    {
        // SAFETY: the store is alive.
        let instance = unsafe { call.caller.instance.get() };
        instance.abandon_loans(&mut call.scope.take());
        let mut drive = shared.drive.state();
        // A tree that is locked down meanwhile has no such call.
        let _ = drive.model.resolve_host_call(subtask, true);
    }
}

/// A future is ready.
fn done(store: StorePtr, shared: &StoreShared, key: Key, waiting: Waiting, result: Result<()>) {
    let concurrent = &shared.concurrent;
    let task = {
        let mut state = concurrent.state.borrow_mut();
        let Some(task) = state.tasks.get_mut(key) else {
            return;
        };
        if let Purpose::Subtask { call, .. } = &task.purpose
            && !matches!(task.stage, Stage::Cancelled)
            // SAFETY: the store is alive.
            && is_closed(shared, unsafe { call.caller.instance.get() }, &call.caller)
        {
            // Its guest stands still in another call, and must not notice.
            task.stage = Stage::Done(waiting, result);
            state.deferred.push(key);
            return;
        }
        state.take(key)
    };
    let Some(task) = task else {
        return;
    };
    if matches!(task.stage, Stage::Cancelled) {
        drop(waiting);
        return cancelled_late(shared, task);
    }
    let told = task.purpose.tell();
    match result.and(told) {
        Ok(()) => finish(store, shared, task.purpose, waiting),
        Err(error) => {
            drop(waiting);
            fail(store, shared, task.purpose, error);
        }
    }
}

fn is_closed(shared: &StoreShared, instance: &InstanceData, caller: &Caller) -> bool {
    let mut drive = shared.drive.state();
    let id = drive.id(instance, caller.options.owner);
    id.is_ok_and(|id| drive.model.is_closed(id))
}

fn host_call(caller: &Caller) -> HostCall<'_> {
    HostCall {
        // SAFETY: instances live as long as their store.
        instance: unsafe { caller.instance.get() },
        options: &caller.options,
        shape: &caller.shape,
    }
}

/// The result goes to the guest.
fn finish(store: StorePtr, shared: &StoreShared, purpose: Purpose, mut waiting: Waiting) {
    match purpose {
        Purpose::Spawned | Purpose::Spare => {}
        Purpose::Subtask {
            mut call,
            subtask,
            is_async,
        } => {
            let mut lanes = [Lane::ZERO];
            let to = call.to;
            let mut scope = call.scope.take();
            let from = host_call(&call.caller);
            let lowered = waiting
                .as_mut()
                .lower(from, &mut scope, to, &mut lanes)
                .and_then(|()| {
                    from.instance
                        .end_loans(call.caller.options.owner, &mut scope)
                });
            drop(waiting);
            if let Err(error) = lowered {
                from.instance.abandon_loans(&mut scope);
                return locked_down(shared, from.instance, call.caller.options.owner, error);
            }
            let resolved = {
                let mut drive = shared.drive.state();
                if !is_async {
                    drive.keep_result(subtask, lanes[0]);
                }
                drive.model.resolve_host_call(subtask, false)
            };
            if let Err(trap) = resolved {
                let error = crate::component::drive::other_trap(trap);
                locked_down(shared, from.instance, call.caller.options.owner, error);
            }
        }
        Purpose::Parked {
            call,
            parked,
            thread,
            lanes,
        } => {
            if !unpark(shared, parked) {
                return;
            }
            // SAFETY: the store is alive.
            let instance = unsafe { call.caller.instance.get() };
            let how = lower_to_stack(call, waiting, lanes);
            run::resume_parked(instance, thread, how);
        }
        Purpose::Yielded(Yielded::Thread {
            instance,
            parked,
            thread,
        }) => {
            if unpark(shared, parked) {
                // SAFETY: the store is alive.
                run::resume_parked(unsafe { instance.get() }, thread, Resume::Return);
            }
        }
        Purpose::Yielded(Yielded::Fiber(fiber)) => {
            fiber_call::resume(store, shared, fiber, Resume::Return);
        }
        Purpose::Fiber { call, fiber, lanes } => {
            let how = lower_to_stack(call, waiting, lanes);
            fiber_call::resume(store, shared, fiber, how);
        }
    }
}

/// The stack that waited becomes the current one, if it is still there.
fn unpark(shared: &StoreShared, parked: ParkedId) -> bool {
    let done = shared.drive.state().model.unpark(parked);
    let deferred = std::mem::take(&mut shared.concurrent.state.borrow_mut().deferred);
    for key in deferred {
        shared.concurrent.mailbox.wake(Woken::Task(key));
    }
    done.is_ok()
}

/// The result goes to the suspended stack that waits for it.
fn lower_to_stack(mut call: Pending, mut waiting: Waiting, lanes: Lanes) -> Resume {
    let from = host_call(&call.caller);
    // SAFETY: see the head of this file.
    let array = unsafe { std::slice::from_raw_parts_mut(lanes.at, lanes.len) };
    let mut scope = call.scope.take();
    let lowered = waiting
        .as_mut()
        .lower(from, &mut scope, call.to, array)
        .and_then(|()| {
            from.instance
                .end_loans(call.caller.options.owner, &mut scope)
        });
    drop(waiting);
    match lowered {
        Ok(()) => {
            if lanes.is_async {
                super::host_func::returned(array);
            }
            Resume::Return
        }
        Err(error) => {
            from.instance.abandon_loans(&mut scope);
            Resume::Fail(error)
        }
    }
}

/// Gives up a future that waits: its guest ends as by a trap.
pub(super) fn end(store: StorePtr, shared: &StoreShared, key: Key, error: Error) {
    let task = shared.concurrent.state.borrow_mut().take(key);
    if let Some(task) = task {
        drop(task.stage);
        let _ = task.purpose.tell();
        fail(store, shared, task.purpose, error);
    }
}

/// The host function failed, or panicked: its guest ends as by a trap.
fn fail(store: StorePtr, shared: &StoreShared, purpose: Purpose, error: Error) {
    match purpose {
        Purpose::Spawned | Purpose::Spare | Purpose::Yielded(_) => shared.concurrent.fail(error),
        Purpose::Subtask { mut call, .. } => {
            // SAFETY: the store is alive.
            let instance = unsafe { call.caller.instance.get() };
            instance.abandon_loans(&mut call.scope.take());
            locked_down(shared, instance, call.caller.options.owner, error);
        }
        Purpose::Parked {
            mut call,
            parked,
            thread,
            ..
        } => {
            if !unpark(shared, parked) {
                return;
            }
            // SAFETY: the store is alive.
            let instance = unsafe { call.caller.instance.get() };
            instance.abandon_loans(&mut call.scope.take());
            run::resume_parked(instance, thread, Resume::Fail(error));
        }
        Purpose::Fiber {
            mut call, fiber, ..
        } => {
            // SAFETY: the store is alive.
            unsafe { call.caller.instance.get() }.abandon_loans(&mut call.scope.take());
            fiber_call::resume(store, shared, fiber, Resume::Fail(error));
        }
    }
}
