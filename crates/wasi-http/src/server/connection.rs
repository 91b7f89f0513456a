//! One connection: HTTP/1.1 or HTTP/2, whichever the client speaks, and its requests.

use super::app::Failure;
use super::{Shared, log, request_body};
use crate::host::body::{BoxBody, full};
use crate::host::error::ErrorCode;
use crate::host::message::{Scheme, content_length};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Serves a connection until it is closed, or until the server is to end and what runs is
/// done.
pub async fn run(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let _now = shared.metrics.connection();
    let service = {
        let shared = shared.clone();
        service_fn(move |request| {
            let shared = shared.clone();
            async move { Ok::<_, Infallible>(answer(&shared, request, peer).await) }
        })
    };
    let mut ending = shared.ending.subscribe();
    let version = tokio::select! {
        version = tokio::time::timeout(shared.limits.idle_time, version(&stream)) => version,
        _ = ending.wait_for(|ending| *ending) => return,
    };
    let builder = match version {
        Ok(Some(Version::Http1)) => builder(&shared).http1_only(),
        Ok(Some(Version::Http2)) => builder(&shared).http2_only(),
        // It said nothing, or went.
        Ok(None) | Err(_) => return,
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // A client that goes away or speaks no HTTP concerns nobody else.
        _ = connection.as_mut() => return,
        _ = ending.wait_for(|ending| *ending) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

enum Version {
    Http1,
    Http2,
}

/// What HTTP/2 connections begin with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which version a client's first bytes are of, without taking them; `None` where it goes
/// before that is known.
async fn version(stream: &TcpStream) -> Option<Version> {
    let mut seen = [0; PREFACE.len()];
    loop {
        let count = stream
            .peek(&mut seen)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        if seen.get(..count) != PREFACE.get(..count) {
            return Some(Version::Http1);
        }
        if count == PREFACE.len() {
            return Some(Version::Http2);
        }
        // A part of it: the rest is on its way, and `peek` would not wait for that.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Fields of a head that hyper lets pass unless told otherwise.
const HYPERS_HEADERS: usize = 100;

fn builder(shared: &Shared) -> Builder<TokioExecutor> {
    let limits = &shared.limits;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_time)
        .max_buf_size(limits.header_bytes.max(8 << 10));
    // Its own default is kept on the stack; any other costs an allocation for each request.
    if limits.headers != HYPERS_HEADERS {
        builder.http1().max_headers(limits.headers);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .keep_alive_interval(limits.idle_time)
        .keep_alive_timeout(limits.idle_time);
    builder
}

async fn answer(
    shared: &Arc<Shared>,
    request: http::Request<Incoming>,
    peer: SocketAddr,
) -> http::Response<BoxBody> {
    let began = Instant::now();
    let _now = shared.metrics.request();
    let line = shared.log.is_on().then(|| log::first_line(&request));
    let response = match admit(shared, request).await {
        Ok(response) => response,
        Err(failure) => refusal(shared, &failure),
    };
    let took = began.elapsed();
    let status = response.status().as_u16();
    shared.metrics.response(status, took);
    if let Some(line) = line {
        shared.log.line(peer, &line, status, took);
    }
    response
}

async fn admit(
    shared: &Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<http::Response<BoxBody>, Failure> {
    let limits = &shared.limits;
    let length = content_length(request.headers());
    if length.is_ok_and(|length| length.is_some_and(|l| l > limits.body_bytes)) {
        let code = ErrorCode::HttpRequestBodySize(Some(limits.body_bytes));
        return Err(Failure::Answered(code));
    }
    let (most, idle) = (limits.body_bytes, limits.idle_time);
    let request = request.map(|body| request_body::bounded(body, most, idle));
    // Closed by nobody; and a request that waits too long is better told so.
    let turn = tokio::time::timeout(limits.request_time, shared.requests.acquire());
    let Ok(Ok(_turn)) = turn.await else {
        return Err(Failure::TooBusy);
    };
    let app = shared
        .app
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let metrics = shared.metrics.clone();
    app.answer(request, Scheme::Http, limits.request_time, metrics)
        .await
}

/// What a client is told when there is no answer: little, as it is nobody's business.
fn refusal(shared: &Shared, failure: &Failure) -> http::Response<BoxBody> {
    let (status, text) = match failure {
        Failure::Trapped(error) => {
            shared.metrics.trap();
            eprintln!("helve: a guest trapped: {error:#}");
            (500, "the service failed\n")
        }
        Failure::Host(error) => {
            eprintln!("helve: a request failed: {error:#}");
            (500, "the service failed\n")
        }
        Failure::NoAnswer => {
            eprintln!("helve: a guest ended without an answer");
            (500, "the service gave no answer\n")
        }
        Failure::InstanceEnded => (500, "the service failed\n"),
        Failure::TimedOut => {
            shared.metrics.timeout();
            (504, "the service took too long\n")
        }
        Failure::TooBusy => (503, "the service is too busy\n"),
        Failure::Answered(ErrorCode::HttpRequestBodySize(_)) => (413, "the body is too large\n"),
        Failure::Answered(code) => {
            eprintln!("helve: a guest answered with an error: {code}");
            (500, "the service failed\n")
        }
    };
    let mut response = http::Response::new(full(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}
