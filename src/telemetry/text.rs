//! Prometheus' text form of what is counted without the process's recorder, because looking a counter up
//! in a registry would slow each purchase.
//!
//! Must not know what is counted.

use super::metrics::Metric;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The upper bounds of a histogram's buckets, in microseconds.
const BOUNDS_MICROSECONDS: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// A distribution of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_MICROSECONDS.len() + 1],
    sum_microseconds: AtomicU64,
}

impl Histogram {
    /// Counts `duration` `weight` times.
    pub fn observe(&self, duration: Duration, weight: u64) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_MICROSECONDS.partition_point(|bound| *bound < microseconds);
        self.buckets[place].fetch_add(weight, Relaxed);
        self.sum_microseconds.fetch_add(microseconds.saturating_mul(weight), Relaxed);
    }

    /// Appends the samples in Prometheus text form; `label` is a label with its value, or nothing.
    pub fn render(&self, name: &str, label: &str, out: &mut String) {
        let mut count = 0;
        for (place, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Relaxed);
            let bound = match BOUNDS_MICROSECONDS.get(place) {
                Some(microseconds) => format!("{}", *microseconds as f64 / 1e6),
                None => "+Inf".to_owned(),
            };
            let comma = if label.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name}_bucket{{{label}{comma}le=\"{bound}\"}} {count}");
        }
        let sum = self.sum_microseconds.load(Relaxed) as f64 / 1e6;
        let labels = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        let _ = writeln!(out, "{name}_sum{labels} {sum}");
        let _ = writeln!(out, "{name}_count{labels} {count}");
    }
}

/// Begins a metric with what the catalogue says of it.
pub fn header(out: &mut String, name: &str) {
    let Some(Metric { kind, help, .. }) = Metric::named(name) else { return };
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
}
