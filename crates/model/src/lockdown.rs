//! What a trap ends: everything of the trees that were entered on the trapped stack.
//!
//! ```text
//!   frames:  thread 9 of B | Call      the host called A, A called B, and B traps:
//!            thread 8 of A | Call      both frames go, and the trees of A and B
//!            -------------------- the host's
//!            thread 3 of C | Tick      stays: C called a host function, which called A
//! ```
//!
//! Of a locked tree nothing runs any more. Others see that the other ends of its streams
//! and futures are dropped and that calls of it are cancelled; what it had called goes on,
//! for nobody. Handles to resources stay in its tables, for whoever takes the instances
//! apart.

use crate::effect::Caller;
use crate::handles::Kind;
use crate::instance::{FlagStorage, InstanceId};
use crate::park::ParkedId;
use crate::store::{Frame, Store, Then};
use crate::subtask::SubtaskState;
use crate::tables::Tables;
use crate::task::TaskId;
use crate::thread::{ThreadId, Threads, Wait};
use crate::trap::Trap;
use crate::waitable::{ContextId, SetId, WaitableId};
use alloc::vec::Vec;

/// What a trap ended.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// Threads, whose stacks are to be given up.
    pub threads: Vec<ThreadId>,
    /// Tasks that the host had started and that were not resolved.
    pub host_tasks: Vec<TaskId>,
    /// Calls of host functions that nobody waits for any more.
    pub host_calls: Vec<WaitableId>,
    /// Stacks that waited in the host.
    pub parked: Vec<ParkedId>,
}

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// The current thread has trapped, or the call to which an error of the host came
    /// back: its stack is unwound up to where the host is.
    ///
    /// # Errors
    ///
    /// Where there is no such instance, or nothing runs.
    pub fn trap(&mut self) -> Result<Ended, Trap> {
        let mut entered = Vec::new();
        let frames = self.unwind();
        self.forget_given(&frames)?;
        for frame in frames {
            entered.extend(self.instance_of(frame.thread));
            match frame.then {
                Then::Tick(instance) => entered.push(instance),
                Then::Call { callee, .. } => entered.push(callee.instance),
                Then::Cancel { entered: at, .. } => entered.extend(at),
            }
        }
        let mut ended = Ended::default();
        for instance in entered {
            if !self.instances.is_locked_down(instance) {
                self.lock_down(instance, &mut ended)?;
            }
        }
        Ok(ended)
    }

    /// Nothing of the whole tree that an instance is in runs any more: `abandon`, or a
    /// part of [`Store::trap`].
    ///
    /// # Errors
    ///
    /// Where there is no such instance, or nothing runs.
    pub fn lock_down(&mut self, instance: InstanceId, ended: &mut Ended) -> Result<(), Trap> {
        self.instances.lock_down(instance);
        let root = self.instances.root(instance);
        if let Some(parked) = self.parked_in(root) {
            let frames = self.parked.remove(parked.0).unwrap_or_default();
            self.forget_given(&frames)?;
            ended.parked.push(parked);
            // Whoever else is on that stack can't go on either.
            for other in self.roots_of(&frames) {
                if other != root {
                    self.lock_down(other, ended)?;
                }
            }
        }
        let inside = |store: &Self, id: InstanceId| store.instances.root(id) == root;
        let mut gone = Vec::new();
        for (number, task) in self.tasks.iter() {
            let stamp = task.stamp;
            gone.push((TaskId { number, stamp }, task.callee.instance, task.caller));
        }
        for (id, callee, caller) in gone {
            match (inside(self, callee), caller) {
                (true, _) => self.end_task(id, root, ended)?,
                (false, Caller::Guest { instance, subtask }) if inside(self, instance) => {
                    let task = self.task_mut(id)?;
                    task.caller = Caller::Nobody;
                    if task.is_resolved() {
                        continue;
                    }
                    self.arena.subtask_mut(subtask)?.task = None;
                    self.free_unindexed(subtask)?;
                }
                _ => {}
            }
        }
        for number in 0..self.components.len() {
            let id = InstanceId::from_number(number);
            if inside(self, id) {
                self.set_exclusive(id, None)?;
                self.empty_table(id, ended)?;
                let component = self.component_mut(id)?;
                component.threads = Threads::default();
                component.num_waiting_to_enter = 0;
                self.update_gate(id)?;
            }
        }
        Ok(())
    }

    /// Calls that are resolved and never come back to their callers, as those trapped: no
    /// task and no table has them any more.
    fn forget_given(&mut self, frames: &[Frame]) -> Result<(), Trap> {
        for frame in frames {
            if let Then::Call {
                caller: Caller::Guest { subtask, .. },
                ..
            } = frame.then
                && self.arena.subtask_state(subtask)?.is_resolved()
            {
                self.free_unindexed(subtask)?;
            }
        }
        Ok(())
    }

    /// A subtask that is in no table goes.
    fn free_unindexed(&mut self, subtask: WaitableId) -> Result<(), Trap> {
        if self.arena.waitable(subtask)?.index == 0 {
            self.arena.free_subtask(subtask)?;
        }
        Ok(())
    }

    /// A task of a locked tree and its threads go; a caller outside sees it cancelled.
    fn end_task(&mut self, id: TaskId, root: InstanceId, ended: &mut Ended) -> Result<(), Trap> {
        let task = self.tasks.remove(id.number);
        let task = task.ok_or(Trap::Misuse("a task that is gone"))?;
        self.component_mut(task.callee.instance)?.remove_task();
        if let Some(scope) = task.scope {
            self.scopes.discard(scope);
        }
        let threads = self.threads.iter();
        let threads: Vec<_> = threads
            .filter(|(_, thread)| thread.task == id)
            .map(|(number, thread)| (ThreadId(number), thread.waits()))
            .collect();
        for (thread, waits) in threads {
            self.remove_thread(thread);
            ended.threads.push(thread);
            self.queue.remove(thread);
            if let Some(Wait::Call(subtask)) = waits {
                self.end_wait_for_call(subtask, ended)?;
            }
        }
        match task.caller {
            Caller::Host if !task.is_resolved() => ended.host_tasks.push(id),
            Caller::Guest { instance, subtask } if !task.is_resolved() => {
                if self.instances.root(instance) == root {
                    self.arena.subtask_mut(subtask)?.task = None;
                    self.free_unindexed(subtask)?;
                } else {
                    self.resolve_subtask(subtask, true)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Nobody waits for a call any more; if it is one of the host's, the host is to know.
    /// One of a guest's is its task's, until that is resolved.
    fn end_wait_for_call(&mut self, subtask: WaitableId, ended: &mut Ended) -> Result<(), Trap> {
        let Ok(found) = self.arena.subtask(subtask) else {
            return Ok(());
        };
        let of_host = found.task.is_none();
        let resolved = self.arena.subtask_state(subtask)?.is_resolved();
        if of_host && !resolved {
            ended.host_calls.push(subtask);
        }
        match of_host || resolved {
            true => self.free_unindexed(subtask),
            false => Ok(()),
        }
    }

    /// Everything but resources leaves the table of a locked instance.
    fn empty_table(&mut self, id: InstanceId, ended: &mut Ended) -> Result<(), Trap> {
        let slots = self.with_table(id, |table, _| Ok(table.iter().collect::<Vec<_>>()))?;
        let mut sets = Vec::new();
        for (index, slot) in slots {
            match slot.kind() {
                kind if kind.is_waitable() => {
                    let waitable = WaitableId(slot.rep());
                    if let Ok(subtask) = self.arena.subtask(waitable) {
                        let host = subtask.task.is_none();
                        let state = self.arena.subtask_state(waitable)?;
                        if host && matches!(state, SubtaskState::Started) {
                            ended.host_calls.push(waitable);
                        }
                        self.arena.free_subtask(waitable)?;
                    } else {
                        self.with_arena(|arena| arena.close_end(waitable))?;
                    }
                }
                Kind::WaitableSet => sets.push(SetId(slot.rep())),
                Kind::ErrorContext => self.arena.context_release(ContextId(slot.rep()))?,
                _ => continue,
            }
            self.with_table(id, |table, _| {
                table.free(index);
                Ok(())
            })?;
        }
        for set in sets {
            let set = self.arena.sets.remove(set.0);
            for list in set.into_iter().flat_map(|set| set.lists).flatten() {
                self.queue.remove_list(list);
            }
        }
        self.settle()
    }
}
