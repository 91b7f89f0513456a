//! Calls into guests: core functions ready to be called, and the frame around each call
//! of a lifted function.
//!
//! ```text
//!  enter  ->  lower arguments  ->  core function  ->  lift results  ->  loans end
//!             (realloc ...)                                             post-return  ->  leave
//! ```
//!
//! A trap anywhere in it locks the whole root instance. Not here: what arguments and
//! results are (the caller's closures).
//!
//! # Safety
//!
//! A [`CoreFunc`] lives as long as its store. Lanes have the layout of the argument
//! arrays of trampolines. No reference into the store's data is alive across a call;
//! `&InstanceData` may be (see `state`).

use crate::component::call::lane::Lane;
use crate::component::call::options::CallOptions;
use crate::component::call::scope::CallScope;
use crate::component::hook::Watch;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::part::{Part, cannot_enter};
use crate::component::span::{HOST, Span};
use crate::component::state::InstanceData;
use crate::core;
use crate::core::backtrace::component_exit_error;
use crate::core::func::call_raw;
use crate::core::store::StorePtr;
use helve_abi::flat::MAX_FLAT_PARAMS;
use helve_abi::program::CallPrograms;
use helve_abi::types::{FuncTypeId, InterfaceType, Types};
use helve_base::Result;
use helve_base::vmctx::{EntryTrampoline, VMFuncRef};
use helve_decode::plan::ComponentInstanceId;
use helve_fiber::PooledStack;
use helve_vm::fibers::{FiberResult, enter_on_fiber};
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// Lanes that any canonical call has room for: parameters, and an address for results.
pub(crate) const MAX_LANES: usize = MAX_FLAT_PARAMS + 1;

/// A core function and the way into it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreFunc {
    func: NonNull<VMFuncRef>,
    trampoline: EntryTrampoline,
}

// SAFETY: the pointer is only followed with the store at hand.
unsafe impl Send for CoreFunc {}
// SAFETY: as above.
unsafe impl Sync for CoreFunc {}

impl CoreFunc {
    /// `func`, of this store.
    pub fn new(store: &crate::core::store::StoreOpaque, func: core::Func) -> Result<CoreFunc> {
        store.check(func.store)?;
        let trampoline = store.engine().entry_trampoline(func.type_id())?;
        Ok(CoreFunc {
            func: func.ptr,
            trampoline,
        })
    }

    /// A function and the code by which the host calls its type.
    pub fn from_parts(func: NonNull<VMFuncRef>, trampoline: EntryTrampoline) -> CoreFunc {
        CoreFunc { func, trampoline }
    }

    /// Calls it: `lanes` holds the arguments and takes the results, and has room for both.
    #[inline]
    pub fn call(self, store: StorePtr, lanes: &mut [Lane]) -> Result<()> {
        // SAFETY: the function is of this store, as its maker checked, and validation has
        // checked that its type is the one that the lanes are for.
        let left =
            unsafe { call_raw(store, self.func, self.trampoline, lanes.as_mut_ptr().cast()) };
        left.map_err(component_exit_error)
    }
}

impl CoreFunc {
    /// Calls it on a stack of its own: `lanes` must stay where they are until it is done.
    pub fn enter_on_fiber(self, store: StorePtr, lanes: *mut Lane) -> Result<FiberResult> {
        // SAFETY: nothing borrows from the store.
        let stack = unsafe { store.get() }.engine().stacks().take()?;
        Ok(self.enter_on(store, stack, lanes, null_mut()))
    }

    /// Calls it on this stack, on which `calls` is noted.
    pub fn enter_on(
        self,
        store: StorePtr,
        stack: PooledStack,
        lanes: *mut Lane,
        calls: *mut u8,
    ) -> FiberResult {
        // SAFETY: as for `call`; whoever drives the fiber keeps the lanes and the call.
        unsafe {
            let VMFuncRef { slot, vmctx, .. } = *self.func.as_ptr();
            let (vm, trampoline) = (store.vm(), self.trampoline);
            let lanes = lanes.cast();
            enter_on_fiber(vm, stack, trampoline, *slot, vmctx, lanes, calls)
        }
    }
}

