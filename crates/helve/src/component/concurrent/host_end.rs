//! An end of a stream or future that the host holds: reading, writing, giving it away.
//!
//! ```text
//!   Held --read, write--> the model: done | elements to copy | waits --event--> done
//!    |                                                            |
//!    +--given to a guest--> Given                     the future is dropped: cancelled
//!    +--dropped----------> a letter: the loop closes it
//! ```
//!
//! What stands here knows nothing of element types (`buffer` does). Not here: the faces
//! (`stream_host`, `future_host`), ends that are read or written by callbacks (`pipe`).
//!
//! # Safety
//!
//! Instances live as long as their store, which is at hand wherever an end is used.

use super::buffer::{HostBuffer, perform};
use super::event_loop::locked_down;
use super::mailbox::{Letter, Mailbox};
use super::{Concurrent, again};
use crate::component::drive::{other_trap, refused};
use crate::component::state::InstanceData;
use crate::component::store::StoreShared;
use crate::core::store::{StoreId, StoreOpaque};
use helve_base::{Bug, Error, Result, ensure};
use helve_decode::plan::ComponentInstanceId;
use helve_model::{Buffer, CopyJob, CopyResult, Copying, Shape, Tables, TypeId, WaitableId};
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// An end that the host holds, until it is given away or dropped.
pub(crate) struct HostEnd {
    store: StoreId,
    id: WaitableId,
    mailbox: Arc<Mailbox>,
    held: AtomicBool,
}

impl Drop for HostEnd {
    fn drop(&mut self) {
        if *self.held.get_mut() {
            self.mailbox.send(Letter::Close(self.id));
        }
    }
}

impl std::fmt::Debug for HostEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HostEnd").field(&self.id).finish()
    }
}

/// How a read or write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub result: CopyResult,
    /// Elements that were copied.
    pub count: u32,
}

impl Ended {
    fn new(shape: Shape, payload: u32) -> Ended {
        let (code, count) = match shape {
            Shape::Stream => (payload & 15, payload >> 4),
            Shape::Future => (payload, u32::from(payload == CopyResult::Completed as u32)),
        };
        let result = match code {
            0 => CopyResult::Completed,
            1 => CopyResult::Dropped,
            _ => CopyResult::Cancelled,
        };
        Ended { result, count }
    }
}

/// Both ends of a new stream or future: readable, writable.
pub(super) fn new_ends(store: &mut StoreOpaque, shape: Shape) -> Result<(HostEnd, HostEnd)> {
    let (id, shared) = (store.id(), store.components.shared());
    let made = {
        let mut drive = shared.drive.state();
        drive.model.arena.copy_ends(shape, TypeId::NONE, true)?
    };
    let end = |end| HostEnd::hold(id, &shared.concurrent, end);
    Ok((end(made.0), end(made.1)))
}

impl HostEnd {
    /// Holds an end that is in no table.
    pub fn hold(store: StoreId, concurrent: &Concurrent, id: WaitableId) -> HostEnd {
        HostEnd {
            store,
            id,
            mailbox: concurrent.mailbox.clone(),
            held: AtomicBool::new(true),
        }
    }

    pub fn id(&self) -> WaitableId {
        self.id
    }

    fn check(&self, store: &StoreOpaque) -> Result<Rc<StoreShared>> {
        store.check(self.store)?;
        ensure!(
            self.held.load(Ordering::Relaxed),
            "this end of a stream or future was given to a guest"
        );
        Ok(store.components.shared())
    }

    /// The end is given away: its number.
    pub fn give(&self, store: StoreId) -> Result<WaitableId> {
        ensure!(
            store == self.store,
            "a stream or future of another store: use it with the store it came from"
        );
        ensure!(
            self.held.swap(false, Ordering::Relaxed),
            "this end of a stream or future was given away already"
        );
        Ok(self.id)
    }

