//! The `thread.*` built-ins.
//!
//! ```text
//!                    | the other one is suspended | the other one, if it is ready
//!   -----------------+----------------------------+------------------------------
//!   I am suspended   | suspend-then-resume        | suspend-then-promote
//!   I come later     | yield-then-resume          | yield-then-promote
//! ```
//!
//! The other one takes my place at once: no other thread runs between. All of these
//! return 1 at once where the caller is `cancellable` and its task was asked to cancel.

use crate::effect::{Effect, Value};
use crate::instance::FlagStorage;
use crate::store::{Next, Store};
use crate::tables::Tables;
use crate::thread::{ThreadId, Wait};
use crate::trap::Trap;

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// `thread.index`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn thread_index(&mut self) -> Result<Effect, Trap> {
        let (thread, _) = self.enter_builtin()?;
        self.go_on(Value::Number(self.thread(thread)?.index))
    }

    /// `thread.new-indirect`, of a function that is of the right type; `function` is
    /// what [`Entry::Function`](crate::effect::Entry::Function) will say.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn thread_new_indirect(&mut self, function: u64) -> Result<Effect, Trap> {
        let (thread, instance) = self.enter_builtin()?;
        let task = self.thread(thread)?.task;
        let thread = self.new_thread((task, instance), Some(function))?;
        let index = self.register_thread(thread)?;
        self.go_on(Value::Number(index))
    }

    /// `thread.resume-later`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn thread_resume_later(&mut self, index: u32) -> Result<Effect, Trap> {
        let other = self.suspended_thread(index)?;
        let cancellable = self.thread(other)?.cancellable.is_some();
        self.start_waiting(other, Wait::Turn, cancellable)?;
        self.go_on(Value::None)
    }

    fn suspended_thread(&self, index: u32) -> Result<ThreadId, Trap> {
        let (_, instance) = self.enter_builtin()?;
        let other = self.thread_at(instance, index)?;
        match self.thread(other)?.is_suspended() {
            true => Ok(other),
            false => Err(Trap::NotSuspended { index }),
        }
    }

    /// Whether the current thread is told to cancel instead of what it asked for.
    fn told_to_cancel(&mut self, cancellable: bool) -> Result<bool, Trap> {
        let (_, task) = self.current()?;
        Ok(self.task_mut(task)?.deliver_pending_cancel(cancellable))
    }

    fn suspend_current(&mut self, cancellable: bool) -> Result<(), Trap> {
        let (thread, _) = self.current()?;
        self.thread_mut(thread)?.suspend();
        self.set_cancellable(thread, cancellable)
    }

    fn yield_current(&mut self, cancellable: bool) -> Result<(), Trap> {
        let (thread, _) = self.current()?;
        self.start_waiting(thread, Wait::Turn, cancellable)
    }

    /// `thread.suspend`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn thread_suspend(&mut self, cancellable: bool) -> Result<Effect, Trap> {
        self.enter_builtin()?;
        if self.told_to_cancel(cancellable)? {
            return self.go_on(Value::Number(1));
        }
        self.suspend_current(cancellable)?;
        self.follow(Ok(Next::Stop(None)))
    }

    /// `thread.yield`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn thread_yield(&mut self, cancellable: bool) -> Result<Effect, Trap> {
        self.enter_builtin()?;
        let next = self.wait_until(Wait::Turn, cancellable);
        self.follow(next)
    }

    /// `thread.suspend-then-resume`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn thread_suspend_then_resume(
        &mut self,
        index: u32,
        cancellable: bool,
    ) -> Result<Effect, Trap> {
        let other = self.suspended_thread(index)?;
        if self.told_to_cancel(cancellable)? {
            return self.go_on(Value::Number(1));
        }
        self.suspend_current(cancellable)?;
        self.follow(Ok(Next::Stop(Some(other))))
    }

    /// `thread.yield-then-resume`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn thread_yield_then_resume(
        &mut self,
        index: u32,
        cancellable: bool,
    ) -> Result<Effect, Trap> {
        let other = self.suspended_thread(index)?;
        if self.told_to_cancel(cancellable)? {
            return self.go_on(Value::Number(1));
        }
        self.yield_current(cancellable)?;
        self.follow(Ok(Next::Stop(Some(other))))
    }

    /// The thread at an index, if it is ready.
    fn ready_thread(&self, index: u32) -> Result<Option<ThreadId>, Trap> {
        let (_, instance) = self.enter_builtin()?;
        let other = self.thread_at(instance, index)?;
        Ok(self.queue.is_ready(other).then_some(other))
    }

    /// `thread.suspend-then-promote`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn thread_suspend_then_promote(
        &mut self,
        index: u32,
        cancellable: bool,
    ) -> Result<Effect, Trap> {
        let other = self.ready_thread(index)?;
        if self.told_to_cancel(cancellable)? {
            return self.go_on(Value::Number(1));
        }
        self.suspend_current(cancellable)?;
        self.follow(Ok(Next::Stop(other)))
    }

    /// `thread.yield-then-promote`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn thread_yield_then_promote(
        &mut self,
        index: u32,
        cancellable: bool,
    ) -> Result<Effect, Trap> {
        let other = self.ready_thread(index)?;
        if self.told_to_cancel(cancellable)? {
            return self.go_on(Value::Number(1));
        }
        let next = match other {
            Some(other) => {
                self.yield_current(cancellable)?;
                Ok(Next::Stop(Some(other)))
            }
            None => self.wait_until(Wait::Turn, cancellable),
        };
        self.follow(next)
    }
}
