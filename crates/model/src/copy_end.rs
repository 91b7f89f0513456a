//! The ends of streams and futures: what may be done with one when.
//!
//! ```text
//!            read / write                    cancel
//!    IDLE ----------------> COPYING -----------------------> CANCELLING_COPY
//!     ^                        |                                   |
//!     +---- event delivered ---+-----------------------------------+
//!                              |  ended by the other end's drop, or a future's copy
//!                              v
//!                            DONE
//!
//!    dropped:  from IDLE (not a future's writable end) and DONE.    given away: from IDLE
//! ```
//!
//! The tables are in `Table`'s methods; the host holds ends of its own and uses `Arena`'s.
//! How two ends meet is `stream`'s and `future`'s.

use crate::error::{Found, HandleError, Refusal};
use crate::handles::{Kind, Storage, Table, TypeId};
use crate::instance::InstanceId;
use crate::stream::{
    Buffer, CopyJob, CopySides, MAX_LENGTH, Meeting, Pending, Shape, Shared, meet,
};
use crate::waitable::{Arena, Event, EventCode, SharedId, Waitable, WaitableId, What, Woken};

/// The state of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CopyState {
    /// Nothing happens.
    Idle,
    /// A read or write is under way.
    Copying,
    /// It was cancelled and has not ended yet.
    CancellingCopy,
    /// There will be no other one.
    Done,
}

/// How a copy ended, by the numbers guests see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CopyResult {
    /// Elements (or for a zero length none) were copied.
    Completed = 0,
    /// The other end was dropped.
    Dropped = 1,
    /// It was cancelled.
    Cancelled = 2,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The one that reads.
    Readable,
    /// The one that writes.
    Writable,
}

/// An end.
#[derive(Clone, Debug)]
pub(crate) struct CopyEnd {
    pub shared: SharedId,
    shape: Shape,
    direction: Direction,
    pub state: CopyState,
    /// Of the copy under way.
    pub buffer: Buffer,
    /// Whose memory that is in; `None`: the host's.
    instance: Option<InstanceId>,
    /// Of the pending event.
    result: CopyResult,
}

/// What a read or write, or its cancelling, comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copying {
    /// It is over: what to return.
    Done(u32),
    /// It goes on: the synchronous form waits for its event, the asynchronous one
    /// returns "blocked".
    Blocked(WaitableId),
    /// Elements are to be copied; then [`Arena::finish_copy`].
    Copy(CopyJob),
}

/// A kind of end: a stream's or future's, readable or writable, of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndType {
    /// Stream or future.
    pub shape: Shape,
    /// Readable or writable.
    pub direction: Direction,
    /// The type of the stream or future.
    pub ty: TypeId,
}

impl EndType {
    #[inline]
    fn found(self) -> Found {
        let kind = match (self.shape, self.direction) {
            (Shape::Stream, Direction::Readable) => Kind::StreamReadable,
            (Shape::Stream, Direction::Writable) => Kind::StreamWritable,
            (Shape::Future, Direction::Readable) => Kind::FutureReadable,
            (Shape::Future, Direction::Writable) => Kind::FutureWritable,
        };
        Found { kind, ty: self.ty }
    }
}

impl CopyEnd {
    /// Whether it is a stream's or a future's.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Which end it is.
    pub fn direction(&self) -> Direction {
        self.direction
    }
}

const GONE: HandleError = HandleError::Misuse {
    what: "end of a stream or future",
};

/// What the host needs of streams and futures, and what tables are made of.
impl Arena {
    /// A stream or future with both its ends, readable and writable, in no table yet.
    /// `plain`: its elements are numbers, or it has none.
    #[inline]
    pub fn copy_ends(
        &mut self,
        shape: Shape,
        ty: TypeId,
        plain: bool,
    ) -> Result<(WaitableId, WaitableId), HandleError> {
        let shared = Shared {
            shape,
            ty,
            plain,
            dropped: false,
            pending: None,
            watcher: None,
            ends: 2,
        };
        let shared = SharedId(self.shared.insert(shared)?);
        let mut end = |direction| {
            let end = CopyEnd {
                shared,
                shape,
                direction,
                state: CopyState::Idle,
                buffer: Buffer::new(0, 0),
                instance: None,
                result: CopyResult::Completed,
            };
            self.waitables
                .insert(Waitable::new(What::End(end)))
                .map(WaitableId)
        };
        Ok((end(Direction::Readable)?, end(Direction::Writable)?))
    }

