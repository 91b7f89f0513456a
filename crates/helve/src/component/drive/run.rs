//! The loop: runs threads on fibers until the model says that the host goes on.
//!
//! # Safety
//!
//! What a fiber runs is of this store; its argument array is in its stack's frame, which
//! is held until the thread's function has returned. A suspended thread is resumed only when the reply
//! stands in its array.

use super::call::{self, Known, LANES};
use super::frame::Frame;
use super::{Handed, Reply, State, Stopped, noted, other_trap};
use crate::component::call::enter::CoreFunc;
use crate::component::call::lane::Lane;
use crate::component::concurrent::again;
use crate::component::concurrent::host_task::yielded_thread;
use crate::component::meter::metered;
use crate::component::span::Span;
use crate::component::state::InstanceData;
use crate::core::backtrace::component_exit_error;
use helve_base::vmctx::VMStoreContext;
use helve_base::{Bug, Error, Result};
use helve_fiber::PooledStack;
use helve_model::{Abi, Effect, Entry, Event, TaskId, ThreadId, Value};
use helve_vm::fibers::{FiberResult, Resume, SPARE_STACK, Suspended, can_suspend};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{NonNull, null_mut};

fn bug(what: &str) -> Error {
    Error::new(Bug(what.into()))
}

/// Performs an effect and those that follow it, until the host goes on. What goes wrong
/// ends the trees on the stack, and is told to the host's calls there.
pub(crate) fn perform(instance: &InstanceData, effect: Effect) {
    perform_next(instance, || Ok(effect));
}

/// A stack that waited in the host, and is the current one again, goes on: its results are
/// in its lanes, or the host function has failed.
pub(crate) fn resume_parked(instance: &InstanceData, thread: ThreadId, how: Resume) {
    perform_next(instance, || {
        let stopped = instance.shared().drive.state().stopped.remove(thread);
        let stopped = stopped.ok_or_else(|| bug("a thread that did not stop"))?;
        by_thread(instance, thread, || resume(instance, stopped, how))
    });
}

fn perform_next(instance: &InstanceData, first: impl FnOnce() -> Result<Effect>) {
    let concurrent = &instance.shared().concurrent;
    let went = concurrent.running(None, || {
        catch_unwind(AssertUnwindSafe(|| {
            perform_until(instance, &first()?, None).map(|_| ())
        }))
    });
    match went {
        Ok(Ok(())) => {}
        Ok(Err(error)) => failed(instance, error),
        Err(panic) => {
            failed(instance, Error::msg("a host function panicked"));
            resume_unwind(panic);
        }
    }
}

/// The same, or until a thread goes on that runs on the native stack: what it gets.
// Effects are looked at where they are: one that is put together field by field and moved as a
// whole right away costs more than what it is for.
pub(super) fn perform_until(
    instance: &InstanceData,
    first: &Effect,
    native: Option<ThreadId>,
) -> Result<Option<Value>> {
    let watched = instance.is_metered() || instance.traces();
    let over = |effect: &Effect| match effect {
        Effect::ToHost => Some(None),
        Effect::Continue { thread, value } if Some(*thread) == native => Some(Some(*value)),
        _ => None,
    };
    if let Some(value) = over(first) {
        return Ok(value);
    }
    let mut last;
    let mut effect = first;
    loop {
        let next = match watched {
            false => perform_one(instance, effect),
            true => perform_watched(instance, effect),
        };
        if let Ok(next) = &next
            && let Some(value) = over(next)
        {
            return Ok(value);
        }
        last = next?;
        effect = &last;
    }
}

/// Performs one effect where somebody wants to know who runs.
fn perform_watched(instance: &InstanceData, effect: &Effect) -> Result<Effect> {
    match effect_thread(effect) {
        Some(thread) => by_thread(instance, thread, || {
            span(instance, effect).within(|| perform_one(instance, effect))
        }),
        None => perform_one(instance, effect),
    }
}

