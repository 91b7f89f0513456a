//! Closures as host functions.
//!
//! Not here: how compiled code gets to them (`host.rs`).
//!
//! # Safety
//!
//! The raw arguments that a closure's wrapper reads were stored by the trampoline of the
//! very type that the closure was registered with.

use crate::core::context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
use crate::core::engine::Engine;
use crate::core::externs::Extern;
use crate::core::host::{HostFunc, RawCaller};
use crate::core::instance::Instance;
use crate::core::store::{InstanceId, StoreOpaque};
use crate::core::typed::{WasmTy, sealed};
use helve_base::Error;
use helve_base::Result;
use helve_base::core_type::{FuncType, ValType};
use helve_base::vmctx::ValRaw;

/// The store that a host function is called in, and who calls.
///
/// ```
/// # use helve::{Engine, Config, core::*};
/// # let engine = Engine::new(&Config::new())?;
/// let mut linker: Linker<u32> = Linker::new(&engine);
/// linker.func_wrap("host", "first-byte", |mut caller: Caller<'_, u32>| -> helve::Result<i32> {
///     *caller.data_mut() += 1;
///     let memory = caller.get_export("memory").and_then(Extern::into_memory);
///     let memory = memory.ok_or_else(|| helve::Error::msg("no memory"))?;
///     Ok(memory.data(&caller)?.first().copied().unwrap_or(0).into())
/// })?;
/// # Ok::<(), helve::Error>(())
/// ```
pub struct Caller<'a, T: 'static> {
    store: StoreContextMut<'a, T>,
    importer: Option<InstanceId>,
}

impl<'a, T: 'static> Caller<'a, T> {
    /// # Safety
    ///
    /// See `StorePtr::context`.
    pub(crate) unsafe fn new(raw: RawCaller) -> Caller<'a, T> {
        // SAFETY: as the caller says.
        let store = unsafe { raw.store.context() };
        Caller {
            store,
            importer: raw.importer,
        }
    }

    pub(crate) fn reborrow(&mut self) -> Caller<'_, T> {
        Caller {
            store: self.store.as_context_mut(),
            importer: self.importer,
        }
    }

    pub(crate) fn opaque(&mut self) -> &mut StoreOpaque {
        self.store.opaque()
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// The host's data, to change.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// The store's engine.
    pub fn engine(&self) -> &Engine {
        self.store.engine()
    }

    /// An export of the instance that imported this function: its memory, for example.
    /// None where it has no such export, or where the host itself calls the function.
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        let instance = Instance::of(self.opaque().id(), self.importer?);
        instance.get_export(&mut self.store, name)
    }
}

impl<T: 'static> AsContextMut for Caller<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        self.store.as_context_mut()
    }
}

impl<T: 'static> AsContext for Caller<'_, T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        self.store.as_context()
    }
}

/// What a host closure may return: nothing, one value, a tuple of up to 16, or a
/// `Result` of these. Sealed.
pub trait WasmRet: return_sealed::Sealed {
    #[doc(hidden)]
    fn types() -> Vec<ValType>;
    #[doc(hidden)]
    fn write(self, slots: &mut [ValRaw], store: sealed::Store<'_>) -> Result<()>;
}

mod return_sealed {
    pub trait Sealed {}
}

fn set(slots: &mut [ValRaw], i: usize, value: impl WasmTy, store: sealed::Store<'_>) -> Result<()> {
    if let Some(slot) = slots.get_mut(i) {
        *slot = value.into_raw(store)?;
    }
    Ok(())
}

impl<A: WasmTy> return_sealed::Sealed for A {}
impl<A: WasmTy> WasmRet for A {
    fn types() -> Vec<ValType> {
        vec![A::TYPE]
    }
    #[inline]
    fn write(self, slots: &mut [ValRaw], store: sealed::Store<'_>) -> Result<()> {
        set(slots, 0, self, store)
    }
}

impl<R: WasmRet, E> return_sealed::Sealed for Result<R, E> {}
impl<R: WasmRet, E: Into<Error>> WasmRet for Result<R, E> {
    fn types() -> Vec<ValType> {
        R::types()
    }
    #[inline]
    fn write(self, slots: &mut [ValRaw], store: sealed::Store<'_>) -> Result<()> {
        self.map_err(Into::into)?.write(slots, store)
    }
}

/// A closure that can be a host function of `Store<T>`. Implemented for all that fit.
pub trait IntoFunc<T, P, R>: Send + Sync + 'static {
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn into_func(self, engine: &Engine) -> HostFunc;
}

