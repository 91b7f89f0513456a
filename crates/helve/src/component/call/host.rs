//! Host functions as guests call them: lift the arguments, run the closure, lower the
//! result.
//!
//! ```text
//!  compiled code -> host trampoline -> host_call (C) -> HostCallable::call -> closure
//! ```
//!
//! A [`HostFunc`] is what a linker holds, of any store; a [`Caller`] is one import of one
//! instance, with all that its calls need. Not here: guest functions
//! behind an import (`adapter`).
//!
//! # Safety
//!
//! While a closure runs, nothing but the context it is given borrows from the store:
//! guest memory is not looked at, and instances are only reached by shared reference.

use crate::component::call::enter::CallShape;
use crate::component::call::lane::{Lane, lanes_mut};
use crate::component::call::options::CallOptions;
use crate::component::call::scope::CallScope;
use crate::component::concurrent::host_task::Waiting;
use crate::component::fused::AdapterPtr;
use crate::component::hook::Watch;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::state::{InstanceData, InstancePtr};
use crate::component::typed::{ComponentNamedList, Lift, Lower, TypeCheck, lanes};
use crate::component::value::{self, Val, Vals};
use crate::core;
use crate::core::context::StoreContextMut;
use crate::core::store::StoreOpaque;
use helve_abi::types::FuncTypeId;
use helve_base::{Bug, Error, Result, ensure};
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

/// A host function, of no particular store.
pub(crate) type HostFunc = Arc<dyn HostCallable>;

/// The calling side of one lowered function of one instance.
pub(crate) struct Caller {
    pub instance: InstancePtr,
    pub options: CallOptions,
    pub shape: CallShape,
    /// Generated code that moves the values of calls to a guest, if there is some.
    pub adapter: OnceLock<AdapterPtr>,
}

/// One call of a host function.
#[derive(Clone, Copy)]
pub(crate) struct HostCall<'a> {
    pub instance: &'a InstanceData,
    pub options: &'a CallOptions,
    pub shape: &'a CallShape,
}

impl Caller {
    /// A call by compiled code, if calls may go out.
    ///
    /// # Errors
    ///
    /// Where its instance can't be left now.
    ///
    /// # Safety
    ///
    /// Compiled code of the instance's store makes it now.
    #[inline]
    pub unsafe fn call(&self) -> Result<HostCall<'_>> {
        // SAFETY: the store is alive, as its code runs.
        let instance = unsafe { self.instance.get() };
        instance.part(self.options.owner).check_leave()?;
        Ok(HostCall {
            instance,
            options: &self.options,
            shape: &self.shape,
        })
    }
}

/// What stands behind a [`HostFunc`].
pub(crate) trait HostCallable: Send + Sync + 'static {
    /// Whether it has the type `ty`.
    fn typecheck(&self, ty: FuncTypeId, cx: &TypeCheck<'_>) -> Result<()>;

    /// Runs it: parameters are in `lanes`, which takes the result.
    ///
    /// # Safety
    ///
    /// The instance's store is a `Store<T>` of the `T` the function was made for, and
    /// nothing borrows from it.
    unsafe fn call(&self, _: HostCall<'_>, _: &mut [Lane]) -> Result<()> {
        Err(Error::new(Bug("a host function that may wait".into())))
    }

    /// Whether it may wait: then it is begun, not called.
    fn is_async(&self) -> bool {
        false
    }

    /// Whether it has the store to itself while it waits.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// What is told of its calls.
    fn watch(&self) -> Option<&Watch> {
        None
    }

    /// Begins it: its parameters are in `lanes`; what it may wait for.
    ///
    /// # Safety
    ///
    /// As for [`HostCallable::call`].
    unsafe fn begin(&self, _: HostCall<'_>, _: &mut CallScope, _: &[Lane]) -> Result<Waiting> {
        Err(Error::new(Bug("a host function that never waits".into())))
    }

    /// The core function that calls it for `caller`. Per implementation, so that a call
    /// goes straight from the trampoline into `call`.
    fn lower(self: Arc<Self>, store: &mut StoreOpaque, caller: Caller) -> Result<core::Func>;
}

