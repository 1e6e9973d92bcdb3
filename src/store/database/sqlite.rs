//! The connections to a SQLite file, and the care for the log beside it.
//!
//! A commit is in the log until it is moved into the file. A log that is deleted beneath the process lives on
//! in the connections that have it open, and ends with them; so what it holds is moved into the file as soon as
//! that is noticed, and often enough besides that little is ever in the log alone.

use super::error::StoreError;
use super::lists::ListPlaces;
use crate::store::sqlite_file::{FileInPlace, LogLost, close_all, empty_log, only_readable};
use parking_lot::RwLock;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Sqlite, SqliteConnection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex, OwnedSemaphorePermit};

/// How long a caller waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to bring a log into its file.
const MEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How many connections read the file, besides the one that writes.
pub(super) const READERS: u32 = 4;
/// How long a statement waits for another process that locks the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How many rows a reader may read ahead of its consumer.
const ROW_BUFFER: usize = 1024;
/// How many looks at a log that grows all the time pass before it is moved into the file nevertheless.
const LOOKS_MAX: u32 = 10;

/// The connections to a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteDatabase(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    pools: RwLock<Pools>,
    lists: ListPlaces,
    file: FileInPlace,
    /// Whether it was opened for reading: the log is another process's then.
    is_read_only: bool,
    /// Whether it was closed for good.
    is_closed: AtomicBool,
    /// Whether it was told that a log is lost, and none was mended since.
    is_loss_told: AtomicBool,
    /// Taken by who moves the log into the file.
    upkeep: Mutex<Upkeep>,
}

/// One connection that writes, and those that read.
#[derive(Clone, Debug)]
struct Pools {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// What the last looks at the log found.
#[derive(Debug, Default)]
struct Upkeep {
    /// When the log was written last, as of the last look.
    seen: Option<SystemTime>,
    /// When it had been written last when it was moved into the file.
    moved: Option<SystemTime>,
    /// Looks since then at which it had been written again.
    looks: u32,
}

impl Pools {
    /// Opens the file, creating it if needed.
    async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
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
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(
                options
                    .create_if_missing(false)
                    .pragma("query_only", "1")
                    .row_buffer_size(ROW_BUFFER),
            );
        Ok(Self { writer, readers })
    }

    fn are_empty(&self) -> bool {
        self.writer.size() + self.readers.size() == 0
    }
}

