//! When an event is tried again, and when no more. Pure: time and chance come in as data.
//!
//! The times are those that the Standard Webhooks specification advises.

use domain::Timestamp;
use std::time::Duration;

/// The pause after each attempt, in seconds; after the last one it stays as it is.
const PAUSES_SECONDS: [u64; 9] =
    [5, 5 * 60, 30 * 60, 2 * 3_600, 5 * 3_600, 10 * 3_600, 14 * 3_600, 20 * 3_600, 24 * 3_600];
/// The longest pause that a receiver may ask for.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// Attempts of one event after which it is parked if others arrive.
const ATTEMPTS_MAX: u32 = 5;

/// How long to wait after so many attempts, from 1. `chance`, from 0 to 1, spreads the receivers' load: a tenth less
/// to a tenth more. A receiver that has asked for a longer pause gets it, up to an hour. `second` is how long one of the
/// schedule lasts.
pub(super) fn pause(
    attempts: u32,
    retry_after: Option<Duration>,
    chance: f64,
    second: Duration,
) -> Duration {
    let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let seconds = PAUSES_SECONDS[place.min(PAUSES_SECONDS.len() - 1)];
    let spread = 0.9 + 0.2 * chance.clamp(0.0, 1.0);
    let pause = second.mul_f64(seconds as f64 * spread);
    pause.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
}

/// Whether an event that has failed so often, the first time then, is to be left aside: the receiver takes others.
pub(super) fn is_parked(
    attempts: u32,
    first_failed_at: Timestamp,
    others_arrived_at: Option<Timestamp>,
) -> bool {
    attempts >= ATTEMPTS_MAX && others_arrived_at.is_some_and(|at| at > first_failed_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_pauses_are_the_specifications_a_tenth_more_or_less() {
        let of = |attempts| pause(attempts, None, 0.5, SECOND).as_secs();
        let found: Vec<u64> = (1..=11).map(of).collect();
        let hours = [2, 5, 10, 14, 20, 24, 24, 24].map(|hours| hours * 3_600);
        assert_eq!(found, [&[5, 300, 1_800][..], &hours].concat());
        assert_eq!(pause(2, None, 0.0, SECOND).as_secs(), 270);
        assert_eq!(pause(2, None, 1.0, SECOND).as_secs(), 330);
        assert_eq!(of(0), 5);
        assert_eq!(of(u32::MAX), 24 * 3_600);
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_and_not_for_all_of_it() {
        let asked = |seconds| pause(1, Some(Duration::from_secs(seconds)), 0.5, SECOND).as_secs();
        assert_eq!((asked(0), asked(60), asked(u64::MAX)), (5, 60, 3_600));
    }

    #[test]
    fn an_event_is_parked_if_it_alone_fails() {
        let (before, failed, after) = (Timestamp(1), Timestamp(2), Timestamp(3));
        assert!(is_parked(5, failed, Some(after)));
        assert!(!is_parked(4, failed, Some(after)), "not yet");
        assert!(!is_parked(50, failed, Some(before)), "nothing arrives since");
        assert!(!is_parked(50, failed, None));
    }
}
