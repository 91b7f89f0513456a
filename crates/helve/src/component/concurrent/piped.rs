//! A producer or consumer, where both its task and a guest that comes to it find it.
//!
//! ```text
//!   Waiting  --guest reads or writes--> works on the guest's buffer, the guest goes on at once
//!      |  |                              (nothing moved: the guest waits, the task is woken)
//!      |  +----- every TURNS-th time --> the guest waits, the event loop has its turn
//!      +--closed, failed--> Over --task--> gone
//! ```
//!
//! The task waits with a buffer of no elements; a guest that comes meets it there. Where a
//! seed schedules, the guest always waits: that is this way's slow twin. Not here: the task
//! (`pipe`), whether a guest may read or write (`helve_model`).

use super::Accessor;
use super::buffer::HostBuffer;
use super::host_end::HostEnd;
use super::mailbox::Mailbox;
use super::pipe::{Side, StreamState};
use super::slots::Key;
use super::stream_host::CancelOnDrop;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::store::StoreShared;
use helve_abi::types::InterfaceType;
use helve_base::{Bug, Error, Result};
use helve_model::{CopyResult, Shape};
use std::any::Any;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};

/// Guests that are answered at once before the event loop has its turn.
const TURNS: u32 = 256;

/// What a producer or consumer does with the other side's buffer: how many elements it has
/// moved, and whether it goes on.
pub(super) trait Work: Send {
    fn work(
        &mut self,
        side: &Side,
        count: usize,
        cx: &mut Context<'_>,
    ) -> (usize, Poll<Result<StreamState>>);

    /// The other side is gone.
    fn end(&mut self);
}

/// See the head of this file.
enum State {
    Waiting,
    Over(Result<()>),
}

struct Inner {
    work: Box<dyn Work>,
    state: State,
    /// The task's.
    waker: Option<Waker>,
    turns: u32,
}

/// See the head of this file.
pub(super) struct Piped {
    inner: Mutex<Inner>,
    /// Counts them.
    mailbox: Arc<Mailbox>,
}

impl Drop for Piped {
    fn drop(&mut self) {
        self.mailbox.pipe_is_gone();
    }
}

impl Piped {
    pub fn new(mailbox: &Arc<Mailbox>, work: Box<dyn Work>) -> Arc<Piped> {
        mailbox.pipe_is_there();
        Arc::new(Piped {
            inner: Mutex::new(Inner {
                work,
                state: State::Waiting,
                waker: None,
                turns: 0,
            }),
            mailbox: mailbox.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on a buffer for the task.
    pub fn work(
        &self,
        side: &Side,
        count: usize,
        cx: &mut Context<'_>,
    ) -> (usize, Poll<Result<StreamState>>) {
        self.lock().work.work(side, count, cx)
    }

    /// The other side is gone.
    pub fn end(&self) {
        self.lock().work.end();
    }

    /// Waits until a guest has come that has to wait; `false`: the other side is gone, or
    /// the work is over.
    pub async fn wait<D: 'static>(
        self: &Arc<Piped>,
        accessor: &Accessor<D>,
        end: &HostEnd,
    ) -> Result<Waited> {
        let buffer = self.clone();
        let begun =
            accessor.with(|mut store| end.begin(store.opaque(), Shape::Stream, buffer, 0))??;
        let ended = match begun {
            Poll::Ready(ended) => ended,
            Poll::Pending => {
                let mut guard = CancelOnDrop(Some(end));
                let ended = poll_fn(|cx| self.poll(accessor, end, cx)).await;
                let Some(ended) = ended? else {
                    return Ok(Waited::Over);
                };
                guard.0 = None;
                ended
            }
        };
        Ok(match ended.result {
            CopyResult::Dropped => Waited::Alone,
            _ => Waited::Met,
        })
    }

    fn poll<D: 'static>(
        &self,
        accessor: &Accessor<D>,
        end: &HostEnd,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<super::host_end::Ended>>> {
        {
            let mut inner = self.lock();
            if let State::Over(how) = std::mem::replace(&mut inner.state, State::Waiting) {
                return Poll::Ready(how.map(|()| None));
            }
            match &mut inner.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        let polled = accessor.with(|mut store| end.poll(store.opaque(), Shape::Stream, cx));
        match polled.and_then(|polled| polled) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(ended)) => Poll::Ready(Ok(Some(ended))),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// What has ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// A guest waits at the other end.
    Met,
    /// The other end is gone.
    Alone,
    /// The work came to its end while a guest was there.
    Over,
}

fn no_elements() -> Error {
    Error::new(Bug("a buffer of no elements that has some".into()))
}

impl HostBuffer for Piped {
    fn load(&self, _: &mut LiftContext<'_>, _: InterfaceType, _: &[u8], _: usize) -> Result<()> {
        Err(no_elements())
    }

    fn store(&self, _: &mut LowerContext<'_>, _: InterfaceType, _: usize, _: usize) -> Result<()> {
        Err(no_elements())
    }

    fn elements(&self) -> &dyn Any {
        &()
    }

    fn pour(&self, _: &dyn HostBuffer, _: usize) -> Result<()> {
        Err(no_elements())
    }

    fn at_once(&self, side: &Side, count: usize) -> usize {
        let mut inner = match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(inner)) => inner.into_inner(),
            // It works, and has called the guest that comes.
            Err(TryLockError::WouldBlock) => return 0,
        };
        let inner = &mut *inner;
        inner.turns = inner.turns.wrapping_add(1);
        let (State::Waiting, Some(waker)) = (&inner.state, &inner.waker) else {
            return 0;
        };
        if inner.turns.is_multiple_of(TURNS) {
            return 0;
        }
        let mut cx = Context::from_waker(waker);
        let (moved, polled) = inner.work.work(side, count, &mut cx);
        let over = match polled {
            Poll::Pending | Poll::Ready(Ok(StreamState::Open)) => return moved,
            Poll::Ready(Ok(StreamState::Closed)) => Ok(()),
            Poll::Ready(Err(error)) => Err(error),
        };
        inner.state = State::Over(over);
        waker.wake_by_ref();
        moved
    }
}

/// A buffer that is at work: nobody else finds it meanwhile, which costs less than counting
/// one more who has it.
struct AtWork<'a> {
    concurrent: &'a super::Concurrent,
    key: Key,
    buffer: Option<Arc<dyn HostBuffer>>,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let mut state = self.concurrent.state.borrow_mut();
            state.buffers.give_back(self.key, buffer);
        }
    }
}

/// Lets the producer or consumer that waits with the buffer at `address` work on a guest's,
/// the other side: how many of its `count` elements were moved.
pub(crate) fn meet(shared: &StoreShared, address: u64, guest: &Side, count: u32) -> u32 {
    let (concurrent, key) = (&shared.concurrent, Key::from_bits(address));
    let buffer = concurrent.state.borrow_mut().buffers.lend(key);
    let work = AtWork {
        concurrent,
        key,
        buffer,
    };
    let buffer = work.buffer.as_ref();
    let moved = buffer.map_or(0, |buffer| buffer.at_once(guest, count as usize));
    guest.count_copied(moved);
    u32::try_from(moved).unwrap_or(u32::MAX).min(count)
}

impl super::Concurrent {
    /// Whether there are producers or consumers.
    #[inline]
    pub(crate) fn has_pipes(&self) -> bool {
        self.mailbox.has_pipes()
    }
}
