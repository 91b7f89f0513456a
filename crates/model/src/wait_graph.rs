//! Who waits for whom: what a stall is explained by.
//!
//! ```text
//!   task -- thread waits for --> call: the callee's task, or the host
//!                                end: whoever holds the other end of it
//!                                set: all of the above, of each member
//!                                its instance: the task that excludes others
//! ```
//!
//! For people, so it looks at everything and is slow. Not here: names, and how it reads.

use crate::copy_end::{CopyState, Direction};
use crate::handles::{Storage, Table};
use crate::inspect::WaitsFor;
use crate::instance::{FlagStorage, InstanceId};
use crate::store::Store;
use crate::stream::Shape;
use crate::tables::Tables;
use crate::task::TaskId;
use crate::thread::{ThreadId, Wait};
use crate::waitable::{SetId, WaitableId};
use alloc::vec::Vec;

/// A thread that does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Which one.
    pub thread: ThreadId,
    /// Its task.
    pub task: TaskId,
    /// Its index in its instance's table of threads; 0: it has none yet.
    pub index: u32,
    /// What it waits for; `None`: until another thread resumes it.
    pub what: Option<WaitsFor>,
    /// The index of the set it waits for.
    pub set: Option<u32>,
    /// What can end that.
    pub on: Vec<WaitsOn>,
}

/// What can end a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsOn {
    /// A call of a guest's function.
    Task {
        /// The subtask's index; 0: it has none.
        index: u32,
        /// The callee's task.
        task: TaskId,
    },
    /// A call of a host function.
    Host {
        /// The subtask's index; 0: it has none.
        index: u32,
    },
    /// A call whose callee is gone.
    Gone {
        /// The subtask's index.
        index: u32,
    },
    /// An end of a stream or future.
    End {
        /// Its index.
        index: u32,
        /// Stream or future.
        shape: Shape,
        /// Which end it is.
        direction: Direction,
        /// Whether a read or write of it is under way: else it can have no event.
        busy: bool,
        /// Who holds the other end.
        other: Holder,
    },
    /// That this task makes place in the instance.
    Excluded(TaskId),
    /// That the instance takes calls again (`backpressure.dec`).
    Backpressure,
}

/// Who holds an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The host.
    Host,
    /// A component instance, at this index of its table.
    Instance(InstanceId, u32),
    /// Nobody: it is dropped.
    Nobody,
}

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// Every thread that does not run, and what it waits for.
    pub fn waiters(&mut self) -> Vec<Waiter> {
        let threads: Vec<_> = self.threads.iter().map(|(id, _)| ThreadId(id)).collect();
        threads
            .into_iter()
            .filter_map(|id| self.waiter(id))
            .collect()
    }

    fn waiter(&mut self, id: ThreadId) -> Option<Waiter> {
        let thread = self.threads.get(id.0)?;
        if thread.is_running() {
            return None;
        }
        let (task, index) = (thread.task, thread.index);
        let wait = thread.waits();
        let instance = self.task(task).ok()?.callee.instance;
        let mut set = None;
        let mut on = Vec::new();
        match wait {
            Some(Wait::Set(id)) => {
                set = self.index_of_set(instance, id);
                on = self.on_set(id);
            }
            Some(Wait::CallbackSet(id)) => {
                set = self.index_of_set(instance, id);
                on = self.on_set(id);
                on.extend(self.excluder(instance, task));
            }
            Some(Wait::Waitable(id) | Wait::Call(id)) => on.extend(self.on_waitable(id)),
            Some(Wait::Enter) => {
                on.extend(self.excluder(instance, task));
                if self.instances.flags().get(instance).backpressure > 0 {
                    on.push(WaitsOn::Backpressure);
                }
            }
            Some(Wait::CallbackYield) => on.extend(self.excluder(instance, task)),
            _ => {}
        }
        Some(Waiter {
            thread: id,
            task,
            index,
            what: wait.map(|wait| self.waits_for(wait)),
            set,
            on,
        })
    }

    fn excluder(&self, instance: InstanceId, but: TaskId) -> Option<WaitsOn> {
        let thread = self.component(instance).ok()?.exclusive()?;
        let task = self.thread(thread).ok()?.task;
        (task != but).then_some(WaitsOn::Excluded(task))
    }

    fn on_set(&mut self, set: SetId) -> Vec<WaitsOn> {
        let members = self.arena.sets.get(set.0);
        let members = members.map_or_else(Vec::new, |set| set.members.to_vec());
        members
            .into_iter()
            .filter_map(|id| self.on_waitable(id))
            .collect()
    }

    fn on_waitable(&mut self, id: WaitableId) -> Option<WaitsOn> {
        let index = self.arena.waitable(id).ok()?.index;
        if let Ok(subtask) = self.arena.subtask(id) {
            return Some(match subtask.task {
                None => WaitsOn::Host { index },
                Some(task) if self.task(task).is_ok() => WaitsOn::Task { index, task },
                Some(_) => WaitsOn::Gone { index },
            });
        }
        let (shape, direction) = self.arena.end_kind(id).ok()?;
        let busy = self.arena.copy_state(id).ok()? != CopyState::Idle;
        let other = id.other_end();
        let there = self.arena.waitable(other).ok();
        let other = there.map(|waitable| (other, waitable.index));
        let other = match other {
            None => Holder::Nobody,
            Some((_, 0)) => Holder::Host,
            Some((other, index)) => self.holder(other, index),
        };
        Some(WaitsOn::End {
            index,
            shape,
            direction,
            busy,
            other,
        })
    }

    /// The instance in whose table a waitable is, at this index.
    fn holder(&mut self, id: WaitableId, index: u32) -> Holder {
        let found = self.find_instance(|table| table.waitable(index) == Ok(id));
        found.map_or(Holder::Host, |instance| Holder::Instance(instance, index))
    }

    fn find_instance(&mut self, is: impl Fn(&Table<T::Slots>) -> bool) -> Option<InstanceId> {
        let ids = (0..self.components.len()).map(InstanceId::from_number);
        let mut found = None;
        for id in ids {
            if self.tables.with(id, |table| is(table)) == Some(true) {
                found = Some(id);
            }
        }
        found
    }

    fn index_of_set(&mut self, instance: InstanceId, set: SetId) -> Option<u32> {
        let find = |table: &mut Table<T::Slots>| index_in(table, set);
        self.tables.with(instance, find).flatten()
    }
}

fn index_in<S: Storage>(table: &Table<S>, set: SetId) -> Option<u32> {
    let mut slots = table.iter();
    let is = |kind| kind == crate::handles::Kind::WaitableSet;
    slots
        .find(|(_, slot)| is(slot.kind()) && slot.rep() == set.0)
        .map(|(index, _)| index)
}
