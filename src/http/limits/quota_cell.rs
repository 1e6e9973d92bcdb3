//! A quota that every purchase reads and an operator changes: in one word, so that reading it is one load.

use domain::rate::Quota;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bits of the word that are the interval: years, in ticks or in nanoseconds minutes. The others are the
/// burst.
const INTERVAL_BITS: u32 = 40;
const INTERVAL_MAX: u64 = (1 << INTERVAL_BITS) - 1;
const BURST_MAX: u32 = u32::MAX >> (INTERVAL_BITS - u32::BITS);

/// A quota, or none.
#[derive(Debug, Default)]
pub struct QuotaCell(AtomicU64);

impl QuotaCell {
    /// Changes the quota. One beyond what a word holds, which no setting is, becomes the nearest.
    pub fn set(&self, quota: Option<Quota>) {
        let word = quota.map_or(0, |quota| {
            let burst = u64::from(quota.burst().min(BURST_MAX));
            burst << INTERVAL_BITS | quota.interval().min(INTERVAL_MAX)
        });
        self.0.store(word, Relaxed);
    }

    /// Returns the quota, if there is one.
    #[inline]
    pub fn get(&self) -> Option<Quota> {
        let word = self.0.load(Relaxed);
        Quota::of_interval(word & INTERVAL_MAX, (word >> INTERVAL_BITS) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_what_was_set() {
        let cell = QuotaCell::default();
        assert_eq!(cell.get(), None);
        for (count, period, burst) in
            [(10, 16_000, 20), (1, 16_000 * 60, 1), (1_000_000, 1_000_000_000, 100_000)]
        {
            let quota = Quota::new(count, period, burst);
            cell.set(quota);
            assert!(quota.is_some() && cell.get() == quota, "{quota:?}");
        }
        cell.set(Quota::of_interval(u64::MAX, u32::MAX));
        assert_eq!(cell.get(), Quota::of_interval(INTERVAL_MAX, BURST_MAX));
        cell.set(None);
        assert_eq!(cell.get(), None);
    }
}
