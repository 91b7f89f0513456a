//! The plan: everything that instantiating a component does, flat, with all names,
//! aliases and nested components resolved. Owned data; nothing in it borrows the file.
//!
//! ```text
//!   imports --------> Item tree; leaves are ImportedFuncId, ImportedModuleId, ResourceTypeId
//!   steps ----------> Instantiate(CoreInstanceId) | DefineResource(ResourceTypeId), in order
//!                          |
//!   CoreInstance: module + one CoreDef per module import
//!                          |
//!   CoreDef: Export of a CoreInstance | Lowered (canon lower) | Builtin (canon resource.new ...)
//!                                           |
//!   Lowered: callee = FuncRef::Imported | FuncRef::Lifted  (which lift meets which lower)
//!                                           |
//!   Lifted (canon lift): a CoreDef, a function type, options
//!
//!   exports --------> Item tree; functions in it are FuncRefs
//! ```
//!
//! Every core instance, lift, lower and built-in names the component instance that
//! owns it. Resource types are generative: one [`ResourceTypeId`] per resource type of
//! each component *instance*. All types are interned in [`Plan::types`].
//!
//! Not here: how the plan is made (`resolve`), questions about it (`reflect`,
//! `adapter`), and anything that runs.

use crate::named_list::NamedList;
use helve_abi::CanonBuiltin;
use helve_abi::types::{FuncTypeId, InterfaceType, ResourceTypeId, Types};
use helve_base::core_type::ExternType;
use helve_base::{PrimaryMap, entity_impl};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);
        entity_impl!($name, $prefix);
    )*};
}

ids! {
    /// A core module that stands in the component's bytes.
    StaticModuleId = "module";
    /// A core module that the component imports.
    ImportedModuleId = "imported_module";
    /// A function that the component imports, at any depth of imported instances.
    ImportedFuncId = "imported_func";
    /// A component value: a component that is defined or imported. Only a name for it:
    /// the plan has flattened all instances of components away.
    ComponentId = "component";
    /// An instance type or component type. Only a name for it.
    TypeTemplateId = "type_template";
    /// An instance of the root component or of one nested in it; 0 is the root.
    ComponentInstanceId = "component_instance";
    /// An instance of a core module.
    CoreInstanceId = "core_instance";
    /// A `canon lower`.
    LoweredId = "lowered";
    /// A `canon lift`.
    LiftedId = "lifted";
    /// A canonical built-in.
    CanonBuiltinId = "canon_builtin";
    /// A set of canonical options.
    OptionsId = "options";
}

/// All that there is to know about a component in order to compile, link and run it.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Every type that anything below names.
    pub types: Types,
    /// Every core module in the bytes, nested and unused ones too: all of them must be
    /// validated ([`crate::Options::validate_bodies`]).
    pub modules: PrimaryMap<StaticModuleId, StaticModule>,
    /// What the root component imports, by name, unused ones too.
    pub imports: NamedList<Import>,
    /// Every function among the imports.
    pub imported_funcs: PrimaryMap<ImportedFuncId, ImportedFunc>,
    /// Every core module among the imports.
    pub imported_modules: PrimaryMap<ImportedModuleId, ImportedModule>,
    /// Every component among the imports. A plan that has any shows what the component
    /// is; only one that was made with those components ([`crate::decode_linked`]) can be
    /// instantiated.
    pub imported_components: Vec<ImportPath>,
    /// What remains to be checked of the modules in components that were given.
    pub module_checks: Vec<ModuleCheck>,
    /// Every resource type, imported or defined.
    pub resources: PrimaryMap<ResourceTypeId, ResourceDef>,
    /// Every component instance; the root is the first.
    pub component_instances: PrimaryMap<ComponentInstanceId, ComponentInstanceInfo>,
    /// Every core instance.
    pub core_instances: PrimaryMap<CoreInstanceId, CoreInstance>,
    /// Every `canon lower`.
    pub lowered: PrimaryMap<LoweredId, Lowered>,
    /// Every `canon lift`.
    pub lifted: PrimaryMap<LiftedId, Lifted>,
    /// Every other canonical definition.
    pub builtins: PrimaryMap<CanonBuiltinId, BuiltinDef>,
    /// Every set of canonical options that one of the above has; equal sets have equal ids.
    pub options: PrimaryMap<OptionsId, CanonicalOptions>,
    /// What instantiating does, in this order.
    pub steps: Vec<Step>,
    /// What the root component exports, by name.
    pub exports: NamedList<Export>,
}

