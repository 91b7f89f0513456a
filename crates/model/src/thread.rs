//! The table of a component instance's threads: a second one, with the same indices and
//! the same free list, but its own.
//!
//! And what a thread is:
//!
//! ```text
//!             resume-later, or it waits           its condition holds: in a ready list
//!   SUSPENDED -------------------------> WAITING <------------------------> (ready)
//!    |     ^                                |  ^                               |
//!    |     | suspend                        |  | wait, yield                   |
//!    |     +---------------- RUNNING -------|--+                               |
//!    |                        ^   |         |                                  |
//!    +------- switched to ----+   |         +-- cancelled, or promoted ---> RUNNING
//!                                 +-- its function returns: gone
//! ```
//!
//! A new thread is SUSPENDED; the implicit one of a task is resumed at once. RUNNING are
//! all that stand on the stack of who resumed whom, not only the topmost one. Its stack
//! is the user's, how it becomes ready `run_queue`'s and `store`'s.

use crate::error::HandleError;
use crate::handles::{Kind, Slot, Storage, Table, TypeId, VecStorage};
use crate::instance::InstanceId;
use crate::task::TaskId;
use crate::waitable::{SetId, WaitableId};

/// A thread, by whatever number the scheduler gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(pub u32);

/// The threads of one component instance.
#[derive(Clone, Debug)]
pub struct Threads<S = VecStorage> {
    table: Table<S>,
}

impl Default for Threads {
    fn default() -> Threads {
        Threads {
            table: Table::new(),
        }
    }
}

impl<S: Storage> Threads<S> {
    /// Threads in this table, which must hold nothing else.
    pub fn with_table(table: Table<S>) -> Threads<S> {
        Threads { table }
    }

    /// Gives a thread its index.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn insert(&mut self, thread: ThreadId) -> Result<u32, HandleError> {
        self.table
            .insert(Slot::new(Kind::Thread, TypeId::NONE, thread.0))
    }

    /// The thread at `index`.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn get(&self, index: u32) -> Result<ThreadId, HandleError> {
        self.table.get(index).map(|slot| ThreadId(slot.rep()))
    }

    /// The thread at `index` has ended.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn remove(&mut self, index: u32) -> Result<ThreadId, HandleError> {
        let thread = self.get(index)?;
        self.table.free(index);
        Ok(thread)
    }

    /// The same of one that has this index.
    #[inline]
    pub(crate) fn free(&mut self, index: u32) {
        self.table.free(index);
    }

    /// All threads, by index.
    pub fn iter(&self) -> impl Iterator<Item = (u32, ThreadId)> + '_ {
        self.table
            .iter()
            .map(|(index, slot)| (index, ThreadId(slot.rep())))
    }

    /// Whether the table is in order: for tests and fuzzing.
    ///
    /// # Errors
    ///
    /// With what does not fit together.
    pub fn audit(&self) -> Result<(), &'static str> {
        self.table.audit()
    }
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: it lets others run.
    Turn,
    /// Its task may start.
    Enter,
    /// No other thread excludes this one: it is between two calls of a callback.
    CallbackYield,
    /// The same, and the set has an event.
    CallbackSet(SetId),
    /// The set has an event.
    Set(SetId),
    /// The end of a stream or future has an event; the subtask is resolved.
    Waitable(WaitableId),
    /// The call that it made synchronously is resolved.
    Call(WaitableId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Suspended,
    Waiting(Wait),
    Running,
}

/// A thread.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub task: TaskId,
    /// The instance that its task is of.
    pub instance: InstanceId,
    /// Counts threads of the store, this one included.
    pub serial: u64,
    /// Its index in its instance's table of threads; 0: it has none (yet).
    pub index: u32,
    /// Of an explicit thread: the function it runs.
    pub function: Option<u64>,
    /// Whether its function has been called.
    pub begun: bool,
    /// Its place among its task's cancellable threads.
    pub cancellable: Option<u32>,
    /// Its context slots while it does not run.
    pub storage: [u64; 2],
    state: State,
}

impl Thread {
    #[inline]
    pub fn new(
        (task, instance): (TaskId, InstanceId),
        serial: u64,
        function: Option<u64>,
    ) -> Thread {
        Thread {
            task,
            instance,
            serial,
            index: 0,
            function,
            begun: false,
            cancellable: None,
            storage: [0; 2],
            state: State::Suspended,
        }
    }

    #[inline]
    pub fn is_suspended(&self) -> bool {
        self.state == State::Suspended
    }

    #[inline]
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// What it waits for.
    #[inline]
    pub fn waits(&self) -> Option<Wait> {
        match self.state {
            State::Waiting(wait) => Some(wait),
            _ => None,
        }
    }

    /// RUNNING -> SUSPENDED.
    #[inline]
    pub fn suspend(&mut self) {
        self.state = State::Suspended;
    }

    /// -> WAITING.
    #[inline]
    pub fn wait(&mut self, wait: Wait) {
        self.state = State::Waiting(wait);
    }

    /// -> RUNNING; what it waited for.
    #[inline]
    pub fn run(&mut self) -> Option<Wait> {
        let waited = self.waits();
        self.state = State::Running;
        waited
    }
}