/// A function's type and how its values cross, so that a call looks nothing up.
#[derive(Clone, Debug)]
pub(crate) struct CallShape {
    pub ty: FuncTypeId,
    /// The parameters as one tuple; anything where there are none.
    pub params: InterfaceType,
    pub result: Option<InterfaceType>,
    /// Whether parameters, and the result, are lanes; else they go through memory.
    pub flat_params: bool,
    pub flat_result: bool,
    /// Lanes that parameters or results take at most.
    pub lanes: usize,
    pub programs: Arc<CallPrograms>,
}

impl CallShape {
    /// The shape of a function of type `ty`.
    pub fn new(types: &Types, ty: FuncTypeId, programs: Arc<CallPrograms>) -> CallShape {
        let func = &types[ty];
        CallShape {
            ty,
            params: func
                .params_tuple
                .map_or(InterfaceType::Bool, InterfaceType::Tuple),
            result: func.result,
            flat_params: !programs.params.passing.is_memory(),
            flat_result: !programs.result.passing.is_memory(),
            lanes: programs
                .signature
                .params
                .len()
                .max(programs.signature.results.len()),
            programs,
        }
    }
}

/// A part by address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartPtr(NonNull<Part>);

impl PartPtr {
    /// Of a part of an instance that has its place.
    pub fn new(part: &Part) -> PartPtr {
        PartPtr(NonNull::from(part))
    }

    /// The part of `instance` that it was made from.
    #[inline(always)]
    fn of(self, _: &InstanceData) -> &Part {
        // SAFETY: parts stay where they are as long as their instance; whoever has the
        // function has the instance.
        unsafe { self.0.as_ref() }
    }
}

/// A lifted function of an instance, ready to be called.
#[derive(Clone, Debug)]
pub(crate) struct LiftedFunc {
    pub core: CoreFunc,
    /// Called with events, where it has one.
    pub callback: Option<CoreFunc>,
    /// Whether code of its instance could block its stack, or be suspended on it.
    pub own_stack: bool,
    /// Whether its type is an async one.
    pub is_async: bool,
    pub abi: helve_model::Abi,
    pub options: CallOptions,
    pub owner: ComponentInstanceId,
    /// The owner itself.
    pub part: PartPtr,
    /// The owner and its ancestors: what a call of the host enters.
    pub chain: Box<[ComponentInstanceId]>,
    /// Whether that is the owner alone.
    pub is_root: bool,
    pub shape: CallShape,
    /// What is told of the host's calls.
    pub watch: Option<Box<Watch>>,
}

