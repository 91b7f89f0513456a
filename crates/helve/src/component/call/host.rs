//! Host functions as guests call them: lift the arguments, run the closure, lower the
//! result.
//!
//! ```text
//!  compiled code -> host trampoline -> host_call (C) -> HostCallable::call -> closure
//! ```
//!
//! A [`HostFunc`] is what a linker holds, of any store; the canonical options come with
//! each call. Not here: guest functions
//! behind an import (`adapter`).
//!
//! # Safety
//!
//! While a closure runs, nothing but the context it is given borrows from the store:
//! guest memory is not looked at, and instances are only reached by shared reference.

use crate::component::call::lane::Lane;
use crate::component::call::options::CallOptions;
use crate::component::call::scope::CallScope;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::state::InstanceData;
use crate::component::typed::{ComponentNamedList, InterfaceType, Lift, Lower, TypeCheck, lanes};
use crate::component::value::{self, Val};
use crate::core::context::StoreContextMut;
use helve_abi::flat::Passing;
use helve_abi::program::CallPrograms;
use helve_abi::types::FuncTypeId;
use helve_base::{Result, ensure};
use std::marker::PhantomData;
use std::sync::Arc;

/// A host function, of no particular store.
pub(crate) type HostFunc = Arc<dyn HostCallable>;

/// One call of a host function.
pub(crate) struct HostCall<'a> {
    pub instance: &'a InstanceData,
    pub options: &'a CallOptions,
    pub ty: FuncTypeId,
    pub programs: &'a CallPrograms,
}

/// What stands behind a [`HostFunc`].
pub(crate) trait HostCallable: Send + Sync {
    /// Whether it has the type `ty`.
    fn typecheck(&self, ty: FuncTypeId, cx: &TypeCheck<'_>) -> Result<()>;

    /// Runs it: parameters are in `lanes`, which takes the result.
    ///
    /// # Safety
    ///
    /// The instance's store is a `Store<T>` of the `T` the function was made for, and
    /// nothing borrows from it.
    unsafe fn call(&self, call: &HostCall<'_>, lanes: &mut [Lane]) -> Result<()>;
}

impl<'a> HostCall<'a> {
    /// The context that lifts the arguments.
    pub(crate) fn lifting<'s>(&'s self, scope: &'s mut CallScope) -> LiftContext<'s> {
        // SAFETY: no guest runs while arguments are lifted, and the host does not write.
        let memory = self
            .options
            .memory
            .map_or(&[][..], |memory| unsafe { memory.bytes() });
        LiftContext::new(memory, self.options, self.instance, scope)
    }

    /// The core value that holds where the result goes, where it goes through memory.
    pub(crate) fn result_address(&self, lanes: &[Lane]) -> Lane {
        let at = self.programs.signature.params.len().saturating_sub(1);
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

    unsafe fn call(&self, call: &HostCall<'_>, args: &mut [Lane]) -> Result<()> {
        let ty = &call.instance.types()[call.ty];
        let mut scope = CallScope::default();
        let params = {
            let mut cx = call.lifting(&mut scope);
            let params = ty
                .params_tuple
                .map_or(InterfaceType::Bool, InterfaceType::Tuple);
            match call.programs.params.passing {
                Passing::Flat(_) => P::lift(&mut cx, params, first(args, lanes::<P>())?)?,
                Passing::Memory => {
                    let at = cx.address(args.first().copied().unwrap_or(Lane::ZERO));
                    let layout = P::LAYOUT;
                    let bytes =
                        cx.value_bytes(at, layout.size(cx.width()), layout.align(cx.width()))?;
                    P::load(&mut cx, params, bytes)?
                }
            }
        };
        // SAFETY: the store is one of `T`, as the caller says; the lift's borrows ended.
        let store = unsafe { call.instance.store().context::<T>() };
        let result = (self.func)(store, params)?;
        let to = call.result_address(args);
        let mut cx = LowerContext::new(call.options, call.instance, &mut scope);
        match call.programs.result.passing {
            Passing::Flat(_) => {
                result.lower_result(&mut cx, ty.result, first_mut(args, lanes::<R>())?)?
            }
            Passing::Memory => {
                let layout = R::LAYOUT;
                let at = cx.address(to);
                let at = cx.check_value(at, layout.size(cx.width()), layout.align(cx.width()))?;
                result.store_result(&mut cx, ty.result, at)?;
            }
        }
        call.instance.end_loans(call.options.owner, &mut scope)
    }
}

/// The first `n` lanes.
pub(crate) fn first(lanes: &[Lane], n: usize) -> Result<&[Lane]> {
    lanes
        .get(..n)
        .ok_or_else(crate::component::typed::too_few_lanes)
}

/// The first `n` lanes.
pub(crate) fn first_mut(lanes: &mut [Lane], n: usize) -> Result<&mut [Lane]> {
    lanes
        .get_mut(..n)
        .ok_or_else(crate::component::typed::too_few_lanes)
}

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

    unsafe fn call(&self, call: &HostCall<'_>, args: &mut [Lane]) -> Result<()> {
        let mut scope = CallScope::default();
        let params =
            value::lift_passed(&mut call.lifting(&mut scope), &call.programs.params, args)?;
        let ty = &call.instance.types()[call.ty];
        let mut results = vec![Val::Bool(false); ty.result.iter().len()];
        // SAFETY: the store is one of `T`, as the caller says; the lift's borrows ended.
        let store = unsafe { call.instance.store().context::<T>() };
        (self.func)(store, &params, &mut results)?;
        let to = call.result_address(args);
        let mut cx = LowerContext::new(call.options, call.instance, &mut scope);
        value::lower_result(&mut cx, &call.programs.result, &results, to, args)?;
        call.instance.end_loans(call.options.owner, &mut scope)
    }
}

/// What stands for an import that nobody supplied, where that was asked for.
pub(crate) struct Missing(pub String);

impl HostCallable for Missing {
    fn typecheck(&self, _: FuncTypeId, _: &TypeCheck<'_>) -> Result<()> {
        Ok(())
    }

    unsafe fn call(&self, _: &HostCall<'_>, _: &mut [Lane]) -> Result<()> {
        ensure!(
            false,
            "called `{}`, which the component imports and nobody supplies",
            self.0
        );
        Ok(())
    }
}
