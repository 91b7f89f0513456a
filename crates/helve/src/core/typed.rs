//! Calls whose types Rust knows: nothing is looked up, nothing is allocated.
//!
//! Not here: host functions (`wrap.rs`), which use the same traits the other way round.
//!
//! # Safety
//!
//! [`Func::typed`] checks the types once; a [`TypedFunc`] relies on that and on its
//! store's id.

use crate::core::asynchronous::Drive;
use crate::core::backtrace::exit_error;
use crate::core::context::AsContextMut;
use crate::core::func::{Func, call_raw};
use crate::core::store::StoreOpaque;
use crate::core::value::{ExternRef, ZERO};
use helve_base::core_type::{RefType, ValType};
use helve_base::vmctx::{EntryTrampoline, ValRaw};
use helve_base::{Result, ensure};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A Rust type that is a core value type. Sealed: no other types can implement it.
pub trait WasmTy: Copy + Send + sealed::Sealed + 'static {
    #[doc(hidden)]
    const TYPE: ValType;
    #[doc(hidden)]
    fn into_raw(self, store: sealed::Store<'_>) -> Result<ValRaw>;
    /// # Safety
    ///
    /// `raw` was written with type `TYPE` by code of this store.
    #[doc(hidden)]
    unsafe fn from_raw(raw: &ValRaw, store: sealed::Store<'_>) -> Self;
}

pub(crate) mod sealed {
    use super::StoreOpaque;
    pub trait Sealed {}
    /// Hides the store from the public face of the traits.
    #[derive(Clone, Copy)]
    #[allow(missing_debug_implementations)]
    pub struct Store<'a>(pub(crate) &'a StoreOpaque);
}

macro_rules! numbers {
    ($($ty:ty = $wasm:ident, $field:ident, |$to:ident| $into:expr, |$from:ident| $back:expr;)*) => {$(
        impl sealed::Sealed for $ty {}
        impl WasmTy for $ty {
            const TYPE: ValType = ValType::$wasm;
            #[inline]
            fn into_raw(self, _store: sealed::Store<'_>) -> Result<ValRaw> {
                let $to = self;
                Ok(ValRaw { $field: $into })
            }
            #[inline]
            unsafe fn from_raw(raw: &ValRaw, _store: sealed::Store<'_>) -> Self {
                // SAFETY: written with this type.
                let $from = unsafe { raw.$field };
                $back
            }
        }
    )*};
}

numbers! {
    i32 = I32, i32, |v| v, |v| v;
    u32 = I32, i32, |v| v as i32, |v| v as u32;
    i64 = I64, i64, |v| v, |v| v;
    u64 = I64, i64, |v| v as i64, |v| v as u64;
    f32 = F32, f32, |v| v.to_bits(), |v| f32::from_bits(v);
    f64 = F64, f64, |v| v.to_bits(), |v| f64::from_bits(v);
    u128 = V128, v128, |v| v.to_le_bytes(), |v| u128::from_le_bytes(v);
}

impl sealed::Sealed for Option<Func> {}
impl WasmTy for Option<Func> {
    const TYPE: ValType = ValType::Ref(RefType::FUNCREF);

    fn into_raw(self, store: sealed::Store<'_>) -> Result<ValRaw> {
        let Some(func) = self else { return Ok(ZERO) };
        store.0.check(func.store)?;
        Ok(ValRaw {
            funcref: func.ptr.as_ptr(),
        })
    }

    unsafe fn from_raw(raw: &ValRaw, store: sealed::Store<'_>) -> Self {
        // SAFETY: written with this type.
        NonNull::new(unsafe { raw.funcref }).map(|ptr| Func {
            store: store.0.id(),
            ptr,
        })
    }
}

impl sealed::Sealed for Option<ExternRef> {}
impl WasmTy for Option<ExternRef> {
    const TYPE: ValType = ValType::Ref(RefType::EXTERNREF);

    fn into_raw(self, store: sealed::Store<'_>) -> Result<ValRaw> {
        let Some(value) = self else { return Ok(ZERO) };
        store.0.check(value.store())?;
        Ok(ValRaw {
            externref: value.word(),
        })
    }

