//! Borrowed stores: what host functions get and what every call takes.
//!
//! Why raw pointers inside: see `store.rs`. Anything that can be lent as a store
//! implements [`AsContext`] or [`AsContextMut`].
//!
//! # Safety
//!
//! A context holds the store's pointer, and the lifetime of the borrow it stands for. It
//! turns the pointer into references for the length of one borrow of itself.

use crate::core::engine::Engine;
use crate::core::store::{StoreInner, StoreOpaque, StorePtr};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A store, to read.
///
/// ```
/// use helve::{AsContext, Config, Engine, Store};
/// let engine = Engine::new(&Config::new())?;
/// let store = Store::new(&engine, "data");
/// let context = store.as_context();
/// assert_eq!(*context.data(), "data");
/// # Ok::<(), helve::Error>(())
/// ```
pub struct StoreContext<'a, T: 'static> {
    ptr: NonNull<StoreInner<T>>,
    borrow: PhantomData<&'a StoreInner<T>>,
}

impl<T: 'static> Clone for StoreContext<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: 'static> Copy for StoreContext<'_, T> {}

/// A store, to use: what a host function gets.
///
/// ```
/// use helve::{Config, Engine, StoreContextMut, component::Linker};
/// let engine = Engine::new(&Config::new())?;
/// let mut linker: Linker<u32> = Linker::new(&engine);
/// linker.root().func_wrap("tick", |mut store: StoreContextMut<'_, u32>, (): ()| {
///     *store.data_mut() += 1;
///     Ok(())
/// })?;
/// # Ok::<(), helve::Error>(())
/// ```
pub struct StoreContextMut<'a, T: 'static> {
    ptr: NonNull<StoreInner<T>>,
    borrow: PhantomData<&'a mut StoreInner<T>>,
}

// SAFETY: it stands for a `&mut StoreInner<T>`, see `Store`.
unsafe impl<T: Send> Send for StoreContextMut<'_, T> {}

impl<'a, T: 'static> StoreContext<'a, T> {
    /// # Safety
    ///
    /// The store must be alive and borrowed for `'a`.
    pub(crate) unsafe fn from_raw(ptr: NonNull<StoreInner<T>>) -> Self {
        StoreContext {
            ptr,
            borrow: PhantomData,
        }
    }

    /// The host's data.
    pub fn data(&self) -> &'a T {
        // SAFETY: borrowed for 'a.
        unsafe { &(*self.ptr.as_ptr()).data }
    }

    /// The store's engine.
    pub fn engine(&self) -> &'a Engine {
        self.opaque().engine()
    }

    /// The store without its data's type.
    pub(crate) fn opaque(&self) -> &'a StoreOpaque {
        // SAFETY: borrowed for 'a.
        unsafe { &(*self.ptr.as_ptr()).opaque }
    }
}

impl<'a, T: 'static> StoreContextMut<'a, T> {
    /// # Safety
    ///
    /// The store must be alive and uniquely borrowed for `'a`.
    pub(crate) unsafe fn from_raw(ptr: NonNull<StoreInner<T>>) -> Self {
        StoreContextMut {
            ptr,
            borrow: PhantomData,
        }
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        // SAFETY: ours for 'a, lent for as long as `self` is.
        unsafe { &(*self.ptr.as_ptr()).data }
    }

    /// The host's data, to change.
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: ours for 'a, lent uniquely for as long as `self` is.
        unsafe { &mut (*self.ptr.as_ptr()).data }
    }

    /// The host's data, for as long as the store is lent.
    pub fn into_data(self) -> &'a mut T {
        // SAFETY: ours for 'a, and `self` is gone.
        unsafe { &mut (*self.ptr.as_ptr()).data }
    }

    /// The store's engine.
    pub fn engine(&self) -> &Engine {
        // SAFETY: as in `data`.
        unsafe { (*self.ptr.as_ptr()).opaque.engine() }
    }

    /// The store without its data's type.
    pub(crate) fn opaque(&mut self) -> &mut StoreOpaque {
        // SAFETY: as in `data_mut`.
        unsafe { &mut (*self.ptr.as_ptr()).opaque }
    }

    /// The store's address, for calls into guests: `self` stays borrowed by whoever calls,
    /// but no reference is alive.
    pub(crate) fn store_ptr(&mut self) -> StorePtr {
        // SAFETY: the store is alive, and its context stands at its start.
        unsafe { StorePtr::from_vm(self.ptr.as_ptr().cast()) }
    }
}

/// Anything that can be lent as a store to read.
///
/// ```
/// use helve::{AsContext, Config, Engine, Store};
/// // Takes a `&Store<u32>`, a context, a `Caller`, an `Access`.
/// fn count(store: impl AsContext<Data = u32>) -> u32 {
///     *store.as_context().data()
/// }
/// let engine = Engine::new(&Config::new())?;
/// assert_eq!(count(&Store::new(&engine, 7)), 7);
/// # Ok::<(), helve::Error>(())
/// ```
pub trait AsContext {
    /// The host's data.
    type Data: 'static;

    /// Lends the store.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// Anything that can be lent as a store to use.
///
/// ```
/// use helve::{AsContextMut, Config, Engine, Store};
/// fn count(mut store: impl AsContextMut<Data = u32>) {
///     *store.as_context_mut().data_mut() += 1;
/// }
/// let engine = Engine::new(&Config::new())?;
/// let mut store = Store::new(&engine, 7);
/// count(&mut store);
/// assert_eq!(*store.data(), 8);
/// # Ok::<(), helve::Error>(())
/// ```
pub trait AsContextMut: AsContext {
    /// Lends the store.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
}

impl<T: AsContext> AsContext for &T {
    type Data = T::Data;

    fn as_context(&self) -> StoreContext<'_, T::Data> {
        T::as_context(self)
    }
}

impl<T: AsContext> AsContext for &mut T {
    type Data = T::Data;

    fn as_context(&self) -> StoreContext<'_, T::Data> {
        T::as_context(self)
    }
}

impl<T: AsContextMut> AsContextMut for &mut T {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T::Data> {
        T::as_context_mut(self)
    }
}

impl<T: 'static> AsContext for StoreContext<'_, T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        *self
    }
}

impl<T: 'static> AsContext for StoreContextMut<'_, T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext {
            ptr: self.ptr,
            borrow: PhantomData,
        }
    }
}

impl<T: 'static> AsContextMut for StoreContextMut<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut {
            ptr: self.ptr,
            borrow: PhantomData,
        }
    }
}

impl<'a, T: 'static, S: AsContextMut<Data = T>> From<&'a mut S> for StoreContextMut<'a, T> {
    fn from(store: &'a mut S) -> Self {
        store.as_context_mut()
    }
}

impl<'a, T: 'static, S: AsContext<Data = T>> From<&'a S> for StoreContext<'a, T> {
    fn from(store: &'a S) -> Self {
        store.as_context()
    }
}
