//! What a server counts, and its text form for Prometheus.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Upper ends of the buckets of response times, in microseconds.
const BUCKETS: [u64; 10] = [
    100, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000,
];

/// Counts since the server began.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By the first digit of the status: 1xx to 5xx.
    responses: [AtomicU64; 5],
    times: [AtomicU64; BUCKETS.len()],
    micros: AtomicU64,
    requests_now: AtomicU64,
    connections: AtomicU64,
    connections_now: AtomicU64,
    instances: AtomicU64,
    traps: AtomicU64,
    timeouts: AtomicU64,
    reloads: AtomicU64,
}

/// Counts something down when it is over.
pub(super) struct Now<'a>(&'a AtomicU64);

impl Drop for Now<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Metrics {
    pub(super) fn request(&self) -> Now<'_> {
        self.requests_now.fetch_add(1, Relaxed);
        Now(&self.requests_now)
    }

    pub(super) fn connection(&self) -> Now<'_> {
        self.connections.fetch_add(1, Relaxed);
        self.connections_now.fetch_add(1, Relaxed);
        Now(&self.connections_now)
    }

    pub(super) fn response(&self, status: u16, took: Duration) {
        let class = usize::from((status / 100).clamp(1, 5)) - 1;
        if let Some(count) = self.responses.get(class) {
            count.fetch_add(1, Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
        let bucket = BUCKETS.iter().position(|end| micros <= *end);
        if let Some(count) = bucket.and_then(|b| self.times.get(b)) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn instance(&self) {
        self.instances.fetch_add(1, Relaxed);
    }

    pub(super) fn trap(&self) {
        self.traps.fetch_add(1, Relaxed);
    }

    pub(super) fn timeout(&self) {
        self.timeouts.fetch_add(1, Relaxed);
    }

    pub(super) fn reloaded(&self) {
        self.reloads.fetch_add(1, Relaxed);
    }

    /// Instances that were made.
    pub fn instances(&self) -> u64 {
        self.instances.load(Relaxed)
    }

    /// In the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut total = 0;
        line(&mut text, "helve_http_responses_total", "counter");
        for (class, count) in (1..).zip(&self.responses) {
            let count = count.load(Relaxed);
            total += count;
            let _ = writeln!(
                text,
                "helve_http_responses_total{{code=\"{class}xx\"}} {count}"
            );
        }
        line(&mut text, "helve_http_response_seconds", "histogram");
        let mut below = 0;
        for (end, count) in BUCKETS.iter().zip(&self.times) {
            below += count.load(Relaxed);
            let seconds = *end as f64 / 1e6;
            let _ = writeln!(
                text,
                "helve_http_response_seconds_bucket{{le=\"{seconds}\"}} {below}"
            );
        }
        let seconds = self.micros.load(Relaxed) as f64 / 1e6;
        let _ = writeln!(
            text,
            "helve_http_response_seconds_bucket{{le=\"+Inf\"}} {total}\n\
             helve_http_response_seconds_sum {seconds}\n\
             helve_http_response_seconds_count {total}"
        );
        let rows = [
            ("helve_http_requests", "gauge", &self.requests_now),
            ("helve_connections_total", "counter", &self.connections),
            ("helve_connections", "gauge", &self.connections_now),
            ("helve_instances_total", "counter", &self.instances),
            ("helve_traps_total", "counter", &self.traps),
            ("helve_timeouts_total", "counter", &self.timeouts),
            ("helve_reloads_total", "counter", &self.reloads),
        ];
        for (name, kind, count) in rows {
            line(&mut text, name, kind);
            let _ = writeln!(text, "{name} {}", count.load(Relaxed));
        }
        text
    }
}

fn line(text: &mut String, name: &str, kind: &str) {
    let _ = writeln!(text, "# TYPE {name} {kind}");
}

/// Answers one request of whatever kind with the text, and closes.
pub(super) async fn answer(metrics: Arc<Metrics>, mut stream: TcpStream) {
    let mut head = [0; 1024];
    let reading = stream.read(&mut head);
    let read = tokio::time::timeout(Duration::from_secs(5), reading).await;
    if !matches!(read, Ok(Ok(1..))) {
        return;
    }
    let text = metrics.text();
    let response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    let _ = stream.write_all(response.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_what_was_counted() {
        let metrics = Metrics::default();
        metrics.response(200, Duration::from_micros(50));
        metrics.response(503, Duration::from_secs(100));
        let running = metrics.request();
        let text = metrics.text();
        for expected in [
            "helve_http_responses_total{code=\"2xx\"} 1\n",
            "helve_http_responses_total{code=\"5xx\"} 1\n",
            "helve_http_response_seconds_bucket{le=\"0.0001\"} 1\n",
            "helve_http_response_seconds_bucket{le=\"10\"} 1\n",
            "helve_http_response_seconds_bucket{le=\"+Inf\"} 2\n",
            "helve_http_requests 1\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        drop(running);
        assert!(metrics.text().contains("helve_http_requests 0\n"));
    }
}
