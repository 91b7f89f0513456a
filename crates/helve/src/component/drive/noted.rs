//! Calls that adapters have noted on their stacks, and what comes after their callees.
//!
//! ```text
//!   stack:  A --adapter, record--> B --adapter, record--> C --built-in-->
//!   model:  A                                               must know who asks
//!                       materialize: A, B, C, outermost first
//! ```
//!
//! A record whose thread the model knows says so; all before it are known then. So looking
//! costs nothing where nothing is new. Not here: the adapters' code
//! (`helve_compile::component`), their contexts (`fused::context`).
//!
//! # Safety
//!
//! Records stand in the frames of adapters that have not returned: on the stack that runs,
//! or on the one of a fiber that is suspended. The head of the list is the store's; entering,
//! leaving and switching stacks keep it right.

use super::builtins::answer_to;
use super::call::{Call, Side};
use super::{Reply, State, refused};
use crate::component::call::lane::Lane;
use crate::component::fused::AdapterContext;
use crate::component::part::Part;
use crate::component::store::StoreShared;
use crate::core::store::StorePtr;
use helve_base::adapter::VMCallRecord;
use helve_base::{Bug, Error, Result};
use helve_model::{Abi, Callee};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::ptr::NonNull;
use std::task::Poll;

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
            let thread = state.adopt(context, (*record).returned != 0, (*record).to)?;
            (*record).thread = thread;
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
        if lifted.abi != Abi::Sync {
            if let Some(callback) = lifted.callback {
                self.callbacks.insert(task, callback);
            }
            if !returned {
                let call = Call {
                    callee: NonNull::from(instance),
                    lifted: NonNull::from(lifted),
                    side: Side::Noted {
                        adapter: context.ptr(),
                        to,
                    },
                    scope: RefCell::default(),
                    lent: RefCell::default(),
                };
                self.calls.insert(task, call.into());
            }
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
) -> Result<Poll<()>> {
    let (instance, lifted) = (context.instance(), context.lifted());
    let shared = instance.shared();
    State::materialize(shared, instance.store())?;
    let trap = |trap| refused(instance, lifted.owner, trap);
    let effect = {
        let mut state = shared.drive.state();
        let state = &mut *state;
        state.asker = state.model.calling_thread();
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
        } else {
            let returning = state.model.begin_sync_return().map_err(trap)?;
            let _ = state.model.finish_return(returning).map_err(trap)?;
            state.model.returned().map_err(trap)?
        }
    };
    let lanes = out;
    answer_to(instance, effect, Reply { lanes, event: None })
}

/// The context slots of all parts that noted calls on a suspended stack are in.
pub(super) fn contexts(head: *mut u8) -> Contexts {
    let mut contexts = Contexts::new();
    let mut at = head.cast::<VMCallRecord>();
    while !at.is_null() {
        // SAFETY: see the module.
        let context = unsafe { &*(*at).context.cast::<AdapterContext>() };
        let part = context.instance().part(context.lifted().owner);
        contexts.push((NonNull::from(part), part.context.get()));
        // SAFETY: as above.
        at = unsafe { (*at).previous };
    }
    contexts
}

/// They are as they were.
pub(super) fn restore(contexts: &Contexts) {
    for (part, slots) in contexts {
        // SAFETY: parts live as long as their store.
        unsafe { part.as_ref() }.context.set(*slots);
    }
}
