//! What a host can see of its instances: handles, tasks, and what they use.
//!
//! ```text
//! instance.handles(&mut store)   every index of every component instance in it
//! instance.usage(&mut store)     memory, handles, tasks of each component instance
//! store.tasks()              calls that are not over, their threads, what those wait for
//! ```
//!
//! Everything is read as it is now; nothing is kept for it, so it costs nothing until it is
//! asked. Not here: who made a handle and when (`history`).
//!
//! # Safety
//!
//! Memories are looked at through the contexts of core instances, which live as long as
//! their component instance, which is at hand.

use crate::component::drive::State;
use crate::component::instance::Instance;
use crate::component::part::Part;
use crate::component::state::InstanceData;
use crate::component::store::{Destructor, StoreShared};
use crate::core;
use crate::core::context::{AsContextMut, StoreContextMut};
use crate::core::store::{Store, StoreOpaque};
use helve_base::{EntityRef, Result};
use helve_decode::plan::ComponentInstanceId;
use helve_model::error::Names;
use std::fmt::{Display, Formatter};

pub use helve_model::{
    CopyState, HandleState, Kind as HandleKind, SubtaskState, TaskState, ThreadState, WaitsFor,
};

/// A handle of a component instance.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HandleInfo {
    /// The component instance whose table it is in: `root`, `root / child`.
    pub instance: String,
    /// The index that the guest knows it by.
    pub index: u32,
    /// What it is.
    pub kind: HandleKind,
    /// The name of the resource type, or the element type of a stream or future.
    pub type_name: Option<String>,
    /// Of a resource: the number that its maker knows it by.
    pub rep: Option<u32>,
    /// Of a resource: how many calls that are not over it is lent to.
    pub lends: u32,
    /// Of a subtask, or the end of a stream or future: where it is.
    pub state: Option<HandleState>,
    /// Of a resource: whose resource type it is, `the host` or a component instance.
    pub maker: Option<String>,
}

impl Display for HandleInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.instance, self.index, self.kind.noun())?;
        if let Some(name) = &self.type_name {
            write!(f, " `{name}`")?;
        }
        if let Some(maker) = &self.maker {
            write!(f, " of {maker}")?;
        }
        match (self.lends, self.state) {
            (0, None) => Ok(()),
            (lends, None) => write!(f, ", lent {lends} times"),
            (_, Some(HandleState::End(state))) => write!(f, ", {state:?}"),
            (_, Some(HandleState::Subtask(state))) => write!(f, ", {state:?}"),
        }
    }
}

/// A call that is not over.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The component instance that was called.
    pub instance: String,
    /// Who called: a component instance; none for the host.
    pub caller: Option<String>,
    /// Where it is.
    pub state: TaskState,
    /// Its threads.
    pub threads: Vec<ThreadInfo>,
}

/// A thread of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// Its index in the table of threads; 0: nobody has asked for it yet.
    pub index: u32,
    /// Where it is, and what it waits for.
    pub state: ThreadState,
}

impl Display for TaskInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let caller = self.caller.as_deref().unwrap_or("the host");
        write!(f, "{} called by {caller}: {:?}", self.instance, self.state)?;
        self.threads
            .iter()
            .try_for_each(|thread| write!(f, "; thread {} {:?}", thread.index, thread.state))
    }
}

/// What one component instance uses now, and may use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Which component instance: `root`, `root / child`.
    pub instance: String,
    /// Bytes of its core instances' memories.
    pub memory_bytes: usize,
    /// Most bytes that these may have together.
    pub memory_limit: u64,
    /// Elements of its core instances' tables.
    pub table_elements: u64,
    /// Most elements that these may have together.
    pub table_limit: u64,
    /// Fuel that it has used up since it was made, where that is counted: see
    /// [`Config::meter_instances`](crate::Config::meter_instances).
    pub fuel: Option<u64>,
    /// Bytes of strings, lists and elements of streams that were copied to it or from it
    /// since it was made: by the host, and by calls and streams between components, which
    /// count for both. Where the encoding of a string changes, those of the source.
    pub copied_bytes: u64,
    /// Handles in its table.
    pub handles: u32,
    /// Most handles that it may have.
    pub handle_limit: u32,
    /// Of the handles: ends of streams and futures.
    pub stream_ends: u32,
    /// Of the handles: subtasks.
    pub subtasks: u32,
    /// Calls of its functions that are not over; of components without anything async,
    /// none are counted.
    pub tasks: u32,
    /// Most of them.
    pub task_limit: u32,
}

impl Instance {
    /// Every handle of every component instance in this one, by index.
    ///
    /// # Errors
    ///
    /// Where `store` is not the instance's, or the instance is gone.
    ///
    /// ```
    /// # use helve::{Engine, Config, Store, component::{Component, Linker}};
    /// # let engine = Engine::new(&Config::new())?;
    /// # let component = Component::new(&engine, "(component)")?;
    /// # let mut store = Store::new(&engine, ());
    /// # let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
    /// for handle in instance.handles(&mut store)? {
    ///     println!("{handle}"); // root 1: owned resource `file` of the host
    /// }
    /// # Ok::<(), helve::Error>(())
    /// ```
    pub fn handles(&self, mut store: impl AsContextMut) -> Result<Vec<HandleInfo>> {
        let mut store = store.as_context_mut();
        Ok(handles(self.live_data(store.opaque())?))
    }

