//! One instantiated component: all that its calls need, found once.
//!
//! ```text
//!  InstanceData (boxed, as long as its store)
//!    component        the plan, modules, programs
//!    parts            per component instance: flags, handles           (part)
//!    core             core instances, filled as the plan's steps run
//!    resources        resource type of the plan -> key of the store
//!    lifted, lowered, builtins, options   found when first needed, then kept
//! ```
//!
//! Everything that changes is in a cell, so `&InstanceData` may be alive while guests
//! run. After a trap the whole root is locked: nothing may enter it again.
//!
//! Not here: running the plan (`instance`), calls (`call`).
//!
//! # Safety
//!
//! Raw pointers in here lead to the store and to things that it owns; whoever has an
//! `InstanceData` at hand has its store alive.

use crate::component::call::enter::LiftedFunc;
use crate::component::call::options::CallOptions;
use crate::component::call::scope::CallScope;
use crate::component::component::Component;
use crate::component::func::Func;
use crate::component::fused::Fused;
use crate::component::handles::{HostHandles, ResourceKey};
use crate::component::hook::{Hook, Watch};
use crate::component::late::Lates;
use crate::component::link::Binding;
use crate::component::part::{Part, cannot_enter};
use crate::component::resource::{Kind, ResourceType};
use crate::component::store::StoreShared;
use crate::core;
use crate::core::host::HostContextBox;
use crate::core::limits::PartLimiter;
use crate::core::store::{StoreId, StoreOpaque, StorePtr};
use helve_abi::types::{ResourceTypeId, Types};
use helve_base::{Bug, EntityRef, Error, PrimaryMap, Result};
use helve_decode::plan::*;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// A component instance and all nested in it.
pub(crate) struct InstanceData {
    pub component: Component,
    store: StorePtr,
    store_id: StoreId,
    shared: Rc<StoreShared>,
    /// Bytes that lifting one call's values may allocate.
    pub lifted_bytes: usize,
    metered: bool,
    locked: Cell<bool>,
    pub parts: PrimaryMap<ComponentInstanceId, Part>,
    pub core: PrimaryMap<CoreInstanceId, OnceCell<core::Instance>>,
    pub resources: PrimaryMap<ResourceTypeId, OnceCell<ResourceKey>>,
    pub lifted: PrimaryMap<LiftedId, OnceCell<LiftedFunc>>,
    pub lowered: PrimaryMap<LoweredId, OnceCell<core::Func>>,
    pub builtins: PrimaryMap<CanonBuiltinId, OnceCell<core::Func>>,
    pub options: PrimaryMap<OptionsId, OnceCell<CallOptions>>,
    pub imported_funcs: PrimaryMap<ImportedFuncId, OnceCell<Binding>>,
    pub imported_modules: PrimaryMap<ImportedModuleId, OnceCell<core::Module>>,
    /// Host functions that it exports, as functions of guests: those that were looked up.
    pub reexports: RefCell<HashMap<ImportedFuncId, Func>>,
    /// What its modules import of it, until it is called.
    pub late: Lates,
    /// Contexts of generated adapters.
    pub fused: Fused,
    /// What is told of its calls.
    hook: Option<Hook>,
    /// Which place in its store it has.
    key: Cell<Option<InstanceKey>>,
    /// Host functions that were made for its code.
    pub host_functions: RefCell<Vec<HostContextBox>>,
    /// How many imports of other instances are its exports.
    pub users: Cell<usize>,
    /// Whether a resource type of it is known outside of its tree.
    pub linked: Cell<bool>,
    /// Whether calls of it are tasks.
    tasks: Cell<bool>,
    /// Whether a function it imports may wait with its caller's whole stack.
    pub may_wait: Cell<bool>,
    /// See [`helve_model::Readings`].
    pub no_donuts: bool,
}

/// As many empty cells as `like` has entries.
fn cells<K: EntityRef, V, T>(like: &PrimaryMap<K, V>) -> PrimaryMap<K, OnceCell<T>> {
    like.iter().map(|_| OnceCell::new()).collect()
}

