//! Prometheus' text form of what is counted without the process's recorder, because looking a counter up
//! in a registry would slow each purchase.
//!
//! Must not know what is counted.

use super::metrics::Metric;
use super::quantiles::FineBuckets;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The number of bounds of a histogram's buckets.
const BOUNDS: usize = 17;

/// What a histogram counts, with the upper bounds of its buckets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scale {
    /// Durations, in microseconds and shown in seconds: from 50 µs, below one sync of a good disk.
    Durations,
    /// Numbers of things.
    Counts,
}

impl Scale {
    fn bounds(self) -> &'static [u64; BOUNDS] {
        match self {
            Self::Durations => &[
                50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
                500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
            ],
            Self::Counts => &[
                1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768,
                65_536,
            ],
        }
    }

    fn shown(self, value: u64) -> f64 {
        match self {
            Self::Durations => value as f64 / 1e6,
            Self::Counts => value as f64,
        }
    }
}

/// A distribution of durations or of numbers, in Prometheus' buckets and in fine ones beside them.
#[derive(Debug)]
pub struct Histogram {
    scale: Scale,
    buckets: [AtomicU64; BOUNDS + 1],
    sum: AtomicU64,
    fine: FineBuckets,
}

impl Histogram {
    /// A distribution of durations.
    pub fn of_durations() -> Self {
        Self::new(Scale::Durations)
    }

    /// A distribution of numbers of things.
    pub fn of_counts() -> Self {
        Self::new(Scale::Counts)
    }

    fn new(scale: Scale) -> Self {
        let (buckets, sum) = Default::default();
        Self { scale, buckets, sum, fine: FineBuckets::default() }
    }

    /// Counts `duration` `weight` times.
    pub fn observe(&self, duration: Duration, weight: u64) {
        self.count(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), weight);
    }

    /// Counts `value` `weight` times: a duration in microseconds, or a number of things.
    pub fn count(&self, value: u64, weight: u64) {
        let place = self.scale.bounds().partition_point(|bound| *bound < value);
        self.buckets[place].fetch_add(weight, Relaxed);
        self.sum.fetch_add(value.saturating_mul(weight), Relaxed);
        self.fine.observe(value, weight);
    }

    /// What was counted, for quantiles: in microseconds, or numbers of things.
    pub fn fine(&self) -> &FineBuckets {
        &self.fine
    }

    /// Appends the samples in Prometheus text form; `label` is a label with its value, or nothing.
    pub fn render(&self, name: &str, label: &str, out: &mut String) {
        let mut count = 0;
        for (place, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Relaxed);
            let bound = match self.scale.bounds().get(place) {
                Some(bound) => format!("{}", self.scale.shown(*bound)),
                None => "+Inf".to_owned(),
            };
            let comma = if label.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name}_bucket{{{label}{comma}le=\"{bound}\"}} {count}");
        }
        let sum = self.scale.shown(self.sum.load(Relaxed));
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
