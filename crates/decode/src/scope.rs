//! Index spaces: what each index of a component (or of a component or instance type)
//! stands for while its definitions are being run.
//!
//! ```text
//!  scope of the root  <-- outer --  scope of a nested component's instance
//!                     <-- outer --  scope of an instance type
//! ```
//!
//! A scope only ever grows, and an outer alias only names what came before it, so a
//! nested component or type keeps the id of the scope it was defined in and reads it
//! when it is instantiated. Everything that is not a name is concrete already.
//!
//! Lookups are checked: validation has checked all indices, so a miss is our bug.

use crate::error::{bug, unsupported};
use crate::plan::{
    ComponentId, CoreDef, CoreInstanceId, CoreKind, FuncItem, InstanceItem, Item, ModuleRef,
    ModuleType, TypeItem,
};
use helve_abi::PointerWidth;
use helve_abi::types::{FuncTypeId, InterfaceType, ResourceTypeId};
use helve_base::core_type::FuncType as CoreFuncType;
use helve_base::{Result, entity_impl};
use std::collections::HashMap;
use std::sync::Arc;
use wasmparser::ComponentExternalKind;

/// One of the scopes of a resolver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ScopeId(u32);
entity_impl!(ScopeId, "scope");

/// A core instance as core code of the component sees it.
#[derive(Clone, Debug)]
pub(crate) enum CoreInstanceItem {
    /// An instance of a core module.
    Module(CoreInstanceId),
    /// Definitions under new names.
    Inline(Arc<HashMap<Arc<str>, CoreItem>>),
}

/// A core definition.
#[derive(Clone, Debug)]
pub(crate) enum CoreItem {
    Func(CoreDef),
    /// With the width of its indices.
    Table(CoreDef, PointerWidth),
    /// With the width of its addresses.
    Memory(CoreDef, PointerWidth),
    Global(CoreDef),
    Tag(CoreDef),
}

impl CoreItem {
    /// Where it comes from.
    pub fn def(&self) -> &CoreDef {
        match self {
            CoreItem::Func(def)
            | CoreItem::Table(def, _)
            | CoreItem::Memory(def, _)
            | CoreItem::Global(def)
            | CoreItem::Tag(def) => def,
        }
    }
}

/// A core type.
#[derive(Clone, Debug)]
pub(crate) enum CoreTypeItem {
    /// A function type.
    Func(CoreFuncType),
    /// A module type.
    Module(Arc<ModuleType>),
    /// One that a plan cannot express: garbage-collected, or naming another type.
    Other,
}

/// The index spaces of one component instance, component type or instance type.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// The scope around it.
    pub outer: Option<ScopeId>,
    pub core_funcs: Vec<CoreDef>,
    pub core_tables: Vec<(CoreDef, PointerWidth)>,
    pub core_memories: Vec<(CoreDef, PointerWidth)>,
    pub core_globals: Vec<CoreDef>,
    pub core_tags: Vec<CoreDef>,
    pub core_types: Vec<CoreTypeItem>,
    pub core_modules: Vec<ModuleRef>,
    pub core_instances: Vec<CoreInstanceItem>,
    pub components: Vec<ComponentId>,
    pub instances: Vec<Arc<InstanceItem>>,
    pub funcs: Vec<FuncItem>,
    pub types: Vec<TypeItem>,
}

/// What `index` of a space stands for.
pub(crate) fn at<'s, T>(space: &'s [T], index: u32, what: &str) -> Result<&'s T> {
    space
        .get(index as usize)
        .ok_or_else(|| bug(format!("{what} {index} is not among {}", space.len())))
}

impl Scope {
    /// A scope with nothing in it.
    pub fn new(outer: Option<ScopeId>) -> Scope {
        Scope {
            outer,
            ..Scope::default()
        }
    }

    /// Adds a component-level item to its index space.
    pub fn push(&mut self, item: Item) {
        match item {
            Item::Func(func) => self.funcs.push(func),
            Item::Instance(instance) => self.instances.push(instance),
            Item::Module(module) => self.core_modules.push(module),
            Item::Component(component) => self.components.push(component),
            Item::Type(ty) => self.types.push(ty),
        }
    }

