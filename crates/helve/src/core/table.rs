//! Tables: handles for the host.
//!
//! # Safety
//!
//! As in `memory.rs`.

use crate::core::context::{AsContext, AsContextMut};
use crate::core::store::{StoreId, StoreOpaque};
use crate::core::value::Ref;
use helve_base::core_type::TableType;
use helve_base::vmctx::VMTable;
use helve_base::{Error, Result};
use std::ptr::NonNull;

/// A table of a store.
///
/// ```
/// # use helve::{Engine, Config, Store, core::*};
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let module = Module::new(&engine, r#"(module (table (export "t") 2 funcref))"#)?;
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let table = instance.get_table(&store, "t").expect("it has one");
/// let f = Func::wrap(&mut store, || 7)?;
/// table.set(&mut store, 1, Ref::Func(Some(f)))?;
/// assert!(table.get(&store, 0)?.is_null() && !table.get(&store, 1)?.is_null());
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    pub(crate) store: StoreId,
    pub(crate) ptr: NonNull<VMTable>,
}

// SAFETY: the pointer is only followed with the store at hand.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    /// A table of the host's own, every element `init`.
    ///
    /// # Errors
    ///
    /// Where `init` is not of the type, or a limit of the store does not allow it.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Ref) -> Result<Table> {
        let mut store = store.as_context_mut();
        let store = store.opaque();
        let init = init.to_word(store, ty.element)?;
        let table = store.new_table(&ty, init)?;
        let ptr = NonNull::new(table.definition()).ok_or_else(|| Error::msg("no table"))?;
        store.watch_table(ty.element, ptr.as_ptr());
        store.tables.push(table);
        Ok(Table {
            store: store.id(),
            ptr,
        })
    }

    /// The VM's record of it.
    pub(crate) fn record<'a>(&self, store: &'a StoreOpaque) -> Result<&'a helve_vm::table::Table> {
        store.check(self.store)?;
        // SAFETY: the store is the right one, so the table is alive as long as it is.
        Ok(unsafe { helve_vm::table::Table::of(self.ptr.as_ptr()) })
    }

    /// Its type, as declared.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn ty(&self, store: impl AsContext) -> Result<TableType> {
        Ok(*self.record(store.as_context().opaque())?.ty())
    }

    /// Its elements.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn size(&self, store: impl AsContext) -> Result<u64> {
        Ok(self.record(store.as_context().opaque())?.len())
    }

    /// Element `index`.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn get(&self, store: impl AsContext, index: u64) -> Result<Ref> {
        self.get_in(store.as_context().opaque(), index)
    }

    /// Element `index`.
    pub(crate) fn get_in(&self, store: &StoreOpaque, index: u64) -> Result<Ref> {
        let table = self.record(store)?;
        let word = table
            .get(index)
            .ok_or_else(|| out_of_bounds(table, index))?;
        // SAFETY: elements are of the table's type.
        Ok(unsafe { Ref::from_word(word, table.ty().element.heap, store) })
    }

    /// Sets element `index`.
    ///
    /// # Errors
    ///
    /// Where there is none, or `value` is of another type.
    pub fn set(&self, mut store: impl AsContextMut, index: u64, value: Ref) -> Result<()> {
        let mut store = store.as_context_mut();
        let store = store.opaque();
        let table = self.record(store)?;
        let word = value.to_word(store, table.ty().element)?;
        table
            .set(index, word)
            .ok_or_else(|| out_of_bounds(table, index))
    }

    /// Adds elements; the size before.
    ///
    /// # Errors
    ///
    /// Where its maximum or a limit is exceeded, or `value` is of another type.
    pub fn grow(&self, mut store: impl AsContextMut, elements: u64, value: Ref) -> Result<u64> {
        let mut store = store.as_context_mut();
        let store = store.opaque();
        let word = value.to_word(store, self.record(store)?.ty().element)?;
        // SAFETY: checked just now; the table is apart from the limiter.
        let table = unsafe { helve_vm::table::Table::of(self.ptr.as_ptr()) };
        table
            .grow(elements, word, Some(store.limiter.get()))
            .ok_or_else(|| {
                Error::msg(format!(
                    "a table of {} elements cannot grow by {elements}",
                    table.len()
                ))
            })
    }
}

fn out_of_bounds(table: &helve_vm::table::Table, index: u64) -> Error {
    Error::msg(format!(
        "index {index} is not in a table of {} elements",
        table.len()
    ))
}