    #[inline]
    fn end(&self, id: WaitableId) -> Result<&CopyEnd, HandleError> {
        match &self.waitable(id)?.what {
            What::End(end) => Ok(end),
            What::Subtask(_) => Err(GONE),
        }
    }

    #[inline]
    fn end_mut(&mut self, id: WaitableId) -> Result<&mut CopyEnd, HandleError> {
        match &mut self.waitable_mut(id)?.what {
            What::End(end) => Ok(end),
            What::Subtask(_) => Err(GONE),
        }
    }

    #[inline]
    fn shared(&self, id: SharedId) -> Result<&Shared, HandleError> {
        self.shared.get(id.0).ok_or(GONE)
    }

    #[inline]
    fn shared_mut(&mut self, id: SharedId) -> Result<&mut Shared, HandleError> {
        self.shared.get_mut(id.0).ok_or(GONE)
    }

    /// The state of an end.
    pub fn copy_state(&self, id: WaitableId) -> Result<CopyState, HandleError> {
        Ok(self.end(id)?.state)
    }

    fn refused<T>(&self, id: WaitableId, why: Refusal) -> Result<T, HandleError> {
        Err(HandleError::Refused {
            index: self.waitable(id)?.index,
            why,
        })
    }

    /// Starts a read or write of an end with a buffer; `instance` is whose memory that is
    /// in, `None` the host's.
    #[inline]
    pub fn begin_copy(
        &mut self,
        id: WaitableId,
        instance: Option<InstanceId>,
        buffer: Buffer,
        is_async: bool,
    ) -> Result<Copying, HandleError> {
        let end = self.end(id)?;
        let (shape, direction, shared) = (end.shape, end.direction, end.shared);
        match end.state {
            CopyState::Idle => {}
            CopyState::Done => return self.refused(id, Refusal::CopyDone(shape, direction)),
            _ => return self.refused(id, Refusal::CopyBusy),
        }
        if self.in_waitable_set(id) && !is_async {
            return self.refused(id, Refusal::SyncAndSet);
        }
        if buffer.length > MAX_LENGTH || buffer.progress > buffer.length {
            return self.refused(id, Refusal::BufferTooLong);
        }
        let meeting = self.meeting(id, shared, instance, &buffer)?;
        self.waitable_mut(id)?.host = instance.is_none();
        let end = self.end_mut(id)?;
        end.state = CopyState::Copying;
        end.buffer = buffer;
        end.instance = instance;
        match meeting {
            Meeting::Wait => self.wait(id, shared, instance),
            Meeting::Dropped => self.done(id, CopyResult::Dropped),
            Meeting::Done => self.done(id, CopyResult::Completed),
            Meeting::Replace => {
                self.notify_pending(shared, CopyResult::Completed)?;
                self.wait(id, shared, instance)
            }
            Meeting::Copy(count) => {
                let waiting = self.shared(shared)?.pending.ok_or(GONE)?.end;
                Ok(Copying::Copy(CopyJob {
                    count,
                    active: id,
                    waiting,
                }))
            }
        }
    }

    /// The buffers of a copy that is to be performed.
    #[inline]
    pub fn copy_sides(&self, job: &CopyJob) -> Result<CopySides, HandleError> {
        let (active, waiting) = (self.end(job.active)?, self.end(job.waiting)?);
        let (from, to) = match active.direction {
            Direction::Writable => (active, waiting),
            Direction::Readable => (waiting, active),
        };
        Ok(CopySides {
            from: from.buffer,
            from_instance: from.instance,
            to: to.buffer,
            to_instance: to.instance,
        })
    }

