//! Calls of the host that it waits for, or that run beside each other.
//!
//! ```text
//!   call_concurrent --> Start (queued) --begin--> Task | Fiber --> result --> Call
//!                          | its tree is closed: waits         |
//!   Call dropped ----------+-----------------------------------+--> asked to cancel,
//!                                                                  the result is discarded
//! ```
//!
//! Who calls and who answers share a [`Slot`]; the guest's task, once there is one, stands
//! in it too. Not here: arguments and results themselves (`side`), running the guest
//! (`drive`, `fiber_call`).
//!
//! # Safety
//!
//! Instances and lifted functions stay where they are as long as their store; what is
//! queued is in the store.

use super::accessor::taking;
use super::mailbox::{Letter, Mailbox};
use super::side::{Ending, HostEnd, HostSide};
use super::slots::Key;
use super::starts::Place;
use super::{Concurrent, abandoned, event_loop, exclusive, fiber_call};
use crate::component::call::enter::{CallShape, LiftedFunc};
use crate::component::call::lane::Lane;
use crate::component::drive::{call as drive_call, run};
use crate::component::hook::{Overrule, WatchedCall};
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::part::cannot_enter;
use crate::component::state::InstanceData;
use crate::component::store::StoreShared;
use crate::core::store::{StoreId, StorePtr};
use helve_base::{Bug, Error, Result};
use helve_model::{Ended, TaskId};
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A call as its store knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A task of the model.
    Task(TaskId),
    /// One of a component without tasks.
    Fiber(Key),
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Queued,
    Begun(Asked),
}

#[derive(Debug)]
struct Inner {
    stage: Stage,
    waker: Option<Waker>,
    /// Whether it is over, and its result is there.
    over: bool,
    /// Whether nobody wants the result.
    gone: bool,
    /// Whether it is to be cancelled, or its tree locked down, once it has begun.
    cancel: bool,
    abandon: bool,
}

/// How a call that has not begun is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Wanted,
    /// Not at all.
    Off,
    /// Not at all, and its tree is to be locked down.
    Abandoned,
}

/// How a call and its store learn of each other, whatever its result is.
#[derive(Debug)]
pub(super) struct Progress(Mutex<Inner>);

