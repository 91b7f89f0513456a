//! The host side of concurrency: one event loop per store, and what the host does in it.
//!
//! ```text
//!   Store
//!   +- drive        guests' tasks and threads: `helve_model` decides, `drive` performs
//!   +- concurrent   host futures, calls of the host, ends of streams that it holds
//!        event_loop   ready threads, woken futures, calls to start: one after the other
//!        accessor     how host code that waits gets to the store
//!        call         call_async, call_concurrent       side       arguments and results
//!        host_func    async host functions              host_task  futures that wait
//!        exclusive    those that keep the store      mailbox    wakers, dropped handles
//!        fiber_call   components without tasks
//! ```
//!
//! Nothing of a guest, and no lock, is held while the host waits: a future that is not
//! ready is in the store's table, and its guest's stack (if it has to stand still) on a
//! fiber beside it.

pub(crate) mod accessor;
pub(crate) mod buffer;
pub(crate) mod call;
pub(crate) mod clock;
pub(crate) mod event_loop;
pub(crate) mod exclusive;
pub(crate) mod fiber_call;
pub(crate) mod future_host;
pub(crate) mod host_end;
pub(crate) mod host_func;
pub(crate) mod host_task;
pub(crate) mod mailbox;
pub(crate) mod pipe;
pub(crate) mod piped;
mod run;
pub(crate) mod side;
pub(crate) mod slots;
pub(crate) mod stall;
mod starts;
#[doc(hidden)]
pub mod steps;
pub(crate) mod stream_host;

pub use accessor::Accessor;
pub use call::{Call, Cancelled};
pub use future_host::{FutureReader, FutureWriter, future};
pub use pipe::{Destination, Flat, Source, StreamConsumer, StreamProducer, StreamState};
pub use stall::{Stall, StalledTask, StalledThread};
pub use stream_host::{StreamReader, StreamWriter, stream};

use crate::component::drive::by_number::ByNumber;
use crate::component::drive::copy;
use crate::component::state::InstanceData;
use crate::component::value::Vals;
use buffer::HostBuffer;
use clock::Clock;
use exclusive::Exclusive;
use fiber_call::FiberCall;
use helve_abi::types::InterfaceType;
use helve_base::error::GuestTrap;
use helve_base::{Error, Trap};
use helve_model::{ParkedId, TypeId, WaitableId};
use host_task::HostTask;
use mailbox::{Bell, Mailbox};
use rustc_hash::FxHashMap;
use side::Tokens;
use slots::{Key, Slots};
use starts::Starts;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Waker;

/// What a store keeps for the host's side.
#[derive(Default)]
pub(crate) struct Concurrent {
    pub mailbox: Arc<Mailbox>,
    pub tokens: Tokens,
    /// The call of a component without tasks whose fiber runs, the innermost.
    running: Cell<Option<Key>>,
    /// Whether the executor is to have its turn: a guest has run for long.
    pauses: Cell<bool>,
    /// That guest's place: it goes on first.
    yielded: Cell<Option<Key>>,
    /// Host functions that keep the store while they wait.
    exclusive: Exclusive,
    here: Here,
    state: RefCell<State>,
}

/// Turns of the loop that are taken on the stack of a guest that waits.
#[derive(Default)]
struct Here {
    /// Whether such are under way: then guests that stop give way to those.
    active: Cell<bool>,
    /// How many more, before the executor has its turn.
    left: Cell<u32>,
    /// Whether a call of the host has a result: whoever waits for it is to look.
    news: Cell<bool>,
}

/// See [`Concurrent::enter_here`].
pub(crate) struct EnteredHere<'a>(&'a Here);

impl Drop for EnteredHere<'_> {
    fn drop(&mut self) {
        self.0.active.set(false);
    }
}

/// Who is told what an event loop does, line by line.
pub(crate) type Trace = Box<dyn FnMut(&str) + Send>;

#[derive(Default)]
pub(super) struct State {
    /// Host futures that wait.
    tasks: Slots<HostTask>,
    /// Those of async calls by guests.
    by_subtask: ByNumber<WaitableId, Key>,
    /// Those for which a stack waits.
    by_parked: FxHashMap<ParkedId, Key>,
    /// Futures that are done, whose guests can't be told yet.
    deferred: Vec<Key>,
    /// Calls that have not begun.
    starts: Starts,
    /// Calls of components without tasks.
    fibers: Slots<FiberCall>,
    /// Elements of the host's reads and writes.
    buffers: Slots<Arc<dyn HostBuffer>>,
    /// Reads and writes of the host that wait, and who watches ends.
    copies: FxHashMap<WaitableId, HostCopy>,
    /// What went wrong where no call was to be told.
    failures: VecDeque<Error>,
    /// Values that nobody wants.
    discarded: Vec<Vals>,
    /// A place and a waker for the next host future.
    spare: Option<(Key, Arc<Bell>, Waker)>,
    clock: Clock,
    /// Is told what the loop does.
    trace: Option<Trace>,
    /// Counts turns of the loop, which takes turns among its sources.
    turns: usize,
}

/// What the host waits for at an end.
#[derive(Default)]
pub(super) struct HostCopy {
    /// Of the read or write that waits.
    buffer: Option<Key>,
    /// Of who waits for that.
    waker: Option<Waker>,
    /// Of who is told when the other side goes.
    watcher: Option<Waker>,
}

