//! Functions: handles, types, dynamic calls.
//!
//! A [`Func`] is the address of the `VMFuncRef` that compiled code uses too, with the
//! store it lives in. Not here: typed calls (`typed.rs`), host functions (`host.rs`,
//! `wrap.rs`).
//!
//! # Safety
//!
//! A `Func`'s pointer stays valid as long as its store; every use first checks that the
//! store at hand, which is therefore alive, is that one. No reference into the store is
//! held across [`call_raw`].

use crate::core::asynchronous::Drive;
use crate::core::backtrace::exit_error;
use crate::core::context::{AsContext, AsContextMut};
use crate::core::engine::Engine;
use crate::core::host::{HostFunc, RawCaller};
use crate::core::store::{StoreId, StoreOpaque, StorePtr};
use crate::core::typed::{SendSlots, TypedFunc, WasmParams, WasmResults, sealed};
use crate::core::value::{Val, ZERO};
use crate::core::wrap::{Caller, IntoFunc, WasmRet};
use helve_base::core_type::FuncType;
use helve_base::id::SharedTypeId;
use helve_base::vmctx::{EntryTrampoline, VMFuncRef, ValRaw};
use helve_base::{Bug, Result, ensure};
use helve_vm::traps::Exit;
use smallvec::SmallVec;
use std::ptr::NonNull;
use std::sync::Arc;

/// A function of a store: a guest's or the host's.
///
/// ```
/// # use helve::{Engine, Config, Store, core::*};
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let double = Func::wrap(&mut store, |n: i32| n * 2);
/// let double = double?.typed::<i32, i32>(&store)?;
/// assert_eq!(double.call(&mut store, 21)?, 42);
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Func {
    pub(crate) store: StoreId,
    pub(crate) ptr: NonNull<VMFuncRef>,
}

// SAFETY: the pointer is only followed with the store at hand.
unsafe impl Send for Func {}
// SAFETY: as above.
unsafe impl Sync for Func {}

/// Calls a function with arguments in `args`, which takes the results.
///
/// # Safety
///
/// `func` is of `store`, whose thread this is; `trampoline` is that of its type; `args`
/// has room for parameters and results, and holds parameters of the right types. No
/// reference to the store or into it is alive.
#[inline]
pub(crate) unsafe fn call_raw(
    store: StorePtr,
    func: NonNull<VMFuncRef>,
    trampoline: EntryTrampoline,
    args: *mut ValRaw,
) -> Result<(), Exit> {
    // SAFETY: as the caller says.
    unsafe {
        let VMFuncRef { slot, vmctx, .. } = *func.as_ptr();
        helve_vm::traps::enter(store.vm(), trampoline, *slot, vmctx, args)
    }
}

impl Func {
    /// A host function with a dynamic type. `f` gets arguments of the parameters' types
    /// and sets results, which are checked against the results' types.
    ///
    /// # Errors
    ///
    /// Where the store has no room for one more.
    pub fn new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        f: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Func> {
        let mut store = store.as_context_mut();
        let host = dynamic(store.engine(), ty, f);
        Func::from_host(store.opaque(), &host)
    }

    /// A host function that is a closure: of numbers, `Option<Func>`, `Option<ExternRef>`;
    /// with a [`Caller`] first if it wants one; returning nothing, one value, a tuple, or
    /// a `Result` of these.
    ///
    /// # Errors
    ///
    /// Where the store has no room for one more.
    pub fn wrap<T: 'static, P, R>(
        mut store: impl AsContextMut<Data = T>,
        f: impl IntoFunc<T, P, R>,
    ) -> Result<Func> {
        let mut store = store.as_context_mut();
        let host = f.into_func(store.engine());
        Func::from_host(store.opaque(), &host)
    }

    /// A host function on raw values: see [`HostFunc::new`].
    pub(crate) fn new_raw(
        store: &mut StoreOpaque,
        ty: &FuncType,
        f: impl Fn(RawCaller, &mut [ValRaw]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Func> {
        let host = HostFunc::new(store.engine(), ty, false, f);
        Func::from_host(store, &host)
    }

    pub(crate) fn from_host(store: &mut StoreOpaque, host: &HostFunc) -> Result<Func> {
        let ptr = host.new_in(store, None)?;
        Ok(Func {
            store: store.id(),
            ptr,
        })
    }

    /// Its engine-wide type. The store must be alive.
    pub(crate) fn type_id(self) -> SharedTypeId {
        // SAFETY: callers have the store at hand; the field never changes.
        SharedTypeId::from_u32(unsafe { (*self.ptr.as_ptr()).type_id })
    }

    /// Its type.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn ty(&self, store: impl AsContext) -> Result<FuncType> {
        Ok((*self.shared_type(store.as_context().opaque())?).clone())
    }

    pub(crate) fn shared_type(&self, store: &StoreOpaque) -> Result<Arc<FuncType>> {
        store.check(self.store)?;
        let ty = store.engine().types().get(self.type_id());
        ty.ok_or_else(|| Bug("a function without a type".into()).into())
    }

    /// Calls it. `results` must be as many as its type says; what they hold is replaced.
    ///
    /// # Errors
    ///
    /// Where arguments don't fit, the guest traps, or a host function it calls fails.
    pub fn call(
        &self,
        mut store: impl AsContextMut,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        let opaque = store.opaque();
        let ty = self.shared_type(opaque)?;
        let mut args = arguments(opaque, &ty, params, results)?;
        let trampoline = opaque.engine().entry_trampoline(self.type_id())?;
        // SAFETY: checked above: store, types and room; `opaque` is not used any more.
        let left = unsafe { call_raw(store.store_ptr(), self.ptr, trampoline, args.as_mut_ptr()) };
        left.map_err(exit_error)?;
        for ((raw, ty), val) in args.iter().zip(&ty.results).zip(results) {
            // SAFETY: the function has returned results of its type.
            *val = unsafe { Val::from_raw(raw, *ty, store.opaque()) };
        }
        Ok(())
    }

    /// As [`call`](Self::call), on a stack of its own: host functions made by
    /// `Linker::func_wrap_async` may wait. Dropping the future drops the call where it is.
    ///
    /// # Errors
    ///
    /// As for [`call`](Self::call).
    pub async fn call_async<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        let ty = self.shared_type(store.opaque())?;
        let mut args = SendSlots(Box::new(arguments(store.opaque(), &ty, params, results)?));
        let trampoline = store.engine().entry_trampoline(self.type_id())?;
        let at = args.0.as_mut_ptr();
        // SAFETY: as in `call`; `store` and `args` stay borrowed while the drive lives.
        unsafe { Drive::new(store.store_ptr(), self.ptr, trampoline, at) }.await?;
        for ((raw, ty), val) in args.0.iter().zip(&ty.results).zip(results) {
            // SAFETY: the function has returned results of its type.
            *val = unsafe { Val::from_raw(raw, *ty, store.opaque()) };
        }
        Ok(())
    }

    /// The same function with its type known to Rust: for fast calls.
    pub fn typed<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
    ) -> Result<TypedFunc<P, R>> {
        let store = store.as_context();
        let store = store.opaque();
        let ty = self.shared_type(store)?;
        P::check(&ty.params)
            .and_then(|()| R::check(&ty.results))
            .map_err(|e| e.context(format!("the function's type is {ty}")))?;
        let trampoline = store.engine().entry_trampoline(self.type_id())?;
        Ok(TypedFunc::new(*self, trampoline))
    }
}

