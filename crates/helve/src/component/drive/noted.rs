//! Calls that adapters have noted on their stacks, and what comes after their callees.
//!
//! ```text
//!   stack:  A --adapter, record--> B --adapter, record--> C --built-in-->
//!   model:  A                                               must know who asks
//!                       materialize: A, B, C, outermost first
//! ```
//!
//! A record whose thread the model knows says so; all before it are known then. So looking
//! costs nothing where nothing is new.
//!
//! A call whose callee could block runs it on a fiber right here (`fork`); its record, the
//! outermost there, is in the fiber's frame. Where the callee waits, the caller goes on. Not
//! here: the adapters' code
//! (`helve_compile::component`), their contexts (`fused::context`).
//!
//! # Safety
//!
//! Records stand in the frames of adapters that have not returned: on the stack that runs,
//! or on the one of a fiber that is suspended. The head of the list is the store's; entering,
//! leaving and switching stacks keep it right.

use super::answer::{answer_to, pass_on};
use super::call::Known;
use super::frame::Frame;
use super::run::suspended;
use super::{Handed, Reply, State, refused};
use crate::component::call::lane::Lane;
use crate::component::fused::AdapterContext;
use crate::component::part::Part;
use crate::component::state::InstanceData;
use crate::component::store::StoreShared;
use crate::core::backtrace::component_exit_error;
use crate::core::store::StorePtr;
use helve_base::adapter::VMCallRecord;
use helve_base::{Bug, Error, Result};
use helve_model::{Abi, Callee, Effect, FirstWait, ThreadId};
use helve_vm::fibers::{FiberResult, Suspended};
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};

/// Context slots of parts that stand on a suspended stack.
pub(crate) type Contexts = SmallVec<[(NonNull<Part>, [u64; 2]); 2]>;

impl State {
    /// Makes the model know of every call on the stack that runs.
    #[inline]
    pub(crate) fn materialize(shared: &StoreShared, store: StorePtr) -> Result<()> {
        // SAFETY: a guest of the store has called, or none runs; see the module.
        let head = unsafe { (*store.vm()).calls.cast::<VMCallRecord>() };
        // SAFETY: as above.
        if head.is_null() || unsafe { (*head).thread } != 0 {
            return Ok(());
        }
        materialize_from(shared, head)
    }
}

#[cold]
fn materialize_from(shared: &StoreShared, head: *mut VMCallRecord) -> Result<()> {
    let mut unknown: SmallVec<[*mut VMCallRecord; 8]> = SmallVec::new();
    let mut at = head;
    // SAFETY: see the module.
    while !at.is_null() && unsafe { (*at).thread } == 0 {
        unknown.push(at);
        // SAFETY: as above.
        at = unsafe { (*at).previous };
    }
    let mut state = shared.drive.state();
    for record in unknown.into_iter().rev() {
        // SAFETY: as above; its context is an adapter's, and lives as long as its instance.
        unsafe {
            let context = &*(*record).context.cast::<AdapterContext>();
            let caller = state.model.current_thread();
            let thread = state.adopt(context, (*record).returned != 0, (*record).to)?;
            (*record).thread = thread;
            (*record).caller = caller.map_or(0, |thread| thread.0);
        }
    }
    Ok(())
}

impl State {
    /// One call: 1 more than the number of its thread.
    fn adopt(&mut self, context: &AdapterContext, returned: bool, to: u64) -> Result<u32> {
        let (instance, lifted) = (context.instance(), context.lifted());
        let callee = Callee {
            instance: self.id(instance, lifted.owner)?,
            is_async: lifted.is_async,
            abi: lifted.abi,
        };
        let adopted = self.model.adopt(callee, context.caller_async, returned);
        let (task, thread) = adopted.map_err(|trap| refused(instance, lifted.owner, trap))?;
        if lifted.callback.is_some() {
            self.callbacks.insert(task, NonNull::from(lifted));
        }
        if !returned {
            let adapter = context.ptr();
            self.calls.insert(task, Known::Noted { adapter, to });
        }
        Ok(thread.0 + 1)
    }
}

