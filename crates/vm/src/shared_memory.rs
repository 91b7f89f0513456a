//! Memories that several threads use at once, and who waits where in one.
//!
//! ```text
//!   SharedMemory (Arc) ---> Memory    <--- pointers in any number of VMContexts and stores
//!                             len        grows only, under a lock; read atomically
//!                             waiters    address -> threads in `memory.atomic.wait`
//! ```
//!
//! A thread that waits looks up every few milliseconds, so that an epoch's deadline stops
//! it too. Not here: address space (`memory`), atomic accesses (compiled code).

use crate::memory::Memory;
use helve_base::builtin::wait;
use helve_base::core_type::MemoryType;
use helve_base::{Result, ensure};
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A memory that several threads, and several stores, can use at once.
#[derive(Clone)]
pub struct SharedMemory(Arc<Memory>);

impl SharedMemory {
    /// A memory of `ty`, zeroed, that will never have more than `limit_bytes`.
    ///
    /// # Errors
    ///
    /// Where the type is not shared or has no maximum, or there is no address space.
    pub fn new(ty: &MemoryType, limit_bytes: u64) -> Result<SharedMemory> {
        ensure!(
            ty.shared && ty.maximum.is_some(),
            "a shared memory's type is shared and has a maximum"
        );
        Memory::shared(ty, limit_bytes).map(SharedMemory)
    }

    /// The memory, if it is a shared one.
    pub fn of(memory: &Memory) -> Option<SharedMemory> {
        memory.again().map(SharedMemory)
    }
}

impl Deref for SharedMemory {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.0
    }
}

/// A memory's owner: one store, or all who know it.
pub enum MemoryOwner {
    /// It is used by one thread at a time.
    One(Box<Memory>),
    /// It is shared.
    Shared(SharedMemory),
}

impl Deref for MemoryOwner {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        match self {
            MemoryOwner::One(memory) => memory,
            MemoryOwner::Shared(memory) => memory,
        }
    }
}

impl From<Box<Memory>> for MemoryOwner {
    fn from(memory: Box<Memory>) -> MemoryOwner {
        MemoryOwner::One(memory)
    }
}

/// The threads that wait in one memory, in the order in which they came.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<Vec<(u64, Arc<Waiter>)>>);

#[derive(Default)]
struct Waiter {
    woken: Mutex<bool>,
    signal: Condvar,
}

/// How long a thread waits before it looks whether it was interrupted.
const SLICE: Duration = Duration::from_millis(5);

impl Waiters {
    /// Waits at `address`, if `holds` says that the expected value is there: until another
    /// thread notifies, `timeout` has passed, or `interrupted` says so. One of
    /// [`helve_base::builtin::wait`].
    pub(crate) fn wait(
        &self,
        address: u64,
        holds: impl FnOnce() -> bool,
        timeout: Option<Duration>,
        mut interrupted: impl FnMut() -> bool,
    ) -> u32 {
        let waiter = Arc::new(Waiter::default());
        {
            // Under this lock: a notification comes before or after, never in between.
            let mut all = lock(&self.0);
            if !holds() {
                return wait::NOT_EQUAL;
            }
            all.push((address, waiter.clone()));
        }
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut woken = lock(&waiter.woken);
        let how = loop {
            if *woken {
                return wait::WOKEN;
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break wait::TIMED_OUT;
            }
            if interrupted() {
                break wait::INTERRUPTED;
            }
            let slice = left.map_or(SLICE, |left| left.min(SLICE));
            let waited = waiter.signal.wait_timeout(woken, slice);
            woken = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(woken);
        let mut all = lock(&self.0);
        all.retain(|(_, other)| !Arc::ptr_eq(other, &waiter));
        // Notified at the last moment: that counts.
        match *lock(&waiter.woken) {
            true => wait::WOKEN,
            false => how,
        }
    }

    /// Wakes at most `count` threads that wait at `address`; how many.
    pub(crate) fn notify(&self, address: u64, count: u32) -> u32 {
        let mut woken = 0;
        lock(&self.0).retain(|(at, waiter)| {
            let wakes = *at == address && woken < count;
            if wakes {
                woken += 1;
                *lock(&waiter.woken) = true;
                waiter.signal.notify_one();
            }
            !wakes
        });
        woken
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
