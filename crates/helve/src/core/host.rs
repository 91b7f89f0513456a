//! Host functions as compiled code calls them.
//!
//! ```text
//!  HostFunc (Arc'ed closure, no store)      HostContext (in one store, for one importer)
//!  +--------------------+                   +------------------------------+
//!  | call: HostCall     | --- new_in -----> | vm: VMHostContext            | <- callee's context
//!  | data: the closure  |                   |     store, slot, call, data  |
//!  | type, wants_caller |                   | func_ref: VMFuncRef          | <- Func
//!  +--------------------+                   | importer                     |
//!                                           +------------------------------+
//! ```
//!
//! A call runs: the signature's trampoline, then [`call_closure`], then the closure; it
//! allocates nothing. A function that wants its `Caller` gets one context per importing
//! instance, so that it can find that instance's exports.
//!
//! # Safety
//!
//! A `HostContext` lives as long as its store and keeps its closure alive. It is written
//! before compiled code sees it, and only read from then on.

use crate::core::engine::Engine;
use crate::core::store::{InstanceId, StoreOpaque, StorePtr};
use helve_base::Result;
use helve_base::core_type::FuncType;
use helve_base::id::SharedTypeId;
use helve_base::vmctx::{HostCall, VMFuncRef, VMHostContext, ValRaw};
use helve_vm::traps::host_call;
use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

/// A host function that belongs to no store yet.
#[derive(Clone)]
pub(crate) struct HostFunc {
    /// Its type.
    pub type_id: SharedTypeId,
    /// Whether it is to know who imported it.
    pub wants_caller: bool,
    call: HostCall,
    data: Arc<dyn Any + Send + Sync>,
}

/// Who calls a host function.
#[derive(Clone, Copy)]
pub(crate) struct RawCaller {
    /// The store that the call is in.
    pub store: StorePtr,
    /// The instance that imported the function, where that is known.
    pub importer: Option<InstanceId>,
}

/// What [`call_closure`] finds behind `VMHostContext.data`.
struct Closure<F> {
    slots: usize,
    f: F,
}

impl HostFunc {
    /// A function of type `ty` that runs `f` on its arguments' array, which also takes
    /// the results; it is as long as the longer of the two.
    pub fn new<F>(engine: &Engine, ty: &FuncType, wants_caller: bool, f: F) -> HostFunc
    where
        F: Fn(RawCaller, &mut [ValRaw]) -> Result<()> + Send + Sync + 'static,
    {
        let closure = Closure {
            slots: ty.params.len().max(ty.results.len()),
            f,
        };
        let call = call_closure::<F>;
        HostFunc::from_parts(engine, ty, wants_caller, call, Arc::new(closure))
    }

    /// A function that runs `call`, whose context's `data` points into `data`.
    pub fn from_parts(
        engine: &Engine,
        ty: &FuncType,
        wants_caller: bool,
        call: HostCall,
        data: Arc<dyn Any + Send + Sync>,
    ) -> HostFunc {
        HostFunc {
            type_id: engine.types().intern(ty),
            wants_caller,
            call,
            data,
        }
    }

    /// A function that compiled code can call, in `store`.
    pub fn new_in(
        &self,
        store: &mut StoreOpaque,
        importer: Option<InstanceId>,
    ) -> Result<NonNull<VMFuncRef>> {
        let slot = store.engine().host_trampoline(self.type_id)?;
        let context = Box::into_raw(Box::new(HostContext {
            vm: VMHostContext {
                store: store.ptr().vm(),
                slot,
                call: self.call,
                data: Arc::as_ptr(&self.data).cast_mut().cast(),
            },
            func_ref: VMFuncRef {
                slot: std::ptr::null(),
                vmctx: std::ptr::null_mut(),
                type_id: self.type_id.as_u32(),
            },
            importer,
            func: self.clone(),
        }));
        // SAFETY: just made; nobody else has the pointer yet.
        unsafe {
            (*context).func_ref.slot = &raw const (*context).vm.slot;
            (*context).func_ref.vmctx = context.cast();
            let func_ref = NonNull::new_unchecked(&raw mut (*context).func_ref);
            store
                .host_functions
                .push(HostContextBox(NonNull::new_unchecked(context)));
            Ok(func_ref)
        }
    }
}

/// A host function in a store.
#[repr(C)]
pub(crate) struct HostContext {
    /// First: compiled code's pointer to a context is to this.
    vm: VMHostContext,
    func_ref: VMFuncRef,
    importer: Option<InstanceId>,
    func: HostFunc,
}

impl HostContext {
    /// The host function behind `func`, if it is one.
    ///
    /// # Safety
    ///
    /// `func` must be valid, its store alive and not running guests for `'a`.
    pub unsafe fn of<'a>(func: NonNull<VMFuncRef>) -> Option<&'a HostContext> {
        // SAFETY: as the caller says. Only a host function's slot stands within its own
        // context; a wasm function's context has no slot at that place.
        unsafe {
            let VMFuncRef { slot, vmctx, .. } = *func.as_ptr();
            let context = vmctx.cast::<HostContext>();
            if std::ptr::eq(slot, &raw const (*context).vm.slot) {
                Some(&*context)
            } else {
                None
            }
        }
    }

    /// The instance that imported the function with this context, where that is known.
    ///
    /// # Safety
    ///
    /// `context` must be that of a `HostContext`.
    pub unsafe fn importer(context: *const VMHostContext) -> Option<InstanceId> {
        // SAFETY: as the caller says.
        unsafe { (*context.cast::<HostContext>()).importer }
    }

    /// The function without its store.
    pub fn func(&self) -> &HostFunc {
        &self.func
    }
}

/// Owns a `HostContext` without claiming to be its only pointer.
pub(crate) struct HostContextBox(NonNull<HostContext>);

impl Drop for HostContextBox {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`; the store is going, so no code runs.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The `HostCall` of every closure.
///
/// # Safety
///
/// Only trampolines call it, with the context of a function whose closure is an `F`, and
/// an array with room for its parameters and results.
unsafe extern "C" fn call_closure<F>(context: *mut VMHostContext, args: *mut ValRaw) -> u32
where
    F: Fn(RawCaller, &mut [ValRaw]) -> Result<()> + Send + Sync + 'static,
{
    // SAFETY: the context is a `HostContext` that outlives the call, as does its closure,
    // which is never changed. The array is the trampoline's, and nobody else's.
    unsafe {
        let vm = (*context).store;
        let caller = RawCaller {
            store: StorePtr::from_vm(vm),
            importer: HostContext::importer(context),
        };
        let closure = &*(*context).data.cast::<Closure<F>>();
        host_call(vm, move || {
            let args = std::slice::from_raw_parts_mut(args, closure.slots);
            (closure.f)(caller, args)
        })
    }
}
