//! The log: its format, its filter, and where it goes.
//!
//! Log lines say what happened in lower case, without a full stop, with values as fields, once and
//! where it is handled. Must not know what is logged.

use super::repeats::gathering;
use serde::{Deserialize, Serialize};
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The filter in effect if none is configured. The libraries named here log each connection and
/// each actor at `info`. The broker's client calls a queue that is not declared yet an error; what
/// fails on its connections is logged by the code that uses them.
pub const DEFAULT_FILTER: &str = "info,ractor=warn,lapin=off,sqlx=warn";

/// The form of a log line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people: time, level, target, message, fields.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Whether the text is a valid filter for the log.
pub fn is_filter(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok()
}

/// Changes the log's filter.
type SetFilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// Set once the process has a log.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// Sends the log to standard error from here on. To be called once in a process.
///
/// # Errors
/// Returns [`TryInitError`] if the process has a log already.
pub fn start(format: LogFormat, filter: &str) -> Result<(), TryInitError> {
    let filter = EnvFilter::new(filter);
    let log = tracing_subscriber::fmt()
        .with_ansi(io::stderr().is_terminal())
        // What the log itself reports would go to standard error too, and end the task that logs when
        // that is broken.
        .log_internal_errors(false)
        .with_writer(|| Lossy);
    match format {
        LogFormat::Text => {
            let log = log.with_env_filter(filter).with_filter_reloading();
            keep(log.reload_handle());
            log.finish().with(gathering()).try_init()
        }
        LogFormat::Json => {
            let log = log.json().flatten_event(true).with_current_span(false);
            let log = log.with_env_filter(filter).with_filter_reloading();
            keep(log.reload_handle());
            log.finish().with(gathering()).try_init()
        }
    }
}

/// Lets the log go by another filter from here on. Returns whether it does: not if the process has no log,
/// or this is no filter.
pub fn set_filter(filter: &str) -> bool {
    let (Some(set), Ok(filter)) = (SET_FILTER.get(), EnvFilter::try_new(filter)) else {
        return false;
    };
    set(filter)
}

fn keep<S: 'static>(handle: Handle<EnvFilter, S>) {
    // A process has one log.
    let _ = SET_FILTER.set(Box::new(move |filter| handle.reload(filter).is_ok()));
}

static LINES_LOST: AtomicU64 = AtomicU64::new(0);

/// Log lines that standard error did not take since the start.
pub fn lines_lost() -> u64 {
    LINES_LOST.load(Ordering::Relaxed)
}

/// Standard error as far as it takes what is written. A line that it refuses is lost and counted, and
/// the task that logs goes on.
struct Lossy;

impl Write for Lossy {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if io::stderr().write_all(line).is_err() {
            LINES_LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_filter_is_one() {
        assert!(is_filter(DEFAULT_FILTER));
        assert!(!is_filter("seckill=loud"));
    }
}