    /// How an end that comes with a buffer finds things; nothing has changed yet.
    #[inline]
    fn meeting(
        &self,
        id: WaitableId,
        shared: SharedId,
        instance: Option<InstanceId>,
        buffer: &Buffer,
    ) -> Result<Meeting, HandleError> {
        let end = self.end(id)?;
        let shared = self.shared(shared)?;
        if shared.dropped {
            return Ok(Meeting::Dropped);
        }
        let Some(pending) = shared.pending else {
            return Ok(Meeting::Wait);
        };
        if instance.is_some() && instance == pending.instance && !shared.plain {
            return self.refused(id, Refusal::IntraComponent(shared.shape));
        }
        let theirs = self.end(pending.end)?.buffer;
        Ok(match end.shape {
            Shape::Stream => meet(buffer, &theirs, end.direction == Direction::Writable),
            Shape::Future => crate::future::meet(buffer, &theirs),
        })
    }

    #[inline]
    fn wait(
        &mut self,
        id: WaitableId,
        shared: SharedId,
        instance: Option<InstanceId>,
    ) -> Result<Copying, HandleError> {
        self.shared_mut(shared)?.pending = Some(Pending { end: id, instance });
        Ok(Copying::Blocked(id))
    }

    /// The end's copy is over at once.
    #[inline]
    fn done(&mut self, id: WaitableId, result: CopyResult) -> Result<Copying, HandleError> {
        self.end_mut(id)?.result = result;
        Ok(Copying::Done(self.deliver_copy(id)?.payload))
    }

    /// A copy was performed: the end that started it is done, the one that waited is told
    /// by an event. Returns what the operation that started it returns.
    #[inline]
    pub fn finish_copy(&mut self, job: CopyJob) -> Result<u32, HandleError> {
        for id in [job.active, job.waiting] {
            let buffer = &mut self.end_mut(id)?.buffer;
            buffer.progress += job.count.min(buffer.remain());
        }
        let end = self.end(job.active)?;
        match end.shape {
            // The waiting buffer stays where it is until its event is delivered.
            Shape::Stream => {
                self.end_mut(job.waiting)?.result = CopyResult::Completed;
                self.set_event(job.waiting)?;
            }
            Shape::Future => self.notify_pending(end.shared, CopyResult::Completed)?,
        }
        self.end_mut(job.active)?.result = CopyResult::Completed;
        Ok(self.deliver_copy(job.active)?.payload)
    }

    /// Ends the copy of the one who waits, if someone does.
    #[inline]
    fn notify_pending(&mut self, shared: SharedId, result: CopyResult) -> Result<(), HandleError> {
        let Some(pending) = self.shared_mut(shared)?.pending.take() else {
            return Ok(());
        };
        self.end_mut(pending.end)?.result = result;
        self.set_event(pending.end)
    }

    /// What delivering the event of an end does.
    #[inline]
    pub(crate) fn deliver_copy(&mut self, id: WaitableId) -> Result<Event, HandleError> {
        let index = self.waitable(id)?.index;
        let end = self.end_mut(id)?;
        let (shared, result) = (end.shared, end.result);
        let over = match end.shape {
            Shape::Stream => result == CopyResult::Dropped,
            Shape::Future => result != CopyResult::Cancelled,
        };
        end.state = if over {
            CopyState::Done
        } else {
            CopyState::Idle
        };
        let (code, payload) = match (end.shape, end.direction) {
            (Shape::Stream, direction) => {
                let payload = result as u32 | end.buffer.progress << 4;
                match direction {
                    Direction::Readable => (EventCode::StreamRead, payload),
                    Direction::Writable => (EventCode::StreamWrite, payload),
                }
            }
            (Shape::Future, Direction::Readable) => (EventCode::FutureRead, result as u32),
            (Shape::Future, Direction::Writable) => (EventCode::FutureWrite, result as u32),
        };
        let pending = &mut self.shared_mut(shared)?.pending;
        if pending.is_some_and(|pending| pending.end == id) {
            *pending = None;
        }
        Ok(Event {
            code,
            index,
            payload,
        })
    }

    /// Gives a stream or future that the host made its type, when a guest first gets an
    /// end of it. One that has a type keeps it.
    pub fn set_end_type(
        &mut self,
        id: WaitableId,
        ty: TypeId,
        plain: bool,
    ) -> Result<(), HandleError> {
        let shared = self.end(id)?.shared;
        let shared = self.shared_mut(shared)?;
        if shared.ty == TypeId::NONE {
            shared.ty = ty;
            shared.plain = plain;
        }
        Ok(())
    }

