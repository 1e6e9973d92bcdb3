//! Sessions of buyers that are over before their tokens expire, because the password was changed since.
//!
//! The catalogue keeps from when on each buyer's tokens are good. Here is what can still matter of it, so
//! that a purchase looks it up and asks nobody. Must not know tokens, nor where they are carried.

use crate::clock::Clock;
use crate::sales::Sales;
use dashmap::DashMap;
use domain::{Timestamp, UserId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How often the catalogue is asked what other processes ended.
const LOOK: Duration = Duration::from_secs(5);
/// How much the clocks of processes that share a catalogue may differ, in seconds.
const OVERLAP_SECONDS: u64 = 60;

/// From when on the tokens of buyers are good, of those whose earlier ones are not.
#[derive(Debug, Default)]
pub struct EndedSessions {
    /// The first second since 1970.
    good_from: DashMap<UserId, u64>,
    /// Whether there has been any: mostly there is none, and nothing to look up.
    has_any: AtomicBool,
}

impl EndedSessions {
    /// Ends the buyer's sessions whose tokens were made before this second.
    pub fn end(&self, user_id: UserId, good_from_seconds: u64) {
        let mut known = self.good_from.entry(user_id).or_default();
        *known = good_from_seconds.max(*known);
        self.has_any.store(true, Relaxed);
    }

    /// Returns the first instant at which a token of this buyer is good.
    pub fn good_from(&self, user_id: UserId) -> Timestamp {
        if !self.has_any.load(Relaxed) {
            return Timestamp(0);
        }
        let seconds = self.good_from.get(&user_id).map_or(0, |seconds| *seconds);
        Timestamp(seconds.saturating_mul(1000))
    }

    /// Returns whether the buyer's session of this token was ended.
    pub fn has(&self, user_id: UserId, issued_at: Timestamp) -> bool {
        issued_at < self.good_from(user_id)
    }

    /// Forgets what ended before this second: the tokens of then have expired by themselves.
    fn forget_before(&self, seconds: u64) {
        self.good_from.retain(|_, good_from| *good_from >= seconds);
    }
}

/// Reads what was ended before the start and what other processes end, for as long as the server runs.
/// While the catalogue is away, what is known counts. `lifetime` says how long a token can be good: where that
/// becomes longer, what was ended in the time before counts again.
pub async fn follow(
    ended: Arc<EndedSessions>,
    sales: Sales,
    clock: Clock,
    lifetime: impl Fn() -> Duration,
) -> std::convert::Infallible {
    let mut since = u64::MAX;
    let mut known_lifetime = Duration::ZERO;
    let mut is_away = false;
    loop {
        let (now, lifetime) = (clock.token_time().0 / 1000, lifetime());
        if lifetime > known_lifetime {
            known_lifetime = lifetime;
            since = since.min(now.saturating_sub(lifetime.as_secs()));
        }
        match sales.sessions_ended(since).await {
            Ok(found) => {
                found.into_iter().for_each(|(user_id, from)| ended.end(user_id, from));
                since = since.max(now.saturating_sub(OVERLAP_SECONDS));
                is_away = false;
            }
            Err(error) if !is_away => {
                is_away = true;
                tracing::warn!(%error, "it cannot be read which sessions are over: those known count");
            }
            Err(_) => {}
        }
        ended.forget_before(now.saturating_sub(lifetime.as_secs()));
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_before_the_change_is_over_and_the_latest_change_counts() {
        let ended = EndedSessions::default();
        let has = |user, seconds: u64| ended.has(UserId(user), Timestamp(seconds * 1000 + 999));
        assert!(!has(1, 9));
        ended.end(UserId(1), 10);
        ended.end(UserId(1), 8);
        assert_eq!([has(1, 9), has(1, 10), has(2, 9)], [true, false, false]);
        ended.forget_before(10);
        assert!(has(1, 9));
        ended.forget_before(11);
        assert!(!has(1, 9));
    }
}
