//! Matching what a component imports against what a linker supplies.
//!
//! ```text
//!  plan.imports (names -> items)      NameMap<Definition>
//!        \______ walk together ______/
//!                     |
//!                  Bindings      once per linker and component
//!                     |
//!          instance.resources, imported_funcs, imported_modules
//! ```
//!
//! Everything that is missing is collected and reported at once, with other versions that
//! the linker has beside it. Instances and value types need no definition of their own:
//! only what is in them does. Not here: defining names (`linker`).
//!
//! # Safety
//!
//! Host destructors get the store of the linker's data type: instantiating takes a store
//! of that type.

use crate::component::call::host::HostFunc;
use crate::component::component::Component;
use crate::component::func::Func;
use crate::component::linker::Definition;
use crate::component::resource::{Kind, ResourceType};
use crate::component::state::InstanceData;
use crate::component::store::HostDtor;
use crate::component::typed::TypeCheck;
use crate::core::Module;
use crate::core::context::StoreContextMut;
use crate::core::store::{StoreOpaque, StorePtr};
use helve_abi::names::NameMap;
use helve_abi::types::{FuncTypeId, ResourceTypeId};
use helve_base::core_type::ExternType;
use helve_base::{Error, Result, bail, ensure, error::Context};
use helve_decode::plan::*;
use std::sync::Arc;

/// What an imported function is.
#[derive(Clone)]
pub(crate) enum Binding {
    /// The host's.
    Host(HostFunc),
    /// An export of another instance of the store.
    Guest(Func),
}

/// A destructor of the host, for any store of `T`.
pub(crate) fn host_dtor<T: 'static>(
    dtor: impl Fn(StoreContextMut<'_, T>, u32) -> Result<()> + Send + Sync + 'static,
) -> HostDtor {
    Arc::new(move |store: StorePtr, rep| {
        // SAFETY: see the module: the store is one of `T`, and nothing else borrows from
        // it while a destructor runs.
        dtor(unsafe { store.context::<T>() }, rep)
    })
}

/// A leaf that nobody supplies.
struct Missing {
    path: String,
    noun: &'static str,
    hint: String,
}

/// Imports with their definitions, as far as there are any.
struct Leaf<'a> {
    path: ImportPath,
    item: &'a Item,
    definition: Option<&'a Definition>,
    hint: String,
}

/// All leaves of a component's imports with what `names` has for them.
fn leaves<'a>(plan: &'a Plan, names: &'a NameMap<Definition>) -> Vec<Leaf<'a>> {
    let mut found = Vec::new();
    for (name, import) in plan.imports.iter() {
        let path = ImportPath(Arc::new([name.clone()]));
        // What is defined under the import's own name counts first.
        let interface = import.attributes.implements.as_deref();
        let by_interface = || interface.and_then(|interface| names.get(interface));
        let definition = names.get(name).or_else(by_interface);
        let hint = match definition {
            Some(_) => String::new(),
            None => version_hint(names, interface.unwrap_or(name)),
        };
        collect(&mut found, path, &import.item, definition, &hint);
    }
    found
}

fn version_hint(names: &NameMap<Definition>, name: &str) -> String {
    let others = names.other_versions(name);
    if others.is_empty() {
        return String::new();
    }
    format!(
        " (the linker has {}, which this component can't use)",
        others.join(", ")
    )
}

fn collect<'a>(
    found: &mut Vec<Leaf<'a>>,
    path: ImportPath,
    item: &'a Item,
    definition: Option<&'a Definition>,
    hint: &str,
) {
    let Item::Instance(instance) = item else {
        found.push(Leaf {
            path,
            item,
            definition,
            hint: hint.to_owned(),
        });
        return;
    };
    if let Some(other) = definition
        && !matches!(other, Definition::Instance(_))
    {
        let hint = format!(" (the linker has a {} of that name)", other.noun());
        found.push(Leaf {
            path,
            item,
            definition: None,
            hint,
        });
        return;
    }
    for (name, item) in instance.exports.iter() {
        let inner = match definition {
            Some(Definition::Instance(names)) => names.get(name),
            _ => None,
        };
        collect(found, path.join(name), item, inner, hint);
    }
}

