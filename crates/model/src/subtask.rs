//! Subtasks: calls that a component has made and not dropped yet, as the caller sees
//! them.
//!
//! ```text
//!   STARTING --start--> STARTED --return--> RETURNED
//!      |                   |
//!      +--cancel--> CANCELLED_BEFORE_STARTED
//!                          +--cancel--> CANCELLED_BEFORE_RETURNED
//!
//!   resolved: one of the last three.  delivered: the caller has seen that; loans end.
//! ```
//!
//! A subtask gets an index when its call blocks. Every change of state after that is an
//! event, which always tells the newest state. Not here: the callee's side (tasks).

use crate::error::{Found, HandleError, Refusal};
use crate::handles::{Kind, Storage, Table, TypeId};
use crate::resource::Loans;
use crate::task::TaskId;
use crate::waitable::{Arena, Event, EventCode, Named, Waitable, WaitableId};

/// Where a call is, by the numbers guests see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum SubtaskState {
    /// The callee has not taken the arguments yet.
    Starting = 0,
    /// The callee runs.
    Started = 1,
    /// The callee has returned.
    Returned = 2,
    /// Cancelled before the callee took the arguments.
    CancelledBeforeStarted = 3,
    /// Cancelled before the callee returned.
    CancelledBeforeReturned = 4,
}

impl SubtaskState {
    /// Whether the call is over.
    #[inline]
    pub const fn is_resolved(self) -> bool {
        !matches!(self, SubtaskState::Starting | SubtaskState::Started)
    }

    /// Whether a call in this state can come to be in `next`.
    #[inline]
    const fn leads_to(self, next: SubtaskState) -> bool {
        use SubtaskState::*;
        matches!(
            (self, next),
            (Starting, Started | CancelledBeforeStarted)
                | (Started, Returned | CancelledBeforeReturned)
        )
    }
}

/// A subtask.
#[derive(Clone, Debug)]
pub(crate) struct Subtask {
    pub waitable: Waitable,
    state: SubtaskState,
    cancellation_requested: bool,
    /// Whether the caller has been told that it is resolved.
    delivered: bool,
    loans: Loans,
    /// The callee's task, where a `Store` runs it; else it is the host's.
    pub task: Option<TaskId>,
}

/// What `subtask.cancel` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelling {
    /// It is over: the state to return.
    Done(SubtaskState),
    /// The callee must be asked to cancel; then [`Table::finish_subtask_cancel`].
    Request(WaitableId),
    /// It goes on: the synchronous form waits, the asynchronous one returns "blocked".
    Blocked(WaitableId),
}

const FOUND: Found = Found {
    kind: Kind::Subtask,
    ty: TypeId::NONE,
};
const GONE: HandleError = HandleError::Misuse { what: "subtask" };

impl Arena {
    /// A call begins. It has no index yet; `loans` are what its arguments lend.
    ///
    /// # Errors
    ///
    /// Where there is no such one, or it is in no state for that; nothing has changed then.
    #[inline]
    pub fn subtask_new(&mut self) -> Result<WaitableId, HandleError> {
        let subtask = Subtask {
            waitable: Waitable::new(),
            state: SubtaskState::Starting,
            cancellation_requested: false,
            delivered: false,
            loans: Loans::new(),
            task: None,
        };
        WaitableId::of_subtask(self.subtasks.insert(subtask)?)
    }

    #[inline]
    pub(crate) fn subtask(&self, id: WaitableId) -> Result<&Subtask, HandleError> {
        match id.named() {
            Named::Subtask(number) => self.subtasks.get(number).ok_or(GONE),
            Named::End(..) => Err(GONE),
        }
    }

    #[inline]
    pub(crate) fn subtask_mut(&mut self, id: WaitableId) -> Result<&mut Subtask, HandleError> {
        match id.named() {
            Named::Subtask(number) => self.subtasks.get_mut(number).ok_or(GONE),
            Named::End(..) => Err(GONE),
        }
    }

    /// Where the call is.
    ///
    /// # Errors
    ///
    /// Where there is no such one, or it is in no state for that; nothing has changed then.
    #[inline]
    pub fn subtask_state(&self, id: WaitableId) -> Result<SubtaskState, HandleError> {
        Ok(self.subtask(id)?.state)
    }

    /// The loans of the call, to lend more.
    ///
    /// # Errors
    ///
    /// Where there is no such one, or it is in no state for that; nothing has changed then.
    #[inline]
    pub fn subtask_loans(&mut self, id: WaitableId) -> Result<&mut Loans, HandleError> {
        Ok(&mut self.subtask_mut(id)?.loans)
    }

