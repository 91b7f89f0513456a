//! Runs a component's definitions, nested components and all, and writes down what
//! happens: the [`Plan`].
//!
//! ```text
//!  frames:   root            next definition 7 of 12     scope 0
//!            root / a        next definition 3 of 5      scope 4   args by name
//!            root / a / b    next definition 0 of 9      scope 7   args by name
//! ```
//!
//! Instantiating a component pushes a frame that runs the component's definitions with
//! its imports bound to the arguments; at its end, its exports become an instance in the
//! scope below. So every name ends at something concrete, resource types come out one
//! per instance, and what was an alias or a nested component is gone.
//!
//! Nested instantiation can grow exponentially with the file's size and as deep as the
//! file likes: the frames are on our own stack, and limits bound how many instances
//! there are, how deep they nest and how many definitions are run.
//!
//! Not here: types (`types`), canonical definitions (`canon`), core instances (`core`).

use crate::error::{bug, limit, mismatch, unsupported};
use crate::named_list::NamedList;
use crate::origin::GivenItem;
use crate::plan::*;
use crate::reader::{Bytes, ComponentDef, ComponentDefId, Def};
use crate::scope::{Scope, ScopeId, at};
use crate::{Options, core_types};
use helve_abi::types::ResourceTypeId;
use helve_base::{PrimaryMap, Result};
use std::collections::HashMap;
use std::sync::Arc;
use wasmparser::{
    ComponentAlias, ComponentExport, ComponentExternName, ComponentExternalKind, ComponentImport,
    ComponentInstance, ComponentInstantiationArg, ComponentOuterAliasKind,
    ComponentTypeDeclaration, InstanceTypeDeclaration,
};

/// A component as a value: what instantiating it means.
#[derive(Debug)]
pub(crate) enum ComponentValue {
    /// One that stands in the bytes, and the scope around its definition.
    Defined(ComponentDefId, Option<ScopeId>),
    /// One that the linker would supply, of this type.
    Imported(TypeTemplateId, ImportPath),
    /// One that was given where a component of some type was asked for: its instances
    /// show what the type does.
    Seen(ComponentId, TypeTemplateId),
}

/// An instance or component type: its declarations, and the scope around its definition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Template<'a> {
    Instance(&'a [InstanceTypeDeclaration<'a>], ScopeId),
    Component(&'a [ComponentTypeDeclaration<'a>], ScopeId),
}

/// What instantiating a component runs.
pub(crate) enum Target {
    /// The definitions in the bytes, and the scope around them.
    Defined(ComponentDefId, Option<ScopeId>),
    /// Nothing: all that is known is the type.
    Imported(TypeTemplateId, ImportPath),
}

/// A component that is being instantiated.
struct Frame<'a> {
    def: &'a ComponentDef<'a>,
    next: usize,
    scope: ScopeId,
    owner: ComponentInstanceId,
    /// None for the root: its imports become the plan's.
    args: Option<NamedList<Item>>,
    exports: NamedList<Item>,
    /// The types that the component was seen as, the outermost first.
    seen_as: Vec<TypeTemplateId>,
    /// Whether its instance is not for the scope below, but for [`Resolver::tried`].
    is_trial: bool,
}

/// What is particular to one way of instantiating a component.
#[derive(Default)]
pub(crate) struct Entry {
    pub outer: Option<ScopeId>,
    pub args: Option<NamedList<Item>>,
    pub seen_as: Vec<TypeTemplateId>,
    pub is_trial: bool,
}

/// The state of resolving one component.
pub(crate) struct Resolver<'a> {
    pub bytes: &'a Bytes<'a>,
    pub options: &'a Options,
    pub plan: Plan,
    pub scopes: PrimaryMap<ScopeId, Scope>,
    pub templates: PrimaryMap<TypeTemplateId, Template<'a>>,
    pub option_ids: HashMap<CanonicalOptions, OptionsId>,
    /// What the name section calls resource types that no export names.
    pub resource_hints: HashMap<ResourceTypeId, &'a str>,
    /// What the root's component and module imports are, where somebody said so.
    pub given: HashMap<ImportPath, GivenItem>,
    /// Whether there is more than validation has seen together.
    pub is_linked: bool,
    /// The instance that a trial made.
    pub tried: Option<Arc<InstanceItem>>,
    components: PrimaryMap<ComponentId, ComponentValue>,
    frames: Vec<Frame<'a>>,
    /// Definitions that may still be run.
    budget: usize,
    /// Where the definition that is being run stands.
    pub offset: u64,
}

/// The plan of what `bytes` holds.
pub(crate) fn resolve(bytes: &Bytes<'_>, options: &Options) -> Result<Plan> {
    let root = bytes.components.iter().next();
    let (_, def) = root.ok_or_else(|| bug("a component without a root"))?;
    let mut resolver = Resolver::new(bytes, options);
    resolver.enter(def, Entry::default(), "root".into())?;
    resolver.run(0)?;
    Ok(resolver.finish())
}

