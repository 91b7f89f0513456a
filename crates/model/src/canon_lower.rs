//! `canon lower`: a call as its caller sees it, of a guest or a host function, by a guest
//! or the host; and asking for its cancellation.
//!
//! ```text
//!   call --> callee runs --> called --(not async, no result)--> another thread, again
//!                              |
//!                              +--> lowered: resolved?  results or RETURNED
//!                                            else sync: waits     async: gets an index
//!   subtask_cancel --> callee is told, runs --> cancel_asked: resolved?  its state
//!                  \-> nobody to tell ------/         else sync: waits  async: BLOCKED
//! ```

use crate::canon_lift::{WAIT, YIELD};
use crate::effect::{Caller, Effect, Value};
use crate::instance::{FlagStorage, InstanceId};
use crate::run_queue::Schedule;
use crate::store::{Frame, LetGo, Next, Store, Then};
use crate::subtask::{Cancelling, SubtaskState};
use crate::tables::Tables;
use crate::task::{Abi, Callee, Task, TaskId};
use crate::thread::{ThreadId, Wait};
use crate::trap::Trap;
use crate::waitable::WaitableId;

/// How a callee comes to wait that nobody has seen run: see [`Store::adopt_waiting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstWait {
    /// Its function has returned this callback code.
    Callback(u32),
    /// `thread.yield`.
    Yield {
        /// Whether it can be told to cancel instead.
        cancellable: bool,
    },
    /// `waitable-set.wait`.
    Set {
        /// The set's index.
        index: u32,
        /// As above.
        cancellable: bool,
    },
}