impl InstanceData {
    /// An instance of which nothing exists yet.
    pub fn new(
        component: &Component,
        opaque: &StoreOpaque,
        shared: Rc<StoreShared>,
    ) -> InstanceData {
        let (store, limits) = (opaque.ptr(), &opaque.instance_limits);
        let plan = component.plan();
        let config = component.engine().config();
        let events = config.handle_history;
        // Only tasks can wait in calls that go through the host.
        let watched = config.watches_calls();
        let recorder = || shared.history.get(store, events).map(|it| it.recorder());
        InstanceData {
            component: component.clone(),
            store,
            store_id: opaque.id(),
            lifted_bytes: limits.lifted_bytes,
            metered: config.is_metered(),
            locked: Cell::new(false),
            parts: plan
                .component_instances
                .values()
                .map(|info| {
                    let limiter = PartLimiter::new(&opaque.limiter, limits);
                    let path = info.path.clone();
                    Part::new(path, shared.clone(), (limits, limiter), recorder())
                })
                .collect(),
            core: cells(&plan.core_instances),
            resources: cells(&plan.resources),
            lifted: cells(&plan.lifted),
            lowered: cells(&plan.lowered),
            builtins: cells(&plan.builtins),
            options: cells(&plan.options),
            imported_funcs: cells(&plan.imported_funcs),
            imported_modules: cells(&plan.imported_modules),
            reexports: RefCell::default(),
            late: Lates::default(),
            fused: Fused::default(),
            hook: shared.hook(),
            key: Cell::new(None),
            host_functions: RefCell::default(),
            users: Cell::new(0),
            linked: Cell::new(false),
            tasks: Cell::new(watched || crate::component::drive::uses_tasks(plan)),
            may_wait: Cell::new(false),
            no_donuts: component.engine().config().readings.no_donuts,
            shared,
        }
    }

    /// Its address, for closures that live as long as the store.
    #[inline]
    pub fn ptr(&self) -> InstancePtr {
        InstancePtr(NonNull::from(self))
    }

    /// What is told of calls of `function`, of the part `owner`.
    pub fn watch(
        &self,
        owner: ComponentInstanceId,
        function: impl FnOnce() -> Arc<str>,
    ) -> Option<Watch> {
        let traces = self.traces();
        if self.hook.is_none() && !traces {
            return None;
        }
        Some(Watch {
            hook: self.hook.clone(),
            traces,
            instance: self.part(owner).path.clone(),
            function: function(),
        })
    }

    /// Whether the fuel of each part is counted.
    #[inline]
    pub fn is_metered(&self) -> bool {
        self.metered
    }

    /// Whether its calls are spans.
    #[inline]
    pub fn traces(&self) -> bool {
        cfg!(feature = "tracing") && self.component.engine().config().trace_calls
    }

    /// Its place in its store.
    #[inline]
    pub fn key(&self) -> InstanceKey {
        self.key.get().unwrap_or(InstanceKey {
            ptr: self.ptr(),
            slot: u32::MAX,
            serial: 0,
        })
    }

    /// The store has given it a place.
    pub fn set_key(&self, key: InstanceKey) {
        self.key.set(Some(key));
    }

    pub fn plan(&self) -> &Plan {
        self.component.plan()
    }

    #[inline]
    pub fn types(&self) -> &Types {
        &self.component.plan().types
    }

    #[inline]
    pub fn store(&self) -> StorePtr {
        self.store
    }

    #[inline]
    pub fn store_id(&self) -> StoreId {
        self.store_id
    }

    #[inline]
    pub fn shared(&self) -> &StoreShared {
        &self.shared
    }

    #[inline]
    pub fn host_handles(&self) -> &HostHandles {
        &self.shared.host_handles
    }

    #[inline]
    pub fn part(&self, id: ComponentInstanceId) -> &Part {
        &self.parts[id]
    }

    /// What a resource type of the plan is in this store.
    #[inline]
    pub fn resource(&self, id: ResourceTypeId) -> Result<ResourceKey> {
        match self.resources.get(id).and_then(OnceCell::get) {
            Some(key) => Ok(*key),
            None => Err(Error::new(Bug(format!(
                "{id:?} is used before it is defined"
            )))),
        }
    }