impl<'a> Resolver<'a> {
    /// A resolver that has not run anything.
    pub fn new(bytes: &'a Bytes<'a>, options: &'a Options) -> Resolver<'a> {
        Resolver {
            bytes,
            options,
            plan: Plan {
                modules: bytes.modules.clone(),
                ..Plan::default()
            },
            scopes: PrimaryMap::new(),
            templates: PrimaryMap::new(),
            option_ids: HashMap::new(),
            resource_hints: HashMap::new(),
            given: HashMap::new(),
            is_linked: false,
            tried: None,
            components: PrimaryMap::new(),
            frames: Vec::new(),
            budget: options.limits.component_definitions,
            offset: 0,
        }
    }

    /// The plan that was made.
    pub fn finish(mut self) -> Plan {
        let hints = std::mem::take(&mut self.resource_hints);
        for (id, hint) in hints {
            self.name_resource(id, &hint.into());
        }
        self.plan
    }

    /// How many components are being instantiated.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Adds a component value.
    pub fn component(&mut self, value: ComponentValue) -> ComponentId {
        self.components.push(value)
    }

    /// Runs definitions until no more than `depth` components are being instantiated.
    pub fn run(&mut self, depth: usize) -> Result<()> {
        while self.frames.len() > depth
            && let Some(frame) = self.frames.last_mut()
        {
            match frame.def.defs.get(frame.next) {
                Some((def, offset)) => {
                    frame.next += 1;
                    let (scope, owner) = (frame.scope, frame.owner);
                    self.offset = *offset;
                    self.charge(1)?;
                    self.define(scope, owner, def)?;
                }
                None => self.leave()?,
            }
        }
        Ok(())
    }

    /// Counts `n` definitions.
    pub fn charge(&mut self, n: usize) -> Result<()> {
        match self.budget.checked_sub(n) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => {
                let most = self.options.limits.component_definitions;
                let message = format!("instantiating takes more than {most} definitions");
                Err(limit(message, self.offset))
            }
        }
    }

    /// Starts to instantiate a component.
    pub fn enter(&mut self, def: &'a ComponentDef<'a>, with: Entry, path: Arc<str>) -> Result<()> {
        let limits = &self.options.limits;
        if self.plan.component_instances.len() >= limits.component_instances {
            let most = limits.component_instances;
            let message = format!("more than {most} component instances");
            return Err(limit(message, self.offset));
        }
        if self.frames.len() >= limits.component_nesting {
            let most = limits.component_nesting;
            let message = format!("components instantiate each other more than {most} levels deep");
            return Err(limit(message, self.offset));
        }
        let owner = self.plan.component_instances.push(ComponentInstanceInfo {
            parent: self.frames.last().map(|frame| frame.owner),
            path,
            has_lower: false,
        });
        let scope = self.scopes.push(Scope::new(with.outer));
        self.frames.push(Frame {
            def,
            next: 0,
            scope,
            owner,
            args: with.args,
            exports: NamedList::new(),
            seen_as: with.seen_as,
            is_trial: with.is_trial,
        });
        Ok(())
    }

    /// Ends instantiating a component: its exports become an instance.
    fn leave(&mut self) -> Result<()> {
        let frame = self.frames.pop().ok_or_else(|| bug("no frame to leave"))?;
        let Some(args) = frame.args else {
            return Ok(()); // the root: its exports are the plan's
        };
        let instance = Arc::new(InstanceItem {
            exports: frame.exports,
        });
        let instance = self.seen(instance, frame.seen_as, &args)?;
        if frame.is_trial {
            self.tried = Some(instance);
            return Ok(());
        }
        let below = self.frames.last();
        let below = below.ok_or_else(|| bug("an instance for nobody"))?.scope;
        self.scopes[below].instances.push(instance);
        Ok(())
    }

    /// An instance of a component with `args`, as the types show it that the component was
    /// seen as.
    pub fn seen(
        &mut self,
        mut instance: Arc<InstanceItem>,
        seen_as: Vec<TypeTemplateId>,
        args: &NamedList<Item>,
    ) -> Result<Arc<InstanceItem>> {
        let path = ImportPath::default();
        for ty in seen_as.into_iter().rev() {
            instance = self.show(ty, Some(args), Some(instance), &path)?.1.into();
        }
        Ok(instance)
    }

