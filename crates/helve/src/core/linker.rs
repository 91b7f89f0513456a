//! Names for what modules import.
//!
//! Host functions are defined without a store; things of a store can be defined too, and
//! then the linker only serves that store. Not here: the component linker.

use crate::core::context::AsContextMut;
use crate::core::engine::Engine;
use crate::core::externs::Extern;
use crate::core::func::{asynchronous, dynamic};
use crate::core::host::HostFunc;
use crate::core::instance::Instance;
use crate::core::instantiate::ImportItem;
use crate::core::module::Module;
use crate::core::typed::WasmResults;
use crate::core::value::Val;
use crate::core::wrap::{Caller, IntoFunc, WasmRet};
use helve_base::core_type::{ExternType, FuncType};
use helve_base::error::GuestTrap;
use helve_base::{Error, Result, Trap, ensure};
use std::collections::HashMap;
use std::marker::PhantomData;

/// Finds each import of a module by its two names.
///
/// ```
/// # use helve::{Engine, Config, Store, core::*};
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let module = Module::new(&engine, r#"(module
///     (import "host" "double" (func $double (param i32) (result i32)))
///     (func (export "run") (result i32) (call $double (i32.const 21))))"#)?;
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("host", "double", |n: i32| n * 2)?;
/// let instance = linker.instantiate(&mut store, &module)?;
/// let run = instance.get_typed_func::<(), i32>(&store, "run")?;
/// assert_eq!(run.call(&mut store, ())?, 42);
/// # Ok::<(), helve::Error>(())
/// ```
pub struct Linker<T: 'static> {
    engine: Engine,
    allow_shadowing: bool,
    items: HashMap<String, HashMap<String, Item>>,
    data: PhantomData<fn(T)>,
}

#[derive(Clone)]
enum Item {
    Extern(Extern),
    Host(HostFunc),
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Linker {
            engine: self.engine.clone(),
            allow_shadowing: self.allow_shadowing,
            items: self.items.clone(),
            data: PhantomData,
        }
    }
}

impl<T: 'static> Linker<T> {
    /// An empty linker.
    pub fn new(engine: &Engine) -> Linker<T> {
        Linker {
            engine: engine.clone(),
            allow_shadowing: false,
            items: HashMap::new(),
            data: PhantomData,
        }
    }

    /// The engine it was made with.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a name may be defined again; the last definition then counts.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.allow_shadowing = allow;
        self
    }

    /// Defines a thing of a store.
    ///
    /// # Errors
    ///
    /// Where the name is taken.
    pub fn define(&mut self, module: &str, name: &str, item: impl Into<Extern>) -> Result<()> {
        self.insert(module, name, Item::Extern(item.into()))
    }

    /// Defines a closure as a host function: see [`Func::wrap`](crate::core::Func::wrap).
    ///
    /// # Errors
    ///
    /// Where the name is taken.
    pub fn func_wrap<P, R>(
        &mut self,
        module: &str,
        name: &str,
        f: impl IntoFunc<T, P, R>,
    ) -> Result<()> {
        let func = f.into_func(&self.engine);
        self.insert(module, name, Item::Host(func))
    }

    /// Defines a host function with a dynamic type: see [`Func::new`](crate::core::Func::new).
    ///
    /// # Errors
    ///
    /// Where the name is taken.
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        f: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        let func = dynamic(&self.engine, ty, f);
        self.insert(module, name, Item::Host(func))
    }

    /// Defines an async closure as a host function: it gets a [`Caller`] and all
    /// parameters as a tuple. A guest that was called by a `call_async` waits for its
    /// future; a future that is ready at once costs no switch, and serves other calls too.
    ///
    /// # Errors
    ///
    /// Where the name is taken.
    pub fn func_wrap_async<P, R, F>(&mut self, module: &str, name: &str, f: F) -> Result<()>
    where
        T: Send,
        P: WasmResults + Send + 'static,
        R: WasmRet + 'static,
        F: for<'a> Fn(Caller<'a, T>, P) -> Box<dyn Future<Output = R> + Send + 'a>,
        F: Send + Sync + 'static,
    {
        let func = asynchronous(&self.engine, f);
        self.insert(module, name, Item::Host(func))
    }

    /// Defines every export of an instance, under `module`.
    ///
    /// # Errors
    ///
    /// Where a name is taken.
    pub fn instance(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module: &str,
        instance: Instance,
    ) -> Result<()> {
        for (name, item) in instance.exports(store.as_context_mut())? {
            self.insert(module, &name, Item::Extern(item))?;
        }
        Ok(())
    }

    /// Makes every import of `module` that is not defined yet a function that traps.
    ///
    /// # Errors
    ///
    /// Where such an import is not a function.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> Result<()> {
        for (from, name, ty) in module.imports() {
            if self.item(from, name).is_some() {
                continue;
            }
            let ExternType::Func(ty) = ty else {
                return Err(unknown(from, name, &ty));
            };
            let message = format!("the unknown import `{from}` `{name}` was called");
            let func = HostFunc::new(&self.engine, &ty, false, move |_, _| {
                Err(GuestTrap::new(Trap::Unreachable, message.clone()).into())
            });
            self.insert(from, name, Item::Host(func))?;
        }
        Ok(())
    }

    /// Instantiates `module`, its imports found by name.
    ///
    /// # Errors
    ///
    /// Where an import is unknown or of another type, a limit is reached, or the guest
    /// traps.
    pub fn instantiate(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<Instance> {
        let mut store = store.as_context_mut();
        ensure!(
            Engine::same(&self.engine, store.engine()),
            "the linker belongs to another engine than the store"
        );
        let mut items = Vec::new();
        for (from, name, ty) in module.imports() {
            match self.item(from, name) {
                Some(Item::Extern(item)) => items.push(ImportItem::Extern(*item)),
                Some(Item::Host(func)) => items.push(ImportItem::Host(func)),
                None => return Err(unknown(from, name, &ty)),
            }
        }
        Instance::with_items(&mut store, module, &items)
    }

    fn item(&self, module: &str, name: &str) -> Option<&Item> {
        self.items.get(module)?.get(name)
    }

    fn insert(&mut self, module: &str, name: &str, item: Item) -> Result<()> {
        ensure!(
            self.allow_shadowing || self.item(module, name).is_none(),
            "`{module}` `{name}` is defined already; see Linker::allow_shadowing"
        );
        self.items
            .entry(module.to_string())
            .or_default()
            .insert(name.to_string(), item);
        Ok(())
    }
}

fn unknown(module: &str, name: &str, ty: &ExternType) -> Error {
    Error::msg(format!(
        "unknown import: the {} `{module}` `{name}` is not defined",
        ty.noun()
    ))
}

impl<T: 'static> std::fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linker").finish_non_exhaustive()
    }
}
