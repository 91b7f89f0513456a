//! The clock of a store's event loop: the machine's, or in seeded runs a virtual one.
//!
//! ```text
//!   real:     sleep --> the engine's timer thread --> wakes the future
//!   virtual:  each turn of the loop takes a microsecond; when nothing is left to do, it
//!             is at once as late as the next sleeper wants
//! ```
//!
//! A virtual clock makes timeouts part of what a seed decides, and costs no waiting. Not
//! here: wall clocks.

use super::{Accessor, Concurrent};
use crate::component::has_data::HasData;
use helve_base::Result;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// What one turn of the loop takes on a virtual clock.
const TURN: Duration = Duration::from_micros(1);

/// The clock of one store.
pub(super) struct Clock {
    start: Instant,
    /// The time, where it is virtual.
    now: Option<Duration>,
    /// Who sleeps on the virtual clock; the number tells sleepers of one moment apart.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    last: u64,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock {
            start: Instant::now(),
            now: None,
            sleepers: BTreeMap::new(),
            last: 0,
        }
    }
}

impl Clock {
    /// Time starts to be virtual.
    pub fn make_virtual(&mut self) {
        self.now.get_or_insert(Duration::ZERO);
    }

    fn now(&self) -> Duration {
        self.now.unwrap_or_else(|| self.start.elapsed())
    }

    /// A turn has passed: who wakes now.
    pub fn turn(&mut self) -> Vec<Waker> {
        let Some(now) = &mut self.now else {
            return Vec::new();
        };
        *now = now.saturating_add(TURN);
        let now = *now;
        self.due(now)
    }

    fn due(&mut self, now: Duration) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.sleepers.first_entry() {
            if first.key().0 > now {
                break;
            }
            due.push(first.remove());
        }
        due
    }

    /// Nothing else is left to do: it is as late as the next sleeper wants.
    pub fn skip(&mut self) -> Vec<Waker> {
        let first = self.sleepers.first_key_value();
        let Some((at, _)) = first.map(|((at, number), _)| (*at, *number)) else {
            return Vec::new();
        };
        self.now = self.now.map(|now| now.max(at));
        self.due(at)
    }
}

impl Concurrent {
    /// Whether someone sleeps on the virtual clock.
    pub fn sleeps(&self) -> bool {
        !self.state.borrow().clock.sleepers.is_empty()
    }

    fn now(&self) -> Duration {
        self.state.borrow().clock.now()
    }

    /// Wakes sleepers whose time has come; with `skip` also the next one.
    pub fn tell_time(&self, skip: bool) -> bool {
        let due = {
            let mut state = self.state.borrow_mut();
            match skip {
                true => state.clock.skip(),
                false => state.clock.turn(),
            }
        };
        let any = !due.is_empty();
        due.into_iter().for_each(Waker::wake);
        any
    }
}

/// Futures that wait for a moment, and the thread that wakes them.
#[derive(Default)]
pub(crate) struct Timers {
    inner: Mutex<TimerState>,
    changed: Condvar,
}

#[derive(Default)]
struct TimerState {
    sleepers: BTreeMap<(Instant, u64), Waker>,
    last: u64,
    /// Whether the thread runs.
    runs: bool,
}

impl Timers {
    fn lock(&self) -> MutexGuard<'_, TimerState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes `waker` at a moment.
    fn wake_at(self: &Arc<Self>, at: Instant, waker: &Waker) {
        let mut state = self.lock();
        state.last += 1;
        let key = (at, state.last);
        state.sleepers.insert(key, waker.clone());
        if !state.runs {
            let timers = self.clone();
            let thread = std::thread::Builder::new().name("helve-timers".into());
            state.runs = thread.spawn(move || timers.run()).is_ok();
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The thread: ends when nobody sleeps.
    fn run(&self) {
        let mut state = self.lock();
        while let Some((&(at, number), _)) = state.sleepers.first_key_value() {
            let now = Instant::now();
            if at > now {
                let waited = self.changed.wait_timeout(state, at - now);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let waker = state.sleepers.remove(&(at, number));
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
            state = self.lock();
        }
        state.runs = false;
    }
}

impl<T: 'static, D: HasData + ?Sized> Accessor<T, D> {
    /// The time since the store was made, on its event loop's clock: the machine's
    /// monotonic one, or a virtual one where a seed schedules
    /// ([`Schedule::Seed`](crate::Schedule::Seed)).
    ///
    /// # Errors
    ///
    /// As for [`Accessor::with`].
    pub fn now(&self) -> Result<Duration> {
        self.with_store(|store| {
            let shared = store.components.shared();
            shared.concurrent.now()
        })
    }

    /// Waits until so much time has passed on that clock. Works on any executor.
    ///
    /// # Errors
    ///
    /// Outside the store's event loop.
    pub fn sleep(&self, time: Duration) -> impl Future<Output = Result<()>> + Send + 'static {
        let accessor = self.clone();
        let mut until = None;
        let mut number = None;
        poll_fn(move |cx| {
            let polled = accessor.with_store(|store| {
                let timers = store.engine().timers().clone();
                let shared = store.components.shared();
                let mut state = shared.concurrent.state.borrow_mut();
                let clock = &mut state.clock;
                let now = clock.now();
                let until = *until.get_or_insert(now.saturating_add(time));
                if now >= until {
                    return Poll::Ready(());
                }
                if clock.now.is_none() {
                    timers.wake_at(clock.start + until, cx.waker());
                    return Poll::Pending;
                }
                let number = *number.get_or_insert_with(|| {
                    clock.last += 1;
                    clock.last
                });
                clock.sleepers.insert((until, number), cx.waker().clone());
                Poll::Pending
            });
            match polled {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
                Err(error) => Poll::Ready(Err(error)),
            }
        })
    }
}
