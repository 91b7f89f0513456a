//! The access log: one line for each request, when its response's head is sent.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Where lines go; clones write to the same place.
#[derive(Clone, Default)]
pub struct AccessLog(Option<Arc<Mutex<Box<dyn Write + Send>>>>);

impl AccessLog {
    /// Lines go to `writer`, one write for each.
    pub fn to(writer: impl Write + Send + 'static) -> AccessLog {
        AccessLog(Some(Arc::new(Mutex::new(Box::new(writer)))))
    }

    /// No lines.
    pub fn off() -> AccessLog {
        AccessLog(None)
    }

    /// Whether there is anybody to write for.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Writes `TIME PEER "METHOD PATH VERSION" STATUS MILLISECONDS`, the time in seconds
    /// since 1970.
    pub(super) fn line(&self, peer: SocketAddr, request: &str, status: u16, took: Duration) {
        let Some(writer) = &self.0 else { return };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let line = format!(
            "{}.{:03} {} \"{request}\" {status} {:.3}\n",
            now.as_secs(),
            now.subsec_millis(),
            peer.ip(),
            took.as_secs_f64() * 1000.0,
        );
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written is no reason to serve nobody.
        let _ = writer.write_all(line.as_bytes());
    }
}

/// A request's first line, for the log: what is no plain letter is escaped, so that a
/// client cannot write lines of its own.
pub(super) fn first_line<B>(request: &http::Request<B>) -> String {
    let path = request.uri().path_and_query().map_or("", |p| p.as_str());
    let path: String = path.escape_default().collect();
    format!("{} {path} {:?}", request.method(), request.version())
}
