//! From a URI to a connection: look up, connect (the first address that answers), TLS.
//!
//! Not here: which connections are kept (`client.rs`), and who may reach what (there too).

use super::error::{DnsErrorPayload, ErrorCode};
use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::future::Future;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Whose signature under a server's certificate counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Whom the platform trusts; where it names nobody, the bundled list.
    #[default]
    Auto,
    /// Whom the platform trusts, and nobody else.
    Platform,
    /// The list that browsers have, as it was when Helve was built.
    Bundled,
    /// The certificates of this file, in PEM, and nobody else.
    File(PathBuf),
}

impl Roots {
    fn store(&self) -> Result<RootCertStore, ErrorCode> {
        let mut store = RootCertStore::empty();
        if let Roots::File(path) = self {
            let unreadable =
                |e| ErrorCode::internal(format_args!("`{}` is unreadable: {e:?}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                let added = store.add(certificate.map_err(unreadable)?);
                added.map_err(ErrorCode::internal)?;
            }
            return Ok(store);
        }
        if *self != Roots::Bundled {
            // One that cannot be read or understood is one whom nobody trusts.
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
        }
        if *self == Roots::Bundled || (*self == Roots::Auto && store.is_empty()) {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Ok(store)
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    roots: Roots,
    /// Made when it is first needed: reading the platform's list takes a while.
    tls: OnceLock<Result<Arc<rustls::ClientConfig>, ErrorCode>>,
}

impl Connector {
    pub fn new(roots: Roots) -> Connector {
        Connector(Arc::new(Inner {
            roots,
            tls: OnceLock::new(),
        }))
    }

    async fn connect(self, uri: Uri) -> Result<Stream, ErrorCode> {
        let authority = uri.authority().ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let tcp = connect(&host, port).await?;
        if tls {
            let stream = self.encrypt(tcp, host).await?;
            Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
        } else {
            Ok(Stream::Plain(TokioIo::new(tcp)))
        }
    }

    async fn encrypt(
        &self,
        tcp: TcpStream,
        host: String,
    ) -> Result<TlsStream<TcpStream>, ErrorCode> {
        let config = self.0.tls.get_or_init(|| config(&self.0.roots)).clone()?;
        let name = rustls::pki_types::ServerName::try_from(host)
            .map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        let connector = tokio_rustls::TlsConnector::from(config);
        connector.connect(name, tcp).await.map_err(|e| {
            let inner = e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
            match inner {
                Some(rustls::Error::InvalidCertificate(_)) => ErrorCode::TlsCertificateError,
                _ => ErrorCode::TlsProtocolError,
            }
        })
    }
}

fn config(roots: &Roots) -> Result<Arc<rustls::ClientConfig>, ErrorCode> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ErrorCode::internal)?;
    let builder = builder.with_root_certificates(roots.store()?);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ErrorCode;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ErrorCode>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorCode>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, ErrorCode> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![(ip, port).into()],
        Err(_) => {
            let found = tokio::net::lookup_host((host, port)).await;
            found.map_err(|e| dns_error(&e))?.collect()
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

/// A connection, in TLS or not.
pub(super) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let http2 = match self {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.inner().get_ref().1.alpn_protocol() == Some(b"h2"),
        };
        match http2 {
            true => Connected::new().negotiated_h2(),
            false => Connected::new(),
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, to),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, to),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }
}
