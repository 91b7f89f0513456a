//! Host functions that have the store to themselves, also while they wait.
//!
//! ```text
//!   depth 0   host function K waits: the loop polls nothing but K
//!   depth 1     while K is polled, its own calls of guests run a loop inside K; there,
//!               host function L waits: that loop polls nothing but L
//! ```
//!
//! What such a function has borrowed from the store (the host's data above all) stays
//! borrowed while it waits, so nothing else of the store may run: no guest, no other host
//! future, not the future that drives the loop. What is woken meanwhile is kept for later.
//! A loop that is dropped meanwhile ends the function first. Not here: those that leave the
//! store to others (`host_func`).

use super::event_loop::{Turn, read_letters};
use super::host_task;
use super::mailbox::Woken;
use super::slots::Key;
use crate::component::store::StoreShared;
use crate::core::store::StorePtr;
use helve_base::Error;
use std::cell::{Cell, RefCell};

/// Those of one store.
#[derive(Default)]
pub(crate) struct Exclusive {
    /// Each was begun while the one before it was polled.
    waiting: RefCell<Vec<Key>>,
    /// How many of them are being polled now.
    depth: Cell<usize>,
    /// Whether the innermost of these is in the host call that began it, its guest running.
    beginning: Cell<bool>,
    /// Loops by depth.
    loops: RefCell<Vec<usize>>,
    /// What was woken that may not run now.
    held: RefCell<Vec<Woken>>,
}

/// While one is polled: ends that, also when it panics.
pub(super) struct Polling<'a> {
    all: &'a Exclusive,
    depth: usize,
    beginning: bool,
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.all.depth.set(self.depth);
        self.all.beginning.set(self.beginning);
    }
}

impl Exclusive {
    /// A function begins, at `key`, and is polled from now on.
    pub(super) fn begin(&self, key: Key) -> Polling<'_> {
        let depth = self.depth.get();
        let mut waiting = self.waiting.borrow_mut();
        waiting.truncate(depth);
        waiting.push(key);
        self.polling(depth, true)
    }

    fn polling(&self, depth: usize, beginning: bool) -> Polling<'_> {
        self.depth.set(depth + 1);
        Polling {
            all: self,
            depth,
            beginning: self.beginning.replace(beginning),
        }
    }

    /// The future at `key` is polled again: if it is the one that has the store.
    pub(super) fn again(&self, key: Key) -> Option<Polling<'_>> {
        let depth = self.depth.get();
        let has = self.waiting.borrow().get(depth) == Some(&key);
        has.then(|| self.polling(depth, false))
    }

    /// The future at `key` is done, or gone.
    pub(super) fn end(&self, key: Key) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(at) = waiting.iter().position(|other| *other == key) {
            waiting.truncate(at);
        }
    }

    /// Whether one is polled in the host call that began it: its guest stands still only
    /// after that, so no other may run before.
    pub(super) fn is_beginning(&self) -> bool {
        self.beginning.get()
    }

    /// A loop starts.
    pub(super) fn enter_loop(&self) -> usize {
        let depth = self.depth.get();
        let mut loops = self.loops.borrow_mut();
        if loops.len() <= depth {
            loops.resize(depth + 1, 0);
        }
        loops[depth] += 1;
        depth
    }

    /// One at this depth ends.
    fn leave_loop(&self, depth: usize) {
        if let Some(count) = self.loops.borrow_mut().get_mut(depth) {
            *count = count.saturating_sub(1);
        }
    }

    /// Takes the innermost one out that was begun at `depth` or deeper.
    fn pop(&self, depth: usize) -> Option<Key> {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.len() > depth {
            true => waiting.pop(),
            false => None,
        }
    }

    fn has_loop(&self, depth: usize) -> bool {
        self.loops
            .borrow()
            .get(depth)
            .is_some_and(|count| *count > 0)
    }
}

/// The function that has the store, seen from where the caller is; what was held back
/// while it had is woken once it has not.
#[inline]
pub(super) fn owner(shared: &StoreShared) -> Option<Key> {
    let exclusive = &shared.concurrent.exclusive;
    match exclusive.waiting.borrow().is_empty() && exclusive.held.borrow().is_empty() {
        true => None,
        false => owner_among(shared),
    }
}

fn owner_among(shared: &StoreShared) -> Option<Key> {
    let concurrent = &shared.concurrent;
    let exclusive = &concurrent.exclusive;
    let depth = exclusive.depth.get();
    let key = exclusive.waiting.borrow().get(depth).copied();
    if let Some(key) = key {
        if concurrent.state.borrow_mut().has_task(key) {
            return Some(key);
        }
        exclusive.end(key); // its guest is gone, and it with that
    }
    for woken in exclusive.held.take() {
        concurrent.mailbox.wake(woken);
    }
    None
}

/// A turn of the loop while the function at `key` has the store.
pub(super) fn turn(store: StorePtr, shared: &StoreShared, key: Key) -> Turn {
    read_letters(shared);
    let concurrent = &shared.concurrent;
    let exclusive = &concurrent.exclusive;
    let inner = exclusive.has_loop(exclusive.depth.get() + 1);
    let mut polls = inner && concurrent.mailbox.woken() > 0;
    let mut at = 0;
    while at < concurrent.mailbox.woken() {
        let woken = match inner {
            // The loop inside finds the others itself.
            true => concurrent.mailbox.take_if(at, Woken::Task(key)),
            false => concurrent.mailbox.take_woken(at),
        };
        match woken {
            Some(woken) if woken == Woken::Task(key) => polls = true,
            Some(woken) => exclusive.held.borrow_mut().push(woken),
            None => at += 1,
        }
    }
    if !polls {
        return Turn::Idle;
    }
    concurrent.trace(|| format!("host future {key}, which has the store"));
    host_task::poll(store, shared, key);
    Turn::Done
}

/// A loop is dropped: functions that had the store for as long as it ran end with it, the
/// innermost first.
pub(super) fn leave(store: StorePtr, shared: &StoreShared, depth: usize) {
    let concurrent = &shared.concurrent;
    let exclusive = &concurrent.exclusive;
    exclusive.leave_loop(depth);
    if depth > 0 {
        // What was meant for the loop outside may have been taken by this one.
        concurrent.mailbox.wake(Woken::Main);
    }
    while let Some(key) = exclusive.pop(depth) {
        host_task::end(
            store,
            shared,
            key,
            Error::msg(
                "the call was dropped while a host function that has the store to itself \
                 (func_wrap_async_exclusive) was waiting",
            ),
        );
    }
    let _ = owner(shared);
}