macro_rules! closures {
    ($($($ty:ident $i:tt)*;)*) => {$(
        impl<$($ty: WasmTy),*> return_sealed::Sealed for ($($ty,)*) {}
        impl<$($ty: WasmTy),*> WasmRet for ($($ty,)*) {
            fn types() -> Vec<ValType> {
                vec![$($ty::TYPE),*]
            }
            #[inline]
            fn write(self, _slots: &mut [ValRaw], _store: sealed::Store<'_>) -> Result<()> {
                $(set(_slots, $i, self.$i, _store)?;)*
                Ok(())
            }
        }

        impl<T: 'static, $($ty: WasmTy,)* R: WasmRet, Closure> IntoFunc<T, ($($ty,)*), R> for Closure
        where
            Closure: Fn($($ty),*) -> R + Send + Sync + 'static,
        {
            #[allow(private_interfaces)]
            fn into_func(self, engine: &Engine) -> HostFunc {
                let ty = FuncType::new([$($ty::TYPE),*], R::types());
                HostFunc::new(engine, &ty, false, move |caller, args| {
                    // SAFETY: a host function runs: nothing else borrows from the store.
                    let _store = unsafe { caller.store.get() };
                    // SAFETY: the trampoline has stored parameters of these types.
                    $(let $ty = unsafe { $ty::from_raw(&args[$i], sealed::Store(_store)) };)*
                    let result = self($($ty),*);
                    // SAFETY: as above; the closure cannot have kept anything.
                    let store = unsafe { caller.store.get() };
                    result.write(args, sealed::Store(store))
                })
            }
        }

        impl<T: 'static, $($ty: WasmTy,)* R: WasmRet, Closure> IntoFunc<T, (Caller<'_, T>, $($ty,)*), R> for Closure
        where
            Closure: Fn(Caller<'_, T>, $($ty),*) -> R + Send + Sync + 'static,
        {
            #[allow(private_interfaces)]
            fn into_func(self, engine: &Engine) -> HostFunc {
                let ty = FuncType::new([$($ty::TYPE),*], R::types());
                HostFunc::new(engine, &ty, true, move |caller, args| {
                    let _store = caller.store;
                    // SAFETY: a host function runs: nothing else borrows from the store;
                    // the trampoline has stored parameters of these types.
                    $(let $ty = unsafe { $ty::from_raw(&args[$i], sealed::Store(_store.get())) };)*
                    // SAFETY: as above; the result is gone before `_store` is used again.
                    let result = self(unsafe { Caller::new(caller) }, $($ty),*);
                    // SAFETY: as above.
                    result.write(args, sealed::Store(unsafe { _store.get() }))
                })
            }
        }
    )*};
}

#[allow(non_snake_case)]
mod closures {
    use super::*;
    closures! {
        ;
        A1 0;
        A1 0 A2 1;
        A1 0 A2 1 A3 2;
        A1 0 A2 1 A3 2 A4 3;
        A1 0 A2 1 A3 2 A4 3 A5 4;
        A1 0 A2 1 A3 2 A4 3 A5 4 A6 5;
        A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6;
        A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7;
        A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8;
        A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9;
        A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10;
        A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10 A12 11;
        A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10 A12 11 A13 12;
        A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10 A12 11 A13 12 A14 13;
        A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10 A12 11 A13 12 A14 13 A15 14;
        A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10 A12 11 A13 12 A14 13 A15 14 A16 15;
    }
}
