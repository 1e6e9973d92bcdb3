//! When a server that keeps failing is left alone. Must not know what it is asked.

use crate::clock::Clock;
use parking_lot::Mutex;
use std::time::Duration;

/// Counts failures in a row; after so many nothing passes for a while, then one request to try.
pub(super) struct Breaker {
    failures_max: u32,
    pause: Duration,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    failed_at: Option<Duration>,
    /// Until when nothing passes.
    paused_until: Duration,
}

impl Breaker {
    pub(super) fn new(failures_max: u32, pause: Duration, clock: Clock) -> Self {
        Self { failures_max, pause, clock, state: Mutex::default() }
    }

    /// Whether a request may be made now. After a pause the first one may, and the others wait for what
    /// becomes of it, for another pause at most.
    pub(super) fn lets_pass(&self) -> bool {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        if state.failures < self.failures_max {
            return true;
        }
        if now < state.paused_until {
            return false;
        }
        state.paused_until = now + self.pause;
        true
    }

    /// Notes what became of a request.
    pub(super) fn note(&self, succeeded: bool) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        if succeeded {
            state.failures = 0;
            return;
        }
        state.failures = state.failures.saturating_add(1);
        state.failed_at = Some(now);
        state.paused_until = now + self.pause;
    }

    /// How long ago a request failed last, if one has.
    pub(super) fn failed_ago(&self) -> Option<Duration> {
        let failed_at = self.state.lock().failed_at?;
        Some(self.clock.elapsed().saturating_sub(failed_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    #[test]
    fn after_failures_in_a_row_nothing_passes_and_then_one() {
        let breaker = Breaker::new(2, Duration::from_secs(3_600), Clock::start(Timestamp(0)));
        assert_eq!(breaker.failed_ago(), None);
        for succeeded in [false, true, false] {
            assert!(breaker.lets_pass());
            breaker.note(succeeded);
        }
        assert!(breaker.lets_pass(), "they were not in a row");
        breaker.note(false);
        assert!(!breaker.lets_pass() && !breaker.lets_pass());
        assert!(breaker.failed_ago().is_some());
        // As if the pause were over.
        breaker.state.lock().paused_until = Duration::ZERO;
        assert!(breaker.lets_pass(), "one may try");
        assert!(!breaker.lets_pass(), "and the others wait for it");
        breaker.note(true);
        assert!(breaker.lets_pass() && breaker.lets_pass());
    }
}
