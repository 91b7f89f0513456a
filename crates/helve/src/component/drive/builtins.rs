//! The built-ins and calls of components with tasks, as host functions that may suspend.
//!
//! ```text
//!   guest -> host trampoline -> run: the model's answer
//!     the same thread goes on     reply in the lanes, RETURNED
//!     anything else               handed over, SUSPEND; `run` replies when it is due
//! ```
//!
//! # Safety
//!
//! As for `builtins` of components without tasks: compiled code of the store calls. The
//! argument array stands in the trampoline's frame, which stays while its fiber does.

use super::answer::{answer_now, answer_to};
use super::call::{self, from_guest};
use super::copy::{About, Ends};
use super::{Handed, Reply, State, direct, end_builtins, refused};
use crate::component::call::enter::CoreFunc;
use crate::component::call::host::Caller;
use crate::component::call::lane::Lane;
use crate::component::call::memory::GuestMemory;
use crate::component::call::options::CallOptions;
use crate::component::call::scope::CallScope;
use crate::component::concurrent;
use crate::component::concurrent::pipe::Side;
use crate::component::func::Func;
use crate::component::fused;
use crate::component::history::History;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::part::Part;
use crate::component::state::{InstanceData, InstancePtr};
use crate::component::store::StoreShared;
use crate::core;
use crate::core::store::{StoreOpaque, StorePtr};
use helve_abi::canon::CanonBuiltin;
use helve_abi::types::InterfaceType;
use helve_base::core_type::FuncType;
use helve_base::vmctx::{HostCall, VMHostContext, ValRaw};
use helve_base::{Bug, Error, Result, Trap};
use helve_decode::plan::*;
use helve_model::{CopyJob, Direction, Effect, EndType, Shape, TaskId, TypeId, WaitableId};
use helve_vm::traps::host_call_waiting;
use std::ptr::NonNull;
use std::sync::Arc;

/// What one imported core function does.
pub(super) enum Kind {
    Builtin {
        op: CanonBuiltin,
        options: CallOptions,
        is_async: bool,
        /// What it copies, if it does.
        ends: u32,
        table: Option<core::Table>,
    },
    /// A call of a guest.
    Lowered {
        caller: Arc<Caller>,
        callee: Func,
        is_async: bool,
    },
}

pub(super) struct Function {
    pub(super) instance: InstancePtr,
    pub(super) owner: ComponentInstanceId,
    /// The owner itself.
    pub(super) here: Here,
    /// Places in the argument array.
    pub(super) slots: usize,
    kind: Kind,
    /// Of `task.return`: the number of its type and options (see `fused::task`), or 0.
    pub(super) return_key: u32,
    /// What it copies, if it does.
    pub(super) about: Option<About>,
}

/// A part of an instance and what its store shares, without a search: both live as long as
/// the instance.
#[derive(Clone, Copy)]
pub(super) struct Here {
    part: NonNull<Part>,
    shared: NonNull<StoreShared>,
}

// SAFETY: only followed with the store at hand.
unsafe impl Send for Here {}
// SAFETY: as above.
unsafe impl Sync for Here {}

impl Here {
    fn of(instance: &InstanceData, owner: ComponentInstanceId) -> Here {
        Here {
            part: NonNull::from(instance.part(owner)),
            shared: NonNull::from(instance.shared()),
        }
    }

    /// # Safety
    ///
    /// The instance is alive, and its store at hand.
    #[inline(always)]
    pub unsafe fn get<'a>(self) -> (&'a Part, &'a StoreShared) {
        // SAFETY: by contract.
        unsafe { (self.part.as_ref(), self.shared.as_ref()) }
    }
}

fn make(
    store: &mut StoreOpaque,
    ty: &FuncType,
    mut function: Function,
    call: HostCall,
) -> Result<core::Func> {
    function.slots = ty.params.len().max(ty.results.len());
    let host =
        core::host::HostFunc::from_parts(store.engine(), ty, false, call, Arc::new(function));
    core::Func::from_host(store, &host)
}

