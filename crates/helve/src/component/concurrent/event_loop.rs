//! The event loop of a store: what runs next, and the future that keeps it running.
//!
//! ```text
//!   one turn:    letters (dropped handles)          all of them
//!                then one of                        in order: by turns; seeded: any
//!                  a woken host future              host_task::poll
//!                  a ready guest thread             the model's tick
//!                  a call that can begin            call, fiber_call
//!   EventLoop:   turns, and its own future when that is woken, until that is ready;
//!                sleeps (Pending) when nothing is left to do
//! ```
//!
//! It runs on whatever executor polls it, and is woken by wakers only. Not here: what a
//! deadlock is (`stall`).
//!
//! # Safety
//!
//! Whoever drives the loop has the store borrowed, and no guest of it runs.

use super::accessor::open;
use super::call;
use super::exclusive;
use super::host_end;
use super::host_task;
use super::mailbox::{Bell, Letter, Woken};
use super::side::{Token, discard};
use crate::component::drive::{call as drive_call, run};
use crate::component::state::InstanceData;
use crate::component::store::StoreShared;
use crate::core::asynchronous::Entering;
use crate::core::context::StoreContextMut;
use crate::core::store::StorePtr;
use helve_base::Error;
use helve_decode::plan::ComponentInstanceId;
use helve_model::{Effect, Ended};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Turns before the executor has its turn.
pub(crate) const TURNS: u32 = 1000;

/// What a turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something.
    Done,
    /// The loop's own future was woken.
    Main,
    /// There was nothing to do.
    Idle,
}

/// What can be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Woken,
    Thread,
    Start,
}

/// What all that drives a store's loop needs of it.
pub(crate) fn shared(store: StorePtr) -> Rc<StoreShared> {
    // SAFETY: see the head of this file.
    unsafe { store.get() }.components.shared()
}

/// Does one thing.
pub(crate) fn turn(store: StorePtr, shared: &StoreShared) -> Turn {
    let concurrent = &shared.concurrent;
    if let Some(key) = exclusive::owner(shared) {
        return exclusive::turn(store, shared, key);
    }
    if let Some(key) = concurrent.yielded.take() {
        host_task::poll(store, shared, key);
        return Turn::Done;
    }
    if concurrent.is_quiet() && !shared.drive.state().model.host_is_woken() {
        return only_threads(shared);
    }
    read_letters(shared);
    tell_over(store, shared);
    clear_away(store, shared);
    host_end::wake(shared);
    concurrent.tell_time(false);
    let woken = concurrent.mailbox.woken();
    let ready = !shared.drive.state().model.is_idle();
    let start = call::startable(shared);
    let mut sources = [Source::Woken; 3];
    let mut count = 0;
    for (source, there) in [
        (Source::Woken, woken > 0),
        (Source::Thread, ready),
        (Source::Start, start.is_some()),
    ] {
        if there {
            sources[count] = source;
            count += 1;
        }
    }
    if count == 0 {
        return Turn::Idle;
    }
    let (chosen, which) = choose(shared, count, woken);
    match sources[chosen] {
        Source::Woken => match concurrent.mailbox.take_woken(which) {
            Some(Woken::Main) => {
                concurrent.trace(|| "main".into());
                return Turn::Main;
            }
            Some(Woken::Task(key)) => {
                concurrent.trace(|| format!("host future {key}"));
                host_task::poll(store, shared, key);
            }
            None => {}
        },
        Source::Thread => tick(shared),
        Source::Start => {
            concurrent.trace(|| "start of a call".into());
            if let Some(start) = start {
                call::start(store, shared, start);
            }
        }
    }
    Turn::Done
}

/// A turn where nothing but a guest's thread can have anything to do.
fn only_threads(shared: &StoreShared) -> Turn {
    if shared.drive.state().model.is_idle() {
        return Turn::Idle;
    }
    let mut state = shared.concurrent.state.borrow_mut();
    state.turns = state.turns.wrapping_add(1);
    drop(state);
    tick(shared);
    Turn::Done
}

/// The same from within a host call of a thread that waits: what is to be done. `None`: the
/// loop itself is needed.
#[inline(always)]
pub(crate) fn turn_here(shared: &StoreShared) -> helve_base::Result<Option<Effect>> {
    let concurrent = &shared.concurrent;
    if !concurrent.is_quiet() || !concurrent.takes_turn_here() {
        return Ok(None);
    }
    let mut drive = shared.drive.state();
    let model = &mut drive.model;
    if model.host_is_woken() || model.is_idle() || model.implicit_threads() == 0 {
        return Ok(None);
    }
    let mut state = concurrent.state.borrow_mut();
    state.turns = state.turns.wrapping_add(1);
    drop(state);
    model.tick().map_err(crate::component::drive::other_trap)
}

