//! What components keep per store: their instances, and the tables they share.
//!
//! Not here: one instance's state (`state`), core instances (core's store).
//!
//! # Safety
//!
//! Instances are boxed, never move and live until they are removed, at the latest with the
//! store, which is when no guest runs; everything in one that
//! changes is in a cell. So shared references to them may be alive while guests run.

use crate::component::concurrent::Concurrent;
use crate::component::drive::Drive;
use crate::component::handles::{HostHandles, ResourceKey};
use crate::component::history::HistoryCell;
use crate::component::hook::Hook;
use crate::component::meter::Meter;
use crate::component::resource::{Kind, ResourceType};
use crate::component::state::{InstanceData, InstanceKey, InstancePtr};
use crate::component::wide_reps::WideReps;
use crate::core::store::{StoreId, StorePtr};
use helve_abi::types::ResourceTypeId;
use helve_base::{Bug, Error, PrimaryMap, Result};
use helve_model::resource::{ScopeId, Scopes};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// A host destructor: store and representation.
pub(crate) type HostDtor = Arc<dyn Fn(StorePtr, u32) -> Result<()> + Send + Sync>;

/// Everything component instances of one store have in common.
#[derive(Debug, Default)]
pub(crate) struct StoreShared {
    /// What the host holds.
    pub host_handles: HostHandles,
    /// Borrow scopes of running calls.
    pub scopes: RefCell<Scopes>,
    /// Tasks and threads of components that have any.
    pub drive: Drive,
    /// The host's side of them, and host functions that wait.
    pub concurrent: Concurrent,
    /// Representations that are 64 bits wide.
    pub wide_reps: RefCell<WideReps>,
    /// Who uses up how much fuel, where that is asked.
    pub meter: Meter,
    /// What became of handles, where that is kept.
    pub history: HistoryCell,
    resources: RefCell<Resources>,
    hook: HookCell,
}

/// The store's hook, if it has one.
#[derive(Default)]
struct HookCell(RefCell<Option<Hook>>);

impl std::fmt::Debug for HookCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HookCell")
            .field(&self.0.borrow().is_some())
            .finish()
    }
}

#[derive(Default)]
struct Resources {
    infos: PrimaryMap<ResourceKey, ResourceInfo>,
    hosts: FxHashMap<ResourceType, ResourceKey>,
    /// Keys of types that are gone, and of which nothing is left.
    free: Vec<ResourceKey>,
    /// Counts guests' resource types.
    serial: u64,
}

impl std::fmt::Debug for Resources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resources")
            .field("count", &self.infos.len())
            .finish()
    }
}

/// A resource type at run time.
pub(crate) struct ResourceInfo {
    /// As the host sees it.
    pub ty: ResourceType,
    /// Its name, for messages.
    pub name: Option<Arc<str>>,
    /// What ends a resource.
    pub dtor: Destructor,
}

/// What ends a resource.
#[derive(Clone)]
pub(crate) enum Destructor {
    /// The host's.
    Host(Rc<HostDtor>),
    /// The instance that defines it: the plan knows the core function.
    Guest(InstancePtr, ResourceTypeId),
    /// None any more: the instance that defined it is gone.
    Gone,
}

impl StoreShared {
    /// Sets what is told of calls of instances that are made from now on.
    pub fn set_hook(&self, hook: Hook) {
        self.hook.0.replace(Some(hook));
    }

    /// What is told of calls of instances that are made now.
    pub fn hook(&self) -> Option<Hook> {
        self.hook.0.borrow().clone()
    }

    /// The key of a resource type of the host. The last destructor given counts.
    pub fn host_resource(
        &self,
        ty: ResourceType,
        name: Option<Arc<str>>,
        dtor: HostDtor,
    ) -> ResourceKey {
        let mut resources = self.resources.borrow_mut();
        let info = ResourceInfo {
            ty,
            name,
            // Found and let go with each resource that ends: without atomics.
            dtor: Destructor::Host(Rc::new(dtor)),
        };
        if let Some(&key) = resources.hosts.get(&ty) {
            resources.infos[key] = info;
            return key;
        }
        let key = resources.infos.push(info);
        resources.hosts.insert(ty, key);
        key
    }

    /// A new resource type, which a component instance defines.
    pub fn guest_resource(
        &self,
        store: StoreId,
        instance: InstancePtr,
        id: ResourceTypeId,
        name: Option<Arc<str>>,
    ) -> ResourceKey {
        let mut resources = self.resources.borrow_mut();
        resources.serial += 1;
        let ty = ResourceType(Kind::Guest(store, resources.serial));
        let info = ResourceInfo {
            ty,
            name,
            dtor: Destructor::Guest(instance, id),
        };
        let key = match resources.free.pop() {
            Some(key) => {
                resources.infos[key] = info;
                key
            }
            None => resources.infos.push(info),
        };
        resources.hosts.insert(ty, key);
        key
    }