/// A core module that stands in the component's bytes.
#[derive(Clone, Debug)]
pub struct StaticModule {
    /// Where, in the component's bytes.
    pub range: Range<usize>,
    /// Its imports, in its own order, which is that of [`CoreInstance::args`].
    pub imports: Arc<[ModuleImport]>,
}

/// One import of a core module.
#[derive(Clone, Debug)]
pub struct ModuleImport {
    /// The first of its two names.
    pub module: Arc<str>,
    /// The second.
    pub name: Arc<str>,
    /// What it is.
    pub kind: CoreKind,
}

/// The kinds of things that a core instance has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CoreKind {
    /// A function.
    Func,
    /// A table.
    Table,
    /// A memory.
    Memory,
    /// A global.
    Global,
    /// A tag.
    Tag,
}

/// The names from an import of the root down to a thing in it, outermost first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct ImportPath(pub Arc<[Arc<str>]>);

impl ImportPath {
    /// This path and one more name.
    pub fn join(&self, name: &Arc<str>) -> ImportPath {
        ImportPath(self.0.iter().chain([name]).cloned().collect())
    }

    /// The name of the root's import.
    pub fn root(&self) -> &str {
        self.0.first().map_or("", |name| name)
    }

    /// The last name.
    pub fn leaf(&self) -> &str {
        self.0.last().map_or("", |name| name)
    }
}

impl fmt::Display for ImportPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { "#" })?;
        }
        Ok(())
    }
}

/// What an import or export says about itself beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameAttributes {
    /// The interface that an instance of a plain name implements.
    pub implements: Option<Box<str>>,
    /// What follows the canonical version in the name, or in `implements`.
    pub version_suffix: Option<Box<str>>,
    /// A name of the outside's.
    pub external_id: Option<Box<str>>,
}

/// An import of the root component.
#[derive(Clone, Debug)]
pub struct Import {
    /// Its attributes.
    pub attributes: NameAttributes,
    /// What it is, with the types that the linker has to match.
    pub item: Item,
}

/// An export of the root component.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its attributes.
    pub attributes: NameAttributes,
    /// What it is.
    pub item: Item,
}

/// What a name of the Component Model can stand for.
#[derive(Clone, Debug)]
pub enum Item {
    /// A function.
    Func(FuncItem),
    /// An instance: more names.
    Instance(Arc<InstanceItem>),
    /// A core module.
    Module(ModuleRef),
    /// A component.
    Component(ComponentId),
    /// A type.
    Type(TypeItem),
}

impl Item {
    /// The noun for messages: "function", "instance", ...
    pub fn noun(&self) -> &'static str {
        match self {
            Item::Func(_) => "function",
            Item::Instance(_) => "instance",
            Item::Module(_) => "core module",
            Item::Component(_) => "component",
            Item::Type(TypeItem::Resource(_)) => "resource",
            Item::Type(_) => "type",
        }
    }
}

/// A function and its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncItem {
    /// Where it comes from.
    pub func: FuncRef,
    /// Its type.
    pub ty: FuncTypeId,
}

/// A component-level function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FuncRef {
    /// An import of the root: what it is, only the linker knows.
    Imported(ImportedFuncId),
    /// A `canon lift` of one of the component instances.
    Lifted(LiftedId),
}

/// A component-level instance.
#[derive(Clone, Debug, Default)]
pub struct InstanceItem {
    /// What it has.
    pub exports: NamedList<Item>,
}

/// A core module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModuleRef {
    /// It stands in the component's bytes.
    Static(StaticModuleId),
    /// It is imported.
    Imported(ImportedModuleId),
}

/// What a type name can stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeItem {
    /// A resource type.
    Resource(ResourceTypeId),
    /// A value type.
    Value(InterfaceType),
    /// A function type.
    Func(FuncTypeId),
    /// An instance type.
    Instance(TypeTemplateId),
    /// A component type.
    Component(TypeTemplateId),
}

/// An imported function.
#[derive(Clone, Debug)]
pub struct ImportedFunc {
    /// Its names.
    pub path: ImportPath,
    /// The type it must have.
    pub ty: FuncTypeId,
}

/// An imported core module.
#[derive(Clone, Debug)]
pub struct ImportedModule {
    /// Its names.
    pub path: ImportPath,
    /// The type it must have.
    pub ty: Arc<ModuleType>,
    /// Which of the modules given to [`crate::decode_linked`] it is; none where it is one of
    /// the plan's own imports.
    pub captured: Option<usize>,
}

/// That a module must have a type, where validation could not look.
#[derive(Clone, Debug)]
pub struct ModuleCheck {
    /// Where, for messages.
    pub path: ImportPath,
    /// The module.
    pub module: GivenModule,
    /// The type it must have.
    pub ty: Arc<ModuleType>,
}

