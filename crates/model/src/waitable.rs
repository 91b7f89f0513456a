//! What subtasks and the ends of streams and futures have in common: an event that may
//! be pending, a set they may be in, and a thread that may wait for just them.
//!
//! ```text
//!            set_event                     take_event
//!   (nothing) --------> pending event -----------------> (nothing)
//!                          |                 performs what delivery does: a subtask's
//!                          |                 loans end, a copy end changes its state
//!                          +--> wakes the waiter, or a waiter of its set
//! ```
//!
//! A waitable in a set is in one of two zones of it: members `0..ready` have an event.
//! Each knows its place, so joining, leaving, becoming ready and being picked are O(1).
//!
//! The [`Arena`] holds these for all tables of a store: a stream's ends are in two of
//! them. Not here: what the kinds do (`subtask`, `copy_end`), who runs (the scheduler is
//! told by [`Arena::take_woken`]).

use crate::copy_end::Direction;
use crate::error::{Found, HandleError, Refusal};
use crate::error_context::ErrorContext;
use crate::handles::{Kind, Slot, Storage, Table, TypeId};
use crate::slab::Slab;
use crate::stream::Shared;
use crate::subtask::Subtask;
use crate::thread::ThreadId;
use crate::waitable_set::WaitableSet;
use alloc::vec::Vec;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(crate) u32);

        impl $name {
            /// Its number, which another one can have when it is gone.
            pub const fn number(self) -> u32 {
                self.0
            }
        }
    )*};
}

ids! {
    /// A subtask, or an end of a stream or future, wherever it is.
    WaitableId;
    /// A waitable set.
    SetId;
    /// What the two ends of a stream or future share.
    SharedId;
    /// An error context.
    ContextId;
}

/// What a [`WaitableId`] names.
#[derive(Clone, Copy)]
pub(crate) enum Named {
    /// A subtask, by its number.
    Subtask(u32),
    /// An end of a stream or future.
    End(SharedId, Direction),
}

impl WaitableId {
    const END: u32 = 1 << 31;
    /// Streams and futures that there can be at once.
    const MOST_SHARED: u32 = 1 << 30;

    /// A subtask.
    #[inline]
    pub(crate) fn of_subtask(number: u32) -> Result<WaitableId, HandleError> {
        match number & WaitableId::END {
            0 => Ok(WaitableId(number)),
            _ => Err(HandleError::OutOfMemory),
        }
    }

    /// Both ends of a stream or future: readable, writable.
    #[inline]
    pub(crate) fn of_ends(shared: SharedId) -> Option<(WaitableId, WaitableId)> {
        let readable = WaitableId(WaitableId::END | shared.0 << 1);
        (shared.0 < WaitableId::MOST_SHARED).then_some((readable, readable.other_end()))
    }

    /// The other end of the same stream or future, of one that is an end.
    #[inline]
    pub(crate) fn other_end(self) -> WaitableId {
        WaitableId(self.0 ^ 1)
    }

    /// What it names.
    #[inline(always)]
    pub(crate) fn named(self) -> Named {
        if self.0 & WaitableId::END == 0 {
            return Named::Subtask(self.0);
        }
        let direction = match self.0 & 1 {
            0 => Direction::Readable,
            _ => Direction::Writable,
        };
        Named::End(SharedId((self.0 ^ WaitableId::END) >> 1), direction)
    }
}

/// The kinds of events, by the numbers guests see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum EventCode {
    /// No event.
    None = 0,
    /// A subtask made progress.
    Subtask = 1,
    /// A read from a stream ended.
    StreamRead = 2,
    /// A write to a stream ended.
    StreamWrite = 3,
    /// A read from a future ended.
    FutureRead = 4,
    /// A write to a future ended.
    FutureWrite = 5,
    /// The task was asked to cancel.
    TaskCancelled = 6,
}

/// An event as guests see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// Its kind.
    pub code: EventCode,
    /// The handle index of what it happened to.
    pub index: u32,
    /// How it ended; see the kinds.
    pub payload: u32,
}

impl Event {
    /// No event.
    pub const NONE: Event = Event {
        code: EventCode::None,
        index: 0,
        payload: 0,
    };
    /// The task was asked to cancel.
    pub const CANCELLED: Event = Event {
        code: EventCode::TaskCancelled,
        index: 0,
        payload: 0,
    };
}