impl Progress {
    fn new(over: bool) -> Arc<Progress> {
        Arc::new(Progress(Mutex::new(Inner {
            stage: Stage::Queued,
            waker: None,
            over,
            gone: false,
            cancel: false,
            abandon: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is not to begin at all.
    fn is_off(&self) -> bool {
        let inner = self.lock();
        inner.gone || inner.cancel || inner.abandon
    }

    /// How a call is to begin.
    fn how(&self) -> How {
        let inner = self.lock();
        match inner.gone || inner.cancel {
            _ if inner.abandon => How::Abandoned,
            true => How::Off,
            false => How::Wanted,
        }
    }

    /// It has begun; `true`: it is to be cancelled.
    fn begun(&self, asked: Asked) -> bool {
        let mut inner = self.lock();
        inner.stage = Stage::Begun(asked);
        inner.cancel
    }
}

/// What a call's two sides share.
struct Slot<R> {
    progress: Arc<Progress>,
    result: Mutex<Option<Result<R>>>,
}

impl<R> Slot<R> {
    fn new(result: Option<Result<R>>) -> Arc<Slot<R>> {
        Arc::new(Slot {
            progress: Progress::new(result.is_some()),
            result: Mutex::new(result),
        })
    }

    fn result(&self) -> MutexGuard<'_, Option<Result<R>>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, result: Result<R>) {
        let before = self.result().replace(result);
        drop(before);
        let waker = {
            let mut inner = self.progress.lock();
            inner.over = true;
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<R: Send + 'static> Overrule for Slot<R> {
    fn overrule(&self, error: Error) -> std::result::Result<(), Error> {
        if self.progress.lock().gone || self.result().is_none() {
            return Err(error);
        }
        self.set(Err(error));
        Ok(())
    }
}

/// What a call that was asked to cancel fails with, where its guest did as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl std::fmt::Display for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the call was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// A call that runs beside others in its store's event loop; its result.
///
/// Dropped, it asks the guest to cancel and discards the result; the guest's task still
/// counts until it is resolved.
///
/// ```
/// # use helve::{Config, Engine, Result, Store, component::{Component, Linker}};
/// # async fn example() -> Result<()> {
/// # let engine = Engine::new(&Config::new())?;
/// # let component = Component::new(&engine, r#"(component
/// #     (core module $m (func (export "f") (result i32) (i32.const 7)))
/// #     (core instance $i (instantiate $m))
/// #     (func (export "f") (result u32) (canon lift (core func $i "f"))))"#)?;
/// # let mut store = Store::new(&engine, ());
/// # let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
/// let f = instance.get_typed_func::<(), (u32,)>(&mut store, "f")?;
/// let sum = store.run_concurrent(async |accessor| {
///     let one = f.call_concurrent(accessor, ()); // both have begun: nothing waits yet
///     let other = f.call_concurrent(accessor, ());
///     Ok::<u32, helve::Error>(one.await?.0 + other.await?.0)
/// }).await??;
/// assert_eq!(sum, 14);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a call asks its guest to cancel"]
pub struct Call<R> {
    slot: Arc<Slot<R>>,
    mailbox: Arc<Mailbox>,
    /// Its store, until it has been polled once.
    store: Option<StoreId>,
    over: bool,
}

impl<R> std::fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("progress", &self.slot.progress)
            .field("over", &self.over)
            .finish()
    }
}

impl<R> Call<R> {
    /// Asks the guest to cancel. The call goes on until the guest has done so (it fails
    /// with [`Cancelled`]), or has returned all the same.
    pub fn cancel(&self) {
        let mut inner = self.slot.progress.lock();
        if inner.cancel || inner.over {
            return;
        }
        inner.cancel = true;
        match inner.stage {
            Stage::Begun(asked) => self.mailbox.send(Letter::Cancel(asked)),
            Stage::Queued => self.mailbox.one_is_off(),
        }
    }

    /// Gives the call up, and with it the whole root tree of component instances that it
    /// went into: nothing in there runs any more, or can be entered.
    pub fn abandon(mut self) {
        self.over = true;
        let mut inner = self.slot.progress.lock();
        inner.gone = true;
        if inner.over {
            return;
        }
        inner.abandon = true;
        match inner.stage {
            Stage::Begun(asked) => self.mailbox.send(Letter::Abandon(asked)),
            Stage::Queued => self.mailbox.one_is_off(),
        }
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        self.slot.progress.clone()
    }

    /// One that has failed already.
    pub(crate) fn failed(error: Error) -> Call<R> {
        Call {
            slot: Slot::new(Some(Err(error))),
            mailbox: Arc::default(),
            store: None,
            over: false,
        }
    }
}

impl<R> Future for Call<R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        if let Some(store) = self.store.take() {
            let progress = &self.slot.progress;
            taking(store, |store| start_at_once(store, progress));
        }
        let result = {
            let mut inner = self.slot.progress.lock();
            if !inner.over {
                inner.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            drop(inner);
            self.slot.result().take()
        };
        let result = result
            .unwrap_or_else(|| Err(Error::new(Bug("a finished call was polled again".into()))));
        self.over = true;
        Poll::Ready(result)
    }
}

impl<R> Drop for Call<R> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut inner = self.slot.progress.lock();
        inner.gone = true;
        inner.waker = None;
        if inner.over || std::mem::replace(&mut inner.cancel, true) {
            return;
        }
        match inner.stage {
            Stage::Begun(asked) => self.mailbox.send(Letter::Cancel(asked)),
            Stage::Queued => self.mailbox.one_is_off(),
        }
    }
}

/// A host's side whose host waits in a [`Call`].
pub(super) struct SlotSide<L, U, R> {
    slot: Arc<Slot<R>>,
    lower: Option<L>,
    lift: Option<U>,
    /// Is told that it is over, with its store's mailbox.
    watched: Option<(Arc<WatchedCall>, Arc<Mailbox>)>,
}

impl<L, U, R> SlotSide<L, U, R> {
    fn over(&mut self) {
        if let Some((call, mailbox)) = self.watched.take() {
            mailbox.over(call);
        }
    }
}

impl<L, U, R> HostSide for SlotSide<L, U, R>
where
    L: FnOnce(&CallShape, &mut LowerContext<'_>, &mut [Lane]) -> Result<()>,
    U: FnOnce(&CallShape, &mut LiftContext<'_>, &[Lane]) -> Result<R>,
{
    fn lower(
        &mut self,
        shape: &CallShape,
        cx: &mut LowerContext<'_>,
        lanes: &mut [Lane],
    ) -> Result<()> {
        match self.lower.take() {
            Some(lower) => lower(shape, cx, lanes),
            None => Err(Error::new(Bug("arguments that are lowered twice".into()))),
        }
    }

    fn lift(
        &mut self,
        shape: &CallShape,
        cx: &mut LiftContext<'_>,
        lanes: &[Lane],
    ) -> Result<bool> {
        if self.slot.progress.lock().gone {
            self.over();
            return Ok(false);
        }
        if let Some(lift) = self.lift.take() {
            let result = lift(shape, cx, lanes)?;
            self.over();
            self.slot.set(Ok(result));
        }
        Ok(true)
    }

    fn end(&mut self, how: Ending) {
        self.over();
        self.slot.set(Err(match how {
            Ending::Failed(error) => error,
            Ending::Cancelled => Error::new(Cancelled),
        }));
    }
}

/// A call that has not begun.
pub(super) struct Start {
    instance: NonNull<InstanceData>,
    lifted: NonNull<LiftedFunc>,
    side: HostEnd,
    progress: Arc<Progress>,
    /// Is told that it begins.
    watched: Option<Arc<WatchedCall>>,
}

impl Start {
    /// Whose function is to be called.
    pub fn instance(&self) -> NonNull<InstanceData> {
        self.instance
    }
}

/// A call, and the side that gives it its result.
pub(super) fn slot<R, L, U>(
    (mailbox, store): (&Arc<Mailbox>, StoreId),
    lower: L,
    lift: U,
) -> (Call<R>, SlotSide<L, U, R>) {
    let slot = Slot::new(None);
    let side = SlotSide {
        slot: slot.clone(),
        lower: Some(lower),
        lift: Some(lift),
        watched: None,
    };
    let call = Call {
        slot,
        mailbox: mailbox.clone(),
        store: Some(store),
        over: false,
    };
    (call, side)
}

/// Queues a call that has a side of its own.
pub(crate) fn queue<R, L, U>(
    instance: &InstanceData,
    lifted: &LiftedFunc,
    lower: L,
    lift: U,
) -> Call<R>
where
    R: Send + 'static,
    L: FnOnce(&CallShape, &mut LowerContext<'_>, &mut [Lane]) -> Result<()> + Send + 'static,
    U: FnOnce(&CallShape, &mut LiftContext<'_>, &[Lane]) -> Result<R> + Send + 'static,
{
    let mailbox = &instance.shared().concurrent.mailbox;
    let (call, mut side) = slot((mailbox, instance.store_id()), lower, lift);
    let watch = lifted.watch.as_ref();
    let watched = watch.map(|watch| WatchedCall::new(watch, call.slot.clone()));
    side.watched = watched.clone().map(|call| (call, mailbox.clone()));
    let side = HostEnd::owned(Box::new(side));
    queue_side(instance, lifted, side, (call.progress(), watched));
    call
}

pub(super) fn queue_side(
    instance: &InstanceData,
    lifted: &LiftedFunc,
    side: HostEnd,
    (progress, watched): (Arc<Progress>, Option<Arc<WatchedCall>>),
) {
    let concurrent = &instance.shared().concurrent;
    concurrent.state.borrow_mut().starts.push(Start {
        instance: NonNull::from(instance),
        lifted: NonNull::from(lifted),
        side,
        progress,
        watched,
    });
}

/// Whether a call could enter its instance now, or never will.
pub(super) enum Enter {
    Now,
    Later,
    Never(Error),
}

impl Start {
    /// Whether it is not to begin at all.
    pub fn is_off(&self) -> bool {
        self.progress.is_off()
    }

    fn parts<'a>(&self) -> (&'a InstanceData, &'a LiftedFunc) {
        // SAFETY: see the head of this file.
        unsafe { (self.instance.as_ref(), self.lifted.as_ref()) }
    }
}

fn may_enter(shared: &StoreShared, instance: &InstanceData, lifted: &LiftedFunc) -> Enter {
    if !instance.tasks() {
        return match instance.check_chain(&lifted.chain) {
            _ if instance.is_locked() => Enter::Never(cannot_enter()),
            Ok(()) => Enter::Now,
            Err(_) => Enter::Later,
        };
    }
    let mut drive = shared.drive.state();
    match drive.id(instance, lifted.owner) {
        Err(error) => Enter::Never(error),
        Ok(id) if drive.model.instances.is_locked_down(id) => Enter::Never(cannot_enter()),
        Ok(id) => match drive.model.instances.check_enter(id, None) {
            Ok(()) => Enter::Now,
            Err(_) => Enter::Later,
        },
    }
}

/// The place of a call that can begin, or end without: the first, or by the seed any.
pub(super) fn startable(shared: &StoreShared) -> Option<Place> {
    let concurrent = &shared.concurrent;
    let (count, off) = {
        let state = concurrent.state.borrow();
        if state.starts.is_empty() {
            return None;
        }
        (state.starts.len(), concurrent.mailbox.some_are_off())
    };
    let seeded = {
        let mut drive = shared.drive.state();
        drive.model.is_seeded().then(|| drive.model.choose(count))
    };
    let may_enter = |start: &Start| {
        let (instance, lifted) = start.parts();
        may_enter(shared, instance, lifted)
    };
    let starts = &mut concurrent.state.borrow_mut().starts;
    match seeded {
        Some(first) => starts.startable_from(first, may_enter),
        None => {
            let found = starts.startable(off, may_enter);
            if off && found.is_some() {
                // There may be more.
                concurrent.mailbox.one_is_off();
            }
            found
        }
    }
}

/// Begins the call at a place of the queue.
pub(super) fn start(store: StorePtr, shared: &StoreShared, at: Place) {
    let start = shared.concurrent.state.borrow_mut().starts.take(at);
    let Some(start) = start else {
        return;
    };
    let (instance, lifted) = start.parts();
    let progress = start.progress;
    match progress.how() {
        How::Abandoned => return lock_tree(shared, instance, lifted),
        How::Off => return start.side.end(&shared.concurrent.tokens, Ending::Cancelled),
        How::Wanted => {}
    }
    if start.side.is_gone(&shared.concurrent.tokens) {
        return;
    }
    if let Enter::Never(error) = may_enter(shared, instance, lifted) {
        return start
            .side
            .end(&shared.concurrent.tokens, Ending::Failed(error));
    }
    if let Some(watched) = &start.watched
        && let Err(error) = watched.enter(store)
    {
        let tokens = &shared.concurrent.tokens;
        return start.side.end(tokens, Ending::Failed(error));
    }
    begin(store, shared, (instance, lifted), start.side, |asked| {
        if progress.begun(asked) {
            shared.concurrent.mailbox.send(Letter::Cancel(asked));
        }
    });
}

/// A call that has not begun is waited for: where it is all that the loop has to do, its turn
/// is taken right here.
fn start_at_once(store: StorePtr, progress: &Arc<Progress>) {
    let shared = event_loop::shared(store);
    let concurrent = &shared.concurrent;
    if exclusive::owner(&shared).is_some() || !concurrent.has_one_start(progress) {
        return;
    }
    {
        let drive = shared.drive.state();
        let model = &drive.model;
        if model.is_seeded() || model.is_inside() || !model.is_idle() || model.host_is_woken() {
            return;
        }
    }
    if concurrent.takes_turn_at_once()
        && let Some(place) = startable(&shared)
    {
        start(store, &shared, place);
    }
}

impl Concurrent {
    /// Whether this call is the one that the loop can begin, and it has nothing else to do.
    fn has_one_start(&self, progress: &Arc<Progress>) -> bool {
        let state = self.state.borrow();
        let only = || {
            let mut starts = state.starts.iter();
            let first = starts.next();
            // Who watches it is told of its end from the loop.
            let found = first.is_some_and(|start| {
                start.watched.is_none() && Arc::ptr_eq(&start.progress, progress)
            });
            found && starts.next().is_none()
        };
        self.is_undisturbed(&state) && only()
    }
}

/// Begins a call.
pub(crate) fn begin(
    store: StorePtr,
    shared: &StoreShared,
    (instance, lifted): (&InstanceData, &LiftedFunc),
    side: HostEnd,
    begun: impl FnOnce(Asked),
) {
    if !instance.tasks() {
        return fiber_call::start(store, shared, (instance, lifted), side, begun);
    }
    match drive_call::begin_from_host(lifted, instance, side) {
        Ok((task, effect)) => {
            begun(Asked::Task(task));
            run::perform(instance, effect);
        }
        Err((side, error)) => side.end(&shared.concurrent.tokens, Ending::Failed(error)),
    }
}

/// Asks a call's guest to cancel.
pub(super) fn cancel(shared: &StoreShared, asked: Asked) {
    let Asked::Task(task) = asked else {
        // What has no tasks can't be asked: its result is discarded.
        return;
    };
    let (effect, instance) = {
        let mut drive = shared.drive.state();
        let effect = drive.model.cancel_from_host(task);
        (effect, drive.any_instance())
    };
    let Some(instance) = instance else {
        return;
    };
    // SAFETY: see the head of this file.
    let instance = unsafe { instance.get() };
    match effect {
        Ok(effect) => run::perform(instance, effect),
        Err(trap) => run::failed(instance, crate::component::drive::other_trap(trap)),
    }
    drive_call::cancelled(shared, task);
}

/// Locks down the tree that a call went into.
pub(super) fn abandon(shared: &StoreShared, asked: Asked) {
    match asked {
        Asked::Task(task) => {
            let ended = {
                let mut drive = shared.drive.state();
                let mut ended = Ended::default();
                if let Some(instance) = drive.model.instance_of_task(task) {
                    let _ = drive.model.lock_down(instance, &mut ended);
                }
                ended
            };
            drop(drive_call::ended(shared, ended, abandoned()));
        }
        Asked::Fiber(key) => fiber_call::abandon(shared, key),
    }
}

fn lock_tree(shared: &StoreShared, instance: &InstanceData, lifted: &LiftedFunc) {
    if !instance.tasks() {
        return instance.lock();
    }
    let ended = {
        let mut drive = shared.drive.state();
        let mut ended = Ended::default();
        if let Ok(id) = drive.id(instance, lifted.owner) {
            let _ = drive.model.lock_down(id, &mut ended);
        }
        ended
    };
    drop(drive_call::ended(shared, ended, abandoned()));
}
