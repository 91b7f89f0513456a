//! Guests behind the server, with a real client: trailers both ways, requests that are
//! passed on, guests that compute without end.

mod common;

use bytes::Bytes;
use common::{Host, MEMORY, component, engine, linker, store};
use helve::Engine;
use helve::component::{Accessor, Component};
use helve_wasi::WasiCtx;
use helve_wasi_http::host::body::BoxBody;
use helve_wasi_http::host::message::Scheme;
use helve_wasi_http::p3::Service;
use helve_wasi_http::server::{
    AccessLog, App, ProxyApp, Server, ServerLimits, ServiceApp, Ticks, listen,
};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;

/// A proxy of 0.2 that waits for the request's trailers, then answers with a text and with
/// them.
const ECHO_2: &str = r#"
    (data (i32.const 16) "trailerx-checkhello")
    (func (export "wasi:http/incoming-handler@0.2.12#handle") (param $request i32) (param $out i32)
        (local $future i32) (local $it i32) (local $fields i32) (local $body i32)
        (call $types/incoming-request.consume (local.get $request) (i32.const 1024))
        (local.set $future (call $types/incoming-body.finish (i32.load (i32.const 1028))))
        (local.set $it (call $types/future-trailers.subscribe (local.get $future)))
        (call $poll/pollable.block (local.get $it))
        (call $drop/pollable (local.get $it))
        (call $types/future-trailers.get (local.get $future) (i32.const 2048))
        (local.set $fields (call $types/fields))
        (call $types/fields.append (local.get $fields)
            (i32.const 16) (i32.const 7) (i32.const 23) (i32.const 7) (i32.const 1024))
        (local.set $it (call $types/outgoing-response (local.get $fields)))
        (call $types/outgoing-response.body (local.get $it) (i32.const 1024))
        (local.set $body (i32.load (i32.const 1028)))
        (call $types/response-outparam.set (local.get $out) (i32.const 0) (local.get $it)
            (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (call $types/outgoing-body.write (local.get $body) (i32.const 1024))
        (local.set $it (i32.load (i32.const 1028)))
        (call $streams/output-stream.blocking-write-and-flush (local.get $it)
            (i32.const 30) (i32.const 5) (i32.const 1024))
        (call $drop/output-stream (local.get $it))
        (call $types/outgoing-body.finish (local.get $body)
            (i32.load8_u (i32.const 2072)) (i32.load (i32.const 2076)) (i32.const 1024)))"#;

const WORLD_2: &str = "
    import wasi:http/types@0.2.12;
    import wasi:io/poll@0.2.12;
    import wasi:io/streams@0.2.12;
    export wasi:http/incoming-handler@0.2.12;";

const WORLD_3: &str = "
    import wasi:http/types@0.3.0;
    export wasi:http/handler@0.3.0;";

/// What services of 0.3 need beside their imports.
const ASYNC: &str = r#"
    (import "wasi:http/types@0.3.0" "[future-new-0][static]request.consume-body"
        (func $new-future (result i64)))
    (import "[export]wasi:http/handler@0.3.0" "[task-return]handle"
        (func $return (param i32 i32 i32 i64 i32 i32 i32 i32)))"#;

/// A service of 0.3 whose response has the request's body and trailers, as they come.
const ECHO_3: &str = r#"
    (data (i32.const 16) "trailerx-check")
    (func (export "[async-lift]wasi:http/handler@0.3.0#handle") (param $request i32) (result i32)
        (local $fields i32)
        (call $types/request.consume-body (local.get $request)
            (i32.wrap_i64 (call $new-future)) (i32.const 1024))
        (local.set $fields (call $types/fields))
        (call $types/fields.append (local.get $fields)
            (i32.const 16) (i32.const 7) (i32.const 23) (i32.const 7) (i32.const 2048))
        (call $types/response.new (local.get $fields)
            (i32.const 1) (i32.load (i32.const 1024)) (i32.load (i32.const 1028)) (i32.const 1024))
        (call $return (i32.const 0) (i32.load (i32.const 1024)) (i32.const 0) (i64.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (i32.const 0))
    (func (export "[callback][async-lift]wasi:http/handler@0.3.0#handle")
        (param i32 i32 i32) (result i32) (unreachable))"#;

const TICKS: Ticks = Ticks {
    every: Duration::from_millis(10),
};

/// Moves an engine's epoch.
fn tick(engine: &Engine) {
    let engine = engine.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(TICKS.every);
            engine.increment_epoch();
        }
    });
}

/// Makes what each instance is granted.
type Grants = Box<dyn Fn() -> WasiCtx + Send + Sync>;

fn proxy(ctx: Grants, body: &str) -> Arc<dyn App> {
    let engine = engine();
    let bytes = component("0.2.12", WORLD_2, &format!("{MEMORY}{body}"));
    let component = Component::new(&engine, bytes).unwrap();
    let pre = linker(&engine).instantiate_pre(&component).unwrap();
    tick(&engine);
    let app = ProxyApp::new(pre, 1, move || Ok(store(&engine, ctx())));
    Arc::new(app.unwrap().ticks(TICKS))
}

fn service(ctx: Grants, world: &str, body: &str) -> Arc<dyn App> {
    let engine = engine();
    let bytes = component("0.3.0", world, &format!("{ASYNC}{MEMORY}{body}"));
    let component = Component::new(&engine, bytes).unwrap();
    let pre = linker(&engine).instantiate_pre(&component).unwrap();
    tick(&engine);
    Arc::new(ServiceApp::new(pre, 100, 4, move || Ok(store(&engine, ctx()))).ticks(TICKS))
}

fn nothing() -> Grants {
    Box::new(|| WasiCtx::builder().build())
}

async fn serve(app: Arc<dyn App>, limits: ServerLimits) -> SocketAddr {
    let server = Server::new(app, limits, AccessLog::off());
    let (listener, address) = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    tokio::spawn(async move { server.serve(listener).await });
    address
}

type Sent = UnsyncBoxBody<Bytes, Infallible>;

/// A body of two pieces and a trailer.
fn with_trailer(value: &'static str) -> Sent {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-check", HeaderValue::from_static(value));
    let frames = [
        Frame::data(Bytes::from_static(b"hel")),
        Frame::data(Bytes::from_static(b"lo")),
        Frame::trailers(trailers),
    ];
    UnsyncBoxBody::new(Frames(frames.into_iter()))
}

/// Frames as a body.
struct Frames<I>(I);

impl<I: Iterator<Item = Frame<Bytes>> + Unpin> Body for Frames<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

/// Sends a request; the response's status, body and trailers.
async fn ask(
    http2: bool,
    to: SocketAddr,
    request: http::Request<Sent>,
) -> (u16, Bytes, Option<HeaderMap>) {
    let io = TokioIo::new(TcpStream::connect(to).await.unwrap());
    let response = if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let status = response.status().as_u16();
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    (status, collected.to_bytes(), trailers)
}

fn request(uri: &str, host: &str, value: &'static str) -> http::Request<Sent> {
    http::Request::post(uri)
        .header("host", host)
        .header("te", "trailers")
        .header("trailer", "x-check")
        .body(with_trailer(value))
        .unwrap()
}

#[tokio::test]
async fn trailers_go_in_and_come_out() {
    for (version, app) in [
        ("0.2", proxy(nothing(), ECHO_2)),
        ("0.3", service(nothing(), WORLD_3, ECHO_3)),
    ] {
        let address = serve(app, ServerLimits::default()).await;
        for http2 in [false, true] {
            let uri = if http2 { "http://h/" } else { "/" };
            let (status, body, trailers) = ask(http2, address, request(uri, "h", "seen")).await;
            let said = format!("{version}, HTTP/2: {http2}");
            assert_eq!((status, &*body), (200, &b"hello"[..]), "{said}");
            let trailer = trailers.as_ref().and_then(|map| map.get("x-check"));
            assert_eq!(trailer, Some(&HeaderValue::from_static("seen")), "{said}");
            // None in, none out.
            let plain = http::Request::post(uri).header("host", "h");
            let plain = plain.body(UnsyncBoxBody::new(Full::new(Bytes::from_static(b"hello"))));
            let (status, body, trailers) = ask(http2, address, plain.unwrap()).await;
            assert_eq!(
                (status, &*body, trailers),
                (200, &b"hello"[..], None),
                "{said}"
            );
        }
    }
}

/// A service of 0.3 that passes its requests on, to where they say they were sent.
fn forward(by: &str) -> String {
    format!(
        r#"
    (func (export "[async-lift]wasi:http/handler@0.3.0#handle") (param $request i32) (result i32)
        (call ${by} (local.get $request) (i32.const 1024))
        (call $return (i32.load8_u (i32.const 1024)) (i32.load (i32.const 1032))
            (i32.const 0) (i64.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (i32.const 0))
    (func (export "[callback][async-lift]wasi:http/handler@0.3.0#handle")
        (param i32 i32 i32) (result i32) (unreachable))"#
    )
}

#[tokio::test]
async fn requests_are_passed_on_where_that_is_granted() {
    let last = serve(service(nothing(), WORLD_3, ECHO_3), ServerLimits::default()).await;
    let interfaces = [("client", "client/send"), ("handler", "handler/handle")];
    for (interface, function) in interfaces {
        let world = format!("{WORLD_3} import wasi:http/{interface}@0.3.0;");
        let body = forward(function);
        let rule = format!("http:{}:{}", last.ip(), last.port());
        let rule: helve_wasi::NetRule = rule.parse().unwrap();
        let granted: Grants = Box::new(move || WasiCtx::builder().net([rule.clone()]).build());
        let first = serve(service(granted, &world, &body), ServerLimits::default()).await;
        for http2 in [false, true] {
            let uri = if http2 {
                format!("http://{last}/")
            } else {
                "/".into()
            };
            let request = request(&uri, &last.to_string(), "far");
            let (status, body, trailers) = ask(http2, first, request).await;
            let said = format!("{interface}, HTTP/2: {http2}");
            assert_eq!((status, &*body), (200, &b"hello"[..]), "{said}");
            let trailer = trailers.as_ref().and_then(|map| map.get("x-check"));
            assert_eq!(trailer, Some(&HeaderValue::from_static("far")), "{said}");
        }
        let denied = Arc::new(Mutex::new(Vec::new()));
        let list = denied.clone();
        let nothing: Grants = Box::new(move || {
            let list = list.clone();
            let told = move |what: &helve_wasi::Denied| list.lock().unwrap().push(what.to_string());
            WasiCtx::builder().on_denied(told).build()
        });
        let first = serve(service(nothing, &world, &body), ServerLimits::default()).await;
        let (status, _, _) = ask(false, first, request("/", &last.to_string(), "far")).await;
        assert_eq!(status, 500);
        let expected = format!("use of the network: http:{}:{}", last.ip(), last.port());
        assert_eq!(*denied.lock().unwrap(), [expected]);
    }
}

/// Middleware before middleware before a service, all in one store.
#[tokio::test]
async fn middleware_is_put_before_a_service() {
    let engine = engine();
    let mut store = store(&engine, WasiCtx::builder().build());
    store.set_epoch_deadline(u64::MAX / 4);
    let compile = |world: &str, body: &str| {
        let bytes = component("0.3.0", world, &format!("{ASYNC}{MEMORY}{body}"));
        Component::new(&engine, bytes).unwrap()
    };
    let world = format!("{WORLD_3} import wasi:http/handler@0.3.0;");
    let middleware = compile(&world, &forward("handler/handle"));
    let instance = linker(&engine).instantiate(&mut store, &compile(WORLD_3, ECHO_3));
    let mut last = Service::new(&mut store, instance.unwrap()).unwrap();
    for _ in 0..2 {
        let mut linker = linker(&engine);
        assert!(last.add_to_linker(&mut linker).is_err());
        linker.allow_shadowing(true);
        last.add_to_linker(&mut linker).unwrap();
        let instance = linker.instantiate(&mut store, &middleware).unwrap();
        last = Service::new(&mut store, instance).unwrap();
    }
    let request = request("/", "h", "seen").map(|body| BoxBody::new(body.map_err(|e| match e {})));
    let answered = store.run_concurrent(async move |cx: &Accessor<Host>| {
        let answer = last.handle(cx, request, Scheme::Http).await.unwrap();
        answer.unwrap().into_body().collect().await.unwrap()
    });
    let collected = answered.await.unwrap();
    let trailer = collected.trailers().and_then(|map| map.get("x-check"));
    assert_eq!(trailer, Some(&HeaderValue::from_static("seen")));
    assert_eq!(&*collected.to_bytes(), b"hello");
}

const SPIN_2: &str = r#"
    (func (export "wasi:http/incoming-handler@0.2.12#handle") (param $request i32) (param i32)
        (call $types/incoming-request.path-with-query (local.get $request) (i32.const 1024))
        (loop $more (br_if $more (i32.gt_u (i32.load (i32.const 1032)) (i32.const 1)))))"#;

const SPIN_3: &str = r#"
    (func (export "[async-lift]wasi:http/handler@0.3.0#handle") (param $request i32) (result i32)
        (call $types/request.get-path-with-query (local.get $request) (i32.const 1024))
        (loop $more (br_if $more (i32.gt_u (i32.load (i32.const 1032)) (i32.const 1))))
        (call $return (i32.const 1) (i32.const 0) (i32.const 0) (i64.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (i32.const 0))
    (func (export "[callback][async-lift]wasi:http/handler@0.3.0#handle")
        (param i32 i32 i32) (result i32) (unreachable))"#;

/// `/` is answered, with an error, while others are computed for without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_compute_let_others_go_first() {
    for (version, app) in [
        ("0.2", proxy(nothing(), SPIN_2)),
        ("0.3", service(nothing(), WORLD_3, SPIN_3)),
    ] {
        let address = serve(app, ServerLimits::default()).await;
        let mut spinning = Vec::new();
        for _ in 0..5 {
            let request = request("/spin", "h", "x");
            spinning.push(tokio::spawn(ask(false, address, request)));
        }
        // Long enough for them to be at it, on a busy machine too.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for _ in 0..3 {
            let answer = ask(false, address, request("/", "h", "x"));
            let answer = tokio::time::timeout(Duration::from_secs(30), answer).await;
            assert_eq!(answer.expect(version).0, 500, "{version}");
        }
        assert!(spinning.iter().all(|task| !task.is_finished()), "{version}");
        spinning.iter().for_each(|task| task.abort());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_compute_for_too_long_are_ended() {
    let limits = ServerLimits {
        request_time: Duration::from_millis(300),
        ..ServerLimits::default()
    };
    for (version, app) in [
        ("0.2", proxy(nothing(), SPIN_2)),
        ("0.3", service(nothing(), WORLD_3, SPIN_3)),
    ] {
        let address = serve(app, limits.clone()).await;
        for _ in 0..3 {
            let (status, _, _) = ask(false, address, request("/spin", "h", "x")).await;
            assert_eq!(status, 504, "{version}");
        }
    }
}