/// What every waitable is. Small: there are two in each stream.
#[derive(Clone, Debug)]
pub(crate) struct Waitable {
    /// Its index in the table it is in; 0: in none.
    pub index: u32,
    /// The set it is in, or `NOBODY`.
    set: SetId,
    /// Its place among the set's members; in no set: the thread that waits, or `NOBODY`.
    place: u32,
    /// Whether an event is pending.
    pub pending: bool,
    /// Whether a thread waits for just this one.
    pub sync_waiter: bool,
    /// Whether the host is to be told of its event: an end that the host reads or writes.
    pub host: bool,
}

/// A number that nothing has.
const NOBODY: u32 = u32::MAX;

impl Waitable {
    pub(crate) const fn new() -> Waitable {
        Waitable {
            index: 0,
            set: SetId(NOBODY),
            place: NOBODY,
            pending: false,
            sync_waiter: false,
            host: false,
        }
    }

    /// The set it is in, and its place among the members.
    #[inline(always)]
    pub(crate) fn set(&self) -> Option<(SetId, u32)> {
        (self.set.0 != NOBODY).then_some((self.set, self.place))
    }

    /// The thread that waits for just this one, or that waits for a call which has no
    /// index, if a `Store` runs them. One in a set has none.
    #[inline]
    pub(crate) fn waiter(&self) -> Option<ThreadId> {
        let alone = self.set.0 == NOBODY && self.place != NOBODY;
        alone.then_some(ThreadId(self.place))
    }

    /// See [`Waitable::waiter`].
    #[inline]
    pub(crate) fn set_waiter(&mut self, thread: Option<ThreadId>) {
        if self.set.0 == NOBODY {
            self.place = thread.map_or(NOBODY, |thread| thread.0);
        }
    }
}

/// Someone who can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Woken {
    /// The thread that waits for just this waitable: [`Table::finish_sync_wait`].
    Waiter(WaitableId),
    /// One of the threads that wait for this set: [`Table::finish_wait`].
    Set(SetId),
    /// The host, whose end this is: [`Arena::take_host_event`].
    Host(WaitableId),
}

/// What the handles of all tables of a store point to.
#[derive(Clone, Debug)]
pub struct Arena {
    pub(crate) subtasks: Slab<Subtask>,
    pub(crate) sets: Slab<WaitableSet>,
    pub(crate) shared: Slab<Shared>,
    pub(crate) contexts: Slab<ErrorContext>,
    pub(crate) woken: Vec<Woken>,
    /// Sets with ready lists that got their first event, or have lost their last one.
    pub(crate) touched: Vec<SetId>,
    /// See `Readings::cancel_partial`.
    pub(crate) cancel_partial: bool,
}

impl Default for Arena {
    fn default() -> Arena {
        Arena::new()
    }
}

/// A number that names nothing: the user's mistake, not a guest's.
const GONE: HandleError = HandleError::Misuse { what: "waitable" };

impl Arena {
    /// Nothing yet.
    pub const fn new() -> Arena {
        Arena {
            subtasks: Slab::new(),
            sets: Slab::new(),
            shared: Slab::new(),
            contexts: Slab::new(),
            woken: Vec::new(),
            touched: Vec::new(),
            cancel_partial: false,
        }
    }

    #[inline(always)]
    fn find(&self, id: WaitableId) -> Option<&Waitable> {
        match id.named() {
            Named::Subtask(number) => Some(&self.subtasks.get(number)?.waitable),
            Named::End(shared, direction) => {
                let end = self.shared.get(shared.0)?.end(direction)?;
                Some(&end.waitable)
            }
        }
    }

    #[inline(always)]
    fn find_mut(&mut self, id: WaitableId) -> Option<&mut Waitable> {
        match id.named() {
            Named::Subtask(number) => Some(&mut self.subtasks.get_mut(number)?.waitable),
            Named::End(shared, direction) => {
                let end = self.shared.get_mut(shared.0)?.end_mut(direction)?;
                Some(&mut end.waitable)
            }
        }
    }

    #[inline]
    pub(crate) fn waitable(&self, id: WaitableId) -> Result<&Waitable, HandleError> {
        self.find(id).ok_or(GONE)
    }

    #[inline]
    pub(crate) fn waitable_mut(&mut self, id: WaitableId) -> Result<&mut Waitable, HandleError> {
        self.find_mut(id).ok_or(GONE)
    }

    /// Whether an event is pending.
    #[inline]
    pub fn has_pending_event(&self, id: WaitableId) -> bool {
        self.find(id).is_some_and(|waitable| waitable.pending)
    }