/// The thread that an effect lets go on.
fn effect_thread(effect: &Effect) -> Option<ThreadId> {
    match effect {
        Effect::Start { thread, .. }
        | Effect::Callback { thread, .. }
        | Effect::Continue { thread, .. } => Some(*thread),
        _ => None,
    }
}

/// Runs code of a thread's component instance.
fn by_thread<R>(instance: &InstanceData, thread: ThreadId, work: impl FnOnce() -> R) -> R {
    if !instance.is_metered() {
        return work();
    }
    let found = {
        let state = instance.shared().drive.0.borrow();
        let id = state.model.instance_of(thread);
        id.and_then(|id| state.model.tables.part(id))
    };
    match found {
        // SAFETY: the store is alive.
        Some((owner, part)) => metered(instance, unsafe { owner.get() }.part(part), work),
        None => work(),
    }
}

/// Performs one effect: the next one.
#[inline(always)]
fn perform_one(instance: &InstanceData, effect: &Effect) -> Result<Effect> {
    match *effect {
        Effect::Start { thread, entry } => start(instance, thread, entry),
        Effect::Callback {
            thread,
            task,
            event,
        } => callback(instance, thread, task, event),
        Effect::Continue { thread, value } => go_on(instance, thread, value),
        Effect::ToHost | Effect::Copy(_) | Effect::CancelHost { .. } => {
            Err(bug("an effect that its built-in performs itself"))
        }
    }
}

/// The span of the call that an effect lets go on.
fn span(instance: &InstanceData, effect: &Effect) -> Span {
    if !instance.traces() {
        return Span::default();
    }
    let state = instance.shared().drive.0.borrow();
    let task = match effect {
        Effect::Start {
            entry: Entry::Task(task),
            ..
        }
        | Effect::Callback { task, .. } => Some(*task),
        Effect::Start { thread, .. } | Effect::Continue { thread, .. } => {
            state.model.task_of(*thread)
        }
        _ => None,
    };
    match task.and_then(|task| state.calls.get(task)) {
        Some(call::Known::Whole(call)) => {
            let origin = call.origin.as_ref();
            origin.map_or_else(Span::default, |origin| origin.span.clone())
        }
        _ => Span::default(),
    }
}

/// Something on the current stack failed: its trees are locked down, and their callers
/// outside are told.
pub(crate) fn failed(instance: &InstanceData, error: Error) {
    let shared = instance.shared();
    let ended = shared.drive.state().model.trap().unwrap_or_default();
    if let Some(error) = call::ended(shared, ended, error) {
        shared.concurrent.fail(error);
    }
}

/// The same for what the host does on the native stack, and gets the error itself.
pub(super) fn failed_native(instance: &InstanceData, error: Error) -> Error {
    let shared = instance.shared();
    let ended = shared.drive.state().model.trap().unwrap_or_default();
    drop(call::ended(shared, ended, again(&error)));
    error
}

fn start(instance: &InstanceData, thread: ThreadId, entry: Entry) -> Result<Effect> {
    let drive = &instance.shared().drive;
    let call = match entry {
        Entry::Task(task) => drive
            .0
            .borrow()
            .calls
            .get(task)
            .cloned()
            .map(|call| (task, call)),
        Entry::Function(number) => return start_function(instance, thread, number),
    };
    let (task, call) = call.ok_or_else(|| bug("a task without a call"))?;
    let lifted = call.lifted();
    if !lifted.own_stack && has_room(instance) && !may_wait(&drive.0.borrow(), thread) {
        let mut lanes = [Lane::ZERO; LANES];
        if let Err(error) = prepare(instance, (thread, task), &call, &mut lanes) {
            return call::not_begun(&call, task, error);
        }
        swap_context(instance, thread)?;
        let func = lifted.core;
        on_this_stack(instance, || func.call(instance.store(), &mut lanes))?;
        swap_context(instance, thread)?;
        return returned(instance, thread, &mut lanes);
    }
    let stack = drive.take_stack(instance)?;
    // SAFETY: nothing runs on the stack yet.
    let lanes = unsafe { &mut (*Frame::of(&stack)).lanes };
    lanes.fill(Lane::ZERO);
    if let Err(error) = prepare(instance, (thread, task), &call, lanes) {
        return call::not_begun(&call, task, error);
    }
    enter(instance, thread, lifted.core, stack)
}

