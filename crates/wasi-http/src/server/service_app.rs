//! Instances of a WASI 0.3 service, each with a task of its own and many requests at a time.
//!
//! ```text
//!   request --> a worker with room (or a new one) --jobs--> its driver: the store's loop
//!      | runs the driver at once, if nobody does              | handle(request)
//!   answer <--------------------------------------------------+ goes on with its body
//!
//!   a worker that has had its share gets no more; it ends when its guest is idle
//!   a worker whose guest trapped gets no more; its other requests end with it
//!   a worker whose guest took too long gets no more; its other requests have as much time
//!   again, then it is dropped
//! ```

use super::app::{Answering, App, Failure, MakeStore, Ticks};
use super::driver::{Claim, Driver};
use super::metrics::Metrics;
use crate::WasiHttpView;
use crate::host::body::BoxBody;
use crate::host::message::Scheme;
use crate::p3::{Answer, Service};
use helve::component::{Accessor, InstancePre};
use helve::{Error, Result, Store};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};

/// Instances of a WASI 0.3 service.
pub struct ServiceApp<T: WasiHttpView> {
    component: InstancePre<T>,
    make_store: MakeStore<T>,
    /// Requests that one instance serves, and at a time.
    reuse: usize,
    concurrency: usize,
    cores: usize,
    ticks: Option<Ticks>,
    began: Instant,
    workers: Mutex<Vec<Worker>>,
}

/// The way to an instance's task.
struct Worker {
    driver: Arc<Driver>,
    jobs: mpsc::UnboundedSender<Job>,
    state: Arc<WorkerState>,
    /// Requests that it was given.
    given: usize,
}

#[derive(Default)]
struct WorkerState {
    running: AtomicUsize,
    /// It gets no more requests.
    retired: AtomicBool,
    /// Nothing in it will go on.
    dead: AtomicBool,
    ending: AtomicBool,
    /// When its guest was last seen to compute at a tick, in milliseconds since the app was
    /// made; 0: not yet.
    computed: AtomicU64,
    /// Told when it is to end, whatever it does.
    kill: Notify,
}

impl WorkerState {
    /// A guest took too long: it has no more than that time again, whatever else it does.
    fn retire(self: &Arc<Self>, time: Duration) {
        if self.retired.swap(true, Ordering::AcqRel) {
            return;
        }
        let state = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            state.kill.notify_one();
        });
    }

    fn takes_requests(&self) -> bool {
        !self.retired.load(Ordering::Acquire) && !self.dead.load(Ordering::Acquire)
    }
}

/// One request and where its answer goes.
struct Job {
    request: http::Request<BoxBody>,
    scheme: Scheme,
    answer: oneshot::Sender<Result<Answer, Failure>>,
}

/// Where a job went.
struct Given {
    state: Arc<WorkerState>,
    /// To be run, where nobody else does.
    claim: Option<Claim>,
}

impl<T: WasiHttpView> ServiceApp<T> {
    /// An app of instances of `component`, each of which serves `reuse` requests, up to
    /// `concurrency` of them at a time.
    pub fn new(
        component: InstancePre<T>,
        reuse: usize,
        concurrency: usize,
        make_store: impl Fn() -> Result<Store<T>> + Send + Sync + 'static,
    ) -> ServiceApp<T> {
        ServiceApp {
            component,
            make_store: Box::new(make_store),
            reuse: reuse.max(1),
            concurrency: concurrency.max(1),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            ticks: None,
            began: Instant::now(),
            workers: Mutex::default(),
        }
    }

    /// Ends guests that compute for longer than a request's time without a pause. The engine
    /// must have `epoch_interruption`, and somebody must move its epoch on as `ticks` says.
    pub fn ticks(mut self, ticks: Ticks) -> Self {
        self.ticks = Some(ticks);
        self
    }

