//! Tasks: calls of lifted functions, as the callee sees them.
//!
//! ```text
//!   INITIAL --start--> STARTED --return--------------------------------> RESOLVED
//!      |                  |                                                ^  ^
//!      |                  | asked to cancel, nobody can be told            |  |
//!      |                  +--> PENDING_CANCEL --return-------------------- +  |
//!      |                  |        | a thread asks, or waits cancellably   |  |
//!      | asked to cancel  |        v                                       |  |
//!      |                  +--> CANCEL_DELIVERED --return, cancel ----------+  |
//!      +-------------------------> CANCEL_DELIVERED --at once, cancelled------+
//! ```
//!
//! A task is asked to cancel at most once. It is gone when it is resolved and the last of
//! its threads has ended. Not here: whom it runs on (`thread`), what happens when
//! (`store` and the `canon_..` files).

use crate::effect::Caller;
use crate::few::Few;
use crate::instance::InstanceId;
use crate::resource::ScopeId;
use crate::thread::ThreadId;
use crate::trap::Trap;

/// A task of a store. Of one that is gone it says that it is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskId {
    pub(crate) number: u32,
    pub(crate) stamp: u32,
}

impl TaskId {
    /// Its number, which another task can have when it is gone.
    pub const fn number(self) -> u32 {
        self.number
    }
}

/// How a function was lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abi {
    /// Without the `async` option: it returns its result.
    Sync,
    /// With `async`: it calls `task.return`, and may block on its stack.
    Stackful,
    /// With `async` and `callback`: it returns to wait, and its callback is called.
    Callback,
}

/// A lifted function, as far as tasks need to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callee {
    /// The component instance that it is of.
    pub instance: InstanceId,
    /// Whether its type is an `async` one.
    pub is_async: bool,
    /// How it was lifted; `Sync` where its type is not `async`.
    pub abi: Abi,
}

impl Callee {
    /// Whether its task excludes others of its kind from the instance while it runs.
    pub(crate) const fn excludes(self) -> bool {
        self.is_async && !matches!(self.abi, Abi::Stackful)
    }
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It has not taken its arguments yet.
    Initial,
    /// It runs.
    Started,
    /// It was asked to cancel, and has not been told.
    PendingCancel,
    /// It was told to cancel.
    CancelDelivered,
    /// It has returned or was cancelled; threads of it may go on.
    Resolved,
}

use TaskState as State;

/// A task.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub stamp: u32,
    pub callee: Callee,
    pub caller: Caller,
    /// Counts the borrowed handles it has; none until it is given one.
    pub scope: Option<ScopeId>,
    pub implicit: ThreadId,
    /// Threads that have an index.
    pub threads: u32,
    /// Threads that cancellation can resume.
    pub cancellable: Few<ThreadId>,
    state: State,
}

impl Task {
    pub fn new(stamp: u32, callee: Callee, caller: Caller) -> Task {
        Task {
            stamp,
            callee,
            caller,
            scope: None,
            implicit: ThreadId(u32::MAX),
            threads: 0,
            cancellable: Few::new(),
            state: State::Initial,
        }
    }

    #[inline]
    pub fn state(&self) -> TaskState {
        self.state
    }

    #[inline]
    pub fn is_resolved(&self) -> bool {
        self.state == State::Resolved
    }

    #[inline]
    pub fn is_initial(&self) -> bool {
        self.state == State::Initial
    }

    /// INITIAL -> STARTED.
    #[inline]
    pub fn start(&mut self) -> Result<(), Trap> {
        if self.state != State::Initial {
            return Err(Trap::Misuse("a task that starts twice"));
        }
        self.state = State::Started;
        Ok(())
    }

    /// Whether its result may be given now.
    #[inline]
    pub fn check_return(&self) -> Result<(), Trap> {
        match self.state {
            State::Resolved => Err(Trap::Resolved),
            State::Initial => Err(Trap::Misuse("result of a task that has not started")),
            _ => Ok(()),
        }
    }

    /// Whether it may say now that it is cancelled.
    pub fn check_cancel(&self) -> Result<(), Trap> {
        match self.state {
            State::CancelDelivered => Ok(()),
            State::Resolved => Err(Trap::Resolved),
            _ => Err(Trap::NotCancelled),
        }
    }

    /// -> RESOLVED.
    #[inline]
    pub fn resolve(&mut self) {
        self.state = State::Resolved;
    }

    /// Whether it can be asked to cancel: once, before it is resolved.
    pub fn check_request(&self) -> Result<(), Trap> {
        match self.state {
            State::Initial | State::Started => Ok(()),
            _ => Err(Trap::Misuse(
                "a task that is asked to cancel twice, or too late",
            )),
        }
    }

    /// A thread of it is told now, or one will be.
    pub fn request(&mut self, now: bool) {
        self.state = match now {
            true => State::CancelDelivered,
            false => State::PendingCancel,
        };
    }

    /// Whether the thread that asks is to be told that the task was asked to cancel.
    #[inline]
    pub fn deliver_pending_cancel(&mut self, cancellable: bool) -> bool {
        let deliver = cancellable && self.state == State::PendingCancel;
        if deliver {
            self.state = State::CancelDelivered;
        }
        deliver
    }
}
