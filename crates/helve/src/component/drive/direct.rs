//! The built-ins that a call which waits needs, each an entry of its own: `waitable-set.new`,
//! `.wait`, `.poll`, `.drop`, `waitable.join`, `subtask.drop`, `task.return`, `thread.yield`.
//!
//! What only concerns the caller's own table asks nobody who calls: neither the thread nor
//! calls that are noted only. Not here: the same where somebody wants to see it, and all
//! others (`builtins`); what they return later (`answer`).
//!
//! # Safety
//!
//! As for `builtins`.

use super::answer::{answer_to, reply};
use super::builtins::Function;
use super::call::Known;
use super::noted::park_stackful;
use super::{Reply, State, refused};
use crate::component::call::lane::Lane;
use crate::component::hot::HotStorage;
use crate::component::part::Part;
use crate::component::state::InstanceData;
use crate::component::store::StoreShared;
use crate::core::store::StorePtr;
use helve_abi::canon::CanonBuiltin;
use helve_base::Result;
use helve_base::vmctx::{HostCall, VMHostContext, ValRaw};
use helve_model::error::HandleError;
use helve_model::handles::Table;
use helve_model::{Arena, Effect, FirstWait, Value};
use helve_vm::traps::host_call_waiting;

/// The entry of a built-in, if it has one of its own.
pub(super) fn entry(op: CanonBuiltin) -> Option<HostCall> {
    Some(match op {
        CanonBuiltin::WaitableSetNew => waitable_set_new,
        CanonBuiltin::WaitableSetWait { .. } => waitable_set_wait,
        CanonBuiltin::WaitableSetPoll { .. } => waitable_set_poll,
        CanonBuiltin::WaitableSetDrop => waitable_set_drop,
        CanonBuiltin::WaitableJoin => waitable_join,
        CanonBuiltin::SubtaskDrop => subtask_drop,
        CanonBuiltin::TaskReturn { .. } => task_return,
        CanonBuiltin::ThreadYield { .. } => thread_yield,
        _ => return None,
    })
}

/// What a built-in is called with.
struct Called<'a> {
    function: &'a Function,
    instance: &'a InstanceData,
    part: &'a Part,
    shared: &'a StoreShared,
    store: StorePtr,
    lanes: &'a mut [Lane],
}

/// Runs a built-in, which may wait.
///
/// # Safety
///
/// Called by a host trampoline with the context of such a function, and its arguments.
#[inline(always)]
unsafe fn run(
    context: *mut VMHostContext,
    args: *mut ValRaw,
    work: impl FnOnce(Called<'_>, &mut bool) -> Result<()>,
) -> u32 {
    // SAFETY: by contract.
    unsafe {
        let vm = (*context).store;
        let function = &*(*context).data.cast::<Function>();
        host_call_waiting(vm, |waits| {
            let (part, shared) = function.here.get();
            part.check_leave()?;
            let instance = function.instance.get();
            let lanes = std::slice::from_raw_parts_mut(args.cast::<Lane>(), function.slots);
            let store = StorePtr::from_vm(vm);
            let called = Called {
                function,
                instance,
                part,
                shared,
                store,
                lanes,
            };
            work(called, waits)
        })
    }
}

impl Called<'_> {
    #[inline]
    fn number(&self, at: usize) -> u32 {
        self.lanes.get(at).map_or(0, |lane| lane.u32())
    }

    #[inline]
    fn put(&mut self, number: u32) {
        if let Some(lane) = self.lanes.first_mut() {
            *lane = Lane::from_u32(number);
        }
    }

    /// Does something with the caller's table.
    #[inline(always)]
    fn in_table<R>(
        &self,
        work: impl FnOnce(&mut Table<HotStorage>, &mut Arena) -> std::result::Result<R, HandleError>,
    ) -> Result<R> {
        let mut state = self.shared.drive.state();
        let done = work(&mut self.part.table(), &mut state.model.arena);
        let done = state.model.settled(done);
        drop(state);
        done.map_err(|trap| refused(self.instance, self.function.owner, trap))
    }

    /// `waitable-set.wait` where an event is there: whether that was all.
    #[inline(always)]
    fn event_at_once(&self) -> Result<bool> {
        let set = self.number(0);
        let mut state = self.shared.drive.state();
        let event = state.model.event_at_once(&mut self.part.table(), set);
        match event {
            Ok(None) => Ok(false),
            Ok(Some(event)) => {
                reply(&mut state, self.reply(), Value::Event(event))?;
                Ok(true)
            }
            Err(trap) => {
                drop(state);
                Err(refused(self.instance, self.function.owner, trap))
            }
        }
    }

    /// Does something that concerns the thread that calls.
    #[inline(always)]
    fn by_thread(
        &self,
        (first, waits): (Option<FirstWait>, &mut bool),
        work: impl FnOnce(&mut super::Model, bool) -> std::result::Result<Effect, helve_model::Trap>,
    ) -> Result<()> {
        if let Some(first) = first
            && let Some(effect) = park_stackful(self.store, first)?
        {
            let to = self.reply();
            return answer_to(self.instance, &effect, to, waits);
        }
        let shared = self.instance.shared();
        State::materialize(shared, self.store)?;
        let effect = {
            let mut state = shared.drive.state();
            state.asker = state.model.current_thread();
            work(&mut state.model, self.function.is_cancellable())
        };
        match &effect {
            Ok(effect) => answer_to(self.instance, effect, self.reply(), waits),
            Err(trap) => Err(refused(self.instance, self.function.owner, *trap)),
        }
    }

    #[inline]
    fn reply(&self) -> Reply {
        Reply {
            lanes: self.lanes.as_ptr().cast_mut(),
            event: self.function.event_place(self.lanes.get(1)),
        }
    }
}

