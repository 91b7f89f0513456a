//! Instantiating a component, and what an instance exports.
//!
//! Runs the plan's steps in order; all that a step needs (lowered functions, built-ins,
//! options) is made when the step first asks for it. Not here: matching imports (`link`),
//! what calls do (`call`, `builtins`).
//!
//! # Safety
//!
//! The instance is at its place in the store before any of its code runs, and stays
//! there. References into the store end before core instances are made, as their start
//! functions may run guests.

use crate::component::builtins;
use crate::component::call::adapter;
use crate::component::call::enter::{CallShape, CoreFunc, LiftedFunc};
use crate::component::call::host::{Caller, HostFunc};
use crate::component::call::lane::lanes_mut;
use crate::component::call::memory::GuestMemory;
use crate::component::call::options::CallOptions;
use crate::component::component::Component;
use crate::component::concurrent;
use crate::component::drive;
use crate::component::func::{Func, TypedFunc};
use crate::component::fused;
use crate::component::hook::Watched;
use crate::component::link::{Binding, Bindings};
use crate::component::resource::ResourceType;
use crate::component::span::Span;
use crate::component::state::{InstanceData, InstanceKey};
use crate::component::typed::{ComponentNamedList, Lift, Lower};
use crate::core;
use crate::core::context::{AsContext, AsContextMut, StoreContextMut};
use crate::core::instantiate::{ImportItem, instantiate};
use crate::core::store::{StoreId, StoreOpaque};
use helve_abi::names::ExternName;
use helve_base::{Bug, Error, Result, error::Context};
use helve_decode::plan::*;
use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};

/// An instance of a component in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    store: StoreId,
    instance: InstanceKey,
}

/// An export of an instance, by its place: for looking it up more than once, and for
/// what stands inside an exported instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportIndex(Arc<[Arc<str>]>);

impl ExportIndex {
    /// The place of `name` in `parent`, an exported instance, or at the root.
    pub(crate) fn find(
        plan: &Plan,
        parent: Option<&ExportIndex>,
        name: &str,
    ) -> Option<ExportIndex> {
        let mut path: Vec<&str> = parent.map_or(Vec::new(), |parent| {
            parent.0.iter().map(|name| &**name).collect()
        });
        path.push(name);
        find_export(plan, &path)
    }
}

/// What exports can be looked up by: a name of the root, `instance#name`, or an
/// [`ExportIndex`].
pub trait ExportLookup {
    /// What is looked for, for messages.
    #[doc(hidden)]
    fn text(&self) -> String;

    /// The export's place in `instance`, if it exists.
    #[doc(hidden)]
    fn lookup(
        &self,
        instance: &Instance,
        store: &mut dyn FnMut(&[&str]) -> Option<ExportIndex>,
    ) -> Option<ExportIndex>;
}

/// Exports that a message names.
const MOST_NAMES: usize = 20;

impl ExportLookup for str {
    fn text(&self) -> String {
        self.to_owned()
    }

    fn lookup(
        &self,
        _: &Instance,
        find: &mut dyn FnMut(&[&str]) -> Option<ExportIndex>,
    ) -> Option<ExportIndex> {
        find(&[self]).or_else(|| {
            let (interface, name) = self.split_once('#')?;
            find(&[interface, name])
        })
    }
}

impl ExportLookup for String {
    fn text(&self) -> String {
        self.clone()
    }

    fn lookup(
        &self,
        instance: &Instance,
        find: &mut dyn FnMut(&[&str]) -> Option<ExportIndex>,
    ) -> Option<ExportIndex> {
        self.as_str().lookup(instance, find)
    }
}

impl ExportLookup for ExportIndex {
    fn text(&self) -> String {
        ImportPath(self.0.clone()).to_string()
    }

    fn lookup(
        &self,
        _: &Instance,
        _: &mut dyn FnMut(&[&str]) -> Option<ExportIndex>,
    ) -> Option<ExportIndex> {
        Some(self.clone())
    }
}

impl<L: ExportLookup + ?Sized> ExportLookup for &L {
    fn text(&self) -> String {
        L::text(self)
    }

    fn lookup(
        &self,
        instance: &Instance,
        find: &mut dyn FnMut(&[&str]) -> Option<ExportIndex>,
    ) -> Option<ExportIndex> {
        L::lookup(self, instance, find)
    }
}

