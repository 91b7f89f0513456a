//! Core instances: which definition each import of a core module is bound to.
//!
//! Instances made of inline exports are only new names for definitions, so they leave
//! no trace in the plan.

use crate::error::{bug, limit, mismatch};
use crate::plan::*;
use crate::reader::external_kind;
use crate::resolve::Resolver;
use crate::scope::{CoreInstanceItem, CoreItem, ScopeId, at};
use helve_abi::PointerWidth;
use helve_base::Result;
use helve_base::core_type::ExternType;
use std::collections::HashMap;
use std::sync::Arc;
use wasmparser::{Export, ExternalKind, Instance, InstantiationArg};

impl<'a> Resolver<'a> {
    /// A core instance definition.
    pub fn core_instance(
        &mut self,
        scope: ScopeId,
        owner: ComponentInstanceId,
        instance: &Instance<'a>,
    ) -> Result<()> {
        let item = match instance {
            Instance::Instantiate { module_index, args } => {
                let module = *at(
                    &self.scopes[scope].core_modules,
                    *module_index,
                    "core module",
                )?;
                self.instantiate_module(scope, owner, module, args)?
            }
            Instance::FromExports(exports) => self.inline_exports(scope, exports)?,
        };
        self.scopes[scope].core_instances.push(item);
        Ok(())
    }

    fn inline_exports(
        &mut self,
        scope: ScopeId,
        exports: &[Export<'a>],
    ) -> Result<CoreInstanceItem> {
        self.charge(exports.len())?;
        let mut items = HashMap::with_capacity(exports.len());
        for export in exports {
            let kind = external_kind(export.kind);
            let item = self.scopes[scope].core_item(kind, export.index)?;
            items.insert(export.name.into(), item);
        }
        Ok(CoreInstanceItem::Inline(items.into()))
    }

    fn instantiate_module(
        &mut self,
        scope: ScopeId,
        owner: ComponentInstanceId,
        module: ModuleRef,
        args: &[InstantiationArg<'a>],
    ) -> Result<CoreInstanceItem> {
        let most = self.options.limits.instances;
        if self.plan.core_instances.len() >= most {
            let message = format!("more than {most} core instances");
            return Err(limit(message, self.offset));
        }
        let mut instances = HashMap::with_capacity(args.len());
        for arg in args {
            let instance = at(
                &self.scopes[scope].core_instances,
                arg.index,
                "core instance",
            )?;
            instances.insert(arg.name, instance.clone());
        }
        let mut defs = Vec::new();
        match module {
            ModuleRef::Static(id) => {
                let imports = self.plan.modules[id].imports.clone();
                self.charge(imports.len())?;
                for import in imports.iter() {
                    defs.push(argument(
                        &instances,
                        &import.module,
                        &import.name,
                        import.kind,
                    )?);
                }
            }
            ModuleRef::Imported(id) => {
                let ty = self.plan.imported_modules[id].ty.clone();
                self.charge(ty.imports.len())?;
                for (module, name, ty) in &ty.imports {
                    defs.push(argument(&instances, module, name, extern_kind(ty))?);
                }
            }
        }
        let name = self.core_instance_name(scope);
        let id = self.plan.core_instances.push(CoreInstance {
            module,
            owner,
            args: defs.into(),
            name,
        });
        self.plan.steps.push(Step::Instantiate(id));
        Ok(CoreInstanceItem::Module(id))
    }

    /// An alias of a core instance's export.
    pub fn core_alias(
        &mut self,
        scope: ScopeId,
        kind: ExternalKind,
        instance: u32,
        name: &str,
    ) -> Result<()> {
        let instance = at(
            &self.scopes[scope].core_instances,
            instance,
            "core instance",
        )?;
        let item = match instance {
            CoreInstanceItem::Inline(items) => items.get(name).cloned(),
            CoreInstanceItem::Module(id) => {
                let def = export_of(*id, name, external_kind(kind));
                Some(match external_kind(kind) {
                    CoreKind::Func => CoreItem::Func(def),
                    CoreKind::Table => CoreItem::Table(def, self.width_of(*id, name)),
                    CoreKind::Memory => CoreItem::Memory(def, self.width_of(*id, name)),
                    CoreKind::Global => CoreItem::Global(def),
                    CoreKind::Tag => CoreItem::Tag(def),
                })
            }
        };
        let item = item.ok_or_else(|| bug(format!("no core export `{name}` to alias")))?;
        self.scopes[scope].push_core(item);
        Ok(())
    }

    /// The width of the addresses or indices of an exported memory or table.
    fn width_of(&self, instance: CoreInstanceId, name: &str) -> PointerWidth {
        let wide = match self.plan.core_instances[instance].module {
            ModuleRef::Static(id) => self.bytes.facts[id].wide.contains(name),
            ModuleRef::Imported(id) => match self.plan.imported_modules[id].ty.exports.get(name) {
                Some(ExternType::Memory(ty)) => ty.memory64,
                Some(ExternType::Table(ty)) => ty.table64,
                _ => false,
            },
        };
        match wide {
            true => PointerWidth::P64,
            false => PointerWidth::P32,
        }
    }
}

fn export_of(instance: CoreInstanceId, name: &str, kind: CoreKind) -> CoreDef {
    CoreDef::Export {
        instance,
        name: name.into(),
        kind,
    }
}

/// What the import `module` `name` is bound to.
fn argument(
    instances: &HashMap<&str, CoreInstanceItem>,
    module: &Arc<str>,
    name: &Arc<str>,
    kind: CoreKind,
) -> Result<CoreDef> {
    let found = match instances.get(&**module) {
        Some(CoreInstanceItem::Module(id)) => Some(CoreDef::Export {
            instance: *id,
            name: name.clone(),
            kind,
        }),
        Some(CoreInstanceItem::Inline(items)) => items.get(name).map(|item| item.def().clone()),
        None => None,
    };
    // Validation has seen to it, but for modules of components that a linker supplies.
    found.ok_or_else(|| {
        mismatch(format!(
            "a core module imports `{module}` `{name}`, which its type does not have"
        ))
    })
}

fn extern_kind(ty: &ExternType) -> CoreKind {
    match ty {
        ExternType::Func(_) => CoreKind::Func,
        ExternType::Table(_) => CoreKind::Table,
        ExternType::Memory(_) => CoreKind::Memory,
        ExternType::Global(_) => CoreKind::Global,
        ExternType::Tag(_) => CoreKind::Tag,
    }
}
