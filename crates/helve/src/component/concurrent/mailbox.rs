//! What reaches a store from outside its event loop: wakers, and handles that are dropped.
//!
//! ```text
//!   any thread                       the event loop
//!   waker of a host future --+
//!   Call dropped ------------+--> Mailbox --> polls it, cancels it, closes it
//!   stream's end dropped ----+       |
//!                                    +--> wakes the executor, if it sleeps
//! ```
//!
//! A store that is gone leaves a mailbox nobody reads. Not here: what the letters do
//! (`event_loop`).

use super::call::Asked;
use super::slots::Key;
use crate::component::hook::WatchedCall;
use helve_model::WaitableId;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// What someone without the store wants of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Letter {
    /// A call is to be asked to cancel.
    Cancel(Asked),
    /// The tree that a call went into is to be locked down.
    Abandon(Asked),
    /// An end of a stream or future that the host held was dropped.
    Close(WaitableId),
    /// The read or write of such an end is not wanted any more.
    CancelCopy(WaitableId),
}

/// What is to be polled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The future that drives the loop.
    Main,
    /// A host future.
    Task(Key),
}

#[derive(Default)]
struct Inner {
    woken: VecDeque<Woken>,
    letters: VecDeque<Letter>,
    /// Calls that are over, whose hook is to be told.
    over: Vec<Arc<WatchedCall>>,
    /// The executor's, while the loop sleeps.
    sleeper: Option<Waker>,
}

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    /// How much of each is in it: changed under the lock, so that looking needs none.
    woken: AtomicUsize,
    letters: AtomicUsize,
    over: AtomicUsize,
    /// Whether a call that has not begun is not to any more.
    off: AtomicBool,
    /// Producers and consumers of the store.
    pipes: AtomicUsize,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics halfway.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was put in: wakes the loop, outside the lock.
    fn put(&self, put: impl FnOnce(&mut Inner)) {
        let sleeper = {
            let mut inner = self.lock();
            put(&mut inner);
            self.count(&inner);
            inner.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    fn count(&self, inner: &Inner) {
        self.woken.store(inner.woken.len(), Ordering::Release);
        self.letters.store(inner.letters.len(), Ordering::Release);
        self.over.store(inner.over.len(), Ordering::Release);
    }

    /// Whether nothing is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.woken() == 0
            && self.letters.load(Ordering::Acquire) == 0
            && self.over.load(Ordering::Acquire) == 0
    }

    pub fn send(&self, letter: Letter) {
        self.put(|inner| inner.letters.push_back(letter));
    }

    /// The hook is to be told that a call is over.
    pub fn over(&self, call: Arc<WatchedCall>) {
        self.put(|inner| inner.over.push(call));
    }

    /// Those calls.
    #[inline]
    pub fn take_over(&self) -> Vec<Arc<WatchedCall>> {
        if self.over.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let mut inner = self.lock();
        let over = std::mem::take(&mut inner.over);
        self.count(&inner);
        over
    }

    pub fn wake(&self, woken: Woken) {
        self.put(|inner| inner.woken.push_back(woken));
    }

    #[inline]
    pub fn take_letter(&self) -> Option<Letter> {
        if self.letters.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut inner = self.lock();
        let letter = inner.letters.pop_front();
        self.count(&inner);
        letter
    }

    /// A producer or consumer was made.
    pub fn pipe_is_there(&self) {
        self.pipes.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was made is no more.
    pub fn pipe_is_gone(&self) {
        self.pipes.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether there are producers or consumers.
    #[inline]
    pub fn has_pipes(&self) -> bool {
        self.pipes.load(Ordering::Relaxed) > 0
    }

    /// A call that has not begun is not to.
    pub fn one_is_off(&self) {
        self.off.store(true, Ordering::SeqCst);
    }

    /// Whether there are such, since this was last asked.
    pub fn some_are_off(&self) -> bool {
        self.off.load(Ordering::SeqCst) && self.off.swap(false, Ordering::SeqCst)
    }

    /// How many are to be polled.
    #[inline]
    pub fn woken(&self) -> usize {
        self.woken.load(Ordering::Acquire)
    }

    /// One of those to be polled, by place.
    pub fn take_woken(&self, at: usize) -> Option<Woken> {
        let mut inner = self.lock();
        let woken = inner.woken.remove(at);
        self.count(&inner);
        woken
    }

    /// The one at this place, if it is `which`.
    pub fn take_if(&self, at: usize, which: Woken) -> Option<Woken> {
        let mut inner = self.lock();
        let found = inner.woken.get(at) == Some(&which);
        let woken = found.then(|| inner.woken.remove(at)).flatten();
        self.count(&inner);
        woken
    }

    /// The loop sleeps until something is put in; `false`: something is there.
    pub fn sleep(&self, waker: &Waker) -> bool {
        let mut inner = self.lock();
        if !inner.woken.is_empty() || !inner.letters.is_empty() || !inner.over.is_empty() {
            return false;
        }
        inner.sleeper = Some(waker.clone());
        true
    }

    /// The loop is awake.
    pub fn rise(&self) {
        self.lock().sleeper = None;
    }
}

/// The waker of one future.
pub(crate) struct Bell {
    mailbox: Arc<Mailbox>,
    who: Woken,
    rung: AtomicBool,
}

impl Bell {
    pub fn new(mailbox: &Arc<Mailbox>, who: Woken) -> Arc<Bell> {
        Arc::new(Bell {
            mailbox: mailbox.clone(),
            who,
            rung: AtomicBool::new(false),
        })
    }

    /// The future is about to be polled: from now on it can be woken again.
    pub fn answer(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.mailbox.wake(self.who);
        }
    }
}
