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
//! Instances live as long as their store; the host's side is `concurrent::side`'s.

use super::noted::SlotsBelow;
use super::run::{failed_native, perform, perform_until};
use super::{State, refused};
use crate::component::call::enter::{CallShape, LiftedFunc};
use crate::component::call::host::{Caller, HostCall};
use crate::component::call::lane::Lane;
use crate::component::call::scope::{CallScope, KeptScope};
use crate::component::concurrent::call::Asked;
use crate::component::concurrent::event_loop::{self, Turn};
use crate::component::concurrent::mailbox::{Letter, Woken};
use crate::component::concurrent::side::{Closures, Ending, HostEnd};
use crate::component::concurrent::{self, Cancelled, again};
use crate::component::fused::AdapterPtr;
use crate::component::history::History;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::meter::metered;
use crate::component::part::cannot_enter;
use crate::component::span::{HOST, Span};
use crate::component::state::InstanceData;
use crate::component::store::StoreShared;
use crate::component::value::{self, Vals};
use crate::core::backtrace::Backtrace;
use helve_abi::layout::PointerWidth;
use helve_base::{Bug, Error, Result, Trap, ensure};
use helve_decode::plan::ComponentInstanceId;
use helve_model::{Abi, Callee, Caller as By, Effect, Ended, Returning, TaskId};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// Lanes that any lifted function or `task.return` has room for.
pub(crate) const LANES: usize = 17;

/// Who made a call.
pub(crate) enum Side {
    Host(HostEnd),
    Guest {
        caller: Arc<Caller>,
        lanes: Box<[Lane]>,
    },
}

/// A call whose task is there, as far as it matters who made it.
#[derive(Clone)]
pub(crate) enum Known {
    /// An adapter has noted it: its result is all that is left to move, to this address in
    /// the caller's memory, or of the host's.
    Noted { adapter: AdapterPtr, to: u64 },
    /// Any other one.
    Whole(Rc<Call>),
}

impl Known {
    pub fn callee(&self) -> &InstanceData {
        match self {
            // SAFETY: the store is alive, and this thread's.
            Known::Noted { adapter, .. } => unsafe { adapter.get() }.instance(),
            Known::Whole(call) => call.callee(),
        }
    }

    pub fn lifted(&self) -> &LiftedFunc {
        match self {
            // SAFETY: as above.
            Known::Noted { adapter, .. } => unsafe { adapter.get() }.lifted(),
            Known::Whole(call) => call.lifted(),
        }
    }

    /// Of one that no adapter has noted.
    fn whole(&self) -> Option<&Call> {
        match self {
            Known::Whole(call) => Some(call),
            Known::Noted { .. } => None,
        }
    }
}

/// A call whose task is there.
pub(crate) struct Call {
    /// Lives as long as its store, like the instance.
    pub callee: NonNull<InstanceData>,
    pub lifted: NonNull<LiftedFunc>,
    pub side: Side,
    /// What the callee was lent.
    pub scope: RefCell<KeptScope>,
    /// What the caller has lent.
    pub lent: RefCell<KeptScope>,
    /// What is kept of where it was called, where somebody asked for that.
    pub origin: Option<Box<Origin>>,
}

/// Where a call was made, and the span that it is.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    pub span: Span,
    pub trace: Backtrace,
}

impl Origin {
    /// Of a call from `from`, a guest's instance or the host, that is made now.
    fn new(instance: &InstanceData, lifted: &LiftedFunc, from: &str) -> Option<Box<Origin>> {
        let trace = instance.shared().history.known().map(History::trace);
        let span = Span::of_guest(lifted.watch.as_deref(), from);
        (trace.is_some() || span.is_some()).then(|| {
            let trace = trace.unwrap_or_default();
            Box::new(Origin { span, trace })
        })
    }
}

impl Call {
    pub fn callee(&self) -> &InstanceData {
        // SAFETY: see the field.
        unsafe { self.callee.as_ref() }
    }

