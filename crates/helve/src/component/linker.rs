//! Names for what components import: host functions, resources, modules, instances.
//!
//! ```text
//!  Linker<T> ---- root() -----> LinkerInstance (plain names)
//!            ---- instance("wasi:io/streams@0.2.0") --> LinkerInstance
//!                                 func_wrap, func_new, resource, module, instance
//! ```
//!
//! An interface with a version serves every import on its version's track: one that is
//! defined as `@0.2.12` serves `@0.2.10` too, an exact match first, else the newest. It also
//! serves imports of any other name that say they implement it, unless that name is defined.
//!
//! Not here: matching a component's imports against these names (`link`).

use crate::component::call::host::{Dynamic, HostFunc, Missing, Typed};
use crate::component::component::Component;
use crate::component::concurrent::Accessor;
use crate::component::concurrent::host_func::{DynamicAsync, TypedAsync, TypedExclusive};
use crate::component::instance::{ExportIndex, Instance};
use crate::component::instance_pre::InstancePre;
use crate::component::link;
use crate::component::resource::ResourceType;
use crate::component::store::HostDtor;
use crate::component::typed::{ComponentNamedList, Lift, Lower};
use crate::component::value::Val;
use crate::core::Module;
use crate::core::context::{AsContextMut, StoreContextMut};
use crate::core::engine::Engine;
use helve_abi::names::NameMap;
use helve_base::{Result, bail, ensure};
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

/// What a name stands for.
#[derive(Clone)]
pub(crate) enum Definition {
    Func(HostFunc),
    Resource(ResourceType, HostDtor),
    Module(Module),
    Component(Component),
    Instance(NameMap<Definition>),
    /// An export of a component instance that exists already.
    GuestFunc(crate::component::func::Func),
    /// A resource type of a component instance that exists already.
    GuestResource(ResourceType),
}

impl Definition {
    /// The noun for messages.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Definition::Func(_) | Definition::GuestFunc(_) => "function",
            Definition::Resource(..) | Definition::GuestResource(_) => "resource",
            Definition::Module(_) => "core module",
            Definition::Component(_) => "component",
            Definition::Instance(_) => "instance",
        }
    }
}

/// Supplies what components import.
pub struct Linker<T: 'static> {
    engine: Engine,
    names: NameMap<Definition>,
    shadowing: bool,
    data: PhantomData<fn(T)>,
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Linker {
            engine: self.engine.clone(),
            names: self.names.clone(),
            shadowing: self.shadowing,
            data: PhantomData,
        }
    }
}

