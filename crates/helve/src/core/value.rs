//! Core values as the host sees them, and how they cross the border.
//!
//! At the border a value is a [`ValRaw`]: sixteen bytes whose type both sides know. Not
//! here: typed calls (`typed.rs`), which skip [`Val`].
//!
//! # Safety
//!
//! Reading a `ValRaw` takes the type it was written with on trust: only what compiled
//! code, checked by its signature, has written is read.

use crate::core::context::{AsContext, AsContextMut};
use crate::core::exception::ExnRef;
use crate::core::func::Func;
use crate::core::store::{StoreId, StoreOpaque};
use helve_base::core_type::{HeapType, RefType, ValType};
use helve_base::vmctx::ValRaw;
use helve_base::{Error, Result, bail, ensure};
use std::any::Any;
use std::fmt;
use std::ptr::NonNull;

/// A value of core WebAssembly.
#[derive(Clone, Copy, Debug)]
pub enum Val {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// 32-bit float, as bits.
    F32(u32),
    /// 64-bit float, as bits.
    F64(u64),
    /// 128-bit vector, little-endian.
    V128(u128),
    /// Reference.
    Ref(Ref),
}

/// A reference, which may be null.
///
/// ```
/// use helve::core::{HeapType, Ref};
/// assert!(Ref::null(HeapType::Func).is_null());
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Ref {
    /// To a function.
    Func(Option<Func>),
    /// To a host value.
    Extern(Option<ExternRef>),
    /// To an exception.
    Exn(Option<ExnRef>),
}

impl Ref {
    /// Whether it refers to nothing.
    pub fn is_null(&self) -> bool {
        matches!(self, Ref::Func(None) | Ref::Extern(None) | Ref::Exn(None))
    }

    /// The null of a type.
    pub fn null(heap: HeapType) -> Ref {
        match heap {
            HeapType::Func | HeapType::ConcreteFunc(_) | HeapType::NoFunc => Ref::Func(None),
            HeapType::Extern | HeapType::NoExtern => Ref::Extern(None),
            HeapType::Exn | HeapType::NoExn => Ref::Exn(None),
        }
    }

    /// As a word for compiled code, checked against `ty`.
    pub(crate) fn to_word(self, store: &StoreOpaque, ty: RefType) -> Result<*mut u8> {
        ensure!(
            ty.nullable || !self.is_null(),
            "a null where the type is {}",
            ValType::Ref(ty)
        );
        match (self, ty.heap) {
            (Ref::Func(None), heap) if heap.is_func() => Ok(std::ptr::null_mut()),
            (Ref::Func(Some(func)), heap) if heap.is_func() => {
                store.check(func.store)?;
                let actual = HeapType::ConcreteFunc(func.type_id());
                ensure!(
                    actual.is_subtype_of(heap),
                    "a function of another type where the type is {}",
                    ValType::Ref(ty)
                );
                Ok(func.ptr.as_ptr().cast())
            }
            (Ref::Extern(None), HeapType::Extern | HeapType::NoExtern) => Ok(std::ptr::null_mut()),
            (Ref::Extern(Some(value)), HeapType::Extern) => {
                store.check(value.store)?;
                Ok(std::ptr::without_provenance_mut(value.word))
            }
            (Ref::Exn(None), HeapType::Exn | HeapType::NoExn) => Ok(std::ptr::null_mut()),
            (Ref::Exn(Some(exn)), HeapType::Exn) => {
                store.check(exn.store)?;
                Ok(exn.ptr.as_ptr().cast())
            }
            _ => bail!(
                "a reference of another type where the type is {}",
                ValType::Ref(ty)
            ),
        }
    }

    /// What a word of compiled code's means.
    ///
    /// # Safety
    ///
    /// `word` is of type `heap`, and of this store.
    pub(crate) unsafe fn from_word(word: *mut u8, heap: HeapType, owner: &StoreOpaque) -> Ref {
        let store = owner.id();
        match heap {
            heap if heap.is_func() => {
                Ref::Func(NonNull::new(word.cast()).map(|ptr| Func { store, ptr }))
            }
            HeapType::Extern | HeapType::NoExtern => {
                Ref::Extern((word.addr() != 0).then(|| ExternRef {
                    store,
                    word: word.addr(),
                }))
            }
            _ => Ref::Exn(NonNull::new(word.cast()).map(|ptr| ExnRef::of(owner, ptr))),
        }
    }
}

/// A host value that guests can hold but not look into. It lives as long as its store.
///
/// ```
/// # use helve::{Engine, Config, Store, core::*};
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let value = ExternRef::new(&mut store, String::from("the host's"))?;
/// let text = value.data(&store)?.downcast_ref::<String>();
/// assert_eq!(text.map(String::as_str), Some("the host's"));
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternRef {
    store: StoreId,
    /// One more than its place in the store.
    word: usize,
}

