//! The HTTP client: one connection for each request, checked against the grants.
//!
//! ```text
//!   check authority -> look up -> connect (first address that answers) -> TLS -> send
//!                                 connect_timeout                  first_byte_timeout
//! ```

use super::body::BoxBody;
use super::error::{DnsErrorPayload, ErrorCode};
use super::message::RequestOptions;
use bytes::Bytes;
use helve_wasi::host::net::NetGrants;
use http::uri::Scheme;
use http_body::{Body, Frame};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout};

/// Where a guest's option says nothing.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

fn span(nanos: Option<u64>) -> Duration {
    nanos.map_or(DEFAULT_TIMEOUT, Duration::from_nanos)
}

/// Sends `request`, whose URI must have scheme and authority; the response's head, with its
/// body still to come.
///
/// # Errors
/// `HttpRequestDenied` without a grant; else what went wrong on the way.
pub async fn send(
    grants: NetGrants,
    mut request: http::Request<BoxBody>,
    options: RequestOptions,
) -> Result<http::Response<BoxBody>, ErrorCode> {
    let uri = request.uri().clone();
    let tls = match uri.scheme() {
        None => return Err(ErrorCode::HttpRequestUriInvalid),
        Some(scheme) if *scheme == Scheme::HTTP => false,
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(_) => return Err(ErrorCode::HttpProtocolError),
    };
    let authority = uri.authority().ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    if !grants.check_http(&host, port) {
        return Err(ErrorCode::HttpRequestDenied);
    }
    // Without the user part, which is for nobody else.
    let field = match authority.as_str().rsplit_once('@') {
        Some((_, field)) => field,
        None => authority.as_str(),
    };
    let field = http::HeaderValue::from_str(field).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let connecting = connect(&grants, &host, port);
    let tcp = timeout(span(options.connect_timeout), connecting)
        .await
        .map_err(|_| ErrorCode::ConnectionTimeout)??;
    let first_byte = span(options.first_byte_timeout);
    let exchange = async {
        if tls {
            let (stream, http2) = encrypt(tcp, &host).await?;
            if http2 {
                return http2_exchange(stream, request).await;
            }
            prepare(&mut request, field);
            http1_exchange(stream, request).await
        } else {
            prepare(&mut request, field);
            http1_exchange(tcp, request).await
        }
    };
    let response = timeout(first_byte, exchange)
        .await
        .map_err(|_| ErrorCode::ConnectionReadTimeout)??;
    let between = span(options.between_bytes_timeout);
    Ok(response.map(|body| {
        BoxBody::new(Patient {
            body,
            between,
            sleep: Box::pin(tokio::time::sleep(between)),
        })
    }))
}

/// What HTTP/1.1 wants: a host field, and a target without scheme and authority.
fn prepare(request: &mut http::Request<BoxBody>, host: http::HeaderValue) {
    request.headers_mut().insert(http::header::HOST, host);
    let path = request.uri().path_and_query().cloned();
    let path = path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    *request.uri_mut() = http::Uri::from(path);
}

async fn connect(grants: &NetGrants, host: &str, port: u16) -> Result<TcpStream, ErrorCode> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![(ip, port).into()],
        Err(_) => {
            let found = tokio::net::lookup_host((host, port)).await;
            let found: Vec<SocketAddr> = found.map_err(|e| dns_error(&e))?.collect();
            let ips: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
            grants.remember(host, &ips);
            found
        }
    };
    let mut last = ErrorCode::DestinationNotFound;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(e) => last = connect_error(&e),
        }
    }
    Err(last)
}

fn dns_error(error: &std::io::Error) -> ErrorCode {
    ErrorCode::DnsError(DnsErrorPayload {
        rcode: Some(error.to_string()),
        info_code: None,
    })
}

fn connect_error(error: &std::io::Error) -> ErrorCode {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            ErrorCode::DestinationIpUnroutable
        }
        _ => ErrorCode::DestinationUnavailable,
    }
}

/// Trust in what the bundled list of authorities signs.
static TLS: LazyLock<Result<Arc<rustls::ClientConfig>, rustls::Error>> = LazyLock::new(|| {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
});

/// The stream in TLS, and whether the other side speaks HTTP/2.
async fn encrypt(
    tcp: TcpStream,
    host: &str,
) -> Result<(tokio_rustls::client::TlsStream<TcpStream>, bool), ErrorCode> {
    let config = TLS.as_ref().map_err(ErrorCode::internal)?;
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())
        .map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let connector = tokio_rustls::TlsConnector::from(config.clone());
    let stream = connector.connect(name, tcp).await.map_err(|e| {
        let inner = e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(_)) => ErrorCode::TlsCertificateError,
            _ => ErrorCode::TlsProtocolError,
        }
    })?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((stream, http2))
}

async fn http1_exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: http::Request<BoxBody>,
) -> Result<http::Response<BoxBody>, ErrorCode> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ErrorCode::from)?;
    let driver = Driver(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let response = sender
        .send_request(request)
        .await
        .map_err(ErrorCode::from)?;
    Ok(response.map(|body| driver.keep(body)))
}

async fn http2_exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: http::Request<BoxBody>,
) -> Result<http::Response<BoxBody>, ErrorCode> {
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .map_err(ErrorCode::from)?;
    let driver = Driver(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let response = sender
        .send_request(request)
        .await
        .map_err(ErrorCode::from)?;
    Ok(response.map(|body| driver.keep(body)))
}

/// The task that moves a connection's bytes; it ends with whoever wants them.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Driver {
    fn keep(self, body: hyper::body::Incoming) -> BoxBody {
        BoxBody::new(Driven {
            body,
            _driver: self,
        })
    }
}

/// A response's body, with the task that its bytes come by.
struct Driven {
    body: hyper::body::Incoming,
    _driver: Driver,
}

impl Body for Driven {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(ErrorCode::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// A body each piece of which must come within a time.
struct Patient {
    body: BoxBody,
    between: Duration,
    sleep: Pin<Box<Sleep>>,
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
            return Poll::Ready(frame);
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
