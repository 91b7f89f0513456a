//! Exceptions as the host sees them.
//!
//! ```text
//!   guest throws, nothing catches it --> Func::call fails; Store::exception finds it in
//!                                        the error
//!   host function fails with Store::throw(exn), or with such an error --> the guest that
//!                                        called it can catch it
//! ```
//!
//! An exception that the host has seen as a value lives as long as its store; one in an
//! error as long as the error. Not here: throwing from frame to frame (helve-vm).
//!
//! # Safety
//!
//! An `ExnRef` is only followed with its store at hand, which keeps the exception.

use crate::core::context::{AsContext, AsContextMut};
use crate::core::global::Tag;
use crate::core::store::{StoreId, StoreOpaque};
use crate::core::value::Val;
use crate::core::wrap::Caller;
use crate::{StoreContext, StoreContextMut};
use helve_base::vmctx::{VMException, ValRaw};
use helve_base::{Bug, Error, Result, ensure};
use helve_vm::exception::{Exceptions, ThrownException, create};
use std::ptr::NonNull;

/// An exception of a store: a tag, and values of its types.
///
/// ```
/// # use helve::core::{ExnRef, FuncType, Linker, Module, Tag, Val, ValType};
/// # use helve::{Config, Engine, Result, Store};
/// # fn main() -> Result<()> {
/// # let engine = Engine::new(&Config::new())?;
/// let mut store = Store::new(&engine, ());
/// let module = Module::new(&engine, r#"(module
///     (tag $t (export "t") (param i32))
///     (func (export "run") (throw $t (i32.const 7))))"#)?;
/// let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
/// let run = instance.get_typed_func::<(), ()>(&store, "run")?;
/// let error = run.call(&mut store, ()).unwrap_err();
/// let exception = store.exception(&error).expect("it threw one");
/// assert_eq!(Some(exception.tag(&store)?), instance.get_export(&store, "t").unwrap().into_tag());
/// assert!(matches!(exception.values(&store)?[..], [Val::I32(7)]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExnRef {
    pub(crate) store: StoreId,
    pub(crate) ptr: NonNull<VMException>,
}

// SAFETY: the pointer is only followed with the store at hand.
unsafe impl Send for ExnRef {}
// SAFETY: as above.
unsafe impl Sync for ExnRef {}

impl ExnRef {
    /// An exception with this tag, which nobody has thrown yet.
    ///
    /// # Errors
    ///
    /// Where the values are not of the tag's types, or the store holds as many exceptions
    /// as it may ([`Limits::exception_bytes`](crate::Limits::exception_bytes)).
    pub fn new(mut store: impl AsContextMut, tag: &Tag, values: &[Val]) -> Result<ExnRef> {
        let mut store = store.as_context_mut();
        let ty = tag.ty(&store)?;
        let store = store.opaque();
        ensure!(
            values.len() == ty.params.len(),
            "{} values where the tag's type is {ty}",
            values.len()
        );
        let raw: Result<Vec<ValRaw>> = values
            .iter()
            .zip(&ty.params)
            .map(|(val, ty)| val.to_raw(store, *ty))
            .collect();
        let raw = raw?;
        // SAFETY: the store is ours, the tag is of it and has these types.
        let made = unsafe { create(store.ptr().vm(), tag.ptr.as_ptr(), raw.len()) };
        let made = made.ok_or_else(|| {
            Error::msg(
                "the store holds as many exceptions as it may; raise Limits::exception_bytes",
            )
        })?;
        // SAFETY: it has room for these values, and is not at work yet.
        unsafe { payload(made).copy_from_nonoverlapping(raw.as_ptr(), raw.len()) };
        Ok(ExnRef::of(store, made))
    }

    /// What compiled code knows as `ptr`, kept from now on.
    pub(crate) fn of(store: &StoreOpaque, ptr: NonNull<VMException>) -> ExnRef {
        store.exceptions.get().keep(ptr);
        ExnRef {
            store: store.id(),
            ptr,
        }
    }

    /// Its tag.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn tag(&self, store: impl AsContext) -> Result<Tag> {
        store.as_context().opaque().check(self.store)?;
        // SAFETY: the store is the right one, so the exception is there.
        let tag = NonNull::new(unsafe { self.ptr.as_ref() }.tag);
        Ok(Tag {
            store: self.store,
            ptr: tag.ok_or_else(|| Bug("an exception without a tag".into()))?,
        })
    }

    /// What it carries.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn values(&self, store: impl AsContext) -> Result<Vec<Val>> {
        let store = store.as_context();
        let ty = self.tag(store)?.ty(store)?;
        let store = store.opaque();
        let values = ty.params.iter().enumerate().map(|(i, &ty)| {
            // SAFETY: as above; its values are of the tag's types.
            unsafe { Val::from_raw(&*payload(self.ptr).add(i), ty, store) }
        });
        Ok(values.collect())
    }
}

/// Owns a store's exceptions without claiming to be the only pointer to them.
pub(crate) struct ExceptionsBox(NonNull<Exceptions>);

// SAFETY: it moves with its store.
unsafe impl Send for ExceptionsBox {}

impl ExceptionsBox {
    pub fn new(most_bytes: usize) -> ExceptionsBox {
        ExceptionsBox(NonNull::from(Box::leak(Exceptions::new(most_bytes))))
    }

    /// For the VM.
    pub fn as_ptr(&self) -> *mut u8 {
        self.0.as_ptr().cast()
    }

    pub fn get(&self) -> &Exceptions {
        // SAFETY: ours; the VM uses its pointer only while a guest runs, and then nobody is
        // here.
        unsafe { self.0.as_ref() }
    }

    pub fn get_mut(&mut self) -> &mut Exceptions {
        // SAFETY: as above.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for ExceptionsBox {
    fn drop(&mut self) {
        // SAFETY: made from a box by `new`.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

fn payload(exception: NonNull<VMException>) -> *mut ValRaw {
    exception.as_ptr().wrapping_add(1).cast()
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// An error that stands for this exception: a core host function that fails with it
    /// throws it, and the guest that called can catch it.
    pub fn throw(&mut self, exception: ExnRef) -> Error {
        let store = self.opaque();
        if let Err(error) = store.check(exception.store) {
            return error;
        }
        let vm = store.ptr().vm();
        Error::new(store.exceptions.get_mut().hold(exception.ptr, vm))
    }
}

impl<T: 'static> StoreContext<'_, T> {
    /// The exception that a call failed with, if that is why.
    pub fn exception(&self, error: &Error) -> Option<ExnRef> {
        let store = self.opaque();
        let thrown = error.downcast_ref::<ThrownException>()?;
        let ptr = thrown.of(store.ptr().vm())?;
        Some(ExnRef::of(store, ptr))
    }
}

impl<T: 'static> Caller<'_, T> {
    /// As [`StoreContextMut::throw`].
    pub fn throw(&mut self, exception: ExnRef) -> Error {
        self.as_context_mut().throw(exception)
    }

    /// As [`StoreContext::exception`].
    pub fn exception(&self, error: &Error) -> Option<ExnRef> {
        self.as_context().exception(error)
    }
}

impl<T: 'static> crate::Store<T> {
    /// As [`StoreContextMut::throw`].
    pub fn throw(&mut self, exception: ExnRef) -> Error {
        self.as_context_mut().throw(exception)
    }

    /// As [`StoreContext::exception`].
    pub fn exception(&self, error: &Error) -> Option<ExnRef> {
        self.as_context().exception(error)
    }
}
