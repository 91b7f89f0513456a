//! The clock of a store's event loop: the machine's, or in seeded runs a virtual one.
//!
//! ```text
//!   real:     sleep --> the engine's timer thread --> wakes the future
//!   virtual:  each turn of the loop takes a microsecond; when nothing is left to do, it
//!             is at once as late as the next sleeper wants
//! ```
//!
//! A virtual clock makes timeouts part of what a seed decides, and costs no waiting. A
//! sleep that is dropped leaves nothing behind: nobody waits for it, and no time is skipped
//! to. Not here: wall clocks.

use super::{Accessor, Concurrent};
use crate::component::has_data::HasData;
use crate::core::context::{AsContextMut, StoreContextMut};
use crate::core::store::Store;
use helve_base::Result;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What one turn of the loop takes on a virtual clock.
const TURN: Duration = Duration::from_micros(1);

/// The clock of one store.
pub(super) struct Clock {
    start: Instant,
    /// The time, where it is virtual.
    now: Option<Duration>,
    sleepers: Sleepers,
    last: u64,
}

/// Who sleeps on the virtual clock; the number tells sleepers of one moment apart.
type Sleepers = Arc<Mutex<BTreeMap<(Duration, u64), Waker>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Clock {
    fn default() -> Clock {
        Clock {
            start: Instant::now(),
            now: None,
            sleepers: Sleepers::default(),
            last: 0,
        }
    }
}

impl Clock {
    /// Time starts to be virtual.
    pub fn make_virtual(&mut self) {
        self.now.get_or_insert(Duration::ZERO);
    }

    pub fn is_virtual(&self) -> bool {
        self.now.is_some()
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
        let mut sleepers = lock(&self.sleepers);
        while let Some(first) = sleepers.first_entry() {
            if first.key().0 > now {
                break;
            }
            due.push(first.remove());
        }
        due
    }

    /// Nothing else is left to do: it is as late as the next sleeper wants.
    pub fn skip(&mut self) -> Vec<Waker> {
        let first = lock(&self.sleepers).first_key_value().map(|(key, _)| key.0);
        let Some(at) = first else {
            return Vec::new();
        };
        self.now = self.now.map(|now| now.max(at));
        self.due(at)
    }
}

impl Concurrent {
    /// Whether someone sleeps on the virtual clock.
    pub fn sleeps(&self) -> bool {
        !lock(&self.state.borrow().clock.sleepers).is_empty()
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

    /// A number of its own for one who wants to be woken at a moment.
    fn number(&self) -> u64 {
        let mut state = self.lock();
        state.last += 1;
        state.last
    }

    /// Wakes `waker` at a moment.
    fn wake_at(self: &Arc<Self>, key: (Instant, u64), waker: &Waker) {
        let mut state = self.lock();
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

/// A place among the sleepers of either clock; given up when it is dropped.
enum Place {
    Real(Arc<Timers>, (Instant, u64)),
    Virtual(Sleepers, (Duration, u64)),
}

impl Place {
    fn wake(&self, waker: &Waker) {
        match self {
            Place::Real(timers, key) => timers.wake_at(*key, waker),
            Place::Virtual(sleepers, key) => {
                lock(sleepers).insert(*key, waker.clone());
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match self {
            Place::Real(timers, key) => timers.lock().sleepers.remove(key),
            Place::Virtual(sleepers, key) => lock(sleepers).remove(key),
        };
    }
}

/// Ready once the clock is so late.
struct Sleep<T: 'static, D: HasData + ?Sized> {
    accessor: Accessor<T, D>,
    time: Duration,
    until: Option<Duration>,
    place: Option<Place>,
}

impl<T: 'static, D: HasData + ?Sized> Future for Sleep<T, D> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let (time, until, place) = (this.time, &mut this.until, &mut this.place);
        let late = this.accessor.with_store(|store| {
            let timers = store.engine().timers().clone();
            let shared = store.components.shared();
            let mut state = shared.concurrent.state.borrow_mut();
            let clock = &mut state.clock;
            let until = *until.get_or_insert(clock.now().saturating_add(time));
            if clock.now() >= until {
                return true;
            }
            let place = place.get_or_insert_with(|| match clock.now {
                None => {
                    let number = timers.number();
                    // Later than the platform can say: looked at again now and then.
                    let at = clock.start.checked_add(until);
                    let at = at.unwrap_or_else(|| Instant::now() + FAR);
                    Place::Real(timers, (at, number))
                }
                Some(_) => {
                    clock.last += 1;
                    Place::Virtual(clock.sleepers.clone(), (until, clock.last))
                }
            });
            place.wake(cx.waker());
            false
        });
        match late {
            Ok(false) => Poll::Pending,
            Ok(true) => {
                *place = None;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Later than anybody waits for.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

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
        Sleep {
            accessor: self.clone(),
            time,
            until: None,
            place: None,
        }
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Accessor::now`], for host functions that do not wait.
    pub fn now(&mut self) -> Duration {
        self.opaque().components.shared().concurrent.now()
    }
}

impl<T: 'static> Store<T> {
    /// As [`Accessor::now`].
    pub fn now(&mut self) -> Duration {
        self.as_context_mut().now()
    }
}