/// Which source, and which of those that were woken.
fn choose(shared: &StoreShared, count: usize, woken: usize) -> (usize, usize) {
    let mut drive = shared.drive.state();
    if drive.model.is_seeded() {
        return (drive.model.choose(count), drive.model.choose(woken.max(1)));
    }
    let mut state = shared.concurrent.state.borrow_mut();
    state.turns = state.turns.wrapping_add(1);
    (state.turns % count, 0)
}

/// Lets one guest thread run, if one can.
pub(super) fn tick(shared: &StoreShared) {
    let (next, instance) = {
        let mut drive = shared.drive.state();
        let next = drive.model.tick();
        (next, drive.any_instance())
    };
    let Some(instance) = instance else {
        return;
    };
    // SAFETY: see the head of this file.
    let instance = unsafe { instance.get() };
    shared.concurrent.trace(|| {
        let drive = shared.drive.state();
        let thread = drive.model.current_thread();
        let serial = thread.and_then(|thread| drive.model.serial(thread));
        let instance = thread.and_then(|thread| drive.model.instance_of(thread));
        let path = instance.and_then(|id| drive.path(id)).unwrap_or_default();
        format!("thread {} of {path}", serial.unwrap_or(0))
    });
    match next {
        Ok(Some(effect)) => run::perform(instance, effect),
        Ok(None) => {}
        Err(trap) => run::failed(instance, crate::component::drive::other_trap(trap)),
    }
}

/// Does what dropped handles ask for.
pub(super) fn read_letters(shared: &StoreShared) {
    while let Some(letter) = shared.concurrent.mailbox.take_letter() {
        open_letter(shared, letter);
    }
}

/// The same, of ends of streams and futures only: for where a guest may be running.
pub(super) fn read_end_letters(shared: &StoreShared) {
    let mailbox = &shared.concurrent.mailbox;
    let mut others = Vec::new();
    while let Some(letter) = mailbox.take_letter() {
        match letter {
            Letter::Close(_) | Letter::CancelCopy(_) => open_letter(shared, letter),
            other => others.push(other),
        }
    }
    for letter in others {
        mailbox.send(letter);
    }
}

fn open_letter(shared: &StoreShared, letter: Letter) {
    match letter {
        Letter::Cancel(asked) => call::cancel(shared, asked),
        Letter::Abandon(asked) => call::abandon(shared, asked),
        Letter::Close(end) => host_end::close(shared, end),
        Letter::CancelCopy(end) => host_end::cancel(shared, end),
    }
}

/// Tells the hook of calls that are over.
pub(super) fn tell_over(store: StorePtr, shared: &StoreShared) {
    for call in shared.concurrent.mailbox.take_over() {
        if let Err(error) = call.over(store) {
            shared.concurrent.fail(error);
        }
    }
}

/// Ends values that nobody wanted.
fn clear_away(store: StorePtr, shared: &StoreShared) {
    let concurrent = &shared.concurrent;
    let vals = std::mem::take(&mut concurrent.state.borrow_mut().discarded);
    for val in vals.iter().flatten() {
        if let Err(error) = discard(store, shared, val) {
            concurrent.fail(error);
        }
    }
}

/// The tree of an instance is locked down because of this error.
pub(crate) fn locked_down(
    shared: &StoreShared,
    instance: &InstanceData,
    part: ComponentInstanceId,
    error: Error,
) {
    let ended = {
        let mut drive = shared.drive.state();
        let mut ended = Ended::default();
        if let Ok(id) = drive.id(instance, part) {
            // What can't be taken apart is at least never entered again.
            let _ = drive.model.lock_down(id, &mut ended);
        }
        ended
    };
    if let Some(error) = drive_call::ended(shared, ended, error) {
        shared.concurrent.fail(error);
    }
}

/// When the loop ends beside when its own future is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Never: its future may wait for something else.
    Ready,
    /// When nothing of the store can go on any more: then its future never will be.
    Stalled,
    /// When nothing keeps the store's instances alive any more, or as above.
    Idle,
}

/// Drives a store until `main` is ready; see the head of this file.
pub(crate) struct EventLoop<'a, T: 'static, M> {
    store: StoreContextMut<'a, T>,
    main: M,
    token: Token,
    bell: Arc<Bell>,
    waker: Waker,
    due: bool,
    /// Whether the executor had its chance before the virtual clock skips.
    yielded: bool,
    until: Until,
    /// How many host functions that have the store to themselves it runs inside of.
    depth: usize,
}