/// Whether a leaf must be supplied.
fn is_needed(plan: &Plan, leaf: &Leaf<'_>) -> bool {
    match leaf.item {
        Item::Func(FuncItem {
            func: FuncRef::Imported(id),
            ..
        }) => plan
            .imported_funcs
            .get(*id)
            .is_some_and(|func| func.path == leaf.path),
        Item::Module(ModuleRef::Imported(_)) | Item::Instance(_) => true,
        Item::Type(TypeItem::Resource(id)) => is_origin(plan, *id, &leaf.path),
        Item::Component(_) => true,
        _ => false,
    }
}

/// Whether a resource type comes in by this path, and not as an alias of another.
fn is_origin(plan: &Plan, id: ResourceTypeId, path: &ImportPath) -> bool {
    matches!(
        plan.resources.get(id),
        Some(ResourceDef { origin: ResourceOrigin::Imported { path: origin }, .. }) if origin == path
    )
}

/// That all of a component's imports are supplied, as far as names go.
pub(crate) fn check(names: &NameMap<Definition>, component: &Component) -> Result<()> {
    let plan = component.plan();
    let missing = leaves(plan, names)
        .into_iter()
        .filter(|leaf| leaf.definition.is_none() && is_needed(plan, leaf));
    report(
        missing
            .map(|leaf| Missing {
                path: leaf.path.to_string(),
                noun: leaf.item.noun(),
                hint: leaf.hint,
            })
            .collect(),
    )
}

fn report(missing: Vec<Missing>) -> Result<()> {
    match missing.as_slice() {
        [] => Ok(()),
        [one] => bail!(
            "the component imports {} `{}`, which nobody supplies{}",
            one.noun,
            one.path,
            one.hint
        ),
        many => {
            let mut text = format!(
                "the component imports {} things that nobody supplies:",
                many.len()
            );
            for one in many {
                text.push_str(&format!("\n  {} `{}`{}", one.noun, one.path, one.hint));
            }
            Err(Error::msg(text))
        }
    }
}

/// What a component's imports are bound to, by one linker: found once, for any number of
/// instances.
#[derive(Clone, Default)]
pub(crate) struct Bindings {
    resources: Vec<(ResourceTypeId, Imported)>,
    hosts: Vec<(ImportedFuncId, HostFunc)>,
    guests: Vec<(ImportedFuncId, FuncTypeId, Func, ImportPath)>,
    modules: Vec<(ImportedModuleId, Module)>,
}

/// An imported resource type.
#[derive(Clone)]
struct Imported {
    ty: ResourceType,
    /// Of a resource of the host: its name, and what ends it.
    host: Option<(Option<Arc<str>>, HostDtor)>,
    path: ImportPath,
}

impl Bindings {
    /// Matches a component's imports against `names`.
    pub fn new(component: &Component, names: &NameMap<Definition>) -> Result<Bindings> {
        check(names, component)?;
        let plan = component.plan();
        let leaves = leaves(plan, names);
        let mut bound = Bindings::default();
        // Functions are checked against resource types, so those come first.
        for leaf in &leaves {
            if let (Item::Type(TypeItem::Resource(id)), Some(definition)) =
                (leaf.item, leaf.definition)
            {
                bound.add_resource(plan, *id, &leaf.path, definition)?;
            }
        }
        for leaf in &leaves {
            if let Some(definition) = leaf.definition {
                bound.add(plan, leaf, definition)?;
            }
        }
        for (id, module) in plan.imported_modules.iter() {
            if let Some(module) = module.captured.and_then(|n| component.source().captured(n)) {
                bound.modules.push((id, module.clone()));
            }
        }
        Ok(bound)
    }

    /// What the resource types of the component are, as far as they are imported.
    fn resource(&self, id: ResourceTypeId) -> ResourceType {
        let found = self.resources.iter().find(|(known, _)| *known == id);
        found.map_or(ResourceType(Kind::Uninstantiated(id)), |(_, imported)| {
            imported.ty
        })
    }

    fn add_resource(
        &mut self,
        plan: &Plan,
        id: ResourceTypeId,
        path: &ImportPath,
        definition: &Definition,
    ) -> Result<()> {
        let (ty, host) = match definition {
            Definition::Resource(ty, dtor) => {
                let name = plan.resources.get(id).and_then(|def| def.name.clone());
                let name = name.or_else(|| path.0.last().cloned());
                (*ty, Some((name, dtor.clone())))
            }
            Definition::GuestResource(ty) => (*ty, None),
            other => bail!(
                "import `{path}`: the component expects a resource, the linker has a {}",
                other.noun()
            ),
        };
        if let Some((_, known)) = self.resources.iter().find(|(known, _)| *known == id) {
            ensure!(
                known.ty == ty,
                "import `{path}`: the component expects the same resource type as elsewhere, the linker has another one"
            );
            return Ok(());
        }
        let path = path.clone();
        self.resources.push((id, Imported { ty, host, path }));
        Ok(())
    }