/// Makes the arguments of a task that starts.
fn prepare(
    instance: &InstanceData,
    (thread, task): (ThreadId, TaskId),
    call: &Known,
    lanes: &mut [Lane],
) -> Result<()> {
    let drive = &instance.shared().drive;
    swap_context(instance, thread)?;
    let lowered = call::arguments(call, lanes);
    swap_context(instance, thread)?;
    lowered?;
    let mut state = drive.0.borrow_mut();
    call::keep_loans(&mut state, call, task)?;
    if call.lifted().callback.is_some() {
        state.callbacks.insert(task, NonNull::from(call.lifted()));
    }
    Ok(())
}

/// A thread that was made explicitly runs its function.
fn start_function(instance: &InstanceData, thread: ThreadId, number: u64) -> Result<Effect> {
    let drive = &instance.shared().drive;
    let stack = drive.take_stack(instance)?;
    let found = drive.0.borrow().functions.get(number as usize).copied();
    let (func, argument) = found.ok_or_else(|| bug("a thread without a function"))?;
    // SAFETY: nothing runs on the stack yet.
    let lanes = unsafe { &mut (*Frame::of(&stack)).lanes };
    lanes.fill(Lane::ZERO);
    lanes[0] = argument;
    enter(instance, thread, func, stack)
}

#[inline(always)]
fn callback(
    instance: &InstanceData,
    thread: ThreadId,
    task: TaskId,
    event: Event,
) -> Result<Effect> {
    let drive = &instance.shared().drive;
    let numbers = [event.code as u32, event.index, event.payload];
    let func = {
        let mut state = drive.0.borrow_mut();
        let lifted = state.callbacks.get(task).copied();
        // SAFETY: the store is alive, and so is the instance of a task.
        let lifted = lifted.map(|lifted| unsafe { lifted.as_ref() });
        let func = lifted.and_then(|lifted| Some((lifted.callback?, lifted.own_stack)));
        let (func, own_stack) = func.ok_or_else(|| bug("a callback that is none"))?;
        let here = !own_stack && has_room(instance) && !may_wait(&state, thread);
        if here {
            swap(&mut state, thread);
        }
        match here {
            true => Ok(func),
            false => Err(func),
        }
    };
    let func = match func {
        Ok(func) => {
            let mut lanes = numbers.map(Lane::from_u32);
            on_this_stack(instance, || func.call(instance.store(), &mut lanes))?;
            let mut state = drive.0.borrow_mut();
            swap(&mut state, thread);
            return callback_returned(&mut state, task, lanes[0].u32());
        }
        Err(func) => func,
    };
    let stack = drive.take_stack(instance)?;
    // SAFETY: nothing runs on the stack yet.
    let lanes = unsafe { &mut (*Frame::of(&stack)).lanes };
    for (lane, number) in lanes.iter_mut().zip(numbers) {
        *lane = Lane::from_u32(number);
    }
    enter(instance, thread, func, stack)
}

/// The function of a task that has a callback, or that callback, has returned.
#[inline(always)]
fn callback_returned(state: &mut State, task: TaskId, packed: u32) -> Result<Effect> {
    let effect = state.model.callback_returned(packed).map_err(other_trap)?;
    if packed & 15 == 0 {
        state.callbacks.remove(task);
    }
    Ok(effect)
}