impl Instance {
    /// Makes an instance whose imports are what `bindings` says.
    pub(crate) fn new<T: 'static>(
        store: &mut StoreContextMut<'_, T>,
        component: &Component,
        bindings: &Bindings,
    ) -> Result<Instance> {
        let parts = component.plan().component_instances.len();
        let traces = component.engine().config().trace_calls;
        let span = Span::of_instantiation(traces, parts);
        span.within(|| Instance::new_in_span(store, component, bindings))
    }

    fn new_in_span<T: 'static>(
        store: &mut StoreContextMut<'_, T>,
        component: &Component,
        bindings: &Bindings,
    ) -> Result<Instance> {
        let opaque = store.opaque();
        let shared = opaque.components.shared();
        let data = InstanceData::new(component, opaque, shared);
        let ptr = opaque.components.insert(Box::new(data))?;
        // SAFETY: the store keeps it where it is, and is borrowed as long as `data` is used.
        let data = unsafe { ptr.get() };
        bindings.apply(data, opaque)?;
        for step in &component.plan().steps {
            let done = match *step {
                Step::DefineResource(id) => data.define_resource(id),
                Step::Instantiate(id) if data.tasks() => {
                    let owner = component.plan().core_instances[id].owner;
                    drive::call::on_native_stack(data, owner, false, || data.instantiate_core(id))
                }
                Step::Instantiate(id) => data.instantiate_core(id),
            };
            if let Err(error) = done {
                data.lock();
                return Err(error);
            }
        }
        Ok(Instance {
            store: data.store_id(),
            instance: data.key(),
        })
    }

    /// Its place in its store.
    pub(crate) fn key(&self) -> InstanceKey {
        self.instance
    }

    pub(super) fn data<'a>(&self, store: &'a StoreOpaque) -> Option<&'a InstanceData> {
        self.live_data(store).ok()
    }

    /// The export `name`: of the root, or of the exported instance `parent`. A name with a
    /// version finds another version on its track.
    pub fn get_export(
        &self,
        store: impl AsContextMut,
        parent: Option<&ExportIndex>,
        name: &str,
    ) -> Option<ExportIndex> {
        let store = store.as_context();
        let data = self.data(store.opaque())?;
        ExportIndex::find(data.plan(), parent, name)
    }

    /// The component that this is an instance of.
    ///
    /// # Errors
    ///
    /// Where `store` is not the instance's.
    pub fn component(&self, store: impl AsContext) -> Result<Component> {
        let store = store.as_context();
        Ok(self.live_data(store.opaque())?.component.clone())
    }

    /// What the store has of it, or why it has nothing.
    pub(crate) fn live_data<'a>(&self, store: &'a StoreOpaque) -> Result<&'a InstanceData> {
        store.check(self.store)?;
        let instance = store.components.live(self.instance)?;
        // SAFETY: the store has it, and is this thread's, as it is borrowed.
        Ok(unsafe { instance.get() })
    }

    fn index(&self, store: &StoreOpaque, lookup: impl ExportLookup) -> Option<(ExportIndex, Item)> {
        let plan = self.data(store)?.plan();
        let index = lookup.lookup(self, &mut |path| find_export(plan, path))?;
        let path: Vec<&str> = index.0.iter().map(|name| &**name).collect();
        let item = plan.export_item(&path)?.clone();
        Some((index, item))
    }

    /// The exported function, if it is one.
    pub fn get_func(&self, store: impl AsContextMut, name: impl ExportLookup) -> Option<Func> {
        let store = store.as_context();
        match self.index(store.opaque(), name)?.1 {
            Item::Func(FuncItem {
                func: FuncRef::Lifted(id),
                ..
            }) => Some(Func::new(self.data(store.opaque())?, id)),
            Item::Func(FuncItem {
                func: FuncRef::Imported(id),
                ..
            }) => match self.data(store.opaque())?.imported_funcs.get(id)?.get()? {
                Binding::Guest(func) => Some(*func),
                Binding::Host(_) => None,
            },
            _ => None,
        }
    }

    /// The host's function that is exported as it was imported, if it is one.
    pub(crate) fn host_func(
        &self,
        store: impl AsContextMut,
        name: impl ExportLookup,
    ) -> Option<HostFunc> {
        let store = store.as_context();
        let Item::Func(FuncItem {
            func: FuncRef::Imported(id),
            ..
        }) = self.index(store.opaque(), name)?.1
        else {
            return None;
        };
        match self.data(store.opaque())?.imported_funcs.get(id)?.get()? {
            Binding::Host(func) => Some(func.clone()),
            Binding::Guest(_) => None,
        }
    }

    /// The exported function with its type known to Rust: `P` is a tuple of parameters,
    /// `R` is `()` or `(Result,)`.
    pub fn get_typed_func<P, R>(
        &self,
        mut store: impl AsContextMut,
        name: impl ExportLookup,
    ) -> Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let index = {
            let store = store.as_context();
            let found = self.index(store.opaque(), &name);
            found
                .ok_or_else(|| self.no_such_export(store.opaque(), &name))?
                .0
        };
        let path = ImportPath(index.0.clone());
        let func = self.get_func(&mut store, &index);
        let func = func.ok_or_else(|| {
            Error::msg(format!("the export `{path}` is no function of the guest's"))
        })?;
        func.typed(store)
            .with_context(|| format!("typing the export `{path}`"))
    }

    /// Says which exports there are instead of the one that was looked for.
    #[cold]
    fn no_such_export(&self, store: &StoreOpaque, name: &impl ExportLookup) -> Error {
        let live = store
            .check(self.store)
            .and_then(|()| store.components.live(self.instance));
        let data = match live {
            // SAFETY: the store has it, and is borrowed.
            Ok(data) => unsafe { data.get() },
            Err(error) => return error,
        };
        let name = name.text();
        let leaves = data.plan().export_leaves().into_iter();
        let mut funcs: Vec<String> = leaves
            .filter(|leaf| matches!(leaf.item, Item::Func(_)))
            .map(|leaf| leaf.path.to_string())
            .collect();
        let last = name.rsplit('#').next().unwrap_or_default();
        let near = funcs
            .iter()
            .find(|func| func.rsplit('#').next() == Some(last));
        if let Some(near) = near {
            return Error::msg(format!(
                "the component exports no `{name}`, but `{near}`: look that up"
            ));
        }
        let more = funcs.len().saturating_sub(MOST_NAMES);
        funcs.truncate(MOST_NAMES);
        let there = match (funcs.is_empty(), more) {
            (true, _) => "it exports no functions".to_owned(),
            (false, 0) => format!("its functions are `{}`", funcs.join("`, `")),
            (false, more) => format!("its functions are `{}` and {more} more", funcs.join("`, `")),
        };
        Error::msg(format!("the component exports no `{name}`: {there}"))
    }

    /// The exported resource type, if it is one.
    pub fn get_resource(
        &self,
        store: impl AsContextMut,
        name: impl ExportLookup,
    ) -> Option<ResourceType> {
        let store = store.as_context();
        match self.index(store.opaque(), name)?.1 {
            Item::Type(TypeItem::Resource(id)) => {
                Some(self.data(store.opaque())?.resource_type(id))
            }
            _ => None,
        }
    }

    /// The exported core module, if it is one.
    pub fn get_module(
        &self,
        store: impl AsContextMut,
        name: impl ExportLookup,
    ) -> Option<core::Module> {
        let store = store.as_context();
        let data = self.data(store.opaque())?;
        match self.index(store.opaque(), name)?.1 {
            Item::Module(ModuleRef::Static(id)) => data.component.module(id).ok().cloned(),
            Item::Module(ModuleRef::Imported(id)) => data.imported_modules.get(id)?.get().cloned(),
            _ => None,
        }
    }

    /// The exported component, to be instantiated like any other.
    ///
    /// It has captured what stands around its definition: core modules, components and
    /// types. The adapters between its own parts are compiled now; its core modules are
    /// not compiled again.
    ///
    /// # Errors
    ///
    /// Where there is no such export, or it is no component.
    pub fn get_component(
        &self,
        store: impl AsContextMut,
        name: impl ExportLookup,
    ) -> Result<Component> {
        let found = self.exported_component(store, name);
        found.ok_or_else(|| Error::msg("the instance exports no component of that name"))?
    }

    /// The same, none where the export is no component.
    pub(crate) fn exported_component(
        &self,
        store: impl AsContextMut,
        name: impl ExportLookup,
    ) -> Option<Result<Component>> {
        let store = store.as_context();
        let data = self.data(store.opaque())?;
        let (index, Item::Component(_)) = self.index(store.opaque(), name)? else {
            return None;
        };
        let imported = data.plan().imported_modules.iter();
        let imported = imported
            .filter(|(_, module)| module.captured.is_none())
            .filter_map(|(id, module)| {
                let found = data.imported_modules.get(id)?.get()?;
                Some((module.path.clone(), found.clone()))
            });
        Some(data.component.exported(ImportPath(index.0), imported))
    }

    /// The names of its exports, those of an exported instance if `parent` is one.
    pub fn export_names(&self, store: impl AsContext, parent: Option<&ExportIndex>) -> Vec<String> {
        let store = store.as_context();
        let Some(data) = self.data(store.opaque()) else {
            return Vec::new();
        };
        match parent {
            None => data.component.exports().map(str::to_owned).collect(),
            Some(parent) => {
                let path: Vec<&str> = parent.0.iter().map(|name| &**name).collect();
                match data.plan().export_item(&path) {
                    Some(Item::Instance(instance)) => instance
                        .exports
                        .iter()
                        .map(|(name, _)| name.to_string())
                        .collect(),
                    _ => Vec::new(),
                }
            }
        }
    }
}