    /// Binds all but resource types.
    fn add(&mut self, plan: &Plan, leaf: &Leaf<'_>, definition: &Definition) -> Result<()> {
        let path = &leaf.path;
        match (leaf.item, definition) {
            (
                Item::Func(FuncItem {
                    func: FuncRef::Imported(id),
                    ty,
                }),
                Definition::Func(func),
            ) => {
                let resource = |id| self.resource(id);
                func.typecheck(*ty, &TypeCheck::new(&plan.types, &resource))
                    .with_context(|| {
                        format!("import `{path}`: {}", plan.types.display_func(*ty))
                    })?;
                self.hosts.push((*id, func.clone()));
            }
            (
                Item::Func(FuncItem {
                    func: FuncRef::Imported(id),
                    ty,
                }),
                Definition::GuestFunc(func),
            ) => self.guests.push((*id, *ty, *func, path.clone())),
            (Item::Module(ModuleRef::Imported(id)), Definition::Module(module)) => {
                check_module_type(&plan.imported_modules[*id].ty, module)
                    .with_context(|| format!("import `{path}`"))?;
                self.modules.push((*id, module.clone()));
            }
            (Item::Type(_), _) => {}
            // Given when the plan was made.
            (Item::Component(_), Definition::Component(_)) => {}
            (item, other) => bail!(
                "import `{path}`: the component expects a {}, the linker has a {}",
                item.noun(),
                other.noun()
            ),
        }
        Ok(())
    }

    /// Binds the imports of an instance.
    pub fn apply(&self, instance: &InstanceData, store: &StoreOpaque) -> Result<()> {
        for (id, imported) in &self.resources {
            let key = match &imported.host {
                Some((name, dtor)) => {
                    let shared = instance.shared();
                    shared.host_resource(imported.ty, name.clone(), dtor.clone())
                }
                None => instance
                    .shared()
                    .link_resource(imported.ty)
                    .ok_or_else(|| {
                        Error::msg(format!(
                            "import `{}`: a resource type of another store, or of an instance that \
                         is gone",
                            imported.path
                        ))
                    })?,
            };
            set(&instance.resources, *id, key);
        }
        for (id, func) in &self.hosts {
            // Of an async type it is a subtask, unless it was lowered synchronously: then its
            // caller's code is known to block.
            let ty = instance.plan().imported_funcs[*id].ty;
            if func.is_async() && !instance.types()[ty].is_async {
                instance.may_wait.set(true);
            }
            set(&instance.imported_funcs, *id, Binding::Host(func.clone()));
        }
        for (id, ty, func, path) in &self.guests {
            check_guest_func(instance, store, *ty, *func)
                .with_context(|| format!("import `{path}`"))?;
            enters(instance, func.instance(store)?);
            func.begin_use(store)?;
            set(&instance.imported_funcs, *id, Binding::Guest(*func));
        }
        for (id, module) in &self.modules {
            set(&instance.imported_modules, *id, module.clone());
        }
        Ok(())
    }
}

/// An instance can call another one: where one of them needs tasks, both have them.
fn enters(instance: &InstanceData, other: &InstanceData) {
    if instance.tasks() || other.tasks() || other.may_wait.get() {
        instance.use_tasks();
        other.use_tasks();
    }
    // Functions of it that are not async may wait all the same.
    if other.may_wait.get() || other.tasks() {
        instance.may_wait.set(true);
    }
}

fn set<K: helve_base::EntityRef, V>(
    cells: &helve_base::PrimaryMap<K, std::cell::OnceCell<V>>,
    id: K,
    value: V,
) {
    if let Some(cell) = cells.get(id) {
        cell.get_or_init(|| value);
    }
}

fn check_guest_func(
    instance: &InstanceData,
    store: &StoreOpaque,
    ty: FuncTypeId,
    func: Func,
) -> Result<()> {
    let other = func.instance(store)?;
    let other_ty = other.plan().lifted[func.id()].ty;
    let mut same = |a, b| instance.resource_type(a) == other.resource_type(b);
    ensure!(
        instance
            .types()
            .equal_funcs(ty, other.types(), other_ty, &mut same),
        "type mismatch: the component expects {}, the function is {}",
        instance.types().display_func(ty),
        other.types().display_func(other_ty)
    );
    Ok(())
}