    /// A resource type of the plan as the host sees it.
    pub fn resource_type(&self, id: ResourceTypeId) -> ResourceType {
        let key = self.resources.get(id).and_then(OnceCell::get);
        key.and_then(|key| self.shared.resource_type(*key))
            .unwrap_or(ResourceType(Kind::Uninstantiated(id)))
    }

    /// Whether `part` defines the resource type, so that it sees representations.
    #[inline]
    pub fn implements(&self, part: ComponentInstanceId, id: ResourceTypeId) -> bool {
        matches!(
            self.plan().resources.get(id),
            Some(ResourceDef { origin: ResourceOrigin::Defined { owner, .. }, .. }) if *owner == part
        )
    }

    /// What the implementer of a resource type gets in place of a borrowed handle: of a
    /// representation of 64 bits the lower half, as a flat `borrow` has no more.
    pub fn implementers_rep(&self, id: ResourceTypeId, rep: u32) -> Result<u32> {
        match self
            .plan()
            .resources
            .get(id)
            .is_some_and(ResourceDef::is_wide)
        {
            false => Ok(rep),
            true => Ok(self.shared.wide_reps.borrow().get(rep)? as u32),
        }
    }

    /// The resource types that it defines, as far as it has got.
    pub fn defined_resources(&self) -> impl Iterator<Item = ResourceKey> {
        let defined = self
            .plan()
            .resources
            .iter()
            .filter(|(_, def)| matches!(def.origin, ResourceOrigin::Defined { .. }));
        defined.filter_map(|(id, _)| self.resources.get(id)?.get().copied())
    }

    /// An instance and its ancestors, innermost first.
    pub fn ancestors(&self, id: ComponentInstanceId) -> impl Iterator<Item = ComponentInstanceId> {
        let infos = &self.plan().component_instances;
        std::iter::successors(Some(id), move |id| {
            infos.get(*id).and_then(|info| info.parent)
        })
    }

    /// Whether one of two instances is inside of the other, or they are one.
    pub fn related(&self, a: ComponentInstanceId, b: ComponentInstanceId) -> bool {
        self.ancestors(a).any(|id| id == b) || self.ancestors(b).any(|id| id == a)
    }

    /// Enters the root, which is `part`, from the host.
    #[inline]
    pub fn enter_root(&self, part: &Part) -> Result<()> {
        match self.locked.get() || !part.may_enter.replace(false) {
            true => Err(cannot_enter()),
            false => Ok(()),
        }
    }

    /// Enters an instance and its ancestors, `chain`, from the host.
    #[inline]
    pub fn enter_chain(&self, chain: &[ComponentInstanceId]) -> Result<()> {
        if let [root] = chain {
            return self.enter_root(self.part(*root));
        }
        self.check_chain(chain)?;
        chain
            .iter()
            .for_each(|id| self.part(*id).may_enter.set(false));
        Ok(())
    }

    /// Ends what [`InstanceData::enter_chain`] began.
    #[inline]
    pub fn leave_chain(&self, chain: &[ComponentInstanceId]) {
        if let [root] = chain {
            return self.part(*root).may_enter.set(true);
        }
        chain
            .iter()
            .for_each(|id| self.part(*id).may_enter.set(true));
    }

    /// Enters `callee` from `caller`, or from the host: it and its ancestors, those that
    /// the caller is not in, can't be entered again until [`InstanceData::leave`].
    #[inline]
    pub fn enter(
        &self,
        callee: ComponentInstanceId,
        caller: Option<ComponentInstanceId>,
    ) -> Result<()> {
        let free = |id| self.part(id).may_enter.get();
        if self.locked.get() || !self.entering(callee, caller).all(free) {
            return Err(cannot_enter());
        }
        self.entering(callee, caller)
            .for_each(|id| self.part(id).may_enter.set(false));
        Ok(())
    }