impl<T: 'static> Linker<T> {
    /// A linker without names.
    pub fn new(engine: &Engine) -> Linker<T> {
        Linker {
            engine: engine.clone(),
            names: NameMap::new(),
            shadowing: false,
            data: PhantomData,
        }
    }

    /// The engine it was made for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a name may be defined again, the last definition counting. Off by default:
    /// then it is an error.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.shadowing = allow;
        self
    }

    /// The names that stand in no instance.
    pub fn root(&mut self) -> LinkerInstance<'_, T> {
        LinkerInstance {
            names: &mut self.names,
            path: String::new(),
            shadowing: self.shadowing,
            data: PhantomData,
        }
    }

    /// The instance `name`, made now if there is none; mostly an interface:
    /// `wasi:cli/stdout@0.2.3`.
    ///
    /// # Errors
    ///
    /// Where the linker has the name already and does not allow shadowing, or it is none of the
    /// grammar.
    pub fn instance(&mut self, name: &str) -> Result<LinkerInstance<'_, T>> {
        self.root().into_instance(name)
    }

    /// The name here that serves the import `name` of a component: itself, or another
    /// version of the interface on its track.
    pub fn resolve(&self, name: &str) -> Option<&str> {
        self.names.resolve(name)
    }

    /// Other versions of the interface `name` that do not serve it: for messages.
    pub fn other_versions(&self, name: &str) -> Vec<&str> {
        self.names.other_versions(name)
    }

    /// Whether there is something at the end of this path of names, an import of the root
    /// first. Its type is not looked at.
    pub fn supplies(&self, path: &[&str]) -> bool {
        let mut names = Some(&self.names);
        path.iter()
            .all(|name| match names.and_then(|names| names.get(name)) {
                Some(Definition::Instance(inner)) => {
                    names = Some(inner);
                    true
                }
                Some(_) => names.take().is_some(),
                None => false,
            })
    }

    /// Supplies every import of `component` that is still missing: functions that trap
    /// when they are called, and resource types nobody can make.
    ///
    /// # Errors
    ///
    /// Where an import is of a kind that can't be made up: a module, a value.
    pub fn define_unknown_imports_as_traps(&mut self, component: &Component) -> Result<()> {
        link::define_unknown(&mut self.names, component, &|path| {
            Definition::Func(Arc::new(Missing(path)))
        })
    }

    /// Checks that `component` imports nothing but what this linker supplies, as far as
    /// that is known without a store. All that is missing is reported at once.
    ///
    /// # Errors
    ///
    /// With everything that is missing or of another type.
    pub fn check(&self, component: &Component) -> Result<()> {
        self.same_engine(component)?;
        link::check(&self.names, component)
    }

    /// Makes an instance of `component` in `store` and runs its start functions.
    ///
    /// # Errors
    ///
    /// Where an import is missing or of another type, a limit is reached, or a start function
    /// traps.
    pub fn instantiate(
        &self,
        mut store: impl AsContextMut<Data = T>,
        component: &Component,
    ) -> Result<Instance> {
        self.same_engine(component)?;
        let mut store = store.as_context_mut();
        ensure!(
            Engine::same(store.engine(), &self.engine),
            "the store was made with another engine than the linker: use one engine for both"
        );
        let component = link::with_components(&self.names, component)?;
        let bindings = link::Bindings::new(&component, &self.names)?;
        Instance::new(&mut store, &component, &bindings)
    }

    /// As [`Linker::instantiate`], in a future, as embedders have it whose calls are async.
    /// A start function runs to its end at once: one that has to wait is an error.
    pub async fn instantiate_async(
        &self,
        store: impl AsContextMut<Data = T>,
        component: &Component,
    ) -> Result<Instance> {
        self.instantiate(store, component)
    }

    /// Does all of [`Linker::instantiate`] that needs no store: for a component that is
    /// instantiated more than once. What the linker gets to know later counts for nothing.
    ///
    /// # Errors
    ///
    /// Where an import is missing or of another type.
    pub fn instantiate_pre(&self, component: &Component) -> Result<InstancePre<T>> {
        self.same_engine(component)?;
        let component = link::with_components(&self.names, component)?;
        let bindings = link::Bindings::new(&component, &self.names)?;
        Ok(InstancePre::new(&component, bindings))
    }

    fn same_engine(&self, component: &Component) -> Result<()> {
        ensure!(
            Engine::same(component.engine(), &self.engine),
            "the component was compiled with another engine than the linker's: use one engine for both"
        );
        Ok(())
    }
}

impl<T: 'static> std::fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut names: Vec<&str> = self.names.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        f.debug_struct("Linker")
            .field("names", &names)
            .finish_non_exhaustive()
    }
}

/// Names of one instance of a [`Linker`], to define.
pub struct LinkerInstance<'a, T: 'static> {
    names: &'a mut NameMap<Definition>,
    path: String,
    shadowing: bool,
    data: PhantomData<fn(T)>,
}