/// The function of a noted call has returned, `packed` where it has a callback: what the
/// caller gets, in `out`, at once or later.
///
/// # Safety
///
/// `out` has room for a lane until the adapter goes on.
pub(crate) unsafe fn settle(
    context: &AdapterContext,
    packed: u32,
    out: *mut Lane,
    waits: &mut bool,
) -> Result<()> {
    let (instance, lifted) = (context.instance(), context.lifted());
    let shared = instance.shared();
    if lifted.abi == Abi::Callback
        && packed & 15 != 0
        && let Some((_, effect)) = park(context, FirstWait::Callback(packed))?
    {
        // SAFETY: as below.
        unsafe { unlink(instance.store()) };
        let lanes = out;
        return answer_to(instance, &effect, Reply { lanes, event: None }, waits);
    }
    State::materialize(shared, instance.store())?;
    let trap = |trap| refused(instance, lifted.owner, trap);
    let effect = {
        let mut state = shared.drive.state();
        let state = &mut *state;
        // SAFETY: the innermost record is this call's, and known now. The thread below in
        // the model may be another: the callee may have been resumed by somebody else.
        let caller = unsafe { (*(*instance.store().vm()).calls.cast::<VMCallRecord>()).caller };
        state.asker = Some(ThreadId(caller));
        let thread = state.model.current_thread();
        let task = thread.and_then(|thread| state.model.task_of(thread));
        let (Some(thread), Some(task)) = (thread, task) else {
            return Err(Error::new(Bug("a noted call of nobody".into())));
        };
        if lifted.abi == Abi::Callback {
            if let Some(slots) = state.model.context_mut(thread) {
                *slots = instance.part(lifted.owner).context.get();
            }
            let effect = state.model.callback_returned(packed).map_err(trap)?;
            if packed & 15 == 0 {
                state.callbacks.remove(task);
            }
            effect
        } else if lifted.abi == Abi::Stackful {
            state.model.returned().map_err(trap)?
        } else {
            let returning = state.model.begin_sync_return().map_err(trap)?;
            let _ = state.model.finish_return(returning).map_err(trap)?;
            state.calls.remove(task);
            state.model.returned().map_err(trap)?
        }
    };
    // The callee is not on this stack any more.
    // SAFETY: the innermost record is this call's.
    unsafe { unlink(instance.store()) };
    let lanes = out;
    answer_to(instance, &effect, Reply { lanes, event: None }, waits)
}

/// The innermost call on the stack that runs, which is `context`'s, is one that nobody knows
/// yet, and its callee now waits: its task is there from now on. The callee's thread, and what
/// comes next. `None`: it is known, or that is not so simple.
#[inline(always)]
fn park(context: &AdapterContext, first: FirstWait) -> Result<Option<(ThreadId, Effect)>> {
    let (instance, lifted) = (context.instance(), context.lifted());
    let (shared, store) = (instance.shared(), instance.store());
    // SAFETY: the innermost record is this call's.
    let (record, previous, to) = unsafe {
        let record = (*store.vm()).calls.cast::<VMCallRecord>();
        if (*record).thread != 0 || (*record).returned != 0 {
            return Ok(None);
        }
        let previous = (*record).previous.cast::<VMCallRecord>();
        (record, previous, (*record).to)
    };
    // SAFETY: as above.
    if !previous.is_null() && unsafe { (*previous).thread } == 0 {
        materialize_from(shared, previous)?;
    }
    let mut state = shared.drive.state();
    let part = instance.part(lifted.owner);
    let callee = Callee {
        instance: state.id(instance, lifted.owner)?,
        is_async: lifted.is_async,
        abi: lifted.abi,
    };
    let caller = state.model.current_thread();
    let slots = match lifted.abi {
        Abi::Callback => part.context.get(),
        // They are in the part until the stack is left.
        _ => [0; 2],
    };
    let parked = state
        .model
        .adopt_waiting(callee, context.caller_async, (first, slots));
    let parked = parked.map_err(|trap| refused(instance, lifted.owner, trap))?;
    let Some((task, thread, effect)) = parked else {
        return Ok(None);
    };
    // SAFETY: as above.
    unsafe {
        (*record).thread = thread.0 + 1;
        (*record).caller = caller.map_or(0, |thread| thread.0);
    }
    if lifted.callback.is_some() {
        state.callbacks.insert(task, NonNull::from(lifted));
    }
    let adapter = context.ptr();
    state.calls.insert(task, Known::Noted { adapter, to });
    state.asker = caller;
    Ok(Some((thread, effect)))
}

