//! What answers requests: instances of a component, fresh ones or reused.
//!
//! ```text
//!   request --> instance (kept, or made now) --> guest runs -----------> answer
//!                  ^                               | goes on after the answer
//!                  +----kept, unless it trapped,---+
//!                       or has served its share
//! ```

use super::metrics::Metrics;
use crate::WasiHttpView;
use crate::host::body::BoxBody;
use crate::host::error::ErrorCode;
use crate::host::message::Scheme;
use crate::p2::{OutgoingAnswer, Proxy, ProxyIndex};
use helve::component::InstancePre;
use helve::{Error, ErrorKind, Result, Store, Trap, UpdateDeadline};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Why a request got no answer from its guest.
#[derive(Debug)]
pub enum Failure {
    /// The guest trapped.
    Trapped(Error),
    /// Something else went wrong, such as making an instance.
    Host(Error),
    /// The guest ended without one.
    NoAnswer,
    /// Its instance came to an end, by another request's trap.
    InstanceEnded,
    /// The guest took too long.
    TimedOut,
    /// Too many other requests run.
    TooBusy,
    /// The guest's answer is an error.
    Answered(ErrorCode),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error.kind() {
            // The epoch's deadline is its request's.
            ErrorKind::Trap if error.trap() == Some(Trap::Interrupt) => Failure::TimedOut,
            ErrorKind::Trap => Failure::Trapped(error),
            ErrorKind::Host | ErrorKind::Bug => Failure::Host(error),
        }
    }
}

/// A future of an answer.
pub type Answering = Pin<Box<dyn Future<Output = Result<http::Response<BoxBody>, Failure>> + Send>>;

/// Answers requests.
pub trait App: Send + Sync + 'static {
    /// Answers one, whose guest may take `time`.
    fn answer(
        self: Arc<Self>,
        request: http::Request<BoxBody>,
        scheme: Scheme,
        time: Duration,
        metrics: Arc<Metrics>,
    ) -> Answering;
}

/// Makes the store of a new instance.
pub(super) type MakeStore<T> = Box<dyn Fn() -> Result<Store<T>> + Send + Sync>;

/// What keeps a guest that computes from holding its thread: at each tick of the engine's
/// epoch, which the embedder moves on, it lets others go first, and in the end it is
/// interrupted.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    /// How often the epoch moves.
    pub every: Duration,
}

impl Ticks {
    /// Interrupts guests of `store` once `is_over` says so.
    pub(super) fn watch<T: 'static>(
        self,
        store: &mut Store<T>,
        is_over: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        store.epoch_deadline_callback(move |_| {
            Ok(match is_over() {
                true => UpdateDeadline::Interrupt,
                false => UpdateDeadline::Yield(1),
            })
        });
        store.set_epoch_deadline(1);
    }

    /// Interrupts guests of `store` after this time.
    pub(super) fn limit<T: 'static>(self, store: &mut Store<T>, time: Duration) {
        let began = Instant::now();
        self.watch(store, move || began.elapsed() >= time);
    }
}

/// Instances of a WASI 0.2 proxy: one request at a time each.
pub struct ProxyApp<T: WasiHttpView> {
    component: InstancePre<T>,
    index: ProxyIndex,
    make_store: MakeStore<T>,
    /// Requests that one instance serves.
    reuse: usize,
    ticks: Option<Ticks>,
    idle: Mutex<Vec<Worker<T>>>,
}

/// Instances that wait for work; more are thrown away.
const MOST_IDLE: usize = 64;

struct Worker<T: 'static> {
    store: Store<T>,
    proxy: Proxy,
    served: usize,
}

impl<T: WasiHttpView> ProxyApp<T> {
    /// An app of instances of `component`, each of which serves `reuse` requests, one
    /// after the other.
    ///
    /// # Errors
    /// Where it exports no `wasi:http/incoming-handler`.
    pub fn new(
        component: InstancePre<T>,
        reuse: usize,
        make_store: impl Fn() -> Result<Store<T>> + Send + Sync + 'static,
    ) -> Result<ProxyApp<T>> {
        Ok(ProxyApp {
            index: ProxyIndex::new(component.component())?,
            component,
            make_store: Box::new(make_store),
            reuse: reuse.max(1),
            ticks: None,
            idle: Mutex::default(),
        })
    }

    /// Ends guests that compute for longer than their request's time. The engine must have
    /// `epoch_interruption`, and somebody must move its epoch on as `ticks` says.
    pub fn ticks(mut self, ticks: Ticks) -> Self {
        self.ticks = Some(ticks);
        self
    }

    fn worker(&self, time: Duration, metrics: &Metrics) -> Result<Worker<T>> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if let Some(mut worker) = idle {
            self.limit(&mut worker.store, time);
            return Ok(worker);
        }
        metrics.instance();
        let mut store = (self.make_store)()?;
        self.limit(&mut store, time);
        let instance = self.component.instantiate(&mut store)?;
        Ok(Worker {
            proxy: Proxy::at(&mut store, instance, &self.index)?,
            store,
            served: 0,
        })
    }

    fn limit(&self, store: &mut Store<T>, time: Duration) {
        if let Some(ticks) = self.ticks {
            ticks.limit(store, time);
        }
    }

    fn keep(&self, mut worker: Worker<T>) {
        worker.served += 1;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if worker.served < self.reuse && idle.len() < MOST_IDLE {
            idle.push(worker);
        }
    }

    async fn run(
        self: Arc<Self>,
        request: http::Request<BoxBody>,
        (scheme, time): (Scheme, Duration),
        answer: oneshot::Sender<OutgoingAnswer>,
        metrics: Arc<Metrics>,
    ) -> Result<()> {
        let mut worker = self.worker(time, &metrics)?;
        worker
            .proxy
            .handle(&mut worker.store, request, scheme, answer)
            .await?;
        self.keep(worker);
        Ok(())
    }
}

impl<T: WasiHttpView> App for ProxyApp<T> {
    fn answer(
        self: Arc<Self>,
        request: http::Request<BoxBody>,
        scheme: Scheme,
        time: Duration,
        metrics: Arc<Metrics>,
    ) -> Answering {
        let (sender, receiver) = oneshot::channel();
        let guest = self.run(request, (scheme, time), sender, metrics);
        Box::pin(finish(guest, receiver, time))
    }
}

/// Waits for a guest's answer; where that comes before the guest is done, the guest goes on
/// by itself for the rest of its time.
async fn finish(
    guest: impl Future<Output = Result<()>> + Send + 'static,
    mut receiver: oneshot::Receiver<OutgoingAnswer>,
    time: Duration,
) -> Result<http::Response<BoxBody>, Failure> {
    let mut guest = Box::pin(tokio::time::timeout(time, guest));
    let done = tokio::select! {
        biased;
        done = &mut guest => done,
        answer = &mut receiver => match answer {
            Ok(answer) => {
                tokio::spawn(async move { report(guest.await) });
                return answer.into_http().map_err(Failure::Answered);
            }
            // The place for the answer was dropped.
            Err(_) => guest.await,
        },
    };
    match done {
        Err(_) => Err(Failure::TimedOut),
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(())) => match receiver.try_recv() {
            Ok(answer) => answer.into_http().map_err(Failure::Answered),
            Err(_) => Err(Failure::NoAnswer),
        },
    }
}

/// Says what became of a guest whose answer is on its way.
fn report(done: Result<Result<()>, tokio::time::error::Elapsed>) {
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("helve: a guest failed after its answer: {error:#}"),
        Err(_) => eprintln!("helve: a guest took too long after its answer"),
    }
}
