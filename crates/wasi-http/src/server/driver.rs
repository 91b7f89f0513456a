//! A future that whoever brings work for it runs at once, where it is.
//!
//! ```text
//!            claim                      not ready
//!   idle ------------> running --------------------------> idle
//!    ^                  |   ^                               | woken: its own task is
//!    |        woken     v   | once more                     v
//!    |                 again                         (that claims it)
//!    |                  | too often: its own task goes on
//!    +------------------+            running -- ready --> over
//! ```
//!
//! An instance has a task of its own, but most requests are answered without a pause. Handing
//! them over would cost two wake-ups, often of another thread; so the connection's task takes
//! the instance's turn, and the task of the instance goes on with what is left.
//!
//! Not here: what is run (`service_app`).

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// States, as above.
const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const AGAIN: u8 = 2;
const OVER: u8 = 3;

/// How often one claim polls the future where it is woken meanwhile.
const TURNS: u32 = 4;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future, whose turn is taken by whoever claims it.
pub(super) struct Driver {
    state: AtomicU8,
    /// Locked by whoever has the claim.
    work: Mutex<Option<Work>>,
    /// The waker of its own task, while that sleeps.
    home: Mutex<Option<Waker>>,
    /// Whether that task is gone, and its runtime with it.
    homeless: AtomicBool,
}

impl Driver {
    /// Gives the future a task of its own, on the current runtime.
    pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Arc<Driver> {
        let driver = Arc::new(Driver {
            state: AtomicU8::new(IDLE),
            work: Mutex::new(Some(Box::pin(work))),
            home: Mutex::new(None),
            homeless: AtomicBool::new(false),
        });
        tokio::spawn(Home(driver.clone()));
        driver
    }

    /// The right to run it, if nobody has that: until it is used, what wakes the future
    /// wakes nobody else.
    pub fn claim(self: &Arc<Self>) -> Option<Claim> {
        let claimed =
            self.state
                .compare_exchange(IDLE, RUNNING, Ordering::AcqRel, Ordering::Acquire);
        claimed.is_ok().then(|| Claim {
            driver: self.clone(),
            settled: false,
        })
    }

    /// Whether somebody runs it.
    pub fn is_running(&self) -> bool {
        self.state.load(Ordering::Acquire) != IDLE
    }

    /// It is to run again; `false` where nobody runs it now.
    fn again(&self) -> bool {
        let again =
            self.state
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| match state {
                    IDLE => None,
                    RUNNING => Some(AGAIN),
                    other => Some(other),
                });
        again.is_ok()
    }

    /// Polls it, for whoever has the claim; whether it is over.
    fn poll(&self, cx: &mut Context<'_>) -> bool {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = work.as_mut() else {
            return true;
        };
        let over = future.as_mut().poll(cx).is_ready();
        if over {
            *work = None;
        }
        over
    }

    /// Drops it where `now`; whether it is over.
    fn end(&self, now: bool) -> bool {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if now {
            *work = None;
        }
        work.is_none()
    }

    /// It ends where its runtime did, as what it runs may hold this driver's waker.
    fn end_if_homeless(self: &Arc<Self>) {
        if self.homeless.load(Ordering::Acquire)
            && let Some(claim) = self.claim()
        {
            claim.driver.end(true);
        }
    }

    /// Lets its own task go on.
    fn wake_home(&self) {
        let home = self
            .home
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(home) = home {
            home.wake();
        }
    }
}

impl Wake for Driver {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.again() {
            self.wake_home();
        }
    }
}

/// The right to run a driver's future, for one time. Dropped unused, its own task goes on.
pub(super) struct Claim {
    driver: Arc<Driver>,
    /// Whether the future waits, and nothing is left to do.
    settled: bool,
}

impl Claim {
    /// Runs it until it waits, or for a few turns; the rest is for its own task.
    pub fn run(mut self) {
        let waker = Waker::from(self.driver.clone());
        let mut cx = Context::from_waker(&waker);
        for _ in 0..TURNS {
            if self.driver.poll(&mut cx) || self.settle() {
                return;
            }
        }
    }

    /// Gives the claim back, unless the future was woken meanwhile.
    fn settle(&mut self) -> bool {
        let state = &self.driver.state;
        let waits = state.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire);
        self.settled = waits.is_ok();
        if self.settled {
            self.driver.end_if_homeless();
        } else {
            state.store(RUNNING, Ordering::Release);
        }
        self.settled
    }
}

