//! How often items are looked at, and from it how long their readers may wait before they look again: so
//! a crowd that waits for a sale does not ask more than the server answers beside it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Looks a second that all readers together are meant to make.
const TARGET_PER_SECOND: u64 = 1_000;
const WAIT_MIN_MS: u64 = 5_000;
const WAIT_MAX_MS: u64 = 120_000;
const WINDOW_MS: u64 = 1_000;

/// Counts looks at items.
#[derive(Debug)]
pub struct ReadRate {
    /// When the present window began, in milliseconds of the process's clock.
    began_ms: AtomicU64,
    looks: AtomicU64,
    /// The wait that readers are given at present.
    wait_ms: AtomicU64,
}

impl Default for ReadRate {
    fn default() -> Self {
        Self {
            began_ms: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            wait_ms: AtomicU64::new(WAIT_MIN_MS),
        }
    }
}

impl ReadRate {
    /// Counts a look at `now` of the process's clock, and returns the milliseconds after which its reader
    /// may look again. `dice` is from 0 to 1: no two readers wait equally long.
    pub fn look(&self, now: Duration, dice: f64) -> u64 {
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let began_ms = self.began_ms.load(Relaxed);
        let passed_ms = now_ms.saturating_sub(began_ms);
        self.looks.fetch_add(1, Relaxed);
        let is_over = passed_ms >= WINDOW_MS;
        if is_over && self.began_ms.compare_exchange(began_ms, now_ms, Relaxed, Relaxed).is_ok() {
            let looks = self.looks.swap(0, Relaxed);
            self.wait_ms.store(next_wait(self.wait_ms.load(Relaxed), looks, passed_ms), Relaxed);
        }
        let wait_ms = self.wait_ms.load(Relaxed) as f64;
        (wait_ms * (0.5 + dice)) as u64
    }
}

/// The wait after a window with this many looks. There are about `looks / passed × wait` readers, who come
/// down to the target with a wait in proportion; half of the way is gone at a time, so that it settles.
fn next_wait(wait_ms: u64, looks: u64, passed_ms: u64) -> u64 {
    let per_second = looks.saturating_mul(1_000) / passed_ms.max(1);
    let wanted = wait_ms.saturating_mul(per_second) / TARGET_PER_SECOND;
    (wait_ms.saturating_add(wanted) / 2).clamp(WAIT_MIN_MS, WAIT_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wait that this many readers come to, each of whom looks as it is told.
    fn settled(readers: u64) -> u64 {
        let mut wait_ms = WAIT_MIN_MS;
        for _ in 0..100 {
            wait_ms = next_wait(wait_ms, readers * 1_000 / wait_ms, 1_000);
        }
        wait_ms
    }

    #[test]
    fn a_crowd_waits_longer_and_a_few_do_not() {
        for (readers, expected) in
            [(0, 5_000), (4_000, 5_000), (20_000, 20_000), (1_000_000, 120_000)]
        {
            let wait = settled(readers);
            assert!(wait.abs_diff(expected) <= expected / 20, "{readers}: {wait} ms");
        }
    }

    #[test]
    fn waits_are_spread_by_half() {
        let rate = ReadRate::default();
        let waits = [0.0, 0.5, 1.0].map(|dice| rate.look(Duration::from_millis(10), dice));
        assert_eq!(waits, [2_500, 5_000, 7_500]);
        for look in 0..100_000 {
            rate.look(Duration::from_millis(20 + look / 100), 0.5);
        }
        assert!(rate.look(Duration::from_secs(2), 0.5) > 5_000);
    }
}
