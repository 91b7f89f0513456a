//! `canon lift`: a call as its callee's instance sees it, from entering to its last
//! thread's end; and the built-ins that resolve a task.
//!
//! ```text
//!   enter_implicit_thread --(backpressure)--> waits to enter --+--> never_enter (cancelled)
//!           |                                                  |
//!           +-------------> enter <----------------------------+
//!                             | Effect::Start: arguments, core function
//!                             v
//!       callback_returned <-- runs --> begin_.._return, finish_return, task_cancel
//!         | WAIT, YIELD: waits         |
//!         +--> Effect::Callback        +--> returned: the thread ends
//! ```

use crate::effect::{Caller, Effect, Entry, Returning, Value};
use crate::error::HandleError;
use crate::handles::TypeId;
use crate::instance::{FlagStorage, InstanceId};
use crate::store::{Next, Store};
use crate::subtask::SubtaskState;
use crate::tables::Tables;
use crate::task::{Abi, TaskId};
use crate::thread::{ThreadId, Wait};
use crate::trap::Trap;
use crate::waitable::{Event, SetId, WaitableId};

/// What a callback's result asks for.
const EXIT: u32 = 0;
pub(crate) const YIELD: u32 = 1;
pub(crate) const WAIT: u32 = 2;

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// A new task's thread runs for the first time.
    pub(crate) fn enter_implicit_thread(
        &mut self,
        thread: ThreadId,
        task: TaskId,
    ) -> Result<Next, Trap> {
        let callee = self.task(task)?.callee;
        if callee.is_async {
            let backpressure = self.instances.flags().backpressure(callee.instance);
            let component = self.component_mut(callee.instance)?;
            if component.has_backpressure(backpressure, callee.excludes())
                || component.num_waiting_to_enter > 0
            {
                component.num_waiting_to_enter += 1;
                self.update_gate(callee.instance)?;
                return self.wait_until(Wait::Enter, true);
            }
        }
        self.enter(thread, task)
    }

    /// A task starts.
    #[inline]
    pub(crate) fn enter(&mut self, thread: ThreadId, task: TaskId) -> Result<Next, Trap> {
        let callee = self.task(task)?.callee;
        if callee.excludes() {
            self.set_exclusive(callee.instance, Some(thread))?;
        }
        self.register_thread(thread)?;
        self.task_mut(task)?.start()?;
        self.thread_mut(thread)?.begun = true;
        if let Caller::Guest { subtask, .. } = self.task(task)?.caller {
            self.arena.subtask_advance(subtask, SubtaskState::Started)?;
            self.settle()?;
        }
        Ok(Next::Effect(Effect::Start {
            thread,
            entry: Entry::Task(task),
        }))
    }

    /// A task that waited to enter is cancelled.
    pub(crate) fn never_enter(&mut self, thread: ThreadId, task: TaskId) -> Result<Next, Trap> {
        self.task(task)?.check_cancel()?;
        self.remove_thread(thread);
        let instance = self.task(task)?.callee.instance;
        self.resolve(task, true)?;
        self.discard_task(task, instance)?;
        Ok(Next::Stop(None))
    }

    /// A callback is called: its thread excludes others again.
    #[inline(always)]
    pub(crate) fn callback(&mut self, thread: ThreadId, event: Event) -> Result<Next, Trap> {
        let waking = self.thread(thread)?;
        let (task, instance) = (waking.task, waking.instance);
        self.set_exclusive(instance, Some(thread))?;
        Ok(Next::Effect(Effect::Callback {
            thread,
            task,
            event,
        }))
    }

    /// The event that a thread which waited for a set goes on with.
    #[inline(always)]
    pub(crate) fn event_of(
        &mut self,
        instance: InstanceId,
        set: SetId,
        cancelled: bool,
    ) -> Result<Event, Trap> {
        let event = match cancelled {
            true => Some(Event::CANCELLED),
            false => self.choose_event(instance, set)?,
        };
        self.arena.end_wait(set)?;
        event.ok_or(Trap::Misuse("a wait that ends without an event"))
    }

    /// The lifted function, or its callback, has returned this.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn callback_returned(&mut self, packed: u32) -> Result<Effect, Trap> {
        let next = self.callback_next(packed);
        self.follow(next)
    }

    #[inline(always)]
    fn callback_next(&mut self, packed: u32) -> Result<Next, Trap> {
        let (thread, task) = self.current()?;
        let callee = self.task(task)?.callee;
        if callee.abi != Abi::Callback || self.thread(thread)?.function.is_some() {
            return Err(Trap::Misuse("a callback code where there is no callback"));
        }
        let (code, index) = (packed & 15, packed >> 4);
        match code {
            EXIT => self.exit(),
            YIELD => {
                self.set_exclusive(callee.instance, None)?;
                self.wait_until(Wait::CallbackYield, true)
            }
            WAIT => {
                let set = self.with_table(callee.instance, |table, arena| {
                    table.begin_wait(arena, index)
                })?;
                self.set_exclusive(callee.instance, None)?;
                self.wait_until(Wait::CallbackSet(set), true)
            }
            code => Err(Trap::CallbackCode(code)),
        }
    }

    /// The function that the current thread runs has returned (a synchronous lift: after
    /// its result was passed on, and `post-return`).
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn returned(&mut self) -> Result<Effect, Trap> {
        let next = self.exit();
        self.follow(next)
    }

    /// The host could not make the arguments of the task that starts: it ends as if it had
    /// never begun. Not a trap, as its guest has done nothing.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn not_begun(&mut self) -> Result<Effect, Trap> {
        let (_, task) = self.current()?;
        self.resolve(task, true)?;
        let next = self.exit();
        self.follow(next)
    }

    /// The current thread ends.
    #[inline(always)]
    fn exit(&mut self) -> Result<Next, Trap> {
        let (id, task_id) = self.current()?;
        let task = self.task_mut(task_id)?;
        if task.threads == 1 && !task.is_resolved() {
            return Err(Trap::Unresolved);
        }
        let callee = task.callee;
        task.threads = task.threads.saturating_sub(1);
        let last = task.threads == 0;
        let thread = self.remove_thread(id);
        let (index, implicit) = thread.ok_or(Trap::Misuse("a thread that is gone"))?;
        self.component_mut(callee.instance)?.threads.free(index);
        if implicit && callee.excludes() {
            self.set_exclusive(callee.instance, None)?;
        }
        if last {
            self.discard_task(task_id, callee.instance)?;
        }
        Ok(Next::Stop(None))
    }

    #[inline(always)]
    fn begin_return(&self, id: TaskId) -> Result<Returning, Trap> {
        let task = self.task(id)?;
        task.check_return()?;
        self.check_borrows(id)?;
        let to = task.caller;
        Ok(Returning { task: id, to })
    }

    #[inline(always)]
    fn check_borrows(&self, task: TaskId) -> Result<(), Trap> {
        match self.task(task)?.scope {
            Some(scope) => Ok(self.scopes.check(scope)?),
            None => Ok(()),
        }
    }

    /// `task.return`; `matches`: its type and options are those of the task's function.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn begin_task_return(&self, matches: bool) -> Result<Returning, Trap> {
        self.enter_builtin()?;
        let (_, task) = self.current()?;
        match self.task(task)?.callee.abi {
            Abi::Sync => Err(Trap::SyncTask),
            _ if !matches => Err(Trap::WrongReturn),
            _ => self.begin_return(task),
        }
    }

    /// A function that was lifted synchronously has returned its result.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn begin_sync_return(&self) -> Result<Returning, Trap> {
        let (_, task) = self.current()?;
        self.begin_return(task)
    }

    /// The result is with the caller.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    #[inline(always)]
    pub fn finish_return(&mut self, returning: Returning) -> Result<Effect, Trap> {
        self.task(returning.task)?.check_return()?;
        self.resolve(returning.task, false)?;
        self.go_on(Value::None)
    }

    /// `task.cancel`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn task_cancel(&mut self) -> Result<Effect, Trap> {
        self.enter_builtin()?;
        let (_, id) = self.current()?;
        let task = self.task(id)?;
        if task.callee.abi == Abi::Sync {
            return Err(Trap::SyncTask);
        }
        task.check_cancel()?;
        self.resolve(id, true)?;
        self.go_on(Value::None)
    }

    /// A task is resolved; its caller sees that.
    #[inline(always)]
    pub(crate) fn resolve(&mut self, id: TaskId, cancelled: bool) -> Result<(), Trap> {
        self.check_borrows(id)?;
        let task = self.task_mut(id)?;
        let caller = task.caller;
        task.resolve();
        if let Some(scope) = task.scope.take() {
            self.scopes.end(scope)?;
        }
        match caller {
            Caller::Guest { subtask, .. } => self.resolve_subtask(subtask, cancelled),
            Caller::Host | Caller::Nobody => Ok(()),
        }
    }

    /// A subtask is resolved: whoever waits for it is told.
    #[inline(always)]
    pub(crate) fn resolve_subtask(
        &mut self,
        subtask: WaitableId,
        cancelled: bool,
    ) -> Result<(), Trap> {
        let state = match (cancelled, self.arena.subtask_state(subtask)?) {
            (false, _) => SubtaskState::Returned,
            (true, SubtaskState::Starting) => SubtaskState::CancelledBeforeStarted,
            (true, _) => SubtaskState::CancelledBeforeReturned,
        };
        self.arena.subtask_advance(subtask, state)?;
        self.settle()?;
        self.wake_waiter(subtask)
    }

    /// Lifts a borrowed argument of the call that `task` is of, out of its caller's table.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn lift_borrow(&mut self, task: TaskId, index: u32, ty: TypeId) -> Result<u32, Trap> {
        let Caller::Guest { instance, subtask } = self.task(task)?.caller else {
            return Err(Trap::Misuse("a loan by the host"));
        };
        self.lend(instance, subtask, index, ty)
    }

    /// Lifts a borrowed argument of a call, out of its caller's table.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn lend(
        &mut self,
        caller: InstanceId,
        subtask: WaitableId,
        index: u32,
        ty: TypeId,
    ) -> Result<u32, Trap> {
        self.with_table(caller, |table, arena| {
            let loans = arena.subtask_loans(subtask)?;
            table.lend(loans, index, ty).map(|lent| lent.rep)
        })
    }

    /// Lowers a borrowed argument into the callee's table. (An instance gets its own
    /// resources' representations instead.)
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn lower_borrow(&mut self, task: TaskId, ty: TypeId, rep: u32) -> Result<u32, Trap> {
        let instance = self.task(task)?.callee.instance;
        let scope = match self.task(task)?.scope {
            Some(scope) => scope,
            None => {
                let scope = self.scopes.begin()?;
                self.task_mut(task)?.scope = Some(scope);
                scope
            }
        };
        let scopes = &mut self.scopes;
        let made = self
            .tables
            .with(instance, |table| table.new_borrow(scopes, ty, rep, scope));
        let gone = HandleError::Misuse { what: "instance" };
        Ok(made.ok_or(gone)??)
    }
}
