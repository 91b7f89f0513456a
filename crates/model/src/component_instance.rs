//! What a store keeps of one component instance beside its handles and flags: its
//! threads, who excludes others, who waits to enter.
//!
//! ```text
//!   open lists (see `run_queue`):   gate             nobody excludes others
//!                                   enter            backpressure is 0
//!                                   enter_exclusive  both
//! ```

use crate::error::HandleError;
use crate::run_queue::{ListId, RunQueue};
use crate::thread::{ThreadId, Threads};

/// Its ready lists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lists {
    pub outer: ListId,
    pub inner: ListId,
    pub gate: ListId,
    pub enter: ListId,
    pub enter_exclusive: ListId,
}

/// A component instance, as far as its tasks and threads go.
#[derive(Clone, Debug)]
pub(crate) struct ComponentInstance {
    pub threads: Threads,
    pub lists: Lists,
    /// Tasks that wait to enter.
    pub num_waiting_to_enter: u32,
    /// Whether none of its threads may run: a stack that waits in the host runs through it.
    pub closed: bool,
    exclusive: Option<ThreadId>,
}

impl ComponentInstance {
    /// `callbacks`: whether tasks between two calls of their callbacks may run during a
    /// call of a function that is not async.
    pub fn new(queue: &mut RunQueue, callbacks: bool) -> Result<ComponentInstance, HandleError> {
        let outer = queue.add_list(Some(queue.root()), true)?;
        let inner = queue.add_list(Some(outer), true)?;
        let lists = Lists {
            outer,
            inner,
            gate: queue.add_list(Some(if callbacks { inner } else { outer }), true)?,
            enter: queue.add_list(Some(outer), true)?,
            enter_exclusive: queue.add_list(Some(outer), true)?,
        };
        Ok(ComponentInstance {
            threads: Threads::default(),
            lists,
            num_waiting_to_enter: 0,
            closed: false,
            exclusive: None,
        })
    }

    /// The thread that excludes others.
    #[inline]
    pub fn exclusive(&self) -> Option<ThreadId> {
        self.exclusive
    }

    /// Whether a task must wait to enter.
    #[inline]
    pub fn has_backpressure(&self, backpressure: u32, excludes: bool) -> bool {
        backpressure > 0 || (excludes && self.exclusive.is_some())
    }

    /// Changes who excludes others.
    #[inline]
    pub fn set_exclusive(
        &mut self,
        queue: &mut RunQueue,
        thread: Option<ThreadId>,
        backpressure: u32,
    ) {
        let (before, free) = (self.exclusive.is_none(), thread.is_none());
        self.exclusive = thread;
        if before != free {
            queue.set_open(self.lists.gate, free);
            queue.set_open(self.lists.enter_exclusive, free && backpressure == 0);
        }
    }

    /// Opens and closes lists.
    #[inline]
    pub fn refresh(&self, queue: &mut RunQueue, backpressure: u32) {
        let (free, held_back) = (self.exclusive.is_none(), backpressure > 0);
        queue.set_open(self.lists.gate, free);
        queue.set_open(self.lists.enter, !held_back);
        queue.set_open(self.lists.enter_exclusive, free && !held_back);
    }
}
