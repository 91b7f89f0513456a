//! Adapters in an instance: their contexts, with everything they point to.
//!
//! ```text
//!  AdapterContext (boxed, as long as its instance)
//!    vm         what the code reads             slot, func_ref   how core code calls it
//!    instance, sides                            what the routines need
//! ```
//!
//! Not here: the code (`code`), the routines (`routines`).
//!
//! # Safety
//!
//! A context points to core functions, memories and flags of its own store and instance,
//! which outlive it or go with it. It is written before compiled code sees it; what it
//! points to changes, it itself does not. So shared references to it are fine while guests
//! run.

use super::code::{Adapter, Movers};
use super::task::{ReturnKey, TaskBox};
use crate::component::call::enter::{CoreFunc, LiftedFunc};
use crate::component::call::lane::Lane;
use crate::component::call::options::CallOptions;
use crate::component::call::scope::CallScope;
use crate::component::drive::call::LANES;
use crate::component::fused::resource::ResourceBox;
use crate::component::fused::routines;
use crate::component::part::Part;
use crate::component::state::{InstanceData, InstancePtr};
use crate::core;
use crate::core::store::StoreOpaque;
use helve_base::adapter::{VMAdapterContext, VMAdapterSide};
use helve_base::vmctx::{CodePtr, VMFuncRef, VMFunctionImport};
use helve_base::{Bug, Error, Result};
use helve_compile::component::{ContextSlots, LiftAbi};
use helve_decode::plan::*;
use std::cell::{Cell, OnceCell, RefCell};
use std::ptr::{NonNull, null, null_mut};

/// What an instance keeps for its adapters.
#[derive(Default)]
pub(crate) struct Fused {
    contexts: RefCell<Vec<ContextBox>>,
    resources: RefCell<Vec<ResourceBox>>,
    tasks: RefCell<Vec<TaskBox>>,
    /// What tells one `task.return` from another.
    pub(super) returns: RefCell<Vec<ReturnKey>>,
    /// Tags of the plan's resource types; 0 while one is not defined yet.
    tags: OnceCell<Box<[Cell<u32>]>>,
    /// Calls that lent without a scope of the store's.
    calls: Cell<u32>,
    /// Scopes of running calls, by number.
    scopes: RefCell<Vec<CallScope>>,
    /// Numbers of scopes that are free.
    free: RefCell<Vec<u32>>,
}

impl Fused {
    /// Keeps what a built-in of resources points to.
    pub(super) fn keep(&self, context: ResourceBox) {
        self.resources.borrow_mut().push(context);
    }

    /// Keeps what a built-in of tasks points to.
    pub(super) fn keep_task(&self, context: TaskBox) {
        self.tasks.borrow_mut().push(context);
    }

    /// The tags of all resource types that are defined by now. An adapter is made after
    /// the types of its function.
    fn tags(&self, instance: &InstanceData) -> *const u32 {
        let count = instance.resources.len();
        let tags = self
            .tags
            .get_or_init(|| (0..count).map(|_| Cell::new(0)).collect());
        for (tag, key) in tags.iter().zip(instance.resources.values()) {
            tag.set(key.get().map_or(0, |key| key.tag()));
        }
        tags.as_ptr().cast()
    }

    /// Bytes that adapters have copied to or from this component instance.
    pub fn copied(&self, part: ComponentInstanceId) -> u64 {
        let contexts = self.contexts.borrow();
        let of_part = contexts.iter().filter_map(|context| {
            // SAFETY: contexts go with the instance; only cells in them change.
            let context = unsafe { context.0.as_ref() };
            let copied = context.vm.copied.get();
            let sides = context.sides.iter();
            sides
                .into_iter()
                .any(|side| side.owner == part)
                .then_some(copied)
        });
        of_part.fold(0, u64::wrapping_add)
    }

    /// A new scope: its number.
    pub fn begin(&self) -> Result<u32> {
        if let Some(number) = self.free.borrow_mut().pop() {
            return Ok(number);
        }
        let mut scopes = self.scopes.borrow_mut();
        let number = u32::try_from(scopes.len());
        let number = number.map_err(|_| Error::msg("too many calls that lend resources"))?;
        scopes.push(CallScope::default());
        Ok(number)
    }

