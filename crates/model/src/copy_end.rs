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
use crate::stream::{Buffer, CopyJob, CopySides, MAX_LENGTH, Meeting, Shape, Shared, meet};
use crate::waitable::{Arena, Event, EventCode, Named, SharedId, Waitable, WaitableId, Woken};

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
#[repr(u8)]
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

impl Direction {
    /// That of the other end.
    #[inline(always)]
    pub(crate) const fn other(self) -> Direction {
        match self {
            Direction::Readable => Direction::Writable,
            Direction::Writable => Direction::Readable,
        }
    }
}

/// An end: its half of what two of them share ([`Shared`]).
#[derive(Clone, Debug)]
pub(crate) struct CopyEnd {
    pub waitable: Waitable,
    /// Elements of the copy under way that were copied; then those of the pending event.
    pub progress: u32,
    pub state: CopyState,
    /// Of the pending event.
    result: CopyResult,
    pub alive: bool,
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
    #[inline(always)]
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
    pub const fn new() -> CopyEnd {
        CopyEnd {
            waitable: Waitable::new(),
            progress: 0,
            state: CopyState::Idle,
            result: CopyResult::Completed,
            alive: true,
        }
    }

    // Always inlined: as a call it would keep its caller's result in memory.
    #[inline(always)]
    fn refused<T>(&self, why: Refusal) -> Result<T, HandleError> {
        Err(HandleError::Refused {
            index: self.waitable.index,
            why,
        })
    }
}

const GONE: HandleError = HandleError::Misuse {
    what: "end of a stream or future",
};

/// What the host needs of streams and futures, and what tables are made of.
///
/// # Errors
///
/// Of all of these: where there is no such end, or it is in no state for that; nothing has
/// changed then.
impl Arena {
    /// A stream or future with both its ends, readable and writable, in no table yet.
    /// `plain`: its elements are numbers, or it has none.
    #[inline(always)]
    pub fn copy_ends(
        &mut self,
        shape: Shape,
        ty: TypeId,
        plain: bool,
    ) -> Result<(WaitableId, WaitableId), HandleError> {
        let number = self.shared.insert(Shared::new(shape, ty, plain))?;
        WaitableId::of_ends(SharedId(number)).ok_or_else(|| {
            self.shared.discard(number);
            HandleError::OutOfMemory
        })
    }

    #[inline(always)]
    fn shared(&self, id: WaitableId) -> Result<(&Shared, &CopyEnd, Direction), HandleError> {
        let Named::End(shared, direction) = id.named() else {
            return Err(GONE);
        };
        let shared = self.shared.get(shared.0).ok_or(GONE)?;
        let end = shared.end(direction).ok_or(GONE)?;
        Ok((shared, end, direction))
    }

    #[inline(always)]
    fn shared_mut(&mut self, id: WaitableId) -> Result<(&mut Shared, Direction), HandleError> {
        let Named::End(shared, direction) = id.named() else {
            return Err(GONE);
        };
        let shared = self.shared.get_mut(shared.0).ok_or(GONE)?;
        match shared.end(direction) {
            Some(_) => Ok((shared, direction)),
            None => Err(GONE),
        }
    }

    #[inline(always)]
    fn end(&self, id: WaitableId) -> Result<&CopyEnd, HandleError> {
        self.shared(id).map(|(_, end, _)| end)
    }

    #[inline(always)]
    fn end_mut(&mut self, id: WaitableId) -> Result<&mut CopyEnd, HandleError> {
        let (shared, direction) = self.shared_mut(id)?;
        shared.end_mut(direction).ok_or(GONE)
    }

    /// The state of an end.
    pub fn copy_state(&self, id: WaitableId) -> Result<CopyState, HandleError> {
        Ok(self.end(id)?.state)
    }

    /// Starts a read or write of an end with a buffer; `instance` is whose memory that is
    /// in, `None` the host's.
    // Always inlined, as most here: what is found once stays in registers, and results are
    // never put together in memory.
    #[inline(always)]
    pub fn begin_copy(
        &mut self,
        id: WaitableId,
        instance: Option<InstanceId>,
        buffer: Buffer,
        is_async: bool,
    ) -> Result<Copying, HandleError> {
        let (shared, direction) = self.shared_mut(id)?;
        Ok(
            match shared.begin(direction, instance, &buffer, is_async)? {
                Begun::Done(payload) => Copying::Done(payload),
                Begun::Waits => Copying::Blocked(id),
                Begun::Replaces => {
                    self.set_event(id.other_end())?;
                    Copying::Blocked(id)
                }
                Begun::Copies(count) => Copying::Copy(CopyJob {
                    count,
                    active: id,
                    buffer,
                    instance,
                }),
            },
        )
    }