    unsafe fn from_raw(raw: &ValRaw, store: sealed::Store<'_>) -> Self {
        // SAFETY: written with this type.
        ExternRef::from_word(unsafe { raw.externref }, store.0.id())
    }
}

/// Parameters of a [`TypedFunc`]: one value or a tuple of up to 16.
pub trait WasmParams: Send + sealed::Sealed {
    #[doc(hidden)]
    type Slots: Copy;
    #[doc(hidden)]
    const EMPTY: Self::Slots;
    #[doc(hidden)]
    fn check(types: &[ValType]) -> Result<()>;
    #[doc(hidden)]
    fn write(self, slots: &mut Self::Slots, store: sealed::Store<'_>) -> Result<()>;
}

/// Results of a [`TypedFunc`]: nothing, one value or a tuple of up to 16.
pub trait WasmResults: Sized + sealed::Sealed {
    #[doc(hidden)]
    type Slots: Copy;
    #[doc(hidden)]
    const EMPTY: Self::Slots;
    #[doc(hidden)]
    fn check(types: &[ValType]) -> Result<()>;
    /// # Safety
    ///
    /// `slots` were written with these types by code of this store.
    #[doc(hidden)]
    unsafe fn read(slots: &Self::Slots, store: sealed::Store<'_>) -> Self;
    #[doc(hidden)]
    fn types() -> Vec<ValType>;
    /// # Safety
    ///
    /// The first `slots` were written with these types by code of this store.
    #[doc(hidden)]
    unsafe fn read_from(slots: &[ValRaw], store: sealed::Store<'_>) -> Result<Self> {
        ensure!(
            size_of::<Self::Slots>() <= size_of_val(slots),
            "fewer values than expected"
        );
        // SAFETY: `Slots` is an array of `ValRaw`, of which there are enough.
        Ok(unsafe { Self::read(&*slots.as_ptr().cast(), store) })
    }
}

/// An argument array that a future holds.
pub(crate) struct SendSlots<S>(pub Box<S>);

// SAFETY: raw values are good for their store, with which the future moves.
unsafe impl<S> Send for SendSlots<S> {}

/// Parameters and results in one array.
#[repr(C)]
union Slots<P: Copy, R: Copy> {
    params: P,
    results: R,
}

fn check(what: &str, wanted: &[ValType], actual: &[ValType]) -> Result<()> {
    ensure!(
        wanted == actual,
        "the host's Rust type has {} {what}(s), or other ones, than the guest's function",
        wanted.len()
    );
    Ok(())
}

impl<A: WasmTy> WasmParams for A {
    type Slots = [ValRaw; 1];
    const EMPTY: Self::Slots = [ZERO];
    fn check(types: &[ValType]) -> Result<()> {
        check("parameter", &[A::TYPE], types)
    }
    #[inline]
    fn write(self, slots: &mut Self::Slots, store: sealed::Store<'_>) -> Result<()> {
        slots[0] = self.into_raw(store)?;
        Ok(())
    }
}

impl<A: WasmTy> WasmResults for A {
    type Slots = [ValRaw; 1];
    const EMPTY: Self::Slots = [ZERO];
    fn check(types: &[ValType]) -> Result<()> {
        check("result", &[A::TYPE], types)
    }
    #[inline]
    unsafe fn read(slots: &Self::Slots, store: sealed::Store<'_>) -> Self {
        // SAFETY: as the caller says.
        unsafe { A::from_raw(&slots[0], store) }
    }
    fn types() -> Vec<ValType> {
        vec![A::TYPE]
    }
}

macro_rules! tuples {
    ($($n:literal: $($ty:ident $i:tt)*;)*) => {$(
        impl<$($ty: WasmTy),*> sealed::Sealed for ($($ty,)*) {}

        impl<$($ty: WasmTy),*> WasmParams for ($($ty,)*) {
            type Slots = [ValRaw; $n];
            const EMPTY: Self::Slots = [ZERO; $n];
            fn check(types: &[ValType]) -> Result<()> {
                check("parameter", &[$($ty::TYPE),*], types)
            }
            #[inline]
            fn write(self, _slots: &mut Self::Slots, _store: sealed::Store<'_>) -> Result<()> {
                $(_slots[$i] = self.$i.into_raw(_store)?;)*
                Ok(())
            }
        }

        impl<$($ty: WasmTy),*> WasmResults for ($($ty,)*) {
            type Slots = [ValRaw; $n];
            const EMPTY: Self::Slots = [ZERO; $n];
            fn check(types: &[ValType]) -> Result<()> {
                check("result", &[$($ty::TYPE),*], types)
            }
            #[inline]
            unsafe fn read(_slots: &Self::Slots, _store: sealed::Store<'_>) -> Self {
                // SAFETY: as the caller says.
                $(let $ty = unsafe { $ty::from_raw(&_slots[$i], _store) };)*
                ($($ty,)*)
            }
            fn types() -> Vec<ValType> {
                vec![$($ty::TYPE),*]
            }
        }
    )*};
}

// The row of no types gives `()`, written as the macro writes all tuples.
#[allow(non_snake_case, clippy::unused_unit)]
mod tuples {
    use super::*;
    tuples! {
        0: ;
        1: A 0;
        2: A 0 B 1;
        3: A 0 B 1 C 2;
        4: A 0 B 1 C 2 D 3;
        5: A 0 B 1 C 2 D 3 E 4;
        6: A 0 B 1 C 2 D 3 E 4 F 5;
        7: A 0 B 1 C 2 D 3 E 4 F 5 G 6;
        8: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7;
        9: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8;
        10: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9;
        11: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10;
        12: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11;
        13: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12;
        14: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13;
        15: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14;
        16: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14 P 15;
    }
}

/// A function whose parameters are `P` and whose results are `R`.
pub struct TypedFunc<P, R> {
    func: Func,
    trampoline: EntryTrampoline,
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
        f.debug_tuple("TypedFunc").field(&self.func).finish()
    }
}

impl<P, R> TypedFunc<P, R> {
    /// `trampoline` is that of the function's type, which has been checked.
    pub(crate) fn new(func: Func, trampoline: EntryTrampoline) -> Self {
        TypedFunc {
            func,
            trampoline,
            types: PhantomData,
        }
    }