impl LiftedFunc {
    /// Calls it from `caller`, or from the host. `lower` writes the arguments' lanes and
    /// `lift` reads the results'.
    #[inline]
    pub fn call<R>(
        &self,
        instance: &InstanceData,
        caller: Option<ComponentInstanceId>,
        lower: impl FnOnce(&mut LowerContext<'_>, &mut [Lane]) -> Result<()>,
        lift: impl FnOnce(&mut LiftContext<'_>, &[Lane]) -> Result<R>,
    ) -> Result<R> {
        match &self.watch {
            Some(watch) if caller.is_none() => watch.around_guest(instance.store(), || {
                // A task has a span of its own.
                let span = match instance.tasks() {
                    false => Span::of_guest(Some(watch), HOST),
                    true => Span::default(),
                };
                span.within(|| self.call_unwatched(instance, caller, lower, lift))
            }),
            _ => self.call_unwatched(instance, caller, lower, lift),
        }
    }

    /// The same, of which the hook is not told.
    #[inline]
    pub fn call_unwatched<R>(
        &self,
        instance: &InstanceData,
        caller: Option<ComponentInstanceId>,
        lower: impl FnOnce(&mut LowerContext<'_>, &mut [Lane]) -> Result<()>,
        lift: impl FnOnce(&mut LiftContext<'_>, &[Lane]) -> Result<R>,
    ) -> Result<R> {
        if instance.tasks() {
            return crate::component::drive::call::from_host(self, instance, lower, lift);
        }
        self.enter(instance, caller)?;
        let part = self.part.of(instance);
        let context = part.context.replace([0; 2]);
        let mut entered = false;
        let mut scope = CallScope::default();
        match self.call_entered(instance, &mut scope, &mut entered, lower, lift) {
            Ok(result) => {
                part.context.set(context);
                self.leave(instance, caller);
                Ok(result)
            }
            Err(error) => {
                instance.abandon_loans(&mut scope);
                // What the host did wrong before the guest ran leaves the guest as it was.
                if entered || error.trap().is_some() || !part.may_leave.get() {
                    instance.lock();
                } else {
                    part.context.set(context);
                    self.leave(instance, caller);
                }
                Err(error)
            }
        }
    }

    #[inline]
    fn enter(&self, instance: &InstanceData, caller: Option<ComponentInstanceId>) -> Result<()> {
        match caller {
            None if self.is_root => instance.enter_root(self.part.of(instance)),
            None => instance.enter_chain(&self.chain),
            Some(from) if instance.no_donuts && instance.related(from, self.owner) => {
                Err(cannot_enter())
            }
            caller => instance.enter(self.owner, caller),
        }
    }

    #[inline]
    fn leave(&self, instance: &InstanceData, caller: Option<ComponentInstanceId>) {
        match caller {
            None if self.is_root => self.part.of(instance).may_enter.set(true),
            None => instance.leave_chain(&self.chain),
            caller => instance.leave(self.owner, caller),
        }
    }

    #[inline]
    fn call_entered<R>(
        &self,
        instance: &InstanceData,
        scope: &mut CallScope,
        entered: &mut bool,
        lower: impl FnOnce(&mut LowerContext<'_>, &mut [Lane]) -> Result<()>,
        lift: impl FnOnce(&mut LiftContext<'_>, &[Lane]) -> Result<R>,
    ) -> Result<R> {
        let mut space = [const { MaybeUninit::<Lane>::uninit() }; MAX_LANES];
        let lanes = zeroed(&mut space, self.shape.lanes);
        lower(
            &mut LowerContext::new(&self.options, instance, scope),
            lanes,
        )?;
        *entered = true;
        self.core.call(instance.store(), lanes)?;
        let result = {
            // SAFETY: lifting runs no guest.
            let memory = self
                .options
                .memory
                .map_or(&[][..], |memory| unsafe { memory.bytes() });
            lift(
                &mut LiftContext::new(memory, &self.options, instance, scope),
                lanes,
            )?
        };
        if !scope.is_empty() {
            instance.end_loans(self.owner, scope)?;
        }
        if let Some(post_return) = self.options.post_return {
            let part = instance.part(self.owner);
            part.may_leave.set(false);
            post_return.call(instance.store(), lanes)?;
            part.may_leave.set(true);
        }
        Ok(result)
    }
}

/// Lanes that are cleared without a loop, which the compiler would make a call of `memset`.
const FEW_LANES: usize = 4;

/// The first `count` lanes of `space`, set to zero.
#[inline]
fn zeroed(space: &mut [MaybeUninit<Lane>; MAX_LANES], count: usize) -> &mut [Lane] {
    for lane in &mut space[..FEW_LANES] {
        lane.write(Lane::ZERO);
    }
    let lanes = &mut space[..count.min(MAX_LANES)];
    if count > FEW_LANES {
        for lane in &mut lanes[FEW_LANES..] {
            lane.write(Lane::ZERO);
        }
    }
    // SAFETY: all of them have just been written.
    unsafe { &mut *(std::ptr::from_mut(lanes) as *mut [Lane]) }
}