    /// It was not taken after all.
    fn keep(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// Takes a readable end out of a guest's table.
    pub fn lift(
        instance: &InstanceData,
        part: ComponentInstanceId,
        (shape, ty): (Shape, TypeId),
        index: u32,
    ) -> Result<HostEnd> {
        let shared = instance.shared();
        let mut drive = shared.drive.state();
        let id = drive.id(instance, part)?;
        let model = &mut drive.model;
        let arena = &mut model.arena;
        let taken = model
            .tables
            .with(id, |table| table.take_readable(arena, index, shape, ty));
        let taken = taken.ok_or_else(|| Error::new(Bug("an instance without a table".into())))?;
        let end = taken.map_err(|error| refused(instance, part, error.into()))?;
        Ok(HostEnd::hold(instance.store_id(), &shared.concurrent, end))
    }

    /// Puts a readable end into a guest's table.
    pub fn lower(
        &self,
        instance: &InstanceData,
        part: ComponentInstanceId,
        (ty, plain): (TypeId, bool),
    ) -> Result<u32> {
        let end = self.give(instance.store_id())?;
        let lowered = insert(instance, part, (ty, plain), end);
        if lowered.is_err() {
            self.keep();
        }
        lowered
    }

    /// Starts a read or write of `length` elements.
    pub fn begin(
        &self,
        store: &mut StoreOpaque,
        shape: Shape,
        buffer: Arc<dyn HostBuffer>,
        length: usize,
    ) -> Result<Poll<Ended>> {
        let shared = self.check(store)?;
        super::event_loop::read_end_letters(&shared);
        let concurrent = &shared.concurrent;
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let length = length.min(helve_model::stream::MAX_LENGTH);
        let key = concurrent.state.borrow_mut().buffers.insert(buffer);
        let begun = copy(&shared, self.id, shape, Buffer::new(key.to_bits(), length));
        if matches!(begun, Ok(Poll::Pending)) {
            let mut state = concurrent.state.borrow_mut();
            state.copies.entry(self.id).or_default().buffer = Some(key);
        } else {
            let buffer = concurrent.state.borrow_mut().buffers.remove(key);
            drop(buffer);
            concurrent.end_copy(self.id);
        }
        begun
    }

    /// Whether its read or write is over, and how.
    pub fn poll(
        &self,
        store: &mut StoreOpaque,
        shape: Shape,
        cx: &mut Context<'_>,
    ) -> Result<Poll<Ended>> {
        let shared = self.check(store)?;
        let concurrent = &shared.concurrent;
        let taken = {
            let mut drive = shared.drive.state();
            let taken = drive
                .model
                .with_arena(|arena| arena.take_host_event(self.id));
            taken.map_err(other_trap)?
        };
        match taken {
            Some(payload) => {
                concurrent.end_copy(self.id);
                Ok(Poll::Ready(Ended::new(shape, payload)))
            }
            None => {
                let mut state = concurrent.state.borrow_mut();
                if let Some(copy) = state.copies.get_mut(&self.id) {
                    copy.waker = Some(cx.waker().clone());
                }
                Ok(Poll::Pending)
            }
        }
    }

    /// Wakes the one who polls when the other side goes, even if nothing is under way;
    /// `false`: it is gone.
    pub fn watch(&self, shared: &StoreShared, cx: &mut Context<'_>) -> bool {
        let mut drive = shared.drive.state();
        let there = drive.model.arena.watch(self.id).unwrap_or(false);
        if there {
            let mut state = shared.concurrent.state.borrow_mut();
            let copy = state.copies.entry(self.id).or_default();
            copy.watcher = Some(cx.waker().clone());
        }
        there
    }

    /// The read or write under way is not wanted any more.
    pub fn cancel_later(&self) {
        if self.held.load(Ordering::Relaxed) {
            self.mailbox.send(Letter::CancelCopy(self.id));
        }
    }
}

/// Puts an end that is in no table into a guest's.
pub(crate) fn insert(
    instance: &InstanceData,
    part: ComponentInstanceId,
    (ty, plain): (TypeId, bool),
    end: WaitableId,
) -> Result<u32> {
    let mut drive = instance.shared().drive.state();
    let id = drive.id(instance, part)?;
    let model = &mut drive.model;
    let arena = &mut model.arena;
    arena.set_end_type(end, ty, plain)?;
    ensure!(
        arena.end_type(end)? == ty,
        "a stream or future whose elements are of another type"
    );
    ensure!(
        arena.copy_state(end)? == helve_model::CopyState::Idle,
        "a stream or future that the host still reads, or has read to its end, can't be given away"
    );
    let index = model
        .tables
        .with(id, |table| table.insert_readable(arena, end));
    let index = index.ok_or_else(|| Error::new(Bug("an instance without a table".into())))?;
    index.map_err(|error| refused(instance, part, error.into()))
}

/// Starts a read or write with a buffer.
pub(super) fn copy(
    shared: &StoreShared,
    id: WaitableId,
    shape: Shape,
    buffer: Buffer,
) -> Result<Poll<Ended>> {
    let copying = {
        let mut drive = shared.drive.state();
        let begun = drive
            .model
            .with_arena(|arena| arena.begin_copy(id, None, buffer, true));
        begun.map_err(other_trap)?
    };
    match copying {
        Copying::Done(payload) => Ok(Poll::Ready(Ended::new(shape, payload))),
        Copying::Blocked(_) => Ok(Poll::Pending),
        Copying::Copy(job) => {
            let moved = perform(shared, &job);
            let guest = guest_of(shared, &job);
            if let (Err(error), Some(guest)) = (&moved, guest) {
                // A guest's elements are not what they should be: it is the guest's fault.
                guest_failed(shared, guest, again(error));
            }
            let mut drive = shared.drive.state();
            let payload = match moved {
                Ok(()) => drive.model.copied(job).map_err(other_trap)?,
                Err(error) => return Err(error),
            };
            Ok(Poll::Ready(Ended::new(shape, payload)))
        }
    }
}

fn guest_of(shared: &StoreShared, job: &CopyJob) -> Option<helve_model::InstanceId> {
    let sides = shared.drive.state().model.arena.copy_sides(job).ok()?;
    sides.from_instance.or(sides.to_instance)
}

/// Locks down the tree of a guest whose elements could not be copied.
fn guest_failed(shared: &StoreShared, guest: helve_model::InstanceId, error: Error) {
    let part = shared.drive.state().part(guest);
    if let Some((instance, part)) = part {
        // SAFETY: of the same store, which is alive.
        let instance = unsafe { instance.get() };
        locked_down(shared, instance, part, error);
    }
}

/// Cancels the read or write of an end, whose future was dropped.
pub(super) fn cancel(shared: &StoreShared, id: WaitableId) {
    {
        let mut drive = shared.drive.state();
        let _ = drive.model.with_arena(|arena| {
            match arena.copy_state(id)? {
                // Blocked: the event comes, and finds nobody.
                helve_model::CopyState::Copying => arena.cancel_copy(id, true).map(|_| ()),
                _ => Ok(()),
            }
        });
    }
    shared.concurrent.end_copy(id);
}

/// Closes an end that was dropped.
pub(super) fn close(shared: &StoreShared, id: WaitableId) {
    {
        let mut drive = shared.drive.state();
        // It may have gone with its store's tree.
        let _ = drive.model.with_arena(|arena| arena.close_end(id));
    }
    shared.concurrent.end_copy(id);
}

/// Wakes those whose reads or writes are over.
pub(super) fn wake(shared: &StoreShared) {
    let over = shared.drive.state().model.take_host_woken();
    for id in over {
        let (waker, watcher) = {
            let mut state = shared.concurrent.state.borrow_mut();
            match state.copies.entry(id) {
                Entry::Vacant(_) => (None, None),
                // Only the other side's going was waited for.
                Entry::Occupied(copy) if copy.get().buffer.is_none() => {
                    (None, copy.remove().watcher)
                }
                Entry::Occupied(mut copy) => {
                    let copy = copy.get_mut();
                    (copy.waker.take(), copy.watcher.take())
                }
            }
        };
        for waker in waker.into_iter().chain(watcher) {
            waker.wake();
        }
    }
}

impl Concurrent {
    /// A read or write of the host is over.
    pub(super) fn end_copy(&self, id: WaitableId) {
        let gone = {
            let mut state = self.state.borrow_mut();
            let copy = state.copies.remove(&id);
            copy.map(|copy| {
                let buffer = copy.buffer.and_then(|key| state.buffers.remove(key));
                (copy, buffer)
            })
        };
        // Elements and wakers are the embedder's: nothing is borrowed when they go.
        drop(gone);
    }
}
