//! Calls of tasks: arguments in, results out, from the host and between guests.
//!
//! ```text
//!   host   -- lower(closure) --> callee's lanes       task.return, or its return
//!   guest  -- lift --> values -- lower --> ...        --> lift --> caller
//! ```
//!
//! A guest's arguments stay as lanes until its callee starts. Not here: who runs when
//! (`run`).
//!
//! # Safety
//!
//! The host's side of a call stands on the native stack below the loop that performs it;
//! a task that needs it is resolved, or ended, before its call returns.

use super::run::{failed, perform};
use super::{State, other_trap, refused};
use crate::component::call::enter::LiftedFunc;
use crate::component::call::host::{Caller, HostCall};
use crate::component::call::lane::Lane;
use crate::component::call::scope::CallScope;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::state::InstanceData;
use crate::component::value::{self, Vals};
use helve_base::{Bug, Error, Result, Trap};
use helve_decode::plan::ComponentInstanceId;
use helve_model::{Abi, Callee, Caller as By, Returning, TaskId};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::Arc;

/// Lanes that any lifted function or `task.return` has room for.
pub(super) const LANES: usize = 17;

/// The host's side of a call.
pub(crate) trait HostSide {
    /// Writes the arguments.
    fn lower(&mut self, cx: &mut LowerContext<'_>, lanes: &mut [Lane]) -> Result<()>;
    /// Reads the result.
    fn lift(&mut self, cx: &mut LiftContext<'_>, lanes: &[Lane]) -> Result<()>;
}

struct Closures<L, U, R> {
    lower: Option<L>,
    lift: Option<U>,
    result: Option<R>,
}

impl<L, U, R> HostSide for Closures<L, U, R>
where
    L: FnOnce(&mut LowerContext<'_>, &mut [Lane]) -> Result<()>,
    U: FnOnce(&mut LiftContext<'_>, &[Lane]) -> Result<R>,
{
    fn lower(&mut self, cx: &mut LowerContext<'_>, lanes: &mut [Lane]) -> Result<()> {
        match self.lower.take() {
            Some(lower) => lower(cx, lanes),
            None => Err(Error::new(Bug("arguments that are lowered twice".into()))),
        }
    }

    fn lift(&mut self, cx: &mut LiftContext<'_>, lanes: &[Lane]) -> Result<()> {
        if let Some(lift) = self.lift.take() {
            self.result = Some(lift(cx, lanes)?);
        }
        Ok(())
    }
}

/// Who made a call.
pub(crate) enum Side {
    Host(NonNull<dyn HostSide>),
    Guest {
        caller: Arc<Caller>,
        lanes: Box<[Lane]>,
    },
}

/// A call whose task is there.
pub(crate) struct Call {
    /// Lives as long as its store, like the instance.
    pub callee: NonNull<InstanceData>,
    pub lifted: LiftedFunc,
    pub side: Side,
    /// What the callee was lent.
    pub scope: RefCell<CallScope>,
    /// What the caller has lent.
    pub lent: RefCell<CallScope>,
}

impl Call {
    pub fn callee(&self) -> &InstanceData {
        // SAFETY: see the field.
        unsafe { self.callee.as_ref() }
    }
}

/// The function as the model knows it.
pub(super) fn callee(state: &mut State, instance: &InstanceData, f: &LiftedFunc) -> Result<Callee> {
    Ok(Callee {
        instance: state.id(instance, f.owner)?,
        is_async: f.is_async,
        abi: f.abi,
    })
}

/// The host calls a function, and its event loop runs until there is a result.
pub(crate) fn from_host<R>(
    lifted: &LiftedFunc,
    instance: &InstanceData,
    lower: impl FnOnce(&mut LowerContext<'_>, &mut [Lane]) -> Result<()>,
    lift: impl FnOnce(&mut LiftContext<'_>, &[Lane]) -> Result<R>,
) -> Result<R> {
    let mut closures = Closures {
        lower: Some(lower),
        lift: Some(lift),
        result: None,
    };
    let side: &mut dyn HostSide = &mut closures;
    // SAFETY: only its lifetime is forgotten; see the module.
    let side = unsafe { std::mem::transmute::<&mut dyn HostSide, NonNull<dyn HostSide>>(side) };
    let drive = &instance.shared().drive;
    let begun = (|| {
        let mut state = drive.0.borrow_mut();
        let callee = callee(&mut state, instance, lifted)?;
        let begun = state.model.call_from_host(callee);
        let (task, effect) = begun.map_err(|trap| refused(instance, lifted.owner, trap))?;
        let call = Call {
            callee: NonNull::from(instance),
            lifted: lifted.clone(),
            side: Side::Host(side),
            scope: RefCell::default(),
            lent: RefCell::default(),
        };
        state.calls.insert(task, call.into());
        Ok::<_, Error>((task, effect))
    })();
    let (task, effect) = begun?;
    perform(instance, effect)?;
    loop {
        let next = {
            let mut state = drive.0.borrow_mut();
            if state.model.is_resolved(task) {
                break;
            }
            state.model.tick()
        };
        match next {
            Ok(Some(effect)) => perform(instance, effect)?,
            Ok(None) => return Err(super::run::deadlock(instance, lifted.owner)),
            Err(trap) => return Err(failed(instance, other_trap(trap))),
        }
    }
    let result = closures.result.take();
    result.ok_or_else(|| Error::new(Trap::Deadlock))
}

/// Runs `work` (a core module's start, a destructor) as a task of `part` that stays on the
/// native stack and can't block: what it calls meanwhile is done by that task.
pub(crate) fn on_native_stack<R>(
    instance: &InstanceData,
    part: ComponentInstanceId,
    by_guest: bool,
    work: impl FnOnce() -> Result<R>,
) -> Result<R> {
    let drive = &instance.shared().drive;
    {
        let mut state = drive.0.borrow_mut();
        let callee = Callee {
            instance: state.id(instance, part)?,
            is_async: false,
            abi: Abi::Sync,
        };
        let begun = match by_guest {
            true => state.model.call(callee, false),
            false => state.model.call_from_host(callee).map(|(_, effect)| effect),
        };
        // What it has to start is the closure.
        let _ = begun.map_err(|trap| refused(instance, part, trap))?;
        let thread = state.model.current_thread();
        state.native.extend(thread);
    }
    let result = work();
    drive.0.borrow_mut().native.pop();
    let result = match (result, by_guest) {
        (Ok(result), _) => result,
        (Err(error), true) => return Err(error),
        (Err(error), false) => return Err(failed(instance, error)),
    };
    let mut state = drive.0.borrow_mut();
    let ended = state.model.begin_sync_return().and_then(|returning| {
        let _ = state.model.finish_return(returning)?;
        state.model.returned()
    });
    match ended {
        Ok(_) => Ok(result),
        Err(trap) => Err(refused(instance, part, trap)),
    }
}

/// A guest calls a guest: the model's answer is the effect to perform.
pub(super) fn from_guest(
    state: &mut State,
    caller: &Arc<Caller>,
    (instance, lifted): (&InstanceData, &LiftedFunc),
    lanes: &[Lane],
    is_async: bool,
) -> Result<helve_model::Effect> {
    let callee = callee(state, instance, lifted)?;
    // SAFETY: it calls.
    let from = unsafe { caller.instance.get() };
    let effect = state.model.call(callee, is_async);
    let effect = effect.map_err(|trap| refused(from, caller.options.owner, trap))?;
    let call = Call {
        callee: NonNull::from(instance),
        lifted: lifted.clone(),
        side: Side::Guest {
            caller: caller.clone(),
            lanes: lanes.into(),
        },
        scope: RefCell::default(),
        lent: RefCell::default(),
    };
    let task = state.model.last_task();
    let task = task.ok_or_else(|| Error::new(Bug("a call without a task".into())))?;
    state.calls.insert(task, call.into());
    Ok(effect)
}

fn host_call(caller: &Caller) -> HostCall<'_> {
    HostCall {
        // SAFETY: instances live as long as their store.
        instance: unsafe { caller.instance.get() },
        options: &caller.options,
        shape: &caller.shape,
    }
}

/// A task starts: its arguments become lanes of its function.
pub(super) fn arguments(call: &Call, lanes: &mut [Lane]) -> Result<()> {
    let mut scope = call.scope.borrow_mut();
    let callee = call.callee();
    let mut into = LowerContext::new(&call.lifted.options, callee, &mut scope);
    match &call.side {
        // SAFETY: see the module.
        Side::Host(side) => unsafe { &mut *side.as_ptr() }.lower(&mut into, lanes),
        Side::Guest {
            caller,
            lanes: from,
        } => {
            let from_call = host_call(caller);
            let mut lent = call.lent.borrow_mut();
            let params = &caller.shape.programs.params;
            let mut vals = Vals::new();
            value::lift_passed(&mut from_call.lifting(&mut lent), params, from, &mut vals)?;
            let params = &call.lifted.shape.programs.params;
            value::lower_passed(&mut into, params, &vals, lanes)
        }
    }
}

/// What a guest's caller lent stays lent until it knows that the call is over.
pub(super) fn keep_loans(state: &mut State, call: &Call, task: TaskId) -> Result<()> {
    if let Some(By::Guest { subtask, .. }) = state.model.caller_of(task) {
        let loans = state.model.arena.subtask_loans(subtask)?;
        *loans = std::mem::take(&mut call.lent.borrow_mut().loans);
    }
    Ok(())
}

/// A task's result, in `lanes` as its function returned it or gave it to `task.return`,
/// goes to its caller.
pub(super) fn result(call: &Call, lanes: &[Lane]) -> Result<Option<Box<[Lane]>>> {
    let callee = call.callee();
    let lifted = &call.lifted;
    let mut scope = call.scope.borrow_mut();
    // SAFETY: lifting runs no guest.
    let memory = lifted
        .options
        .memory
        .map_or(&[][..], |memory| unsafe { memory.bytes() });
    let mut from = LiftContext::new(memory, &lifted.options, callee, &mut scope);
    match &call.side {
        Side::Host(side) => {
            // SAFETY: see the module.
            unsafe { &mut *side.as_ptr() }.lift(&mut from, lanes)?;
            callee.end_loans(lifted.owner, &mut scope)?;
            Ok(None)
        }
        Side::Guest {
            caller,
            lanes: args,
        } => {
            let mut vals = Vals::new();
            let results = &lifted.shape.programs.result;
            value::lift_passed(&mut from, results, lanes, &mut vals)?;
            callee.end_loans(lifted.owner, &mut scope)?;
            let into_call = host_call(caller);
            let to = into_call.result_address(args);
            let mut lent = call.lent.borrow_mut();
            let mut into = LowerContext::new(&caller.options, into_call.instance, &mut lent);
            let mut lanes = vec![Lane::ZERO; LANES].into_boxed_slice();
            let result = &caller.shape.programs.result;
            value::lower_result(&mut into, result, &vals, to, &mut lanes)?;
            into_call
                .instance
                .end_loans(caller.options.owner, &mut lent)?;
            Ok(Some(lanes))
        }
    }
}

/// Passes a result on; the model knows then.
pub(super) fn give(
    instance: &InstanceData,
    returning: Returning,
    lanes: &[Lane],
) -> Result<helve_model::Effect> {
    let drive = &instance.shared().drive;
    let call = drive.0.borrow().calls.get(&returning.task).cloned();
    let call = call.ok_or_else(|| Error::new(Bug("a task without a call".into())))?;
    let taken = result(&call, lanes)?;
    let mut state = drive.0.borrow_mut();
    if let (By::Guest { subtask, .. }, Some(lanes)) = (returning.to, taken) {
        state.results.insert(subtask, lanes);
    }
    state.calls.remove(&returning.task);
    let effect = state.model.finish_return(returning);
    effect.map_err(|trap| refused(call.callee(), call.lifted.owner, trap))
}

/// How a function was lifted.
pub(crate) fn abi(is_async: bool, has_callback: bool) -> Abi {
    match (is_async, has_callback) {
        (false, _) => Abi::Sync,
        (true, false) => Abi::Stackful,
        (true, true) => Abi::Callback,
    }
}