    fn define(
        &mut self,
        scope: ScopeId,
        owner: ComponentInstanceId,
        def: &'a Def<'a>,
    ) -> Result<()> {
        match def {
            Def::CoreModule(id) => self.scopes[scope].core_modules.push(ModuleRef::Static(*id)),
            Def::CoreInstance(instance) => self.core_instance(scope, owner, instance)?,
            Def::CoreType(ty) => core_types::define(&mut self.scopes, scope, ty, self.offset)?,
            Def::Component(id) => {
                let value = ComponentValue::Defined(*id, Some(scope));
                let id = self.components.push(value);
                self.scopes[scope].components.push(id);
            }
            Def::Instance(instance) => self.instance(scope, instance)?,
            Def::Alias(alias) => self.alias(scope, alias)?,
            Def::Type(ty) => {
                let item = self.define_type(scope, Some(owner), ty)?;
                if let TypeItem::Resource(id) = item {
                    self.plan.steps.push(Step::DefineResource(id));
                    self.hint(scope, id);
                }
                self.scopes[scope].types.push(item);
            }
            Def::Canon(canon, cancellable) => self.canon(scope, owner, canon, *cancellable)?,
            Def::Start => return Err(unsupported("a start function of a component", self.offset)),
            Def::Import(import) => self.import(scope, import)?,
            Def::Export(export) => self.export(scope, export)?,
        }
        Ok(())
    }

    /// Remembers what the name section calls the type that comes next.
    fn hint(&mut self, scope: ScopeId, id: ResourceTypeId) {
        let index = u32::try_from(self.scopes[scope].types.len());
        if let (Ok(index), Some(frame)) = (index, self.frames.last())
            && let Some(name) = frame.def.type_names.get(&index)
        {
            self.resource_hints.insert(id, name);
        }
    }

    /// Gives a resource type its name, unless it has one.
    pub fn name_resource(&mut self, id: ResourceTypeId, name: &Arc<str>) {
        let def = &mut self.plan.resources[id];
        if def.name.is_none() {
            def.name = Some(name.clone());
            self.plan.types.name_resource(id, &**name);
        }
    }

    /// A component import: the root's become the plan's, others are bound to arguments.
    fn import(&mut self, scope: ScopeId, import: &ComponentImport<'a>) -> Result<()> {
        let name: Arc<str> = import.name.name.into();
        let frame = self
            .frames
            .last()
            .ok_or_else(|| bug("an import of nothing"))?;
        let item = match &frame.args {
            None => {
                let path = ImportPath([name.clone()].into());
                let item = self.item_of_type(scope, &import.ty, None, &path)?;
                let import = Import {
                    attributes: attributes(&import.name),
                    item: item.clone(),
                };
                self.plan.imports.insert(name, import);
                item
            }
            Some(args) => {
                let arg = args.get(&name).cloned();
                let arg = arg.ok_or_else(|| {
                    mismatch(format!("imports `{name}`, which its type does not have"))
                })?;
                let path = ImportPath([name].into());
                self.item_of_type(scope, &import.ty, Some(&arg), &path)?
            }
        };
        self.scopes[scope].push(item);
        Ok(())
    }

    fn export(&mut self, scope: ScopeId, export: &ComponentExport<'a>) -> Result<()> {
        let name: Arc<str> = export.name.name.into();
        let mut item = self.item(scope, export.kind, export.index)?;
        if let Some(ty) = &export.ty {
            let path = ImportPath([name.clone()].into());
            item = self.item_of_type(scope, ty, Some(&item), &path)?;
        }
        if let Item::Type(TypeItem::Resource(id)) = &item {
            self.name_resource(*id, &name);
        }
        self.scopes[scope].push(item.clone());
        let frame = self.frames.last_mut();
        let frame = frame.ok_or_else(|| bug("an export of nothing"))?;
        if frame.args.is_none() {
            let export = Export {
                attributes: attributes(&export.name),
                item,
            };
            self.plan.exports.insert(name, export);
        } else {
            frame.exports.insert(name, item);
        }
        Ok(())
    }

    /// The item at an index; values are refused.
    fn item(&self, scope: ScopeId, kind: ComponentExternalKind, index: u32) -> Result<Item> {
        if kind == ComponentExternalKind::Value {
            return Err(unsupported(
                "a value import, export or argument",
                self.offset,
            ));
        }
        self.scopes[scope].item(kind, index)
    }

    fn instance(&mut self, scope: ScopeId, instance: &ComponentInstance<'a>) -> Result<()> {
        match instance {
            ComponentInstance::Instantiate {
                component_index,
                args,
            } => self.instantiate(scope, *component_index, args),
            ComponentInstance::FromExports(exports) => {
                self.charge(exports.len())?;
                let mut instance = InstanceItem::default();
                for export in exports {
                    let item = self.item(scope, export.kind, export.index)?;
                    let name: Arc<str> = export.name.name.into();
                    if let Item::Type(TypeItem::Resource(id)) = &item {
                        self.name_resource(*id, &name);
                    }
                    instance.exports.insert(name, item);
                }
                self.scopes[scope].instances.push(instance.into());
                Ok(())
            }
        }
    }

