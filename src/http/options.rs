//! The edge's settings and their bounds. Must not know where a setting comes from.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// Settings of the HTTP edge: every queue, body and wait of it has a limit here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Address and port to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Open connections; one more is answered 503 and closed.
    pub connections_max: usize,
    /// How long a client may take over the head of one request.
    pub header_timeout_milliseconds: u64,
    /// How long a client may take over the body of one request.
    pub body_timeout_milliseconds: u64,
    /// How long a client may leave a response unread.
    pub write_timeout_milliseconds: u64,
    /// How long a connection may stay open without a request.
    pub idle_timeout_milliseconds: u64,
    /// How long a request may take in all, purchases and streams excepted: purchases have the
    /// engine's own deadline.
    pub request_timeout_milliseconds: u64,
    /// How long open requests may take to finish once the server drains.
    pub drain_timeout_milliseconds: u64,
    /// Headers of one request; more are answered 431.
    pub headers_max: usize,
    /// Bytes of one request's head; more are answered 431.
    pub header_bytes_max: usize,
    /// Bytes of a body, purchases excepted; more are answered 413.
    pub body_bytes_max: usize,
    /// Bytes of a purchase's body; more are answered 413.
    pub buy_body_bytes_max: usize,
    /// Open streams of one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// HTTP/2 streams that a client may open and reset before they are looked at.
    pub http2_pending_resets_max: usize,
    /// Open server-sent event streams; one more is answered 503.
    pub event_streams_max: usize,
    /// Time between two comments that keep an event stream alive.
    pub event_heartbeat_milliseconds: u64,
    /// Passwords hashed at the same time.
    pub password_hashes_max: usize,
    /// Log-ins and registrations that may wait for that; one more is answered 503.
    pub password_queue_max: usize,
    /// How long a token from a log-in is good.
    pub token_lifetime_seconds: u64,
    /// Whether `pay` is the sandbox that takes its outcome from the request.
    pub sandbox_payments: bool,
    /// The longest delay that a sandbox payment can be told.
    pub sandbox_delay_milliseconds_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            connections_max: 16_384,
            header_timeout_milliseconds: 10_000,
            body_timeout_milliseconds: 10_000,
            write_timeout_milliseconds: 15_000,
            idle_timeout_milliseconds: 75_000,
            request_timeout_milliseconds: 30_000,
            drain_timeout_milliseconds: 10_000,
            headers_max: 64,
            header_bytes_max: 16 * 1024,
            body_bytes_max: 64 * 1024,
            buy_body_bytes_max: 1024,
            http2_streams_max: 128,
            http2_pending_resets_max: 20,
            event_streams_max: 4_096,
            event_heartbeat_milliseconds: 15_000,
            password_hashes_max: 2,
            password_queue_max: 64,
            token_lifetime_seconds: 12 * 3600,
            sandbox_payments: true,
            sandbox_delay_milliseconds_max: 20_000,
        }
    }
}

impl Options {
    /// What is wrong with the settings, one sentence each that begins with the field's name.
    pub fn faults(&self) -> Vec<String> {
        /// hyper's own bounds: a read buffer below 8 KiB panics, and it takes 100 headers at most.
        const HEADER_BYTES: std::ops::RangeInclusive<u64> = 8 * 1024..=1024 * 1024;
        const DAY: u64 = 24 * 3600 * 1000;
        let bounds = [
            ("connections_max", self.connections_max as u64, 1..=1_000_000),
            ("header_timeout_milliseconds", self.header_timeout_milliseconds, 10..=DAY),
            ("body_timeout_milliseconds", self.body_timeout_milliseconds, 10..=DAY),
            ("write_timeout_milliseconds", self.write_timeout_milliseconds, 10..=DAY),
            ("idle_timeout_milliseconds", self.idle_timeout_milliseconds, 10..=DAY),
            ("request_timeout_milliseconds", self.request_timeout_milliseconds, 10..=DAY),
            ("drain_timeout_milliseconds", self.drain_timeout_milliseconds, 0..=DAY),
            ("headers_max", self.headers_max as u64, 8..=100),
            ("header_bytes_max", self.header_bytes_max as u64, HEADER_BYTES),
            ("body_bytes_max", self.body_bytes_max as u64, 1024..=16 * 1024 * 1024),
            ("buy_body_bytes_max", self.buy_body_bytes_max as u64, 64..=64 * 1024),
            ("http2_streams_max", u64::from(self.http2_streams_max), 1..=10_000),
            ("http2_pending_resets_max", self.http2_pending_resets_max as u64, 1..=10_000),
            ("event_streams_max", self.event_streams_max as u64, 0..=1_000_000),
            ("event_heartbeat_milliseconds", self.event_heartbeat_milliseconds, 100..=DAY),
            ("password_hashes_max", self.password_hashes_max as u64, 1..=256),
            ("password_queue_max", self.password_queue_max as u64, 1..=100_000),
            ("token_lifetime_seconds", self.token_lifetime_seconds, 1..=30 * 24 * 3600),
            ("sandbox_delay_milliseconds_max", self.sandbox_delay_milliseconds_max, 0..=DAY),
        ];
        let mut faults: Vec<String> = bounds
            .into_iter()
            .filter(|(_, value, range)| !range.contains(value))
            .map(|(name, value, range)| {
                format!("{name} is {value}, and must be {} to {}", range.start(), range.end())
            })
            .collect();
        if self.sandbox_delay_milliseconds_max >= self.request_timeout_milliseconds {
            faults.push(
                "sandbox_delay_milliseconds_max must be below request_timeout_milliseconds"
                    .to_owned(),
            );
        }
        faults
    }

    pub(super) fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_milliseconds)
    }

    pub(super) fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_milliseconds)
    }

    pub(super) fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_milliseconds)
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_milliseconds)
    }

    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_milliseconds)
    }

    pub(super) fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_bounds() {
        assert_eq!(Options::default().faults(), Vec::<String>::new());
    }

    #[test]
    fn faults_name_the_field() {
        let options = Options { headers_max: 0, connections_max: 0, ..Options::default() };
        let faults = options.faults();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("connections_max is 0"), "{faults:?}");
    }
}
