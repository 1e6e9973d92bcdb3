//! The only reader of system time.
//!
//! The wall clock is read once, at start; from then on the monotonic clock carries it. A wall clock
//! that is set an hour forward or back during a sale neither opens nor ends nor expires anything.

use domain::Timestamp;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Anchor>);

#[derive(Debug)]
struct Anchor {
    started_at: Instant,
    started_at_wall: Timestamp,
}

impl Clock {
    /// A clock anchored at the wall clock, but not before `floor`: a wall clock that was set back
    /// while the process was down must not make time go back in the books.
    #[expect(clippy::disallowed_methods, reason = "the one place that may read system time")]
    pub fn start(floor: Timestamp) -> Self {
        let started_at_wall = wall_now().max(floor);
        Self(Arc::new(Anchor { started_at: Instant::now(), started_at_wall }))
    }

    /// Milliseconds since 1970, never going back.
    pub fn now(&self) -> Timestamp {
        let elapsed = self.elapsed().as_millis();
        self.0.started_at_wall.plus_milliseconds(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// Time since the start, for measuring.
    pub fn elapsed(&self) -> Duration {
        self.0.started_at.elapsed()
    }

    /// How far the wall clock has moved away from this one, in milliseconds: an operator's warning,
    /// never a decision.
    pub fn wall_drift_milliseconds(&self) -> i64 {
        let drift = i128::from(wall_now().0) - i128::from(self.now().0);
        i64::try_from(drift).unwrap_or(i64::MAX)
    }
}

/// What the wall clock says now. For log lines, file names and tokens made outside a running engine.
#[expect(clippy::disallowed_methods, reason = "the one place that may read system time")]
pub fn wall_now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

/// Measures how long something takes, for figures only.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[expect(clippy::disallowed_methods, reason = "the one place that may read system time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    pub fn nanoseconds(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