    /// Ends what [`InstanceData::enter`] began.
    #[inline]
    pub fn leave(&self, callee: ComponentInstanceId, caller: Option<ComponentInstanceId>) {
        self.entering(callee, caller)
            .for_each(|id| self.part(id).may_enter.set(true));
    }

    fn entering(
        &self,
        callee: ComponentInstanceId,
        caller: Option<ComponentInstanceId>,
    ) -> impl Iterator<Item = ComponentInstanceId> {
        let is_callers = move |id: &ComponentInstanceId| {
            caller.is_some_and(|caller| self.ancestors(caller).any(|ancestor| ancestor == *id))
        };
        self.ancestors(callee).filter(move |id| !is_callers(id))
    }

    /// Whether calls of it are tasks: it has to do with async functions, or is linked to an
    /// instance that has.
    #[inline]
    pub fn tasks(&self) -> bool {
        self.tasks.get()
    }

    /// Makes calls of it tasks from now on.
    pub fn use_tasks(&self) {
        self.tasks.set(true);
    }

    /// Whether it was locked.
    pub fn is_locked(&self) -> bool {
        self.locked.get()
    }

    /// Whether `chain` could be entered from the host.
    #[inline]
    pub fn check_chain(&self, chain: &[ComponentInstanceId]) -> Result<()> {
        match !self.locked.get() && chain.iter().all(|id| self.part(*id).may_enter.get()) {
            true => Ok(()),
            false => Err(cannot_enter()),
        }
    }

    /// Locks the whole root for good, after a trap.
    pub fn lock(&self) {
        self.locked.set(true);
    }

    /// Ends what a call lent; `part` is the guest that took part in it.
    #[inline]
    pub fn end_loans(&self, part: ComponentInstanceId, scope: &mut CallScope) -> Result<()> {
        if scope.is_empty() {
            return Ok(());
        }
        self.end_some_loans(part, scope)
    }

    fn end_some_loans(&self, part: ComponentInstanceId, scope: &mut CallScope) -> Result<()> {
        let part = self.part(part);
        if !scope.loans.is_empty() {
            part.end_loans(&mut scope.loans)?;
        }
        self.end_host_loans(scope);
        match scope.task.take() {
            Some(task) => part.end_scope(task),
            None => Ok(()),
        }
    }

    #[inline]
    fn end_host_loans(&self, scope: &mut CallScope) {
        // Looked at where it is: what is taken out is moved, even where there is nothing.
        if scope.host.is_some() {
            self.end_loans_of_host(scope);
        }
    }

    #[inline(never)]
    fn end_loans_of_host(&self, scope: &mut CallScope) {
        let host = scope.host.take().unwrap_or_default();
        for handle in host.lends {
            self.host_handles().end_loan(handle);
        }
        for handle in host.borrows {
            self.host_handles().expire(handle);
        }
    }

    /// Ends what the host lent to a call that failed; guests' tables are locked then.
    #[cold]
    pub fn abandon_loans(&self, scope: &mut CallScope) {
        self.end_host_loans(scope);
        if let Some(task) = scope.task.take() {
            self.shared.scopes.borrow_mut().discard(task);
        }
    }
}

impl std::fmt::Debug for InstanceData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstanceData")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

/// An instance by its place in its store, which tells it from a later one there: for
/// handles that may outlive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InstanceKey {
    pub ptr: InstancePtr,
    pub slot: u32,
    pub serial: u64,
}

/// An instance by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InstancePtr(NonNull<InstanceData>);

// SAFETY: only followed with the instance's store at hand, by the thread that has it.
unsafe impl Send for InstancePtr {}
// SAFETY: as above.
unsafe impl Sync for InstancePtr {}

impl InstancePtr {
    /// The instance.
    ///
    /// # Safety
    ///
    /// Its store must be alive and have it for `'a`, and be on this thread.
    #[inline]
    pub unsafe fn get<'a>(self) -> &'a InstanceData {
        // SAFETY: as the caller says; instances never move.
        unsafe { self.0.as_ref() }
    }

    pub fn from_raw(ptr: NonNull<InstanceData>) -> InstancePtr {
        InstancePtr(ptr)
    }
}
