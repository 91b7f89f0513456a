//! What components keep per store: their instances, and the tables they share.
//!
//! Not here: one instance's state (`state`), core instances (core's store).
//!
//! # Safety
//!
//! Instances are boxed, never move and live as long as the store; everything in one that
//! changes is in a cell. So shared references to them may be alive while guests run.

use crate::component::concurrent::Concurrent;
use crate::component::drive::Drive;
use crate::component::handles::{HostHandles, ResourceKey};
use crate::component::resource::{Kind, ResourceType};
use crate::component::state::{InstanceData, InstancePtr};
use crate::component::wide_reps::WideReps;
use crate::core::store::{StoreId, StorePtr};
use helve_abi::types::ResourceTypeId;
use helve_base::{Bug, Error, PrimaryMap, Result};
use helve_model::resource::{ScopeId, Scopes};
use std::cell::RefCell;
use std::collections::HashMap;
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
    resources: RefCell<Resources>,
}

#[derive(Default)]
struct Resources {
    infos: PrimaryMap<ResourceKey, ResourceInfo>,
    hosts: HashMap<ResourceType, ResourceKey>,
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
    Host(HostDtor),
    /// The instance that defines it: the plan knows the core function.
    Guest(InstancePtr, ResourceTypeId),
}

impl StoreShared {
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
            dtor: Destructor::Host(dtor),
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
        let key = resources.infos.next_key();
        let ty = ResourceType(Kind::Guest(store, key));
        resources.infos.push(ResourceInfo {
            ty,
            name,
            dtor: Destructor::Guest(instance, id),
        });
        resources.hosts.insert(ty, key);
        key
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

    /// The key of a resource type, if an instance uses it.
    pub fn find_resource(&self, ty: ResourceType) -> Option<ResourceKey> {
        self.resources.borrow().hosts.get(&ty).copied()
    }
}

/// What a store keeps for its components.
#[derive(Debug, Default)]
pub(crate) struct ComponentStore {
    shared: Rc<StoreShared>,
    instances: Vec<NonNull<InstanceData>>,
}

impl ComponentStore {
    /// What all instances share.
    pub fn shared(&self) -> Rc<StoreShared> {
        self.shared.clone()
    }

    /// Keeps an instance: its address, which is good as long as the store.
    pub fn insert(&mut self, instance: Box<InstanceData>) -> InstancePtr {
        // SAFETY: a box is never null.
        let instance = unsafe { NonNull::new_unchecked(Box::into_raw(instance)) };
        self.instances.push(instance);
        InstancePtr::from_raw(instance)
    }
}

impl Drop for ComponentStore {
    fn drop(&mut self) {
        for instance in self.instances.drain(..) {
            // SAFETY: from `Box::into_raw` in `insert`, and dropped once, with the store.
            drop(unsafe { Box::from_raw(instance.as_ptr()) });
        }
    }
}
