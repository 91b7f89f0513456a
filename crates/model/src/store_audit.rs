//! Whether everything in a store fits together: for tests and fuzzing.
//!
//! Beside what `audit` checks of handles: every waiting thread is where its condition says,
//! conditions and open lists agree, running threads are those that have frames or are
//! below them, counts count. It looks at everything, so it is slow.

use crate::instance::{FlagStorage, InstanceId};
use crate::store::{Store, Then};
use crate::tables::Tables;
use crate::task::Task;
use crate::thread::{Thread, ThreadId, Wait};
use alloc::vec::Vec;

type Audit = Result<(), &'static str>;

fn ensure(holds: bool, what: &'static str) -> Audit {
    if holds { Ok(()) } else { Err(what) }
}

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// The first thing that does not fit.
    pub fn audit(&mut self) -> Audit {
        self.arena.audit()?;
        self.queue.audit()?;
        let settled = self.arena.touched.is_empty() && self.arena.woken.is_empty();
        ensure(settled, "a change that nobody was told of")?;
        for (number, thread) in self.threads.iter() {
            self.audit_thread(ThreadId(number), thread)?;
        }
        for (number, task) in self.tasks.iter() {
            self.audit_task(number, task)?;
        }
        self.audit_sets()?;
        self.audit_task_counts()?;
        for number in 0..self.components.len() {
            let id = InstanceId::from_number(number);
            self.audit_instance(id)?;
            let table = self.tables.with(id, |table| table.audit());
            table.unwrap_or(Err("instance without a table"))?;
        }
        self.audit_idle()
    }

    fn audit_task_counts(&self) -> Audit {
        let mut counted: Vec<u32> = self.components.iter().map(|_| 0).collect();
        for (_, task) in self.tasks.iter() {
            if let Some(count) = counted.get_mut(task.callee.instance.get() as usize) {
                *count += 1;
            }
        }
        let mut both = self.components.iter().zip(&counted);
        let same = both.all(|(it, count)| it.tasks() == *count);
        ensure(same, "an instance that counts other tasks than it has")
    }

    fn audit_thread(&self, id: ThreadId, thread: &Thread) -> Audit {
        let task = self.task(thread.task).map_err(|_| "thread of no task")?;
        let component = self
            .component(task.callee.instance)
            .map_err(|_| "thread of no instance")?;
        if thread.index == 0 {
            let entering = matches!(thread.waits(), Some(Wait::Enter));
            ensure(entering && task.is_initial(), "thread without an index")?;
        } else {
            let at = component.threads.get(thread.index).ok();
            ensure(at == Some(id), "thread that is not at its index")?;
        }
        if let Some(place) = thread.cancellable {
            let there = task.cancellable.get(place as usize) == Some(&id);
            ensure(there, "cancellable thread in the wrong place")?;
            ensure(!thread.is_running(), "running thread that is cancellable")?;
        }
        ensure(
            thread.waits().is_some() || !self.queue.contains(id),
            "thread in a list that does not wait",
        )?;
        if let Some(wait) = thread.waits() {
            let holds = self.holds(wait, id).map_err(|_| "wait for what is gone")?;
            let ready = self.queue.is_ready(id);
            ensure(
                holds == ready || component.is_closed(),
                "thread that is ready and can't run, or the reverse",
            )?;
        }
        let parked = self.parked.iter().flat_map(|(_, frames)| frames);
        let framed = self
            .frames
            .iter()
            .chain(parked)
            .filter(|frame| frame.thread == id)
            .count();
        ensure(framed <= 1, "thread with two frames")?;
        ensure(
            (framed == 1) == thread.is_running(),
            "running thread without a frame",
        )
    }

    fn audit_task(&self, number: u32, task: &Task) -> Audit {
        let of = |thread: &&Thread| thread.task.number == number && thread.task.stamp == task.stamp;
        let threads = self.threads.iter().map(|(_, thread)| thread).filter(of);
        let registered = threads.filter(|thread| thread.index != 0).count();
        ensure(
            registered == task.threads as usize,
            "task with a wrong count of threads",
        )?;
        ensure(registered > 0 || task.is_initial(), "task that nobody runs")?;
        for (place, id) in (0..).zip(task.cancellable.iter()) {
            let thread = self
                .thread(*id)
                .map_err(|_| "cancellable thread that is gone")?;
            ensure(
                thread.cancellable == Some(place),
                "cancellable thread that is elsewhere",
            )?;
        }
        if let Some(scope) = task.scope {
            ensure(!task.is_resolved(), "resolved task with a scope")?;
            let _ = self.scopes.check(scope);
        }
        Ok(())
    }

    fn audit_sets(&self) -> Audit {
        for (number, set) in self.arena.sets.iter() {
            let waits = |thread: &&Thread| match thread.waits() {
                Some(Wait::Set(id) | Wait::CallbackSet(id)) => id.0 == number,
                _ => false,
            };
            let waiters = self.threads.iter().map(|(_, thread)| thread).filter(waits);
            ensure(
                waiters.count() == set.waiters as usize,
                "set with a wrong count of waiters",
            )?;
        }
        Ok(())
    }

    fn audit_instance(&self, id: InstanceId) -> Audit {
        let component = self.component(id).map_err(|_| "no such instance")?;
        component.threads.audit()?;
        for (index, thread) in component.threads.iter() {
            let thread = self
                .thread(thread)
                .map_err(|_| "index of a thread that is gone")?;
            ensure(thread.index == index, "thread with another index")?;
        }
        let enters = |thread: &&Thread| {
            let here = self
                .task(thread.task)
                .is_ok_and(|task| task.callee.instance == id);
            here && matches!(thread.waits(), Some(Wait::Enter))
        };
        let entering = self.threads.iter().map(|(_, thread)| thread).filter(enters);
        ensure(
            entering.count() == component.num_waiting_to_enter as usize,
            "instance with a wrong count of tasks that wait to enter",
        )?;
        match component.exclusive().map(|thread| self.thread(thread)) {
            Some(Ok(thread)) => ensure(thread.index != 0, "exclusive thread without an index"),
            Some(Err(_)) => Err("exclusive thread that is gone"),
            None => Ok(()),
        }
    }

    /// What holds while nothing runs.
    fn audit_idle(&self) -> Audit {
        let mut running = Vec::new();
        let parked = self.parked.iter().flat_map(|(_, frames)| frames);
        for frame in self.frames.iter().chain(parked) {
            running.push(match frame.then {
                Then::Tick(instance) => instance,
                Then::Call { callee, .. } => callee.instance,
                Then::Cancel { entered, .. } => match entered {
                    Some(instance) => instance,
                    None => continue,
                },
            });
        }
        for number in 0..self.components.len() {
            let id = InstanceId::from_number(number);
            let mut free = self.instances.flags().get(id).may_enter;
            if self.instances.is_locked_down(id) {
                continue;
            }
            let entered = running.iter().any(|inner| {
                let mut at = Some(*inner);
                while let Some(instance) = at {
                    if instance == id {
                        return true;
                    }
                    at = self.instances.parent(instance);
                }
                false
            });
            free ^= entered;
            ensure(free, "instance that is entered and is not, or the reverse")?;
        }
        Ok(())
    }
}