    /// Whether it is in a set.
    #[inline]
    pub fn in_waitable_set(&self, id: WaitableId) -> bool {
        self.find(id)
            .is_some_and(|waitable| waitable.set().is_some())
    }

    /// Who can go on since the last time this was asked, in the order it happened.
    pub fn take_woken(&mut self) -> Vec<Woken> {
        core::mem::take(&mut self.woken)
    }

    /// Makes an event pending and wakes who waits for it.
    #[inline(always)]
    pub(crate) fn set_event(&mut self, id: WaitableId) -> Result<(), HandleError> {
        let waitable = self.waitable_mut(id)?;
        // One that waits for just this one may wait for more than any event: for a call
        // that is resolved. All others know.
        if waitable.pending && !waitable.sync_waiter {
            return Ok(());
        }
        self.tell_event(id);
        Ok(())
    }

    fn tell_event(&mut self, id: WaitableId) {
        let Some(waitable) = self.find_mut(id) else {
            return;
        };
        waitable.pending = true;
        match waitable.set() {
            _ if waitable.sync_waiter => self.woken.push(Woken::Waiter(id)),
            Some(place) => {
                self.move_zone(place, true);
                self.wake_set(place.0);
            }
            None if waitable.host => self.woken.push(Woken::Host(id)),
            None => {}
        }
    }

    /// Tells who waits for a set that it has an event. Where a `Store` runs them, the set's
    /// lists do.
    #[inline]
    fn wake_set(&mut self, set: SetId) {
        let waiting = |set: &WaitableSet| {
            set.ready > 0 && set.waiters > 0 && set.lists.iter().all(Option::is_none)
        };
        if self.sets.get(set.0).is_some_and(waiting) {
            self.woken.push(Woken::Set(set));
        }
    }

    /// Ends an event's being pending.
    #[inline]
    pub(crate) fn clear_event(&mut self, id: WaitableId) -> Result<(), HandleError> {
        let waitable = self.waitable_mut(id)?;
        if core::mem::replace(&mut waitable.pending, false)
            && let Some(place) = waitable.set()
        {
            self.move_zone(place, false);
        }
        Ok(())
    }

    /// Moves a member of a set to the zone of those with an event, or out of it.
    #[inline]
    fn move_zone(&mut self, (id, place): (SetId, u32), ready: bool) {
        let Some(set) = self.sets.get_mut(id.0) else {
            return;
        };
        let (place, border) = if ready {
            set.ready += 1;
            (place as usize, set.ready - 1)
        } else {
            set.ready -= 1;
            (place as usize, set.ready)
        };
        if border == 0 && set.lists.iter().any(Option::is_some) {
            self.touched.push(id);
        }
        if place == border || place >= set.members.len() || border >= set.members.len() {
            return;
        }
        set.members.swap(place, border);
        let (here, there) = (set.members[place], set.members[border]);
        self.set_place(here, place);
        self.set_place(there, border);
    }

    #[inline]
    fn set_place(&mut self, id: WaitableId, to: usize) {
        if let Some(waitable) = self.find_mut(id) {
            waitable.place = u32::try_from(to).unwrap_or(u32::MAX);
        }
    }

    /// Takes a waitable out of its set.
    #[inline]
    pub(crate) fn leave_set(&mut self, id: WaitableId) -> Result<(), HandleError> {
        let waitable = self.waitable(id)?;
        let Some(place) = waitable.set() else {
            return Ok(());
        };
        if waitable.pending {
            self.move_zone(place, false);
        }
        let waitable = self.waitable_mut(id)?;
        let (set, place) = (waitable.set, waitable.place as usize);
        (waitable.set, waitable.place) = (SetId(NOBODY), NOBODY);
        if let Some(set) = self.sets.get_mut(set.0)
            && place < set.members.len()
        {
            set.members.swap_remove(place);
            if let Some(&moved) = set.members.get(place) {
                self.set_place(moved, place);
            }
        }
        Ok(())
    }

    /// Puts a waitable into a set, out of the one it was in.
    #[inline]
    fn enter_set(&mut self, id: WaitableId, to: SetId) -> Result<(), HandleError> {
        let set = self.sets.get_mut(to.0).ok_or(GONE)?;
        if !set.members.reserve() {
            return Err(HandleError::OutOfMemory);
        }
        self.leave_set(id)?;
        let set = self.sets.get_mut(to.0).ok_or(GONE)?;
        let place = u32::try_from(set.members.len()).map_err(|_| HandleError::OutOfMemory)?;
        if !set.members.push(id) {
            return Err(HandleError::OutOfMemory);
        }
        let waitable = self.waitable_mut(id)?;
        (waitable.set, waitable.place) = (to, place);
        if waitable.pending {
            self.move_zone((to, place), true);
            self.wake_set(to);
        }
        Ok(())
    }

