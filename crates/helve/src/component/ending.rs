//! The end of a root instance while its store lives on, with all that it held.
//!
//! ```text
//!  no call of it is under way, nobody imports from it
//!     report     what its tables hold: what a tidy guest would have dropped
//!     handles    owned resources of others: their destructors run
//!     types      resources of its own that others hold are orphans from now on
//!     core       memories, tables, contexts; what the store counted of them is free again
//!     data       its place in the store is used again; handles to it find it gone
//! ```
//!
//! After a trap this is how the dead tree is cleared away, and a fresh instance takes its
//! place. Not here: what stays of a store that ends as a whole, which is nothing.
//!
//! # Safety
//!
//! `&mut Store` says that no guest of the store runs; what waits on a fiber is looked for
//! here. Nothing of the instance is used after it was taken out of the store.

use crate::component::builtins;
use crate::component::inspect::{self, HandleInfo};
use crate::component::instance::Instance;
use crate::component::link::Binding;
use crate::component::state::InstanceData;
use crate::component::store::Destructor;
use crate::core::context::AsContextMut;
use crate::core::store::{Store, StorePtr};
use helve_base::{EntityRef, Result, ensure};
use helve_model::Kind;
use std::cell::OnceCell;
use std::ptr::NonNull;

/// What an instance still held when it was removed.
///
/// ```
/// # use helve::{Engine, Config, Store, component::{Component, Linker}};
/// # let engine = Engine::new(&Config::new())?;
/// # let component = Component::new(&engine, "(component)")?;
/// # let mut store = Store::new(&engine, ());
/// # let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
/// let report = store.remove_instance(instance)?;
/// if !report.is_empty() {
///     eprintln!("the guest leaks: {report}"); // 1 handle is left: root 1: owned resource ..
/// }
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LeakReport {
    /// Every handle in its tables. A guest that drops what it owns leaves none.
    pub handles: Vec<HandleInfo>,
}

impl LeakReport {
    /// Whether it had dropped everything.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }
}

impl std::fmt::Display for LeakReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.handles.len() {
            0 => return f.write_str("nothing is left"),
            1 => f.write_str("1 handle is left:")?,
            count => write!(f, "{count} handles are left:")?,
        }
        self.handles
            .iter()
            .try_for_each(|handle| write!(f, "\n  {handle}"))
    }
}

impl<T: 'static> Store<T> {
    /// Ends `instance` and all nested in it, frees what it had, and runs the destructors of
    /// resources that it owned and others define. Its own memory is gone, so destructors of
    /// its own resources do not run; the host's handles to those are good for nothing any
    /// more. Other instances of the store go on. What is returned is what the guest had not
    /// dropped.
    ///
    /// ```
    /// # use helve::{Engine, Config, Store, component::{Component, Linker}};
    /// # let engine = Engine::new(&Config::new())?;
    /// # let component = Component::new(&engine, "(component)")?;
    /// let pre = Linker::new(&engine).instantiate_pre(&component)?;
    /// let mut store = Store::new(&engine, ());
    /// for _ in 0..1000 {
    ///     let instance = pre.instantiate(&mut store)?;
    ///     // ... calls ...
    ///     assert!(store.remove_instance(instance)?.is_empty());
    /// }
    /// # Ok::<(), helve::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where calls of it are not over (end them, or wait: [`Store::run_until_idle`]), and where
    /// another instance imports from it (remove that one first): then nothing has changed.
    /// Where a destructor fails: then the instance is gone.
    pub fn remove_instance(&mut self, instance: Instance) -> Result<LeakReport> {
        let mut context = self.as_context_mut();
        let store = context.store_ptr();
        let key = instance.key();
        let data = instance.live_data(context.opaque())?;
        ensure!(
            data.users.get() == 0,
            "another instance of the store imports from this one: remove that one first"
        );
        ensure!(
            data.is_quiet(),
            "calls of this instance are not over: wait for them (`run_until_idle`), or end them"
        );
        let report = LeakReport {
            handles: inspect::handles(data),
        };
        let done = end_handles(store, data);
        let data = context.opaque().components.remove(key);
        if let Some(data) = data {
            clear_away(store, data);
        }
        done.map(|()| report)
    }
}

impl InstanceData {
    /// Whether no call of it is under way, or to begin.
    fn is_quiet(&self) -> bool {
        let state = self.shared().drive.state();
        let tasks = |part| state.tasks_of(self, part) > 0;
        let busy = self.tasks() && self.parts.keys().any(tasks);
        !busy && !self.shared().concurrent.calls(NonNull::from(self))
    }
}

/// Ends the handles in its tables: what it owned of others ends with them.
fn end_handles(store: StorePtr, data: &InstanceData) -> Result<()> {
    let mut first = Ok(());
    for (_, part) in data.parts.iter() {
        let slots: Vec<_> = part.with_table(|table| table.iter().collect());
        for (_, slot) in slots {
            let ended = match (slot.kind(), slot.waitable()) {
                (Kind::Own, _) => end_own(store, data, slot.ty().get(), slot.rep()),
                (kind, Some(end)) if kind.has_payload() => {
                    let mut state = data.shared().drive.state();
                    let closed = state.model.with_arena(|arena| arena.close_end(end));
                    closed.map_err(crate::component::drive::other_trap)
                }
                _ => Ok(()),
            };
            first = first.and(ended);
        }
    }
    first
}

fn end_own(store: StorePtr, data: &InstanceData, table_type: u32, rep: u32) -> Result<()> {
    let Some(key) = table_type.checked_sub(1) else {
        return Ok(());
    };
    let key = EntityRef::new(key as usize);
    let shared = data.shared();
    let own =
        matches!(shared.destructor(key)?, Destructor::Guest(definer, _) if definer == data.ptr());
    if own {
        return Ok(());
    }
    builtins::resource::destroy(store, shared, key, rep, None)
}

/// Frees what the store has of it.
fn clear_away(store: StorePtr, data: Box<InstanceData>) {
    // SAFETY: no guest runs, and nothing else borrows from the store.
    let opaque = unsafe { store.get() };
    let shared = data.shared();
    for imported in data.imported_funcs.values().filter_map(OnceCell::get) {
        if let Binding::Guest(func) = imported {
            func.end_use(opaque);
        }
    }
    shared.retire_resources(&data);
    shared.drive.state().forget(&data);
    for instance in data.core.values().filter_map(OnceCell::get) {
        opaque.remove_instance(*instance);
    }
    drop(data);
}
