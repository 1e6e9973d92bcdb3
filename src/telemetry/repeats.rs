//! Warnings and errors that repeat: the first of each kind are shown, the rest are gathered in one line.
//!
//! A kind is a place in the code that logs. Must not know the time: the owner says when a period ends.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// How long lines are gathered.
pub const PERIOD: Duration = Duration::from_secs(10);
/// Lines of one kind that a period shows.
const SHOWN_MAX: u64 = 10;
/// The target of the lines that say how many were gathered.
const TARGET: &str = "seckill::telemetry::repeats";

static REPEATS: LazyLock<Repeats> = LazyLock::new(Repeats::default);

/// Lets what repeats pass to the log as far as it is shown.
#[derive(Debug)]
pub struct Gathering(&'static Repeats);

/// Returns what gathers repeated lines for the process's log.
pub fn gathering() -> Gathering {
    Gathering(&REPEATS)
}

/// Logs every ten seconds what was gathered in them, for as long as it is polled.
pub async fn tell_each_period() {
    let mut periods = tokio::time::interval(PERIOD);
    loop {
        periods.tick().await;
        REPEATS.end_period();
    }
}

/// Lines by their kind, since the period began.
#[derive(Debug, Default)]
struct Repeats(Mutex<HashMap<Identifier, Kind>>);

#[derive(Debug, Default)]
struct Kind {
    lines: u64,
    message: String,
}

impl Repeats {
    /// Counts a line, and returns whether it is shown.
    fn count(&self, event: &Event<'_>) -> bool {
        let mut kinds = self.0.lock();
        let kind = kinds.entry(event.metadata().callsite()).or_default();
        kind.lines += 1;
        if kind.lines == SHOWN_MAX + 1 {
            event.record(&mut Message(&mut kind.message));
        }
        kind.lines <= SHOWN_MAX
    }

    /// Begins a period, and logs what the one before has gathered.
    fn end_period(&self) {
        let kinds = std::mem::take(&mut *self.0.lock());
        for Kind { lines, message } in kinds.into_values() {
            if let more @ 1.. = lines.saturating_sub(SHOWN_MAX) {
                let seconds = PERIOD.as_secs();
                tracing::warn!(
                    target: TARGET,
                    line = message,
                    "… and {more} more of these in the last {seconds} s"
                );
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for Gathering {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        *metadata.level() > Level::WARN || metadata.target() == TARGET || self.0.count(event)
    }
}

/// Takes the message out of an event.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_repeats_is_gathered_in_one_line_a_period() {
        let repeats: &'static Repeats = Box::leak(Box::default());
        let lines = Lines::default();
        let written = lines.clone();
        let log = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || written.clone())
            .finish()
            .with(Gathering(repeats));
        tracing::subscriber::with_default(log, || {
            for round in 0..4_173 {
                tracing::warn!(round, "too many log-ins");
                tracing::info!("not a warning");
            }
            tracing::warn!("alone");
            repeats.end_period();
            tracing::warn!("another period");
            repeats.end_period();
        });
        let text = String::from_utf8(lines.0.lock().clone()).expect("text");
        let count = |words: &str| text.lines().filter(|line| line.contains(words)).count();
        assert_eq!(count("too many log-ins round="), 10);
        assert_eq!(count("not a warning"), 4_173);
        assert_eq!((count("alone"), count("another period")), (1, 1));
        let gathered = "… and 4163 more of these in the last 10 s line=\"too many log-ins\"";
        assert_eq!((count(gathered), count("more of these")), (1, 1), "{text}");
    }
}
