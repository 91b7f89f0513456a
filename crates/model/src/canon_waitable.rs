//! The built-ins of waitable sets, streams, futures and error contexts, and
//! `backpressure`: what `Table` and `Arena` rule, with who may call and who waits.

use crate::canon_lower::BLOCKED;
use crate::copy_end::{Copying, EndType};
use crate::effect::{Effect, Value};
use crate::error::HandleError;
use crate::handles::{Table, TypeId};
use crate::instance::{FlagStorage, InstanceError, InstanceId, Instances};
use crate::store::{Next, Store};
use crate::stream::{Buffer, CopyJob, Shape};
use crate::tables::Tables;
use crate::thread::Wait;
use crate::trap::Trap;
use crate::waitable::{Arena, ContextId, Event};

impl<T: Tables, F: FlagStorage> Store<T, F> {
    /// `backpressure.inc`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn backpressure_inc(&mut self) -> Result<Effect, Trap> {
        self.backpressure(Instances::backpressure_inc)
    }

    /// `backpressure.dec`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn backpressure_dec(&mut self) -> Result<Effect, Trap> {
        self.backpressure(Instances::backpressure_dec)
    }

    fn backpressure(
        &mut self,
        change: fn(&mut Instances<F>, InstanceId) -> Result<(), InstanceError>,
    ) -> Result<Effect, Trap> {
        let (_, task) = self.current()?;
        let instance = self.task(task)?.callee.instance;
        change(&mut self.instances, instance)?;
        self.refresh_backpressure(instance)?;
        self.go_on(Value::None)
    }

    /// Backpressure of an instance was changed by compiled code, to or from 0: whoever
    /// waits to enter is looked at again.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn refresh_backpressure(&mut self, instance: InstanceId) -> Result<(), Trap> {
        let backpressure = self.instances.flags().backpressure(instance);
        let component = self.components.get(instance.get() as usize);
        let component = component.ok_or(Trap::Misuse("an instance of another store"))?;
        component.refresh(&mut self.queue, backpressure);
        self.update_gate(instance)
    }

    /// `waitable-set.new`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn waitable_set_new(&mut self) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        let index = self.with_table(instance, |table, arena| table.waitable_set_new(arena))?;
        self.go_on(Value::Number(index))
    }

    /// `waitable-set.wait`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    #[inline]
    pub fn waitable_set_wait(&mut self, index: u32, cancellable: bool) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        self.check_may_block()?;
        let set = self.with_table(instance, |table, arena| table.begin_wait(arena, index))?;
        let next = self.wait_until(Wait::Set(set), cancellable);
        self.follow(next)
    }

    /// `waitable-set.wait`, not cancellable, of a guest whose table the caller has at hand:
    /// the event, where one is there and no choice is to be made. The thread goes on then,
    /// so nobody asks which one it is. `None`: [`Store::waitable_set_wait`] knows, and nothing
    /// is changed.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    #[inline(always)]
    pub fn event_at_once(
        &mut self,
        table: &mut Table<T::Slots>,
        index: u32,
    ) -> Result<Option<Event>, Trap> {
        let set = match table.waitable_set(index) {
            Ok(set) if self.arena.set_has_event(set) && !self.readings.block_early => set,
            _ => return Ok(None),
        };
        if !self.queue.keeps_on() {
            return Ok(None);
        }
        let event = table.poll_set(&mut self.arena, set, None);
        self.settled(event)
    }

    /// `waitable-set.poll`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn waitable_set_poll(&mut self, index: u32, cancellable: bool) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        let set = self.with_table(instance, |table, _| table.waitable_set(index))?;
        let (_, task) = self.current()?;
        let event = match self.task_mut(task)?.deliver_pending_cancel(cancellable) {
            true => Event::CANCELLED,
            false => self.choose_event(instance, set)?.unwrap_or(Event::NONE),
        };
        self.go_on(Value::Event(event))
    }

    /// `waitable-set.drop`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn waitable_set_drop(&mut self, index: u32) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        self.drop_waitable_set(instance, index)?;
        self.go_on(Value::None)
    }

    /// The same, of an instance that may call it.
    pub fn drop_waitable_set(&mut self, instance: InstanceId, index: u32) -> Result<(), Trap> {
        let lists = self.with_table(instance, |table, arena| {
            let set = table.waitable_set(index)?;
            let lists = arena.sets.get(set.0).map(|set| set.lists);
            table.waitable_set_drop(arena, index)?;
            Ok(lists)
        })?;
        for list in lists.into_iter().flatten().flatten() {
            self.queue.remove_list(list);
        }
        Ok(())
    }

    /// `waitable.join`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn waitable_join(&mut self, index: u32, set: u32) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        self.with_table(instance, |table, arena| {
            table.waitable_join(arena, index, set)
        })?;
        self.go_on(Value::None)
    }

    /// `stream.new`, `future.new`; `plain`: elements are numbers, or there are none.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn copy_new(&mut self, shape: Shape, ty: TypeId, plain: bool) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        let (readable, writable) = self.with_table(instance, |table, arena| {
            table.copy_new(arena, shape, ty, plain)
        })?;
        self.go_on(Value::Pair(readable, writable))
    }

    /// `stream.read`, `stream.write`, `future.read`, `future.write`. The address of the
    /// buffer must have been checked.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn copy(
        &mut self,
        index: u32,
        end: EndType,
        buffer: Buffer,
        is_async: bool,
    ) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        if !is_async {
            self.check_may_block()?;
        }
        let copying = self.with_table(instance, |table, arena| {
            table.copy(arena, index, end, instance, buffer, is_async)
        })?;
        self.follow_copy(copying, is_async)
    }

    /// As [`Table::host_waits`](crate::Table::host_waits), of the guest that runs; `None` too
    /// where the read or write would trap.
    pub fn host_waits(&mut self, index: u32, end: EndType, is_async: bool) -> Option<u64> {
        let (_, instance) = self.enter_builtin().ok()?;
        if !is_async {
            self.check_may_block().ok()?;
        }
        let arena = &self.arena;
        self.tables
            .with(instance, |table| {
                table.host_waits(arena, index, end, is_async)
            })?
            .ok()?
    }

    /// `stream.cancel-read`, `stream.cancel-write`, `future.cancel-read`,
    /// `future.cancel-write`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn copy_cancel(
        &mut self,
        index: u32,
        end: EndType,
        is_async: bool,
    ) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        if !is_async {
            self.check_may_block()?;
        }
        let copying = self.with_table(instance, |table, arena| {
            table.copy_cancel(arena, index, end, is_async)
        })?;
        self.follow_copy(copying, is_async)
    }

    /// What comes after a read or write, or its cancelling, that came to this.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn follow_copy(&mut self, copying: Copying, is_async: bool) -> Result<Effect, Trap> {
        match copying {
            Copying::Done(payload) => self.go_on(Value::Number(payload)),
            Copying::Copy(job) => Ok(Effect::Copy(job)),
            Copying::Blocked(_) if is_async => self.go_on(Value::Number(BLOCKED)),
            Copying::Blocked(id) => {
                let (thread, _) = self.current()?;
                let instance = self.thread(thread)?.instance;
                self.with_table(instance, |table, arena| table.begin_sync_wait(arena, id))?;
                let next: Result<Next, Trap> = self.wait_until(Wait::Waitable(id), false);
                self.follow(next)
            }
        }
    }

    /// The elements of a guest's read or write are copied.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn finish_copy(&mut self, job: CopyJob) -> Result<Effect, Trap> {
        let payload = self.copied(job)?;
        self.go_on(Value::Number(payload))
    }

    /// The same, of whoever's read or write: what it comes to.
    #[inline(always)]
    pub fn copied(&mut self, job: CopyJob) -> Result<u32, Trap> {
        let payload = self.arena.finish_copy(job)?;
        self.settle()?;
        Ok(payload)
    }

    /// `stream.drop-readable`, `stream.drop-writable`, `future.drop-readable`,
    /// `future.drop-writable`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn copy_drop(&mut self, index: u32, end: EndType) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        self.with_table(instance, |table, arena| table.copy_drop(arena, index, end))?;
        self.go_on(Value::None)
    }

    /// What the host does with ends of its own, by `Arena`'s methods; then whoever waits
    /// at the other ends is looked at.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    #[inline(always)]
    pub fn with_arena<R>(
        &mut self,
        work: impl FnOnce(&mut Arena) -> Result<R, HandleError>,
    ) -> Result<R, Trap> {
        let done = work(&mut self.arena);
        self.settled(done)
    }

    /// The second half of the same: something was done with the arena.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    #[inline(always)]
    pub fn settled<R>(&mut self, done: Result<R, HandleError>) -> Result<R, Trap> {
        self.settle()?;
        Ok(done?)
    }

    /// `error-context.new`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn error_context_new(&mut self, message: &str) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        let id = self.arena.context_new(message)?;
        let index = self.with_table(instance, |table, _| table.context_insert(id))?;
        self.go_on(Value::Number(index))
    }

    /// `error-context.debug-message`: whose message to write.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn error_context(&mut self, index: u32) -> Result<ContextId, Trap> {
        let (_, instance) = self.enter_builtin()?;
        self.with_table(instance, |table, _| table.context(index))
    }

    /// A built-in that has changed nothing here is done.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn nothing_more(&self) -> Result<Effect, Trap> {
        self.go_on(Value::None)
    }

    /// `error-context.drop`.
    ///
    /// # Errors
    ///
    /// Where the spec traps: [`Store::trap`](crate::Store::trap) is to follow.
    pub fn error_context_drop(&mut self, index: u32) -> Result<Effect, Trap> {
        let (_, instance) = self.enter_builtin()?;
        self.with_table(instance, |table, arena| table.context_drop(arena, index))?;
        self.go_on(Value::None)
    }
}