impl SqliteDatabase {
    /// Opens the file at `path`, creating it if needed.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = only_readable(path);
        let is_read_only = options.is_some();
        let (pools, readers) = match options {
            Some(options) => {
                let one = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
                (Pools { writer: one.clone(), readers: one }, 1)
            }
            None => (Pools::open(path).await?, READERS),
        };
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            pools: RwLock::new(pools),
            lists: ListPlaces::of(readers),
            file: FileInPlace::of(path),
            is_read_only,
            is_closed: AtomicBool::new(false),
            is_loss_told: AtomicBool::new(false),
            upkeep: Mutex::default(),
        })))
    }

    /// The connections, once the file and its log are known to be in their place.
    async fn pools(&self) -> Result<Pools, StoreError> {
        self.0.file.check().map_err(StoreError::Unavailable)?;
        let is_open = !self.0.is_closed.load(Ordering::Acquire);
        if is_open && !self.0.is_read_only && self.0.file.check_log().is_err() {
            self.mend().await?;
        }
        Ok(self.present_pools())
    }

    fn present_pools(&self) -> Pools {
        self.0.pools.read().clone()
    }

    /// The pool of the connection that writes, for migrations.
    pub(super) async fn writer_pool(&self) -> Result<SqlitePool, StoreError> {
        Ok(self.pools().await?.writer)
    }

    /// The one connection that writes.
    pub(in crate::store) async fn writer(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.pools().await?.writer.acquire().await?)
    }

    /// A connection that reads.
    pub(in crate::store) async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.pools().await?.readers.acquire().await?)
    }

    /// A place to read a client's list in; its connection comes after it.
    pub(in crate::store) async fn list_place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        self.0.lists.take().await
    }

    /// Moves the log into the file if nothing was written since the last call, or much was for long. To be
    /// called every second or so.
    pub(super) async fn tend(&self) -> Result<(), StoreError> {
        let pools = self.pools().await?;
        if self.0.is_read_only {
            return Ok(());
        }
        let Some(written) = self.0.file.log_written_at() else { return Ok(()) };
        let mut upkeep = self.0.upkeep.lock().await;
        if upkeep.moved == Some(written) {
            return Ok(());
        }
        let is_quiet = upkeep.seen.replace(written) == Some(written);
        upkeep.looks += 1;
        if !is_quiet && upkeep.looks < LOOKS_MAX {
            return Ok(());
        }
        // On a connection that reads, so that no writer waits for it.
        let mut connection = pools.readers.acquire().await?;
        if move_log(&mut connection, How::InPassing).await? {
            *upkeep = Upkeep { seen: Some(written), moved: Some(written), looks: 0 };
        }
        Ok(())
    }

    /// Brings what a log holds that is not in its place any more into the file, through the connections that
    /// still have it open, and opens the file anew.
    async fn mend(&self) -> Result<(), StoreError> {
        let mending = async {
            let _upkeep = self.0.upkeep.lock().await;
            match self.0.file.check_log() {
                // Another caller has mended it meanwhile.
                Ok(()) => Ok(()),
                Err(lost) => self.bring_in(lost).await,
            }
        };
        match tokio::time::timeout(MEND_TIMEOUT, mending).await {
            Ok(mended) => mended,
            Err(_) => Err(StoreError::TimedOut),
        }
    }

    async fn bring_in(&self, lost: LogLost) -> Result<(), StoreError> {
        let pools = self.present_pools();
        let refused = |error: StoreError| {
            if !self.0.is_loss_told.swap(true, Ordering::AcqRel) {
                tracing::error!(%lost, %error, "a SQLite file's log is lost");
            }
            StoreError::Unavailable(lost.to_string())
        };
        if lost.is_short() {
            // Another process may have moved all of it, and it ends where it should. What is not there
            // cannot be read, and what can be read is in its place.
            let mut connection = pools.writer.acquire().await?;
            if !move_log(&mut connection, How::Emptying).await.map_err(refused)? {
                return Err(StoreError::Unavailable(lost.to_string()));
            }
            self.log_is_whole();
            return Ok(());
        }
        if !pools.are_empty() {
            // One that has the log open is the last to end, because it ends with it.
            let (first, last) = match pools.writer.size() {
                0 => (&pools.writer, &pools.readers),
                _ => (&pools.readers, &pools.writer),
            };
            close_all(first).await;
            let mut connection = last.acquire().await?;
            if !move_log(&mut connection, How::Emptying).await.map_err(refused)? {
                return Err(StoreError::Unavailable(lost.to_string()));
            }
            connection.close().await?;
            close_all(last).await;
            tracing::warn!(
                log = %lost.path().display(),
                "a SQLite file's log was deleted, moved or replaced beneath this process; all that it held \
                 is in its file now and nothing is lost: leave the files of the data directory alone"
            );
        }
        // Where nobody has the log open, the last connection has moved and deleted it by itself.
        let is_wanted = !self.0.is_closed.load(Ordering::Acquire);
        if is_wanted && (pools.writer.is_closed() || pools.readers.is_closed()) {
            let opened = Pools::open(&self.0.path).await?;
            *self.0.pools.write() = opened;
        }
        self.log_is_whole();
        Ok(())
    }

    fn log_is_whole(&self) {
        self.0.file.forget_log();
        self.0.is_loss_told.store(false, Ordering::Release);
    }

    /// Closes all connections. The file is whole by itself afterwards, without its log.
    pub(super) async fn close(&self) {
        // Its log goes now, rightly, and nobody opens it anew.
        self.0.is_closed.store(true, Ordering::Release);
        let pools = self.present_pools();
        close_all(&pools.readers).await;
        if self.0.file.check().is_ok()
            && self.0.file.check_log().is_ok()
            && let Ok(mut connection) = pools.writer.acquire().await
        {
            empty_log(&mut connection).await;
        }
        close_all(&pools.writer).await;
    }
}

/// How a log is moved into its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// As far as readers and writers let it, without keeping any waiting.
    InPassing,
    /// All of it, waiting for them; the log is empty then.
    Emptying,
}