    pub fn lifted(&self) -> &LiftedFunc {
        // SAFETY: of that instance, where it stays.
        unsafe { self.lifted.as_ref() }
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

/// The host calls a function, and its event loop runs until there is a result, which
/// nobody outside can be waited for.
pub(crate) fn from_host<R>(
    lifted: &LiftedFunc,
    instance: &InstanceData,
    lower: impl FnOnce(&mut LowerContext<'_>, &mut [Lane]) -> Result<()>,
    lift: impl FnOnce(&mut LiftContext<'_>, &[Lane]) -> Result<R>,
) -> Result<R> {
    let shared = instance.shared();
    let mut side = Closures::new(
        |_: &CallShape, cx: &mut LowerContext<'_>, lanes: &mut [Lane]| lower(cx, lanes),
        |_: &CallShape, cx: &mut LiftContext<'_>, lanes: &[Lane]| lift(cx, lanes),
    );
    let tokens = &shared.concurrent.tokens;
    let token = tokens.make();
    // SAFETY: the token is current only below, while `side` is there.
    let end = unsafe { HostEnd::lent(token, &mut side) };
    tokens.during(token, || {
        let begun = begin_from_host(lifted, instance, end);
        let (task, effect) = begun.map_err(|(_, error)| error)?;
        perform(instance, effect);
        until_resolved(instance, lifted, task)
    })?;
    match side.outcome {
        Some(Ok(result)) => locked_meanwhile(instance).map_or(Ok(result), Err),
        Some(Err(Ending::Failed(error))) => Err(error),
        Some(Err(Ending::Cancelled)) => Err(Error::new(Cancelled)),
        None => Err(Error::new(Trap::Deadlock)),
    }
}

/// What locked an instance after its call had a result: a failing `post-return`.
pub(crate) fn locked_meanwhile(instance: &InstanceData) -> Option<Error> {
    match instance.is_locked() {
        true => instance.shared().concurrent.take_failure(),
        false => None,
    }
}

/// Wakes the future that drives the loop again, if it was woken while another loop ran
/// inside it.
struct MainAgain<'a>(&'a StoreShared, bool);

impl Drop for MainAgain<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.concurrent.mailbox.wake(Woken::Main);
        }
    }
}

/// Turns of the event loop, until a task is resolved.
fn until_resolved(instance: &InstanceData, lifted: &LiftedFunc, task: TaskId) -> Result<()> {
    let shared = instance.shared();
    let mut main = MainAgain(shared, false);
    loop {
        {
            let state = shared.drive.state();
            if state.model.is_resolved(task) {
                return Ok(());
            }
            ensure!(
                !state.model.is_inside(),
                "the called function has to wait, which it can't inside a host function that \
                 a guest has called: make that one async, and call with `call_concurrent`"
            );
        }
        shared.concurrent.turns_here(event_loop::TURNS);
        match event_loop::turn(instance.store(), shared) {
            Turn::Done => continue,
            Turn::Main => {
                main.1 = true;
                continue;
            }
            Turn::Idle => {}
        }
        if shared.concurrent.sleeps() {
            shared.concurrent.tell_time(true);
            continue;
        }
        if shared.concurrent.is_waiting() {
            shared
                .concurrent
                .mailbox
                .send(Letter::Cancel(Asked::Task(task)));
            return Err(Error::msg(
                "the called function waits for an async host function, which a blocking call \
                 can't: use `call_async`, or `call_concurrent`",
            ));
        }
        let error = concurrent::stall::error(shared);
        event_loop::locked_down(shared, instance, lifted.owner, error);
    }
}

/// The host begins to call a function: its task, and the effect to perform.
pub(crate) fn begin_from_host(
    lifted: &LiftedFunc,
    instance: &InstanceData,
    side: HostEnd,
) -> std::result::Result<(TaskId, Effect), (HostEnd, Error)> {
    if let Err(error) = State::materialize(instance.shared(), instance.store()) {
        return Err((side, error));
    }
    let mut state = instance.shared().drive.state();
    let begun = callee(&mut state, instance, lifted).and_then(|callee| {
        let begun = state.model.call_from_host(callee);
        begun.map_err(|trap| refused(instance, lifted.owner, trap))
    });
    let (task, effect) = match begun {
        Ok(begun) => begun,
        Err(error) => return Err((side, error)),
    };
    let call = Call {
        callee: NonNull::from(instance),
        lifted: NonNull::from(lifted),
        side: Side::Host(side),
        scope: RefCell::default(),
        lent: RefCell::default(),
        origin: Origin::new(instance, lifted, HOST),
    };
    state.calls.insert(task, Known::Whole(call.into()));
    Ok((task, effect))
}

