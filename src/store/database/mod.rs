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
mod verify;

pub use error::StoreError;

use crate::store::sqlite_file::only_readable;
use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, MySql, MySqlPool, Sqlite, SqlitePool};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long a caller waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to learn whether anybody listens at the server's address.
const REACH_TIMEOUT: Duration = Duration::from_secs(5);
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
    /// Where the server listens; none for one that is reached through a socket in the file system.
    place: Option<(String, u16)>,
}

impl Database {
    /// Opens the SQLite file at `path`, creating it if needed. Its directory must exist. A file that
    /// this process cannot write to, such as one in a directory that is mounted for reading, can be
    /// read.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the file cannot be opened or is not a SQLite database.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        if let Some(options) = only_readable(path) {
            let readers = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
            return Ok(Self::Sqlite(SqliteDatabase { writer: readers.clone(), readers }));
        }
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
        let place = options.get_socket().is_none();
        let place = place.then(|| (options.get_host().to_owned(), options.get_port()));
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
        Ok(Self::MySql(MySqlDatabase { pool, place }))
    }

    /// Brings the tables up to date and looks whether all of them are there: one that is gone is made
    /// anew, empty. Returns the names of those. Safe to repeat, and by several processes at once.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database cannot be reached, or was migrated by a newer version;
    /// [`StoreError::Migration`] if a table or a column is missing and cannot be made.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Sqlite(database) => {
                migrations::run_sqlite(&database.writer).await?;
            }
            Self::MySql(database) => {
                database.is_reachable().await?;
                migrations::run_mysql(&database.pool).await?;
            }
        }
        let expected = verify::expected().await?;
        let lost = verify::missing_tables(&expected, &self.tables().await?);
        if !lost.is_empty() {
            tracing::warn!(tables = lost.join(", "), "tables are gone and are made anew");
            match self {
                Self::Sqlite(database) => {
                    migrations::repeat_sqlite(&database.writer).await;
                }
                Self::MySql(database) => {
                    migrations::repeat_mysql(&database.pool).await;
                }
            }
        }
        match verify::missing(&expected, &self.tables().await?) {
            None => Ok(lost),
            Some(missing) => Err(StoreError::Migration(format!("the database lacks {missing}"))),
        }
    }

    /// The tables that there are.
    async fn tables(&self) -> Result<verify::Tables, StoreError> {
        let rows = match self {
            Self::Sqlite(database) => {
                sqlx::query_as(verify::SQLITE_COLUMNS).fetch_all(&database.readers).await?
            }
            Self::MySql(database) => {
                sqlx::query_as(verify::MYSQL_COLUMNS).fetch_all(&database.pool).await?
            }
        };
        Ok(verify::tables(rows))
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
        self.connection().await
    }

    pub(in crate::store) async fn reader(&self) -> Result<PoolConnection<MySql>, StoreError> {
        self.connection().await
    }

    async fn connection(&self) -> Result<PoolConnection<MySql>, StoreError> {
        if self.pool.size() == 0 {
            self.is_reachable().await?;
        }
        self.pool.acquire().await.map_err(|error| match (error, &self.place) {
            (sqlx::Error::PoolTimedOut, Some((host, port))) => {
                let seconds = ACQUIRE_TIMEOUT.as_secs();
                let what = format!("no connection to {host}:{port} within {seconds} s");
                StoreError::Unavailable(what)
            }
            (error, _) => error.into(),
        })
    }

    /// Returns at once where nobody listens. The pool itself would try for as long as a caller waits,
    /// and then not say where.
    async fn is_reachable(&self) -> Result<(), StoreError> {
        let Some((host, port)) = &self.place else { return Ok(()) };
        let unreachable = |why: String| StoreError::Unavailable(format!("{host}:{port}: {why}"));
        let connecting = TcpStream::connect((host.as_str(), *port));
        match tokio::time::timeout(REACH_TIMEOUT, connecting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable("no answer".to_owned())),
        }
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