impl<'a, T: 'static, M: Future> EventLoop<'a, T, M> {
    pub fn new(
        mut store: StoreContextMut<'a, T>,
        token: Token,
        until: Until,
        main: M,
    ) -> EventLoop<'a, T, M> {
        let (bell, depth) = {
            let opaque = store.opaque();
            let shared = opaque.components.shared();
            let concurrent = &shared.concurrent;
            shared.drive.state().schedule(opaque.engine(), concurrent);
            let bell = Bell::new(&concurrent.mailbox, Woken::Main);
            (bell, concurrent.exclusive.enter_loop())
        };
        EventLoop {
            store,
            main,
            token,
            waker: Waker::from(bell.clone()),
            bell,
            due: true,
            yielded: false,
            until,
            depth,
        }
    }
}

impl<T: 'static, M> Drop for EventLoop<'_, T, M> {
    fn drop(&mut self) {
        let store = self.store.store_ptr();
        exclusive::leave(store, &shared(store), self.depth);
    }
}

impl<T: 'static, M: Future + Unpin> Future for EventLoop<'_, T, M> {
    /// What its future gave, or `None`: the loop has ended before.
    type Output = Option<M::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let store = this.store.store_ptr();
        let shared = shared(store);
        let token = this.token;
        shared
            .concurrent
            .tokens
            .during(token, || this.run(store, &shared, cx))
    }
}

impl<T: 'static, M: Future + Unpin> EventLoop<'_, T, M> {
    fn run(
        &mut self,
        store: StorePtr,
        shared: &StoreShared,
        cx: &mut Context<'_>,
    ) -> Poll<Option<M::Output>> {
        if shared.concurrent.exclusive.is_beginning() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mailbox = &shared.concurrent.mailbox;
        mailbox.rise();
        shared.concurrent.turns_here(TURNS);
        let _entering = Entering::new(store, cx.waker());
        // SAFETY: see the head of this file.
        let id = unsafe { store.get() }.id();
        for _ in 0..TURNS {
            if shared.concurrent.pauses.take() || !shared.concurrent.has_turns_here() {
                break;
            }
            let owned = exclusive::owner(shared).is_some();
            if !owned && std::mem::take(&mut self.due) {
                self.bell.answer();
                let mut inner = Context::from_waker(&self.waker);
                let main = Pin::new(&mut self.main);
                // SAFETY: see the head of this file.
                if let Poll::Ready(output) = unsafe { open(id, store, || main.poll(&mut inner)) } {
                    return Poll::Ready(Some(output));
                }
            }
            if self.until == Until::Idle && !is_kept_alive(shared) {
                return Poll::Ready(None);
            }
            match turn(store, shared) {
                Turn::Done => self.yielded = false,
                Turn::Main => (self.due, self.yielded) = (true, false),
                Turn::Idle if !owned && shared.concurrent.sleeps() => {
                    // What the executor has may come first: it gets one chance.
                    if !std::mem::replace(&mut self.yielded, true) {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    self.yielded = false;
                    shared.concurrent.tell_time(true);
                }
                Turn::Idle => {
                    if self.until != Until::Ready && !shared.concurrent.is_waiting() {
                        return Poll::Ready(None);
                    }
                    if mailbox.sleep(cx.waker()) {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether there are implicit threads, host futures, or calls to begin: threads that
/// guests made explicitly keep nothing alive.
fn is_kept_alive(shared: &StoreShared) -> bool {
    let concurrent = &shared.concurrent;
    concurrent.is_waiting()
        || concurrent.is_starting()
        || shared.drive.state().model.implicit_threads() > 0
}

impl super::Concurrent {
    /// Whether the host has nothing for the loop to do, its clock is the machine's, and
    /// nobody wants to know what the loop does.
    #[inline(always)]
    fn is_quiet(&self) -> bool {
        let state = self.state.borrow();
        state.starts.is_empty() && self.is_undisturbed(&state)
    }

    /// The same, whatever calls have not begun.
    #[inline(always)]
    pub(super) fn is_undisturbed(&self, state: &super::State) -> bool {
        self.mailbox.is_empty()
            && self.yielded.get().is_none()
            && state.discarded.is_empty()
            && state.trace.is_none()
            && !state.clock.is_virtual()
    }

    /// Whether calls have not begun, or a fiber is suspended.
    pub(crate) fn is_starting(&self) -> bool {
        let state = self.state.borrow();
        !state.starts.is_empty() || state.fibers.len() > 0 || !state.failures.is_empty()
    }

    /// Whether a host future may still change something.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state.borrow().waiting() > 0
    }
}
