//! Every bound on what clients and guests may take of a server, with its default.

use std::time::Duration;

/// Upper bounds of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Requests that guests answer at a time; later ones wait (default 1000).
    pub requests: usize,
    /// Open connections; later ones wait to be accepted (default 10,000).
    pub connections: usize,
    /// Bytes of a request's head (default 64 KiB; at least 8 KiB).
    pub header_bytes: usize,
    /// Fields of a request's head (default 100).
    pub headers: usize,
    /// Bytes of a request's body (default 1 GiB).
    pub body_bytes: u64,
    /// From the head's arrival until the guest is done with the request (default 60 s).
    pub request_time: Duration,
    /// Until a connection's next head has arrived, and between two pieces of a body
    /// (default 30 s).
    pub idle_time: Duration,
    /// Streams of one HTTP/2 connection at a time (default 100).
    pub streams: u32,
    /// For requests that run when the server is to end (default 30 s).
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> ServerLimits {
        ServerLimits {
            requests: 1000,
            connections: 10_000,
            header_bytes: 64 << 10,
            headers: 100,
            body_bytes: 1 << 30,
            request_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(30),
            streams: 100,
            grace: Duration::from_secs(30),
        }
    }
}
