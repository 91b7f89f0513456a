//! The server against clients that are slow, silent, greedy, or gone: with an app in Rust,
//! so that only the server is looked at.

use bytes::Bytes;
use helve_wasi_http::host::body::{BoxBody, full};
use helve_wasi_http::host::message::Scheme;
use helve_wasi_http::server::{
    AccessLog, Answering, App, Failure, Metrics, Server, ServerLimits, listen,
};
use http_body_util::BodyExt as _;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Answers with the request's body; `/slow` after 300 ms, `/fail` not at all.
struct Echo;

impl App for Echo {
    fn answer(
        self: Arc<Self>,
        request: http::Request<BoxBody>,
        _: Scheme,
        time: Duration,
        _: Arc<Metrics>,
    ) -> Answering {
        Box::pin(async move {
            match request.uri().path() {
                "/slow" => tokio::time::sleep(Duration::from_millis(300)).await,
                "/late" => {
                    tokio::time::sleep(time).await;
                    return Err(Failure::TimedOut);
                }
                "/fail" => return Err(Failure::NoAnswer),
                _ => {}
            }
            let body = request.into_body().collect().await;
            let body = body.map_err(Failure::Answered)?.to_bytes();
            Ok(http::Response::new(full(body)))
        })
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Running {
    server: Server,
    address: SocketAddr,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
    lines: Lines,
}

async fn start(limits: ServerLimits) -> Running {
    let lines = Lines::default();
    let log = AccessLog::to(lines.clone());
    let server = Server::new(Arc::new(Echo), limits, log);
    let (listener, address) = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let task = {
        let server = server.clone();
        tokio::spawn(async move { server.serve(listener).await })
    };
    Running {
        server,
        address,
        task,
        lines,
    }
}

fn quick() -> ServerLimits {
    ServerLimits {
        header_bytes: 8 << 10,
        body_bytes: 1000,
        idle_time: Duration::from_millis(200),
        request_time: Duration::from_millis(500),
        ..ServerLimits::default()
    }
}

/// Sends `text`, and reads until the server has no more to say.
async fn exchange(address: SocketAddr, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    match tokio::time::timeout(Duration::from_secs(20), reading).await {
        Ok(Ok(_)) => {}
        Ok(Err(e)) if e.kind() == ErrorKind::ConnectionReset => {}
        Ok(Err(e)) => panic!("{e}"),
        Err(_) => panic!("the server neither answers nor closes"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn requests_and_their_statuses() {
    let running = start(quick()).await;
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    let many: String = (0..200).map(|i| format!("x{i}: 1\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\n{many}\r\n");
    let chunks = format!(
        "{}0\r\n\r\n",
        format!("1f4\r\n{}\r\n", "x".repeat(500)).repeat(3)
    );
    let chunked = format!(
        "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
    );
    let close = "host: h\r\nconnection: close\r\n";
    let rows: Vec<(String, &str)> = vec![
        (format!("GET / HTTP/1.1\r\n{close}\r\n"), "200"),
        (
            format!("POST / HTTP/1.1\r\n{close}content-length: 3\r\n\r\nabc"),
            "200",
        ),
        (format!("GET /fail HTTP/1.1\r\n{close}\r\n"), "500"),
        (format!("GET /late HTTP/1.1\r\n{close}\r\n"), "504"),
        (
            format!("POST / HTTP/1.1\r\n{close}content-length: 1001\r\n\r\n"),
            "413",
        ),
        (chunked, "413"),
        (long, "431"),
        (many, "431"),
        ("nonsense\r\n\r\n".into(), "400"),
    ];
    for (request, status) in rows {
        let answer = exchange(running.address, request.as_bytes()).await;
        let first = answer.lines().next().unwrap_or("").to_owned();
        let said: String = request.chars().take(60).collect();
        assert!(
            first.starts_with(&format!("HTTP/1.1 {status}")),
            "{said}: {answer}"
        );
    }
    let text = running.server.metrics().text();
    assert!(text.contains("helve_timeouts_total 1\n"), "{text}");
    let lines = running.lines.0.lock().unwrap().clone();
    let lines = String::from_utf8(lines).unwrap();
    assert!(lines.contains("\"GET /late HTTP/1.1\" 504 "), "{lines}");
}

#[tokio::test]
async fn clients_that_say_nothing_are_not_waited_for() {
    let running = start(quick()).await;
    for head in [
        "",
        "GET / HT",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc",
    ] {
        let began = Instant::now();
        exchange(running.address, head.as_bytes()).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{head}");
    }
    // One byte each while: the head as a whole has its time.
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let began = Instant::now();
    while stream.write_all(b"G").await.is_ok() && began.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn connections_are_kept_and_bounded() {
    let limits = ServerLimits {
        connections: 2,
        ..ServerLimits::default()
    };
    let running = start(limits).await;
    let request = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        for _ in 0..3 {
            stream.write_all(request).await.unwrap();
            let mut answer = [0; 17];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK\r\n");
            // The rest of the head, whatever it is.
            let mut rest = vec![0; 1000];
            let _ = stream.read(&mut rest).await.unwrap();
        }
        kept.push(stream);
    }
    let mut third = TcpStream::connect(running.address).await.unwrap();
    third.write_all(request).await.unwrap();
    let mut answer = [0; 1];
    let waiting = tokio::time::timeout(Duration::from_millis(200), third.read(&mut answer));
    assert!(waiting.await.is_err(), "a third connection was served");
    drop(kept);
    assert_eq!(third.read(&mut answer).await.unwrap(), 1);
}

#[tokio::test]
async fn the_end_waits_for_what_runs() {
    let running = start(ServerLimits::default()).await;
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: h\r\n\r\n")
        .await
        .unwrap();
    let idle = TcpStream::connect(running.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.server.end();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.task.await.unwrap().unwrap();
    drop(idle);
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_client_that_goes_takes_nobody_along() {
    let running = start(ServerLimits::default()).await;
    for text in [
        "GET /slow HTTP/1.1\r\nhost: h\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 99\r\n\r\nabc",
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        drop(stream);
    }
    let answer = exchange(
        running.address,
        b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
    );
    assert!(answer.await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn http2_frames_and_streams_are_bounded() {
    let running = start(quick()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // A frame of a megabyte, on stream 1.
    let frame = [0x10, 0, 0, 0, 0, 0, 0, 0, 1];
    let text: Vec<u8> = preface
        .iter()
        .chain(&settings)
        .chain(&frame)
        .copied()
        .collect();
    let answer = exchange(running.address, &text).await;
    assert!(!answer.is_empty(), "it says why it ends");

    let io = TcpStream::connect(running.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(io);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);
    for (size, status) in [(1000, 200), (1001, 413)] {
        let body = http_body_util::Full::new(Bytes::from(vec![b'x'; size]));
        let request = http::Request::post("http://h/").body(body).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{size}");
    }
    // The server asks a silent HTTP/2 client whether it is there; this one answers.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let request = http::Request::get("http://h/").body(http_body_util::Full::default());
    assert_eq!(
        sender
            .send_request(request.unwrap())
            .await
            .unwrap()
            .status(),
        200
    );
}

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Clients that keep a server busy for little: streams that are taken back at once, heads
/// that never end, a thousand settings. Each is shown out, and nobody else notices.
#[tokio::test]
async fn http2_clients_that_only_make_work_are_shown_out() {
    let running = start(ServerLimits::default()).await;
    // GET http://h/
    let head = [0x82, 0x86, 0x84, 0x41, 0x01, b'h'];
    let streams = (0..20_000u32).map(|i| 2 * i + 1);
    let resets = streams.flat_map(|stream| {
        let reset = frame(3, 0, stream, &[0, 0, 0, 8]);
        [frame(1, 5, stream, &head), reset].concat()
    });
    let endless = (0..2000).flat_map(|i| match i {
        0 => frame(1, 0, 1, &head),
        _ => frame(9, 0, 1, &[0x40, 0x01, b'x', 0x01, b'y'].repeat(3000)),
    });
    let pings = (0..200_000).flat_map(|_| frame(6, 0, 0, &[0; 8]));
    let floods: [(&str, Vec<u8>); 3] = [
        ("resets", resets.collect()),
        ("an endless head", endless.collect()),
        ("pings without reading", pings.collect()),
    ];
    for (name, flood) in floods {
        let stream = TcpStream::connect(running.address).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let flooding = async {
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
            writing.write_all(preface).await.unwrap();
            writing.write_all(&frame(4, 0, 0, &[])).await.unwrap();
            // It may be shown out before it has said all.
            let _ = writing.write_all(&flood).await;
            drop(writing);
        };
        let flooding = tokio::time::timeout(Duration::from_secs(20), flooding).await;
        let close = "host: h\r\nconnection: close\r\n";
        let get = format!("GET / HTTP/1.1\r\n{close}\r\n");
        let answer = exchange(running.address, get.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
        // Who does not read is not written to without end either.
        assert!(
            flooding.is_ok() || name.contains("without reading"),
            "{name}"
        );
        let mut said = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(20), reading.read_to_end(&mut said)).await;
        assert!(said.len() < 32 << 20, "{name}: {} bytes", said.len());
    }
}

#[tokio::test]
async fn an_app_is_replaced_while_requests_run() {
    struct Other;
    impl App for Other {
        fn answer(
            self: Arc<Self>,
            _: http::Request<BoxBody>,
            _: Scheme,
            _: Duration,
            _: Arc<Metrics>,
        ) -> Answering {
            Box::pin(async { Ok(http::Response::new(full(Bytes::from_static(b"other")))) })
        }
    }
    let running = start(ServerLimits::default()).await;
    let close = "host: h\r\nconnection: close\r\n";
    let slow = format!("POST /slow HTTP/1.1\r\n{close}content-length: 3\r\n\r\nold");
    let address = running.address;
    let first = tokio::spawn(async move { exchange(address, slow.as_bytes()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.server.replace(Arc::new(Other));
    let get = format!("GET / HTTP/1.1\r\n{close}\r\n");
    assert!(exchange(address, get.as_bytes()).await.ends_with("other"));
    assert!(first.await.unwrap().ends_with("old"));
}