    /// The buffers of a copy that is to be performed.
    #[inline(always)]
    pub fn copy_sides(&self, job: &CopyJob) -> Result<CopySides, HandleError> {
        let (shared, _, direction) = self.shared(job.active)?;
        let theirs = shared.pending_buffer(direction.other()).ok_or(GONE)?;
        let (mine, theirs) = (
            (job.buffer, job.instance),
            (theirs, shared.pending_instance()),
        );
        let (from, to) = match direction {
            Direction::Writable => (mine, theirs),
            Direction::Readable => (theirs, mine),
        };
        Ok(CopySides {
            from: from.0,
            from_instance: from.1,
            to: to.0,
            to_instance: to.1,
        })
    }

    /// A copy was performed: the end that started it is done, the one that waited is told
    /// by an event. Returns what the operation that started it returns.
    #[inline(always)]
    pub fn finish_copy(&mut self, job: CopyJob) -> Result<u32, HandleError> {
        let (shared, direction) = self.shared_mut(job.active)?;
        let payload = shared.finish(direction, &job).ok_or(GONE)?;
        self.set_event(job.active.other_end())?;
        Ok(payload)
    }

    /// Ends the copy of the one who waits at the same stream or future as `id` is of, if
    /// someone does.
    #[inline(always)]
    fn notify_pending(&mut self, id: WaitableId, result: CopyResult) -> Result<(), HandleError> {
        let Named::End(shared, direction) = id.named() else {
            return Err(GONE);
        };
        let shared = self.shared.get_mut(shared.0).ok_or(GONE)?;
        match shared.end_pending(result) {
            None => Ok(()),
            Some(told) if told == direction => self.set_event(id),
            Some(_) => self.set_event(id.other_end()),
        }
    }