    fn instantiate(
        &mut self,
        scope: ScopeId,
        component: u32,
        args: &[ComponentInstantiationArg<'a>],
    ) -> Result<()> {
        self.charge(args.len())?;
        let mut items = NamedList::new();
        for arg in args {
            let item = self.item(scope, arg.kind, arg.index)?;
            items.insert(arg.name.into(), item);
        }
        let id = *at(&self.scopes[scope].components, component, "component")?;
        let (target, seen_as) = self.target(id)?;
        self.charge(seen_as.len())?;
        match target {
            Target::Defined(def, outer) => {
                let def = &self.bytes.components[def];
                let path = self.instance_path(scope, def.name);
                let entry = Entry {
                    outer,
                    args: Some(items),
                    seen_as,
                    is_trial: false,
                };
                self.enter(def, entry, path)
            }
            Target::Imported(ty, path) => {
                let (_, instance) = self.show(ty, Some(&items), None, &path)?;
                let instance = self.seen(instance.into(), seen_as, &items)?;
                self.scopes[scope].instances.push(instance);
                Ok(())
            }
        }
    }

    /// What a component runs, and the types it was seen as, the outermost first.
    pub fn target(&self, mut id: ComponentId) -> Result<(Target, Vec<TypeTemplateId>)> {
        let mut seen_as = Vec::new();
        loop {
            let value = self.components.get(id);
            match value.ok_or_else(|| bug("a component that is not there"))? {
                ComponentValue::Defined(def, outer) => {
                    return Ok((Target::Defined(*def, *outer), seen_as));
                }
                ComponentValue::Imported(ty, path) => {
                    return Ok((Target::Imported(*ty, path.clone()), seen_as));
                }
                ComponentValue::Seen(inner, ty) => {
                    seen_as.push(*ty);
                    id = *inner;
                }
            }
        }
    }

    /// What messages call the component instance that comes next, an instance of a
    /// component called `component`.
    fn instance_path(&self, scope: ScopeId, component: Option<&str>) -> Arc<str> {
        let Some(frame) = self.frames.last() else {
            return "root".into();
        };
        let below = &self.plan.component_instances[frame.owner].path;
        let index = self.scopes[scope].instances.len();
        let name = u32::try_from(index)
            .ok()
            .and_then(|index| frame.def.instance_names.get(&index).copied());
        match name.or(component) {
            Some(name) => format!("{below} / {name}").into(),
            None => format!("{below} / instance {index}").into(),
        }
    }

    /// What the name section calls the core instance that comes next.
    pub fn core_instance_name(&self, scope: ScopeId) -> Option<Arc<str>> {
        let index = u32::try_from(self.scopes[scope].core_instances.len()).ok()?;
        let frame = self.frames.last()?;
        frame
            .def
            .core_instance_names
            .get(&index)
            .map(|name| (*name).into())
    }

    /// An alias of a component, of an instance type or of a component type.
    pub fn alias(&mut self, scope: ScopeId, alias: &ComponentAlias<'a>) -> Result<()> {
        match alias {
            ComponentAlias::InstanceExport {
                kind,
                instance_index,
                name,
            } => {
                if *kind == ComponentExternalKind::Value {
                    return Err(unsupported("an alias of a value", self.offset));
                }
                let instance = at(&self.scopes[scope].instances, *instance_index, "instance")?;
                let item = instance.exports.get(name).cloned();
                let item = item.ok_or_else(|| bug(format!("no export `{name}` to alias")))?;
                self.scopes[scope].push(item);
            }
            ComponentAlias::CoreInstanceExport {
                kind,
                instance_index,
                name,
            } => self.core_alias(scope, *kind, *instance_index, name)?,
            ComponentAlias::Outer { kind, count, index } => {
                let from = core_types::outer(&self.scopes, scope, *count)?;
                let from = &self.scopes[from];
                match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        let module = *at(&from.core_modules, *index, "core module")?;
                        self.scopes[scope].core_modules.push(module);
                    }
                    ComponentOuterAliasKind::CoreType => {
                        let ty = at(&from.core_types, *index, "core type")?.clone();
                        self.scopes[scope].core_types.push(ty);
                    }
                    ComponentOuterAliasKind::Type => {
                        let ty = *at(&from.types, *index, "type")?;
                        self.scopes[scope].types.push(ty);
                    }
                    ComponentOuterAliasKind::Component => {
                        let component = *at(&from.components, *index, "component")?;
                        self.scopes[scope].components.push(component);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The attributes of a name.
fn attributes(name: &ComponentExternName<'_>) -> NameAttributes {
    NameAttributes {
        implements: name.implements.map(Into::into),
        version_suffix: name.version_suffix.map(Into::into),
        external_id: name.external_id.map(Into::into),
    }
}
