//! The client against servers in Rust: which connections are kept, whom it trusts, what it
//! says where something goes wrong.

use bytes::Bytes;
use helve_wasi::host::denied::Denials;
use helve_wasi::host::net::NetGrants;
use helve_wasi_http::host::body::{BoxBody, empty, full};
use helve_wasi_http::host::client::{Client, ClientSettings, Roots};
use helve_wasi_http::host::error::ErrorCode;
use helve_wasi_http::host::message::{RequestOptions, Scheme};
use helve_wasi_http::server::{
    AccessLog, Answering, App, Failure, Metrics, Server, ServerLimits, listen,
};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Answers with the request's body; `/never` never.
struct Echo;

impl App for Echo {
    fn answer(
        self: Arc<Self>,
        request: http::Request<BoxBody>,
        _: Scheme,
        _: Duration,
        _: Arc<Metrics>,
    ) -> Answering {
        Box::pin(async move {
            if request.uri().path() == "/never" {
                std::future::pending::<()>().await;
            }
            let body = request.into_body().collect().await;
            let body = body.map_err(Failure::Answered)?.to_bytes();
            Ok(http::Response::new(full(body)))
        })
    }
}

async fn serve() -> (Server, SocketAddr) {
    let server = Server::new(Arc::new(Echo), ServerLimits::default(), AccessLog::off());
    let (listener, address) = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    (server, address)
}

fn everywhere() -> NetGrants {
    NetGrants::new(vec!["http:*".parse().unwrap()], Denials::default())
}

fn post(uri: String) -> http::Request<BoxBody> {
    let body = full(Bytes::from_static(b"hello"));
    http::Request::post(uri).body(body).unwrap()
}

async fn send(client: &Client, uri: String) -> Result<Bytes, ErrorCode> {
    let options = RequestOptions::default();
    let response = client.send(&everywhere(), post(uri), options).await?;
    Ok(response.into_body().collect().await?.to_bytes())
}

#[tokio::test]
async fn connections_are_kept_as_long_as_the_settings_say() {
    for (idle, connections) in [(32, 1), (0, 5)] {
        let (server, address) = serve().await;
        let client = Client::new(ClientSettings {
            idle_per_host: idle,
            ..ClientSettings::default()
        });
        for _ in 0..5 {
            let body = send(&client, format!("http://user@{address}/")).await;
            assert_eq!(body, Ok(Bytes::from_static(b"hello")));
            // A connection is free once its task has seen so.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let text = server.metrics().text();
        let line = format!("helve_connections_total {connections}\n");
        assert!(text.contains(&line), "{idle}: {text}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_no_error() {
    let limits = ServerLimits {
        idle_time: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let server = Server::new(Arc::new(Echo), limits, AccessLog::off());
    let (listener, address) = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    tokio::spawn(async move { server.serve(listener).await });
    let client = Client::default();
    for _ in 0..4 {
        let body = send(&client, format!("http://{address}/")).await;
        assert_eq!(body, Ok(Bytes::from_static(b"hello")));
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test]
async fn requests_are_bounded_in_number() {
    let (_server, address) = serve().await;
    let client = Client::new(ClientSettings {
        requests: 1,
        ..ClientSettings::default()
    });
    let uri = format!("http://{address}/");
    let options = RequestOptions::default();
    let held = client.send(&everywhere(), post(uri.clone()), options).await;
    let refused = send(&client, uri.clone()).await;
    assert_eq!(refused, Err(ErrorCode::ConnectionLimitReached));
    drop(held.unwrap());
    assert!(send(&client, uri).await.is_ok());
}

#[tokio::test]
async fn what_goes_wrong_has_a_name() {
    let (_server, address) = serve().await;
    let client = Client::default();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = nobody.local_addr().unwrap();
    drop(nobody);
    let rows = [
        (format!("http://{gone}/"), ErrorCode::ConnectionRefused),
        (format!("ftp://{address}/"), ErrorCode::HttpProtocolError),
        // No TLS there.
        (format!("https://{address}/"), ErrorCode::TlsProtocolError),
    ];
    for (uri, code) in rows {
        assert_eq!(send(&client, uri.clone()).await, Err(code), "{uri}");
    }
    let denied = NetGrants::new(Vec::new(), Denials::default());
    let options = RequestOptions::default();
    let refused = client
        .send(&denied, post(format!("http://{address}/")), options)
        .await;
    assert_eq!(refused.err(), Some(ErrorCode::HttpRequestDenied));
    let impatient = RequestOptions {
        first_byte_timeout: Some(50_000_000),
        ..options
    };
    let never = post(format!("http://{address}/never"));
    let grants = everywhere();
    let late = client.send(&grants, never, impatient);
    assert_eq!(late.await.err(), Some(ErrorCode::ConnectionReadTimeout));
}

/// A server of one certificate, which speaks HTTP/2 where the client does.
async fn serve_tls(certified: rcgen::CertifiedKey<rcgen::KeyPair>) -> SocketAddr {
    let key = certified.signing_key.serialize_der();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let service = hyper::service::service_fn(|request| async move {
                let version = format!("{:?}", http::Request::version(&request));
                let _: &http::Request<hyper::body::Incoming> = &request;
                Ok::<_, std::convert::Infallible>(http::Response::new(full(version.into())))
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let serving = server.serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { drop(serving.await) });
        }
    });
    address
}

#[tokio::test]
async fn servers_are_trusted_whom_the_roots_vouch_for() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    std::fs::write(&file, certified.cert.pem()).unwrap();
    let address = serve_tls(certified).await;
    let client = |roots| {
        Client::new(ClientSettings {
            roots,
            ..ClientSettings::default()
        })
    };
    let uri = |host: &str| format!("https://{host}:{}/", address.port());
    let trusting = client(Roots::File(file));
    assert_eq!(
        send(&trusting, uri("localhost")).await,
        Ok("HTTP/2.0".into())
    );
    // Nobody vouches for this name.
    let wrong = send(&trusting, uri("127.0.0.1")).await;
    assert_eq!(wrong, Err(ErrorCode::TlsCertificateError));
    for roots in [Roots::Auto, Roots::Platform, Roots::Bundled] {
        let refused = send(&client(roots.clone()), uri("localhost")).await;
        assert_eq!(refused, Err(ErrorCode::TlsCertificateError), "{roots:?}");
    }
    let unreadable = send(&client(Roots::File("/missing".into())), uri("localhost")).await;
    assert!(matches!(unreadable, Err(ErrorCode::InternalError(Some(_)))));
}

#[tokio::test]
async fn an_empty_body_is_sent_as_none() {
    let (_server, address) = serve().await;
    let request = http::Request::get(format!("http://{address}/")).body(empty());
    let options = RequestOptions::default();
    let response = Client::default()
        .send(&everywhere(), request.unwrap(), options)
        .await;
    assert_eq!(
        response
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes(),
        ""
    );
}