impl Drop for Claim {
    /// Not settled, it is over, or panicked, or had its turns.
    fn drop(&mut self) {
        if !self.settled {
            let driver = &self.driver;
            let over = driver.end(std::thread::panicking());
            let state = if over { OVER } else { IDLE };
            driver.state.store(state, Ordering::Release);
            driver.wake_home();
        }
    }
}

/// The task of its own.
struct Home(Arc<Driver>);

impl Future for Home {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &self.0;
        let waker = cx.waker().clone();
        *driver.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
        match driver.claim() {
            Some(claim) => claim.run(),
            None if driver.state.load(Ordering::Acquire) == OVER => return Poll::Ready(()),
            // Whoever runs it looks once more.
            None if driver.again() => return Poll::Pending,
            // They have just stopped.
            None => driver.wake_home(),
        }
        match driver.state.load(Ordering::Acquire) {
            OVER => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.0.homeless.store(true, Ordering::Release);
        self.0.end_if_homeless();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;
    use tokio::sync::{Notify, mpsc};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    }

    /// A driver that adds up what it is sent, and where it does.
    fn adder() -> (Arc<Driver>, mpsc::UnboundedSender<usize>, Arc<AtomicUsize>) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let sum = Arc::new(AtomicUsize::new(0));
        let driver = Driver::spawn({
            let sum = sum.clone();
            async move {
                while let Some(number) = receiver.recv().await {
                    sum.fetch_add(number, Ordering::SeqCst);
                }
            }
        });
        (driver, sender, sum)
    }

    async fn until(done: impl Fn() -> bool) {
        for _ in 0..2000 {
            if done() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("never done");
    }

    #[test]
    fn whoever_brings_work_sees_it_done() {
        runtime().block_on(async {
            let (driver, sender, sum) = adder();
            // Its own task has had its first turn.
            until(|| {
                driver.claim().is_some_and(|claim| {
                    claim.run();
                    true
                })
            })
            .await;
            for round in 1..100 {
                let claim = loop {
                    match driver.claim() {
                        Some(claim) => break claim,
                        None => tokio::task::yield_now().await,
                    }
                };
                sender.send(1).unwrap();
                claim.run();
                assert_eq!(sum.load(Ordering::SeqCst), round);
            }
            // Without a claim, and with one that is not used, its own task does it.
            sender.send(1000).unwrap();
            until(|| sum.load(Ordering::SeqCst) == 1099).await;
            let claim = driver.claim();
            sender.send(1000).unwrap();
            drop(claim);
            until(|| sum.load(Ordering::SeqCst) == 2099).await;
            drop(sender);
            until(|| driver.state.load(Ordering::SeqCst) == OVER).await;
            assert!(driver.claim().is_none());
        });
    }

    #[test]
    fn many_bring_work_at_once() {
        runtime().block_on(async {
            let (driver, sender, sum) = adder();
            let tasks: Vec<_> = (0..8)
                .map(|_| {
                    let (driver, sender) = (driver.clone(), sender.clone());
                    tokio::spawn(async move {
                        for i in 0..2000 {
                            let claim = (i % 3 != 0).then(|| driver.claim()).flatten();
                            sender.send(1).unwrap();
                            match claim {
                                Some(claim) if i % 5 != 0 => claim.run(),
                                _ => tokio::task::yield_now().await,
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            until(|| sum.load(Ordering::SeqCst) == 16_000).await;
        });
    }

    #[test]
    fn a_future_that_wakes_itself_has_turns_with_others() {
        runtime().block_on(async {
            let stop = Arc::new(Notify::new());
            let told = stop.clone();
            let driver = Driver::spawn(async move {
                tokio::select! {
                    () = told.notified() => {}
                    () = async { loop { tokio::task::yield_now().await } } => {}
                }
            });
            tokio::time::sleep(Duration::from_millis(5)).await;
            stop.notify_one();
            until(|| driver.state.load(Ordering::SeqCst) == OVER).await;
        });
    }

    #[test]
    fn it_ends_with_its_runtime_and_with_a_panic() {
        let held = Arc::new(());
        let runtime = runtime();
        let driver = runtime.block_on(async {
            let held = held.clone();
            let driver = Driver::spawn(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
            tokio::time::sleep(Duration::from_millis(5)).await;
            driver
        });
        drop(runtime);
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(driver.claim().is_none());

        self::runtime().block_on(async {
            let driver = Driver::spawn(async { panic!("as a test wants it") });
            until(|| driver.state.load(Ordering::SeqCst) == OVER).await;
        });
    }
}