    /// The component-level item at an index. Values are refused before they get here.
    pub fn item(&self, kind: ComponentExternalKind, index: u32) -> Result<Item> {
        Ok(match kind {
            ComponentExternalKind::Func => Item::Func(*at(&self.funcs, index, "function")?),
            ComponentExternalKind::Instance => {
                Item::Instance(at(&self.instances, index, "instance")?.clone())
            }
            ComponentExternalKind::Module => {
                Item::Module(*at(&self.core_modules, index, "core module")?)
            }
            ComponentExternalKind::Component => {
                Item::Component(*at(&self.components, index, "component")?)
            }
            ComponentExternalKind::Type => Item::Type(*at(&self.types, index, "type")?),
            ComponentExternalKind::Value => return Err(bug("a value was not refused")),
        })
    }

    /// Adds a core definition to its index space.
    pub fn push_core(&mut self, item: CoreItem) {
        match item {
            CoreItem::Func(def) => self.core_funcs.push(def),
            CoreItem::Table(def, width) => self.core_tables.push((def, width)),
            CoreItem::Memory(def, width) => self.core_memories.push((def, width)),
            CoreItem::Global(def) => self.core_globals.push(def),
            CoreItem::Tag(def) => self.core_tags.push(def),
        }
    }

    /// The core definition at an index.
    pub fn core_item(&self, kind: CoreKind, index: u32) -> Result<CoreItem> {
        Ok(match kind {
            CoreKind::Func => CoreItem::Func(at(&self.core_funcs, index, "core function")?.clone()),
            CoreKind::Table => {
                let (def, width) = at(&self.core_tables, index, "core table")?;
                CoreItem::Table(def.clone(), *width)
            }
            CoreKind::Memory => {
                let (def, width) = at(&self.core_memories, index, "core memory")?;
                CoreItem::Memory(def.clone(), *width)
            }
            CoreKind::Global => {
                CoreItem::Global(at(&self.core_globals, index, "core global")?.clone())
            }
            CoreKind::Tag => CoreItem::Tag(at(&self.core_tags, index, "core tag")?.clone()),
        })
    }

    /// The resource type at an index.
    pub fn resource(&self, index: u32) -> Result<ResourceTypeId> {
        match at(&self.types, index, "type")? {
            TypeItem::Resource(id) => Ok(*id),
            other => Err(bug(format!("type {index} is {other:?}, not a resource"))),
        }
    }

    /// The value type at an index.
    pub fn value_type(&self, index: u32) -> Result<InterfaceType> {
        match at(&self.types, index, "type")? {
            TypeItem::Value(ty) => Ok(*ty),
            other => Err(bug(format!("type {index} is {other:?}, not a value type"))),
        }
    }

    /// The function type at an index.
    pub fn func_type(&self, index: u32) -> Result<FuncTypeId> {
        match at(&self.types, index, "type")? {
            TypeItem::Func(id) => Ok(*id),
            other => Err(bug(format!(
                "type {index} is {other:?}, not a function type"
            ))),
        }
    }

    /// The core function type at an index, unless a plan cannot express it.
    pub fn core_func_type(&self, index: u32) -> Result<Option<CoreFuncType>> {
        match at(&self.core_types, index, "core type")? {
            CoreTypeItem::Func(ty) => Ok(Some(ty.clone())),
            CoreTypeItem::Other => Ok(None),
            CoreTypeItem::Module(_) => Err(bug(format!("core type {index} is a module type"))),
        }
    }

    /// The module type at an index; `offset` is for the message.
    pub fn module_type(&self, index: u32, offset: u64) -> Result<Arc<ModuleType>> {
        match at(&self.core_types, index, "core type")? {
            CoreTypeItem::Module(ty) => Ok(ty.clone()),
            CoreTypeItem::Other => {
                let what = "a core module type that names garbage-collected types";
                Err(unsupported(what, offset))
            }
            other => Err(bug(format!(
                "core type {index} is {other:?}, not of a module"
            ))),
        }
    }

    /// What the type at an index stands for.
    pub fn type_item(&self, index: u32) -> Result<TypeItem> {
        Ok(*at(&self.types, index, "type")?)
    }
}
