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
//! `sqlite` has its connections and looks after its log.
//!
//! **MySQL** connections run at READ COMMITTED, which locks rows and no gaps, and with bounded lock
//! waits. What is committed is as durable as the server's `innodb_flush_log_at_trx_commit` makes it,
//! which has to be 1. Every statement has a deadline; a connection that missed one is closed, because
//! its answer may still come. `mysql` has the connections, and refuses at once while the server is away.

mod error;
mod lists;
mod migrations;
mod mysql;
mod sqlite;
pub(in crate::store) mod statements;
mod verify;

pub use error::StoreError;
pub use mysql::MySqlDatabase;
pub use sqlite::SqliteDatabase;

use super::lent::lend;
use secrecy::SecretString;
use sqlx::Connection;
use sqlx::pool::PoolConnection;
use std::path::Path;
use std::time::Duration;

/// How long a read or a small write may take before its connection is closed.
pub(in crate::store) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
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

impl Database {
    /// Opens the SQLite file at `path`, creating it if needed. Its directory must exist. A file that
    /// this process cannot write to, such as one in a directory that is mounted for reading, can be
    /// read.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the file cannot be opened or is not a SQLite database.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::Sqlite(SqliteDatabase::open(path).await?))
    }

    /// Prepares connections to the server that `url` names (`mysql://user:password@host/database`),
    /// at most `connections_max` at a time. Connects when first used, so that a server that is down
    /// does not keep the sale from starting. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Returns [`StoreError::InvalidUrl`] if `url` is not of that form.
    pub fn open_mysql(url: &SecretString, connections_max: u32) -> Result<Self, StoreError> {
        Ok(Self::MySql(MySqlDatabase::open(url, connections_max)?))
    }

    /// Brings the tables up to date and looks whether all of them are there: one that is gone is made
    /// anew, empty. Returns the names of those. Safe to repeat, and by several processes at once.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database cannot be reached, or was migrated by a newer version;
    /// [`StoreError::Migration`] if a table or a column is missing and cannot be made.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let expected = verify::expected().await?;
        let lost = match self {
            Self::Sqlite(database) => {
                let pool = database.writer_pool().await?;
                migrations::run_sqlite(&pool).await?;
                let lost = self.lost_tables(&expected).await?;
                if !lost.is_empty() {
                    migrations::repeat_sqlite(&pool).await;
                }
                lost
            }
            Self::MySql(database) => {
                database.is_reachable().await?;
                let pool = database.pool();
                // Its end, on whichever way, ends the lock.
                let lock = migrations::lock_mysql(pool).await?;
                migrations::run_mysql(pool).await?;
                let lost = self.lost_tables(&expected).await?;
                if !lost.is_empty() {
                    migrations::repeat_mysql(pool).await;
                }
                lock.close().await?;
                lost
            }
        };
        match verify::missing(&expected, &self.tables().await?) {
            None => Ok(lost),
            Some(missing) => Err(StoreError::Migration(format!("the database lacks {missing}"))),
        }
    }

    /// The tables that the migrations made and that are gone.
    async fn lost_tables(&self, expected: &verify::Tables) -> Result<Vec<String>, StoreError> {
        let lost = verify::missing_tables(expected, &self.tables().await?);
        if !lost.is_empty() {
            tracing::warn!(tables = lost.join(", "), "tables are gone and are made anew");
        }
        Ok(lost)
    }

    /// The tables that there are.
    async fn tables(&self) -> Result<verify::Tables, StoreError> {
        let rows = match self {
            Self::Sqlite(database) => {
                let mut reader = database.reader().await?;
                sqlx::query_as(verify::SQLITE_COLUMNS).fetch_all(&mut *reader).await?
            }
            Self::MySql(database) => {
                sqlx::query_as(verify::MYSQL_COLUMNS).fetch_all(database.pool()).await?
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
            Self::MySql(database) => database.ping().await,
        }
    }

    /// Looks after what is beside the tables: a SQLite file's log is moved into the file when nothing else is
    /// written. To be called every second or so.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the file or its log is not in its place any more.
    pub async fn tend(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(database) => database.tend().await,
            Self::MySql(_) => Ok(()),
        }
    }

    /// Closes all connections, after those in use have been returned. A SQLite file is whole by itself
    /// afterwards, without its log.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(database) => database.close().await,
            Self::MySql(database) => database.close().await,
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

/// Does `work` on a connection, within the statement deadline. A connection that missed it, on which the
/// database failed, or whose work was dropped in the middle, is closed and not used again: its late answer
/// must not be taken for another statement's, and what is left of its transaction is not known. SQLite, for
/// one, rolls back by itself where the disk is full, and the driver does not hear of it.
///
/// # Errors
/// Returns the error of `work`, or [`StoreError::TimedOut`] if it missed the deadline.
pub(in crate::store) async fn within<
    DB: sqlx::Database,
    T,
    E: From<StoreError> + ConnectionFault,
>(
    connection: PoolConnection<DB>,
    work: impl AsyncFnOnce(&mut DB::Connection) -> Result<T, E>,
) -> Result<T, E> {
    lend(connection, ConnectionFault::is_connection_fault, async |connection| {
        let done = tokio::time::timeout(STATEMENT_TIMEOUT, work(connection)).await;
        done.unwrap_or_else(|_| Err(StoreError::TimedOut.into()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn write(database: &SqliteDatabase) -> Result<(), StoreError> {
        within(database.writer().await?, async |connection| {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query("INSERT INTO notes VALUES (1)").execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok::<_, StoreError>(())
        })
        .await
    }

    #[tokio::test]
    async fn a_write_that_is_dropped_at_any_moment_keeps_no_other_from_writing() {
        let directory = tempfile::tempdir().expect("a directory");
        let database = SqliteDatabase::open(&directory.path().join("orders.db")).await;
        let database = database.expect("opened");
        let mut writer = database.writer().await.expect("a connection");
        let made = sqlx::query("CREATE TABLE notes (note INTEGER)").execute(&mut *writer).await;
        made.expect("a table");
        drop(writer);
        for round in 0..1_000 {
            let turns = async {
                for _ in 0..1 << (round % 12) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                written = write(&database) => written.expect("written"),
                () = turns => {}
            }
            assert_eq!(write(&database).await, Ok(()), "after {round} writes, some dropped");
        }
    }

    #[tokio::test]
    async fn lists_wait_for_lists_and_nobody_waits_for_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let database = Database::open_sqlite(&directory.path().join("orders.db")).await;
        let Ok(Database::Sqlite(database)) = database else { panic!("{database:?}") };
        let mut lists = Vec::new();
        for _ in 0..sqlite::READERS / 2 {
            let place = database.list_place().await.expect("a place");
            lists.push((place, database.reader().await.expect("a connection")));
        }
        let told = database.list_place().await.map(drop);
        assert_eq!(told, Err(StoreError::Unavailable("too many lists are being read".to_owned())));
        drop(database.reader().await.expect("those who read no list have connections"));
        lists.pop();
        drop(database.list_place().await.expect("a place again"));
    }
}