    /// Gives a job to a worker with room, or to a new one; that is to be run where it may be.
    fn give(&self, mut job: Job, time: Duration, metrics: &Metrics) -> Result<Given> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|w| w.state.takes_requests() && !w.jobs.is_closed());
        while let Some(at) = self.least_busy(&workers) {
            match self.hand(&mut workers, at, job) {
                Ok(given) => return Ok(given),
                Err(back) => job = *back,
            }
        }
        drop(workers);
        let worker = self.start(time, metrics)?;
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.push(worker);
        let last = workers.len() - 1;
        match self.hand(&mut workers, last, job) {
            Ok(given) => Ok(given),
            Err(_) => Err(Error::msg("a new instance ended at once")),
        }
    }

    /// Whether a guest was lately seen to compute at a tick: who comes might have to wait.
    fn computes(&self, worker: &Worker) -> bool {
        let last = worker.state.computed.load(Ordering::Acquire);
        last != 0 && since(self.began).saturating_sub(last) <= LATELY
    }

    /// The worker to give a job to; `None`: a new one. Each core has one before any has two
    /// requests, as a worker runs on one core at a time.
    fn least_busy(&self, workers: &[Worker]) -> Option<usize> {
        let running = |worker: &Worker| worker.state.running.load(Ordering::Acquire);
        let places = workers.iter().enumerate();
        let open = places.filter(|(_, w)| running(w) == 0 || !self.computes(w));
        let least = open.min_by_key(|(_, w)| (running(w), w.driver.is_running()));
        let (at, worker) = least?;
        let busy = running(worker);
        let fits = busy == 0 || (busy < self.concurrency && workers.len() >= self.cores);
        fits.then_some(at)
    }

    /// Hands a job to the worker at a place; without its share left, or ended, it goes.
    /// The job comes back where nobody took it.
    fn hand(&self, workers: &mut Vec<Worker>, at: usize, job: Job) -> Result<Given, Box<Job>> {
        let Some(worker) = workers.get_mut(at) else {
            return Err(Box::new(job));
        };
        // Before it is sent: then nobody else is woken for it.
        let claim = worker.driver.claim();
        let state = worker.state.clone();
        state.running.fetch_add(1, Ordering::AcqRel);
        worker.given += 1;
        let used_up = worker.given >= self.reuse;
        let sent = worker.jobs.send(job);
        if used_up || sent.is_err() {
            workers.swap_remove(at);
        }
        sent.map(|()| Given { state, claim })
            .map_err(|e| Box::new(e.0))
    }

    fn start(&self, time: Duration, metrics: &Metrics) -> Result<Worker> {
        metrics.instance();
        let mut store = (self.make_store)()?;
        if let Some(ticks) = self.ticks {
            ticks.limit(&mut store, time);
        }
        let instance = self.component.instantiate(&mut store)?;
        let service = Service::new(&mut store, instance)?;
        let (jobs, receiver) = mpsc::unbounded_channel();
        let state = Arc::new(WorkerState::default());
        let pause = self.ticks.map(|ticks| Pause {
            ticks,
            time,
            began: self.began,
        });
        let driver = Driver::spawn(live(store, service, receiver, state.clone(), pause));
        Ok(Worker {
            driver,
            jobs,
            state,
            given: 0,
        })
    }
}

/// How an instance's guest is kept from holding its thread.
#[derive(Clone, Copy)]
struct Pause {
    ticks: Ticks,
    /// What a request may take.
    time: Duration,
    began: Instant,
}

