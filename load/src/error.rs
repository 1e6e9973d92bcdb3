//! The one error of the laboratory: what went wrong with a run, as opposed to
//! what the run found out. A failed audit is a verdict, not an error.

use std::path::PathBuf;

/// Why a run or a comparison could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The scenario file says something that cannot be run.
    #[error("scenario {path}: {reason}")]
    Scenario {
        /// The scenario's file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A program this needs is not on the machine.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// The program or file.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// The engine or a peer did not start, stopped, or said something unexpected.
    #[error("server: {0}")]
    Server(String),
    /// A private backend did not start or did not obey.
    #[error("backend {name}: {reason}")]
    Backend {
        /// `redis`, `rabbitmq` or `mariadb`.
        name: &'static str,
        /// What it said.
        reason: String,
    },
    /// An administrative request was refused.
    #[error("{request} answered {status}: {body}")]
    Answer {
        /// Method and path.
        request: String,
        /// The answer's HTTP status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// An administrative request got no answer.
    #[error("{request}: {reason}")]
    NoAnswer {
        /// Method and path.
        request: String,
        /// What happened to it.
        reason: String,
    },
    /// The directory to keep the run in is not empty.
    #[error("{directory} is not empty; --keep wants a directory of its own for each run", directory = .directory.display())]
    NotEmpty {
        /// The directory that was given.
        directory: PathBuf,
    },
    /// The run was ended by SIGINT or SIGTERM.
    #[error("interrupted; what it had started was ended, and nothing was judged")]
    Interrupted,
    /// The target is not this machine and `--allow-remote` was not given.
    #[error(
        "{0} is not a loopback address; load stays on this machine unless --allow-remote is given"
    )]
    NotLoopback(String),
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// For `map_err`: an i/o error with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