/// The same of a function without a callback, which a built-in lets wait.
pub(super) fn park_stackful(store: StorePtr, first: FirstWait) -> Result<Option<Effect>> {
    // SAFETY: a guest of the store has called; see the module.
    let head = unsafe { (*store.vm()).calls.cast::<VMCallRecord>() };
    if head.is_null() {
        return Ok(None);
    }
    // SAFETY: as above; its context is an adapter's, and lives as long as its instance.
    let context = unsafe { &*(*head).context.cast::<AdapterContext>() };
    if context.lifted().abi != Abi::Stackful {
        return Ok(None);
    }
    let Some((thread, effect)) = park(context, first)? else {
        return Ok(None);
    };
    context.instance().shared().drive.state().asker = Some(thread);
    Ok(Some(effect))
}

/// The innermost call on the stack that runs is noted no longer.
///
/// # Safety
///
/// There is one.
unsafe fn unlink(store: StorePtr) {
    // SAFETY: by contract.
    unsafe {
        let record = (*store.vm()).calls.cast::<VMCallRecord>();
        (*store.vm()).calls = (*record).previous.cast();
    }
}

/// How far a callee came on its own stack.
pub(crate) enum Forked {
    /// Its function has returned: its results are in the array.
    Over,
    /// It waits: the caller's answer is given, or will be once the caller has suspended.
    Waits,
}

/// Runs the callee of a noted call, which could block, on a stack of its own.
///
/// # Safety
///
/// `record` is the innermost one on the stack that runs. `array` has the arguments, and room
/// for a result; `answer` has room for a lane until the adapter goes on.
pub(crate) unsafe fn fork(
    context: &AdapterContext,
    record: *mut VMCallRecord,
    array: *mut Lane,
    (answer, waiting): (*mut Lane, &mut bool),
) -> Result<Forked> {
    let instance = context.instance();
    let (drive, store) = (&instance.shared().drive, instance.store());
    let stack = drive.take_stack(instance)?;
    let frame = Frame::of(&stack);
    // SAFETY: nothing runs on the stack yet; the rest by contract.
    let went = unsafe {
        let lanes = (&raw mut (*frame).lanes).cast::<Lane>();
        std::ptr::copy_nonoverlapping(array, lanes, context.lanes());
        let call = &raw mut (*frame).call;
        call.write(VMCallRecord {
            previous: (*record).previous,
            context: (*record).context,
            thread: 0,
            returned: 0,
            to: (*record).to,
            caller: 0,
            kept: [0; 2],
        });
        let func = context.lifted().core;
        func.enter_on(store, stack, lanes, call.cast())
    };
    match went {
        FiberResult::Done(result, stack) => {
            result.map_err(component_exit_error)?;
            let frame = Frame::of(&stack);
            // SAFETY: nothing runs on the stack any more; the rest by contract.
            unsafe {
                (*record).thread = (*frame).call.thread;
                (*record).returned = (*frame).call.returned;
                (*record).caller = (*frame).call.caller;
                array.write((*frame).lanes[0]);
            }
            drive.put_stack(stack);
            Ok(Forked::Over)
        }
        // SAFETY: by contract.
        FiberResult::Suspended(guest) => unsafe {
            waits(context, guest, (answer, waiting))?;
            Ok(Forked::Waits)
        },
    }
}

/// A forked callee has stopped for the first time: its caller goes on, or waits too.
///
/// # Safety
///
/// As for [`fork`].
unsafe fn waits(
    context: &AdapterContext,
    guest: Suspended,
    (answer, waiting): (*mut Lane, &mut bool),
) -> Result<()> {
    let instance = context.instance();
    let shared = instance.shared();
    // SAFETY: it is suspended.
    let call = unsafe { &raw mut (*Frame::of_suspended(&guest)).call };
    // SAFETY: as above; what it was called by is still below it.
    let (thread, caller) = unsafe {
        if (*call).thread == 0 {
            // It has run for long, and nobody has asked yet.
            materialize_from(shared, guest.calls().cast())?;
        }
        (*call).previous = null_mut();
        unlink(instance.store());
        (ThreadId((*call).thread - 1), ThreadId((*call).caller))
    };
    let next = first_stop(instance, thread, guest)?;
    shared.drive.state().asker = Some(caller);
    let lanes = answer;
    pass_on(instance, next, Reply { lanes, event: None }, waiting)
}