/// Milliseconds since then.
fn since(then: Instant) -> u64 {
    u64::try_from(then.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// An instance's life: its work, unless that has to be ended.
async fn live<T: WasiHttpView>(
    store: Store<T>,
    service: Service,
    jobs: mpsc::UnboundedReceiver<Job>,
    state: Arc<WorkerState>,
    pause: Option<Pause>,
) {
    tokio::select! {
        ended = work(store, service, jobs, state.clone(), pause) => if let Err(error) = ended {
            eprintln!("helve: an instance failed: {error:#}");
        },
        () = state.kill.notified() => {
            eprintln!("helve: an instance was ended: its guest went on after its time");
        }
    }
    state.dead.store(true, Ordering::Release);
}

/// Jobs until there are no more, then whatever the guest still does.
async fn work<T: WasiHttpView>(
    mut store: Store<T>,
    service: Service,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    state: Arc<WorkerState>,
    pause: Option<Pause>,
) -> Result<()> {
    let alive = Arc::new(Mutex::new(Instant::now()));
    if let Some(Pause { ticks, time, began }) = pause {
        let (alive, state) = (alive.clone(), state.clone());
        let last = move || *alive.lock().unwrap_or_else(PoisonError::into_inner);
        ticks.watch(&mut store, move || {
            state.computed.store(since(began).max(1), Ordering::Release);
            last().elapsed() >= time
        });
    }
    store
        .run_concurrent(async move |cx: &Accessor<T>| -> Result<()> {
            if let Some(Pause { ticks, time, .. }) = pause {
                let every = (time / 4).clamp(ticks.every, Duration::from_secs(1));
                cx.spawn(stay_alive(alive, every, state.clone()))?;
            }
            while let Some(job) = jobs.recv().await {
                if state.dead.load(Ordering::Acquire) {
                    let _ = job.answer.send(Err(Failure::InstanceEnded));
                    continue;
                }
                cx.spawn(answer(cx.clone(), service.clone(), job, state.clone()))?;
            }
            state.ending.store(true, Ordering::Release);
            Ok(())
        })
        .await??;
    let finishing = helve_wasi::p3::finish(&mut store);
    match pause {
        Some(Pause { time, .. }) => match tokio::time::timeout(time, finishing).await {
            Ok(finished) => finished,
            // What waits for what never comes must not be kept for ever.
            Err(_) => Err(Error::msg("its guest was not done in its time")),
        },
        None => finishing.await,
    }
}

/// Says now and then that the store's loop runs: whoever keeps it from that for long is
/// interrupted.
async fn stay_alive(
    alive: Arc<Mutex<Instant>>,
    every: Duration,
    state: Arc<WorkerState>,
) -> Result<()> {
    while !state.ending.load(Ordering::Acquire) {
        *alive.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        tokio::time::sleep(every).await;
    }
    // What the guest still does has as much again.
    *alive.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    Ok(())
}

/// Answers one job, unless nobody waits for that any more.
async fn answer<T: WasiHttpView>(
    cx: Accessor<T>,
    service: Service,
    mut job: Job,
    state: Arc<WorkerState>,
) -> Result<()> {
    let answered = tokio::select! {
        biased;
        answered = service.handle(&cx, job.request, job.scheme) => answered.map_err(|error| {
            // Its instance is locked: nothing that runs there will end well.
            state.dead.store(true, Ordering::Release);
            Failure::from(error)
        }),
        () = job.answer.closed() => Err(Failure::NoAnswer),
    };
    state.running.fetch_sub(1, Ordering::AcqRel);
    // Nobody listens where the client is gone.
    let _ = job.answer.send(answered);
    Ok(())
}

impl<T: WasiHttpView> App for ServiceApp<T> {
    fn answer(
        self: Arc<Self>,
        request: http::Request<BoxBody>,
        scheme: Scheme,
        time: Duration,
        metrics: Arc<Metrics>,
    ) -> Answering {
        let (answer, receiver) = oneshot::channel();
        let job = Job {
            request,
            scheme,
            answer,
        };
        let given = self.give(job, time, &metrics);
        Box::pin(async move {
            let Given { state, claim } = given?;
            // Mostly there is an answer after this, and no timer is needed.
            if let Some(claim) = claim {
                claim.run();
            }
            let answer = tokio::time::timeout(time, receiver).await;
            let answer = answer.map_err(|_| {
                state.retire(time);
                Failure::TimedOut
            })?;
            match answer {
                Err(_) => Err(Failure::InstanceEnded),
                Ok(Err(failure)) => Err(failure),
                Ok(Ok(answer)) => answer.map_err(Failure::Answered),
            }
        })
    }
}

/// Milliseconds after a tick for which a busy guest is taken to compute still. Much more than
/// a tick: on a busy machine the guest may not have had its turn since.
const LATELY: u64 = 1000;
