//! Limits of the edge that are changed while the shop runs: each request goes by what they are when it comes.
//!
//! Must not know where they come from.

use super::options::Options;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Where providers call back.
const CALLBACKS: &str = "/api/v1/payments/callbacks/";
/// Bytes of one such call.
pub const CALLBACK_BYTES_MAX: usize = 16 * 1024;
/// Bytes of what a browser tells of a visit.
const VISIT_BYTES_MAX: usize = 256;

/// How large requests may be, and how many event streams are open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EdgeLimits {
    /// Bytes of a body, purchases and operators' requests excepted.
    pub body_bytes_max: usize,
    /// Bytes of an operator's request.
    pub admin_body_bytes_max: usize,
    /// Bytes of a picture that an operator sends.
    pub picture_bytes_max: usize,
    /// Bytes of a purchase's body.
    pub buy_body_bytes_max: usize,
    /// Open server-sent event streams.
    pub event_streams_max: usize,
    /// Open event streams of one buyer.
    pub event_streams_per_buyer_max: usize,
}

/// The limits as they are now.
#[derive(Debug)]
pub struct LiveOptions {
    body_bytes_max: AtomicUsize,
    admin_body_bytes_max: AtomicUsize,
    picture_bytes_max: AtomicUsize,
    buy_body_bytes_max: AtomicUsize,
    token_lifetime_seconds: AtomicU64,
    /// The longest lifetime of a token since the start.
    token_lifetime_seconds_max: AtomicU64,
    buy_token_lifetime_milliseconds: AtomicU64,
}

impl LiveOptions {
    /// The limits that the edge begins with.
    pub fn new(options: &Options) -> Self {
        let lifetime = options.token_lifetime_seconds;
        Self {
            body_bytes_max: options.body_bytes_max.into(),
            admin_body_bytes_max: options.admin_body_bytes_max.into(),
            picture_bytes_max: options.picture_bytes_max.into(),
            buy_body_bytes_max: options.buy_body_bytes_max.into(),
            token_lifetime_seconds: lifetime.into(),
            token_lifetime_seconds_max: lifetime.into(),
            buy_token_lifetime_milliseconds: milliseconds(options.buy_token_lifetime).into(),
        }
    }

    /// Changes how large requests may be.
    pub fn set_limits(&self, limits: &EdgeLimits) {
        self.body_bytes_max.store(limits.body_bytes_max, Relaxed);
        self.admin_body_bytes_max.store(limits.admin_body_bytes_max, Relaxed);
        self.picture_bytes_max.store(limits.picture_bytes_max, Relaxed);
        self.buy_body_bytes_max.store(limits.buy_body_bytes_max, Relaxed);
    }

    /// Changes how long a token is good that is made from now on, in seconds.
    pub fn set_token_lifetime(&self, seconds: u64) {
        self.token_lifetime_seconds_max.fetch_max(seconds, Relaxed);
        self.token_lifetime_seconds.store(seconds, Relaxed);
    }

    /// Changes how long a buy token buys that is made from now on.
    pub fn set_buy_token_lifetime(&self, lifetime: Duration) {
        self.buy_token_lifetime_milliseconds.store(milliseconds(lifetime), Relaxed);
    }

    /// How many bytes the body of a request has at most whose path says nothing else.
    pub fn body_bytes_max(&self) -> usize {
        self.body_bytes_max.load(Relaxed)
    }

    /// How many bytes the body of a request to this path may have.
    pub fn body_bytes_max_of(&self, path: &str) -> usize {
        // Operators are authenticated before their bodies are read.
        if path == "/api/v1/visits" {
            VISIT_BYTES_MAX
        } else if path.starts_with(CALLBACKS) {
            CALLBACK_BYTES_MAX
        } else if path == "/api/v1/admin/media" {
            self.picture_bytes_max()
        } else if path.starts_with("/console/sales/") {
            // A sale's form carries the pictures of its items.
            self.picture_bytes_max() + self.admin_body_bytes_max.load(Relaxed)
        } else if path.starts_with("/api/v1/admin/") || path.starts_with("/console/") {
            self.admin_body_bytes_max.load(Relaxed)
        } else {
            self.body_bytes_max()
        }
    }

    /// How many bytes a picture may have.
    pub fn picture_bytes_max(&self) -> usize {
        self.picture_bytes_max.load(Relaxed)
    }

    /// How many bytes the body of a purchase may have.
    #[inline]
    pub fn buy_body_bytes_max(&self) -> usize {
        self.buy_body_bytes_max.load(Relaxed)
    }

    /// How long a token from a log-in is good, in seconds.
    pub fn token_lifetime_seconds(&self) -> u64 {
        self.token_lifetime_seconds.load(Relaxed)
    }

    /// How long a token has been good at most since the start, in seconds.
    pub fn token_lifetime_seconds_max(&self) -> u64 {
        self.token_lifetime_seconds_max.load(Relaxed)
    }

    /// How long a buy token buys, in milliseconds.
    pub fn buy_token_lifetime_milliseconds(&self) -> u64 {
        self.buy_token_lifetime_milliseconds.load(Relaxed)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