/// [`HostCallable::lower`] of any one type.
pub(crate) fn lower_as<C: HostCallable>(
    func: Arc<C>,
    store: &mut StoreOpaque,
    caller: Caller,
) -> Result<core::Func> {
    let ty = caller.shape.programs.signature.core();
    core::Func::new_raw(store, &ty, move |_, lanes| {
        // SAFETY: compiled code calls. The linker's data type is the store's, as
        // instantiating checks; in host calls nothing borrows from the store.
        unsafe { func.call(caller.call()?, lanes_mut(lanes)) }
    })
}

impl<'a> HostCall<'a> {
    /// The context that lifts the arguments.
    #[inline]
    pub(crate) fn lifting<'s>(&'s self, scope: &'s mut CallScope) -> LiftContext<'s> {
        // SAFETY: no guest runs while arguments are lifted, and the host does not write.
        let memory = self
            .options
            .memory
            .map_or(&[][..], |memory| unsafe { memory.bytes() });
        LiftContext::new(memory, self.options, self.instance, scope)
    }

    /// Runs the call with a scope for its loans, which end with it.
    #[inline]
    pub(crate) fn with_scope(
        self,
        run: impl FnOnce(HostCall<'a>, &mut CallScope) -> Result<()>,
    ) -> Result<()> {
        let mut scope = CallScope::default();
        match run(self, &mut scope) {
            Ok(()) if scope.is_empty() => {
                // Nothing to drop, which the compiler can't see.
                std::mem::forget(scope);
                Ok(())
            }
            Ok(()) => self.instance.end_loans(self.options.owner, &mut scope),
            Err(error) => {
                self.instance.abandon_loans(&mut scope);
                Err(error)
            }
        }
    }

    /// The core value that holds where the result goes, where it goes through memory.
    #[inline]
    pub(crate) fn result_address(&self, lanes: &[Lane]) -> Lane {
        let at = self.shape.programs.signature.params.len().saturating_sub(1);
        lanes.get(at).copied().unwrap_or(Lane::ZERO)
    }
}

/// A closure with Rust types.
pub(crate) struct Typed<T, P, R, F> {
    pub func: F,
    pub types: PhantomData<fn(T, P) -> R>,
}

impl<T, P, R, F> HostCallable for Typed<T, P, R, F>
where
    T: 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
    F: Fn(StoreContextMut<'_, T>, P) -> Result<R> + Send + Sync + 'static,
{
    fn typecheck(&self, ty: FuncTypeId, cx: &TypeCheck<'_>) -> Result<()> {
        let ty = &cx.types()[ty];
        P::typecheck_params(&ty.params, cx)?;
        R::typecheck_result(ty.result, cx)
    }

    #[inline]
    unsafe fn call(&self, call: HostCall<'_>, args: &mut [Lane]) -> Result<()> {
        call.with_scope(|call, scope| {
            let params = lift_params::<P>(call, scope, args)?;
            // SAFETY: the store is one of `T`, as the caller says; the lift's borrows ended.
            let store = unsafe { call.instance.store().context::<T>() };
            let result = (self.func)(store, params)?;
            let to = call.result_address(args);
            lower_typed_result(call, scope, &result, to, args)
        })
    }

    fn lower(self: Arc<Self>, store: &mut StoreOpaque, caller: Caller) -> Result<core::Func> {
        lower_as(self, store, caller)
    }
}

/// The parameters of a call.
#[inline]
pub(crate) fn lift_params<P: ComponentNamedList + Lift>(
    call: HostCall<'_>,
    scope: &mut CallScope,
    args: &[Lane],
) -> Result<P> {
    let shape = call.shape;
    let mut cx = call.lifting(scope);
    if shape.flat_params {
        return P::lift(&mut cx, shape.params, first(args, lanes::<P>())?);
    }
    let at = cx.address(args.first().copied().unwrap_or(Lane::ZERO));
    let (size, align) = (P::LAYOUT.size(cx.width()), P::LAYOUT.align(cx.width()));
    let bytes = cx.value_bytes(at, size, align)?;
    P::load(&mut cx, shape.params, bytes)
}

/// The result of a call: into its lanes, or to where `to` says.
#[inline]
pub(crate) fn lower_typed_result<R: ComponentNamedList + Lower>(
    call: HostCall<'_>,
    scope: &mut CallScope,
    result: &R,
    to: Lane,
    args: &mut [Lane],
) -> Result<()> {
    let shape = call.shape;
    let mut cx = LowerContext::new(call.options, call.instance, scope);
    if shape.flat_result {
        return result.lower_result(&mut cx, shape.result, first_mut(args, lanes::<R>())?);
    }
    let (size, align) = (R::LAYOUT.size(cx.width()), R::LAYOUT.align(cx.width()));
    let at = cx.address(to);
    let at = cx.check_value(at, size, align)?;
    result.store_result(&mut cx, shape.result, at)
}

/// The first `n` lanes.
#[inline]
pub(crate) fn first(lanes: &[Lane], n: usize) -> Result<&[Lane]> {
    lanes
        .get(..n)
        .ok_or_else(crate::component::typed::too_few_lanes)
}

/// The first `n` lanes.
#[inline]
pub(crate) fn first_mut(lanes: &mut [Lane], n: usize) -> Result<&mut [Lane]> {
    lanes
        .get_mut(..n)
        .ok_or_else(crate::component::typed::too_few_lanes)
}

/// Parameters that are lifted to where they stay.
const FEW_VALS: usize = 3;

/// A closure over dynamic values.
pub(crate) struct Dynamic<T, F> {
    pub func: F,
    pub types: PhantomData<fn(T)>,
}

impl<T, F> HostCallable for Dynamic<T, F>
where
    T: 'static,
    F: Fn(StoreContextMut<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
{
    fn typecheck(&self, _: FuncTypeId, _: &TypeCheck<'_>) -> Result<()> {
        Ok(())
    }

    unsafe fn call(&self, call: HostCall<'_>, args: &mut [Lane]) -> Result<()> {
        call.with_scope(|call, scope| {
            let programs = &call.shape.programs;
            let count = programs.params.parts.len();
            let mut few = [const { Val::Bool(false) }; FEW_VALS];
            let mut many = Vals::new();
            let mut lifting = call.lifting(scope);
            let params: &[Val] = match few.get_mut(..count) {
                Some(few) => {
                    value::lift_into(&mut lifting, &programs.params, args, few)?;
                    few
                }
                None => {
                    value::lift_passed(&mut lifting, &programs.params, args, &mut many)?;
                    &many
                }
            };
            let mut result = [Val::Bool(false)];
            let results = &mut result[..call.shape.result.iter().len()];
            // SAFETY: the store is one of `T`, as the caller says; the lift's borrows ended.
            let store = unsafe { call.instance.store().context::<T>() };
            (self.func)(store, params, results)?;
            let to = call.result_address(args);
            let mut cx = LowerContext::new(call.options, call.instance, scope);
            value::lower_checked(&mut cx, &programs.result, results, to, args)
        })
    }

    fn lower(self: Arc<Self>, store: &mut StoreOpaque, caller: Caller) -> Result<core::Func> {
        lower_as(self, store, caller)
    }
}

/// What stands for an import that nobody supplied, where that was asked for.
pub(crate) struct Missing(pub String);

impl HostCallable for Missing {
    fn typecheck(&self, _: FuncTypeId, _: &TypeCheck<'_>) -> Result<()> {
        Ok(())
    }

    unsafe fn call(&self, _: HostCall<'_>, _: &mut [Lane]) -> Result<()> {
        ensure!(
            false,
            "called `{}`, which the component imports and nobody supplies",
            self.0
        );
        Ok(())
    }

    fn lower(self: Arc<Self>, store: &mut StoreOpaque, caller: Caller) -> Result<core::Func> {
        lower_as(self, store, caller)
    }
}
