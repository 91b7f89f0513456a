//! Exported functions: handles, dynamic calls and typed calls.
//!
//! Both check the function's type once, when they are looked up (typed) or called
//! (dynamic), and run the guest's post-return themselves. Not here: the frame around a
//! call (`call::enter`).
//!
//! # Safety
//!
//! A [`Func`]'s instance is only followed after the check that the store at hand, which
//! is therefore alive, is the one it belongs to.

use crate::component::call::enter::{CallShape, LiftedFunc};
use crate::component::call::host::{first, first_mut};
use crate::component::call::lane::Lane;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::state::{InstanceData, InstanceKey};
use crate::component::typed::{ComponentNamedList, Lift, Lower, TypeCheck, lanes};
use crate::component::types::{ComponentFunc, Home};
use crate::component::value::{Val, lift_result, lower_passed};
use crate::core::context::{AsContext, AsContextMut};
use crate::core::store::{StoreId, StoreOpaque};
use helve_abi::error::Content;
use helve_abi::types::{FuncType, Types};
use helve_base::{Result, error::Context};
use helve_decode::plan::LiftedId;
use std::marker::PhantomData;

/// A function that a component instance exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Func {
    store: StoreId,
    instance: InstanceKey,
    id: LiftedId,
}

impl Func {
    pub(crate) fn new(instance: &InstanceData, id: LiftedId) -> Func {
        Func {
            store: instance.store_id(),
            instance: instance.key(),
            id,
        }
    }

    /// Its instance.
    pub(crate) fn instance<'a>(&self, store: &'a StoreOpaque) -> Result<&'a InstanceData> {
        store.check(self.store)?;
        let instance = store.components.live(self.instance)?;
        // SAFETY: the store has it, and is this thread's, as it is borrowed.
        Ok(unsafe { instance.get() })
    }

    /// One more instance imports it.
    pub(crate) fn begin_use(&self, store: &StoreOpaque) -> Result<()> {
        let users = &self.instance(store)?.users;
        users.set(users.get().saturating_add(1));
        Ok(())
    }

    /// An instance that imported it is gone.
    pub(crate) fn end_use(&self, store: &StoreOpaque) {
        if let Ok(instance) = self.instance(store) {
            instance.users.set(instance.users.get().saturating_sub(1));
        }
    }

    pub(crate) fn id(&self) -> LiftedId {
        self.id
    }

    /// What is needed to call it; found when it is first called.
    ///
    /// The result outlives the borrow of the store: instances stay where they are while
    /// guests run.
    #[inline(always)]
    pub(crate) fn resolve<'a>(
        &self,
        store: &mut StoreOpaque,
    ) -> Result<(&'a InstanceData, &'a LiftedFunc)> {
        store.check(self.store)?;
        let instance = store.components.live(self.instance)?;
        // SAFETY: the store has it, and is this thread's; instances never move, and are
        // only removed by whoever has the store itself.
        let instance: &'a InstanceData = unsafe { instance.get() };
        Ok((instance, instance.lifted_func(store, self.id)?))
    }

    /// How many results it has: 0 or 1.
    ///
    /// # Errors
    ///
    /// Where the instance is gone, or `store` is not its own.
    pub fn result_count(&self, store: impl AsContext) -> Result<usize> {
        let store = store.as_context();
        let instance = self.instance(store.opaque())?;
        let ty = instance.plan().lifted[self.id].ty;
        Ok(instance.types()[ty].result.iter().len())
    }

    /// How many parameters it has.
    ///
    /// # Errors
    ///
    /// Where the instance is gone, or `store` is not its own.
    pub fn param_count(&self, store: impl AsContext) -> Result<usize> {
        let store = store.as_context();
        let instance = self.instance(store.opaque())?;
        let ty = instance.plan().lifted[self.id].ty;
        Ok(instance.types()[ty].params.len())
    }

    /// Shows its type, and the types that it is made of, to `look`.
    ///
    /// # Errors
    ///
    /// Where the instance is gone, or `store` is not its own.
    pub fn with_type<R>(
        &self,
        store: impl AsContext,
        look: impl FnOnce(&Types, &FuncType) -> R,
    ) -> Result<R> {
        let store = store.as_context();
        let instance = self.instance(store.opaque())?;
        let ty = instance.plan().lifted[self.id].ty;
        Ok(look(instance.types(), &instance.types()[ty]))
    }

    /// Its type, with the resource types of its instance.
    ///
    /// # Errors
    ///
    /// Where `store` is not the function's.
    pub fn ty(&self, store: impl AsContext) -> Result<ComponentFunc> {
        let store = store.as_context();
        let instance = self.instance(store.opaque())?;
        let resources = instance.plan().resources.iter();
        let resources = resources
            .map(|(id, _)| instance.resource_type(id))
            .collect();
        let home = Home::Instance(instance.component.clone(), resources);
        Ok(ComponentFunc::new(home, instance.plan().lifted[self.id].ty))
    }

    /// Its type in words: `func(a: u32) -> string`.
    ///
    /// # Errors
    ///
    /// Where the instance is gone, or `store` is not its own.
    pub fn describe(&self, store: impl AsContext) -> Result<String> {
        let store = store.as_context();
        let instance = self.instance(store.opaque())?;
        let ty = instance.plan().lifted[self.id].ty;
        Ok(instance.types().display_func(ty).to_string())
    }

    /// Calls it. `results` must be as many as it has; what they hold is replaced.
    ///
    /// # Errors
    ///
    /// Where arguments don't fit, the guest traps, or a host function it calls fails. After
    /// a trap the instance can't be entered again.
    pub fn call(
        &self,
        mut store: impl AsContextMut,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        self.check(&mut store, params, results.len())?;
        let (instance, lifted) = self.resolve(store.opaque())?;
        lifted.call(
            instance,
            None,
            |cx, lanes| lower_passed(cx, &lifted.shape.programs.params, params, lanes),
            |cx, lanes| lift_result(cx, &lifted.shape.programs.result, lanes, results),
        )
    }

    /// The same function with its type known to Rust: `P` is a tuple of parameters, `R`
    /// is `()` or `(Result,)`.
    pub fn typed<P, R>(&self, store: impl AsContext) -> Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let store = store.as_context();
        let instance = self.instance(store.opaque())?;
        let ty = instance.plan().lifted[self.id].ty;
        let types = instance.types();
        let resource = |id| instance.resource_type(id);
        let check = TypeCheck::new(types, &resource);
        P::typecheck_params(&types[ty].params, &check)
            .and_then(|()| R::typecheck_result(types[ty].result, &check))
            .with_context(|| format!("the function's type is {}", types.display_func(ty)))?;
        Ok(TypedFunc {
            func: *self,
            types: PhantomData,
        })
    }
}

