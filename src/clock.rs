//! The only reader of system time.
//!
//! The wall clock is read once, at start; from then on the monotonic clock is added to it. A wall clock
//! that is set an hour forward or back during a sale neither opens nor ends nor expires anything.

use domain::Timestamp;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The process's clock. Cheap to clone and to read.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Anchor>);

#[derive(Debug)]
struct Anchor {
    started_at: Instant,
    started_at_wall: Timestamp,
}

impl Clock {
    /// Starts a clock at the wall clock's time, but not before `floor`: a wall clock that was set back
    /// while the process was down must not make the times of records go back.
    #[expect(clippy::disallowed_methods, reason = "the one place that may read system time")]
    pub fn start(floor: Timestamp) -> Self {
        let started_at_wall = wall_now().max(floor);
        Self(Arc::new(Anchor { started_at: Instant::now(), started_at_wall }))
    }

    /// The time now, in milliseconds since 1970, which never goes back.
    pub fn now(&self) -> Timestamp {
        let elapsed = self.elapsed().as_millis();
        self.0.started_at_wall.plus_milliseconds(u64::try_from(elapsed).unwrap_or(u64::MAX))
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
}

/// The wall clock's time now. For log lines, file names and tokens made outside a running engine.
#[expect(clippy::disallowed_methods, reason = "the one place that may read system time")]
pub fn wall_now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
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
