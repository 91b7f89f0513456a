//! What is going on in a store, to look at: tasks, their threads, what those wait for.
//!
//! For people and for hosts: "a stall prints who waits for whom". Nothing here changes
//! anything. Not here: handles, which [`Table::iter`](crate::handles::Table::iter) shows.

use crate::copy_end::CopyState;
use crate::effect::Caller;
use crate::handles::{Kind, Slot};
use crate::instance::{FlagStorage, InstanceId};
use crate::store::Store;
use crate::subtask::SubtaskState;
use crate::tables::Tables;
use crate::task::{Abi, TaskId, TaskState};
use crate::thread::{ThreadId, Wait};
use crate::waitable::{Arena, WaitableId};
use alloc::vec::Vec;

/// A task that is not gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// Which one.
    pub id: TaskId,
    /// The component instance that it is of.
    pub instance: InstanceId,
    /// How its function was lifted.
    pub abi: Abi,
    /// Who called.
    pub caller: Caller,
    /// Where it is.
    pub state: TaskState,
    /// Its threads.
    pub threads: Vec<ThreadInfo>,
}

/// A thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadInfo {
    /// Which one.
    pub id: ThreadId,
    /// Its index in its instance's table of threads; 0: it has none yet.
    pub index: u32,
    /// Where it is.
    pub state: ThreadState,
}

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadState {
    /// On the stack: it runs, or waits for what it called there.
    Running,
    /// Until another thread resumes it.
    Suspended,
    /// It can run, and others are before it.
    Ready,
    /// Until something happens.
    Waiting(WaitsFor),
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// Its turn.
    Turn,
    /// That its task may start: the instance is taken, or holds calls back.
    Enter,
    /// That no other thread excludes it from its instance.
    Exclusive,
    /// An event of a waitable set.
    Set,
    /// An event of the end of a stream or future, or of a subtask, at this index.
    Waitable(u32),
    /// The result of a call that it made synchronously.
    Call,
}

/// The state of what a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleState {
    /// Of the end of a stream or future.
    End(CopyState),
    /// Of a subtask.
    Subtask(SubtaskState),
}

impl Slot {
    /// What it stands for, if that is the end of a stream or future, or a subtask.
    pub const fn waitable(&self) -> Option<WaitableId> {
        match self.kind().is_waitable() {
            true => Some(WaitableId(self.rep())),
            false => None,
        }
    }
}

impl Arena {
    /// The state of what a slot stands for, if it has one.
    pub fn handle_state(&self, slot: Slot) -> Option<HandleState> {
        let id = slot.waitable()?;
        match slot.kind() {
            kind if kind.has_payload() => self.copy_state(id).ok().map(HandleState::End),
            Kind::Subtask => self.subtask_state(id).ok().map(HandleState::Subtask),
            _ => None,
        }
    }
}

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// Every task that is not gone, in no particular order.
    pub fn task_infos(&self) -> Vec<TaskInfo> {
        let tasks = self.tasks.iter().map(|(number, task)| {
            let id = TaskId {
                number,
                stamp: task.stamp,
            };
            let threads = self.threads.iter();
            let threads = threads.filter(|(_, thread)| thread.task == id);
            TaskInfo {
                id,
                instance: task.callee.instance,
                abi: task.callee.abi,
                caller: task.caller,
                state: task.state(),
                threads: threads
                    .map(|(number, thread)| ThreadInfo {
                        id: ThreadId(number),
                        index: thread.index,
                        state: self.thread_state(ThreadId(number)),
                    })
                    .collect(),
            }
        });
        tasks.collect()
    }

    fn thread_state(&self, id: ThreadId) -> ThreadState {
        let Ok(thread) = self.thread(id) else {
            return ThreadState::Suspended;
        };
        let Some(wait) = thread.waits() else {
            return match thread.is_running() {
                true => ThreadState::Running,
                false => ThreadState::Suspended,
            };
        };
        if self.queue.is_ready(id) {
            return ThreadState::Ready;
        }
        ThreadState::Waiting(self.waits_for(wait))
    }

    pub(crate) fn waits_for(&self, wait: Wait) -> WaitsFor {
        match wait {
            Wait::Turn => WaitsFor::Turn,
            Wait::Enter => WaitsFor::Enter,
            Wait::CallbackYield => WaitsFor::Exclusive,
            Wait::CallbackSet(_) | Wait::Set(_) => WaitsFor::Set,
            Wait::Waitable(id) => {
                let index = self.arena.waitable(id).map_or(0, |waitable| waitable.index);
                WaitsFor::Waitable(index)
            }
            Wait::Call(_) => WaitsFor::Call,
            #[allow(unreachable_patterns)] // conditions that only hosts know
            _ => WaitsFor::Turn,
        }
    }
}
