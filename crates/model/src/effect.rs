//! What the outside is to do next: the answer of every transition that runs guest code,
//! or may.
//!
//! ```text
//!            built-in, call, callback or thread ends, tick
//!   running ------------------------------------------------> Store
//!   guest  <------------------------------------------------- one Effect
//!            Continue | Start | Callback | Copy | CancelHost | ToHost
//! ```
//!
//! An effect names the thread that runs next. It can be the one that asked (the built-in
//! returns at once), one below it (which waited for what the other has done so far), or
//! any other one. Whoever performs switches stacks accordingly; the model has no stacks.

use crate::instance::InstanceId;
use crate::stream::CopyJob;
use crate::task::TaskId;
use crate::thread::ThreadId;
use crate::waitable::{Event, WaitableId};

/// What the built-in that a thread is in returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    None,
    /// A number: an index, a packed status, 0 or 1 for "cancelled".
    Number(u32),
    /// Two indices: the readable and the writable end.
    Pair(u32, u32),
    /// An event, of which index and payload go to memory.
    Event(Event),
    /// A synchronous call is over: the results that came with this subtask's resolution.
    Results(WaitableId),
}

/// Who made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The host.
    Host,
    /// A guest.
    Guest {
        /// The component instance that called.
        instance: InstanceId,
        /// The call, as it sees it.
        subtask: WaitableId,
    },
    /// A guest that a trap has ended: nobody gets the result.
    Nobody,
}

impl Caller {
    /// The calling instance; `None`: the host.
    pub const fn instance(self) -> Option<InstanceId> {
        match self {
            Caller::Host | Caller::Nobody => None,
            Caller::Guest { instance, .. } => Some(instance),
        }
    }
}

/// What a thread does when it first runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Takes the task's arguments (out of its caller's table and memory, into its own),
    /// and calls the lifted function.
    Task(TaskId),
    /// Calls the function that the user of the model knows by this number.
    Function(u64),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// The built-in (or call) that `thread` is in returns `value`.
    Continue {
        /// Which runs now.
        thread: ThreadId,
        /// What it gets.
        value: Value,
    },
    /// `thread` runs for the first time. When its function returns:
    /// [`Store::returned`](crate::Store::returned) or, where it is a callback lift,
    /// [`Store::callback_returned`](crate::Store::callback_returned).
    Start {
        /// Which runs now.
        thread: ThreadId,
        /// What it runs.
        entry: Entry,
    },
    /// The task's callback is called, on `thread`, with an event.
    Callback {
        /// Which runs now.
        thread: ThreadId,
        /// Whose callback.
        task: TaskId,
        /// Its parameters.
        event: Event,
    },
    /// Elements are to be copied; then [`Store::finish_copy`](crate::Store::finish_copy).
    Copy(CopyJob),
    /// A call of a host function is to be cancelled; then
    /// [`Store::finish_host_cancel`](crate::Store::finish_host_cancel).
    CancelHost {
        /// The call.
        subtask: WaitableId,
        /// Whether its caller does not wait.
        is_async: bool,
    },
    /// Nothing runs any more of what the host started last: its call, request to cancel or
    /// tick is over (its task may go on later).
    ToHost,
}

/// A task's result passes to its caller: lift it, lower it there, then
/// [`Store::finish_return`](crate::Store::finish_return).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Returning {
    /// Whose result.
    pub task: TaskId,
    /// To whom.
    pub to: Caller,
}