/// The core function of a built-in.
pub(crate) fn builtin(
    instance: &InstanceData,
    store: &mut StoreOpaque,
    id: CanonBuiltinId,
) -> Result<core::Func> {
    let BuiltinDef {
        op, options, owner, ..
    } = &instance.plan().builtins[id];
    let canon = &instance.plan().options[*options];
    let (params, results) = op.signature(instance.types(), canon.width);
    let options = instance.call_options(store, *options, *owner)?;
    let table = match &instance.plan().builtins[id].table {
        Some(def) => Some(instance.core_table(store, def)?),
        None => None,
    };
    let about = Ends::register(instance, &options, op, canon.is_async)?;
    // Where somebody wants to see what they do, all go the same way.
    let call = match store.engine().config().has_slow_calls() {
        true => None,
        false => direct::entry(*op).or_else(|| end_builtins::entry(*op, about.as_ref())),
    };
    let return_key = match *op {
        CanonBuiltin::TaskReturn { result } if call.is_some() => {
            fused::return_key(instance, *owner, result, &options)
        }
        _ => 0,
    };
    let function = Function {
        instance: instance.ptr(),
        owner: *owner,
        here: Here::of(instance, *owner),
        slots: 0,
        return_key,
        about,
        kind: Kind::Builtin {
            op: *op,
            options,
            is_async: canon.is_async,
            ends: about.map_or(0, |about| about.number),
            table,
        },
    };
    make(
        store,
        &FuncType::new(params.core(), results.core()),
        function,
        call.unwrap_or(enter),
    )
}

/// The core function of a call of a guest.
pub(crate) fn lowered(
    store: &mut StoreOpaque,
    caller: Arc<Caller>,
    callee: Func,
    is_async: bool,
) -> Result<core::Func> {
    let ty = caller.shape.programs.signature.core();
    // SAFETY: it is being made, in its store.
    let here = Here::of(unsafe { caller.instance.get() }, caller.options.owner);
    let function = Function {
        instance: caller.instance,
        owner: caller.options.owner,
        here,
        slots: 0,
        return_key: 0,
        about: None,
        kind: Kind::Lowered {
            caller,
            callee,
            is_async,
        },
    };
    make(store, &ty, function, enter)
}

/// The `HostCall` of all of these.
///
/// # Safety
///
/// Called by a host trampoline with the context of such a function, and its arguments.
unsafe extern "C" fn enter(context: *mut VMHostContext, args: *mut ValRaw) -> u32 {
    // SAFETY: by contract.
    unsafe {
        let vm = (*context).store;
        let function = &*(*context).data.cast::<Function>();
        host_call_waiting(vm, |waits| {
            let lanes = std::slice::from_raw_parts_mut(args.cast::<Lane>(), function.slots);
            function.run(StorePtr::from_vm(vm), lanes, waits)
        })
    }
}

impl Function {
    /// Does what it does, in whatever way.
    #[inline(never)]
    pub(super) fn run(&self, store: StorePtr, lanes: &mut [Lane], waits: &mut bool) -> Result<()> {
        // SAFETY: see the module.
        let instance = unsafe { self.instance.get() };
        State::materialize(instance.shared(), store)?;
        let mut to = Reply {
            lanes: lanes.as_mut_ptr(),
            event: None,
        };
        let effect = match &self.kind {
            Kind::Lowered {
                caller,
                callee,
                is_async,
            } => {
                instance.part(self.owner).check_leave()?;
                // SAFETY: in a host call nothing borrows from the store.
                let callee = callee.resolve(unsafe { store.get() })?;
                let mut state = instance.shared().drive.0.borrow_mut();
                state.asker = state.model.current_thread();
                from_guest(&mut state, caller, callee, lanes, *is_async)?
            }
            Kind::Builtin { op, .. } => {
                let history = instance.shared().history.known();
                let _by = History::during(history, op.name());
                let mut later = None;
                self.ask(instance, store, lanes, (&mut to, &mut later))?;
                match later {
                    None => return Ok(()),
                    Some(effect) => effect,
                }
            }
        };
        answer_to(instance, &effect, to, waits)
    }

