//! An HTTP server for guests: connections, limits, metrics, an orderly end.
//!
//! ```text
//!   accept (limit) --> connection: HTTP/1.1 or HTTP/2 (header, idle and body limits)
//!                          |  each request (limit)
//!                          v
//!                      App: an instance answers  --> access log, metrics
//!                          ^
//!                      swapped by `Server::replace`: requests that run keep theirs
//! ```
//!
//! What answers is an [`App`]: a [`ProxyApp`] (WASI 0.2), a [`ServiceApp`] (WASI 0.3). Not here: the
//! command line, and watching a file for changes.

mod app;
mod connection;
mod driver;
mod limits;
mod log;
mod metrics;
mod request_body;
mod service_app;

pub use app::{Answering, App, Failure, ProxyApp, Ticks};
pub use limits::ServerLimits;
pub use log::AccessLog;
pub use metrics::Metrics;
pub use service_app::ServiceApp;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// A server; clones are the same one.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What all connections share.
struct Shared {
    app: Mutex<Arc<dyn App>>,
    limits: ServerLimits,
    metrics: Arc<Metrics>,
    log: AccessLog,
    requests: Semaphore,
    connections: Arc<Semaphore>,
    /// True from the moment on at which the server is to end.
    ending: watch::Sender<bool>,
}

impl Server {
    /// A server whose requests `app` answers.
    pub fn new(app: Arc<dyn App>, limits: ServerLimits, log: AccessLog) -> Server {
        Server {
            shared: Arc::new(Shared {
                app: Mutex::new(app),
                requests: Semaphore::new(limits.requests),
                connections: Arc::new(Semaphore::new(limits.connections)),
                limits,
                metrics: Arc::default(),
                log,
                ending: watch::Sender::new(false),
            }),
        }
    }

    /// What was counted so far.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Lets `app` answer from now on; requests that run end where they began.
    pub fn replace(&self, app: Arc<dyn App>) {
        *self
            .shared
            .app
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = app;
        self.shared.metrics.reloaded();
    }

    /// Ends [`Server::serve`] once all that runs is done.
    pub fn end(&self) {
        self.shared.ending.send_replace(true);
    }

    /// Accepts and answers until [`Server::end`], then finishes what runs, for at most
    /// `limits.grace`.
    ///
    /// # Errors
    /// Where nothing can be accepted any more.
    pub async fn serve(&self, listener: TcpListener) -> std::io::Result<()> {
        let mut ending = self.shared.ending.subscribe();
        loop {
            let permit = self.shared.connections.clone().acquire_owned();
            let accepted = tokio::select! {
                biased;
                _ = ending.wait_for(|ending| *ending) => break,
                accepted = async {
                    // Closed by nobody.
                    let permit = permit.await.ok();
                    (listener.accept().await, permit)
                } => accepted,
            };
            match accepted {
                (Ok((stream, peer)), permit) => {
                    let shared = self.shared.clone();
                    tokio::spawn(async move {
                        connection::run(shared, stream, peer).await;
                        drop(permit);
                    });
                }
                (Err(e), _) => ride_out(e).await?,
            }
        }
        drop(listener);
        self.finish().await;
        Ok(())
    }

    /// Waits until every connection has given its permit back.
    async fn finish(&self) {
        let all = u32::try_from(self.shared.limits.connections).unwrap_or(u32::MAX);
        let idle = self.shared.connections.acquire_many(all);
        let _ = tokio::time::timeout(self.shared.limits.grace, idle).await;
    }

    /// Answers `GET /metrics` at `listener` until [`Server::end`].
    pub async fn serve_metrics(&self, listener: TcpListener) {
        let mut ending = self.shared.ending.subscribe();
        loop {
            tokio::select! {
                _ = ending.wait_for(|ending| *ending) => return,
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    let metrics = self.shared.metrics.clone();
                    tokio::spawn(metrics::answer(metrics, stream));
                },
            }
        }
    }
}

/// A failed accept mostly is about one connection, or about too many open files for now.
async fn ride_out(error: std::io::Error) -> std::io::Result<()> {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::NotConnected => Err(error),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => Ok(()),
        _ => {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(())
        }
    }
}

/// Listens at an address; says where, as the port may be any.
///
/// # Errors
/// Where the address cannot be bound.
pub async fn listen(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}