/// What an asynchronous operation returns that goes on.
pub const BLOCKED: u32 = u32::MAX;

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// The current thread calls a guest's function. When the call returns, what the
    /// effect [`Effect::Continue`] says is [`Value::Results`] (synchronously lowered), or
    /// the number to return.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn call(&mut self, callee: Callee, is_async: bool) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        if !is_async && callee.is_async {
            self.check_may_block()?;
        }
        self.instances
            .check_enter(callee.instance, Some(instance))?;
        let subtask = self.arena.subtask_new()?;
        let caller = Caller::Guest { instance, subtask };
        let next = self
            .start_call(callee, caller, is_async)
            .map(|(_, next)| next);
        self.follow(next)
    }

    /// A call that the current thread's instance has made without asking becomes known: its
    /// callee runs already, on the caller's stack, and has given its result where it is
    /// `resolved`. Its thread is the current one then. Whoever makes such calls has looked
    /// first whether they may enter and leave, and whether they can start at once
    /// ([`FlagStorage::set_gate`]); what they have lent is theirs to end.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn adopt(
        &mut self,
        callee: Callee,
        is_async: bool,
        resolved: bool,
    ) -> Result<(TaskId, ThreadId), Trap> {
        let (thread, _) = self.current()?;
        let instance = self.thread(thread)?.instance;
        let subtask = self.arena.subtask_new()?;
        let caller = Caller::Guest { instance, subtask };
        let (task, thread) = self.new_task(Task::new(0, callee, caller))?;
        self.arena.subtask_mut(subtask)?.task = Some(task);
        let then = Then::Call {
            task,
            callee,
            caller,
            is_async,
            let_go: LetGo::Both,
        };
        self.frames.push(Frame { thread, then });
        self.thread_mut(thread)?.run();
        let _ = self.enter(thread, task)?;
        if resolved {
            self.resolve(task, false)?;
        }
        Ok((task, thread))
    }

    /// As [`Store::adopt`] and then at once what `first` says, of a callee that nobody has
    /// seen run: it waits with these context slots, and is never the current thread. `None`:
    /// that is for those two; nothing has changed. Else the callee's task and thread, and what
    /// comes next, which is its caller's.
    pub fn adopt_waiting(
        &mut self,
        callee: Callee,
        is_async: bool,
        (first, slots): (FirstWait, [u64; 2]),
    ) -> Result<Option<(TaskId, ThreadId, Effect)>, Trap> {
        // Choices that a seed or a recording makes are made step by step.
        if !matches!(self.queue.schedule(), Schedule::InOrder) {
            return Ok(None);
        }
        let (caller, _) = self.current()?;
        let from = self.thread(caller)?.instance;
        let Some((wait, cancellable)) = self.first_wait(callee, first)? else {
            return Ok(None);
        };
        let subtask = self.arena.subtask_new()?;
        let by = Caller::Guest {
            instance: from,
            subtask,
        };
        let (task, thread) = self.new_task(Task::new(0, callee, by))?;
        self.arena.subtask_mut(subtask)?.task = Some(task);
        self.arena.subtask_advance(subtask, SubtaskState::Started)?;
        self.register_thread(thread)?;
        self.task_mut(task)?.start()?;
        let waiting = self.thread_mut(thread)?;
        waiting.begun = true;
        waiting.storage = slots;
        self.start_waiting(thread, wait, cancellable)?;
        self.instances.leave_to(callee.instance, Some(from));
        if is_async {
            let index =
                self.with_table(from, |table, arena| table.subtask_insert(arena, subtask))?;
            let value = Value::Number(SubtaskState::Started as u32 | index << 4);
            let effect = Effect::Continue {
                thread: caller,
                value,
            };
            return Ok(Some((task, thread, effect)));
        }
        let next = self.wait_until(Wait::Call(subtask), false);
        Ok(Some((task, thread, self.follow(next)?)))
    }

    /// What a callee that nobody has seen run waits for, and whether cancellation ends that.
    fn first_wait(
        &mut self,
        callee: Callee,
        first: FirstWait,
    ) -> Result<Option<(Wait, bool)>, Trap> {
        let arena = &mut self.arena;
        let mut set = |index| {
            let begun = self.tables.with(callee.instance, |table| {
                let set = table.waitable_set(index)?;
                match arena.set_has_event(set) {
                    true => Ok(None),
                    false => table.begin_wait(arena, index).map(Some),
                }
            });
            begun.and_then(Result::ok).flatten()
        };
        let wait = match (first, callee.abi) {
            (FirstWait::Callback(YIELD), Abi::Callback) => Some((Wait::CallbackYield, true)),
            (FirstWait::Callback(packed), Abi::Callback) if packed & 15 == WAIT => {
                set(packed >> 4).map(|set| (Wait::CallbackSet(set), true))
            }
            (FirstWait::Yield { cancellable }, Abi::Stackful) => Some((Wait::Turn, cancellable)),
            (FirstWait::Set { index, cancellable }, Abi::Stackful) => {
                set(index).map(|set| (Wait::Set(set), cancellable))
            }
            _ => None,
        };
        if let Some((Wait::CallbackYield | Wait::Turn, _)) = wait
            && self.goes_on(true)?
        {
            return Ok(None);
        }
        Ok(wait)
    }

    /// The host calls a guest's function. The effects that follow end with
    /// [`Effect::ToHost`]; the task may be resolved then, or later.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn call_from_host(&mut self, callee: Callee) -> Result<(TaskId, Effect), Trap> {
        let (task, next) = self.start_call(callee, Caller::Host, false)?;
        Ok((task, self.follow(Ok(next))?))
    }

    fn start_call(
        &mut self,
        callee: Callee,
        caller: Caller,
        is_async: bool,
    ) -> Result<(TaskId, Next), Trap> {
        self.component(callee.instance)?;
        self.instances
            .enter_from(callee.instance, caller.instance())?;
        let (task, thread) = self.new_task(Task::new(0, callee, caller))?;
        if let Caller::Guest { subtask, .. } = caller {
            self.arena.subtask_mut(subtask)?.task = Some(task);
        }
        let then = Then::Call {
            task,
            callee,
            caller,
            is_async,
            let_go: LetGo::Nobody,
        };
        self.frames.push(Frame { thread, then });
        Ok((task, self.run(thread, false)?))
    }

    /// The thread that ran for a call has stopped.
    #[inline]
    pub(crate) fn called(&mut self, frame: Frame) -> Result<Next, Trap> {
        let Then::Call {
            task,
            callee,
            caller,
            is_async,
            let_go,
        } = frame.then
        else {
            return Err(Trap::Misuse("a call that is none"));
        };
        if !callee.is_async && !self.is_resolved(task) {
            let inner = self.component(callee.instance)?.lists.inner();
            let Some(thread) = self.choose_thread(inner)? else {
                self.frames.push(frame);
                return Err(match self.is_idle() {
                    true => Trap::BlockSync,
                    false => Trap::Deadlock,
                });
            };
            let then = frame.then;
            self.frames.push(Frame { thread, then });
            return self.run(thread, false);
        }
        if let Some((thread, let_go)) = self.holder_or_starter(task, callee, let_go)? {
            let then = Then::Call {
                task,
                callee,
                caller,
                is_async,
                let_go,
            };
            self.frames.push(Frame { thread, then });
            return self.run(thread, false);
        }
        self.instances.leave_to(callee.instance, caller.instance());
        match caller {
            Caller::Guest { instance, subtask } => self.lowered(instance, subtask, is_async),
            Caller::Host | Caller::Nobody => Ok(Next::Effect(Effect::ToHost)),
        }
    }

    /// Who runs before a call comes back that has not started: the thread that holds the
    /// callee's instance, then the callee's own.
    fn holder_or_starter(
        &self,
        task: TaskId,
        callee: Callee,
        let_go: LetGo,
    ) -> Result<Option<(ThreadId, LetGo)>, Trap> {
        if !self.readings.holder_first || let_go == LetGo::Both {
            return Ok(None);
        }
        let Ok(starting) = self.task(task) else {
            return Ok(None);
        };
        if !starting.is_initial() {
            return Ok(None);
        }
        let (next, then) = match let_go {
            LetGo::Nobody => {
                let holder = self.component(callee.instance)?.exclusive();
                (holder, LetGo::Holder)
            }
            _ => (Some(starting.implicit), LetGo::Both),
        };
        let Some(next) = next else {
            return Ok(None);
        };
        Ok(self.queue.is_ready(next).then_some((next, then)))
    }

    /// A call has come back to its caller, over or not.
    #[inline]
    fn lowered(
        &mut self,
        instance: InstanceId,
        subtask: WaitableId,
        is_async: bool,
    ) -> Result<Next, Trap> {
        let state = self.arena.subtask_state(subtask)?;
        let value = match (is_async, state.is_resolved()) {
            (false, false) => return self.wait_until(Wait::Call(subtask), false),
            (true, false) => {
                let index = self.with_table(instance, |table, arena| {
                    table.subtask_insert(arena, subtask)
                })?;
                Value::Number(state as u32 | index << 4)
            }
            (_, true) => {
                self.with_table(instance, |table, arena| {
                    table.subtask_finish(arena, subtask)
                })?;
                match is_async {
                    true => Value::Number(state as u32),
                    false => Value::Results(subtask),
                }
            }
        };
        Ok(Next::Effect(self.go_on(value)?))
    }

    /// The current thread calls a host function, whose arguments are lifted next.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn begin_host_call(&mut self) -> Result<WaitableId, Trap> {
        self.enter_builtin()?;
        let subtask = self.arena.subtask_new()?;
        self.arena.subtask_advance(subtask, SubtaskState::Started)?;
        Ok(subtask)
    }

    /// The host function has done what it can do at once.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn finish_host_call(
        &mut self,
        subtask: WaitableId,
        is_async: bool,
    ) -> Result<Effect, Trap> {
        let (_, task) = self.current()?;
        let instance = self.task(task)?.callee.instance;
        let next = self.lowered(instance, subtask, is_async);
        self.follow(next)
    }

    /// A host function is done, its results are with the caller (or it was cancelled, and
    /// there are none).
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn resolve_host_call(&mut self, subtask: WaitableId, cancelled: bool) -> Result<(), Trap> {
        self.resolve_subtask(subtask, cancelled)
    }

    /// `subtask.cancel`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn subtask_cancel(&mut self, index: u32, is_async: bool) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        if !is_async {
            self.check_may_block()?;
        }
        let asked = self.with_table(instance, |table, arena| {
            table.begin_subtask_cancel(arena, index, is_async)
        })?;
        let subtask = match asked {
            Cancelling::Done(state) => return self.go_on(Value::Number(state as u32)),
            Cancelling::Request(id) | Cancelling::Blocked(id) => id,
        };
        match self.arena.subtask(subtask)?.task {
            None => Ok(Effect::CancelHost { subtask, is_async }),
            Some(task) => {
                let by = Caller::Guest { instance, subtask };
                let next = self.request_cancellation(task, by, is_async);
                self.follow(next)
            }
        }
    }

    /// The host function was told to cancel; it may be resolved now, or not yet.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn finish_host_cancel(
        &mut self,
        subtask: WaitableId,
        is_async: bool,
    ) -> Result<Effect, Trap> {
        let (_, task) = self.current()?;
        let instance = self.task(task)?.callee.instance;
        let next = self.cancel_asked(Caller::Guest { instance, subtask }, is_async);
        self.follow(next)
    }

    /// The host asks a task that it started to cancel. Nothing happens to one that is
    /// resolved. The effects that follow end with [`Effect::ToHost`].
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn cancel_from_host(&mut self, task: TaskId) -> Result<Effect, Trap> {
        if self.is_resolved(task) {
            return Ok(Effect::ToHost);
        }
        let next = self.request_cancellation(task, Caller::Host, false);
        self.follow(next)
    }

    /// A task is asked to cancel: one of its threads is told, now or when one asks.
    fn request_cancellation(
        &mut self,
        id: TaskId,
        by: Caller,
        is_async: bool,
    ) -> Result<Next, Trap> {
        let task = self.task(id)?;
        task.check_request()?;
        let (callee, implicit) = (task.callee, task.implicit);
        if task.is_initial() {
            self.task_mut(id)?.request(true);
            let then = Then::Cancel {
                entered: None,
                by,
                is_async,
            };
            let thread = implicit;
            self.frames.push(Frame { thread, then });
            return self.run(thread, true);
        }
        let exclusive = self.component(callee.instance)?.exclusive();
        let other = exclusive.is_some_and(|thread| thread != implicit);
        let but = (callee.excludes() && other).then_some(implicit);
        let may_enter = self.instances.check_enter(callee.instance, by.instance());
        if may_enter.is_ok()
            && let Some(thread) = self.choose_cancelled(id, but)?
        {
            self.task_mut(id)?.request(true);
            self.instances.enter_from(callee.instance, by.instance())?;
            let then = Then::Cancel {
                entered: Some(callee.instance),
                by,
                is_async,
            };
            self.frames.push(Frame { thread, then });
            return self.run(thread, true);
        }
        self.task_mut(id)?.request(false);
        self.cancel_asked(by, is_async)
    }

    /// A callee was asked to cancel, and whoever was told has stopped.
    pub(crate) fn cancel_asked(&mut self, by: Caller, is_async: bool) -> Result<Next, Trap> {
        let Caller::Guest { instance, subtask } = by else {
            return Ok(Next::Effect(Effect::ToHost));
        };
        let asked = self.with_table(instance, |table, arena| {
            table.finish_subtask_cancel(arena, subtask)
        })?;
        let value = match asked {
            Cancelling::Done(state) => state as u32,
            _ if is_async => BLOCKED,
            _ => {
                self.with_table(instance, |table, arena| {
                    table.begin_sync_wait(arena, subtask)
                })?;
                return self.wait_until(Wait::Waitable(subtask), false);
            }
        };
        Ok(Next::Effect(self.go_on(Value::Number(value))?))
    }

    /// `subtask.drop`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn subtask_drop(&mut self, index: u32) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        self.with_table(instance, |table, arena| table.subtask_drop(arena, index))?;
        self.go_on(Value::None)
    }
}