/// The export at the end of `path`; versions of the first name may differ on one track, and
/// an instance of another name may implement the interface.
fn find_export(plan: &Plan, path: &[&str]) -> Option<ExportIndex> {
    let found = |path: &[&str]| ExportIndex(path.iter().map(|name| Arc::from(*name)).collect());
    if plan.export_item(path).is_some() {
        return Some(found(path));
    }
    let (first, rest) = path.split_first()?;
    let Ok(ExternName::Interface(wanted)) = ExternName::parse(first) else {
        return None;
    };
    let same_track = |name: &str| match ExternName::parse(name) {
        Ok(ExternName::Interface(other)) => {
            wanted.track.is_some() && other.base == wanted.base && other.track == wanted.track
        }
        _ => false,
    };
    let implements = |export: &Export| {
        let interface = export.attributes.implements.as_deref();
        interface.is_some_and(|interface| interface == *first || same_track(interface))
    };
    let named = plan.exports.iter().find(|(name, _)| same_track(name));
    let (name, _) = named.or_else(|| plan.exports.iter().find(|(_, e)| implements(e)))?;
    let name = &**name;
    let path: Vec<&str> = [name].into_iter().chain(rest.iter().copied()).collect();
    plan.export_item(&path)?;
    Some(found(&path))
}