impl ExternRef {
    /// Puts `value` into the store.
    ///
    /// # Errors
    ///
    /// Where the store has no room for one more.
    pub fn new(mut store: impl AsContextMut, value: impl Any + Send + Sync) -> Result<ExternRef> {
        let mut store = store.as_context_mut();
        let store = store.opaque();
        store.externs.push(Box::new(value));
        Ok(ExternRef {
            store: store.id(),
            word: store.externs.len(),
        })
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn data<'a, T: 'static>(
        &self,
        store: &'a impl AsContext<Data = T>,
    ) -> Result<&'a (dyn Any + Send + Sync)> {
        let store = store.as_context().opaque();
        store.check(self.store)?;
        let value = self.word.checked_sub(1).and_then(|i| store.externs.get(i));
        Ok(&**value.ok_or_else(|| Error::msg("no such externref"))?)
    }

    /// The word that stands for it in compiled code.
    pub(crate) fn word(self) -> usize {
        self.word
    }

    /// See [`Ref::from_word`].
    pub(crate) fn from_word(word: usize, store: StoreId) -> Option<ExternRef> {
        (word != 0).then_some(ExternRef { store, word })
    }

    /// The store it lives in.
    pub(crate) fn store(self) -> StoreId {
        self.store
    }
}

/// A `ValRaw` with every byte zero: null, or 0 of any type.
pub(crate) const ZERO: ValRaw = ValRaw { v128: [0; 16] };

impl Val {
    /// The zero or null of a type.
    pub fn default_of(ty: ValType) -> Val {
        match ty {
            ValType::I32 => Val::I32(0),
            ValType::I64 => Val::I64(0),
            ValType::F32 => Val::F32(0),
            ValType::F64 => Val::F64(0),
            ValType::V128 => Val::V128(0),
            ValType::Ref(ty) => Val::Ref(Ref::null(ty.heap)),
        }
    }

    /// For compiled code, checked against `ty`.
    pub(crate) fn to_raw(self, store: &StoreOpaque, ty: ValType) -> Result<ValRaw> {
        Ok(match (self, ty) {
            (Val::I32(v), ValType::I32) => ValRaw { i32: v },
            (Val::I64(v), ValType::I64) => ValRaw { i64: v },
            (Val::F32(v), ValType::F32) => ValRaw { f32: v },
            (Val::F64(v), ValType::F64) => ValRaw { f64: v },
            (Val::V128(v), ValType::V128) => ValRaw {
                v128: v.to_le_bytes(),
            },
            (Val::Ref(v), ValType::Ref(ty)) => ValRaw {
                funcref: v.to_word(store, ty)?.cast(),
            },
            (val, ty) => bail!("the value {val} where the type is {ty}"),
        })
    }

    /// What compiled code has written.
    ///
    /// # Safety
    ///
    /// `raw` was written with type `ty`, by code of this store.
    pub(crate) unsafe fn from_raw(raw: &ValRaw, ty: ValType, store: &StoreOpaque) -> Val {
        // SAFETY: as the caller says.
        unsafe {
            match ty {
                ValType::I32 => Val::I32(raw.i32),
                ValType::I64 => Val::I64(raw.i64),
                ValType::F32 => Val::F32(raw.f32),
                ValType::F64 => Val::F64(raw.f64),
                ValType::V128 => Val::V128(u128::from_le_bytes(raw.v128)),
                ValType::Ref(ty) => Val::Ref(Ref::from_word(raw.funcref.cast(), ty.heap, store)),
            }
        }
    }
}

impl fmt::Display for Val {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Val::I32(v) => write!(f, "i32:{v}"),
            Val::I64(v) => write!(f, "i64:{v}"),
            Val::F32(v) => write!(f, "f32:{} ({v:#010x})", f32::from_bits(*v)),
            Val::F64(v) => write!(f, "f64:{} ({v:#018x})", f64::from_bits(*v)),
            Val::V128(v) => write!(f, "v128:{v:#034x}"),
            Val::Ref(Ref::Func(None)) => f.write_str("funcref:null"),
            Val::Ref(Ref::Func(Some(_))) => f.write_str("funcref"),
            Val::Ref(Ref::Extern(None)) => f.write_str("externref:null"),
            Val::Ref(Ref::Extern(Some(_))) => f.write_str("externref"),
            Val::Ref(Ref::Exn(None)) => f.write_str("exnref:null"),
            Val::Ref(Ref::Exn(Some(_))) => f.write_str("exnref"),
        }
    }
}

macro_rules! from {
    ($($ty:ty => |$v:ident| $val:expr;)*) => {$(
        impl From<$ty> for Val {
            fn from($v: $ty) -> Val {
                $val
            }
        }
    )*};
}

from! {
    i32 => |v| Val::I32(v);
    i64 => |v| Val::I64(v);
    f32 => |v| Val::F32(v.to_bits());
    f64 => |v| Val::F64(v.to_bits());
    u128 => |v| Val::V128(v);
    Ref => |v| Val::Ref(v);
    Func => |v| Val::Ref(Ref::Func(Some(v)));
    ExternRef => |v| Val::Ref(Ref::Extern(Some(v)));
}