    /// Runs `f` on a scope. Guests must not run meanwhile.
    pub fn with<R>(&self, number: u32, f: impl FnOnce(&mut CallScope) -> Result<R>) -> Result<R> {
        match self.scopes.borrow_mut().get_mut(number as usize) {
            Some(scope) => f(scope),
            None => Err(Error::new(Bug("a scope that was not opened".into()))),
        }
    }

    /// Ends a scope, which is empty.
    pub fn end(&self, number: u32) {
        self.free.borrow_mut().push(number);
    }
}

/// One adapter of one instance.
#[repr(C)]
pub(crate) struct AdapterContext {
    /// First: compiled code's pointer to a context is to this.
    pub vm: VMAdapterContext,
    slot: CodePtr,
    func_ref: VMFuncRef,
    entering: Box<[*mut u8]>,
    pub instance: InstancePtr,
    /// The caller's and the callee's options.
    pub sides: [CallOptions; 2],
    lifted: NonNull<LiftedFunc>,
    /// Whether the caller lowered the function with `async`.
    pub caller_async: bool,
    /// Whether calls keep what the context slots of the callee's instance were.
    pub keeps_slots: bool,
    /// Whether the caller gets the result through its memory.
    result_in_memory: bool,
    movers: Option<[CoreFunc; 2]>,
    mover_refs: [VMFuncRef; 2],
}

/// A context by address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdapterPtr(NonNull<AdapterContext>);

// SAFETY: only followed with the instance's store at hand, by the thread that has it.
unsafe impl Send for AdapterPtr {}
// SAFETY: as above.
unsafe impl Sync for AdapterPtr {}

impl AdapterPtr {
    /// The context.
    ///
    /// # Safety
    ///
    /// Its store must be alive for `'a`, and on this thread.
    pub unsafe fn get<'a>(self) -> &'a AdapterContext {
        // SAFETY: contexts live as long as their instance, and only cells in them change.
        unsafe { self.0.as_ref() }
    }
}

impl AdapterContext {
    /// Its address.
    pub fn ptr(&self) -> AdapterPtr {
        AdapterPtr(NonNull::from(self))
    }

    /// The function that it calls.
    pub fn lifted(&self) -> &LiftedFunc {
        // SAFETY: it stays where it is as long as the instance.
        unsafe { self.lifted.as_ref() }
    }

    /// How many places the callee's arguments, or results, take in an argument array.
    pub fn lanes(&self) -> usize {
        self.lifted().shape.lanes.clamp(1, LANES)
    }

    /// Moves the parameters of a call: lanes of the caller become lanes of the callee.
    pub fn move_params(&self, lanes: &mut [Lane]) -> Result<()> {
        self.move_by(1, lanes)
    }

    /// Moves a result in `lanes` to the caller: to `to` in its memory, or into the lane that
    /// is the answer.
    pub fn move_result(&self, to: u64, lanes: &mut [Lane]) -> Result<Lane> {
        let mut answer = Lane::ZERO;
        let place = match self.result_in_memory {
            true => to,
            false => (&raw mut answer).addr() as u64,
        };
        // The code writes through the number.
        let _ = (&raw mut answer).expose_provenance();
        self.move_result_to(place, lanes)?;
        Ok(answer)
    }

    /// The same, to an address of the host's where it does not go through memory.
    pub fn move_result_to(&self, to: u64, lanes: &mut [Lane]) -> Result<()> {
        self.vm.to.set(to);
        self.move_by(0, lanes)
    }

    fn move_by(&self, which: usize, lanes: &mut [Lane]) -> Result<()> {
        let Some(movers) = self.movers else {
            return Err(Error::new(Bug("a call without code to move values".into())));
        };
        movers[which].call(self.instance().store(), lanes)
    }
    /// The instance.
    pub fn instance(&self) -> &InstanceData {
        // SAFETY: the context belongs to it, and so do the routines that ask.
        unsafe { self.instance.get() }
    }
}

