//! Instantiating a component, and what an instance exports.
//!
//! Not here: what the plan's steps do (`making`), matching imports (`link`), what calls do
//! (`call`, `builtins`).
//!
//! # Safety
//!
//! The instance is at its place in the store before any of its code runs, and stays
//! there. References into the store end before core instances are made, as their start
//! functions may run guests.

use crate::component::call::host::HostFunc;
use crate::component::component::Component;
use crate::component::drive;
use crate::component::func::{Func, TypedFunc};
use crate::component::link::{Binding, Bindings};
use crate::component::reexport;
use crate::component::resource::ResourceType;
use crate::component::span::Span;
use crate::component::state::{InstanceData, InstanceKey};
use crate::component::typed::{ComponentNamedList, Lift, Lower};
use crate::core;
use crate::core::context::{AsContext, AsContextMut, StoreContextMut};
use crate::core::store::{StoreId, StoreOpaque};
use helve_abi::names::ExternName;
use helve_base::{Error, Result, error::Context};
use helve_decode::plan::*;
use smallvec::SmallVec;
use std::sync::Arc;

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

    fn index<'a>(
        &self,
        store: &'a StoreOpaque,
        lookup: impl ExportLookup,
    ) -> Option<(ExportIndex, &'a Item)> {
        let plan = self.data(store)?.plan();
        let index = lookup.lookup(self, &mut |path| find_export(plan, path))?;
        let path: SmallVec<[&str; 4]> = index.0.iter().map(|name| &**name).collect();
        let item = plan.export_item(&path)?;
        drop(path);
        Some((index, item))
    }

    /// The exported function, if it is one.
    ///
    /// That may be a function of the host's that the component exports as it has imported it.
    /// Such a one is made callable when it is first looked up, by a small component of its
    /// own, which counts among the store's; `None` where the store's limits leave no room for
    /// that.
    pub fn get_func(&self, store: impl AsContextMut, name: impl ExportLookup) -> Option<Func> {
        let func = {
            let store = store.as_context();
            func_ref(self.index(store.opaque(), name)?.1)?
        };
        self.func_of(store, func)?.ok()
    }

    /// `None`: no such function.
    fn func_of(&self, store: impl AsContextMut, func: FuncRef) -> Option<Result<Func>> {
        let context = store.as_context();
        let data = self.data(context.opaque())?;
        let id = match func {
            FuncRef::Lifted(id) => return Some(Ok(Func::new(data, id))),
            FuncRef::Imported(id) => id,
        };
        match data.imported_funcs.get(id)?.get()? {
            Binding::Guest(func) => Some(Ok(*func)),
            Binding::Host(_) => {
                let data = data.ptr();
                // SAFETY: instances stay where they are as long as their store, which is here.
                Some(reexport::func(unsafe { data.get() }, id, store))
            }
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
        match self.data(store.opaque())?.imported_funcs.get(*id)?.get()? {
            Binding::Host(func) => Some(func.clone()),
            Binding::Guest(_) => None,
        }
    }

    /// The exported function with its type known to Rust: `P` is a tuple of parameters,
    /// `R` is `()` or `(Result,)`.
    ///
    /// # Errors
    ///
    /// Where there is no such function, with those that there are; where its type is another,
    /// with both.
    pub fn get_typed_func<P, R>(
        &self,
        mut store: impl AsContextMut,
        name: impl ExportLookup,
    ) -> Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let (index, func) = {
            let store = store.as_context();
            let found = self.index(store.opaque(), &name);
            let (index, item) = found.ok_or_else(|| self.no_such_export(store.opaque(), &name))?;
            (index, func_ref(item))
        };
        let path = ImportPath(index.0);
        let func = func.and_then(|func| self.func_of(&mut store, func));
        let func =
            func.ok_or_else(|| Error::msg(format!("the export `{path}` is no function")))??;
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
                Some(self.data(store.opaque())?.resource_type(*id))
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
            Item::Module(ModuleRef::Static(id)) => data.component.module(*id).ok().cloned(),
            Item::Module(ModuleRef::Imported(id)) => data.imported_modules.get(*id)?.get().cloned(),
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

/// What function an item is, if it is one.
fn func_ref(item: &Item) -> Option<FuncRef> {
    match item {
        Item::Func(FuncItem { func, .. }) => Some(*func),
        _ => None,
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
