//! Components with tasks: `helve_model` decides, this performs.
//!
//! ```text
//!   native stack                         pooled fibers, one per thread that has begun
//!   from_host --+                        +-- wasm ... host trampoline --+
//!               v                        |                              | SUSPEND
//!            perform(effect) --start, resume--> guest runs -------------+
//!               ^                        |                              |
//!               +---- next effect <------+--- function returns ---------+
//! ```
//!
//! A component whose plan has anything async runs all its calls this way; the others know
//! nothing of tasks. A built-in asks the model; where the same thread goes on, it returns
//! at once, else it hands the effect over and suspends. Calls between guests are generated
//! adapters, noted on the stack until somebody asks (`noted`); values of those that can't be
//! go through dynamic ones. Not here: host functions that wait, and host ends of streams
//! (`concurrent`).
//!
//! # Safety
//!
//! Everything here is reached with its store at hand, on the store's thread. The state is
//! borrowed only while no guest runs.

pub(crate) mod answer;
pub(crate) mod builtins;
pub(crate) mod by_number;
pub(crate) mod call;
pub(crate) mod copy;
pub(crate) mod destructor;
mod direct;
mod end_builtins;
pub(crate) mod ends;
pub(crate) mod error_context;
mod frame;
pub(crate) mod noted;
pub(crate) mod run;

use crate::component::call::enter::{CoreFunc, LiftedFunc};
use crate::component::call::lane::Lane;
use crate::component::concurrent::Concurrent;
use crate::component::hot::HotStorage;
use crate::component::part::Part;
use crate::component::state::{InstanceData, InstancePtr};
use crate::core::config::Schedule;
use crate::core::engine::Engine;
use by_number::ByNumber;
use copy::Ends;
use frame::Stacks;
use helve_base::error::GuestTrap;
use helve_base::{Bug, Error, Result, Trap};
use helve_decode::plan::{ComponentInstanceId, FuncItem, FuncRef, Item, Plan};
use helve_model::error::HandleError;
use helve_model::handles::Table;
use helve_model::instance::{FlagStorage, Flags};
use helve_model::{Effect, InstanceId, Instances, Store, Tables, TaskId, ThreadId, WaitableId};
use helve_vm::fibers::Suspended;
use std::any::Any;
use std::cell::{RefCell, RefMut};
use std::collections::{HashMap, HashSet};
use std::ptr::NonNull;

/// A part of an instance, which lives as long as that.
#[derive(Clone, Copy)]
struct Place {
    instance: InstancePtr,
    part: ComponentInstanceId,
    at: NonNull<Part>,
}

/// The tables of parts, found by the model's numbers.
#[derive(Default)]
pub(crate) struct PartTables(Vec<Place>);

impl PartTables {
    fn part(&self, id: InstanceId) -> Option<(InstancePtr, ComponentInstanceId)> {
        let place = self.0.get(id.get() as usize)?;
        Some((place.instance, place.part))
    }

    /// The part itself.
    #[inline]
    fn get(&self, id: InstanceId) -> Option<&Part> {
        let place = self.0.get(id.get() as usize)?;
        // SAFETY: see the module; parts of instances that are gone are not asked for.
        Some(unsafe { place.at.as_ref() })
    }
}

impl Tables for PartTables {
    type Slots = HotStorage;

    #[inline(always)]
    fn with<R>(
        &mut self,
        instance: InstanceId,
        work: impl FnOnce(&mut Table<HotStorage>) -> R,
    ) -> Option<R> {
        Some(self.get(instance)?.with_table(work))
    }

    /// The maker has put it there.
    fn add(&mut self, _: InstanceId) {}
}

/// The flags of parts, found by the model's numbers: generated code has them too.
#[derive(Default)]
pub(crate) struct PartFlags(Vec<NonNull<Part>>);

impl PartFlags {
    #[inline]
    fn part(&self, id: InstanceId) -> Option<&Part> {
        let part = self.0.get(id.get() as usize)?;
        // SAFETY: see the module; parts of instances that are gone are not asked for.
        Some(unsafe { part.as_ref() })
    }
}

impl FlagStorage for PartFlags {
    fn get(&self, instance: InstanceId) -> Flags {
        self.part(instance)
            .map_or_else(Flags::default, |part| Flags {
                may_leave: part.may_leave.get(),
                may_enter: part.may_enter.get(),
                backpressure: part.backpressure.get().into(),
            })
    }

    fn set(&mut self, instance: InstanceId, flags: Flags) {
        if let Some(part) = self.part(instance) {
            part.may_leave.set(flags.may_leave);
            part.may_enter.set(flags.may_enter);
            let count = u16::try_from(flags.backpressure);
            part.backpressure.set(count.unwrap_or(u16::MAX));
        }
    }

    #[inline]
    fn may_enter(&self, instance: InstanceId) -> bool {
        self.part(instance).is_none_or(|part| part.may_enter.get())
    }

    #[inline]
    fn set_may_enter(&mut self, instance: InstanceId, may_enter: bool) {
        if let Some(part) = self.part(instance) {
            part.may_enter.set(may_enter);
        }
    }