/// The model's number of an element type, and whether it is a number or nothing.
pub(crate) fn element_type(
    instance: &InstanceData,
    payload: Option<InterfaceType>,
) -> (TypeId, bool) {
    let ty = instance.shared().drive.state().type_id(instance, payload);
    (ty, copy::is_plain(payload))
}

pub(crate) use copy::is_plain as copy_is_plain;

impl Concurrent {
    /// Tells whoever traces what the loop does.
    pub fn trace(&self, line: impl FnOnce() -> String) {
        let trace = self.state.borrow_mut().trace.take();
        if let Some(mut trace) = trace {
            trace(&line());
            self.state.borrow_mut().trace.get_or_insert(trace);
        }
    }

    /// From now on traced.
    pub(super) fn set_trace(&self, trace: Option<Trace>) {
        self.state.borrow_mut().trace = trace;
    }

    /// So many turns may be taken on the stacks of guests that wait, from now on.
    pub fn turns_here(&self, turns: u32) {
        self.here.left.set(turns);
        self.here.news.set(false);
    }

    /// Whether there are more.
    pub fn has_turns_here(&self) -> bool {
        self.here.left.get() > 0
    }

    /// A call of the host has a result.
    pub fn tell_news(&self) {
        self.here.news.set(true);
    }

    /// Turns are taken here, if they are not somewhere already.
    pub fn enter_here(&self) -> Option<EnteredHere<'_>> {
        (!self.here.active.replace(true)).then(|| EnteredHere(&self.here))
    }

    /// Whether there is one more.
    pub fn takes_turn_here(&self) -> bool {
        let left = self.here.left.get();
        if left == 0 || self.here.news.get() {
            return false;
        }
        self.here.left.set(left - 1);
        true
    }

    /// The same for whoever waits for a call of the host, and looks after this turn.
    pub fn takes_turn_at_once(&self) -> bool {
        self.here.news.set(false);
        self.takes_turn_here()
    }

    /// A seed schedules: the clock is a virtual one from now on.
    pub fn make_virtual(&self) {
        self.state.borrow_mut().clock.make_virtual();
    }

    /// Whether a call of this instance is to begin, or is under way on a fiber.
    pub fn calls(&self, instance: NonNull<InstanceData>) -> bool {
        let state = self.state.borrow();
        state
            .starts
            .iter()
            .any(|start| start.instance() == instance)
            || state
                .fibers
                .iter()
                .any(|(_, call)| call.instance() == instance)
    }

    /// Values that nobody wants: ended as soon as no guest runs.
    pub fn discard(&self, vals: Vals) {
        self.state.borrow_mut().discarded.push(vals);
    }

    /// Something went wrong, and no call is there to be told.
    pub fn fail(&self, error: Error) {
        self.state.borrow_mut().failures.push_back(error);
    }

    /// The first thing that went wrong where no call was to be told.
    pub fn take_failure(&self) -> Option<Error> {
        self.state.borrow_mut().failures.pop_front()
    }

    /// A guest cancels its call of a host function: whether the future is gone already.
    pub fn cancel(&self, subtask: WaitableId) -> bool {
        let key = self.state.borrow().by_subtask.get(subtask).copied();
        key.is_none_or(|key| host_task::give_up(self, key))
    }

    /// Calls by guests that are gone.
    pub fn give_up(&self, calls: &[WaitableId], parked: &[ParkedId]) {
        let keys: Vec<Key> = {
            let state = self.state.borrow();
            let calls = calls.iter().filter_map(|id| state.by_subtask.get(*id));
            let parked = parked.iter().filter_map(|id| state.by_parked.get(id));
            calls.chain(parked).copied().collect()
        };
        for key in keys {
            host_task::give_up(self, key);
        }
    }

    /// Host futures and calls; reads and writes of the host.
    fn counts(&self) -> [usize; 2] {
        let state = self.state.borrow();
        let futures = state.waiting() + state.starts.len() + state.fibers.len();
        let copies = state.buffers.len() + state.copies.len();
        [futures, copies]
    }

    /// The fiber that runs now is that of the call `key`, or none of these.
    pub fn running<R>(&self, key: Option<Key>, work: impl FnOnce() -> R) -> R {
        struct Back<'a>(&'a Concurrent, Option<Key>);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.running.set(self.1);
            }
        }
        let _back = Back(self, self.running.replace(key));
        work()
    }
}

impl std::fmt::Debug for Concurrent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Concurrent").finish_non_exhaustive()
    }
}

/// The same error for one more who is to be told.
pub(crate) fn again(error: &Error) -> Error {
    match (error.downcast_ref::<GuestTrap>(), error.trap()) {
        (Some(trap), _) => Error::new(trap.clone()),
        (None, Some(trap)) => Error::new(trap),
        (None, None) => Error::msg(format!("{error}")),
    }
}

/// What a call ends with whose tree is locked down without a trap of its own.
pub(crate) fn abandoned() -> Error {
    Error::new(GuestTrap::new(
        Trap::CannotEnterComponent,
        "the component instance was abandoned",
    ))
}