    /// The type of an end; none yet where only the host has it.
    pub fn end_type(&self, id: WaitableId) -> Result<TypeId, HandleError> {
        Ok(self.shared(self.end(id)?.shared)?.ty)
    }

    /// The host wants to be told when the other end is dropped, though it neither reads
    /// nor writes; `false`: it is dropped already.
    pub fn watch(&mut self, id: WaitableId) -> Result<bool, HandleError> {
        let shared = self.end(id)?.shared;
        let shared = self.shared_mut(shared)?;
        shared.watcher = Some(id);
        Ok(!shared.dropped)
    }

    /// The buffer with which the other end waits, and whose memory it is in.
    pub fn other_buffer(
        &self,
        id: WaitableId,
    ) -> Result<Option<(Buffer, Option<InstanceId>)>, HandleError> {
        let shared = self.shared(self.end(id)?.shared)?;
        match shared.pending {
            Some(pending) if pending.end != id => {
                Ok(Some((self.end(pending.end)?.buffer, pending.instance)))
            }
            _ => Ok(None),
        }
    }

    /// The payload of the event of an end of the host's, whose read or write is over.
    pub fn take_host_event(&mut self, id: WaitableId) -> Result<Option<u32>, HandleError> {
        if !self.waitable(id)?.pending {
            return Ok(None);
        }
        self.clear_event(id)?;
        Ok(Some(self.deliver_copy(id)?.payload))
    }

    /// Cancels the read or write of an end.
    pub fn cancel_copy(&mut self, id: WaitableId, is_async: bool) -> Result<Copying, HandleError> {
        let end = self.end(id)?;
        let shared = end.shared;
        if end.state != CopyState::Copying || self.waitable(id)?.sync_waiter {
            return self.refused(id, Refusal::NothingToCancel);
        }
        if self.in_waitable_set(id) && !is_async {
            return self.refused(id, Refusal::SyncAndSet);
        }
        self.end_mut(id)?.state = CopyState::CancellingCopy;
        if !self.has_pending_event(id) {
            self.notify_pending(shared, CopyResult::Cancelled)?;
        }
        if !self.has_pending_event(id) {
            return Ok(Copying::Blocked(id));
        }
        self.clear_event(id)?;
        let partial = self.cancel_partial;
        let end = self.end_mut(id)?;
        if partial && end.result == CopyResult::Completed && end.buffer.remain() > 0 {
            end.result = CopyResult::Cancelled;
        }
        Ok(Copying::Done(self.deliver_copy(id)?.payload))
    }

    /// Whether an end may be dropped now.
    #[inline]
    fn check_drop(&self, id: WaitableId) -> Result<(), HandleError> {
        let CopyEnd {
            state,
            shape,
            direction,
            ..
        } = *self.end(id)?;
        match (state, shape, direction) {
            (CopyState::Copying | CopyState::CancellingCopy, ..) => {
                self.refused(id, Refusal::DropBusy(shape, direction))
            }
            (CopyState::Idle, Shape::Future, Direction::Writable) => {
                self.refused(id, Refusal::DropUnwritten)
            }
            _ => Ok(()),
        }
    }

    /// Drops an end that is in no table: the other one's copy, now or next, is told.
    #[inline]
    pub fn drop_end(&mut self, id: WaitableId) -> Result<(), HandleError> {
        self.check_drop(id)?;
        self.close_end(id)
    }

    /// Drops an end whatever its state: its instance is gone, or the host gives up.
    #[inline]
    pub fn close_end(&mut self, id: WaitableId) -> Result<(), HandleError> {
        let shared_id = self.end(id)?.shared;
        let shared = self.shared_mut(shared_id)?;
        if shared.pending.is_some_and(|pending| pending.end == id) {
            shared.pending = None;
        }
        let watcher = shared.watcher.take();
        if !core::mem::replace(&mut shared.dropped, true) {
            self.notify_pending(shared_id, CopyResult::Dropped)?;
        }
        if let Some(watcher) = watcher.filter(|watcher| *watcher != id) {
            self.woken.push(Woken::Host(watcher));
        }
        self.free_waitable(id)?;
        let shared = self.shared_mut(shared_id)?;
        shared.ends = shared.ends.saturating_sub(1);
        if shared.ends == 0 {
            self.shared.discard(shared_id.0);
        }
        Ok(())
    }
}

