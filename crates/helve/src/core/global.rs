//! Globals and tags: handles for the host.
//!
//! # Safety
//!
//! As in `memory.rs`.

use crate::core::context::{AsContext, AsContextMut};
use crate::core::store::{StoreId, StoreOpaque};
use crate::core::value::Val;
use helve_base::core_type::{FuncType, GlobalType};
use helve_base::id::SharedTypeId;
use helve_base::vmctx::{VMGlobal, VMTag};
use helve_base::{Bug, Error, Result, ensure};
use std::ptr::NonNull;

/// A global of a store.
///
/// ```
/// # use helve::{Engine, Config, Store, core::*};
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let ty = GlobalType { content: ValType::I32, mutable: true };
/// let global = Global::new(&mut store, ty, Val::I32(1))?;
/// global.set(&mut store, Val::I32(2))?;
/// assert!(matches!(global.get(&store)?, Val::I32(2)));
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global {
    pub(crate) store: StoreId,
    pub(crate) ptr: NonNull<VMGlobal>,
    pub(crate) ty: GlobalType,
}

// SAFETY: the pointer is only followed with the store at hand.
unsafe impl Send for Global {}
// SAFETY: as above.
unsafe impl Sync for Global {}

impl Global {
    /// A global of the host's own.
    ///
    /// # Errors
    ///
    /// Where `value` is not of the type, or of another store.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Global> {
        let mut store = store.as_context_mut();
        let store = store.opaque();
        let global = helve_vm::global::Global::new(value.to_raw(store, ty.content)?);
        let ptr = NonNull::new(global.definition()).ok_or_else(|| Error::msg("no global"))?;
        store.watch_global(ty.content, ptr.as_ptr());
        store.globals.push(global);
        Ok(Global {
            store: store.id(),
            ptr,
            ty,
        })
    }

    /// Its type.
    pub fn ty(&self) -> GlobalType {
        self.ty
    }

    /// What it holds.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn get(&self, store: impl AsContext) -> Result<Val> {
        let store = store.as_context();
        let store = store.opaque();
        store.check(self.store)?;
        // SAFETY: the store is the right one, so the global is alive and of its type.
        Ok(unsafe {
            let raw = helve_vm::global::get(self.ptr.as_ptr());
            Val::from_raw(&raw, self.ty.content, store)
        })
    }

    /// Sets it.
    ///
    /// # Errors
    ///
    /// Where it is immutable, or `value` is of another type.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<()> {
        let mut store = store.as_context_mut();
        let store = store.opaque();
        store.check(self.store)?;
        ensure!(self.ty.mutable, "the global is immutable");
        let raw = value.to_raw(store, self.ty.content)?;
        // SAFETY: the store is the right one; `value` is of the global's type.
        unsafe { helve_vm::global::set(self.ptr.as_ptr(), raw) };
        Ok(())
    }
}

/// Owns a tag of the host's without claiming to be its only pointer.
pub(crate) struct HostTag(NonNull<VMTag>);

// SAFETY: it moves with its store.
unsafe impl Send for HostTag {}

impl Drop for HostTag {
    fn drop(&mut self) {
        // SAFETY: made from a box; the store is going, so nobody compares with it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// An exception tag of a store.
///
/// ```
/// # use helve::{Engine, Config, Store, core::*};
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let ty = FuncType { params: [ValType::I32].into(), results: [].into() };
/// let tag = Tag::new(&mut store, &ty)?;
/// assert_eq!(tag.ty(&store)?.params.len(), 1);
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    pub(crate) store: StoreId,
    pub(crate) ptr: NonNull<VMTag>,
}

// SAFETY: the pointer is only followed with the store at hand.
unsafe impl Send for Tag {}
// SAFETY: as above.
unsafe impl Sync for Tag {}

impl Tag {
    /// A tag of the host's own: exceptions with it carry values of the parameters' types.
    ///
    /// # Errors
    ///
    /// Where the type has results.
    pub fn new(mut store: impl AsContextMut, ty: &FuncType) -> Result<Tag> {
        let mut store = store.as_context_mut();
        let store = store.opaque();
        ensure!(
            ty.results.is_empty(),
            "a tag's type has no results, but this one is {ty}"
        );
        let type_id = store.engine().types().intern(ty).as_u32();
        let tag = NonNull::from(Box::leak(Box::new(VMTag { type_id })));
        store.tags.push(HostTag(tag));
        Ok(Tag {
            store: store.id(),
            ptr: tag,
        })
    }

    /// Its type: the payload as parameters.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn ty(&self, store: impl AsContext) -> Result<FuncType> {
        let store = store.as_context();
        let id = self.type_id(store.opaque())?;
        let ty = store.engine().types().get(id);
        ty.map(|ty| (*ty).clone())
            .ok_or_else(|| Bug("a tag without a type".into()).into())
    }

    pub(crate) fn type_id(&self, store: &StoreOpaque) -> Result<SharedTypeId> {
        store.check(self.store)?;
        // SAFETY: the store is the right one, so the tag is alive.
        Ok(SharedTypeId::from_u32(unsafe {
            (*self.ptr.as_ptr()).type_id
        }))
    }
}
