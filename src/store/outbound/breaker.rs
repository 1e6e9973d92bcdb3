//! When a server that keeps failing is left alone. Must not know what it is asked.

use crate::clock::Clock;
use parking_lot::Mutex;
use std::time::Duration;

/// Counts failures in a row; after so many nothing passes for a while, then one request to try.
#[derive(Debug)]
pub struct Breaker {
    failures_max: u32,
    pause: Duration,
    /// What the pause grows to while failures go on; it doubles with each.
    pause_max: Duration,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    failed_at: Option<Duration>,
    /// Until when nothing passes.
    paused_until: Duration,
    /// Until when nothing passes because the server has asked for that.
    held_until: Duration,
}

impl Breaker {
    /// Makes one that lets nothing pass for `pause` after so many failures in a row.
    pub fn new(failures_max: u32, pause: Duration, clock: Clock) -> Self {
        Self { failures_max, pause, pause_max: pause, clock, state: Mutex::default() }
    }

    /// Has the pause double with each further failure, up to this.
    #[must_use]
    pub fn growing_to(self, pause_max: Duration) -> Self {
        Self { pause_max, ..self }
    }

    /// Whether a request may be made now. After a pause the first one may, and the others wait for what
    /// becomes of it, for another pause at most.
    pub fn lets_pass(&self) -> bool {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        if now < state.held_until {
            return false;
        }
        if state.failures < self.failures_max {
            return true;
        }
        if now < state.paused_until {
            return false;
        }
        state.paused_until = now + self.pause_after(state.failures);
        true
    }

    /// Whether nothing passes but one request to try now and then.
    pub fn is_open(&self) -> bool {
        self.state.lock().failures >= self.failures_max
    }

    /// Notes what became of a request. Returns whether it has ended a time of failures in a row, in which
    /// nothing passed.
    pub fn note(&self, succeeded: bool) -> bool {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        if succeeded {
            return std::mem::take(&mut state.failures) >= self.failures_max;
        }
        state.failures = state.failures.saturating_add(1);
        state.failed_at = Some(now);
        state.paused_until = now + self.pause_after(state.failures);
        false
    }

    /// Lets nothing pass for this long, as the server has asked.
    pub fn hold(&self, pause: Duration) {
        let until = self.clock.elapsed() + pause;
        let mut state = self.state.lock();
        state.held_until = state.held_until.max(until);
    }

    fn pause_after(&self, failures: u32) -> Duration {
        let doubled =
            1_u32.checked_shl(failures.saturating_sub(self.failures_max)).unwrap_or(u32::MAX);
        self.pause.saturating_mul(doubled.max(1)).min(self.pause_max.max(self.pause))
    }

    /// How long ago a request failed last, if one has.
    pub fn failed_ago(&self) -> Option<Duration> {
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

    #[test]
    fn the_pause_grows_and_a_server_may_ask_for_one() {
        let seconds = Duration::from_secs;
        let breaker =
            Breaker::new(2, seconds(5), Clock::start(Timestamp(0))).growing_to(seconds(60));
        let pauses =
            [0, 1, 2, 3, 4, 5, 6, 40, u32::MAX].map(|failures| breaker.pause_after(failures));
        assert_eq!(pauses, [5, 5, 5, 10, 20, 40, 60, 60, 60].map(seconds));
        breaker.hold(seconds(3_600));
        assert!(!breaker.lets_pass() && !breaker.is_open());
        breaker.state.lock().held_until = Duration::ZERO;
        assert!(breaker.lets_pass());
        assert!(!breaker.note(false) && !breaker.note(false) && breaker.is_open());
        assert!(breaker.note(true) && !breaker.is_open() && !breaker.note(true));
    }
}
