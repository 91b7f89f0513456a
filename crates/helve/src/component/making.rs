//! Running a plan: core instances, functions and options of one instance.
//!
//! All that a step needs (lowered functions, built-ins, options) is made when it is first
//! asked for. Not here: the steps' order (`instance`), what stands for functions until they
//! are called (`late`).
//!
//! # Safety
//!
//! References into the store end before core instances are made, as their start functions
//! may run guests.

use crate::component::builtins;
use crate::component::call::adapter;
use crate::component::call::enter::{CallShape, CoreFunc, LiftedFunc, PartPtr};
use crate::component::call::host::{Caller, HostFunc};
use crate::component::call::lane::lanes_mut;
use crate::component::call::memory::GuestMemory;
use crate::component::call::options::CallOptions;
use crate::component::concurrent;
use crate::component::drive;
use crate::component::func::Func;
use crate::component::fused;
use crate::component::hook::Watched;
use crate::component::late::LateId;
use crate::component::link::Binding;
use crate::component::state::InstanceData;
use crate::core;
use crate::core::instantiate::{ImportItem, instantiate};
use crate::core::store::StoreOpaque;
use helve_base::{Bug, Error, Result, error::Context};
use helve_decode::plan::*;
use smallvec::SmallVec;
use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};

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

impl InstanceData {
    pub(super) fn define_resource(&self, id: helve_abi::types::ResourceTypeId) -> Result<()> {
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

    pub(super) fn instantiate_core(&self, id: CoreInstanceId) -> Result<()> {
        let plan = self.plan();
        let def = &plan.core_instances[id];
        let part = self.part(def.owner);
        let mut items: SmallVec<[ImportItem<'_>; 4]> = SmallVec::new();
        let module = {
            // SAFETY: nobody else borrows from the store, whose context `Instance::new` has.
            let store = unsafe { self.store().get() };
            let mut add = |arg: &CoreDef| {
                items.push(ImportItem::Extern(self.core_def(store, arg)?));
                Ok::<(), Error>(())
            };
            let module = match def.module {
                ModuleRef::Static(module) => {
                    def.args.iter().try_for_each(&mut add)?;
                    self.component.module(module)?
                }
                ModuleRef::Imported(imported) => {
                    let (module, args) = self.imported_module_args(imported, &def.args)?;
                    args.into_iter().try_for_each(&mut add)?;
                    module
                }
            };
            if module.inner().info.start.is_some() {
                self.touch(store, def.owner);
            }
            module
        };
        // SAFETY: the borrow of the store has ended.
        let made = unsafe {
            let limiter = part.limiter.as_ptr();
            instantiate(self.store(), module, &items, Some(limiter))
        };
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
        if part.touched.get() {
            // SAFETY: as above.
            instance.get(unsafe { self.store().get() })?.vm.touch();
        }
        get_or_make(self.core.get(id), || Ok(instance)).map(|_| ())
    }

    /// An imported module, and the arguments in the order of its own imports.
    fn imported_module_args<'a>(
        &'a self,
        id: ImportedModuleId,
        args: &'a [CoreDef],
    ) -> Result<(&'a core::Module, Vec<&'a CoreDef>)> {
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
        Ok((module, args?))
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
                let late = self.late.get(self, store, LateId::Lowered(*id))?;
                Ok(core::Extern::Func(late))
            }
            CoreDef::Builtin(id) => {
                let late = self.late.get(self, store, LateId::Builtin(*id))?;
                Ok(core::Extern::Func(late))
            }
        }
    }

    /// The core function of a `canon lower`, which is being called.
    pub(crate) fn lowered_func(
        &self,
        store: &mut StoreOpaque,
        id: LoweredId,
    ) -> Result<core::Func> {
        let func = get_or_make(self.lowered.get(id), || {
            self.owning(store, |store| self.make_lowered(store, id))
        })?;
        Ok(*func)
    }

    /// The core function of a built-in, which is being called.
    pub(crate) fn builtin_func(
        &self,
        store: &mut StoreOpaque,
        id: CanonBuiltinId,
    ) -> Result<core::Func> {
        let func = get_or_make(self.builtins.get(id), || {
            self.owning(store, |store| {
                let slow = builtins::make(self, store, id)?;
                fused::builtin(self, store, id, slow)
            })
        })?;
        Ok(*func)
    }

    /// Code of a part is about to run: it may write to all memories of the part.
    fn touch(&self, store: &StoreOpaque, part: ComponentInstanceId) {
        if self.part(part).touched.replace(true) {
            return;
        }
        for id in self.component.late_types().core_instances(part) {
            let made = self.core.get(*id).and_then(OnceCell::get);
            if let Some(instance) = made.and_then(|made| made.get(store).ok()) {
                instance.vm.touch();
            }
        }
    }

    /// Whoever gets a function of a part to call it says so here.
    pub(crate) fn touch_owner(&self, store: &StoreOpaque, def: &CoreDef) {
        if let CoreDef::Export { instance, .. } = def {
            self.touch(store, self.plan().core_instances[*instance].owner);
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
        self.touch_owner(store, def);
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
    #[inline(always)]
    pub(crate) fn lifted_func(&self, store: &mut StoreOpaque, id: LiftedId) -> Result<&LiftedFunc> {
        match self.lifted.get(id).and_then(OnceCell::get) {
            Some(lifted) => Ok(lifted),
            None => self.make_lifted(store, id),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_lifted(&self, store: &mut StoreOpaque, id: LiftedId) -> Result<&LiftedFunc> {
        get_or_make(self.lifted.get(id), || {
            let lifted = &self.plan().lifted[id];
            let options = &self.plan().options[lifted.options];
            let callback = options.callback.as_ref();
            let chain: Box<[_]> = self.ancestors(lifted.owner).collect();
            Ok(LiftedFunc {
                is_async: self.types()[lifted.ty].is_async,
                abi: drive::call::abi(options.is_async, callback.is_some()),
                callback: callback.map(|def| self.core_func(store, def)).transpose()?,
                own_stack: self.may_suspend(store, lifted.owner),
                core: self.core_func(store, &lifted.core)?,
                options: self.call_options(store, lifted.options, lifted.owner)?,
                owner: lifted.owner,
                part: PartPtr::new(self.part(lifted.owner)),
                is_root: chain.len() == 1,
                chain,
                shape: CallShape::new(self.types(), lifted.ty, self.component.lifted_programs(id)),
                watch: self
                    .watch(lifted.owner, || self.export_name(id))
                    .map(Box::new),
            })
        })
    }

    /// Whether code of a part could block its stack while others run, or be suspended there
    /// because it has run for long.
    pub(crate) fn may_suspend(&self, store: &StoreOpaque, part: ComponentInstanceId) -> bool {
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