    #[inline]
    fn may_leave(&self, instance: InstanceId) -> bool {
        self.part(instance).is_none_or(|part| part.may_leave.get())
    }

    #[inline]
    fn backpressure(&self, instance: InstanceId) -> u32 {
        self.part(instance)
            .map_or(0, |part| part.backpressure.get().into())
    }

    /// The maker has put it there.
    fn add(&mut self, _: InstanceId) {}

    fn set_gate(&mut self, instance: InstanceId, shut: bool) {
        if let Some(part) = self.part(instance) {
            part.gate.set(shut.into());
        }
    }
}

type Model = Store<PartTables, PartFlags>;

/// A thread that stopped in a host call.
struct Stopped {
    guest: Suspended,
    reply: Reply,
    /// The thread that its stack was made for.
    base: ThreadId,
    /// Context slots of parts that noted calls on the stack are in.
    contexts: Option<Box<noted::Contexts>>,
}

/// What is to be done once a guest has suspended.
enum Handed {
    Effect(Effect),
    /// Others ran on its stack, and something went wrong with them.
    Failed(Error),
    Panicked(Box<dyn Any + Send>),
}

/// How the value that a built-in returns reaches the guest.
#[derive(Clone, Copy)]
struct Reply {
    /// The argument array.
    lanes: *mut Lane,
    /// Where an event goes.
    event: Option<(crate::component::call::memory::GuestMemory, u64)>,
}

/// What a store keeps for its tasks.
pub(crate) struct State {
    pub(crate) model: Model,
    /// Numbers of instances that are gone, by the parent that they have.
    numbers: HashMap<Option<InstanceId>, Vec<InstanceId>>,
    /// The same, all of them.
    gone: HashSet<u32>,
    /// Threads whose stacks are suspended.
    stopped: ByNumber<ThreadId, Stopped>,
    calls: ByNumber<TaskId, call::Known>,
    /// Results of synchronous calls that their callers have not taken yet.
    results: ByNumber<WaitableId, Lane>,
    /// Functions of tasks that have begun and have callbacks: they live as long as their
    /// instances.
    callbacks: ByNumber<TaskId, NonNull<LiftedFunc>>,
    /// The thread whose built-in asks.
    asker: Option<ThreadId>,
    /// What threads that were made explicitly run.
    functions: Vec<(CoreFunc, Lane)>,
    /// Whether it is settled how choices are made.
    scheduled: bool,
    /// What a built-in has left to be done.
    handed: Option<(Handed, Reply)>,
    ends: Ends,
}

/// See [`State`].
#[derive(Default)]
pub(crate) struct Drive(RefCell<State>, Stacks);

impl Drive {
    /// The state, while no guest runs and nobody else looks at it.
    pub(crate) fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }
}

impl std::fmt::Debug for Drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drive").finish_non_exhaustive()
    }
}

impl Default for State {
    fn default() -> State {
        State {
            model: Store::with(PartTables::default(), Instances::default()),
            numbers: HashMap::new(),
            gone: HashSet::new(),
            stopped: ByNumber::default(),
            calls: ByNumber::default(),
            results: ByNumber::default(),
            callbacks: ByNumber::default(),
            asker: None,
            functions: Vec::new(),
            scheduled: false,
            handed: None,
            ends: Ends::default(),
        }
    }
}

impl State {
    /// Choices are made as the engine's settings say, unless the store's own do.
    pub(crate) fn schedule(&mut self, engine: &Engine, concurrent: &Concurrent) {
        if !self.scheduled {
            self.set_schedule(engine.config().schedule, concurrent);
        }
    }

    /// Choices are made so from now on.
    pub(crate) fn set_schedule(&mut self, schedule: Schedule, concurrent: &Concurrent) {
        self.scheduled = true;
        self.model.set_schedule(match schedule {
            Schedule::InOrder => helve_model::Schedule::InOrder,
            Schedule::Seed(seed) => {
                concurrent.make_virtual();
                helve_model::Schedule::Seeded(seed)
            }
        });
    }

    /// Some instance of the store that has tasks.
    /// The element type of streams and futures whose ends have this type in tables.
    pub(crate) fn element_type(&self, ty: helve_model::TypeId) -> Option<String> {
        self.ends.type_text(ty)
    }

    /// The name of the export that a task runs, while it is not resolved.
    pub(crate) fn function_name(&self, task: TaskId) -> Option<String> {
        let call = self.calls.get(task)?;
        let plan = call.callee().plan();
        let of = |item: &Item| match item {
            Item::Func(FuncItem {
                func: FuncRef::Lifted(id),
                ..
            }) => {
                let lifted = call.callee().lifted.get(*id)?.get()?;
                std::ptr::eq(lifted, call.lifted()).then_some(())
            }
            _ => None,
        };
        plan.exports.iter().find_map(|(name, export)| {
            let item = &export.item;
            if let Item::Instance(instance) = item {
                let mut inner = instance.exports.iter();
                let found = inner.find_map(|(name, item)| of(item).map(|()| name));
                return found.map(|inner| format!("{name}#{inner}"));
            }
            of(item).map(|()| name.to_string())
        })
    }