impl<'a, T: 'static> LinkerInstance<'a, T> {
    /// Defines the function `name` as a closure with Rust types: its parameters are a
    /// tuple, its results `()` or `(R,)`.
    ///
    /// # Errors
    ///
    /// Where the linker has the name already and does not allow shadowing, or it is none of the
    /// grammar.
    ///
    /// ```
    /// # use helve::{Engine, Config, Result, component::Linker};
    /// # fn main() -> Result<()> {
    /// # let engine = Engine::new(&Config::new())?;
    /// let mut linker: Linker<u32> = Linker::new(&engine);
    /// linker.root().func_wrap("shout", |cx, (text,): (String,)| Ok((text.to_uppercase(),)))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An error of the closure ends the guest's call and comes back to whoever called the
    /// guest, to be found with `Error::downcast_ref`.
    pub fn func_wrap<P, R, F>(&mut self, name: &str, func: F) -> Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
        F: Fn(StoreContextMut<'_, T>, P) -> Result<R> + Send + Sync + 'static,
    {
        let func: HostFunc = Arc::new(Typed {
            func,
            types: PhantomData::<fn(T, P) -> R>,
        });
        self.define(name, Definition::Func(func))
    }

    /// Defines the function `name` as a closure that may wait. It gets an [`Accessor`]
    /// instead of the store, which it uses between waits.
    ///
    /// What waits is never the store. A guest that calls an `async` function goes on, or
    /// waits as it has asked to. A guest that calls a function of another type stands
    /// still until the future is ready, and nothing enters its root instance meanwhile;
    /// other instances of the store run. A future that is ready at once costs no more than
    /// a plain function.
    ///
    /// A guest that cancels its call drops the future.
    ///
    /// # Errors
    ///
    /// Where the linker has the name already and does not allow shadowing, or it is none of the
    /// grammar.
    ///
    /// ```
    /// # use helve::{Engine, Config, Result, component::Linker};
    /// # fn main() -> Result<()> {
    /// # let engine = Engine::new(&Config::new())?;
    /// let mut linker: Linker<u32> = Linker::new(&engine);
    /// linker.root().func_wrap_async("double", |_cx, (n,): (u32,)| async move {
    ///     std::future::ready(()).await; // any future: of tokio, of smol, a oneshot channel
    ///     Ok((n * 2,))
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn func_wrap_async<P, R, F, Fut>(&mut self, name: &str, func: F) -> Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + Send + 'static,
        F: Fn(Accessor<T>, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        let func: HostFunc = Arc::new(TypedAsync {
            func,
            types: PhantomData::<fn(T, P) -> R>,
        });
        self.define(name, Definition::Func(func))
    }

    /// Defines the function `name` as a closure that may wait and has the store to itself
    /// until it is done: what it borrows from the store it keeps while it waits.
    ///
    /// Nothing else of the store runs meanwhile, neither guests nor other async host
    /// functions, so prefer [`LinkerInstance::func_wrap_async`] where calls may take long.
    /// It may call guests, with the context that it gets. If the host gives up the call
    /// that this is part of (drops its future) before it is done, it ends, and its guest
    /// with it as by a trap.
    ///
    /// ```
    /// # use helve::{Engine, Config, Result, StoreContextMut, component::Linker};
    /// # fn main() -> Result<()> {
    /// # let engine = Engine::new(&Config::new())?;
    /// let mut linker: Linker<Vec<String>> = Linker::new(&engine);
    /// linker.root().func_wrap_async_exclusive(
    ///     "log",
    ///     |mut store: StoreContextMut<'_, Vec<String>>, (line,): (String,)| {
    ///         Box::new(async move {
    ///             let lines = store.data_mut();
    ///             std::future::ready(()).await; // any future
    ///             lines.push(line);
    ///             Ok(())
    ///         })
    ///     },
    /// )?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A name that is defined already, unless shadowing is allowed.
    pub fn func_wrap_async_exclusive<P, R, F>(&mut self, name: &str, func: F) -> Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + Send + 'static,
        F: for<'s> Fn(StoreContextMut<'s, T>, P) -> Box<dyn Future<Output = Result<R>> + Send + 's>
            + Send
            + Sync
            + 'static,
    {
        let func: HostFunc = Arc::new(TypedExclusive {
            func,
            types: PhantomData::<fn(T, P) -> R>,
        });
        self.define(name, Definition::Func(func))
    }

    /// As [`LinkerInstance::func_wrap_async`], over dynamic values: parameters in, and as
    /// many results out as the type has (0 or 1).
    pub fn func_new_async<F, Fut>(&mut self, name: &str, func: F) -> Result<()>
    where
        F: Fn(Accessor<T>, Vec<Val>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<Val>>> + Send + 'static,
    {
        let func: HostFunc = Arc::new(DynamicAsync {
            func,
            types: PhantomData::<fn(T)>,
        });
        self.define(name, Definition::Func(func))
    }

    /// Defines the function `name` as a closure over dynamic values, of whatever type the
    /// component imports: parameters, and as many results as there are (0 or 1) to set.
    ///
    /// # Errors
    ///
    /// Where the linker has the name already and does not allow shadowing, or it is none of the
    /// grammar.
    pub fn func_new<F>(&mut self, name: &str, func: F) -> Result<()>
    where
        F: Fn(StoreContextMut<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    {
        let func: HostFunc = Arc::new(Dynamic {
            func,
            types: PhantomData::<fn(T)>,
        });
        self.define(name, Definition::Func(func))
    }

    /// Defines the resource type `name`. `dtor` runs with the representation when a guest
    /// drops an owned resource.
    ///
    /// # Errors
    ///
    /// Where the linker has the name already and does not allow shadowing, or it is none of the
    /// grammar.
    pub fn resource<D>(&mut self, name: &str, ty: ResourceType, dtor: D) -> Result<()>
    where
        D: Fn(StoreContextMut<'_, T>, u32) -> Result<()> + Send + Sync + 'static,
    {
        self.define(name, Definition::Resource(ty, link::host_dtor(dtor)))
    }

    /// Defines the core module `name`.
    ///
    /// # Errors
    ///
    /// Where the linker has the name already and does not allow shadowing, or it is none of the
    /// grammar.
    pub fn module(&mut self, name: &str, module: &Module) -> Result<()> {
        self.define(name, Definition::Module(module.clone()))
    }

    /// Defines the component `name`, for components that instantiate it themselves.
    ///
    /// Whether it has the type that they expect turns out when they are instantiated. The
    /// calls between the two are compiled the first time that they are brought together.
    ///
    /// ```
    /// # use helve::{Engine, Config, Result, Store, component::{Component, Linker}};
    /// # fn main() -> Result<()> {
    /// let engine = Engine::new(&Config::new())?;
    /// let inner = Component::new(&engine, r#"(component
    ///     (core module $m (func (export "f") (result i32) (i32.const 7)))
    ///     (core instance $i (instantiate $m))
    ///     (func (export "f") (result u32) (canon lift (core func $i "f"))))"#)?;
    /// let outer = Component::new(&engine, r#"(component
    ///     (import "inner" (component $inner (export "f" (func (result u32)))))
    ///     (instance $i (instantiate $inner))
    ///     (export "f" (func $i "f")))"#)?;
    /// let mut linker: Linker<()> = Linker::new(&engine);
    /// linker.root().component("inner", &inner)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = linker.instantiate(&mut store, &outer)?;
    /// let f = instance.get_typed_func::<(), (u32,)>(&mut store, "f")?;
    /// assert_eq!(f.call(&mut store, ())?, (7,));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A name that is defined already, unless shadowing is allowed.
    pub fn component(&mut self, name: &str, component: &Component) -> Result<()> {
        self.define(name, Definition::Component(component.clone()))
    }

    /// Defines `name` as what `func` is, the export of another component's instance in
    /// the same store.
    ///
    /// # Errors
    ///
    /// Where the linker has the name already and does not allow shadowing, or it is none of the
    /// grammar.
    pub fn func(&mut self, name: &str, func: crate::component::func::Func) -> Result<()> {
        self.define(name, Definition::GuestFunc(func))
    }

    /// Defines the resource type `name` as one that another component's instance in the
    /// same store defines.
    ///
    /// # Errors
    ///
    /// Where the linker has the name already and does not allow shadowing, or it is none of the
    /// grammar.
    pub fn resource_type(&mut self, name: &str, ty: ResourceType) -> Result<()> {
        self.define(name, Definition::GuestResource(ty))
    }

    /// Defines everything that `instance` exports under its own name: functions, core
    /// modules, components, resource types, and instances with what they export. The instance must
    /// live in the store that the linker's components are instantiated in.
    ///
    /// ```
    /// # use helve::{Engine, Config, Result, Store, component::{Component, Linker}};
    /// # fn main() -> Result<()> {
    /// # let engine = Engine::new(&Config::new())?;
    /// # let mut store = Store::new(&engine, ());
    /// # let maker = Component::new(&engine, "(component)")?;
    /// # let user = Component::new(&engine, "(component)")?;
    /// let mut linker: Linker<()> = Linker::new(&engine);
    /// let made = linker.instantiate(&mut store, &maker)?;
    /// linker.instance("maker")?.exports(&mut store, &made)?;
    /// let user = linker.instantiate(&mut store, &user)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A name that is defined already, unless shadowing is allowed.
    pub fn exports(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        instance: &Instance,
    ) -> Result<()> {
        self.exports_under(&mut store, instance, None)
    }

    fn exports_under(
        &mut self,
        store: &mut impl AsContextMut<Data = T>,
        instance: &Instance,
        parent: Option<&ExportIndex>,
    ) -> Result<()> {
        for name in instance.export_names(&mut *store, parent) {
            let Some(index) = instance.get_export(&mut *store, parent, &name) else {
                continue;
            };
            if let Some(func) = instance.host_func(&mut *store, &index) {
                // One that the instance imports itself and passes on.
                self.define(&name, Definition::Func(func))?;
            } else if let Some(func) = instance.get_func(&mut *store, &index) {
                self.func(&name, func)?;
            } else if let Some(module) = instance.get_module(&mut *store, &index) {
                self.module(&name, &module)?;
            } else if let Some(ty) = instance.get_resource(&mut *store, &index) {
                self.resource_type(&name, ty)?;
            } else if let Some(component) = instance.exported_component(&mut *store, &index) {
                self.component(&name, &component?)?;
            } else if !instance.export_names(&mut *store, Some(&index)).is_empty() {
                self.instance(&name)?
                    .exports_under(store, instance, Some(&index))?;
            }
        }
        Ok(())
    }

    /// The instance `name` in this one, made now if there is none.
    ///
    /// # Errors
    ///
    /// Where the linker has the name already and does not allow shadowing, or it is none of the
    /// grammar.
    pub fn instance(&mut self, name: &str) -> Result<LinkerInstance<'_, T>> {
        let inner = LinkerInstance {
            names: &mut *self.names,
            path: self.path.clone(),
            shadowing: self.shadowing,
            data: PhantomData,
        };
        inner.into_instance(name)
    }

    /// As [`LinkerInstance::instance`], by value.
    pub fn into_instance(self, name: &str) -> Result<LinkerInstance<'a, T>> {
        let path = join(&self.path, name);
        match self.names.get_exact(name) {
            Some(Definition::Instance(_)) => {}
            Some(other) if !self.shadowing => {
                bail!(
                    "`{path}` is defined as a {} already (allow_shadowing would replace it)",
                    other.noun()
                )
            }
            _ => {
                self.names
                    .insert(name, Definition::Instance(NameMap::new()));
            }
        }
        match self.names.get_exact_mut(name) {
            Some(Definition::Instance(names)) => Ok(LinkerInstance {
                names,
                path,
                shadowing: self.shadowing,
                data: PhantomData,
            }),
            _ => bail!("`{path}` is no instance"),
        }
    }

    pub(super) fn define(&mut self, name: &str, definition: Definition) -> Result<()> {
        if !self.shadowing
            && let Some(other) = self.names.get_exact(name)
        {
            bail!(
                "`{}` is defined as a {} already (allow_shadowing would replace it)",
                join(&self.path, name),
                other.noun()
            );
        }
        self.names.insert(name, definition);
        Ok(())
    }
}

impl<T: 'static> std::fmt::Debug for LinkerInstance<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkerInstance")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}#{name}")
    }
}