/// Whether the stack that runs has as much room for a guest's code as one of its own.
#[inline(always)]
fn has_room(instance: &InstanceData) -> bool {
    let vm = instance.store().vm();
    // SAFETY: the store is alive, and of this thread.
    unsafe {
        if (*vm).activation.is_null() || !can_suspend(vm) {
            return true;
        }
        // On the stack of a guest that waits, which ends where that may not go.
        let limit = (*vm).stack_limit;
        let here = (&raw const limit).addr();
        limit.saturating_add((*vm).guest_stack_bytes) <= here.saturating_add(SPARE_STACK)
    }
}

/// Runs a guest's code on the stack that runs, which has room for it.
#[inline(always)]
fn on_this_stack<R>(instance: &InstanceData, work: impl FnOnce() -> R) -> R {
    let vm = instance.store().vm();
    // SAFETY: the store is alive, and of this thread.
    unsafe {
        if (*vm).activation.is_null() || !can_suspend(vm) {
            return work();
        }
        let (limit, calls) = ((*vm).stack_limit, (*vm).calls);
        let _back = Back { vm, limit, calls };
        (*vm).stack_limit = limit - SPARE_STACK;
        (*vm).calls = null_mut();
        work()
    }
}

/// Puts back what belongs to the stack below.
struct Back {
    vm: *mut VMStoreContext,
    limit: usize,
    calls: *mut u8,
}

impl Drop for Back {
    fn drop(&mut self) {
        // SAFETY: the store is alive.
        unsafe {
            (*self.vm).stack_limit = self.limit;
            (*self.vm).calls = self.calls;
        }
    }
}

/// Whether host functions that a thread can call may have to wait on its stack.
#[inline(always)]
fn may_wait(state: &State, thread: ThreadId) -> bool {
    let id = state.model.instance_of(thread);
    let part = id.and_then(|id| state.model.tables.part(id));
    // SAFETY: the store is alive.
    part.is_none_or(|(instance, _)| unsafe { instance.get() }.may_wait.get())
}

/// Calls a function on a stack of its own, whose frame has its arguments.
fn enter(
    instance: &InstanceData,
    thread: ThreadId,
    func: CoreFunc,
    stack: PooledStack,
) -> Result<Effect> {
    // SAFETY: the frame's address is taken.
    let lanes = unsafe { &raw mut (*Frame::of(&stack)).lanes };
    swap_context(instance, thread)?;
    let went = func.enter_on(instance.store(), stack, lanes.cast(), null_mut());
    after(instance, thread, went)
}

/// A thread that stopped in a built-in goes on.
fn go_on(instance: &InstanceData, thread: ThreadId, value: Value) -> Result<Effect> {
    let stopped = {
        let mut state = instance.shared().drive.0.borrow_mut();
        let stopped = state.stopped.remove(thread);
        let stopped = stopped.ok_or_else(|| bug("a thread that did not stop"))?;
        super::answer::reply(&mut state, stopped.reply, value)?;
        stopped
    };
    resume(instance, stopped, Resume::Return)
}

fn resume(instance: &InstanceData, stopped: Stopped, how: Resume) -> Result<Effect> {
    swap_context(instance, stopped.base)?;
    if let Some(contexts) = &stopped.contexts {
        noted::restore(contexts);
    }
    // SAFETY: see the module.
    let went = unsafe { stopped.guest.resume(how) };
    after(instance, stopped.base, went)
}

/// Context slots are in the part while a thread runs, and with the thread else.
fn swap_context(instance: &InstanceData, thread: ThreadId) -> Result<()> {
    swap(&mut instance.shared().drive.0.borrow_mut(), thread);
    Ok(())
}

#[inline(always)]
fn swap(state: &mut State, thread: ThreadId) {
    // A thread that has ended has none.
    state.model.with_context(thread, |parts, id, slots| {
        if let Some(part) = parts.get(id) {
            *slots = part.context.replace(*slots);
        }
    });
}

