//! One component instance at run time: may it be entered and left, and its handles.
//!
//! The spec's `ComponentInstance`. One root instance has many (one per nested component
//! instance); they are its *parts*.
//!
//! ```text
//!  may_enter: true --- enter (itself and its ancestors that the caller is not in) --> false
//!             true <-- leave -------------------------------------------------------- false
//!  may_leave: false while the instance's realloc or post-return runs
//! ```
//!
//! Not here: the rules of handles (`helve_model`), the root's lock-down after a trap
//! (`state`).

use crate::component::handles::ResourceKey;
use crate::component::history::Recorder;
use crate::component::hot::{HotSlots, HotStorage};
use crate::component::store::StoreShared;
use crate::core::limits::{LimiterBox, PartLimiter};
use helve_base::error::GuestTrap;
use helve_base::limits::InstanceLimits;
use helve_base::{Error, Result, Trap};
use helve_model::InstanceId;
use helve_model::error::{HandleError, Names};
use helve_model::handles::{Header, MAX_INDEX, Slot, Storage, Table, TypeId};
use helve_model::layout::HotBlock;
use helve_model::resource::{Dropped, Loans, ScopeId};
use std::cell::{Cell, RefCell, RefMut};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// A component instance.
pub(crate) struct Part {
    /// Where it stands, for messages.
    pub path: Arc<str>,
    /// Whether calls may come in.
    pub may_enter: Cell<bool>,
    /// Whether calls may go out.
    pub may_leave: Cell<bool>,
    /// `context.get` and `context.set` of the call that runs.
    pub context: Cell<[u64; 2]>,
    /// `backpressure.inc` less `backpressure.dec`.
    pub backpressure: Cell<u16>,
    /// The model's number of it, once there is one.
    pub model_id: Cell<Option<InstanceId>>,
    /// Whether its code has run, or is about to.
    pub touched: Cell<bool>,
    /// Not 0 while calls of async functions can't start at once.
    pub gate: Cell<u32>,
    handles: RefCell<Table<HotStorage>>,
    /// The short ways into the same.
    slots: Option<HotSlots>,
    most_handles: u32,
    most_tasks: u32,
    /// Its memories and tables, in number.
    pub limiter: LimiterBox<PartLimiter>,
    /// Fuel that it has used up, where that is counted.
    pub fuel: Cell<u64>,
    /// Bytes that were copied to or from it, but by adapters.
    pub copied: Cell<u64>,
    shared: Rc<StoreShared>,
}

impl Part {
    pub fn new(
        path: Arc<str>,
        shared: Rc<StoreShared>,
        (limits, limiter): (&InstanceLimits, PartLimiter),
        recorder: Option<Recorder>,
    ) -> Part {
        let most_handles = limits.handles;
        let storage = HotStorage::new(most_handles, recorder);
        Part {
            slots: HotSlots::of(&storage),
            path,
            may_enter: Cell::new(true),
            may_leave: Cell::new(true),
            context: Cell::default(),
            backpressure: Cell::new(0),
            model_id: Cell::new(None),
            touched: Cell::new(false),
            gate: Cell::new(0),
            handles: RefCell::new(Table::with_storage(storage, most_handles)),
            most_handles,
            most_tasks: limits.tasks,
            limiter: LimiterBox::new(limiter),
            fuel: Cell::new(0),
            copied: Cell::new(0),
            shared,
        }
    }

    /// Calls of its functions that may be under way.
    pub fn most_tasks(&self) -> u32 {
        self.most_tasks
    }

    /// Does something with its handles.
    // Always inlined: a result that comes back by way of memory costs more than the work.
    #[inline(always)]
    pub fn with_table<R>(&self, work: impl FnOnce(&mut Table<HotStorage>) -> R) -> R {
        work(&mut self.handles.borrow_mut())
    }

