//! A store: who runs, who is resumed by whom, and what happens when a thread stops.
//!
//! ```text
//!   frames (the topmost one's thread is the current one)
//!   +----------------------------+
//!   | thread 7 | Cancel          |  thread 7 was resumed by subtask.cancel of thread 5
//!   | thread 5 | Call, to task 3 |  thread 5 by the call that thread 2 made
//!   | thread 2 | Tick            |  thread 2 by the event loop
//!   +----------------------------+
//!   when the current thread waits, suspends or ends, its frame goes and what is written
//!   in it happens: the cancel, call or tick is over, or (a function that is not async
//!   has no result yet) another thread of the instance runs.
//! ```
//!
//! A thread that switches to another one leaves its frame to it. The stacks of the threads
//! are the user's; so are memories and the copying between them. What the built-ins do is
//! in the `canon_..` files, which thread comes first in `run_queue`.

use crate::component_instance::ComponentInstance;
use crate::effect::{Caller, Effect, Value};
use crate::error::HandleError;
use crate::handles::Table;
use crate::instance::{FlagStorage, InstanceId, Instances, VecFlags};
use crate::readings::Readings;
use crate::resource::Scopes;
use crate::run_queue::{Among, RunQueue, Schedule};
use crate::slab::Slab;
use crate::tables::{Tables, VecTables};
use crate::task::{Abi, Callee, Task, TaskId};
use crate::thread::{Thread, ThreadId};
use crate::trap::Trap;
use crate::waitable::{Arena, WaitableId};
use alloc::vec::Vec;

/// How far a call that could not start at once has let the holder of its callee's instance
/// go first (see `Readings::holder_first`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LetGo {
    Nobody,
    Holder,
    Both,
}

/// What a frame was made for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// The event loop let a thread of this instance run.
    Tick(InstanceId),
    /// A call: the callee ran for the first time, or again because its function is not
    /// async and had no result.
    Call {
        task: TaskId,
        callee: Callee,
        caller: Caller,
        /// Of a guest's call: whether it was lowered with `async`.
        is_async: bool,
        /// Whether the thread that held the callee's instance was let go first, and the
        /// callee's own thread after it.
        let_go: LetGo,
    },
    /// The host, or a guest's `subtask.cancel`, asked a task to cancel.
    Cancel {
        /// The instance that was entered for it.
        entered: Option<InstanceId>,
        by: Caller,
        is_async: bool,
    },
}