/// A lock-down has ended things: their stacks are given up, and the host's calls among
/// them are told why. The error, if there was none to be told.
pub(crate) fn ended(shared: &StoreShared, ended: Ended, error: Error) -> Option<Error> {
    let mut calls = Vec::new();
    let mut gone = Vec::new();
    {
        let mut state = shared.drive.state();
        let state = &mut *state;
        for thread in &ended.threads {
            state.stopped.remove(*thread);
        }
        state.handed = None;
        let tasks = ended.host_tasks.iter();
        calls.extend(tasks.map(|task| state.calls.remove(*task)));
        let model = &state.model;
        gone.extend(state.calls.remove_all(|task| model.is_resolved(task)));
        for (number, place) in (0..).zip(&model.tables.0) {
            if state.gone.contains(&number) {
                continue;
            }
            // SAFETY: the store is alive, and so is the instance.
            let instance = unsafe { place.instance.get() };
            let id = instance.part(place.part).model_id.get();
            if id.is_some_and(|id| model.instances.is_locked_down(id)) {
                instance.lock();
            }
        }
    }
    // Host code may run when these are dropped: nothing is borrowed here.
    drop(gone);
    let concurrent = &shared.concurrent;
    concurrent.tell_news();
    concurrent.give_up(&ended.host_calls, &ended.parked);
    let (mut error, mut told) = (Some(error), None);
    for call in calls.iter().flatten().filter_map(Known::whole) {
        call.callee().abandon_loans(&mut call.scope.take().take());
        if let (Side::Host(side), Some(first)) = (&call.side, error.take().or_else(|| told.take()))
        {
            told = Some(again(&first));
            side.end(&concurrent.tokens, Ending::Failed(first));
        }
    }
    error
}

/// A call of the host may have been resolved by being cancelled: it is told.
pub(crate) fn cancelled(shared: &StoreShared, task: TaskId) {
    let call = {
        let mut state = shared.drive.state();
        match state.model.is_resolved(task) {
            true => state.calls.remove(task),
            false => None,
        }
    };
    if let Some(call) = call.as_ref().and_then(Known::whole)
        && let Side::Host(side) = &call.side
    {
        shared.concurrent.tell_news();
        side.end(&shared.concurrent.tokens, Ending::Cancelled);
    }
}

