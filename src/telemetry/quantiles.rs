//! Distributions fine enough for quantiles: eight buckets a doubling, so that a value is told to within
//! a sixteenth of itself.
//!
//! The buckets of Prometheus' histograms are two and a half times as wide as the one before: good for an
//! alarm, and useless for a curve. Counting is one addition, without a lock or an allocation. Must not
//! know what is counted.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets of each doubling.
const STEPS: usize = 8;
/// The logarithm of [`STEPS`].
const STEPS_BITS: u32 = 3;
/// Values from here on share the last bucket: in microseconds, those above a minute.
const VALUE_MAX: u64 = 1 << 26;
/// Buckets of all doublings, and one each for the values below `STEPS`.
pub const BUCKETS: usize = STEPS * (26 - STEPS_BITS as usize + 1);

/// The bucket of a value.
fn place(value: u64) -> usize {
    let value = value.min(VALUE_MAX - 1);
    if value < STEPS as u64 {
        return value as usize;
    }
    let doubling = value.ilog2() - STEPS_BITS;
    let step = (value >> doubling) as usize - STEPS;
    STEPS * (doubling as usize + 1) + step
}

/// The value that stands for all of a bucket: its middle.
fn middle(place: usize) -> f64 {
    if place < STEPS {
        return place as f64;
    }
    let doubling = place / STEPS - 1;
    let width = (1_u64 << doubling) as f64;
    let low = ((STEPS + place % STEPS) << doubling) as f64;
    low + (width - 1.0) / 2.0
}

/// Counts of values in fine buckets.
pub struct FineBuckets(Box<[AtomicU64]>);

impl Default for FineBuckets {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl fmt::Debug for FineBuckets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("FineBuckets")
    }
}

impl FineBuckets {
    /// Counts `value` `weight` times.
    pub fn observe(&self, value: u64, weight: u64) {
        self.0[place(value)].fetch_add(weight, Relaxed);
    }

    /// The counts at this moment.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (count, bucket) in counts.0.iter_mut().zip(&self.0) {
            *count = bucket.load(Relaxed);
        }
        counts
    }
}

/// The counts of fine buckets at one moment, or what came to them between two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counts([u64; BUCKETS]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Counts {
    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.clone();
        for (count, before) in counts.0.iter_mut().zip(&earlier.0) {
            *count = count.saturating_sub(*before);
        }
        counts
    }

    /// How many values there are.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The value below which this share of all values is, to within a sixteenth of itself; none if there
    /// are no values.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.total();
        let rank = ((share * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut passed = 0;
        let reached = |count: &u64| {
            passed += count;
            passed >= rank
        };
        self.0.iter().position(reached).filter(|_| total > 0).map(middle)
    }

    /// The largest value, to within a sixteenth of itself; none if there are no values.
    pub fn maximum(&self) -> Option<f64> {
        self.0.iter().rposition(|count| *count > 0).map(middle)
    }

    /// The mean of the values, to within a sixteenth of itself; none if there are no values.
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 =
            self.0.iter().enumerate().map(|(at, count)| middle(at) * *count as f64).sum();
        let total = self.total();
        (total > 0).then(|| sum / total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_told_to_within_a_sixteenth() {
        let mut last = 0;
        for value in (0..70_000).chain((17..26).flat_map(|bits| {
            let power = 1_u64 << bits;
            [power - 1, power, power + 1, power + power / 3]
        })) {
            let told = middle(place(value));
            assert!((told - value as f64).abs() <= value as f64 / 16.0, "{value}: {told}");
            assert!(place(value) >= last || value < 70_000, "{value}: buckets rise");
            last = place(value);
        }
        assert_eq!(place(u64::MAX), BUCKETS - 1);
        assert_eq!(place(VALUE_MAX - 1), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let buckets = FineBuckets::default();
        let before = buckets.counts();
        for value in 1..=10_000 {
            buckets.observe(value, 1);
        }
        let counts = buckets.counts().since(&before);
        for (share, expected) in [(0.0, 1.0), (0.5, 5_000.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let found = counts.quantile(share).expect("there are values");
            assert!((found - expected).abs() <= expected / 16.0, "{share}: {found}");
        }
        assert_eq!(counts.total(), 10_000);
        let mean = counts.mean().expect("there are values");
        assert!((mean - 5_000.5).abs() < 100.0, "{mean}");
        assert!(counts.maximum().expect("there are values") >= 9_375.0);
        let nothing = buckets.counts().since(&buckets.counts());
        let found = (nothing.quantile(0.5), nothing.maximum(), nothing.mean());
        assert_eq!(found, (None, None, None));
    }

    #[test]
    fn a_weight_counts_as_often() {
        let buckets = FineBuckets::default();
        buckets.observe(1, 1);
        buckets.observe(100, 16);
        assert_eq!(buckets.counts().total(), 17);
        assert!(buckets.counts().quantile(0.5).expect("a value") > 90.0);
    }
}
