//! When a peer is not asked any more: after a row of failures, until one trial has shown that it answers.
//!
//! Must not know what is asked. Time comes in as data.

use parking_lot::Mutex;
use std::time::Duration;

/// Failures in a row after which a peer is left alone.
const FAILURES_MAX: u32 = 5;
/// For how long it is left alone before the next trial.
const REST: Duration = Duration::from_millis(500);

/// One peer's breaker.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Everything goes through; so many have failed since one did not.
    Closed(u32),
    /// Nothing goes through until then.
    Open(Duration),
    /// One trial is under way since then.
    Trial(Duration),
}

impl Default for State {
    fn default() -> Self {
        Self::Closed(0)
    }
}

impl Breaker {
    /// Whether something may be asked now. A trial that is never heard of again makes room for another one.
    pub fn admits(&self, now: Duration) -> bool {
        let mut state = self.0.lock();
        match *state {
            State::Closed(_) => true,
            State::Open(until) if now < until => false,
            State::Trial(began) if now < began + REST => false,
            State::Open(_) | State::Trial(_) => {
                *state = State::Trial(now);
                true
            }
        }
    }

    /// The peer answered.
    pub fn note_success(&self) {
        *self.0.lock() = State::Closed(0);
    }

    /// The peer did not answer. Returns whether that is why it is left alone from now on.
    pub fn note_failure(&self, now: Duration) -> bool {
        let mut state = self.0.lock();
        match *state {
            State::Closed(failures) if failures + 1 < FAILURES_MAX => {
                *state = State::Closed(failures + 1);
                false
            }
            State::Closed(_) => {
                *state = State::Open(now + REST);
                true
            }
            // What was asked before it opened may fail after it.
            State::Open(_) => false,
            State::Trial(_) => {
                *state = State::Open(now + REST);
                false
            }
        }
    }

    /// Whether the peer is left alone at present.
    pub fn is_open(&self) -> bool {
        !matches!(*self.0.lock(), State::Closed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_fails_is_left_alone_and_tried_again() {
        let at = Duration::from_millis;
        let breaker = Breaker::default();
        for _ in 1..FAILURES_MAX {
            assert!(breaker.admits(at(0)) && !breaker.note_failure(at(0)));
        }
        breaker.note_success();
        for _ in 1..FAILURES_MAX {
            assert!(!breaker.note_failure(at(10)), "the row was broken");
        }
        assert!(breaker.note_failure(at(10)) && breaker.is_open());
        assert!(!breaker.admits(at(10)) && !breaker.admits(at(509)));
        assert!(breaker.admits(at(510)), "a trial");
        assert!(!breaker.admits(at(511)), "one alone");
        assert!(!breaker.note_failure(at(520)), "it was open before");
        assert!(!breaker.admits(at(1_019)) && breaker.admits(at(1_020)));
        breaker.note_success();
        assert!(breaker.admits(at(1_021)) && breaker.admits(at(1_021)) && !breaker.is_open());
    }

    #[test]
    fn a_trial_that_is_never_heard_of_makes_room() {
        let at = Duration::from_millis;
        let breaker = Breaker::default();
        for _ in 0..FAILURES_MAX {
            breaker.note_failure(at(0));
        }
        assert!(breaker.admits(at(500)) && !breaker.admits(at(999)));
        assert!(breaker.admits(at(1_000)));
    }
}
