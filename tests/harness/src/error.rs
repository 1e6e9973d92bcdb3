//! What can go wrong with a server under test, told with the end of its log.

use std::{fmt, io};

/// Why a server could not do what the test asked of it.
pub enum Error {
    /// The program is not on the PATH.
    Missing {
        /// The program that was looked for, such as `redis-server`.
        program: &'static str,
    },
    /// The server, or a client run against it, failed.
    Failed {
        /// Which server.
        server: &'static str,
        /// What was tried and what came of it.
        reason: String,
        /// The end of the server's log; empty where there is none yet.
        log_tail: String,
    },
}

impl Error {
    pub(crate) fn failed(server: &'static str, reason: impl Into<String>) -> Self {
        Self::Failed { server, reason: reason.into(), log_tail: String::new() }
    }

    /// An operation of the system's that failed: `what` names it.
    pub(crate) fn io(server: &'static str, what: &str, error: &io::Error) -> Self {
        Self::failed(server, format!("{what}: {error}"))
    }

    pub(crate) fn with_log(self, tail: String) -> Self {
        match self {
            Self::Failed { server, reason, log_tail } if log_tail.is_empty() => {
                Self::Failed { server, reason, log_tail: tail }
            }
            other => other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { program } => write!(formatter, "{program} is not installed"),
            Self::Failed { server, reason, log_tail } if log_tail.is_empty() => {
                write!(formatter, "{server}: {reason}")
            }
            Self::Failed { server, reason, log_tail } => {
                write!(formatter, "{server}: {reason}\n--- end of its log ---\n{log_tail}")
            }
        }
    }
}

/// The same text as `Display`, so that `unwrap` in a test shows the log with its line breaks.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Error {}
