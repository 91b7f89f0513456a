//! The HTTP client: each request is checked against the grants, connections are kept for the
//! next one.
//!
//! ```text
//!   check authority --+--> a kept connection --------------------+--> send --> body
//!                     +--> connect (`connect.rs`), one in        |     first_byte_timeout
//!                          connect_timeout ----------------------+          between_bytes
//! ```
//!
//! Which connections are kept, and for how long, is `hyper-util`'s business. A client may
//! serve many guests: what one may not reach it does not, as each request is checked.

use super::body::BoxBody;
use super::connect::Connector;
pub use super::connect::Roots;
use super::error::ErrorCode;
use super::message::RequestOptions;
use bytes::Bytes;
use helve_wasi::host::net::NetGrants;
use http::uri::{Authority, Scheme};
use http_body::{Body, Frame};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, timeout};

/// Where a guest's option says nothing.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

fn span(nanos: Option<u64>) -> Duration {
    nanos.map_or(DEFAULT_TIMEOUT, Duration::from_nanos)
}

/// What bounds a client, and whom it trusts.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Requests whose response is not complete yet, of all guests (default 1000). One more
    /// fails with `connection-limit-reached`.
    pub requests: usize,
    /// Connections to one server that are kept for a next request (default 32).
    pub idle_per_host: usize,
    /// How long a connection is kept (default 30 s).
    pub idle_time: Duration,
    /// Whose word on a server's name counts.
    pub roots: Roots,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            requests: 1000,
            idle_per_host: 32,
            idle_time: Duration::from_secs(30),
            roots: Roots::default(),
        }
    }
}

/// A client and its connections; clones share them.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<Connector, BoxBody>,
    requests: Arc<Semaphore>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Default for Client {
    fn default() -> Client {
        Client::new(ClientSettings::default())
    }
}

impl Client {
    /// A client without a connection yet.
    pub fn new(settings: ClientSettings) -> Client {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_time)
            .pool_max_idle_per_host(settings.idle_per_host);
        let most = settings.requests.min(Semaphore::MAX_PERMITS);
        Client {
            inner: builder.build(Connector::new(settings.roots)),
            requests: Arc::new(Semaphore::new(most)),
        }
    }

    /// Sends `request`, whose URI must have scheme and authority; the response's head, with
    /// its body still to come.
    ///
    /// # Errors
    /// `HttpRequestDenied` without a grant; else what went wrong on the way.
    pub async fn send(
        &self,
        grants: &NetGrants,
        mut request: http::Request<BoxBody>,
        options: RequestOptions,
    ) -> Result<http::Response<BoxBody>, ErrorCode> {
        let (host, port) = aim(&mut request)?;
        if !grants.check_http(&host, port) {
            return Err(ErrorCode::HttpRequestDenied);
        }
        let permit = self.requests.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ErrorCode::ConnectionLimitReached)?;
        let mut connecting = capture_connection(&mut request);
        let connected = async {
            connecting.wait_for_connection_metadata().await;
        };
        let mut exchange = pin!(self.inner.request(request));
        let response = tokio::select! {
            biased;
            response = &mut exchange => response,
            connected = timeout(span(options.connect_timeout), connected) => {
                connected.map_err(|_| ErrorCode::ConnectionTimeout)?;
                let first_byte = span(options.first_byte_timeout);
                let exchange = timeout(first_byte, exchange).await;
                exchange.map_err(|_| ErrorCode::ConnectionReadTimeout)?
            }
        };
        let between = span(options.between_bytes_timeout);
        Ok(response.map_err(error_code)?.map(|body| {
            BoxBody::new(Patient {
                body,
                between,
                sleep: Box::pin(tokio::time::sleep(between)),
                _permit: permit,
            })
        }))
    }
}

/// Checks where a request goes; host and port. What is before an `@` there is for nobody
/// else, and goes.
fn aim(request: &mut http::Request<BoxBody>) -> Result<(String, u16), ErrorCode> {
    let invalid = || ErrorCode::HttpRequestUriInvalid;
    let uri = request.uri_mut();
    let port = match uri.scheme() {
        None => return Err(invalid()),
        Some(scheme) if *scheme == Scheme::HTTP => 80,
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        Some(_) => return Err(ErrorCode::HttpProtocolError),
    };
    let authority = uri.authority().ok_or_else(invalid)?;
    if let Some((_, place)) = authority.as_str().rsplit_once('@') {
        let place = place.parse::<Authority>().map_err(|_| invalid())?;
        let mut parts = uri.clone().into_parts();
        parts.authority = Some(place);
        *uri = http::Uri::from_parts(parts).map_err(|_| invalid())?;
    }
    let authority = uri.authority().ok_or_else(invalid)?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    Ok((host, authority.port_u16().unwrap_or(port)))
}

/// Why an exchange failed: what the connector or a body of ours says, if one of them does.
fn error_code(error: legacy::Error) -> ErrorCode {
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        if let Some(code) = inner.downcast_ref::<ErrorCode>() {
            return code.clone();
        }
        if let Some(error) = inner.downcast_ref::<hyper::Error>() {
            return ErrorCode::of(error);
        }
        source = inner.source();
    }
    ErrorCode::HttpProtocolError
}

/// A body each piece of which must come within a time.
struct Patient {
    body: hyper::body::Incoming,
    between: Duration,
    sleep: Pin<Box<Sleep>>,
    /// Counts among the requests until it is gone.
    _permit: OwnedSemaphorePermit,
}

impl Body for Patient {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let next = Instant::now() + self.between.min(DEFAULT_TIMEOUT);
            self.sleep.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(ErrorCode::from)));
        }
        match self.sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(ErrorCode::ConnectionReadTimeout))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
