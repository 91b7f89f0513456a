//! What a store keeps of one component instance beside its handles and flags: its
//! threads, who excludes others, who waits to enter.
//!
//! ```text
//!   open (see `run_queue`):   plain            no stack of it waits in the host
//!                             gated            the same, and nobody excludes others
//!                             enter            backpressure is 0
//!                             enter_exclusive  that, and nobody excludes others
//! ```

use crate::error::HandleError;
use crate::run_queue::{Among, GroupId, ListId, RunQueue};
use crate::thread::{ThreadId, Threads};

/// Its ready lists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lists {
    pub plain: GroupId,
    pub gated: GroupId,
    /// Threads that exclude others, and can go on.
    pub held: ListId,
    /// Others that can go on.
    pub own: ListId,
    pub gate: ListId,
    pub enter: ListId,
    pub enter_exclusive: ListId,
}

impl Lists {
    /// What a call of a function that is not async may let run.
    pub fn inner(&self) -> Among {
        Among::Inner([self.plain, self.gated])
    }

    /// None are there any more.
    pub fn remove(self, queue: &mut RunQueue) {
        for list in [
            self.held,
            self.own,
            self.gate,
            self.enter,
            self.enter_exclusive,
        ] {
            queue.remove_list(list);
        }
        queue.remove_group(self.plain);
        queue.remove_group(self.gated);
    }
}

/// A component instance, as far as its tasks and threads go.
#[derive(Clone, Debug)]
pub(crate) struct ComponentInstance {
    pub threads: Threads,
    pub lists: Lists,
    /// Tasks that wait to enter.
    pub num_waiting_to_enter: u32,
    /// Tasks that are not over.
    tasks: u32,
    /// Most of these.
    most_tasks: u32,
    /// Whether none of its threads may run: a stack that waits in the host runs through it.
    closed: bool,
    /// Whether tasks between two calls of their callbacks may run during a call of a
    /// function that is not async.
    pub callbacks: bool,
    exclusive: Option<ThreadId>,
}

impl ComponentInstance {
    /// `callbacks`: see the field.
    pub fn new(queue: &mut RunQueue, callbacks: bool) -> Result<ComponentInstance, HandleError> {
        let (plain, gated) = (queue.add_group()?, queue.add_group()?);
        let lists = Lists {
            plain,
            gated,
            held: queue.add_list(plain, true, false)?,
            own: queue.add_list(plain, true, true)?,
            gate: queue.add_list(gated, true, callbacks)?,
            enter: queue.add_list(plain, true, false)?,
            enter_exclusive: queue.add_list(plain, true, false)?,
        };
        Ok(ComponentInstance {
            threads: Threads::default(),
            lists,
            num_waiting_to_enter: 0,
            tasks: 0,
            most_tasks: u32::MAX,
            closed: false,
            callbacks,
            exclusive: None,
        })
    }

    /// How many tasks are not over.
    pub fn tasks(&self) -> u32 {
        self.tasks
    }

    /// Bounds them.
    pub fn set_most_tasks(&mut self, most: u32) {
        self.most_tasks = most;
    }

    /// One more task.
    #[inline]
    pub fn add_task(&mut self) -> Result<(), HandleError> {
        if self.tasks >= self.most_tasks {
            return Err(HandleError::TooMany {
                what: "tasks in one component instance: raise `Limits::tasks`",
            });
        }
        self.tasks += 1;
        Ok(())
    }

    /// A task is over.
    #[inline]
    pub fn remove_task(&mut self) {
        self.tasks = self.tasks.saturating_sub(1);
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

    /// Whether calls that exclude others can't start at once.
    #[inline]
    pub fn is_shut(&self, backpressure: u32) -> bool {
        self.has_backpressure(backpressure, true) || self.num_waiting_to_enter > 0
    }

    /// Whether a stack of it waits in the host.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Lets none of its threads run, or lets them again.
    pub fn set_closed(&mut self, queue: &mut RunQueue, closed: bool) {
        self.closed = closed;
        queue.set_group_open(self.lists.plain, !closed);
        queue.set_group_open(self.lists.gated, !closed && self.exclusive.is_none());
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
            queue.set_group_open(self.lists.gated, free && !self.closed);
            queue.set_open(self.lists.enter_exclusive, free && backpressure == 0);
        }
    }

    /// Opens and closes lists.
    #[inline]
    pub fn refresh(&self, queue: &mut RunQueue, backpressure: u32) {
        let (free, held_back) = (self.exclusive.is_none(), backpressure > 0);
        queue.set_open(self.lists.enter, !held_back);
        queue.set_open(self.lists.enter_exclusive, free && !held_back);
    }
}