unsafe extern "C" fn waitable_set_new(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: as for `run`.
    unsafe {
        run(context, args, |mut called, _| {
            let index = called.in_table(|table, arena| table.waitable_set_new(arena))?;
            called.put(index);
            Ok(())
        })
    }
}

unsafe extern "C" fn waitable_set_drop(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: as for `run`.
    unsafe {
        run(context, args, |called, _| {
            let (instance, owner) = (called.instance, called.function.owner);
            let mut state = instance.shared().drive.state();
            let id = state.id(instance, owner)?;
            let done = state.model.drop_waitable_set(id, called.number(0));
            drop(state);
            done.map_err(|trap| refused(instance, owner, trap))
        })
    }
}

unsafe extern "C" fn waitable_join(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: as for `run`.
    unsafe {
        run(context, args, |called, _| {
            let (index, set) = (called.number(0), called.number(1));
            called.in_table(|table, arena| table.waitable_join(arena, index, set))
        })
    }
}

unsafe extern "C" fn subtask_drop(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: as for `run`.
    unsafe {
        run(context, args, |called, _| {
            let index = called.number(0);
            called.in_table(|table, arena| table.subtask_drop(arena, index))
        })
    }
}

unsafe extern "C" fn waitable_set_wait(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: as for `run`.
    unsafe {
        run(context, args, |called, waits| {
            let index = called.number(0);
            let cancellable = called.function.is_cancellable();
            if !cancellable && called.event_at_once()? {
                return Ok(());
            }
            let first = FirstWait::Set { index, cancellable };
            called.by_thread((Some(first), waits), |model, cancellable| {
                model.waitable_set_wait(index, cancellable)
            })
        })
    }
}

unsafe extern "C" fn waitable_set_poll(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: as for `run`.
    unsafe {
        run(context, args, |called, waits| {
            let set = called.number(0);
            called.by_thread((None, waits), |model, cancellable| {
                model.waitable_set_poll(set, cancellable)
            })
        })
    }
}

unsafe extern "C" fn thread_yield(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: as for `run`.
    unsafe {
        run(context, args, |called, waits| {
            let cancellable = called.function.is_cancellable();
            let first = FirstWait::Yield { cancellable };
            called.by_thread((Some(first), waits), |model, cancellable| {
                model.thread_yield(cancellable)
            })
        })
    }
}

unsafe extern "C" fn task_return(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: as for `run`.
    unsafe { run(context, args, |called, _| called.give()) }
}

impl Called<'_> {
    /// `task.return` of a call that an adapter has noted; else as any other.
    fn give(self) -> Result<()> {
        let shared = self.instance.shared();
        State::materialize(shared, self.store)?;
        let owner = self.function.owner;
        let (adapter, to, returning) = {
            let mut state = shared.drive.state();
            state.asker = state.model.current_thread();
            let task = state.current_task();
            let Some(Known::Noted { adapter, to }) = task.and_then(|task| state.calls.get(task))
            else {
                drop(state);
                return self.function.any_return(self.instance, self.lanes);
            };
            // SAFETY: the store is alive, and this thread's.
            let adapter = unsafe { adapter.get() };
            let matches = adapter.vm.task_return == self.function.return_key;
            let to = *to;
            (adapter, to, state.model.begin_task_return(matches))
        };
        let returning = returning.map_err(|trap| refused(self.instance, owner, trap))?;
        adapter.move_result_to(to, self.lanes)?;
        let mut state = shared.drive.state();
        state.calls.remove(returning.task);
        let done = state.model.finish_return(returning);
        drop(state);
        // The thread that gave it goes on.
        done.map(|_| ())
            .map_err(|trap| refused(self.instance, owner, trap))
    }
}