    /// The function.
    pub fn func(&self) -> Func {
        self.func
    }
}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// The argument array; as a union it is as long as the longer of the two.
    #[inline]
    fn slots(store: &StoreOpaque, params: P) -> Result<Slots<P::Slots, R::Slots>> {
        let mut written = P::EMPTY;
        params.write(&mut written, sealed::Store(store))?;
        // Results that are more than the parameters need their place initialised too.
        let mut slots = Slots { results: R::EMPTY };
        slots.params = written;
        Ok(slots)
    }

    /// Calls it.
    ///
    /// # Errors
    ///
    /// Where the guest traps, or a host function it calls fails.
    #[inline]
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R> {
        let mut store = store.as_context_mut();
        let opaque = store.opaque();
        opaque.check(self.func.store)?;
        let mut slots = Self::slots(opaque, params)?;
        let store = store.store_ptr();
        // SAFETY: types were checked when this was made, the store now; no reference to
        // the store is alive across the call. The function then has written its results.
        unsafe {
            call_raw(
                store,
                self.func.ptr,
                self.trampoline,
                (&raw mut slots).cast(),
            )
            .map_err(exit_error)?;
            Ok(R::read(&slots.results, sealed::Store(store.get())))
        }
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
        params: P,
    ) -> Result<R> {
        let mut store = store.as_context_mut();
        store.opaque().check(self.func.store)?;
        let mut slots = SendSlots(Box::new(Self::slots(store.opaque(), params)?));
        let args = (&raw mut *slots.0).cast();
        // SAFETY: as in `call`; `store` and `slots` stay borrowed while the drive lives.
        unsafe { Drive::new(store.store_ptr(), self.func.ptr, self.trampoline, args) }.await?;
        // SAFETY: the function has written its results.
        Ok(unsafe { R::read(&slots.0.results, sealed::Store(store.opaque())) })
    }
}