    /// The resource types that an instance defines end with it.
    pub fn retire_resources(&self, instance: &InstanceData) {
        let mut resources = self.resources.borrow_mut();
        for key in instance.defined_resources() {
            let Some(info) = resources.infos.get_mut(key) else {
                continue;
            };
            info.dtor = Destructor::Gone;
            let ty = info.ty;
            resources.hosts.remove(&ty);
            if !instance.linked.get() && self.host_handles.count(key) == 0 {
                resources.free.push(key);
            }
        }
    }

    /// What ends resources of a type, if that is the host's.
    #[inline]
    pub fn host_dtor(&self, key: ResourceKey) -> Option<Rc<HostDtor>> {
        match &self.resources.borrow().infos.get(key)?.dtor {
            Destructor::Host(dtor) => Some(dtor.clone()),
            _ => None,
        }
    }

    /// What ends resources of a type.
    pub fn destructor(&self, key: ResourceKey) -> Result<Destructor> {
        let resources = self.resources.borrow();
        let info = resources.infos.get(key);
        let info =
            info.ok_or_else(|| Error::new(Bug("a resource type of another store".into())))?;
        Ok(info.dtor.clone())
    }

    /// As the host sees it.
    pub fn resource_type(&self, key: ResourceKey) -> Option<ResourceType> {
        self.resources.borrow().infos.get(key).map(|info| info.ty)
    }

    /// The name of the resource type with this number.
    pub fn resource_name(&self, key: u32) -> Option<String> {
        let resources = self.resources.borrow();
        resources
            .infos
            .get(ResourceKey::from_u32(key))?
            .name
            .as_ref()
            .map(|name| name.to_string())
    }

    /// Whether the resource type with this number is the host's.
    pub fn is_host_resource(&self, key: u32) -> bool {
        let resources = self.resources.borrow();
        resources
            .infos
            .get(ResourceKey::from_u32(key))
            .is_some_and(|info| matches!(info.ty.0, Kind::Host(_)))
    }

    /// A scope for the handles that a call borrows.
    pub fn begin_scope(&self) -> Result<ScopeId> {
        Ok(self.scopes.borrow_mut().begin()?)
    }

    /// The key of a resource type that another instance is about to use.
    pub fn link_resource(&self, ty: ResourceType) -> Option<ResourceKey> {
        let key = self.find_resource(ty)?;
        if let Ok(Destructor::Guest(definer, _)) = self.destructor(key) {
            // SAFETY: types that can be found are of instances that the store has.
            unsafe { definer.get() }.linked.set(true);
        }
        Some(key)
    }

    /// The key of a resource type, if an instance uses it.
    pub fn find_resource(&self, ty: ResourceType) -> Option<ResourceKey> {
        self.resources.borrow().hosts.get(&ty).copied()
    }
}

/// What a store keeps for its components.
#[derive(Debug, Default)]
pub(crate) struct ComponentStore {
    shared: Rc<StoreShared>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Counts instances.
    serial: u64,
}

/// A place for an instance.
#[derive(Debug)]
struct Slot {
    serial: u64,
    instance: Option<NonNull<InstanceData>>,
}

impl ComponentStore {
    /// What all instances share.
    pub fn shared(&self) -> Rc<StoreShared> {
        self.shared.clone()
    }

    /// Keeps an instance: its address, which is good until it is removed.
    pub fn insert(&mut self, instance: Box<InstanceData>) -> Result<InstancePtr> {
        self.serial += 1;
        // SAFETY: a box is never null.
        let place = unsafe { NonNull::new_unchecked(Box::into_raw(instance)) };
        let slot = Slot {
            serial: self.serial,
            instance: Some(place),
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1)?
            }
        };
        let ptr = InstancePtr::from_raw(place);
        // SAFETY: just made, and kept.
        unsafe { ptr.get() }.set_key(InstanceKey {
            ptr,
            slot: at,
            serial: self.serial,
        });
        Ok(ptr)
    }

    /// The instance, unless it was removed.
    #[inline]
    pub fn live(&self, key: InstanceKey) -> Result<InstancePtr> {
        match self.slots.get(key.slot as usize) {
            Some(slot) if slot.serial == key.serial => Ok(key.ptr),
            _ => Err(gone()),
        }
    }

    /// Takes an instance out.
    pub fn remove(&mut self, key: InstanceKey) -> Option<Box<InstanceData>> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.serial != key.serial {
            return None;
        }
        let instance = slot.instance.take()?;
        slot.serial = 0;
        self.free.push(key.slot);
        // SAFETY: from `Box::into_raw` in `insert`, and taken out once.
        Some(unsafe { Box::from_raw(instance.as_ptr()) })
    }
}

#[cold]
fn gone() -> Error {
    Error::msg("this component instance is gone: it was removed from the store")
}

impl Drop for ComponentStore {
    fn drop(&mut self) {
        for instance in self.slots.drain(..).filter_map(|slot| slot.instance) {
            // SAFETY: from `Box::into_raw` in `insert`, and dropped once, with the store.
            drop(unsafe { Box::from_raw(instance.as_ptr()) });
        }
    }
}