    /// What each component instance in this one uses.
    ///
    /// # Errors
    ///
    /// Where `store` is not the instance's, or the instance is gone.
    pub fn usage(&self, mut store: impl AsContextMut) -> Result<Vec<Usage>> {
        let mut store = store.as_context_mut();
        let store = &*store.opaque();
        let data = self.live_data(store)?;
        let parts = data.parts.iter();
        Ok(parts
            .map(|(id, part)| usage(store, data, id, part))
            .collect())
    }
}

/// Every handle of an instance.
pub(crate) fn handles(data: &InstanceData) -> Vec<HandleInfo> {
    let parts = data.parts.iter().flat_map(|(_, part)| {
        let slots: Vec<_> = part.with_table(|table| table.iter().collect());
        let infos = slots.into_iter().map(|(index, slot)| {
            let resource = slot.kind().is_resource();
            HandleInfo {
                instance: part.path.to_string(),
                index,
                kind: slot.kind(),
                type_name: match resource {
                    true => part.names().resource(slot.ty()),
                    false => data.shared().drive.state().element_type(slot.ty()),
                },
                rep: resource.then(|| slot.rep()),
                lends: if resource { slot.lends() } else { 0 },
                state: data.shared().drive.state().model.arena.handle_state(slot),
                maker: resource
                    .then(|| maker(data.shared(), slot.ty().get()))
                    .flatten(),
            }
        });
        infos.collect::<Vec<_>>()
    });
    parts.collect()
}

/// Whose resource type this is.
fn maker(shared: &StoreShared, table_type: u32) -> Option<String> {
    let key = table_type.checked_sub(1)?;
    match shared.destructor(EntityRef::new(key as usize)).ok()? {
        Destructor::Host(_) => Some("the host".to_owned()),
        Destructor::Gone => Some("an instance that is gone".to_owned()),
        Destructor::Guest(instance, id) => {
            // SAFETY: instances that define types are there as long as the types are.
            let plan = unsafe { instance.get() }.plan();
            let helve_decode::plan::ResourceOrigin::Defined { owner, .. } =
                plan.resources.get(id)?.origin
            else {
                return None;
            };
            Some(plan.component_instances.get(owner)?.path.to_string())
        }
    }
}

fn usage(store: &StoreOpaque, data: &InstanceData, id: ComponentInstanceId, part: &Part) -> Usage {
    let core = data.plan().core_instances.iter();
    let core = core.filter(|(_, def)| def.owner == id);
    let core = core.filter_map(|(id, _)| data.core.get(id)?.get());
    let kinds: Vec<HandleKind> =
        part.with_table(|table| table.iter().map(|(_, slot)| slot.kind()).collect());
    let count = |counts: fn(&HandleKind) -> bool| {
        u32::try_from(kinds.iter().filter(|kind| counts(kind)).count()).unwrap_or(u32::MAX)
    };
    // What can't be made known now is not there yet.
    let _ = State::materialize(data.shared(), data.store());
    // SAFETY: no guest grows anything now.
    let limiter = unsafe { part.limiter.as_ptr().as_ref() };
    Usage {
        instance: part.path.to_string(),
        memory_bytes: core.map(|instance| memory_bytes(store, instance)).sum(),
        memory_limit: limiter.most().memory_bytes,
        table_elements: limiter.usage.table_elements,
        table_limit: limiter.most().table_elements,
        fuel: data.is_metered().then(|| part.fuel.get()),
        copied_bytes: part.copied.get().wrapping_add(data.fused.copied(id)),
        handles: count(|_| true),
        handle_limit: part.most_handles(),
        stream_ends: count(|kind| kind.has_payload()),
        subtasks: count(|kind| *kind == HandleKind::Subtask),
        tasks: data.shared().drive.state().tasks_of(data, id),
        task_limit: part.most_tasks(),
    }
}

/// The bytes of the memories that a core instance defines.
fn memory_bytes(store: &StoreOpaque, instance: &core::Instance) -> usize {
    let Ok(data) = instance.get(store) else {
        return 0;
    };
    let info = &data.module.inner().info;
    let imported = info.counts.imported_memories as usize;
    let defined = info.memories.iter().skip(imported);
    // SAFETY: contexts of memories are there as long as their instance.
    defined
        .map(|(memory, _)| unsafe { (*data.vm.memory(memory)).len })
        .sum()
}

impl<T: 'static> Store<T> {
    /// Calls that are not over, of components that have anything async: who was called by
    /// whom, and what their threads wait for. Of others, calls are over when they return.
    pub fn tasks(&mut self) -> Vec<TaskInfo> {
        self.as_context_mut().tasks()
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Store::tasks`].
    pub fn tasks(&mut self) -> Vec<TaskInfo> {
        self.opaque().components.shared().task_infos()
    }
}

impl StoreShared {
    /// Calls that are not over.
    pub(crate) fn task_infos(&self) -> Vec<TaskInfo> {
        let instance = self.drive.state().any_instance();
        if let Some(instance) = instance {
            // SAFETY: of this store, which is at hand.
            let store = unsafe { instance.get() }.store();
            // What can't be made known now is not there yet.
            let _ = State::materialize(self, store);
        }
        let state = self.drive.state();
        let tasks = state.model.task_infos().into_iter().map(|task| TaskInfo {
            instance: state.path(task.instance).unwrap_or_default(),
            caller: match task.caller {
                helve_model::Caller::Guest { instance, .. } => state.path(instance),
                _ => None,
            },
            state: task.state,
            threads: task
                .threads
                .iter()
                .map(|thread| ThreadInfo {
                    index: thread.index,
                    state: thread.state,
                })
                .collect(),
        });
        tasks.collect()
    }
}
