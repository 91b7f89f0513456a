//! How threads come to wait, and to go on: conditions, ready lists, who can be cancelled.
//!
//! ```text
//!   wait_until --(holds already, and it goes on)------------------> after_wait
//!        \--> start_waiting: in a list, or a waitable knows it         ^
//!                 |  settle: an event, a resolution                    |
//!                 +--> its list is open --> picked, or cancelled --> run
//! ```
//!
//! Not here: the lists (`run_queue`), who is resumed by whom (`store`).

use crate::effect::{Effect, Entry, Value};
use crate::error::HandleError;
use crate::instance::{FlagStorage, InstanceId};
use crate::run_queue::ListId;
use crate::store::{Next, Store};
use crate::tables::Tables;
use crate::thread::{Thread, ThreadId, Wait};
use crate::trap::Trap;
use crate::waitable::{Event, SetId, WaitableId, Woken};
use crate::waitable_set::Line;

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// Lets those go on whom the last change of a handle concerns.
    #[inline(always)]
    pub(crate) fn settle(&mut self) -> Result<(), Trap> {
        match self.arena.touched.is_empty() && self.arena.woken.is_empty() {
            true => Ok(()),
            false => self.settle_all(),
        }
    }

    fn settle_all(&mut self) -> Result<(), Trap> {
        while let Some(set) = self.arena.touched.pop() {
            let Some(set) = self.arena.sets.get(set.0) else {
                continue;
            };
            for list in set.lists.iter().flatten() {
                self.queue.set_open(*list, set.ready > 0);
            }
        }
        for at in 0..self.arena.woken.len() {
            match self.arena.woken.get(at).copied() {
                Some(Woken::Waiter(id)) => self.wake_waiter(id)?,
                Some(Woken::Host(id)) => self.host_woken.push(id),
                _ => {}
            }
        }
        self.arena.woken.clear();
        Ok(())
    }

    /// The thread that waits for just this waitable goes on, if it can now.
    pub(crate) fn wake_waiter(&mut self, id: WaitableId) -> Result<(), Trap> {
        let Ok(waitable) = self.arena.waitable(id) else {
            return Ok(());
        };
        let Some(thread) = waitable.waiter() else {
            return Ok(());
        };
        // A thread that a lock-down ended is gone before what it waited for.
        let Some(wait) = self.thread(thread).ok().and_then(Thread::waits) else {
            return Ok(());
        };
        if !self.queue.contains(thread) && self.holds(wait, thread)? {
            self.queue.insert(self.own_list(thread)?, thread)?;
        }
        Ok(())
    }

    /// Whether the condition that a thread waits for holds.
    #[inline(always)]
    pub(crate) fn holds(&self, wait: Wait, thread: ThreadId) -> Result<bool, Trap> {
        Ok(match wait {
            Wait::Turn => true,
            Wait::Enter => {
                let task = self.task(self.thread(thread)?.task)?;
                let backpressure = self.instances.flags().backpressure(task.callee.instance);
                let component = self.component(task.callee.instance)?;
                !component.has_backpressure(backpressure, task.callee.excludes())
            }
            Wait::CallbackYield => self.is_free(thread)?,
            Wait::CallbackSet(set) => self.arena.set_has_event(set) && self.is_free(thread)?,
            Wait::Set(set) => self.arena.set_has_event(set),
            Wait::Call(subtask) => self.arena.subtask_state(subtask)?.is_resolved(),
            Wait::Waitable(id) => match self.arena.subtask_state(id) {
                Ok(state) => state.is_resolved(),
                Err(_) => self.arena.has_pending_event(id),
            },
        })
    }

    /// Whether nobody excludes others from a thread's instance.
    #[inline]
    fn is_free(&self, thread: ThreadId) -> Result<bool, Trap> {
        let component = self.component(self.thread(thread)?.instance)?;
        Ok(component.exclusive().is_none())
    }

    /// Where a thread is while it can run and waits for its turn.
    #[inline(always)]
    fn own_list(&self, thread: ThreadId) -> Result<ListId, Trap> {
        let component = self.component(self.thread(thread)?.instance)?;
        Ok(match component.exclusive() == Some(thread) {
            true => component.lists.held,
            false => component.lists.own,
        })
    }

    /// The list that a thread waits in, if it can be in one already.
    #[inline(always)]
    fn list_for(&mut self, wait: Wait, thread: ThreadId) -> Result<Option<ListId>, Trap> {
        let waiting = self.thread(thread)?;
        let (task, instance) = (waiting.task, waiting.instance);
        let component = self.component(instance)?;
        let held = component.exclusive() == Some(thread);
        Ok(match wait {
            Wait::Turn if held => Some(component.lists.held),
            Wait::Turn => Some(component.lists.own),
            Wait::Enter => {
                let (exclusive, any) = (component.lists.enter_exclusive, component.lists.enter);
                match self.task(task)?.callee.excludes() {
                    true => Some(exclusive),
                    false => Some(any),
                }
            }
            Wait::CallbackYield => Some(component.lists.gate),
            Wait::CallbackSet(set) => Some(self.set_list(set, Line::Gated, instance)?),
            Wait::Set(set) if held => Some(self.set_list(set, Line::Held, instance)?),
            Wait::Set(set) => Some(self.set_list(set, Line::Plain, instance)?),
            Wait::Waitable(_) | Wait::Call(_) if self.holds(wait, thread)? => {
                Some(self.own_list(thread)?)
            }
            Wait::Waitable(id) | Wait::Call(id) => {
                self.arena.waitable_mut(id)?.set_waiter(Some(thread));
                None
            }
        })
    }

    /// The ready list of a set's waiters in one line, made when first needed.
    #[inline(always)]
    fn set_list(&mut self, id: SetId, line: Line, instance: InstanceId) -> Result<ListId, Trap> {
        let gone = Trap::Misuse("a waitable set that is gone");
        let set = self.arena.sets.get_mut(id.0).ok_or(gone)?;
        let place = set.lists.get_mut(line as usize).ok_or(gone)?;
        if let Some(list) = *place {
            return Ok(list);
        }
        let component = self.components.get(instance.get() as usize);
        let component = component.ok_or(Trap::Misuse("an instance of another store"))?;
        let (group, inner) = match line {
            Line::Plain => (component.lists.plain, true),
            Line::Held => (component.lists.plain, false),
            Line::Gated => (component.lists.gated, component.callbacks),
        };
        let list = self.queue.add_list(group, set.ready > 0, inner)?;
        *place = Some(list);
        Ok(list)
    }

    /// A thread starts to wait.
    #[inline(always)]
    pub(crate) fn start_waiting(
        &mut self,
        thread: ThreadId,
        wait: Wait,
        cancellable: bool,
    ) -> Result<(), Trap> {
        if let Some(list) = self.list_for(wait, thread)? {
            self.queue.insert(list, thread)?;
        }
        self.thread_mut(thread)?.wait(wait);
        self.set_cancellable(thread, cancellable)
    }

    /// A thread that stopped can be resumed by cancellation, or can't.
    #[inline]
    pub(crate) fn set_cancellable(&mut self, id: ThreadId, cancellable: bool) -> Result<(), Trap> {
        let thread = self.thread(id)?;
        // A task that has not started is cancelled by other means.
        let cancellable = cancellable && thread.index != 0;
        match thread.cancellable.is_some() == cancellable {
            true => Ok(()),
            false => self.change_cancellable(id),
        }
    }

    #[inline]
    fn change_cancellable(&mut self, id: ThreadId) -> Result<(), Trap> {
        let gone = Trap::Misuse("a thread that is gone");
        let thread = self.threads.get_mut(id.0).ok_or(gone)?;
        let task = self.tasks.get_mut(thread.task.number);
        let task = task.ok_or(Trap::Misuse("a task that is gone"))?;
        let members = &mut task.cancellable;
        let Some(place) = thread.cancellable.take() else {
            thread.cancellable = Some(u32::try_from(members.len()).unwrap_or(u32::MAX));
            return match members.push(id) {
                true => Ok(()),
                false => Err(HandleError::OutOfMemory.into()),
            };
        };
        members.swap_remove(place as usize);
        if let Some(moved) = members.get(place as usize).copied() {
            self.thread_mut(moved)?.cancellable = Some(place);
        }
        Ok(())
    }

    /// A stopped thread runs, in the topmost frame: what it does then.
    pub(crate) fn run(&mut self, id: ThreadId, cancelled: bool) -> Result<Next, Trap> {
        self.run_now(id, cancelled)
    }

    /// The same, for where it is most often done.
    #[inline(always)]
    pub(crate) fn run_now(&mut self, id: ThreadId, cancelled: bool) -> Result<Next, Trap> {
        let thread = self.thread_mut(id)?;
        if thread.is_running() {
            return Err(Trap::Misuse("a thread that is resumed while it runs"));
        }
        let cancellable = thread.cancellable.is_some();
        let waited = thread.run();
        let (begun, function, task) = (thread.begun, thread.function, thread.task);
        thread.begun |= function.is_some();
        if cancellable {
            self.change_cancellable(id)?;
        }
        if waited.is_some() {
            self.queue.remove(id);
        }
        match (begun, function, waited) {
            (true, _, Some(wait)) | (_, None, Some(wait)) => self.after_wait(id, wait, cancelled),
            (false, Some(function), _) => Ok(Next::Effect(Effect::Start {
                thread: id,
                entry: Entry::Function(function),
            })),
            (false, None, None) => self.enter_implicit_thread(id, task),
            (true, _, None) => Ok(Next::Effect(Effect::Continue {
                thread: id,
                value: Value::Number(u32::from(cancelled)),
            })),
        }
    }

    /// The current thread waits until a condition holds, or is told that its task is to
    /// cancel, or goes on at once.
    #[inline]
    pub(crate) fn wait_until(&mut self, wait: Wait, cancellable: bool) -> Result<Next, Trap> {
        let (thread, task) = self.current()?;
        if cancellable && self.task_mut(task)?.deliver_pending_cancel(cancellable) {
            return self.after_wait(thread, wait, true);
        }
        let yields = matches!(wait, Wait::Turn | Wait::CallbackYield);
        if self.holds(wait, thread)? && self.goes_on(yields)? {
            return self.after_wait(thread, wait, false);
        }
        self.start_waiting(thread, wait, cancellable)?;
        Ok(Next::Stop(None))
    }

    /// Whether a thread whose wait is over already, or that yields, goes on at once.
    pub(crate) fn goes_on(&mut self, yields: bool) -> Result<bool, Trap> {
        match self.readings.settled_waits {
            true => Ok(!yields),
            false => self.choose_keep(!yields),
        }
    }

    /// What a thread does when its wait is over.
    #[inline(always)]
    pub(crate) fn after_wait(
        &mut self,
        thread: ThreadId,
        wait: Wait,
        cancelled: bool,
    ) -> Result<Next, Trap> {
        let waiting = self.thread(thread)?;
        let (task, instance) = (waiting.task, waiting.instance);
        let value = match wait {
            Wait::Turn => Value::Number(u32::from(cancelled)),
            Wait::Enter => {
                self.component_mut(instance)?.num_waiting_to_enter -= 1;
                self.update_gate(instance)?;
                return match cancelled {
                    true => self.never_enter(thread, task),
                    false => self.enter(thread, task),
                };
            }
            Wait::CallbackYield if cancelled => return self.callback(thread, Event::CANCELLED),
            Wait::CallbackYield => return self.callback(thread, Event::NONE),
            Wait::CallbackSet(set) => {
                let event = self.event_of(instance, set, cancelled)?;
                return self.callback(thread, event);
            }
            Wait::Set(set) => Value::Event(self.event_of(instance, set, cancelled)?),
            Wait::Waitable(id) => return self.after_sync_wait(thread, id),
            Wait::Call(subtask) => {
                self.with_table(instance, |table, arena| {
                    table.subtask_finish(arena, subtask)
                })?;
                Value::Results(subtask)
            }
        };
        Ok(Next::Effect(Effect::Continue { thread, value }))
    }

    fn after_sync_wait(&mut self, thread: ThreadId, id: WaitableId) -> Result<Next, Trap> {
        let instance = self.thread(thread)?.instance;
        self.arena.waitable_mut(id)?.set_waiter(None);
        let event = self.with_table(instance, |table, arena| table.finish_sync_wait(arena, id))?;
        let value = Value::Number(event.payload);
        Ok(Next::Effect(Effect::Continue { thread, value }))
    }
}
