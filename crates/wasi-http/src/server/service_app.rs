//! Instances of a WASI 0.3 service, each with a task of its own and many requests at a time.
//!
//! ```text
//!   request --> a worker with room (or a new one) --jobs--> its task: the store's loop
//!                                                             | handle(request)
//!   answer <----------------------------------------------- --+ goes on with its body
//!
//!   a worker that has had its share gets no more; it ends when its guest is idle
//!   a worker whose guest trapped gets no more; its other requests end with it
//! ```

use super::app::{Answering, App, Failure, MakeStore, Ticks};
use super::metrics::Metrics;
use crate::WasiHttpView;
use crate::host::body::BoxBody;
use crate::host::message::Scheme;
use crate::p3::{Answer, Service};
use helve::component::{Accessor, InstancePre};
use helve::{Error, Result, Store};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Instances of a WASI 0.3 service.
pub struct ServiceApp<T: WasiHttpView> {
    component: InstancePre<T>,
    make_store: MakeStore<T>,
    /// Requests that one instance serves, and at a time.
    reuse: usize,
    concurrency: usize,
    cores: usize,
    ticks: Option<Ticks>,
    workers: Mutex<Vec<Worker>>,
}

/// The way to an instance's task.
struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
    state: Arc<WorkerState>,
    /// Requests that it was given.
    given: usize,
}

#[derive(Default)]
struct WorkerState {
    running: AtomicUsize,
    dead: AtomicBool,
    ending: AtomicBool,
}

/// One request and where its answer goes.
struct Job {
    request: http::Request<BoxBody>,
    scheme: Scheme,
    time: Duration,
    answer: oneshot::Sender<Result<Answer, Failure>>,
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
            workers: Mutex::default(),
        }
    }

    /// Ends guests that compute for longer than a request's time without a pause. The engine
    /// must have `epoch_interruption`, and somebody must move its epoch on as `ticks` says.
    pub fn ticks(mut self, ticks: Ticks) -> Self {
        self.ticks = Some(ticks);
        self
    }

    /// Gives a job to a worker with room, or to a new one.
    fn give(&self, mut job: Job, metrics: &Metrics) -> Result<()> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|w| !w.state.dead.load(Ordering::Acquire) && !w.jobs.is_closed());
        while let Some(at) = self.least_busy(&workers) {
            match self.hand(&mut workers, at, job) {
                None => return Ok(()),
                Some(back) => job = back,
            }
        }
        drop(workers);
        let worker = self.start(job.time, metrics)?;
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.push(worker);
        let last = workers.len() - 1;
        match self.hand(&mut workers, last, job) {
            None => Ok(()),
            Some(_) => Err(Error::msg("a new instance ended at once")),
        }
    }

    /// The worker to give a job to; `None`: a new one. Each core has one before any has two
    /// requests, as a worker runs on one core at a time.
    fn least_busy(&self, workers: &[Worker]) -> Option<usize> {
        let running = |worker: &Worker| worker.state.running.load(Ordering::Acquire);
        let least = workers.iter().enumerate().min_by_key(|(_, w)| running(w));
        let (at, worker) = least?;
        let busy = running(worker);
        let fits = busy == 0 || (busy < self.concurrency && workers.len() >= self.cores);
        fits.then_some(at)
    }

    /// Hands a job to the worker at a place; without its share left, or ended, it goes.
    /// The job comes back where nobody took it.
    fn hand(&self, workers: &mut Vec<Worker>, at: usize, job: Job) -> Option<Job> {
        let Some(worker) = workers.get_mut(at) else {
            return Some(job);
        };
        worker.state.running.fetch_add(1, Ordering::AcqRel);
        worker.given += 1;
        let used_up = worker.given >= self.reuse;
        let sent = worker.jobs.send(job);
        if used_up || sent.is_err() {
            workers.swap_remove(at);
        }
        sent.err().map(|e| e.0)
    }

    fn start(&self, time: Duration, metrics: &Metrics) -> Result<Worker> {
        metrics.instance();
        let mut store = (self.make_store)()?;
        if let Some(ticks) = self.ticks {
            store.set_epoch_deadline(ticks.within(time));
        }
        let instance = self.component.instantiate(&mut store)?;
        let service = Service::new(&mut store, instance)?;
        let (jobs, receiver) = mpsc::unbounded_channel();
        let state = Arc::new(WorkerState::default());
        let pause = self.ticks.map(|ticks| (ticks, time));
        tokio::spawn(work(store, service, receiver, state.clone(), pause));
        Ok(Worker {
            jobs,
            state,
            given: 0,
        })
    }
}

/// An instance's life: jobs until there are no more, then whatever its guest still does.
async fn work<T: WasiHttpView>(
    mut store: Store<T>,
    service: Service,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    state: Arc<WorkerState>,
    pause: Option<(Ticks, Duration)>,
) {
    let during = state.clone();
    let accepted = store
        .run_concurrent(async move |cx: &Accessor<T>| -> Result<()> {
            if let Some((ticks, time)) = pause {
                cx.spawn(renew(cx.clone(), ticks, time, during.clone()))?;
            }
            while let Some(job) = jobs.recv().await {
                if during.dead.load(Ordering::Acquire) {
                    let _ = job.answer.send(Err(Failure::InstanceEnded));
                    continue;
                }
                cx.spawn(answer(cx.clone(), service.clone(), job, during.clone()))?;
            }
            during.ending.store(true, Ordering::Release);
            Ok(())
        })
        .await;
    let ended = match accepted.and_then(|done| done) {
        Ok(()) => helve_wasi::p3::finish(&mut store).await,
        Err(e) => Err(e),
    };
    state.dead.store(true, Ordering::Release);
    if let Err(error) = ended {
        eprintln!("helve: an instance failed: {error:#}");
    }
}

/// Moves the deadline on for as long as the store's loop runs: whoever spins in a guest
/// keeps it from that.
async fn renew<T: WasiHttpView>(
    cx: Accessor<T>,
    ticks: Ticks,
    time: Duration,
    state: Arc<WorkerState>,
) -> Result<()> {
    while !state.ending.load(Ordering::Acquire) {
        cx.with(|mut store| store.set_epoch_deadline(ticks.within(time)))?;
        tokio::time::sleep((time / 4).clamp(ticks.every, Duration::from_secs(1))).await;
    }
    // What the guest still does has as much again.
    cx.with(|mut store| store.set_epoch_deadline(ticks.within(time)))
}

/// Answers one job within its time.
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
        () = tokio::time::sleep(job.time) => Err(Failure::TimedOut),
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
            time,
            answer,
        };
        let given = self.give(job, &metrics);
        Box::pin(async move {
            given?;
            // A guest that spins is not at hand to be told of its time.
            let answer = tokio::time::timeout(time + GRACE, receiver).await;
            match answer {
                Err(_) => Err(Failure::TimedOut),
                Ok(Err(_)) => Err(Failure::InstanceEnded),
                Ok(Ok(Err(failure))) => Err(failure),
                Ok(Ok(Ok(answer))) => answer.map_err(Failure::Answered),
            }
        })
    }
}

/// How much later than the worker the server gives a request up.
const GRACE: Duration = Duration::from_millis(100);
