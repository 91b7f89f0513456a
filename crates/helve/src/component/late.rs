//! What core modules import of their component: made when it is first called.
//!
//! ```text
//!  instantiation   a record for each lowered function and built-in that a module imports
//!  first call      the function is made; the importers' contexts get it in place of the record
//! ```
//!
//! Not here: calls that find the record (`helve_vm::late`), making functions (`instance`).
//!
//! # Safety
//!
//! Records are as old as their instance, and stay where they are as long as it; they are
//! only linked by calls of its code, when the store is alive and nothing borrows from it.

use crate::component::builtins;
use crate::component::fused;
use crate::component::state::{InstanceData, InstancePtr};
use crate::core;
use crate::core::Module;
use crate::core::engine::Engine;
use crate::core::store::StoreOpaque;
use helve_abi::program::CallPrograms;
use helve_base::id::{FuncIndex, SharedTypeId};
use helve_base::vmctx::VMFuncRef;
use helve_base::{Bug, EntityRef, Error, PrimaryMap, Result};
use helve_compile::module::EntityIndex;
use helve_decode::plan::*;
use helve_vm::late::LateImport;
use std::cell::{OnceCell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::Arc;

/// A function that is made of a component's definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LateId {
    Lowered(LoweredId),
    Builtin(CanonBuiltinId),
}

/// What a component knows of its late imports.
pub(crate) struct LateTypes {
    lowered: usize,
    /// Lowered functions, then built-ins.
    infos: Box<[LateInfo]>,
    /// The core instances of each component instance.
    parts: PrimaryMap<ComponentInstanceId, Vec<CoreInstanceId>>,
}

struct LateInfo {
    type_id: SharedTypeId,
    /// Who imports it.
    importers: Vec<(CoreInstanceId, FuncIndex)>,
}

impl LateTypes {
    pub fn new(
        engine: &Engine,
        plan: &Plan,
        modules: &PrimaryMap<StaticModuleId, Module>,
        lowered: &PrimaryMap<LoweredId, Arc<CallPrograms>>,
    ) -> LateTypes {
        let lowered_types = lowered.values().map(|programs| programs.signature.core());
        let builtin_types = plan.builtins.keys().map(|id| builtins::core_type(plan, id));
        let infos = lowered_types.chain(builtin_types).map(|ty| LateInfo {
            type_id: engine.types().intern(&ty),
            importers: Vec::new(),
        });
        let mut late = LateTypes {
            lowered: plan.lowered.len(),
            infos: infos.collect(),
            parts: plan
                .component_instances
                .keys()
                .map(|_| Vec::new())
                .collect(),
        };
        for (instance, def) in plan.core_instances.iter() {
            late.parts[def.owner].push(instance);
            let ModuleRef::Static(module) = def.module else {
                continue;
            };
            let imports = modules[module].inner().info.imports.iter();
            for (import, arg) in imports.zip(def.args.iter()) {
                let id = match arg {
                    CoreDef::Lowered(id) => LateId::Lowered(*id),
                    CoreDef::Builtin(id) => LateId::Builtin(*id),
                    CoreDef::Export { .. } => continue,
                };
                let at = late.place(id);
                if let (EntityIndex::Func(func), Some(info)) =
                    (import.entity, late.infos.get_mut(at))
                {
                    info.importers.push((instance, func));
                }
            }
        }
        late
    }

    /// The core instances of a component instance.
    pub fn core_instances(&self, part: ComponentInstanceId) -> &[CoreInstanceId] {
        self.parts.get(part).map_or(&[], Vec::as_slice)
    }

    fn place(&self, id: LateId) -> usize {
        match id {
            LateId::Lowered(id) => id.index(),
            LateId::Builtin(id) => self.lowered + id.index(),
        }
    }
}

/// One import of one instance.
#[repr(C)]
struct Late {
    /// First: compiled code's pointer to a context is to this.
    import: LateImport,
    instance: InstancePtr,
    id: LateId,
}

/// The late imports of an instance.
#[derive(Default)]
pub(crate) struct Lates(OnceCell<Box<[UnsafeCell<Late>]>>);

impl Lates {
    /// What stands for `id` until it is called.
    pub fn get(
        &self,
        instance: &InstanceData,
        store: &StoreOpaque,
        id: LateId,
    ) -> Result<core::Func> {
        let types = instance.component.late_types();
        let all = self.0.get_or_init(|| make(instance, store, types));
        let late = all.get(types.place(id));
        let late = late.ok_or_else(|| Error::new(Bug("an import of another plan".into())))?;
        Ok(core::Func {
            store: store.id(),
            // SAFETY: see the module.
            ptr: unsafe { LateImport::func_ref(late.get().cast()) },
        })
    }
}

fn make(
    instance: &InstanceData,
    store: &StoreOpaque,
    types: &LateTypes,
) -> Box<[UnsafeCell<Late>]> {
    let plan = instance.plan();
    let lowered = plan.lowered.keys().map(LateId::Lowered);
    let ids = lowered.chain(plan.builtins.keys().map(LateId::Builtin));
    let all = ids.zip(&types.infos).map(|(id, info)| {
        UnsafeCell::new(Late {
            import: LateImport::new(store.ptr().vm(), link, info.type_id.as_u32()),
            instance: instance.ptr(),
            id,
        })
    });
    let all: Box<[UnsafeCell<Late>]> = all.collect();
    for late in &all {
        // SAFETY: they stay there, as long as their instance.
        unsafe { LateImport::settle(late.get().cast()) };
    }
    all
}

/// Makes the function that a record stands for.
///
/// # Safety
///
/// The record is a [`Late`], called by code of its instance.
unsafe fn link(late: *mut LateImport) -> Result<NonNull<VMFuncRef>> {
    // SAFETY: see the module.
    let (instance, id, store) = unsafe {
        let Late { instance, id, .. } = &*late.cast::<Late>();
        let instance = instance.get();
        (instance, *id, instance.store().get())
    };
    let func = match id {
        LateId::Lowered(id) => instance.lowered_func(store, id)?,
        LateId::Builtin(id) => instance.builtin_func(store, id)?,
    };
    let types = instance.component.late_types();
    let info = types.infos.get(types.place(id));
    let import = fused::import(func);
    for (importer, place) in info.iter().flat_map(|info| &info.importers) {
        let importer = instance.core.get(*importer).and_then(OnceCell::get);
        let importer = importer.and_then(|importer| importer.get(store).ok());
        if let Some(importer) = importer {
            // SAFETY: the same function as the record, which it stood for.
            unsafe { importer.vm.set_imported_function(*place, import) };
        }
    }
    Ok(func.ptr)
}