    /// Does what a built-in does. What is left of it is `later`'s; else its reply is given.
    fn ask(
        &self,
        instance: &InstanceData,
        store: StorePtr,
        lanes: &mut [Lane],
        (to, later): (&mut Reply, &mut Option<Effect>),
    ) -> Result<()> {
        let Kind::Builtin {
            op, options, table, ..
        } = &self.kind
        else {
            return Err(Error::new(Bug("a call that is a built-in".into())));
        };
        if !matches!(
            op,
            CanonBuiltin::BackpressureInc | CanonBuiltin::BackpressureDec
        ) {
            instance.part(self.owner).check_leave()?;
        }
        let effect = match op {
            CanonBuiltin::TaskReturn { result } => {
                return self.task_return(instance, *result, options, lanes);
            }
            CanonBuiltin::ErrorContextNew => self.error_context_new(instance, lanes)?,
            CanonBuiltin::ErrorContextDebugMessage => {
                self.debug_message(instance, options, lanes)?
            }
            CanonBuiltin::TaskCancel => {
                let shared = instance.shared();
                let task = shared.drive.0.borrow().current_task();
                self.ask_model(instance, lanes, (to, later))?;
                if let Some(task) = task {
                    call::cancelled(shared, task);
                }
                return Ok(());
            }
            op => {
                if let CanonBuiltin::ThreadNewIndirect { .. } = op {
                    self.new_thread(instance, store, table.as_ref(), lanes)?;
                }
                return self.ask_model(instance, lanes, (to, later));
            }
        };
        *later = Some(effect);
        Ok(())
    }

    /// The same of those that the model decides about.
    #[inline]
    fn ask_model(
        &self,
        instance: &InstanceData,
        lanes: &[Lane],
        (to, later): (&mut Reply, &mut Option<Effect>),
    ) -> Result<()> {
        let Kind::Builtin {
            op,
            options,
            is_async,
            ends,
            ..
        } = &self.kind
        else {
            return Err(Error::new(Bug("a call that is a built-in".into())));
        };
        match op {
            CanonBuiltin::WaitableSetWait { .. } | CanonBuiltin::WaitableSetPoll { .. } => {
                let event_at = lanes.get(1).map_or(0, |lane| address(options, *lane));
                to.event = options.memory.map(|memory| (memory, event_at));
            }
            CanonBuiltin::StreamRead { .. } | CanonBuiltin::StreamWrite { .. } => {
                if let Some(payload) = self.at_once(instance, *op, (*is_async, *ends), lanes) {
                    // SAFETY: the array has room for a result.
                    unsafe { to.lanes.write(Lane::from_u32(payload)) };
                    return Ok(());
                }
            }
            _ => {}
        }
        let mut state = instance.shared().drive.0.borrow_mut();
        let mut next = None;
        let begun = self.builtin(&mut state, lanes, *to, &mut next);
        let effect = match (begun, next) {
            (Ok(()), None) => return Ok(()),
            (Ok(()), Some(effect)) => effect,
            (Err(trap), _) => {
                drop(state);
                return Err(refused(instance, self.owner, trap));
            }
        };
        drop(state);
        *later = Some(match effect {
            Effect::CancelHost { subtask, is_async } => {
                self.cancel_host(instance, subtask, is_async)?
            }
            Effect::Copy(job) => {
                let payload = self.copy(instance, job)?;
                // SAFETY: the array has room for a result.
                unsafe { to.lanes.write(Lane::from_u32(payload)) };
                return Ok(());
            }
            effect => effect,
        });
        Ok(())
    }

    /// What a read or write of a stream returns, which a producer or consumer of the host's
    /// could serve at once.
    #[inline]
    fn at_once(
        &self,
        instance: &InstanceData,
        op: CanonBuiltin,
        (is_async, ends): (bool, u32),
        lanes: &[Lane],
    ) -> Option<u32> {
        let direction = match op {
            CanonBuiltin::StreamRead { .. } => Direction::Readable,
            CanonBuiltin::StreamWrite { .. } => Direction::Writable,
            _ => return None,
        };
        let shared = instance.shared();
        if !shared.concurrent.has_pipes() {
            return None;
        }
        let (address, place, count) = {
            let mut state = shared.drive.state();
            if state.model.is_seeded() {
                return None;
            }
            let end = state.ends.end(ends, Shape::Stream, direction);
            let buffer = state.ends.buffer(ends, Shape::Stream, lanes).ok()?;
            let index = lanes.first()?.u32();
            let count = Some(buffer.remain()).filter(|count| *count > 0)?;
            let address = state.model.host_waits(index, end, is_async)?;
            (address, state.place(&buffer).ok()?, count)
        };
        let moved = concurrent::piped::meet(shared, address, &Side::Guest(place), count);
        let completed = helve_model::CopyResult::Completed as u32;
        (moved > 0).then_some(completed | moved << 4)
    }