/// What is known of a module that must have some type.
#[derive(Clone, Debug)]
pub enum GivenModule {
    /// It stands in one of the files.
    Static(StaticModuleId),
    /// It has this type.
    Typed(Arc<ModuleType>),
}

/// The type of a core module: what it may import and must export.
#[derive(Clone, Debug, Default)]
pub struct ModuleType {
    /// (module, name, type), in the type's order, which is that of [`CoreInstance::args`]
    /// (the module that the linker supplies may import less, and in another order).
    pub imports: Vec<(Arc<str>, Arc<str>, ExternType)>,
    /// (name, type).
    pub exports: NamedList<ExternType>,
}

/// A resource type.
#[derive(Clone, Debug)]
pub struct ResourceDef {
    /// Where it comes from.
    pub origin: ResourceOrigin,
    /// What the file calls it, where it does.
    pub name: Option<Arc<str>>,
}

impl ResourceDef {
    /// Whether representations are 64 bits wide, as far as the plan knows.
    pub fn is_wide(&self) -> bool {
        matches!(self.origin, ResourceOrigin::Defined { rep64: true, .. })
    }
}

/// Where a resource type comes from.
#[derive(Clone, Debug)]
pub enum ResourceOrigin {
    /// An import of the root: the linker supplies it.
    Imported {
        /// Its names.
        path: ImportPath,
    },
    /// A component instance defines it.
    Defined {
        /// Which one: only its core code sees representations.
        owner: ComponentInstanceId,
        /// Whether representations are 64 bits wide.
        rep64: bool,
        /// What is called with the representation when the last handle goes.
        dtor: Option<CoreDef>,
    },
}

/// An instance of the root component or of one nested in it.
#[derive(Clone, Debug)]
pub struct ComponentInstanceInfo {
    /// The instance whose definitions instantiated it; none for the root.
    pub parent: Option<ComponentInstanceId>,
    /// Where it stands, for messages: "root", "root / outer", "root / outer / inner".
    pub path: Arc<str>,
    /// Whether it has a `canon lower`: without, its children cannot be entered from it.
    pub has_lower: bool,
}

/// One thing that instantiating does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes a core instance and runs its start function.
    Instantiate(CoreInstanceId),
    /// Makes a resource type; what its destructor is an export of exists already.
    DefineResource(ResourceTypeId),
}

/// An instance of a core module.
#[derive(Clone, Debug)]
pub struct CoreInstance {
    /// Of which module.
    pub module: ModuleRef,
    /// The component instance it belongs to.
    pub owner: ComponentInstanceId,
    /// What each import of the module is, in the order of [`StaticModule::imports`] or
    /// [`ModuleType::imports`].
    pub args: Box<[CoreDef]>,
    /// What the file calls it, where it does.
    pub name: Option<Arc<str>>,
}

/// Where a core function, table, memory, global or tag comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CoreDef {
    /// An export of a core instance that an earlier step made.
    Export {
        /// Which instance.
        instance: CoreInstanceId,
        /// The export's name.
        name: Arc<str>,
        /// What it is.
        kind: CoreKind,
    },
    /// A component-level function made a core one.
    Lowered(LoweredId),
    /// A canonical built-in.
    Builtin(CanonBuiltinId),
}

/// Canonical options whose functions and memory are core definitions of the plan.
pub type CanonicalOptions = helve_abi::CanonicalOptions<CoreDef>;

/// A `canon lower`: a component-level function made a core one.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// What it calls.
    pub callee: FuncRef,
    /// The callee's type.
    pub ty: FuncTypeId,
    /// The caller's options.
    pub options: OptionsId,
    /// The component instance that calls.
    pub owner: ComponentInstanceId,
}

/// A `canon lift`: a core function made a component-level one.
#[derive(Clone, Debug)]
pub struct Lifted {
    /// What it calls.
    pub core: CoreDef,
    /// Its type.
    pub ty: FuncTypeId,
    /// The callee's options.
    pub options: OptionsId,
    /// The component instance that is called.
    pub owner: ComponentInstanceId,
}

/// A canonical built-in as a core function of one component instance.
#[derive(Clone, Debug)]
pub struct BuiltinDef {
    /// Which one, with its immediates.
    pub op: CanonBuiltin,
    /// Its options; those of `waitable-set.wait` and `.poll` have just a memory, those of
    /// built-ins without any are the default ones.
    pub options: OptionsId,
    /// The table that `thread.new-indirect` takes functions from.
    pub table: Option<CoreDef>,
    /// The component instance whose core code calls it.
    pub owner: ComponentInstanceId,
}