impl Func {
    /// The same as a function of types that were checked before, but for lifetimes: what
    /// bindings do at each call. Wrong types make a wrong call, but nothing unsafe.
    #[doc(hidden)]
    #[inline]
    pub fn assume_typed<P, R>(&self) -> TypedFunc<P, R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        TypedFunc {
            func: *self,
            types: PhantomData,
        }
    }
}

/// A [`Func`] whose type is known to Rust.
pub struct TypedFunc<P, R> {
    func: Func,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P, R> std::fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.func.fmt(f)
    }
}

impl<P, R> TypedFunc<P, R>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    /// The function.
    pub fn func(&self) -> &Func {
        &self.func
    }

    /// Calls it; see [`Func::call`] for what can go wrong.
    ///
    /// # Errors
    ///
    /// Those of [`Func::call`].
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R> {
        let mut store = store.as_context_mut();
        let (instance, lifted) = self.func.resolve(store.opaque())?;
        lifted.call(
            instance,
            None,
            |cx, lanes| lower_params(cx, &lifted.shape, &params, lanes),
            |cx, lanes| lift_typed_result(cx, &lifted.shape, lanes),
        )
    }
}

#[inline]
pub(crate) fn lower_params<P: ComponentNamedList + Lower>(
    cx: &mut LowerContext<'_>,
    shape: &CallShape,
    params: &P,
    dst: &mut [Lane],
) -> Result<()> {
    if shape.flat_params {
        return params.lower(cx, shape.params, first_mut(dst, lanes::<P>())?);
    }
    let (size, align) = (P::LAYOUT.size(cx.width()), P::LAYOUT.align(cx.width()));
    let at = cx.allocate(align, size.into(), Content::Values)?;
    params.store(cx, shape.params, at)?;
    first_mut(dst, 1)?.fill(Lane::from_u64(at as u64));
    Ok(())
}

#[inline]
pub(crate) fn lift_typed_result<R: ComponentNamedList + Lift>(
    cx: &mut LiftContext<'_>,
    shape: &CallShape,
    src: &[Lane],
) -> Result<R> {
    if shape.flat_result {
        return R::lift_result(cx, shape.result, first(src, lanes::<R>())?);
    }
    let (size, align) = (R::LAYOUT.size(cx.width()), R::LAYOUT.align(cx.width()));
    let at = cx.address(src.first().copied().unwrap_or(Lane::ZERO));
    let bytes = cx.value_bytes(at, size, align)?;
    R::load_result(cx, shape.result, bytes)
}
