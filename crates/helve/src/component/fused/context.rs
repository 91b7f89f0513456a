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

use crate::component::call::options::CallOptions;
use crate::component::call::scope::CallScope;
use crate::component::fused::resource::ResourceBox;
use crate::component::fused::routines;
use crate::component::part::Part;
use crate::component::state::{InstanceData, InstancePtr};
use crate::core;
use crate::core::store::StoreOpaque;
use helve_base::adapter::{VMAdapterContext, VMAdapterSide};
use helve_base::vmctx::{CodePtr, VMFuncRef, VMFunctionImport};
use helve_base::{Bug, Error, Result};
use helve_decode::plan::*;
use std::cell::{Cell, OnceCell, RefCell};
use std::ptr::{NonNull, null, null_mut};

/// What an instance keeps for its adapters.
#[derive(Default)]
pub(crate) struct Fused {
    contexts: RefCell<Vec<ContextBox>>,
    resources: RefCell<Vec<ResourceBox>>,
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
pub(super) struct AdapterContext {
    /// First: compiled code's pointer to a context is to this.
    pub vm: VMAdapterContext,
    slot: CodePtr,
    func_ref: VMFuncRef,
    entering: Box<[*mut u8]>,
    instance: InstancePtr,
    /// The caller's and the callee's options.
    pub sides: [CallOptions; 2],
}

impl AdapterContext {
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
) -> Result<Option<core::Func>> {
    let Some(adapter) = instance.component.fused().adapter(id) else {
        return Ok(None);
    };
    let plan = instance.plan();
    let (lowered, lifted) = (&plan.lowered[id], &plan.lifted[adapter.lifted]);
    let sides = [
        instance.call_options(store, lowered.options, lowered.owner)?,
        instance.call_options(store, lifted.options, lifted.owner)?,
    ];
    let options = [lowered.options, lifted.options].map(|id| &plan.options[id]);
    let mut vm_sides = [NO_SIDE; 2];
    for ((to, resolved), options) in vm_sides.iter_mut().zip(&sides).zip(options) {
        *to = side(instance, store, resolved, options)?;
    }
    let entering: Box<[*mut u8]> = adapter
        .entering
        .iter()
        .map(|id| instance.part(*id).may_enter.as_ptr().cast())
        .collect();
    let vm = VMAdapterContext {
        store: store.ptr().vm(),
        builtins: routines::array(),
        subprograms: instance.component.fused().subprograms(),
        callee: function(instance, store, Some(&lifted.core))?,
        post_return: function(instance, store, options[1].post_return.as_ref())?,
        sides: vm_sides,
        entering: entering.as_ptr(),
        tags: instance.fused.tags(instance),
        calls: instance.fused.calls.as_ptr(),
    };
    let context = Box::into_raw(Box::new(AdapterContext {
        vm,
        slot: adapter.code,
        func_ref: VMFuncRef {
            slot: null(),
            vmctx: null_mut(),
            type_id: adapter.type_id.as_u32(),
        },
        entering,
        instance: instance.ptr(),
        sides,
    }));
    // SAFETY: just made; nobody else has the pointer yet.
    let ptr = unsafe {
        debug_assert_eq!((*context).entering.as_ptr(), (*context).vm.entering);
        (*context).func_ref.slot = &raw const (*context).slot;
        (*context).func_ref.vmctx = context.cast();
        let kept = ContextBox(NonNull::new_unchecked(context));
        instance.fused.contexts.borrow_mut().push(kept);
        NonNull::new_unchecked(&raw mut (*context).func_ref)
    };
    Ok(Some(core::Func {
        store: store.id(),
        ptr,
    }))
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
    match instance.core_def(store, def)? {
        core::Extern::Func(func) => {
            // SAFETY: a function of this store.
            let VMFuncRef { slot, vmctx, .. } = unsafe { *func.ptr.as_ptr() };
            Ok(VMFunctionImport { slot, vmctx })
        }
        _ => Err(Error::new(Bug(
            "a core definition that is no function".into()
        ))),
    }
}