/// Moves what the connection's log holds into the file. Returns whether that was all of it: somebody may be
/// reading a state of before.
async fn move_log(connection: &mut SqliteConnection, how: How) -> Result<bool, StoreError> {
    let text = match how {
        How::InPassing => "PRAGMA wal_checkpoint(PASSIVE)",
        How::Emptying => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let (busy, written, moved): (i64, i64, i64) =
        sqlx::query_as(text).fetch_one(connection).await?;
    Ok(busy == 0 && written == moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn opened(path: &Path) -> SqliteDatabase {
        SqliteDatabase::open(path).await.expect("opened")
    }

    async fn execute(database: &SqliteDatabase, text: &'static str) -> Result<(), StoreError> {
        let mut connection = database.writer().await?;
        sqlx::query(text).execute(&mut *connection).await?;
        Ok(())
    }

    /// How many rows a copy of the file alone has, as after the process was killed and its log lost.
    async fn rows_of_the_file_alone(path: &Path) -> i64 {
        let copy = tempfile::tempdir().expect("a directory");
        let copied = copy.path().join("copy.db");
        std::fs::copy(path, &copied).expect("copied");
        let database = opened(&copied).await;
        let mut connection = database.reader().await.expect("a connection");
        let rows = sqlx::query_scalar("SELECT count(*) FROM people").fetch_one(&mut *connection);
        rows.await.expect("a number")
    }

    fn beside(path: &Path, end: &str) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        name.into()
    }

    #[tokio::test]
    async fn a_log_that_goes_is_brought_into_its_file_and_another_one_begun() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("orders.db");
        let database = opened(&path).await;
        execute(&database, "CREATE TABLE people (name TEXT)").await.expect("made");
        let mut rows = 0;
        for end in ["-wal", "-shm"] {
            for replaced in [false, true] {
                execute(&database, "INSERT INTO people VALUES ('mia')").await.expect("stored");
                // A look at a file of which a reader has a connection, too.
                drop(database.reader().await.expect("a connection"));
                rows += 1;
                std::fs::remove_file(beside(&path, end)).expect("deleted");
                if replaced {
                    std::fs::write(beside(&path, end), b"another").expect("replaced");
                }
                database.tend().await.expect("mended");
                assert_eq!(rows_of_the_file_alone(&path).await, rows, "{end} {replaced}");
                execute(&database, "INSERT INTO people VALUES ('ben')").await.expect("stored");
                rows += 1;
                assert!(beside(&path, "-wal").exists(), "there is no log again");
            }
        }
        database.close().await;
        assert_eq!(rows_of_the_file_alone(&path).await, rows);
        assert!(database.reader().await.is_err(), "what is closed stays closed");
        assert!(!beside(&path, "-wal").exists(), "and has no log");
    }

    #[tokio::test]
    async fn a_log_is_moved_when_nothing_is_written_and_can_be_cut_then() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("orders.db");
        let database = opened(&path).await;
        execute(&database, "CREATE TABLE people (name TEXT)").await.expect("made");
        execute(&database, "INSERT INTO people VALUES ('mia')").await.expect("stored");
        database.tend().await.expect("seen");
        database.tend().await.expect("moved");
        assert_eq!(rows_of_the_file_alone(&path).await, 1);
        let cut = |length| {
            let log = std::fs::OpenOptions::new().write(true).open(beside(&path, "-wal"));
            log.expect("a log").set_len(length).expect("cut");
        };
        cut(0);
        execute(&database, "INSERT INTO people VALUES ('ben')").await.expect("nothing was lost");
        drop(database.reader().await.expect("seen"));
        // What is in the log alone and is cut off is lost, and nothing is written where it was.
        cut(0);
        let refused = execute(&database, "INSERT INTO people VALUES ('eva')").await;
        let Err(StoreError::Unavailable(told)) = refused else { panic!("{refused:?}") };
        assert!(told.contains("orders.db-wal was cut short beneath this process"), "{told}");
        database.close().await;
        let database = opened(&path).await;
        execute(&database, "INSERT INTO people VALUES ('eva')").await.expect("after a start");
        database.close().await;
        assert_eq!(rows_of_the_file_alone(&path).await, 2);
    }
}
