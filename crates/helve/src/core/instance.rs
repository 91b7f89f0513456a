//! Instances: handles, and what they export.
//!
//! Not here: making them (`instantiate.rs`).
//!
//! # Safety
//!
//! Pointers into an instance's context are handed out as handles, which are good as long
//! as the store (instances live as long as their store).

use crate::core::context::{AsContext, AsContextMut, StoreContextMut};
use crate::core::externs::Extern;
use crate::core::func::Func;
use crate::core::global::{Global, Tag};
use crate::core::instantiate::{self, ImportItem};
use crate::core::memory::Memory;
use crate::core::module::Module;
use crate::core::store::{InstanceId, StoreId, StoreOpaque};
use crate::core::table::Table;
use crate::core::typed::{TypedFunc, WasmParams, WasmResults};
use helve_base::core_type::GlobalType;
use helve_base::{Error, Result};
use helve_compile::module::EntityIndex;
use std::ptr::NonNull;

/// A core instance of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    store: StoreId,
    id: InstanceId,
}

/// What a store keeps of one.
pub(crate) struct InstanceData {
    pub module: Module,
    pub vm: Box<helve_vm::instance::Instance>,
}

impl InstanceData {
    /// A handle for anything of this instance; none for a function whose reference cannot
    /// be taken.
    pub fn entity(&self, store: StoreId, entity: EntityIndex) -> Option<Extern> {
        let module = self.module.inner();
        Some(match entity {
            EntityIndex::Func(i) => {
                let ptr = NonNull::new(self.vm.func_ref(module.info.func_ref(i)?))?;
                Extern::Func(Func { store, ptr })
            }
            EntityIndex::Table(i) => Extern::Table(Table {
                store,
                ptr: NonNull::new(self.vm.table(i))?,
            }),
            EntityIndex::Memory(i) => Extern::Memory(Memory {
                store,
                ptr: NonNull::new(self.vm.memory(i))?,
            }),
            EntityIndex::Global(i) => {
                let ty = module.info.globals.get(i)?;
                let ty = GlobalType {
                    content: module.val_type(ty.content),
                    ..*ty
                };
                Extern::Global(Global {
                    store,
                    ptr: NonNull::new(self.vm.global(i))?,
                    ty,
                })
            }
            EntityIndex::Tag(i) => Extern::Tag(Tag {
                store,
                ptr: NonNull::new(self.vm.tag(i))?,
            }),
        })
    }
}

impl Instance {
    /// Instantiates `module` with `imports` in the order of its own imports.
    ///
    /// # Errors
    ///
    /// Where the imports don't fit, a limit is reached, or the guest traps.
    pub fn new(
        mut store: impl AsContextMut,
        module: &Module,
        imports: &[Extern],
    ) -> Result<Instance> {
        let mut store = store.as_context_mut();
        let items: Vec<ImportItem<'_>> = imports
            .iter()
            .map(|item| ImportItem::Extern(*item))
            .collect();
        Instance::with_items(&mut store, module, &items)
    }

    pub(crate) fn with_items<T: 'static>(
        store: &mut StoreContextMut<'_, T>,
        module: &Module,
        items: &[ImportItem<'_>],
    ) -> Result<Instance> {
        let store_id = store.opaque().id();
        let ptr = store.store_ptr();
        // SAFETY: the store is ours; no reference to it is alive.
        let id = unsafe { instantiate::instantiate(ptr, module, items, None)? };
        Ok(Instance {
            store: store_id,
            id,
        })
    }

    pub(crate) fn of(store: StoreId, id: InstanceId) -> Instance {
        Instance { store, id }
    }

    /// Its number in its store.
    pub(crate) fn id(self) -> InstanceId {
        self.id
    }

    pub(crate) fn get(self, store: &StoreOpaque) -> Result<&InstanceData> {
        store.check(self.store)?;
        store
            .instances
            .get(self.id)
            .ok_or_else(|| Error::msg("no such instance"))
    }

    /// The export with this name.
    pub(crate) fn export_in(self, store: &StoreOpaque, name: &str) -> Option<Extern> {
        let data = self.get(store).ok()?;
        data.entity(self.store, data.module.inner().info.export(name)?)
    }

    /// The module it is an instance of.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn module<'a, T: 'static>(
        &self,
        store: &'a impl AsContext<Data = T>,
    ) -> Result<&'a Module> {
        Ok(&self.get(store.as_context().opaque())?.module)
    }

    /// The export with this name.
    pub fn get_export(&self, store: impl AsContext, name: &str) -> Option<Extern> {
        self.export_in(store.as_context().opaque(), name)
    }

    /// All exports, in order.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn exports(&self, store: impl AsContext) -> Result<Vec<(String, Extern)>> {
        let store = store.as_context();
        let data = self.get(store.opaque())?;
        let exports = data.module.inner().info.exports.iter();
        Ok(exports
            .filter_map(|e| Some((e.name.clone(), data.entity(self.store, e.entity)?)))
            .collect())
    }

    /// The exported function with this name.
    pub fn get_func(&self, store: impl AsContext, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// The exported function with this name and these types.
    ///
    /// # Errors
    ///
    /// Where there is none, or it has other types.
    pub fn get_typed_func<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
        name: &str,
    ) -> Result<TypedFunc<P, R>> {
        let store = store.as_context();
        let func = self.get_func(store, name);
        let func = func.ok_or_else(|| Error::msg(format!("no exported function `{name}`")))?;
        func.typed(store)
            .map_err(|e| e.context(format!("the function `{name}` has another type")))
    }

    /// The exported memory with this name.
    pub fn get_memory(&self, store: impl AsContext, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// The exported table with this name.
    pub fn get_table(&self, store: impl AsContext, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// The exported global with this name.
    pub fn get_global(&self, store: impl AsContext, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }
}
