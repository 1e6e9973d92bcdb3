//! The only reader of system time.
//!
//! The wall clock is read once, at start; from then on the monotonic clock is added to it. A wall clock
//! that is set an hour forward or back during a sale neither opens nor ends nor expires anything; that it
//! was set is noticed by [`Clock::watch`].

use domain::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The process's clock. Cheap to clone and to read.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Anchor>);

#[derive(Debug)]
struct Anchor {
    started_at: Instant,
    /// The time at the start.
    started_at_wall: Timestamp,
    /// What the wall clock said at the start, which may be earlier.
    wall_at_start: Timestamp,
    /// Whether the wall clock was away from this one at the last look.
    drifts: AtomicBool,
    /// How far the wall clock was behind this one at the last look, in milliseconds.
    wall_lag: AtomicU64,
}

/// How far the wall clock may be away from the engine's before an operator hears of it, in milliseconds.
const DRIFT_MILLISECONDS_MAX: u64 = 10_000;

/// How far before the start the wall clock may be set for tokens to follow it, in milliseconds: a clock
/// that lost its battery must not make every token of the past good again.
const TOKEN_LAG_MILLISECONDS_MAX: u64 = 24 * 3_600_000;

impl Clock {
    /// Starts a clock at the wall clock's time, but not before `floor`: a wall clock that was set back
    /// while the process was down must not make the times of records go back.
    #[expect(clippy::disallowed_methods, reason = "the one place that may read system time")]
    pub fn start(floor: Timestamp) -> Self {
        let wall_at_start = wall_now();
        let started_at_wall = wall_at_start.max(floor);
        let clock = Self(Arc::new(Anchor {
            started_at: Instant::now(),
            started_at_wall,
            wall_at_start,
            drifts: AtomicBool::new(false),
            wall_lag: AtomicU64::new(0),
        }));
        clock.watch();
        clock
    }

    /// The time now, in milliseconds since 1970, which never goes back.
    pub fn now(&self) -> Timestamp {
        self.moment().0
    }

    /// The time now, and the time since the start, of one look at the clock.
    pub fn moment(&self) -> (Timestamp, Duration) {
        let elapsed = self.elapsed();
        let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        (self.0.started_at_wall.plus_milliseconds(milliseconds), elapsed)
    }

    /// The time at the start: what is measured since then, added to it, is the time now.
    pub fn started_at(&self) -> Timestamp {
        self.0.started_at_wall
    }

    /// The time since the start, for measuring.
    pub fn elapsed(&self) -> Duration {
        self.0.started_at.elapsed()
    }

    /// How far the wall clock is ahead of this one, in milliseconds. A warning for operators; nothing
    /// is decided by it.
    pub fn wall_drift_milliseconds(&self) -> i64 {
        let drift = i128::from(wall_now().0) - i128::from(self.now().0);
        i64::try_from(drift).unwrap_or(i64::MAX)
    }

    /// Whether the wall clock was away from this one at the last look, by more than ten seconds.
    pub fn drifts(&self) -> bool {
        self.0.drifts.load(Ordering::Relaxed)
    }

    /// Looks whether the wall clock was set, and logs when it is away from this one and when it is back.
    /// To be called every second or so.
    pub fn watch(&self) {
        let drift = self.look_at_wall();
        let drifts = drift.unsigned_abs() > DRIFT_MILLISECONDS_MAX;
        if drifts == self.0.drifts.swap(drifts, Ordering::Relaxed) {
            return;
        }
        if drifts {
            tracing::warn!(
                drift_milliseconds = drift,
                "the wall clock is not where it should be: it was set, or was wrong at the start; the \
                 sale keeps to its own clock, which is this much behind the wall clock, or ahead of it \
                 if negative"
            );
        } else {
            tracing::info!("the wall clock agrees with the sale's again");
        }
    }

    /// The time by which tokens are made and end: this clock's, or the wall clock's while that is
    /// behind, because tokens are made by others too, who know the wall clock alone.
    pub fn token_time(&self) -> Timestamp {
        Timestamp(self.now().0.saturating_sub(self.0.wall_lag.load(Ordering::Relaxed)))
    }

    fn look_at_wall(&self) -> i64 {
        let drift = self.wall_drift_milliseconds();
        let lag = if drift < 0 { drift.unsigned_abs() } else { 0 };
        self.0.wall_lag.store(lag.min(self.lag_max()), Ordering::Relaxed);
        drift
    }

    /// The furthest that tokens' time goes back.
    fn lag_max(&self) -> u64 {
        let earliest = self.0.wall_at_start.0.saturating_sub(TOKEN_LAG_MILLISECONDS_MAX);
        self.now().0.saturating_sub(earliest)
    }
}

/// The wall clock's time now. For log lines, file names and tokens made outside a running engine.
#[expect(clippy::disallowed_methods, reason = "the one place that may read system time")]
pub fn wall_now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX));
    shifted(now)
}

/// The time, moved by as many milliseconds as a test's failpoint says.
fn shifted(now: Timestamp) -> Timestamp {
    fail::fail_point!("wall-clock", |milliseconds| {
        let shift: i64 = milliseconds.and_then(|text| text.parse().ok()).unwrap_or_default();
        Timestamp(now.0.saturating_add_signed(shift))
    });
    now
}

/// A stopwatch, for figures only.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts the stopwatch.
    #[expect(clippy::disallowed_methods, reason = "the one place that may read system time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start, in nanoseconds.
    pub fn nanoseconds(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_follow_a_wall_clock_that_is_behind_but_not_into_the_past() {
        let hour = 3_600_000;
        let ahead = wall_now().plus_milliseconds(2 * hour);
        let clock = Clock::start(ahead);
        assert!(clock.now() >= ahead);
        assert!(clock.token_time() < ahead, "a token made by the wall clock would be over");
        clock.watch();
        assert!(clock.drifts());
        assert!(clock.lag_max() > 25 * hour && clock.lag_max() < 27 * hour);
        let clock = Clock::start(Timestamp(0));
        clock.watch();
        assert!(!clock.drifts());
        assert!(clock.token_time() <= clock.now());
    }
}
