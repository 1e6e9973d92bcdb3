//! What can go wrong with a database, and whether a retry can help.
//!
//! The store classifies, its caller retries: a consumer that retries a whole batch is simpler than
//! two nested retries, and every write of this store may be repeated. No error holds a connection URL.

use sqlx::migrate::MigrateError;

/// Why the database did not do what it was asked. Nothing of the failed transaction is kept, except
/// that after a lost connection its commit may have happened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or the connection was lost.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// It did not answer within the deadline.
    #[error("the database did not answer in time")]
    TimedOut,
    /// Another transaction holds a lock: a deadlock, or a lock that was held for too long.
    #[error("another transaction was in the way: {0}")]
    Contention(String),
    /// It refused the statement: a missing table or right, a value out of range.
    #[error("the database refused: {0}")]
    Refused(String),
    /// A row holds what this program never writes: which row, and what.
    #[error("the database holds an impossible value: {0}")]
    Corrupt(String),
    /// Its tables cannot be brought up to date.
    #[error("migration failed: {0}")]
    Migration(String),
    /// The URL is not `mysql://user:password@host:port/database`.
    #[error("not a mysql:// URL")]
    InvalidUrl,
}

/// MySQL's numbers of errors after which the same transaction may succeed at once.
const DEADLOCK: u16 = 1213;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// MySQL's numbers for: too many connections, server shutdown, disk full, read-only during a failover,
/// connection killed, connection lost.
const UNAVAILABLE: [u16; 12] =
    [1021, 1037, 1040, 1041, 1053, 1114, 1203, 1290, 1317, 1836, 1927, 3169];

/// SQLite's primary result codes: busy, locked.
const SQLITE_CONTENTION: [i32; 2] = [5, 6];
/// SQLite's primary result codes: out of memory, I/O error, full, cannot open.
const SQLITE_UNAVAILABLE: [i32; 4] = [7, 10, 13, 14];

impl StoreError {
    /// Whether the same call may succeed later although nothing is changed here.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut | Self::Contention(_))
    }

    pub(in crate::store) fn corrupt(detail: impl Into<String>) -> Self {
        Self::Corrupt(detail.into())
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refusal) => {
                if let Some(refusal) = refusal.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
                {
                    let text = format!("{} ({})", refusal.message(), refusal.number());
                    return match refusal.number() {
                        DEADLOCK | LOCK_WAIT_TIMEOUT => Self::Contention(text),
                        number if UNAVAILABLE.contains(&number) => Self::Unavailable(text),
                        _ => Self::Refused(text),
                    };
                }
                let text = refusal.message().to_owned();
                let code = refusal.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
                // The low byte of an extended code is the primary one.
                match code & 0xff {
                    code if SQLITE_CONTENTION.contains(&code) => Self::Contention(text),
                    code if SQLITE_UNAVAILABLE.contains(&code) => Self::Unavailable(text),
                    _ => Self::Refused(text),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unavailable(error.to_string()),
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::RowNotFound => Self::Corrupt(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => match Self::from(error) {
                transient if transient.is_transient() => transient,
                other => Self::Migration(other.to_string()),
            },
            other => Self::Migration(other.to_string()),
        }
    }
}