    /// Where a component instance stands.
    pub(crate) fn path(&self, id: InstanceId) -> Option<String> {
        let (instance, part) = self.model.tables.part(id)?;
        // SAFETY: see the module.
        Some(unsafe { instance.get() }.part(part).path.to_string())
    }

    /// How many tasks of a component instance there are.
    pub(crate) fn tasks_of(&self, instance: &InstanceData, part: ComponentInstanceId) -> u32 {
        let Some(id) = instance.part(part).model_id.get() else {
            return 0;
        };
        self.model.task_count(id).unwrap_or(0)
    }

    pub(crate) fn any_instance(&self) -> Option<InstancePtr> {
        let mut all = (0u32..).zip(&self.model.tables.0);
        let alive = all.find(|(number, _)| !self.gone.contains(number))?;
        Some(alive.1.instance)
    }

    /// The result of a synchronous call as a core value, until its caller takes it.
    pub(crate) fn keep_result(&mut self, subtask: WaitableId, lane: Lane) {
        self.results.insert(subtask, lane);
    }

    /// The model's number of a part; its parents get theirs first.
    pub(crate) fn id(
        &mut self,
        instance: &InstanceData,
        part: ComponentInstanceId,
    ) -> Result<InstanceId> {
        if let Some(id) = instance.part(part).model_id.get() {
            return Ok(id);
        }
        self.new_id(instance, part)
    }

    #[cold]
    fn new_id(&mut self, instance: &InstanceData, part: ComponentInstanceId) -> Result<InstanceId> {
        let at = NonNull::from(instance.part(part));
        let key = Place {
            instance: instance.ptr(),
            part,
            at,
        };
        let info = instance.plan().component_instances.get(part);
        let parent = match info.and_then(|info| info.parent) {
            Some(parent) => Some(self.id(instance, parent)?),
            None => None,
        };
        let readings = instance.component.engine().config().readings;
        self.model.set_readings(readings);
        self.schedule(instance.component.engine(), &instance.shared().concurrent);
        let reused = self.numbers.get_mut(&parent).and_then(Vec::pop);
        let id = match reused {
            Some(id) => {
                self.gone.remove(&id.get());
                let number = id.get() as usize;
                if let Some(place) = self.model.tables.0.get_mut(number) {
                    *place = key;
                }
                if let Some(place) = self.model.instances.flags_mut().0.get_mut(number) {
                    *place = at;
                }
                id
            }
            None => {
                self.model.tables.0.push(key);
                self.model.instances.flags_mut().0.push(at);
                self.model.add_instance(parent)?
            }
        };
        let most = instance.part(part).most_tasks();
        let limited = self.model.set_task_limit(id, most);
        limited.map_err(other_trap)?;
        instance.part(part).model_id.set(Some(id));
        Ok(id)
    }

    /// An instance is gone of which no call is under way: its numbers are used again.
    pub(crate) fn forget(&mut self, instance: &InstanceData) {
        for part in instance.parts.keys() {
            let Some(id) = instance.part(part).model_id.take() else {
                continue;
            };
            self.gone.insert(id.get());
            if self.model.recycle_instance(id).is_ok() {
                let parent = self.model.instances.parent(id);
                self.numbers.entry(parent).or_default().push(id);
            }
        }
        self.ends.forget(instance.ptr());
    }
}

/// Whether a component needs tasks.
pub(crate) fn uses_tasks(plan: &Plan) -> bool {
    use helve_abi::canon::CanonBuiltin::*;
    let types = &plan.types;
    let is_sync = |op| {
        matches!(
            op,
            ResourceNew { .. }
                | ResourceRep { .. }
                | ResourceDrop { .. }
                | ContextGet { .. }
                | ContextSet { .. }
        )
    };
    plan.options.values().any(|options| options.is_async)
        || plan.lifted.values().any(|func| types[func.ty].is_async)
        || plan.lowered.values().any(|func| types[func.ty].is_async)
        || plan.builtins.values().any(|builtin| !is_sync(builtin.op))
}

/// A trap of the model as an error.
pub(crate) fn refused(
    instance: &InstanceData,
    part: ComponentInstanceId,
    trap: helve_model::Trap,
) -> Error {
    match trap {
        helve_model::Trap::Handle(error) => instance.part(part).refused(error),
        other => other_trap(other),
    }
}

pub(crate) fn other_trap(trap: helve_model::Trap) -> Error {
    use helve_model::InstanceError::*;
    match trap {
        helve_model::Trap::Instance(CannotEnter { .. }) => Error::new(Trap::CannotEnterComponent),
        helve_model::Trap::Instance(CannotLeave) => Error::new(Trap::CannotLeaveComponent),
        helve_model::Trap::Handle(HandleError::Misuse { what }) => Error::new(Bug(what.into())),
        helve_model::Trap::Misuse(what) => Error::new(Bug(what.into())),
        other => Error::new(GuestTrap::new(Trap::CanonicalAbi, other.to_string())),
    }
}