impl<S: Storage> Table<S> {
    /// `stream.new`, `future.new`: the indices of the readable and the writable end.
    #[inline]
    pub fn copy_new(
        &mut self,
        arena: &mut Arena,
        shape: Shape,
        ty: TypeId,
        plain: bool,
    ) -> Result<(u32, u32), HandleError> {
        let (readable, writable) = arena.copy_ends(shape, ty, plain)?;
        let found = |direction| {
            EndType {
                shape,
                direction,
                ty,
            }
            .found()
        };
        let first = self.insert_waitable(arena, readable, found(Direction::Readable));
        let second = match first {
            Ok(_) => self.insert_waitable(arena, writable, found(Direction::Writable)),
            Err(error) => Err(error),
        };
        match (first, second) {
            (Ok(first), Ok(second)) => Ok((first, second)),
            (first, second) => {
                if let Ok(index) = first {
                    self.free(index);
                }
                arena.close_end(readable)?;
                arena.close_end(writable)?;
                second.map(|_| (0, 0))
            }
        }
    }

    /// The end at `index`, if it is such a one.
    #[inline]
    pub fn copy_end(&self, index: u32, end: EndType) -> Result<WaitableId, HandleError> {
        self.waitable_of(index, end.found())
    }

    /// The address of the host's buffer, where a copy of the end at `index` could begin and
    /// the host waits at the other one with a buffer of no elements: it may fill or empty the
    /// guest's at once, and nothing here changes.
    pub fn host_waits(
        &self,
        arena: &Arena,
        index: u32,
        end: EndType,
        is_async: bool,
    ) -> Result<Option<u64>, HandleError> {
        let id = self.copy_end(index, end)?;
        let end = arena.end(id)?;
        let shared = arena.shared(end.shared)?;
        let sync_in_set = !is_async && arena.in_waitable_set(id);
        let Some(pending) = shared.pending.filter(|pending| pending.instance.is_none()) else {
            return Ok(None);
        };
        if end.state != CopyState::Idle || shared.dropped || sync_in_set {
            return Ok(None);
        }
        let theirs = arena.end(pending.end)?.buffer;
        Ok((theirs.length == 0).then_some(theirs.address))
    }

    /// `stream.read`, `future.write`, ..: starts a copy of the end at `index`.
    #[inline]
    pub fn copy(
        &mut self,
        arena: &mut Arena,
        index: u32,
        end: EndType,
        instance: InstanceId,
        buffer: Buffer,
        is_async: bool,
    ) -> Result<Copying, HandleError> {
        let id = self.copy_end(index, end)?;
        arena.begin_copy(id, Some(instance), buffer, is_async)
    }

    /// `stream.cancel-read`, `future.cancel-write`, ...
    pub fn copy_cancel(
        &mut self,
        arena: &mut Arena,
        index: u32,
        end: EndType,
        is_async: bool,
    ) -> Result<Copying, HandleError> {
        let id = self.copy_end(index, end)?;
        arena.cancel_copy(id, is_async)
    }

    /// `stream.drop-readable`, `future.drop-writable`, ...
    #[inline]
    pub fn copy_drop(
        &mut self,
        arena: &mut Arena,
        index: u32,
        end: EndType,
    ) -> Result<(), HandleError> {
        let id = self.copy_end(index, end)?;
        arena.drop_end(id)?;
        self.free(index);
        Ok(())
    }