/// What is in a cell, made now if it is empty.
#[inline]
fn get_or_make<T>(cell: Option<&OnceCell<T>>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    let Some(cell) = cell else {
        return Err(Error::new(Bug("an id that is not of this plan".into())));
    };
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}

/// Running the plan.
impl InstanceData {
    fn define_resource(&self, id: helve_abi::types::ResourceTypeId) -> Result<()> {
        let def = self.plan().resources.get(id);
        let name = def.and_then(|def| match (&def.name, &def.origin) {
            (Some(name), ResourceOrigin::Defined { owner, .. }) => {
                let path = &self.part(*owner).path;
                Some(format!("{path} / {name}").into())
            }
            (name, _) => name.clone(),
        });
        let key = self
            .shared()
            .guest_resource(self.store_id(), self.ptr(), id, name);
        get_or_make(self.resources.get(id), || Ok(key)).map(|_| ())
    }

    fn instantiate_core(&self, id: CoreInstanceId) -> Result<()> {
        let plan = self.plan();
        let def = &plan.core_instances[id];
        let (module, args) = match def.module {
            ModuleRef::Static(module) => (
                self.component.module(module)?.clone(),
                def.args.iter().collect(),
            ),
            ModuleRef::Imported(imported) => self.imported_module_args(imported, &def.args)?,
        };
        let items = {
            // SAFETY: nobody else borrows from the store, whose context `Instance::new` has.
            let store = unsafe { self.store().get() };
            let items: Result<Vec<core::Extern>> = args
                .into_iter()
                .map(|arg| self.core_def(store, arg))
                .collect();
            items?
        };
        let items: Vec<_> = items.into_iter().map(ImportItem::Extern).collect();
        let limiter = self.part(def.owner).limiter.as_ptr();
        // SAFETY: the borrow of the store has ended.
        let made = unsafe { instantiate(self.store(), &module, &items, Some(limiter)) };
        let made = made.with_context(|| match &def.name {
            Some(name) => format!(
                "instantiating core module `{name}` of {}",
                self.part(def.owner).path
            ),
            None => format!(
                "instantiating a core module of {}",
                self.part(def.owner).path
            ),
        })?;
        let instance = core::Instance::of(self.store_id(), made);
        get_or_make(self.core.get(id), || Ok(instance)).map(|_| ())
    }