/// What modules and types of modules have in common.
pub(crate) trait IsModule {
    /// What it imports.
    fn needs(&self) -> Vec<(&str, &str, ExternType)>;
    /// What it exports under this name.
    fn offers(&self, name: &str) -> Option<ExternType>;
}

impl IsModule for Module {
    fn needs(&self) -> Vec<(&str, &str, ExternType)> {
        self.imports().collect()
    }

    fn offers(&self, name: &str) -> Option<ExternType> {
        self.get_export(name)
    }
}

impl IsModule for ModuleType {
    fn needs(&self) -> Vec<(&str, &str, ExternType)> {
        let imports = self.imports.iter();
        imports
            .map(|(from, name, ty)| (&**from, &**name, ty.clone()))
            .collect()
    }

    fn offers(&self, name: &str) -> Option<ExternType> {
        self.exports.get(name).cloned()
    }
}

/// That a module needs no more, and has no less, than its type says.
pub(crate) fn check_module_type(ty: &ModuleType, module: &dyn IsModule) -> Result<()> {
    for (from, name, found) in module.needs() {
        let expected = ty
            .imports
            .iter()
            .find(|(m, n, _)| **m == *from && **n == *name);
        let Some((_, _, expected)) = expected else {
            bail!("the module imports `{from}` `{name}`, which its type has not");
        };
        crate::core::externs::check_import(&found, expected)
            .with_context(|| format!("import `{from}` `{name}`"))?;
    }
    for (name, expected) in ty.exports.iter() {
        let Some(found) = module.offers(name) else {
            bail!("the module has no export `{name}`");
        };
        crate::core::externs::check_import(expected, &found)
            .with_context(|| format!("export `{name}`"))?;
    }
    Ok(())
}

/// `component` with the components that it imports, as far as it imports any.
pub(crate) fn with_components(
    names: &NameMap<Definition>,
    component: &Component,
) -> Result<Component> {
    let plan = component.plan();
    if plan.imported_components.is_empty() {
        return Ok(component.clone());
    }
    check(names, component)?;
    let mut given = Vec::new();
    for leaf in leaves(plan, names) {
        match (leaf.item, leaf.definition) {
            (Item::Component(_), Some(Definition::Component(found))) => {
                given.push((leaf.path, found.clone()));
            }
            (Item::Component(_), Some(other)) => bail!(
                "import `{}`: the component expects a component, the linker has a {}",
                leaf.path,
                other.noun()
            ),
            _ => {}
        }
    }
    component.with_components(given)
}

/// Supplies what is missing: `func` makes functions, resource types are new ones.
pub(crate) fn define_unknown(
    names: &mut NameMap<Definition>,
    component: &Component,
    func: &dyn Fn(String) -> Definition,
) -> Result<()> {
    let plan = component.plan();
    let missing: Vec<(ImportPath, Item)> = leaves(plan, names)
        .into_iter()
        .filter(|leaf| leaf.definition.is_none() && is_needed(plan, leaf))
        .map(|leaf| (leaf.path, leaf.item.clone()))
        .collect();
    for (path, item) in missing {
        let definition = match item {
            Item::Func(_) => func(path.to_string()),
            Item::Type(TypeItem::Resource(id)) => {
                let text = path.to_string();
                let dtor: HostDtor = Arc::new(move |_, _| {
                    bail!("dropped a resource of `{text}`, which nobody supplies")
                });
                Definition::Resource(ResourceType(Kind::Uninstantiated(id)), dtor)
            }
            other => bail!("import `{path}`: a {} can't be made up", other.noun()),
        };
        insert(names, &path.0, definition)?;
    }
    Ok(())
}

fn insert(
    names: &mut NameMap<Definition>,
    path: &[Arc<str>],
    definition: Definition,
) -> Result<()> {
    let (name, rest) = match path {
        [] => return Ok(()),
        [name] => {
            names.insert(name, definition);
            return Ok(());
        }
        [name, rest @ ..] => (name, rest),
    };
    if names.get_exact(name).is_none() {
        // What another version on the track supplies stays so.
        let inner = match names.get(name) {
            Some(Definition::Instance(inner)) => inner.clone(),
            _ => NameMap::new(),
        };
        names.insert(name, Definition::Instance(inner));
    }
    match names.get_exact_mut(name) {
        Some(Definition::Instance(inner)) => insert(inner, rest, definition),
        _ => bail!("`{name}` is no instance in the linker"),
    }
}
