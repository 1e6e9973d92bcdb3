//! The database that order store and catalogue share: SQLite in a file of the data directory, or a
//! MySQL (MariaDB) server.
//!
//! Owns connections, their settings, migrations and the one map from driver errors to
//! [`StoreError`]. Must not know what the tables mean.
//!
//! **SQLite** has one writer connection and a few readers, in WAL mode with `synchronous=FULL`: a
//! commit is durable when it returns. `NORMAL` would be consistent, because each shard's progress is
//! written in the transaction of its orders and the journal could replay what a power cut lost, but
//! only while the journal still has it: a segment is deleted once the order store holds its orders
//! (I13), and that must mean *on disk*. One sync per batch costs about one percent of throughput.
//!
//! **MySQL** connections run at READ COMMITTED, which locks rows and no gaps, and with bounded lock
//! waits. What is committed is as durable as the server's `innodb_flush_log_at_trx_commit` makes it,
//! which has to be 1. Every statement has a deadline; a connection that missed one is closed, because
//! its answer may still come.

mod error;
mod migrations;
pub(in crate::store) mod statements;

pub use error::StoreError;

use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, MySql, MySqlPool, Sqlite, SqlitePool};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// How long a caller waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a read or a small write may take before its connection is closed.
pub(in crate::store) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How many connections read a SQLite file, besides the one that writes.
const SQLITE_READERS: u32 = 4;
/// How long a SQLite statement waits for another process that locks the file.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How many rows a SQLite reader may read ahead of its consumer.
const SQLITE_ROW_BUFFER: usize = 1024;
/// The default number of MySQL connections.
pub const MYSQL_CONNECTIONS_DEFAULT: u32 = 8;

/// A handle to the database. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub enum Database {
    /// A SQLite file.
    Sqlite(SqliteDatabase),
    /// A MySQL or MariaDB server.
    MySql(MySqlDatabase),
}

/// The connections to a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteDatabase {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// The connections to a MySQL or MariaDB server.
#[derive(Clone, Debug)]
pub struct MySqlDatabase {
    pool: MySqlPool,
}

impl Database {
    /// Opens the SQLite file at `path`, creating it if needed. Its directory must exist.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the file cannot be opened or is not a SQLite database.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(SQLITE_BUSY_TIMEOUT)
            .disable_statement_logging();
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(
                options
                    .clone()
                    // In pages, 64 MiB: a page that several batches write is copied to the file once.
                    .pragma("wal_autocheckpoint", "16384")
                    // 64 MiB, for the inner pages of the random indexes of some ten million orders.
                    .pragma("cache_size", "-65536"),
            )
            .await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(
                options
                    .create_if_missing(false)
                    .pragma("query_only", "1")
                    .row_buffer_size(SQLITE_ROW_BUFFER),
            );
        Ok(Self::Sqlite(SqliteDatabase { writer, readers }))
    }

    /// Prepares connections to the server that `url` names (`mysql://user:password@host/database`),
    /// at most `connections_max` at a time. Connects when first used, so that a server that is down
    /// does not keep the sale from starting. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Returns [`StoreError::InvalidUrl`] if `url` is not of that form.
    pub fn open_mysql(url: &SecretString, connections_max: u32) -> Result<Self, StoreError> {
        let url = url.expose_secret();
        let is_ours = url.starts_with("mysql://") || url.starts_with("mariadb://");
        let options = MySqlConnectOptions::from_str(url)
            .ok()
            .filter(|options| {
                is_ours && options.get_database().is_some_and(|name| !name.is_empty())
            })
            .ok_or(StoreError::InvalidUrl)?
            .disable_statement_logging();
        let pool = MySqlPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection
                        .execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                        .await?;
                    connection.execute("SET SESSION innodb_lock_wait_timeout = 5").await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        Ok(Self::MySql(MySqlDatabase { pool }))
    }

    /// Brings the tables up to date. Safe to repeat, and by several processes at once.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database cannot be reached, or was migrated by a newer version.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(database) => migrations::run_sqlite(&database.writer).await,
            Self::MySql(database) => migrations::run_mysql(&database.pool).await,
        }
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// Returns [`StoreError`] if it does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(database) => {
                within(database.reader().await?, async |connection| {
                    connection.ping().await.map_err(StoreError::from)
                })
                .await
            }
            Self::MySql(database) => {
                within(database.reader().await?, async |connection| {
                    connection.ping().await.map_err(StoreError::from)
                })
                .await
            }
        }
    }

    /// Closes all connections, after those in use have been returned.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(database) => {
                database.readers.close().await;
                database.writer.close().await;
            }
            Self::MySql(database) => database.pool.close().await,
        }
    }

    /// The database's name in metrics and readiness: `sqlite` or `mysql`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::MySql(_) => "mysql",
        }
    }
}

impl SqliteDatabase {
    pub(in crate::store) async fn writer(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.writer.acquire().await?)
    }

    pub(in crate::store) async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }
}

impl MySqlDatabase {
    /// Whether a caller may hold one connection and wait for another.
    pub(in crate::store) fn has_two_connections(&self) -> bool {
        self.pool.options().get_max_connections() > 1
    }

    pub(in crate::store) async fn writer(&self) -> Result<PoolConnection<MySql>, StoreError> {
        Ok(self.pool.acquire().await?)
    }

    pub(in crate::store) async fn reader(&self) -> Result<PoolConnection<MySql>, StoreError> {
        Ok(self.pool.acquire().await?)
    }
}

/// An error of which it is known whether it left a connection in doubt.
pub(in crate::store) trait ConnectionFault {
    /// Whether the database failed, rather than that it answered what the caller does not want.
    fn is_connection_fault(&self) -> bool;
}

impl ConnectionFault for StoreError {
    fn is_connection_fault(&self) -> bool {
        true
    }
}

/// Does `work` on a connection, within the statement deadline. A connection that missed it, or on which
/// the database failed, is closed and not used again: its late answer must not be taken for another
/// statement's, and what a failure left of its transaction is not known. SQLite, for one, rolls back by
/// itself where the disk is full, and the driver does not hear of it.
///
/// # Errors
/// Returns the error of `work`, or [`StoreError::TimedOut`] if it missed the deadline.
pub(in crate::store) async fn within<
    DB: sqlx::Database,
    T,
    E: From<StoreError> + ConnectionFault,
>(
    mut connection: PoolConnection<DB>,
    work: impl AsyncFnOnce(&mut DB::Connection) -> Result<T, E>,
) -> Result<T, E> {
    let result = match tokio::time::timeout(STATEMENT_TIMEOUT, work(&mut connection)).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::TimedOut.into()),
    };
    if result.as_ref().is_err_and(ConnectionFault::is_connection_fault) {
        drop(connection.detach());
    }
    result
}