    /// An imported module, and the arguments in the order of its own imports.
    fn imported_module_args<'a>(
        &self,
        id: ImportedModuleId,
        args: &'a [CoreDef],
    ) -> Result<(core::Module, Vec<&'a CoreDef>)> {
        let module = self.imported_modules.get(id).and_then(OnceCell::get);
        let module = module
            .ok_or_else(|| Error::new(Bug("an imported module that was not linked".into())))?;
        let names = &self.plan().imported_modules[id].ty.imports;
        let args: Result<Vec<_>> = module
            .imports()
            .map(|(from, name, _)| {
                let at = names
                    .iter()
                    .position(|(m, n, _)| **m == *from && **n == *name);
                at.and_then(|at| args.get(at)).ok_or_else(|| {
                    Error::msg(format!(
                        "the module supplied imports `{from}` `{name}`, which its type has not"
                    ))
                })
            })
            .collect();
        Ok((module.clone(), args?))
    }

    /// A core definition as a thing of the store.
    pub(crate) fn core_def(&self, store: &mut StoreOpaque, def: &CoreDef) -> Result<core::Extern> {
        match def {
            CoreDef::Export { instance, name, .. } => {
                let instance = self.core.get(*instance).and_then(OnceCell::get);
                let found = instance.and_then(|instance| instance.export_in(store, name));
                found.ok_or_else(|| Error::new(Bug(format!("no core export `{name}`"))))
            }
            CoreDef::Lowered(id) => {
                let func = get_or_make(self.lowered.get(*id), || {
                    self.owning(store, |store| self.make_lowered(store, *id))
                })?;
                Ok(core::Extern::Func(*func))
            }
            CoreDef::Builtin(id) => {
                let func = get_or_make(self.builtins.get(*id), || {
                    self.owning(store, |store| {
                        let slow = builtins::make(self, store, *id)?;
                        fused::builtin(self, store, *id, slow)
                    })
                })?;
                Ok(core::Extern::Func(*func))
            }
        }
    }

    /// Host functions that `make` makes are this instance's, and end with it.
    fn owning<R>(
        &self,
        store: &mut StoreOpaque,
        make: impl FnOnce(&mut StoreOpaque) -> Result<R>,
    ) -> Result<R> {
        let before = store.host_functions.len();
        let made = make(store);
        let new = store
            .host_functions
            .split_off(before.min(store.host_functions.len()));
        self.host_functions.borrow_mut().extend(new);
        made
    }

    fn core_func(&self, store: &mut StoreOpaque, def: &CoreDef) -> Result<CoreFunc> {
        match self.core_def(store, def)? {
            core::Extern::Func(func) => CoreFunc::new(store, func),
            _ => Err(Error::new(Bug(
                "a core definition that is no function".into()
            ))),
        }
    }

    /// The core function behind `def`, for destructors.
    pub(crate) fn destructor(&self, store: &mut StoreOpaque, def: &CoreDef) -> Result<CoreFunc> {
        self.core_func(store, def)
    }

    /// A set of options with what they name.
    pub(crate) fn call_options(
        &self,
        store: &mut StoreOpaque,
        id: OptionsId,
        owner: ComponentInstanceId,
    ) -> Result<CallOptions> {
        let found = get_or_make(self.options.get(id), || {
            let options = &self.plan().options[id];
            let memory = match &options.memory {
                Some(def) => match self.core_def(store, def)? {
                    // SAFETY: memories live as long as their store.
                    core::Extern::Memory(memory) => Some(unsafe { GuestMemory::new(memory.ptr) }),
                    _ => return Err(Error::new(Bug("a memory that is none".into()))),
                },
                None => None,
            };
            let mut func = |def: &Option<CoreDef>| {
                def.as_ref()
                    .map(|def| self.core_func(store, def))
                    .transpose()
            };
            Ok(CallOptions {
                owner,
                encoding: options.string_encoding,
                width: options.width,
                memory,
                realloc: func(&options.realloc)?,
                post_return: func(&options.post_return)?,
            })
        })?;
        // Equal sets of options of two component instances share an id.
        Ok(CallOptions { owner, ..*found })
    }

    /// A lifted function, ready to be called.
    #[inline]
    pub(crate) fn lifted_func(&self, store: &mut StoreOpaque, id: LiftedId) -> Result<&LiftedFunc> {
        get_or_make(self.lifted.get(id), || {
            let lifted = &self.plan().lifted[id];
            let options = &self.plan().options[lifted.options];
            let callback = options.callback.as_ref();
            Ok(LiftedFunc {
                is_async: self.types()[lifted.ty].is_async,
                abi: drive::call::abi(options.is_async, callback.is_some()),
                callback: callback.map(|def| self.core_func(store, def)).transpose()?,
                own_stack: self.may_suspend(store, lifted.owner),
                core: self.core_func(store, &lifted.core)?,
                options: self.call_options(store, lifted.options, lifted.owner)?,
                owner: lifted.owner,
                chain: self.ancestors(lifted.owner).collect(),
                shape: CallShape::new(self.types(), lifted.ty, self.component.lifted_programs(id)),
                watch: self
                    .watch(lifted.owner, || self.export_name(id))
                    .map(Box::new),
            })
        })
    }

    /// Whether code of a part could block its stack while others run, or be suspended there
    /// because it has run for long.
    fn may_suspend(&self, store: &StoreOpaque, part: ComponentInstanceId) -> bool {
        let config = store.engine().config();
        let yields = config.consume_fuel || config.epoch_interruption;
        yields || self.component.fused().rules().can_block(part)
    }

    /// The table behind `def`.
    pub(crate) fn core_table(&self, store: &mut StoreOpaque, def: &CoreDef) -> Result<core::Table> {
        match self.core_def(store, def)? {
            core::Extern::Table(table) => Ok(table),
            _ => Err(Error::new(Bug("a core definition that is no table".into()))),
        }
    }

    /// An imported function of the host's, with the hook around it if there is one.
    fn watched(&self, owner: ComponentInstanceId, id: ImportedFuncId, func: HostFunc) -> HostFunc {
        let path = || self.plan().imported_funcs[id].path.to_string().into();
        match self.watch(owner, path) {
            Some(watch) => Arc::new(Watched { watch, inner: func }),
            None => func,
        }
    }

    /// What the root calls a lifted function that it exports; what its core module calls
    /// another.
    fn export_name(&self, id: LiftedId) -> Arc<str> {
        let leaves = self.plan().export_leaves().into_iter();
        let mut names = leaves.filter_map(|leaf| match leaf.item {
            Item::Func(func) if matches!(func.func, FuncRef::Lifted(lifted) if lifted == id) => {
                Some(leaf.path.to_string())
            }
            _ => None,
        });
        let core = match &self.plan().lifted[id].core {
            CoreDef::Export { name, .. } => name.to_string(),
            _ => format!("{id}"),
        };
        names.next().unwrap_or(core).into()
    }

    /// The core function of a `canon lower`.
    fn make_lowered(&self, store: &mut StoreOpaque, id: LoweredId) -> Result<core::Func> {
        match self.component.fused().adapter(id) {
            Some(adapter) => fused::make(self, store, id, adapter),
            None => Ok(self.make_slow(store, id)?.0),
        }
    }

    /// The core function of a `canon lower` by way of the host, and its calling side where
    /// it calls a guest as a task.
    pub(crate) fn make_slow(
        &self,
        store: &mut StoreOpaque,
        id: LoweredId,
    ) -> Result<(core::Func, Option<Arc<Caller>>)> {
        let lowered = &self.plan().lowered[id];
        let is_async = self.plan().options[lowered.options].is_async;
        let programs = self.component.lowered_programs(id);
        let caller = Caller {
            instance: self.ptr(),
            options: self.call_options(store, lowered.options, lowered.owner)?,
            shape: CallShape::new(self.types(), lowered.ty, programs),
            adapter: OnceLock::new(),
        };
        let callee = match lowered.callee {
            FuncRef::Lifted(id) => Func::new(self, id),
            FuncRef::Imported(id) => match self.imported_funcs.get(id).and_then(OnceCell::get) {
                Some(Binding::Guest(func)) => *func,
                Some(Binding::Host(func)) => {
                    let func = self.watched(lowered.owner, id, func.clone());
                    let made = match is_async {
                        true => concurrent::host_func::make(store, caller, func, true)?,
                        false => func.lower(store, caller)?,
                    };
                    return Ok((made, None));
                }
                None => {
                    return Err(Error::new(Bug(
                        "an imported function that was not linked".into()
                    )));
                }
            },
        };
        if self.tasks() {
            let caller = Arc::new(caller);
            let made = drive::builtins::lowered(store, caller.clone(), callee, is_async)?;
            return Ok((made, Some(caller)));
        }
        let ty = caller.shape.programs.signature.core();
        let made = core::Func::new_raw(store, &ty, move |_, lanes| {
            // SAFETY: compiled code of the instance's store calls.
            adapter::call(unsafe { caller.call()? }, callee, lanes_mut(lanes))
        })?;
        Ok((made, None))
    }
}
