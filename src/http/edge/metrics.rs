//! What the edge counts: plain atomics, because looking a counter up in a registry would slow each
//! purchase.
//!
//! They are rendered in Prometheus text form, in front of the metrics of the process's recorder. No
//! label ever holds a user, an order or a request.

use super::connection::Stall;
use super::connections::Refused;
use super::funnels::Funnels;
use super::payments::PaymentCounters;
use crate::http::problem::Code;
use crate::telemetry::metrics::{
    GRPC_REQUESTS_TOTAL, HTTP_CONNECTIONS, HTTP_CONNECTIONS_ACCEPTED_TOTAL,
    HTTP_CONNECTIONS_REFUSED_TOTAL, HTTP_EVENT_STREAMS, HTTP_PROBLEMS_TOTAL,
    HTTP_REQUEST_DURATION_SECONDS, HTTP_REQUESTS_IN_FLIGHT, HTTP_REQUESTS_TOTAL, HTTP_UNREAD_BYTES,
    PURCHASES_TOTAL,
};
use crate::telemetry::quantiles::Counts;
use crate::telemetry::text::{Histogram, header};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The first so many purchases are timed one by one, so that a small sale's figures are not empty.
const PURCHASES_TIMED_FIRST: u64 = 1_024;

/// After them one purchase in this many is timed, and is counted as this many.
const PURCHASE_SAMPLE: u64 = 16;

/// The codes of gRPC by their numbers, in the words of labels.
const GRPC_CODES: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// What the edge has counted at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EdgeTotals {
    /// Purchases that got a new order.
    pub placed: u64,
    /// Purchases that got the order that they had got before.
    pub replayed: u64,
    /// Purchases that were refused, by the number of the code; empty before anything was counted.
    pub refused: Vec<u64>,
    /// Challenges that were given out.
    pub challenges: u64,
    /// Buy tokens that were given out.
    pub tokens: u64,
    /// Requests for a challenge or a buy token that were refused.
    pub tokens_refused: u64,
    /// Other requests that were answered.
    pub others: u64,
    /// Connections that are open.
    pub connections: u64,
    /// How long purchases took, in microseconds, by a sample of them.
    pub durations: Counts,
}

/// The counters of the edge.
#[derive(Debug)]
pub struct EdgeMetrics {
    placed: AtomicU64,
    replayed: AtomicU64,
    refused: [AtomicU64; Code::ALL.len()],
    challenges: AtomicU64,
    tokens: AtomicU64,
    tokens_refused: AtomicU64,
    purchases_timed_first: AtomicU64,
    purchase_duration: Histogram,
    /// Answers to other requests by class of status, from 1xx on.
    others: [AtomicU64; 5],
    other_duration: Histogram,
    /// Answers to calls of gRPC by the number of their code.
    calls: [AtomicU64; GRPC_CODES.len()],
    /// Problems that were answered to them.
    problems: [AtomicU64; Code::ALL.len()],
    connections: AtomicU64,
    connections_accepted: AtomicU64,
    turned_away: [AtomicU64; Refused::ALL.len()],
    stalled: [AtomicU64; 3],
    /// What became of payments.
    pub payments: PaymentCounters,
    /// What became of the purchases of the items that are watched.
    pub funnels: Funnels,
    /// Requests whose head arrived and whose answer has not been made.
    pub in_flight: AtomicU64,
}

impl Default for EdgeMetrics {
    fn default() -> Self {
        Self {
            placed: AtomicU64::default(),
            replayed: AtomicU64::default(),
            refused: std::array::from_fn(|_| AtomicU64::default()),
            challenges: AtomicU64::default(),
            tokens: AtomicU64::default(),
            tokens_refused: AtomicU64::default(),
            purchases_timed_first: AtomicU64::default(),
            purchase_duration: Histogram::of_durations(),
            others: Default::default(),
            other_duration: Histogram::of_durations(),
            calls: Default::default(),
            problems: std::array::from_fn(|_| AtomicU64::default()),
            connections: AtomicU64::default(),
            connections_accepted: AtomicU64::default(),
            turned_away: Default::default(),
            stalled: Default::default(),
            payments: PaymentCounters::default(),
            funnels: Funnels::default(),
            in_flight: AtomicU64::default(),
        }
    }
}