/// What comes after a stack ran that was made for thread `base`.
fn after(instance: &InstanceData, base: ThreadId, went: FiberResult) -> Result<Effect> {
    match went {
        FiberResult::Suspended(guest) => match suspended(instance, base, guest)? {
            Handed::Effect(effect) => Ok(effect),
            Handed::Failed(error) => Err(error),
            Handed::Panicked(panic) => resume_unwind(panic),
        },
        FiberResult::Done(result, stack) => {
            swap_context(instance, base)?;
            result.map_err(component_exit_error)?;
            // SAFETY: nothing runs on the stack any more.
            let lanes = unsafe { &mut (*Frame::of(&stack)).lanes };
            let effect = returned(instance, base, lanes)?;
            instance.shared().drive.put_stack(stack);
            Ok(effect)
        }
    }
}

/// The stack of thread `base` has stopped, in that thread or in one that was called on the
/// same stack: what it has left to be done.
pub(super) fn suspended(
    instance: &InstanceData,
    base: ThreadId,
    guest: Suspended,
) -> Result<Handed> {
    let contexts = noted::contexts(&guest);
    let contexts = (!contexts.is_empty()).then(|| Box::new(contexts));
    swap_context(instance, base)?;
    let mut state = instance.shared().drive.0.borrow_mut();
    let handed = state.handed.take();
    let (next, reply, thread) = match handed {
        Some((next, reply)) => (Some(next), reply, state.asker.unwrap_or(base)),
        None => {
            // It has run for long: nobody asked for anything.
            let (lanes, event) = (std::ptr::null_mut(), None);
            let thread = state.model.current_thread().unwrap_or(base);
            (None, Reply { lanes, event }, thread)
        }
    };
    let stopped = Stopped {
        guest,
        reply,
        base,
        contexts,
    };
    state.stopped.insert(thread, stopped);
    drop(state);
    match next {
        Some(next) => Ok(next),
        None if yielded_thread(instance, thread)? => Ok(Handed::Effect(Effect::ToHost)),
        None => Err(bug("a guest that waits for nothing")),
    }
}

/// A thread's function has returned; `lanes` has its results.
pub(super) fn returned(
    instance: &InstanceData,
    thread: ThreadId,
    lanes: &mut [Lane],
) -> Result<Effect> {
    let drive = &instance.shared().drive;
    let mut state = drive.0.borrow_mut();
    let model = &mut state.model;
    let (task, explicit) = match (model.task_of(thread), model.is_explicit(thread)) {
        (Some(task), explicit) => (task, explicit),
        (None, _) => return Err(bug("a thread that ran nothing")),
    };
    match model.abi_of(task) {
        _ if explicit => model.returned().map_err(other_trap),
        Some(Abi::Callback) => {
            let packed = lanes.first().map_or(0, |lane| lane.u32());
            callback_returned(&mut state, task, packed)
        }
        Some(Abi::Stackful) => model.returned().map_err(other_trap),
        _ => {
            drop(state);
            let call = drive.0.borrow().calls.get(task).cloned();
            let Some(call) = call else {
                // A destructor, which has no result.
                let model = &mut drive.state().model;
                let returning = model.begin_sync_return().map_err(other_trap)?;
                let _ = model.finish_return(returning).map_err(other_trap)?;
                return model.returned().map_err(other_trap);
            };
            let returning = drive.0.borrow().model.begin_sync_return();
            call::give(instance, returning.map_err(other_trap)?, lanes)?;
            if let Some(post_return) = call.lifted().options.post_return {
                let part = call.callee().part(call.lifted().owner);
                part.may_leave.set(false);
                swap_context(instance, thread)?;
                post_return.call(instance.store(), lanes)?;
                swap_context(instance, thread)?;
                part.may_leave.set(true);
            }
            let mut state = drive.0.borrow_mut();
            state.model.returned().map_err(other_trap)
        }
    }
}
