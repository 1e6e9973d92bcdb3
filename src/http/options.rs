//! The edge's limits. Must not know where a setting comes from, nor check it: the configuration
//! does both.

use std::time::Duration;

/// Limits of the HTTP edge: every queue, body and wait of it has one here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Open connections; one more is answered 503 and closed.
    pub max_connections: usize,
    /// Headers of one request; more are answered 431.
    pub max_headers: usize,
    /// Bytes of one request's head, at least 8 KiB; more are answered 431.
    pub max_header_bytes: usize,
    /// Bytes of a body, purchases and operators' requests excepted; more are answered 413.
    pub max_body_bytes: usize,
    /// Bytes of an operator's request: a sale may have 200 items with long titles. More
    /// are answered 413.
    pub max_admin_body_bytes: usize,
    /// Bytes of a purchase's body; more are answered 413.
    pub max_buy_body_bytes: usize,
    /// How long a client may take over the head of one request.
    pub header_timeout: Duration,
    /// How long a client may take over the body of one request.
    pub body_timeout: Duration,
    /// How long a client may leave a response unread.
    pub write_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// How long a request may take in all, purchases and streams excepted: purchases have the
    /// engine's own deadline.
    pub request_timeout: Duration,
    /// How long open requests may take to finish once the server drains.
    pub drain_timeout: Duration,
    /// Open streams of one HTTP/2 connection.
    pub max_http2_streams: u32,
    /// HTTP/2 streams that a client may open and reset before they are looked at.
    pub max_http2_resets: usize,
    /// Open server-sent event streams; one more is answered 503.
    pub max_event_streams: usize,
    /// Time between two comments that keep an event stream alive.
    pub event_heartbeat: Duration,
    /// Passwords hashed at the same time.
    pub max_password_hashes: usize,
    /// Log-ins and registrations that may wait for that; one more is answered 503.
    pub max_password_queue: usize,
    /// How long a token from a log-in is good, in seconds.
    pub token_lifetime_seconds: u64,
    /// Whether `pay` is the sandbox, which takes its outcome from the request and moves no money.
    pub sandbox_payments: bool,
    /// The longest delay that a sandbox payment can be told; below `request_timeout`.
    pub max_sandbox_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_headers: 64,
            max_header_bytes: 16 * 1024,
            max_body_bytes: 64 * 1024,
            max_admin_body_bytes: 1 << 20,
            max_buy_body_bytes: 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            request_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            max_http2_streams: 128,
            max_http2_resets: 20,
            max_event_streams: 4_096,
            event_heartbeat: Duration::from_secs(15),
            max_password_hashes: 2,
            max_password_queue: 64,
            token_lifetime_seconds: 3_600,
            sandbox_payments: true,
            max_sandbox_delay: Duration::from_secs(20),
        }
    }
}

impl Options {
    /// How long the body of a request to this path may be.
    pub fn body_bytes_max(&self, path: &str) -> usize {
        // Operators are known before their bodies are read.
        if path.starts_with("/api/v1/admin/") {
            self.max_admin_body_bytes
        } else {
            self.max_body_bytes
        }
    }
}