    /// Gives a readable end away: it is in no table then.
    pub fn take_readable(
        &mut self,
        arena: &mut Arena,
        index: u32,
        shape: Shape,
        ty: TypeId,
    ) -> Result<WaitableId, HandleError> {
        let id = self.copy_end(
            index,
            EndType {
                shape,
                direction: Direction::Readable,
                ty,
            },
        )?;
        let refused = |why| Err(HandleError::Refused { index, why });
        match arena.copy_state(id)? {
            CopyState::Idle => {}
            CopyState::Done => return refused(Refusal::LiftDone(shape)),
            _ => return refused(Refusal::LiftBusy(shape)),
        }
        if arena.in_waitable_set(id) {
            return refused(Refusal::LiftInSet(shape));
        }
        arena.waitable_mut(id)?.index = 0;
        self.free(index);
        Ok(id)
    }

    /// Takes a readable end that was given away.
    pub fn insert_readable(
        &mut self,
        arena: &mut Arena,
        id: WaitableId,
    ) -> Result<u32, HandleError> {
        let end = arena.end(id)?;
        let shared = arena.shared(end.shared)?;
        let (shape, direction, ty) = (end.shape, end.direction, shared.ty);
        if direction != Direction::Readable || arena.waitable(id)?.index != 0 {
            return Err(GONE);
        }
        self.insert_waitable(
            arena,
            id,
            EndType {
                shape,
                direction,
                ty,
            }
            .found(),
        )
    }
}

/// `CANCELLING_COPY` is over when the built-in that began it is, as whoever has the other
/// end lets go at once; so no recorded run and no test from outside meets it. What must not
/// be done in it is looked at here.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::handles::VecStorage;

    fn cancelling(shape: Shape, direction: Direction) -> (Table<VecStorage>, Arena, u32, EndType) {
        let (mut table, mut arena) = (Table::new(), Arena::new());
        let ty = TypeId::new(1).expect("a type");
        let made = table.copy_new(&mut arena, shape, ty, true);
        let (readable, writable) = made.expect("two ends");
        let index = match direction {
            Direction::Readable => readable,
            Direction::Writable => writable,
        };
        let id = table.waitable(index).expect("an end");
        arena.end_mut(id).expect("an end").state = CopyState::CancellingCopy;
        let end = EndType {
            shape,
            direction,
            ty,
        };
        (table, arena, index, end)
    }

    #[test]
    fn while_cancelling() {
        let here = crate::Instances::<crate::instance::VecFlags>::default().add(None);
        let here = here.expect("an instance");
        for shape in [Shape::Stream, Shape::Future] {
            for direction in [Direction::Readable, Direction::Writable] {
                let (mut table, mut arena, index, end) = cancelling(shape, direction);
                for is_async in [true, false] {
                    let buffer = Buffer::new(0, 1);
                    let copied = table.copy(&mut arena, index, end, here, buffer, is_async);
                    assert!(matches!(copied, Err(HandleError::Refused { .. })));
                    let again = table.copy_cancel(&mut arena, index, end, is_async);
                    let why = Refusal::NothingToCancel;
                    assert_eq!(again, Err(HandleError::Refused { index, why }));
                }
                let why = Refusal::DropBusy(shape, direction);
                let dropped = table.copy_drop(&mut arena, index, end);
                assert_eq!(dropped, Err(HandleError::Refused { index, why }));
                if direction == Direction::Readable {
                    let why = Refusal::LiftBusy(shape);
                    let lifted = table.take_readable(&mut arena, index, shape, end.ty);
                    assert_eq!(lifted, Err(HandleError::Refused { index, why }));
                }
                let set = table.waitable_set_new(&mut arena).expect("a set");
                assert_eq!(table.waitable_join(&mut arena, index, set), Ok(()));
                assert_eq!(table.waitable_join(&mut arena, index, 0), Ok(()));
                let id = table.waitable(index).expect("an end");
                assert_eq!(table.begin_sync_wait(&mut arena, id), Ok(()));
                assert!(table.waitable_join(&mut arena, index, set).is_err());
                // The event that it waits for, and what that makes of it.
                arena.waitable_mut(id).expect("an end").sync_waiter = false;
                arena.end_mut(id).expect("an end").result = CopyResult::Cancelled;
                arena.set_event(id).expect("an event");
                let event = table.take_event(&mut arena, id).expect("an event");
                assert_eq!(event.payload, CopyResult::Cancelled as u32);
                let state = arena.end(id).expect("an end").state;
                assert_eq!(state, CopyState::Idle);
            }
        }
    }
}