/// Owns a context without claiming to be its only pointer.
struct ContextBox(NonNull<AdapterContext>);

impl Drop for ContextBox {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`; the instance is going, so no code runs.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The core function of a lowered function that has an adapter.
pub(crate) fn make(
    instance: &InstanceData,
    store: &mut StoreOpaque,
    id: LoweredId,
    adapter: &Adapter,
) -> Result<core::Func> {
    let slow = match adapter.code.is_none() || adapter.shape.gate {
        true => Some(instance.make_slow(store, id)?),
        false => None,
    };
    let slow_import = slow.as_ref().map_or(NO_FUNCTION, |(func, _)| import(*func));
    let context = new_context(instance, store, id, (adapter, slow_import))?;
    let context = Box::into_raw(Box::new(context));
    // SAFETY: just made; nobody else has the pointer yet.
    let ptr = unsafe {
        debug_assert_eq!((*context).entering.as_ptr(), (*context).vm.entering);
        let kept = ContextBox(NonNull::new_unchecked(context));
        instance.fused.contexts.borrow_mut().push(kept);
        (*context).func_ref.slot = &raw const (*context).slot;
        (*context).func_ref.vmctx = context.cast();
        if let Some(movers) = adapter.movers {
            (*context).movers = Some(mover_functions(store, context, movers)?);
        }
        NonNull::new_unchecked(&raw mut (*context).func_ref)
    };
    let func = core::Func {
        store: store.id(),
        ptr,
    };
    let Some((slow, caller)) = slow else {
        return Ok(func);
    };
    if let (Some(caller), Some(context)) = (caller, NonNull::new(context)) {
        // Calls that go the slow way use its code for values, but for what a task borrows,
        // which only the store counts.
        let types = instance.types();
        let mut params = types[caller.shape.ty].params.iter();
        if !params.any(|(_, ty)| types.contains_borrow(*ty)) {
            let _ = caller.adapter.set(AdapterPtr(context));
        }
    }
    Ok(match adapter.code {
        Some(_) => func,
        None => slow,
    })
}

/// A context but for what points into itself.
fn new_context(
    instance: &InstanceData,
    store: &mut StoreOpaque,
    id: LoweredId,
    (adapter, slow): (&Adapter, VMFunctionImport),
) -> Result<AdapterContext> {
    let plan = instance.plan();
    let (lowered, lifted) = (&plan.lowered[id], &plan.lifted[adapter.lifted]);
    let sides = [
        instance.call_options(store, lowered.options, lowered.owner)?,
        instance.call_options(store, lifted.options, lifted.owner)?,
    ];
    let entering: Box<[*mut u8]> = adapter
        .entering
        .iter()
        .map(|id| instance.part(*id).may_enter.as_ptr().cast())
        .collect();
    let func_ref = VMFuncRef {
        slot: null(),
        vmctx: null_mut(),
        type_id: adapter.type_id.as_u32(),
    };
    let lifted = NonNull::from(instance.lifted_func(store, adapter.lifted)?);
    Ok(AdapterContext {
        vm: vm_context(instance, store, (id, adapter), (&sides, &entering, slow))?,
        slot: adapter.code.unwrap_or(null()),
        func_ref,
        entering,
        instance: instance.ptr(),
        sides,
        lifted,
        caller_async: adapter.shape.caller_async,
        keeps_slots: adapter.shape.slots == ContextSlots::Saved,
        result_in_memory: adapter.shape.result_in_memory(&plan.types),
        movers: None,
        mover_refs: [func_ref; 2],
    })
}

/// What the code reads.
fn vm_context(
    instance: &InstanceData,
    store: &mut StoreOpaque,
    (id, adapter): (LoweredId, &Adapter),
    (sides, entering, slow): (&[CallOptions; 2], &[*mut u8], VMFunctionImport),
) -> Result<VMAdapterContext> {
    let plan = instance.plan();
    let (lowered, lifted) = (&plan.lowered[id], &plan.lifted[adapter.lifted]);
    let options = [lowered.options, lifted.options].map(|id| &plan.options[id]);
    let mut vm_sides = [NO_SIDE; 2];
    for ((to, resolved), options) in vm_sides.iter_mut().zip(sides).zip(options) {
        *to = side(instance, store, resolved, options)?;
    }
    let result = plan.types[lifted.ty].result;
    let key = match adapter.shape.abi {
        LiftAbi::Sync => 0,
        _ => super::task::key(instance, lifted.owner, result, &sides[1]),
    };
    let mover = |which: fn(&Movers) -> CodePtr| adapter.movers.as_ref().map_or(null(), which);
    Ok(VMAdapterContext {
        store: store.ptr().vm(),
        builtins: routines::array(),
        subprograms: instance.component.fused().subprograms(),
        callee: function(instance, store, Some(&lifted.core))?,
        post_return: function(instance, store, options[1].post_return.as_ref())?,
        sides: vm_sides,
        entering: entering.as_ptr(),
        tags: instance.fused.tags(instance),
        calls: instance.fused.calls.as_ptr(),
        slow,
        gate: instance.part(lifted.owner).gate.as_ptr(),
        to: Cell::new(0),
        move_result: mover(|movers| movers.result),
        move_params: mover(|movers| movers.params),
        copied: Cell::new(0),
        task_return: key,
    })
}

/// The code that moves values as functions that can be called with the context.
///
/// # Safety
///
/// The context is new, and will stay where it is.
unsafe fn mover_functions(
    store: &StoreOpaque,
    context: *mut AdapterContext,
    movers: Movers,
) -> Result<[CoreFunc; 2]> {
    let [result, params] =
        [movers.result_type, movers.params_type].map(|ty| store.engine().entry_trampoline(ty));
    // SAFETY: by contract; what they point to are fields of the context.
    let [first, second] = unsafe {
        let slots = [
            &raw const (*context).vm.move_result,
            &raw const (*context).vm.move_params,
        ];
        for (at, slot) in slots.into_iter().enumerate() {
            (*context).mover_refs[at].slot = slot;
            (*context).mover_refs[at].vmctx = context.cast();
        }
        [
            NonNull::new_unchecked(&raw mut (*context).mover_refs[0]),
            NonNull::new_unchecked(&raw mut (*context).mover_refs[1]),
        ]
    };
    Ok([
        CoreFunc::from_parts(first, result?),
        CoreFunc::from_parts(second, params?),
    ])
}

/// A function as generated code imports it.
pub(crate) fn import(func: core::Func) -> VMFunctionImport {
    // SAFETY: a function of the instance's store, which is borrowed.
    let VMFuncRef { slot, vmctx, .. } = unsafe { *func.ptr.as_ptr() };
    VMFunctionImport { slot, vmctx }
}

const NO_FUNCTION: VMFunctionImport = VMFunctionImport {
    slot: null(),
    vmctx: null_mut(),
};

const NO_SIDE: VMAdapterSide = VMAdapterSide {
    memory: null_mut(),
    realloc: NO_FUNCTION,
    may_leave: null_mut(),
    context: null_mut(),
    hot: null_mut(),
};

fn side(
    instance: &InstanceData,
    store: &mut StoreOpaque,
    resolved: &CallOptions,
    options: &CanonicalOptions,
) -> Result<VMAdapterSide> {
    let part: &Part = instance.part(resolved.owner);
    Ok(VMAdapterSide {
        memory: resolved.memory.map_or(null_mut(), |memory| memory.as_ptr()),
        realloc: function(instance, store, options.realloc.as_ref())?,
        may_leave: part.may_leave.as_ptr().cast(),
        context: part.context.as_ptr().cast(),
        hot: part.hot().as_ptr().cast(),
    })
}

fn function(
    instance: &InstanceData,
    store: &mut StoreOpaque,
    def: Option<&CoreDef>,
) -> Result<VMFunctionImport> {
    let Some(def) = def else {
        return Ok(NO_FUNCTION);
    };
    instance.touch_owner(store, def);
    match instance.core_def(store, def)? {
        core::Extern::Func(func) => Ok(import(func)),
        _ => Err(Error::new(Bug(
            "a core definition that is no function".into()
        ))),
    }
}