    /// Elements are copied, then the built-in is over: what it returns.
    pub(super) fn copy(&self, instance: &InstanceData, job: CopyJob) -> Result<u32> {
        let shared = instance.shared();
        let mut state = shared.drive.state();
        let sides = state.model.arena.copy_sides(&job)?;
        if sides.from_instance.is_none() || sides.to_instance.is_none() {
            drop(state);
            concurrent::buffer::perform(shared, &job)?;
            state = shared.drive.state();
        } else if !state.ends.copy_at_once(&sides, job.count)? {
            let copy = state.ends.plan(&sides, job.count)?;
            drop(state);
            copy.perform()?;
            state = shared.drive.state();
        }
        let done = state.model.copied(job);
        drop(state);
        done.map_err(|trap| refused(instance, self.owner, trap))
    }

    /// The options of a built-in that has some.
    fn options(&self) -> Result<&CallOptions> {
        match &self.kind {
            Kind::Builtin { options, .. } => Ok(options),
            _ => Err(Error::new(Bug("a call that is a built-in".into()))),
        }
    }

    /// `error-context.new`: the message is kept as it is.
    fn error_context_new(&self, instance: &InstanceData, lanes: &[Lane]) -> Result<Effect> {
        let options = self.options()?;
        let mut scope = CallScope::default();
        // SAFETY: lifting runs no guest.
        let memory = options
            .memory
            .map_or(&[][..], |memory| unsafe { memory.bytes() });
        let mut cx = LiftContext::new(memory, options, instance, &mut scope);
        let lane = |at: usize| lanes.get(at).map_or(0, |lane| address(options, *lane));
        let message = cx.lift_string((lane(0), lane(1)))?;
        let mut state = instance.shared().drive.0.borrow_mut();
        state.asker = state.model.current_thread();
        let made = state.model.error_context_new(&message);
        made.map_err(|trap| refused(instance, self.owner, trap))
    }

    /// `error-context.debug-message`: the message goes to new memory of the guest's.
    fn debug_message(
        &self,
        instance: &InstanceData,
        options: &CallOptions,
        lanes: &[Lane],
    ) -> Result<Effect> {
        let trap = |trap| refused(instance, self.owner, trap);
        let index = lanes.first().map_or(0, |lane| lane.u32());
        let message = {
            let mut state = instance.shared().drive.0.borrow_mut();
            state.asker = state.model.current_thread();
            let id = state.model.error_context(index).map_err(trap)?;
            let message = state.model.arena.context_message(id);
            message.map_err(|error| trap(error.into()))?.to_owned()
        };
        let mut scope = CallScope::default();
        let mut cx = LowerContext::new(options, instance, &mut scope);
        let at = lanes.get(1).map_or(0, |lane| address(options, *lane));
        let width = options.width.bytes();
        let pair = cx.lower_string(&message)?;
        let at = cx.check_value(at, 2 * width, width)?;
        cx.put_pair(at, pair)?;
        let state = instance.shared().drive.0.borrow();
        state.model.nothing_more().map_err(trap)
    }

    /// A guest asks to cancel a call of a host function: its future is dropped.
    fn cancel_host(
        &self,
        instance: &InstanceData,
        subtask: WaitableId,
        is_async: bool,
    ) -> Result<Effect> {
        let shared = instance.shared();
        let gone = shared.concurrent.cancel(subtask);
        let mut state = shared.drive.0.borrow_mut();
        let done = match gone {
            true => state.model.resolve_host_call(subtask, true),
            false => Ok(()),
        };
        done.and_then(|()| state.model.finish_host_cancel(subtask, is_async))
            .map_err(|trap| refused(instance, self.owner, trap))
    }

    fn task_return(
        &self,
        instance: &InstanceData,
        result: Option<InterfaceType>,
        options: &CallOptions,
        lanes: &mut [Lane],
    ) -> Result<()> {
        let drive = &instance.shared().drive;
        let trap = |trap| refused(instance, self.owner, trap);
        let returning = {
            let mut state = drive.0.borrow_mut();
            state.asker = state.model.current_thread();
            let call = state.current_task();
            let call = call.and_then(|task| state.calls.get(task));
            let matches = call.is_none_or(|call| {
                let lifted = call.lifted();
                let ty = call.callee().types()[lifted.shape.ty].result;
                ty == result
                    // Without a memory nothing depends on the options.
                    && options.memory.is_none_or(|memory| {
                        lifted.options.encoding == options.encoding
                            && lifted.options.memory.map(|memory| memory.as_ptr())
                                == Some(memory.as_ptr())
                    })
            });
            state.model.begin_task_return(matches).map_err(trap)?
        };
        call::give(instance, returning, lanes)
    }