    /// What delivering the event of an end does.
    #[inline(always)]
    pub(crate) fn deliver_copy(&mut self, id: WaitableId) -> Result<Event, HandleError> {
        let (shared, direction) = self.shared_mut(id)?;
        let payload = shared.deliver(direction);
        let code = match (shared.shape, direction) {
            (Shape::Stream, Direction::Readable) => EventCode::StreamRead,
            (Shape::Stream, Direction::Writable) => EventCode::StreamWrite,
            (Shape::Future, Direction::Readable) => EventCode::FutureRead,
            (Shape::Future, Direction::Writable) => EventCode::FutureWrite,
        };
        Ok(Event {
            code,
            index: shared.half(direction).waitable.index,
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
        let (shared, _) = self.shared_mut(id)?;
        if shared.ty == TypeId::NONE {
            shared.ty = ty;
            shared.plain = plain;
        }
        Ok(())
    }

    /// The type of an end; none yet where only the host has it.
    pub fn end_type(&self, id: WaitableId) -> Result<TypeId, HandleError> {
        Ok(self.shared(id)?.0.ty)
    }

    /// What end it is, and of what.
    pub(crate) fn end_kind(&self, id: WaitableId) -> Result<(Shape, Direction), HandleError> {
        let (shared, _, direction) = self.shared(id)?;
        Ok((shared.shape, direction))
    }

    /// The host wants to be told when the other end is dropped, though it neither reads
    /// nor writes; `false`: it is dropped already.
    pub fn watch(&mut self, id: WaitableId) -> Result<bool, HandleError> {
        let (shared, direction) = self.shared_mut(id)?;
        shared.watcher = Some(direction);
        Ok(shared.end(direction.other()).is_some())
    }

    /// The buffer with which the other end waits, and whose memory it is in.
    #[inline(always)]
    pub fn other_buffer(
        &self,
        id: WaitableId,
    ) -> Result<Option<(Buffer, Option<InstanceId>)>, HandleError> {
        let (shared, _, direction) = self.shared(id)?;
        let buffer = shared.pending_buffer(direction.other());
        Ok(buffer.map(|buffer| (buffer, shared.pending_instance())))
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
        if end.state != CopyState::Copying || end.waitable.sync_waiter {
            return end.refused(Refusal::NothingToCancel);
        }
        if end.waitable.set().is_some() && !is_async {
            return end.refused(Refusal::SyncAndSet);
        }
        self.end_mut(id)?.state = CopyState::CancellingCopy;
        if !self.has_pending_event(id) {
            self.notify_pending(id, CopyResult::Cancelled)?;
        }
        if !self.has_pending_event(id) {
            return Ok(Copying::Blocked(id));
        }
        self.clear_event(id)?;
        let partial = self.cancel_partial;
        let (shared, direction) = self.shared_mut(id)?;
        // One that does not wait any more with its buffer has filled or emptied it.
        let buffer = shared.pending_buffer(direction);
        let remain = buffer.is_some_and(|buffer| buffer.remain() > 0);
        let end = shared.end_mut(direction).ok_or(GONE)?;
        if partial && end.result == CopyResult::Completed && remain {
            end.result = CopyResult::Cancelled;
        }
        Ok(Copying::Done(self.deliver_copy(id)?.payload))
    }

    /// Whether an end may be dropped now.
    #[inline(always)]
    fn check_drop(&self, id: WaitableId) -> Result<(), HandleError> {
        let (shared, end, direction) = self.shared(id)?;
        match (end.state, shared.shape, direction) {
            (CopyState::Copying | CopyState::CancellingCopy, shape, _) => {
                end.refused(Refusal::DropBusy(shape, direction))
            }
            (CopyState::Idle, Shape::Future, Direction::Writable) => {
                end.refused(Refusal::DropUnwritten)
            }
            _ => Ok(()),
        }
    }

    /// Drops an end that is in no table: the other one's copy, now or next, is told.
    #[inline(always)]
    pub fn drop_end(&mut self, id: WaitableId) -> Result<(), HandleError> {
        self.check_drop(id)?;
        self.close_end(id)
    }

    /// Drops an end whatever its state: its instance is gone, or the host gives up.
    #[inline(always)]
    pub fn close_end(&mut self, id: WaitableId) -> Result<(), HandleError> {
        self.leave_set(id)?;
        let (shared, direction) = self.shared_mut(id)?;
        if shared.pending == Some(direction) {
            shared.pending = None;
        }
        shared.end_mut(direction).ok_or(GONE)?.alive = false;
        let watcher = shared.watcher.take();
        if shared.end(direction.other()).is_some() {
            self.notify_pending(id, CopyResult::Dropped)?;
        } else if let Named::End(shared, _) = id.named() {
            self.shared.discard(shared.0);
        }
        if watcher == Some(direction.other()) {
            self.woken.push(Woken::Host(id.other_end()));
        }
        Ok(())
    }
}

/// What a read or write comes to, as far as a stream or future itself knows.
enum Begun {
    Done(u32),
    Waits,
    /// It waits; the other end is to be told that it is done.
    Replaces,
    Copies(u32),
}

/// The steps of a copy. Each finds its stream or future once, and tells nobody.
// Always inlined: results stay in registers.
impl Shared {
    #[inline(always)]
    fn begin(
        &mut self,
        direction: Direction,
        instance: Option<InstanceId>,
        buffer: &Buffer,
        is_async: bool,
    ) -> Result<Begun, HandleError> {
        let shape = self.shape;
        let end = self.half(direction);
        match end.state {
            CopyState::Idle => {}
            CopyState::Done => return end.refused(Refusal::CopyDone(shape, direction)),
            _ => return end.refused(Refusal::CopyBusy),
        }
        if !is_async && end.waitable.set().is_some() {
            return end.refused(Refusal::SyncAndSet);
        }
        if buffer.length > MAX_LENGTH || buffer.progress > buffer.length {
            return end.refused(Refusal::BufferTooLong);
        }
        let Some(meeting) = self.meeting(direction, instance, buffer) else {
            return self.half(direction).refused(Refusal::IntraComponent(shape));
        };
        let end = self.half(direction);
        end.waitable.host = instance.is_none();
        end.state = CopyState::Copying;
        end.progress = buffer.progress;
        Ok(match meeting {
            Meeting::Copy(count) => Begun::Copies(count),
            Meeting::Wait => {
                self.wait(direction, buffer, instance);
                Begun::Waits
            }
            Meeting::Replace => {
                self.end_pending(CopyResult::Completed);
                self.wait(direction, buffer, instance);
                Begun::Replaces
            }
            Meeting::Dropped => {
                end.result = CopyResult::Dropped;
                Begun::Done(self.deliver(direction))
            }
            Meeting::Done => {
                end.result = CopyResult::Completed;
                Begun::Done(self.deliver(direction))
            }
        })
    }

    /// How an end that comes with a buffer finds things; `None`: it may not copy here.
    #[inline(always)]
    fn meeting(
        &self,
        direction: Direction,
        instance: Option<InstanceId>,
        buffer: &Buffer,
    ) -> Option<Meeting> {
        if self.end(direction.other()).is_none() {
            return Some(Meeting::Dropped);
        }
        let Some(theirs) = self.pending_buffer(direction.other()) else {
            return Some(Meeting::Wait);
        };
        if !self.plain && instance.is_some() && instance == self.pending_instance() {
            return None;
        }
        Some(match self.shape {
            Shape::Stream => meet(buffer, &theirs, direction == Direction::Writable),
            Shape::Future => crate::future::meet(buffer, &theirs),
        })
    }

    /// Elements were copied to or from the end that waits, which is to be told: what the
    /// operation of the other one returns.
    #[inline(always)]
    fn finish(&mut self, direction: Direction, job: &CopyJob) -> Option<u32> {
        let waits = direction.other();
        let remain = self.pending_buffer(waits)?.remain();
        let theirs = self.half(waits);
        theirs.progress += job.count.min(remain);
        theirs.result = CopyResult::Completed;
        // A stream's buffer stays where it is until the event is delivered.
        if self.shape == Shape::Future {
            self.pending = None;
        }
        let mine = self.half(direction);
        mine.progress += job.count.min(job.buffer.remain());
        mine.result = CopyResult::Completed;
        Some(self.deliver(direction))
    }

    /// Nobody waits any more; who did is to be told.
    #[inline(always)]
    fn end_pending(&mut self, result: CopyResult) -> Option<Direction> {
        let pending = self.pending.take()?;
        self.half(pending).result = result;
        Some(pending)
    }

    /// The copy of an end is over: what it came to.
    #[inline(always)]
    fn deliver(&mut self, direction: Direction) -> u32 {
        if self.pending == Some(direction) {
            self.pending = None;
        }
        let shape = self.shape;
        let end = self.half(direction);
        let (over, payload) = match shape {
            Shape::Stream => (
                end.result == CopyResult::Dropped,
                end.result as u32 | end.progress << 4,
            ),
            Shape::Future => (end.result != CopyResult::Cancelled, end.result as u32),
        };
        end.state = match over {
            true => CopyState::Done,
            false => CopyState::Idle,
        };
        payload
    }
}

/// # Errors
///
/// Of all of these: no such handle, one of another kind, type or state, or no room; nothing
/// has changed then.
impl<S: Storage> Table<S> {
    /// `stream.new`, `future.new`: the indices of the readable and the writable end.
    #[inline(always)]
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
    #[inline(always)]
    pub fn copy_end(&self, index: u32, end: EndType) -> Result<WaitableId, HandleError> {
        self.waitable_of(index, end.found())
    }

    /// The address of the host's buffer, where a copy of the end at `index` could begin and
    /// the host waits at the other one with a buffer of no elements: it may fill or empty the
    /// guest's at once, and nothing here changes.
    #[inline(always)]
    pub fn host_waits(
        &self,
        arena: &Arena,
        index: u32,
        end: EndType,
        is_async: bool,
    ) -> Result<Option<u64>, HandleError> {
        let id = self.copy_end(index, end)?;
        let (shared, end, direction) = arena.shared(id)?;
        let sync_in_set = !is_async && end.waitable.set().is_some();
        let Some(theirs) = shared.pending_buffer(direction.other()) else {
            return Ok(None);
        };
        if end.state != CopyState::Idle || sync_in_set || shared.pending_instance().is_some() {
            return Ok(None);
        }
        Ok((theirs.length == 0).then_some(theirs.address))
    }

    /// `stream.read`, `future.write`, ..: starts a copy of the end at `index`.
    #[inline(always)]
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
    #[inline(always)]
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
        let (shared, end, direction) = arena.shared(id)?;
        let (shape, ty) = (shared.shape, shared.ty);
        if direction != Direction::Readable || end.waitable.index != 0 {
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