    /// Its handles.
    #[inline(always)]
    pub fn table(&self) -> RefMut<'_, Table<HotStorage>> {
        self.handles.borrow_mut()
    }

    /// Counts bytes that are copied to or from it.
    #[inline]
    pub fn count_copied(&self, bytes: u64) {
        self.copied.set(self.copied.get().wrapping_add(bytes));
    }

    /// Most handles that it may have.
    pub fn most_handles(&self) -> u32 {
        self.most_handles
    }

    /// What its handles' types are called.
    pub fn names(&self) -> impl Names {
        TableNames(self)
    }

    /// Fails while calls may not go out.
    #[inline]
    pub fn check_leave(&self) -> Result<()> {
        if self.may_leave.get() {
            Ok(())
        } else {
            Err(cannot_leave())
        }
    }

    /// What generated code sees of the table.
    pub fn hot(&self) -> NonNull<HotBlock> {
        self.handles.borrow().storage().block()
    }

    /// A new owned handle: its index.
    #[inline]
    pub fn insert_own(&self, key: ResourceKey, rep: u32) -> Result<u32> {
        if let Some(index) = self
            .slots
            .and_then(|slots| slots.insert_own(key.tag(), rep))
        {
            return Ok(index);
        }
        let index = self.handles.borrow_mut().new_own(type_id(key), rep);
        self.checked(index)
    }

    /// A new borrowed handle, which counts for `scope`: its index.
    pub fn insert_borrow(&self, key: ResourceKey, rep: u32, scope: ScopeId) -> Result<u32> {
        let mut scopes = self.shared.scopes.borrow_mut();
        let index = self
            .handles
            .borrow_mut()
            .new_borrow(&mut scopes, type_id(key), rep, scope);
        self.checked(index)
    }

    /// Makes room for one more handle.
    pub fn make_room(&self) -> Result<()> {
        let mut handles = self.handles.borrow_mut();
        let Header { len, free } = handles.storage().header();
        let limit = self.most_handles.min(MAX_INDEX);
        if free == 0 && len > limit {
            return Err(self.refused(HandleError::Full { limit }));
        }
        if free == 0 && !handles.storage_mut().reserve(len) {
            return Err(self.refused(HandleError::OutOfMemory));
        }
        Ok(())
    }

    /// What a call fails with whose callee keeps `count` handles that it borrowed.
    #[cold]
    pub fn borrows_remain(&self, count: u32) -> Error {
        self.refused(HandleError::BorrowsRemain { count })
    }

    /// The representation behind a handle.
    #[inline]
    pub fn rep(&self, key: ResourceKey, index: u32) -> Result<u32> {
        let rep = self.handles.borrow().rep(index, type_id(key));
        self.checked(rep)
    }

    /// Takes an owned handle out: its representation.
    #[inline]
    pub fn take_own(&self, key: ResourceKey, index: u32) -> Result<u32> {
        if let Some(rep) = self
            .slots
            .and_then(|slots| slots.take_own(key.tag(), index))
        {
            return Ok(rep);
        }
        let rep = self.handles.borrow_mut().take_own(index, type_id(key));
        self.checked(rep)
    }

    /// Drops a handle; what is left to do is the result.
    #[inline]
    pub fn drop_handle(&self, key: ResourceKey, index: u32) -> Result<Dropped> {
        if let Some(rep) = self
            .slots
            .and_then(|slots| slots.take_own(key.tag(), index))
        {
            return Ok(Dropped::Own { rep });
        }
        let mut scopes = self.shared.scopes.borrow_mut();
        let dropped = self
            .handles
            .borrow_mut()
            .drop_resource(&mut scopes, index, type_id(key));
        self.checked(dropped)
    }

    /// Lends a handle for as long as the call of `loans` lasts: its representation.
    #[inline]
    pub fn lend(&self, loans: &mut Loans, key: ResourceKey, index: u32) -> Result<u32> {
        // With room for it: the first needs none.
        if loans.is_empty()
            && let Some(rep) = self.slots.and_then(|slots| slots.lend(key.tag(), index))
        {
            return self.checked(loans.add(index).map(|()| rep));
        }
        let lent = self.handles.borrow_mut().lend(loans, index, type_id(key));
        Ok(self.checked(lent)?.rep)
    }

    /// Ends a call's loans.
    #[inline]
    pub fn end_loans(&self, loans: &mut Loans) -> Result<()> {
        let slots = loans.only().zip(self.slots);
        if slots
            .and_then(|(index, slots)| slots.end_loan(index))
            .is_some()
        {
            loans.end_only();
            return Ok(());
        }
        let ended = self.handles.borrow_mut().end_loans(loans);
        self.checked(ended)
    }

    /// Fails while borrowed handles of `scope` remain, which are all in this table.
    pub fn end_scope(&self, scope: ScopeId) -> Result<()> {
        let ended = self.shared.scopes.borrow_mut().end(scope);
        self.checked(ended)
    }

    #[inline]
    fn checked<T>(&self, result: Result<T, HandleError>) -> Result<T> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// `owned resource file`, `readable end of a stream`.
    fn name_of(&self, slot: Slot) -> String {
        let name = match slot.kind().is_resource() {
            true => TableNames(self).resource(slot.ty()),
            false => None,
        };
        match name {
            Some(name) => format!("{} `{name}`", slot.kind().noun()),
            None => slot.kind().noun().to_owned(),
        }
    }

    #[cold]
    pub(crate) fn refused(&self, error: HandleError) -> Error {
        let trap = match error {
            HandleError::Full { .. } | HandleError::OutOfMemory | HandleError::TooMany { .. } => {
                Trap::LimitExceeded
            }
            _ => Trap::Handle,
        };
        let mut text = error.display(&TableNames(self)).to_string();
        if let Some(index) = error.index()
            && let Ok(handles) = self.handles.try_borrow()
            && let Some(recorder) = handles.storage().recorder()
        {
            text += &recorder.story(index, |slot| self.name_of(slot));
        }
        Error::new(GuestTrap::new(trap, text))
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl ResourceKey {
    /// The tag of a slot that owns a resource of this type.
    #[inline]
    pub fn tag(self) -> u32 {
        helve_model::layout::resource_tag(type_id(self))
    }
}

/// A resource type as the table knows it. Keys are counted up from 0, the table's types
/// from 1, and no store has 2^28 resource types.
pub(crate) fn type_id(key: ResourceKey) -> TypeId {
    TypeId::new(key.as_u32().saturating_add(1)).unwrap_or(TypeId::NONE)
}

/// What messages about a table call things.
struct TableNames<'a>(&'a Part);

impl Names for TableNames<'_> {
    fn resource(&self, ty: TypeId) -> Option<String> {
        self.0.shared.resource_name(ty.get().checked_sub(1)?)
    }

    fn is_host(&self, ty: TypeId) -> bool {
        ty.get()
            .checked_sub(1)
            .is_some_and(|key| self.0.shared.is_host_resource(key))
    }

    fn instance(&self) -> Option<String> {
        Some(self.0.path.to_string())
    }
}

#[cold]
pub(crate) fn cannot_leave() -> Error {
    Error::new(Trap::CannotLeaveComponent)
}

#[cold]
pub(crate) fn cannot_enter() -> Error {
    Error::new(Trap::CannotEnterComponent)
}