    /// Frees a subtask that is in no table any more.
    #[inline]
    pub(crate) fn free_subtask(&mut self, id: WaitableId) -> Result<(), HandleError> {
        self.leave_set(id)?;
        match id.named() {
            Named::Subtask(number) if self.subtasks.discard(number) => Ok(()),
            _ => Err(GONE),
        }
    }

    /// Items alive: waitables, sets, streams and futures, error contexts. For leak tests.
    pub fn counts(&self) -> [usize; 4] {
        let streams = self.shared.iter();
        let ends: usize = streams.map(|(_, shared)| shared.ends_alive()).sum();
        [
            self.subtasks.len() + ends,
            self.sets.len(),
            self.shared.len(),
            self.contexts.len(),
        ]
    }
}

impl<S: Storage> Table<S> {
    /// The waitable at `index`, of whichever kind.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn waitable(&self, index: u32) -> Result<WaitableId, HandleError> {
        let slot = self.get(index)?;
        if !slot.kind().is_waitable() {
            return Err(HandleError::NotWaitable {
                index,
                found: slot.found(),
            });
        }
        Ok(WaitableId(slot.rep()))
    }

    /// The waitable at `index`, of this kind and type.
    #[inline(always)]
    pub(crate) fn waitable_of(&self, index: u32, want: Found) -> Result<WaitableId, HandleError> {
        Ok(WaitableId(self.expect(index, want.kind, want.ty)?.rep()))
    }

    /// Gives a waitable an index.
    #[inline(always)]
    pub(crate) fn insert_waitable(
        &mut self,
        arena: &mut Arena,
        id: WaitableId,
        found: Found,
    ) -> Result<u32, HandleError> {
        arena.waitable(id)?;
        let index = self.insert(Slot::new(found.kind, found.ty, id.0))?;
        arena.waitable_mut(id)?.index = index;
        Ok(index)
    }

    /// `waitable.join`: moves the waitable at `index` into a set, or with set 0 out.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn waitable_join(
        &mut self,
        arena: &mut Arena,
        index: u32,
        set: u32,
    ) -> Result<(), HandleError> {
        let id = self.waitable(index)?;
        if arena.waitable(id)?.sync_waiter {
            return Err(HandleError::Refused {
                index,
                why: Refusal::SyncAndSet,
            });
        }
        if set == 0 {
            return arena.leave_set(id);
        }
        let set = SetId(self.expect(set, Kind::WaitableSet, TypeId::NONE)?.rep());
        arena.enter_set(id, set)
    }

    /// Delivers the pending event of a waitable, which is or was in this table.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline(always)]
    pub fn take_event(&mut self, arena: &mut Arena, id: WaitableId) -> Result<Event, HandleError> {
        if !arena.waitable(id)?.pending {
            return Err(HandleError::Misuse {
                what: "pending event",
            });
        }
        arena.clear_event(id)?;
        match id.named() {
            Named::Subtask(_) => self.deliver_subtask(arena, id),
            Named::End(..) => arena.deliver_copy(id),
        }
    }

    /// A thread starts to wait for just this waitable: it is not in a set, and cannot
    /// join one meanwhile.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn begin_sync_wait(
        &mut self,
        arena: &mut Arena,
        id: WaitableId,
    ) -> Result<(), HandleError> {
        let waitable = arena.waitable_mut(id)?;
        if waitable.set().is_some() || waitable.sync_waiter {
            return Err(HandleError::Refused {
                index: waitable.index,
                why: Refusal::SyncAndSet,
            });
        }
        waitable.sync_waiter = true;
        Ok(())
    }

    /// The thread goes on; an event must be pending.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn finish_sync_wait(
        &mut self,
        arena: &mut Arena,
        id: WaitableId,
    ) -> Result<Event, HandleError> {
        if !arena.waitable(id)?.pending {
            return Err(HandleError::Misuse {
                what: "pending event",
            });
        }
        arena.waitable_mut(id)?.sync_waiter = false;
        self.take_event(arena, id)
    }
}