    /// `task.return`, whichever way its task was called.
    pub(super) fn any_return(&self, instance: &InstanceData, lanes: &mut [Lane]) -> Result<()> {
        match &self.kind {
            Kind::Builtin {
                op: CanonBuiltin::TaskReturn { result },
                options,
                ..
            } => self.task_return(instance, *result, options, lanes),
            _ => Err(Error::new(Bug("a call that is a built-in".into()))),
        }
    }

    /// Where an event goes whose address is this lane.
    pub(super) fn event_place(&self, lane: Option<&Lane>) -> Option<(GuestMemory, u64)> {
        let Kind::Builtin { options, .. } = &self.kind else {
            return None;
        };
        let at = lane.map_or(0, |lane| address(options, *lane));
        options.memory.map(|memory| (memory, at))
    }

    /// Whether its caller can be told to cancel instead.
    pub(super) fn is_cancellable(&self) -> bool {
        use CanonBuiltin::*;
        let Kind::Builtin { op, .. } = &self.kind else {
            return false;
        };
        matches!(
            op,
            WaitableSetWait { cancellable: true }
                | WaitableSetPoll { cancellable: true }
                | ThreadYield { cancellable: true }
        )
    }

    /// Finds the function that `thread.new-indirect` names.
    fn new_thread(
        &self,
        instance: &InstanceData,
        store: StorePtr,
        table: Option<&core::Table>,
        lanes: &[Lane],
    ) -> Result<()> {
        let index = lanes.first().map_or(0, |lane| lane.u32());
        let argument = lanes.get(1).copied().unwrap_or(Lane::ZERO);
        // SAFETY: in a host call nothing borrows from the store.
        let store = unsafe { store.get() };
        let table = table.ok_or_else(|| Error::new(Bug("a thread from no table".into())))?;
        let found = table.get_in(store, index.into())?;
        let crate::core::Ref::Func(Some(func)) = found else {
            return Err(Error::new(Trap::NullFunctionReference));
        };
        let func = CoreFunc::new(store, func)?;
        instance
            .shared()
            .drive
            .0
            .borrow_mut()
            .functions
            .push((func, argument));
        Ok(())
    }

    fn builtin(
        &self,
        state: &mut State,
        lanes: &[Lane],
        to: Reply,
        later: &mut Option<Effect>,
    ) -> std::result::Result<(), helve_model::Trap> {
        use CanonBuiltin::*;
        use Direction::{Readable, Writable};
        let Kind::Builtin {
            op, is_async, ends, ..
        } = &self.kind
        else {
            return Err(helve_model::Trap::Misuse("a call that is a built-in"));
        };
        let (op, is_async, ends) = (*op, *is_async, *ends);
        let n = |at: usize| lanes.get(at).map_or(0, |lane| lane.u32());
        state.asker = state.model.current_thread();
        macro_rules! now {
            ($effect:expr) => {{
                let effect = $effect;
                answer_now(state, effect, to, later)
            }};
        }
        match op {
            StreamNew { .. } | FutureNew { .. } => {
                let (shape, ty, plain) = state.ends.made(ends);
                now!(state.model.copy_new(shape, ty, plain))
            }
            StreamRead { .. } => {
                now!(state.copy(ends, Shape::Stream, Readable, lanes, is_async))
            }
            StreamWrite { .. } => {
                now!(state.copy(ends, Shape::Stream, Writable, lanes, is_async))
            }
            FutureRead { .. } => {
                now!(state.copy(ends, Shape::Future, Readable, lanes, is_async))
            }
            FutureWrite { .. } => {
                now!(state.copy(ends, Shape::Future, Writable, lanes, is_async))
            }
            StreamDropReadable { .. } => now!(state.drop_end(ends, Shape::Stream, Readable, n(0))),
            StreamDropWritable { .. } => now!(state.drop_end(ends, Shape::Stream, Writable, n(0))),
            FutureDropReadable { .. } => now!(state.drop_end(ends, Shape::Future, Readable, n(0))),
            FutureDropWritable { .. } => now!(state.drop_end(ends, Shape::Future, Writable, n(0))),
            op => now!(rare(state, op, ends, lanes)),
        }
    }
}