/// Runs `work` (a core module's start, a destructor) as a task of `part` that stays on the
/// native stack and can't be suspended: what others do meanwhile is done on top of it, and
/// may go on when it is over, before whoever it was for does.
pub(crate) fn on_native_stack<R>(
    instance: &InstanceData,
    part: ComponentInstanceId,
    by_guest: bool,
    work: impl FnOnce() -> Result<R>,
) -> Result<R> {
    let drive = &instance.shared().drive;
    State::materialize(instance.shared(), instance.store())?;
    let caller = {
        let mut state = drive.0.borrow_mut();
        let callee = Callee {
            instance: state.id(instance, part)?,
            is_async: false,
            abi: Abi::Sync,
        };
        let caller = state.model.current_thread().filter(|_| by_guest);
        let begun = match by_guest {
            true => state.model.call(callee, false),
            false => state.model.call_from_host(callee).map(|(_, effect)| effect),
        };
        // What it has to start is the closure.
        let _ = begun.map_err(|trap| refused(instance, part, trap))?;
        caller
    };
    let result = match (metered(instance, instance.part(part), work), by_guest) {
        (Ok(result), _) => result,
        (Err(error), true) => return Err(error),
        (Err(error), false) => return Err(failed_native(instance, error)),
    };
    let ended = {
        let mut state = drive.0.borrow_mut();
        state.model.begin_sync_return().and_then(|returning| {
            let _ = state.model.finish_return(returning)?;
            state.model.returned()
        })
    };
    let effect = ended.map_err(|trap| refused(instance, part, trap))?;
    let _slots = caller.map(|caller| SlotsBelow::of(instance, caller));
    match (perform_until(instance, &effect, caller), by_guest) {
        (Ok(None), true) => Err(Error::new(helve_base::Trap::Deadlock)),
        (Ok(_), _) => Ok(result),
        (Err(error), true) => Err(error),
        (Err(error), false) => Err(failed_native(instance, error)),
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
    if state.model.readings().no_donuts {
        let id = state.id(from, caller.options.owner)?;
        if state.model.instances.related(id, callee.instance) {
            return Err(cannot_enter());
        }
    }
    let effect = state.model.call(callee, is_async);
    let effect = effect.map_err(|trap| refused(from, caller.options.owner, trap))?;
    let call = Call {
        callee: NonNull::from(instance),
        lifted: NonNull::from(lifted),
        side: Side::Guest {
            caller: caller.clone(),
            lanes: lanes.into(),
        },
        scope: RefCell::default(),
        lent: RefCell::default(),
        origin: Origin::new(instance, lifted, &from.part(caller.options.owner).path),
    };
    let task = state.model.last_task();
    let task = task.ok_or_else(|| Error::new(Bug("a call without a task".into())))?;
    state.calls.insert(task, Known::Whole(call.into()));
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
pub(super) fn arguments(call: &Known, lanes: &mut [Lane]) -> Result<()> {
    let Some(call) = call.whole() else {
        return Err(Error::new(Bug("arguments that were moved already".into())));
    };
    let callee = call.callee();
    let options = &call.lifted().options;
    match &call.side {
        Side::Host(side) => with_scope(&call.scope, |scope| {
            let mut into = LowerContext::new(options, callee, scope);
            let tokens = &callee.shared().concurrent.tokens;
            side.lower(tokens, &call.lifted().shape, &mut into, lanes)
        }),
        Side::Guest {
            caller,
            lanes: from,
        } => {
            if let Some(adapter) = caller.adapter.get() {
                for (to, from) in lanes.iter_mut().zip(from) {
                    *to = *from;
                }
                // SAFETY: the store is alive, and this thread's.
                return unsafe { adapter.get() }.move_params(lanes);
            }
            let from_call = host_call(caller);
            let history = callee.shared().history.known();
            let _called = History::called_at(history, call.origin.as_deref());
            let params = &caller.shape.programs.params;
            let mut vals = Vals::new();
            with_scope(&call.lent, |lent| {
                value::lift_passed(&mut from_call.lifting(lent), params, from, &mut vals)
            })?;
            let params = &call.lifted().shape.programs.params;
            with_scope(&call.scope, |scope| {
                let mut into = LowerContext::new(options, callee, scope);
                value::lower_passed(&mut into, params, &vals, lanes)
            })
        }
    }
}

/// The arguments of a call could not be made: a trap, unless that is the host's fault alone,
/// which leaves the guest as it was.
pub(super) fn not_begun(call: &Known, task: TaskId, error: Error) -> Result<Effect> {
    let Known::Whole(call) = call else {
        return Err(error);
    };
    let (callee, owner) = (call.callee(), call.lifted().owner);
    let Side::Host(side) = &call.side else {
        return Err(error);
    };
    if error.trap().is_some() || error.is::<Bug>() || !callee.part(owner).may_leave.get() {
        return Err(error);
    }
    callee.abandon_loans(&mut call.scope.take().take());
    let effect = {
        let mut state = callee.shared().drive.state();
        state.calls.remove(task);
        state.model.not_begun()
    };
    let tokens = &callee.shared().concurrent.tokens;
    side.end(tokens, Ending::Failed(error));
    effect.map_err(|trap| refused(callee, owner, trap))
}

/// Does something with what a call lends.
fn with_scope<R>(
    kept: &RefCell<KeptScope>,
    work: impl FnOnce(&mut CallScope) -> Result<R>,
) -> Result<R> {
    let mut scope = kept.borrow_mut().take();
    let done = work(&mut scope);
    *kept.borrow_mut() = KeptScope::new(scope);
    done
}

/// What a guest's caller lent stays lent until it knows that the call is over.
pub(super) fn keep_loans(state: &mut State, call: &Known, task: TaskId) -> Result<()> {
    if let Some(By::Guest { subtask, .. }) = state.model.caller_of(task)
        && let Some(call) = call.whole()
    {
        let mut lent = call.lent.borrow_mut().take();
        let loans = state.model.arena.subtask_loans(subtask)?;
        *loans = std::mem::take(&mut lent.loans);
        *call.lent.borrow_mut() = KeptScope::new(lent);
    }
    Ok(())
}

/// A task's result, in `lanes` as its function returned it or gave it to `task.return`,
/// goes to its caller.
pub(super) fn result(call: &Known, lanes: &mut [Lane]) -> Result<Option<Lane>> {
    let call = match call {
        Known::Noted { adapter, to } => {
            // SAFETY: the store is alive, and this thread's.
            let adapter = unsafe { adapter.get() };
            adapter.move_result_to(*to, lanes)?;
            return Ok(None);
        }
        Known::Whole(call) => call,
    };
    if let Side::Guest { caller, lanes: to } = &call.side
        && let Some(adapter) = caller.adapter.get()
    {
        let to = host_call(caller).result_address(to);
        let to = match caller.options.width {
            PointerWidth::P32 => to.u32().into(),
            PointerWidth::P64 => to.u64(),
        };
        // SAFETY: as above.
        let adapter = unsafe { adapter.get() };
        return adapter.move_result(to, lanes).map(Some);
    }
    let callee = call.callee();
    let lifted = call.lifted();
    // SAFETY: lifting runs no guest.
    let memory = lifted
        .options
        .memory
        .map_or(&[][..], |memory| unsafe { memory.bytes() });
    match &call.side {
        Side::Host(side) => with_scope(&call.scope, |scope| {
            let mut from = LiftContext::new(memory, &lifted.options, callee, scope);
            callee.shared().concurrent.tell_news();
            let tokens = &callee.shared().concurrent.tokens;
            side.lift(tokens, &lifted.shape, &mut from, lanes)?;
            callee.end_loans(lifted.owner, scope)?;
            Ok(None)
        }),
        Side::Guest {
            caller,
            lanes: args,
        } => {
            let mut vals = Vals::new();
            let results = &lifted.shape.programs.result;
            with_scope(&call.scope, |scope| {
                let mut from = LiftContext::new(memory, &lifted.options, callee, scope);
                value::lift_passed(&mut from, results, lanes, &mut vals)?;
                callee.end_loans(lifted.owner, scope)
            })?;
            let into_call = host_call(caller);
            let to = into_call.result_address(args);
            with_scope(&call.lent, |lent| {
                let mut into = LowerContext::new(&caller.options, into_call.instance, lent);
                let mut lanes = [Lane::ZERO; LANES];
                let result = &caller.shape.programs.result;
                value::lower_result(&mut into, result, &vals, to, &mut lanes)?;
                into_call.instance.end_loans(caller.options.owner, lent)?;
                Ok(Some(lanes[0]))
            })
        }
    }
}

/// Passes a result on; the model knows then.
pub(super) fn give(
    instance: &InstanceData,
    returning: Returning,
    lanes: &mut [Lane],
) -> Result<()> {
    let drive = &instance.shared().drive;
    let call = drive.0.borrow().calls.get(returning.task).cloned();
    let call = call.ok_or_else(|| Error::new(Bug("a task without a call".into())))?;
    let taken = result(&call, lanes)?;
    let mut state = drive.0.borrow_mut();
    if let (By::Guest { subtask, .. }, Some(lane)) = (returning.to, taken) {
        state.results.insert(subtask, lane);
    }
    state.calls.remove(returning.task);
    match state.model.finish_return(returning) {
        // The thread that gave it goes on.
        Ok(_) => Ok(()),
        Err(trap) => {
            drop(state);
            Err(refused(call.callee(), call.lifted().owner, trap))
        }
    }
}

/// How a function was lifted.
pub(crate) fn abi(is_async: bool, has_callback: bool) -> Abi {
    match (is_async, has_callback) {
        (false, _) => Abi::Sync,
        (true, false) => Abi::Stackful,
        (true, true) => Abi::Callback,
    }
}
