//! Sets of waitables: wait for whichever of them has an event first.
//!
//! Members are in two zones, those with an event first (`waitable` keeps them so). Which
//! of several events comes first is a free choice: the caller makes it, or takes turns.

use crate::error::{HandleError, Refusal};
use crate::few::Few;
use crate::handles::{Kind, Slot, Storage, Table, TypeId};
use crate::run_queue::ListId;
use crate::waitable::{Arena, Event, SetId, WaitableId};

/// A waitable set.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitableSet {
    /// Those with an event, then the others.
    pub members: Few<WaitableId>,
    /// How many have an event.
    pub ready: usize,
    /// Threads that wait for it.
    pub waiters: u32,
    /// Counts events taken, so that no member waits for ever behind the others.
    turn: usize,
    /// Ready lists of those who wait, where a `Store` runs them; see [`Line`].
    pub lists: [Option<ListId>; 3],
}

/// How a thread waits for a set: which of the set's ready lists it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// On its stack.
    Plain = 0,
    /// Between two calls of its callback.
    Gated = 1,
    /// On its stack, excluding others from its instance.
    Held = 2,
}

/// Which of `n` events comes first: a number below `n`; larger ones wrap around.
pub type Choose<'a> = &'a mut dyn FnMut(usize) -> usize;

const GONE: HandleError = HandleError::Misuse {
    what: "waitable set",
};

impl<S: Storage> Table<S> {
    /// `waitable-set.new`.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn waitable_set_new(&mut self, arena: &mut Arena) -> Result<u32, HandleError> {
        let id = arena.sets.insert(WaitableSet::default())?;
        let slot = Slot::new(Kind::WaitableSet, TypeId::NONE, id);
        self.insert(slot).inspect_err(|_| {
            arena.sets.discard(id);
        })
    }

    /// The set at `index`.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn waitable_set(&self, index: u32) -> Result<SetId, HandleError> {
        Ok(SetId(
            self.expect(index, Kind::WaitableSet, TypeId::NONE)?.rep(),
        ))
    }

    /// `waitable-set.drop`: refused while it has members or is waited for.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn waitable_set_drop(&mut self, arena: &mut Arena, index: u32) -> Result<(), HandleError> {
        let id = self.waitable_set(index)?;
        let set = arena.sets.get(id.0).ok_or(GONE)?;
        if !set.members.is_empty() {
            return Err(HandleError::Refused {
                index,
                why: Refusal::DropSetWithMembers,
            });
        }
        if set.waiters > 0 {
            return Err(HandleError::Refused {
                index,
                why: Refusal::DropSetWithWaiters,
            });
        }
        arena.sets.discard(id.0);
        self.free(index);
        Ok(())
    }

    /// Delivers one event of a set, if there is one: `waitable-set.poll`, short of
    /// cancellation. Without `choose`, members take turns.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline(always)]
    pub fn poll_set(
        &mut self,
        arena: &mut Arena,
        set: SetId,
        choose: Option<Choose<'_>>,
    ) -> Result<Option<Event>, HandleError> {
        let set = arena.sets.get_mut(set.0).ok_or(GONE)?;
        if set.ready == 0 {
            return Ok(None);
        }
        let chosen = match choose {
            Some(choose) => choose(set.ready),
            None => {
                set.turn = set.turn.wrapping_add(1);
                set.turn
            }
        };
        let chosen = match set.ready {
            1 => 0,
            ready => chosen % ready,
        };
        let id = *set.members.get(chosen).ok_or(GONE)?;
        self.take_event(arena, id).map(Some)
    }

    /// A thread starts to wait for the set at `index`, which cannot be dropped meanwhile.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn begin_wait(&mut self, arena: &mut Arena, index: u32) -> Result<SetId, HandleError> {
        let id = self.waitable_set(index)?;
        let set = arena.sets.get_mut(id.0).ok_or(GONE)?;
        let more = set.waiters.checked_add(1);
        set.waiters = more.ok_or(HandleError::TooMany {
            what: "waiters of a waitable set",
        })?;
        Ok(id)
    }

    /// The thread goes on with an event, or keeps waiting where there is none (`None`:
    /// another waiter was first).
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn finish_wait(
        &mut self,
        arena: &mut Arena,
        set: SetId,
        choose: Option<Choose<'_>>,
    ) -> Result<Option<Event>, HandleError> {
        let event = self.poll_set(arena, set, choose)?;
        if event.is_some() {
            arena.end_wait(set)?;
        }
        Ok(event)
    }
}

impl Arena {
    /// A thread stops waiting for a set without an event of it: it was cancelled.
    ///
    /// # Errors
    ///
    /// Where there is no such one, or it is in no state for that; nothing has changed then.
    #[inline]
    pub fn end_wait(&mut self, set: SetId) -> Result<(), HandleError> {
        let set = self.sets.get_mut(set.0).ok_or(GONE)?;
        set.waiters = set.waiters.checked_sub(1).ok_or(GONE)?;
        Ok(())
    }

    /// The members that have an event, in the order [`Choose`] picks from.
    #[inline]
    pub fn ready_members(&self, set: SetId) -> &[WaitableId] {
        self.sets
            .get(set.0)
            .and_then(|set| set.members.get(..set.ready))
            .unwrap_or(&[])
    }

    /// Whether a member has an event.
    #[inline]
    pub fn set_has_event(&self, set: SetId) -> bool {
        self.sets.get(set.0).is_some_and(|set| set.ready > 0)
    }
}