/// Those that nobody waits for by the thousand.
#[inline(never)]
fn rare(
    state: &mut State,
    op: CanonBuiltin,
    ends: u32,
    lanes: &[Lane],
) -> std::result::Result<Effect, helve_model::Trap> {
    use CanonBuiltin::*;
    use Direction::{Readable, Writable};
    let n = |at: usize| lanes.get(at).map_or(0, |lane| lane.u32());
    let function = state.functions.len() as u64;
    let cancelled = |state: &mut State, shape, direction, is_async| {
        let end = state.ends.end(ends, shape, direction);
        state.model.copy_cancel(n(0), end, is_async)
    };
    let model = &mut state.model;
    match op {
        SubtaskDrop => model.subtask_drop(n(0)),
        WaitableSetNew => model.waitable_set_new(),
        WaitableSetWait { cancellable } => model.waitable_set_wait(n(0), cancellable),
        WaitableSetDrop => model.waitable_set_drop(n(0)),
        WaitableJoin => model.waitable_join(n(0), n(1)),
        BackpressureInc => model.backpressure_inc(),
        BackpressureDec => model.backpressure_dec(),
        TaskCancel => model.task_cancel(),
        SubtaskCancel { is_async } => model.subtask_cancel(n(0), is_async),
        WaitableSetPoll { cancellable } => model.waitable_set_poll(n(0), cancellable),
        ThreadIndex => model.thread_index(),
        ThreadNewIndirect { .. } => model.thread_new_indirect(function.saturating_sub(1)),
        ThreadResumeLater => model.thread_resume_later(n(0)),
        ThreadSuspend { cancellable } => model.thread_suspend(cancellable),
        ThreadYield { cancellable } => model.thread_yield(cancellable),
        ThreadSuspendThenResume { cancellable: c } => model.thread_suspend_then_resume(n(0), c),
        ThreadYieldThenResume { cancellable: c } => model.thread_yield_then_resume(n(0), c),
        ThreadSuspendThenPromote { cancellable: c } => model.thread_suspend_then_promote(n(0), c),
        ThreadYieldThenPromote { cancellable: c } => model.thread_yield_then_promote(n(0), c),
        ErrorContextDrop => model.error_context_drop(n(0)),
        StreamCancelRead { is_async, .. } => cancelled(state, Shape::Stream, Readable, is_async),
        StreamCancelWrite { is_async, .. } => cancelled(state, Shape::Stream, Writable, is_async),
        FutureCancelRead { is_async, .. } => cancelled(state, Shape::Future, Readable, is_async),
        FutureCancelWrite { is_async, .. } => cancelled(state, Shape::Future, Writable, is_async),
        _ => Err(helve_model::Trap::Misuse("a built-in without tasks")),
    }
}

fn address(options: &CallOptions, lane: Lane) -> u64 {
    match options.width {
        helve_abi::layout::PointerWidth::P32 => lane.u32().into(),
        helve_abi::layout::PointerWidth::P64 => lane.u64(),
    }
}

impl State {
    /// The thread that runs asks for something.
    pub(crate) fn asks(&mut self) {
        self.asker = self.model.current_thread();
    }

    /// What is to be done once the guest that runs has suspended, whose lanes get no more.
    pub(crate) fn hand_over(&mut self, effect: Effect, lanes: &mut [Lane]) {
        let lanes = lanes.as_mut_ptr();
        let reply = Reply { lanes, event: None };
        self.handed = Some((Handed::Effect(effect), reply));
    }

    #[inline]
    pub(super) fn current_task(&self) -> Option<TaskId> {
        let thread = self.model.current_thread()?;
        self.model.task_of(thread)
    }

    fn drop_end(
        &mut self,
        ends: u32,
        shape: Shape,
        direction: Direction,
        index: u32,
    ) -> std::result::Result<Effect, helve_model::Trap> {
        let end = self.ends.end(ends, shape, direction);
        self.model.copy_drop(index, end)
    }

    fn copy(
        &mut self,
        ends: u32,
        shape: Shape,
        direction: Direction,
        lanes: &[Lane],
        is_async: bool,
    ) -> std::result::Result<Effect, helve_model::Trap> {
        if !is_async {
            self.model.check_may_block()?;
        }
        let end: EndType = self.ends.end(ends, shape, direction);
        let index = lanes.first().map_or(0, |lane| lane.u32());
        let buffer = self.ends.buffer(ends, shape, lanes)?;
        self.model.copy(index, end, buffer, is_async)
    }
}

/// The model's number of a stream's or future's type: those of one element type must be
/// one.
pub(super) fn type_number(number: usize) -> TypeId {
    TypeId::new(u32::try_from(number + 1).unwrap_or(0)).unwrap_or(TypeId::NONE)
}