impl EdgeMetrics {
    /// Counts a purchase that was answered with an order: a new one, or the one it got before.
    pub fn purchased(&self, replayed: bool) {
        let counter = if replayed { &self.replayed } else { &self.placed };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts a purchase that was answered with a problem.
    pub fn refused(&self, code: Code) {
        self.refused[code as usize].fetch_add(1, Relaxed);
    }

    /// Counts a request for a challenge by what became of it.
    pub fn challenged(&self, is_given: bool) {
        let counter = if is_given { &self.challenges } else { &self.tokens_refused };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts a request for a buy token by what became of it.
    pub fn token_asked(&self, is_given: bool) {
        let counter = if is_given { &self.tokens } else { &self.tokens_refused };
        counter.fetch_add(1, Relaxed);
    }

    /// How often the duration of the purchase of this number is counted; none if it is not timed.
    pub fn purchase_weight(&self, number: u64) -> Option<u64> {
        let first = &self.purchases_timed_first;
        if first.load(Relaxed) < PURCHASES_TIMED_FIRST
            && first.fetch_add(1, Relaxed) < PURCHASES_TIMED_FIRST
        {
            return Some(1);
        }
        number.is_multiple_of(PURCHASE_SAMPLE).then_some(PURCHASE_SAMPLE)
    }

    /// Counts the duration of a purchase that was picked for timing, with its weight.
    pub fn purchase_took(&self, duration: Duration, weight: u64) {
        self.purchase_duration.observe(duration, weight);
    }

    /// Counts a request other than a purchase, by its status and duration.
    pub fn answered(&self, status: u16, duration: Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.others[class].fetch_add(1, Relaxed);
        self.other_duration.observe(duration, 1);
    }

    /// Counts a call over gRPC by the number of its code, of which one that is none counts nowhere.
    pub fn grpc_answered(&self, code: usize) {
        if let Some(counter) = self.calls.get(code) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Counts a request other than a purchase that was answered with a problem.
    pub fn problem(&self, code: Code) {
        self.problems[code as usize].fetch_add(1, Relaxed);
    }

    /// Counts a connection that was accepted.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
        self.connections_accepted.fetch_add(1, Relaxed);
    }

    /// Counts a connection that was closed.
    pub fn disconnected(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// Counts a connection that was refused.
    pub fn turned_away(&self, refused: Refused) {
        self.turned_away[refused as usize].fetch_add(1, Relaxed);
    }

    /// Counts a connection that was closed because it made no progress.
    pub fn stalled(&self, stall: Stall) {
        self.stalled[stall as usize].fetch_add(1, Relaxed);
    }

    /// What was counted since the start, for those who look each second.
    pub fn totals(&self) -> EdgeTotals {
        let all =
            |counters: &[AtomicU64]| counters.iter().map(|count| count.load(Relaxed)).collect();
        EdgeTotals {
            placed: self.placed.load(Relaxed),
            replayed: self.replayed.load(Relaxed),
            refused: all(&self.refused),
            challenges: self.challenges.load(Relaxed),
            tokens: self.tokens.load(Relaxed),
            tokens_refused: self.tokens_refused.load(Relaxed),
            others: self.others.iter().map(|count| count.load(Relaxed)).sum(),
            connections: self.connections.load(Relaxed),
            durations: self.purchase_duration.fine().counts(),
        }
    }

    /// Renders all counters in Prometheus text form, and how many bytes are unread and event streams are
    /// open.
    pub fn render(&self, unread_bytes: usize, event_streams: usize) -> String {
        let mut out = String::with_capacity(16 * 1024);
        self.render_purchases(&mut out);
        self.payments.render(&mut out);
        self.render_requests(&mut out);
        self.render_connections(&mut out);
        for (name, value) in
            [(HTTP_UNREAD_BYTES, unread_bytes), (HTTP_EVENT_STREAMS, event_streams)]
        {
            header(&mut out, name);
            let _ = writeln!(out, "{name} {value}");
        }
        out
    }

    fn render_purchases(&self, out: &mut String) {
        let name = PURCHASES_TOTAL;
        header(out, name);
        for (outcome, counter) in [("placed", &self.placed), ("replayed", &self.replayed)] {
            sample(out, name, &format!("outcome=\"{outcome}\""), counter);
        }
        for (code, counter) in Code::ALL.iter().zip(&self.refused) {
            sample(out, name, &format!("outcome=\"{}\"", code.name()), counter);
        }
    }

    /// Answers to purchases by class of status, from 1xx on.
    fn purchases_by_class(&self) -> [u64; 5] {
        let mut classes = [0; 5];
        classes[1] = self.placed.load(Relaxed) + self.replayed.load(Relaxed);
        for (code, counter) in Code::ALL.iter().zip(&self.refused) {
            classes[usize::from(code.status().as_u16() / 100).clamp(1, 5) - 1] +=
                counter.load(Relaxed);
        }
        classes
    }

    fn render_requests(&self, out: &mut String) {
        let name = HTTP_REQUESTS_TOTAL;
        header(out, name);
        for (class, count) in self.purchases_by_class().iter().enumerate().skip(1) {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name}{{route=\"buy\",status=\"{}xx\"}} {count}", class + 1);
        }
        for (class, counter) in self.others.iter().enumerate().skip(1) {
            sample(out, name, &format!("route=\"other\",status=\"{}xx\"", class + 1), counter);
        }
        let name = GRPC_REQUESTS_TOTAL;
        header(out, name);
        for (code, counter) in GRPC_CODES.iter().zip(&self.calls) {
            sample(out, name, &format!("code=\"{code}\""), counter);
        }
        let name = HTTP_PROBLEMS_TOTAL;
        header(out, name);
        for (code, counter) in Code::ALL.iter().zip(&self.problems) {
            sample(out, name, &format!("code=\"{}\"", code.name()), counter);
        }
        let name = HTTP_REQUEST_DURATION_SECONDS;
        header(out, name);
        self.purchase_duration.render(name, "route=\"buy\"", out);
        self.other_duration.render(name, "route=\"other\"", out);
        let name = HTTP_REQUESTS_IN_FLIGHT;
        header(out, name);
        sample(out, name, "", &self.in_flight);
    }

    fn render_connections(&self, out: &mut String) {
        let name = HTTP_CONNECTIONS;
        header(out, name);
        sample(out, name, "", &self.connections);
        let name = HTTP_CONNECTIONS_ACCEPTED_TOTAL;
        header(out, name);
        sample(out, name, "", &self.connections_accepted);
        let name = HTTP_CONNECTIONS_REFUSED_TOTAL;
        header(out, name);
        for (reason, counter) in Refused::ALL.iter().zip(&self.turned_away) {
            sample(out, name, &format!("reason=\"{}\"", reason.name()), counter);
        }
        for (reason, counter) in ["slow_head", "slow_reader", "idle"].iter().zip(&self.stalled) {
            sample(out, name, &format!("reason=\"{reason}\""), counter);
        }
    }
}

fn sample(out: &mut String, name: &str, labels: &str, counter: &AtomicU64) {
    let value = counter.load(Relaxed);
    let _ = if labels.is_empty() {
        writeln!(out, "{name} {value}")
    } else {
        writeln!(out, "{name}{{{labels}}} {value}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown() {
        let metrics = EdgeMetrics::default();
        metrics.purchased(false);
        metrics.refused(Code::SoldOut);
        metrics.refused(Code::SoldOut);
        metrics.purchase_took(Duration::from_micros(70), 16);
        metrics.answered(404, Duration::from_secs(20));
        metrics.problem(Code::NotFound);
        metrics.turned_away(Refused::TooManyOfAddress);
        metrics.stalled(Stall::Response);
        let text = metrics.render(5, 3);
        for line in [
            "seckill_purchases_total{outcome=\"placed\"} 1",
            "seckill_purchases_total{outcome=\"sold_out\"} 2",
            "seckill_purchases_total{outcome=\"overloaded\"} 0",
            "seckill_http_requests_total{route=\"buy\",status=\"2xx\"} 1",
            "seckill_http_requests_total{route=\"buy\",status=\"4xx\"} 2",
            "seckill_http_requests_total{route=\"buy\",status=\"5xx\"} 0",
            "seckill_http_requests_total{route=\"other\",status=\"4xx\"} 1",
            "seckill_http_request_duration_seconds_bucket{route=\"buy\",le=\"0.00005\"} 0",
            "seckill_http_request_duration_seconds_bucket{route=\"buy\",le=\"0.0001\"} 16",
            "seckill_http_request_duration_seconds_count{route=\"buy\"} 16",
            "seckill_http_request_duration_seconds_bucket{route=\"other\",le=\"10\"} 0",
            "seckill_http_request_duration_seconds_bucket{route=\"other\",le=\"+Inf\"} 1",
            "seckill_http_problems_total{code=\"not_found\"} 1",
            "seckill_http_problems_total{code=\"overloaded\"} 0",
            "seckill_http_connections_refused_total{reason=\"too_many\"} 0",
            "seckill_http_connections_refused_total{reason=\"too_many_of_address\"} 1",
            "seckill_http_connections_refused_total{reason=\"slow_reader\"} 1",
            "seckill_http_unread_bytes 5",
            "seckill_http_event_streams 3",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_few_purchases_are_timed_each_and_many_by_a_sample() {
        for (count, expected) in [(7, 7), (1_024, 1_024), (1_024 + 16_000, 1_024 + 16_000)] {
            let metrics = EdgeMetrics::default();
            let weights =
                (5_000..5_000 + count).filter_map(|number| metrics.purchase_weight(number));
            assert_eq!(weights.sum::<u64>(), expected);
        }
    }
}