/// An argument array, checked.
fn arguments(
    store: &StoreOpaque,
    ty: &FuncType,
    params: &[Val],
    results: &[Val],
) -> Result<SmallVec<[ValRaw; 8]>> {
    ensure!(
        params.len() == ty.params.len() && results.len() == ty.results.len(),
        "{} arguments and room for {} results where the function's type is {ty}",
        params.len(),
        results.len()
    );
    let slots = params.len().max(results.len());
    let mut args = SmallVec::with_capacity(slots);
    for (val, ty) in params.iter().zip(&ty.params) {
        args.push(val.to_raw(store, *ty)?);
    }
    args.resize(slots, ZERO);
    Ok(args)
}

/// A host function with a dynamic type, in no store yet.
pub(crate) fn dynamic<T: 'static>(
    engine: &Engine,
    ty: FuncType,
    f: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
) -> HostFunc {
    let shared = Arc::new(ty);
    let ty = shared.clone();
    HostFunc::new(
        engine,
        &shared,
        true,
        move |caller: RawCaller, args: &mut [ValRaw]| {
            // SAFETY: a host function of a `Store<T>` runs: nothing else borrows from it.
            let mut caller = unsafe { Caller::<T>::new(caller) };
            let mut vals = SmallVec::<[Val; 8]>::new();
            for (raw, ty) in args.iter().zip(&ty.params) {
                // SAFETY: the trampoline has stored parameters of these types.
                vals.push(unsafe { Val::from_raw(raw, *ty, caller.opaque()) });
            }
            let mut results: SmallVec<[Val; 8]> =
                ty.results.iter().map(|ty| Val::default_of(*ty)).collect();
            f(caller.reborrow(), &vals, &mut results)?;
            for ((raw, ty), val) in args.iter_mut().zip(&ty.results).zip(&results) {
                *raw = val.to_raw(caller.opaque(), *ty)?;
            }
            Ok(())
        },
    )
}

/// A host function that may wait, in no store yet.
pub(crate) fn asynchronous<T, P, R, F>(engine: &Engine, f: F) -> HostFunc
where
    T: Send + 'static,
    P: WasmResults + Send + 'static,
    R: WasmRet + 'static,
    F: for<'a> Fn(Caller<'a, T>, P) -> Box<dyn Future<Output = R> + Send + 'a>,
    F: Send + Sync + 'static,
{
    let ty = FuncType::new(P::types(), R::types());
    HostFunc::new_async(engine, &ty, move |raw: RawCaller, slots| {
        // SAFETY: the trampoline has stored parameters of these types; the store's guest
        // waits for the future, which is polled as `asynchronous.rs` says.
        let future = unsafe {
            let params = P::read_from(slots.get(), sealed::Store(raw.store.get()));
            params.map(|params| Box::into_pin(f(Caller::new(raw), params)))
        };
        let store = SendStore(raw.store);
        Box::pin(async move {
            let result = future?.await;
            // SAFETY: the future is gone, and with it its borrow of the store.
            unsafe { result.write(slots.get(), sealed::Store(store.get())) }
        })
    })
}

/// A store's address in a future that moves with the store.
#[derive(Clone, Copy)]
struct SendStore(StorePtr);

// SAFETY: it is used where the future is polled, which its store has moved to.
unsafe impl Send for SendStore {}

impl SendStore {
    /// # Safety
    ///
    /// As for [`StorePtr::get`].
    unsafe fn get<'a>(self) -> &'a StoreOpaque {
        // SAFETY: as the caller says.
        unsafe { self.0.get() }
    }
}