impl Then {
    /// Whether the host made the frame: what a trap unwinds ends here.
    pub(crate) fn is_hosts(&self) -> bool {
        match self {
            Then::Tick(_) => true,
            Then::Call { caller, .. } => *caller == Caller::Host,
            Then::Cancel { by, .. } => *by == Caller::Host,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub thread: ThreadId,
    pub then: Then,
}

/// All component instances that can meet, and what they do.
#[derive(Clone, Debug)]
pub struct Store<T = VecTables, F = VecFlags> {
    /// What handles point to.
    pub arena: Arena,
    /// The borrow scopes of tasks.
    pub scopes: Scopes,
    /// Who is in whom, and who may be entered and left.
    pub instances: Instances<F>,
    /// The handle tables.
    pub tables: T,
    pub(crate) components: Vec<ComponentInstance>,
    pub(crate) tasks: Slab<Task>,
    pub(crate) threads: Slab<Thread>,
    pub(crate) queue: RunQueue,
    pub(crate) frames: Vec<Frame>,
    /// Stacks that wait in the host.
    pub(crate) parked: Slab<Vec<Frame>>,
    /// Ends of the host whose reads or writes are over.
    pub(crate) host_woken: Vec<WaitableId>,
    /// Threads that are their tasks' first.
    implicit: usize,
    serial: u64,
    stamp: u32,
    last_task: Option<TaskId>,
    pub(crate) readings: Readings,
}

impl Default for Store {
    fn default() -> Store {
        Store::with(VecTables::default(), Instances::default())
    }
}

/// What goes on from one frame to the next.
pub(crate) enum Next {
    Effect(Effect),
    /// The current thread stops; another one takes its frame.
    Stop(Option<ThreadId>),
}

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// A store whose tables and flags are there; both have no instances yet.
    pub fn with(tables: T, instances: Instances<F>) -> Store<T, F> {
        Store {
            arena: Arena::new(),
            scopes: Scopes::new(),
            instances,
            tables,
            components: Vec::new(),
            tasks: Slab::new(),
            threads: Slab::new(),
            queue: RunQueue::new(),
            frames: Vec::new(),
            parked: Slab::new(),
            host_woken: Vec::new(),
            implicit: 0,
            serial: 0,
            stamp: 0,
            last_task: None,
            readings: Readings::SPEC,
        }
    }

    /// A new component instance, in `parent` or a root.
    ///
    /// # Errors
    ///
    /// Where there is no room for one more.
    pub fn add_instance(&mut self, parent: Option<InstanceId>) -> Result<InstanceId, HandleError> {
        let component = ComponentInstance::new(&mut self.queue, !self.readings.park_callbacks)?;
        let id = self.instances.add(parent)?;
        self.tables.add(id);
        self.components.push(component);
        Ok(id)
    }

    /// Makes an instance a new one, in the same place: nothing of it is left, as its user
    /// knows, but its number and those that it is inside of.
    ///
    /// # Errors
    ///
    /// Where something of it is still there.
    pub fn recycle_instance(&mut self, id: InstanceId) -> Result<(), Trap> {
        let callbacks = !self.readings.park_callbacks;
        let fresh = ComponentInstance::new(&mut self.queue, callbacks)?;
        let old = core::mem::replace(self.component_mut(id)?, fresh);
        old.lists.remove(&mut self.queue);
        self.instances.reset(id);
        Ok(())
    }

    /// Most calls of an instance that are under way at a time; a further one traps. Without
    /// this, as many as there are numbers for.
    ///
    /// # Errors
    ///
    /// Where the instance is another store's.
    pub fn set_task_limit(&mut self, id: InstanceId, most: u32) -> Result<(), Trap> {
        self.component_mut(id)?.set_most_tasks(most);
        Ok(())
    }

    /// How many calls of an instance are not over.
    ///
    /// # Errors
    ///
    /// Where the instance is another store's.
    pub fn task_count(&self, id: InstanceId) -> Result<u32, Trap> {
        Ok(self.component(id)?.tasks())
    }

    /// How free choices are made from now on.
    pub fn set_schedule(&mut self, schedule: Schedule) {
        self.queue.set_schedule(schedule);
    }

    /// How free choices are made.
    pub fn schedule_mut(&mut self) -> &mut Schedule {
        self.queue.schedule_mut()
    }

    /// The thread that runs.
    #[inline]
    pub fn current_thread(&self) -> Option<ThreadId> {
        self.frames.last().map(|frame| frame.thread)
    }

    /// The thread below it: the one that called what the current one runs.
    pub fn calling_thread(&self) -> Option<ThreadId> {
        let below = self.frames.len().checked_sub(2)?;
        self.frames.get(below).map(|frame| frame.thread)
    }

    /// How many threads there have been so far.
    pub fn threads_made(&self) -> u64 {
        self.serial
    }

    /// Counts the threads of the store up to this one.
    pub fn serial(&self, thread: ThreadId) -> Option<u64> {
        self.threads.get(thread.0).map(|thread| thread.serial)
    }

    /// The task that a thread is of.
    #[inline]
    pub fn task_of(&self, thread: ThreadId) -> Option<TaskId> {
        self.threads.get(thread.0).map(|thread| thread.task)
    }

    /// Whether a guest made the thread: it is not its task's first.
    pub fn is_explicit(&self, thread: ThreadId) -> bool {
        let thread = self.threads.get(thread.0);
        thread.is_some_and(|thread| thread.function.is_some())
    }

    /// Who called a task, while that is not resolved.
    pub fn caller_of(&self, task: TaskId) -> Option<Caller> {
        self.task(task).ok().map(|task| task.caller)
    }

    /// How a task's function was lifted.
    #[inline]
    pub fn abi_of(&self, task: TaskId) -> Option<Abi> {
        self.task(task).ok().map(|task| task.callee.abi)
    }

    /// The task made last, by which its caller knows it.
    pub fn last_task(&self) -> Option<TaskId> {
        self.last_task
    }

    /// The instance whose code the thread runs.
    #[inline]
    pub fn instance_of(&self, thread: ThreadId) -> Option<InstanceId> {
        self.threads.get(thread.0).map(|thread| thread.instance)
    }

    /// The instance that a task is of, while there is one.
    pub fn instance_of_task(&self, task: TaskId) -> Option<InstanceId> {
        self.task(task).ok().map(|task| task.callee.instance)
    }

    /// The context slots of a thread that does not run, or is about to.
    pub fn context_mut(&mut self, thread: ThreadId) -> Option<&mut [u64; 2]> {
        let thread = self.threads.get_mut(thread.0)?;
        Some(&mut thread.storage)
    }

    /// Does something with the context slots of a thread that does not run, or is about to,
    /// and with its instance.
    #[inline]
    pub fn with_context<R>(
        &mut self,
        thread: ThreadId,
        work: impl FnOnce(&mut T, InstanceId, &mut [u64; 2]) -> R,
    ) -> Option<R> {
        let thread = self.threads.get_mut(thread.0)?;
        Some(work(&mut self.tables, thread.instance, &mut thread.storage))
    }

    /// Whether a task is resolved (or gone).
    pub fn is_resolved(&self, task: TaskId) -> bool {
        self.task(task).map_or(true, Task::is_resolved)
    }

    /// The host's ends whose reads or writes are over since this was last asked:
    /// [`Arena::take_host_event`].
    pub fn take_host_woken(&mut self) -> Vec<WaitableId> {
        core::mem::take(&mut self.host_woken)
    }

    /// Whether there are such.
    #[inline]
    pub fn host_is_woken(&self) -> bool {
        !self.host_woken.is_empty()
    }

    /// Whether a guest runs, or a stack of guests called what runs.
    pub fn is_inside(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Whether no thread can go on.
    #[inline]
    pub fn is_idle(&self) -> bool {
        !self.queue.is_any_ready()
    }

    /// Tasks, threads, ready lists and threads in them alive, for leak tests.
    pub fn counts(&self) -> [usize; 4] {
        let [lists, listed] = self.queue.counts();
        [self.tasks.len(), self.threads.len(), lists, listed]
    }

    #[inline]
    pub(crate) fn task(&self, id: TaskId) -> Result<&Task, Trap> {
        let task = self.tasks.get(id.number);
        task.filter(|task| task.stamp == id.stamp)
            .ok_or(Trap::Misuse("a task that is gone"))
    }

    #[inline]
    pub(crate) fn task_mut(&mut self, id: TaskId) -> Result<&mut Task, Trap> {
        let task = self.tasks.get_mut(id.number);
        task.filter(|task| task.stamp == id.stamp)
            .ok_or(Trap::Misuse("a task that is gone"))
    }

    #[inline]
    pub(crate) fn thread(&self, id: ThreadId) -> Result<&Thread, Trap> {
        let gone = Trap::Misuse("a thread that is gone");
        self.threads.get(id.0).ok_or(gone)
    }

    #[inline]
    pub(crate) fn thread_mut(&mut self, id: ThreadId) -> Result<&mut Thread, Trap> {
        let gone = Trap::Misuse("a thread that is gone");
        self.threads.get_mut(id.0).ok_or(gone)
    }

    #[inline]
    pub(crate) fn component(&self, id: InstanceId) -> Result<&ComponentInstance, Trap> {
        let gone = Trap::Misuse("an instance of another store");
        self.components.get(id.get() as usize).ok_or(gone)
    }

    #[inline]
    pub(crate) fn component_mut(&mut self, id: InstanceId) -> Result<&mut ComponentInstance, Trap> {
        let gone = Trap::Misuse("an instance of another store");
        self.components.get_mut(id.get() as usize).ok_or(gone)
    }

    /// Does something with an instance's table and what its handles point to.
    #[inline(always)]
    pub(crate) fn with_table<R>(
        &mut self,
        instance: InstanceId,
        work: impl FnOnce(&mut Table<T::Slots>, &mut Arena) -> Result<R, HandleError>,
    ) -> Result<R, Trap> {
        let arena = &mut self.arena;
        let done = self.tables.with(instance, |table| work(table, arena));
        let done = done.ok_or(Trap::Misuse("an instance of another store"))?;
        self.settle()?;
        Ok(done?)
    }

    /// The current thread and its task.
    #[inline]
    pub(crate) fn current(&self) -> Result<(ThreadId, TaskId), Trap> {
        let nobody = Trap::Misuse("a built-in that no guest calls");
        let thread = self.current_thread().ok_or(nobody)?;
        Ok((thread, self.thread(thread)?.task))
    }

    /// The current thread and the instance it is in, which may call out now.
    #[inline(always)]
    pub(crate) fn enter_builtin(&self) -> Result<(ThreadId, InstanceId), Trap> {
        let nobody = Trap::Misuse("a built-in that no guest calls");
        let thread = self.current_thread().ok_or(nobody)?;
        let instance = self.thread(thread)?.instance;
        self.instances.check_leave(instance)?;
        Ok((thread, instance))
    }

    /// The current thread goes on with what its built-in returns.
    #[inline(always)]
    pub(crate) fn go_on(&self, value: Value) -> Result<Effect, Trap> {
        let nobody = Trap::Misuse("a built-in that no guest calls");
        let thread = self.current_thread().ok_or(nobody)?;
        Ok(Effect::Continue { thread, value })
    }

    #[inline(always)]
    pub(crate) fn new_task(&mut self, mut task: Task) -> Result<(TaskId, ThreadId), Trap> {
        self.stamp = self.stamp.wrapping_add(1);
        task.stamp = self.stamp;
        let instance = task.callee.instance;
        self.component_mut(instance)?.add_task()?;
        let id = TaskId {
            number: self.tasks.insert(task)?,
            stamp: self.stamp,
        };
        self.last_task = Some(id);
        let thread = self.new_thread((id, instance), None)?;
        self.task_mut(id)?.implicit = thread;
        Ok((id, thread))
    }

    /// A task is over.
    #[inline]
    pub(crate) fn discard_task(&mut self, id: TaskId, instance: InstanceId) -> Result<(), Trap> {
        self.component_mut(instance)?.remove_task();
        self.tasks.discard(id.number);
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn new_thread(
        &mut self,
        (task, instance): (TaskId, InstanceId),
        function: Option<u64>,
    ) -> Result<ThreadId, Trap> {
        self.serial += 1;
        let thread = Thread::new((task, instance), self.serial, function);
        let id = ThreadId(self.threads.insert(thread)?);
        self.implicit += usize::from(function.is_none());
        Ok(id)
    }

    /// A thread is gone: its index, and whether it was its task's first one.
    #[inline(always)]
    pub(crate) fn remove_thread(&mut self, id: ThreadId) -> Option<(u32, bool)> {
        let thread = self.threads.get(id.0)?;
        let (index, implicit) = (thread.index, thread.function.is_none());
        self.threads.discard(id.0);
        self.implicit -= usize::from(implicit);
        Some((index, implicit))
    }

    /// How many tasks have not come to the end of their first thread: what keeps
    /// instances alive.
    pub fn implicit_threads(&self) -> usize {
        self.implicit
    }

    /// Gives a thread its index.
    #[inline(always)]
    pub(crate) fn register_thread(&mut self, id: ThreadId) -> Result<u32, Trap> {
        let gone = Trap::Misuse("a thread that is gone");
        let thread = self.threads.get_mut(id.0).ok_or(gone)?;
        let component = self.components.get_mut(thread.instance.get() as usize);
        let component = component.ok_or(Trap::Misuse("an instance of another store"))?;
        let index = component.threads.insert(id)?;
        thread.index = index;
        let task = thread.task;
        self.task_mut(task)?.threads += 1;
        Ok(index)
    }

    /// The thread at an index of an instance.
    pub(crate) fn thread_at(&self, instance: InstanceId, index: u32) -> Result<ThreadId, Trap> {
        Ok(self.component(instance)?.threads.get(index)?)
    }

    /// Who excludes others from an instance changes.
    #[inline]
    pub(crate) fn set_exclusive(
        &mut self,
        instance: InstanceId,
        thread: Option<ThreadId>,
    ) -> Result<(), Trap> {
        let backpressure = self.instances.flags().backpressure(instance);
        let gone = Trap::Misuse("an instance of another store");
        let component = self.components.get_mut(instance.get() as usize);
        let component = component.ok_or(gone)?;
        component.set_exclusive(&mut self.queue, thread, backpressure);
        let shut = component.is_shut(backpressure);
        self.instances.flags_mut().set_gate(instance, shut);
        Ok(())
    }

    /// Whether calls can start at once may have changed.
    pub(crate) fn update_gate(&mut self, instance: InstanceId) -> Result<(), Trap> {
        let backpressure = self.instances.flags().backpressure(instance);
        let shut = self.component(instance)?.is_shut(backpressure);
        self.instances.flags_mut().set_gate(instance, shut);
        Ok(())
    }

    /// Follows frames until something is to be done outside.
    #[inline(always)]
    pub(crate) fn follow(&mut self, next: Result<Next, Trap>) -> Result<Effect, Trap> {
        match next? {
            Next::Effect(effect) => Ok(effect),
            next => self.follow_frames(next),
        }
    }

    fn follow_frames(&mut self, next: Next) -> Result<Effect, Trap> {
        let mut next = next;
        loop {
            next = match next {
                Next::Effect(effect) => return Ok(effect),
                Next::Stop(Some(other)) => {
                    let nobody = Trap::Misuse("a switch that nobody makes");
                    self.frames.last_mut().ok_or(nobody)?.thread = other;
                    self.run(other, false)?
                }
                Next::Stop(None) => self.stopped()?,
            };
        }
    }

    /// The topmost frame's thread has stopped.
    #[inline(always)]
    fn stopped(&mut self) -> Result<Next, Trap> {
        let nobody = Trap::Misuse("a stop of nobody");
        let frame = self.frames.pop().ok_or(nobody)?;
        match frame.then {
            Then::Tick(instance) => {
                self.instances.leave_to(instance, None);
                Ok(Next::Effect(Effect::ToHost))
            }
            Then::Call { .. } => self.called(frame),
            Then::Cancel {
                entered,
                by,
                is_async,
            } => {
                if let Some(instance) = entered {
                    self.instances.leave_to(instance, by.instance());
                }
                self.cancel_asked(by, is_async)
            }
        }
    }

    /// The event loop's turn: lets one thread run that can. `None`: nobody can.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn tick(&mut self) -> Result<Option<Effect>, Trap> {
        if !self.frames.is_empty() {
            return Err(Trap::Misuse("a tick while a guest runs"));
        }
        let Some(thread) = self.choose_thread(Among::All)? else {
            return Ok(None);
        };
        let instance = self.thread(thread)?.instance;
        self.instances.enter_from(instance, None)?;
        let then = Then::Tick(instance);
        self.frames.push(Frame { thread, then });
        let next = self.run_now(thread, false);
        self.follow(next).map(Some)
    }

    /// The frames that a trap unwinds, the topmost first, up to the one that the host
    /// made.
    pub(crate) fn unwind(&mut self) -> Vec<Frame> {
        let mut gone = Vec::new();
        while let Some(frame) = self.frames.pop() {
            gone.push(frame);
            if frame.then.is_hosts() {
                break;
            }
        }
        gone
    }
}