    /// The call comes to be in `next`; an event if it has an index.
    ///
    /// # Errors
    ///
    /// Where there is no such one, or it is in no state for that; nothing has changed then.
    #[inline]
    pub fn subtask_advance(
        &mut self,
        id: WaitableId,
        next: SubtaskState,
    ) -> Result<(), HandleError> {
        let subtask = self.subtask_mut(id)?;
        if !subtask.state.leads_to(next) {
            return Err(HandleError::Misuse {
                what: "next state of a subtask",
            });
        }
        subtask.state = next;
        if self.waitable(id)?.index != 0 {
            self.set_event(id)
        } else {
            Ok(())
        }
    }
}

impl<S: Storage> Table<S> {
    /// The call has blocked: it gets an index.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn subtask_insert(
        &mut self,
        arena: &mut Arena,
        id: WaitableId,
    ) -> Result<u32, HandleError> {
        arena.subtask(id)?;
        self.insert_waitable(arena, id, FOUND)
    }

    /// A call that never got an index is over: its loans end.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn subtask_finish(
        &mut self,
        arena: &mut Arena,
        id: WaitableId,
    ) -> Result<SubtaskState, HandleError> {
        let (subtask, index) = (arena.subtask(id)?, arena.waitable(id)?.index);
        if index != 0 || !subtask.state.is_resolved() {
            return Err(GONE);
        }
        let state = subtask.state;
        let mut loans = core::mem::take(&mut arena.subtask_mut(id)?.loans);
        arena.free_subtask(id)?;
        self.end_loans(&mut loans)?;
        Ok(state)
    }

    /// Tells the caller the newest state; if that is a resolution, the loans end.
    #[inline(always)]
    pub(crate) fn deliver_subtask(
        &mut self,
        arena: &mut Arena,
        id: WaitableId,
    ) -> Result<Event, HandleError> {
        let index = arena.waitable(id)?.index;
        let subtask = arena.subtask_mut(id)?;
        let state = subtask.state;
        if state.is_resolved() {
            subtask.delivered = true;
            let mut loans = core::mem::take(&mut subtask.loans);
            self.end_loans(&mut loans)?;
        }
        Ok(Event {
            code: EventCode::Subtask,
            index,
            payload: state as u32,
        })
    }

    /// `subtask.drop`: only after the resolution was delivered.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    #[inline]
    pub fn subtask_drop(&mut self, arena: &mut Arena, index: u32) -> Result<(), HandleError> {
        let id = self.waitable_of(index, FOUND)?;
        if !arena.subtask(id)?.delivered {
            return Err(HandleError::Refused {
                index,
                why: Refusal::DropUnresolvedSubtask,
            });
        }
        arena.free_subtask(id)?;
        self.free(index);
        Ok(())
    }

    /// `subtask.cancel`, first half.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn begin_subtask_cancel(
        &mut self,
        arena: &mut Arena,
        index: u32,
        is_async: bool,
    ) -> Result<Cancelling, HandleError> {
        let id = self.waitable_of(index, FOUND)?;
        let subtask = arena.subtask(id)?;
        let refused = |why| Err(HandleError::Refused { index, why });
        if subtask.delivered {
            return refused(Refusal::CancelDelivered);
        }
        if subtask.cancellation_requested {
            return refused(Refusal::CancelTwice);
        }
        if arena.in_waitable_set(id) && !is_async {
            return refused(Refusal::SyncAndSet);
        }
        if subtask.state.is_resolved() {
            self.take_event(arena, id)?;
            return Ok(Cancelling::Done(arena.subtask_state(id)?));
        }
        arena.subtask_mut(id)?.cancellation_requested = true;
        Ok(Cancelling::Request(id))
    }

    /// `subtask.cancel`, after the callee was asked: is it over now? The synchronous form
    /// that is told "blocked" waits ([`Table::begin_sync_wait`]) and asks again each time
    /// it is woken: the callee may only have started.
    ///
    /// # Errors
    ///
    /// No such handle, one of another kind, type or state, or no room; nothing has changed then.
    pub fn finish_subtask_cancel(
        &mut self,
        arena: &mut Arena,
        id: WaitableId,
    ) -> Result<Cancelling, HandleError> {
        let state = arena.subtask_state(id)?;
        if !state.is_resolved() {
            return Ok(Cancelling::Blocked(id));
        }
        arena.waitable_mut(id)?.sync_waiter = false;
        if arena.has_pending_event(id) {
            self.take_event(arena, id)?;
        }
        Ok(Cancelling::Done(state))
    }
}