/// What a thread leaves to be done that has stopped for the first time, on a stack of its own
/// that a call below has made: what runs there next has its context slots.
pub(super) fn first_stop(
    instance: &InstanceData,
    thread: ThreadId,
    guest: Suspended,
) -> Result<Handed> {
    let below = kept(&guest);
    let next = suspended(instance, thread, guest);
    restore(&below);
    next
}

/// The context slots of all parts that noted calls on a suspended stack are in, but for the
/// one that the stack is of.
pub(super) fn contexts(guest: &Suspended) -> Contexts {
    let mut contexts = Contexts::new();
    let own = own_call(guest);
    // SAFETY: see the module.
    let calls = unsafe { Calls::from(guest.calls().cast()) };
    for (_, context) in calls.take_while(|(record, _)| *record != own) {
        let part = callee_part(context);
        contexts.push((NonNull::from(part), part.context.get()));
    }
    contexts
}

/// Of parts that were entered once more on a stack that has just been suspended for the
/// first time, the slots that those below it have: outer calls come last.
fn kept(guest: &Suspended) -> Contexts {
    let mut kept = Contexts::new();
    let own = own_call(guest);
    // SAFETY: see the module.
    let calls = unsafe { Calls::from(guest.calls().cast()) };
    for (record, context) in calls.take_while(|(record, _)| *record != own) {
        if context.keeps_slots {
            // SAFETY: see the module.
            kept.push((NonNull::from(callee_part(context)), unsafe {
                (*record).kept
            }));
        }
    }
    kept
}

/// Where the call is noted that a forked callee's stack was made for.
fn own_call(guest: &Suspended) -> *mut VMCallRecord {
    // SAFETY: only its address is taken.
    unsafe { &raw mut (*Frame::of_suspended(guest)).call }
}

fn callee_part(context: &AdapterContext) -> &Part {
    context.instance().part(context.lifted().owner)
}

/// Noted calls, innermost first.
struct Calls<'a>(*mut VMCallRecord, PhantomData<&'a AdapterContext>);

impl Calls<'_> {
    /// # Safety
    ///
    /// `head` is the innermost one on a stack, or null; the stack stays as it is meanwhile.
    unsafe fn from(head: *mut VMCallRecord) -> Self {
        Calls(head, PhantomData)
    }
}

impl<'a> Iterator for Calls<'a> {
    type Item = (*mut VMCallRecord, &'a AdapterContext);

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.0;
        if record.is_null() {
            return None;
        }
        // SAFETY: by the contract of `from`; contexts live as long as their instances.
        unsafe {
            self.0 = (*record).previous;
            Some((record, &*(*record).context.cast::<AdapterContext>()))
        }
    }
}

/// They are as they were.
pub(super) fn restore(contexts: &Contexts) {
    for (part, slots) in contexts {
        // SAFETY: parts live as long as their store.
        unsafe { part.as_ref() }.context.set(*slots);
    }
}

/// Others run on top of a stack that waits, and may enter the instances that are on it: all
/// of these have their context slots again when this is dropped.
pub(super) struct SlotsBelow(Contexts);

impl SlotsBelow {
    /// Of the stack that runs, whose calls are known, and on which `asker` asks.
    pub fn of(instance: &InstanceData, asker: ThreadId) -> SlotsBelow {
        let mut below = Contexts::new();
        let mut outermost = asker;
        // SAFETY: a guest of the store has called: see the module.
        unsafe {
            let head = (*instance.store().vm()).calls.cast::<VMCallRecord>();
            for (record, context) in Calls::from(head) {
                let part = callee_part(context);
                below.push((NonNull::from(part), part.context.get()));
                outermost = ThreadId((*record).caller);
            }
        }
        let state = instance.shared().drive.0.borrow();
        let id = state.model.instance_of(outermost);
        if let Some(part) = id.and_then(|id| state.model.tables.get(id)) {
            below.push((NonNull::from(part), part.context.get()));
        }
        SlotsBelow(below)
    }
}

impl Drop for SlotsBelow {
    fn drop(&mut self) {
        restore(&self.0);
    }
}
