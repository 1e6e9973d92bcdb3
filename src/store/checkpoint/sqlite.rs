//! Checkpoints in a SQLite file: the embedded default.
//!
//! Write-ahead log with `synchronous=NORMAL`: a commit does not wait for the disk. A power cut may
//! take the last commits away, which only means replaying more of the journal, and never tears one.
//! Before journal segments are deleted, [`SqliteCheckpoints::harden`] syncs.

use super::error::CheckpointError;
use super::format::{self, Header, Malformed};
use super::mark::{Mark, Written, count, refusal};
use super::payments::{decode_payments, encode_payments};
use crate::store::lent::lend;
use crate::store::sqlite_file::{FileInPlace, close_all, empty_log, only_readable};
use domain::stock::{Changes, Snapshot};
use domain::{OrderId, OrderPayments, ShardId};
use futures_util::TryStreamExt;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection, Row};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The version of the tables below, kept in the file's `user_version`.
const SCHEMA_VERSION: i64 = 1;

/// `place` is the shard's number times 2^32 plus the item's position or the chunk's number, so that
/// a shard's rows lie together in the order in which they are loaded.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS shards (
    shard       INTEGER PRIMARY KEY,
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    item_count  INTEGER NOT NULL,
    chunk_count INTEGER NOT NULL,
    header      BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS items  (place INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS chunks (place INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS payments (
    shard    INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    content  BLOB NOT NULL,
    PRIMARY KEY (shard, order_id)
) STRICT, WITHOUT ROWID;
";

/// Three chunks fit a page; with SQLite's default of 4,096 bytes each would waste a third of one.
const PAGE_BYTES: u32 = 8192;
/// The write-ahead log is cut back to this after a large increment.
const LOG_BYTES_MAX: &str = "67108864";
/// Rows per statement, largest first: few sizes, so that each statement is prepared once.
const BATCH_SIZES: [usize; 3] = [64, 8, 1];
/// One writer and one reader; a second writer waits its turn.
const CONNECTIONS_MAX: u32 = 2;
/// How long a writer waits for another one, whose increment may be large.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Checkpoints in a SQLite file. Clones share the file.
#[derive(Clone, Debug)]
pub struct SqliteCheckpoints {
    pool: SqlitePool,
    file: Arc<FileInPlace>,
}

/// A shard's row.
struct Stored {
    mark: Mark,
    item_count: u32,
    chunk_count: u32,
    header: Vec<u8>,
}

impl SqliteCheckpoints {
    /// Opens the file at `path`, creating it if it does not exist. One in a directory that cannot be
    /// written to can be read.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if it is not a SQLite database, has a later version of the tables,
    /// or cannot be opened.
    pub async fn open(path: &Path) -> Result<Self, CheckpointError> {
        let opening = |error| opening(path, error);
        if let Some(options) = only_readable(path) {
            let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
            let file = Arc::new(FileInPlace::of(path));
            return Ok(Self { pool: pool.map_err(opening)?, file });
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("journal_size_limit", LOG_BYTES_MAX)
            .busy_timeout(WAIT_MAX);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(WAIT_MAX)
            .connect_with(options)
            .await
            .map_err(opening)?;
        let version: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&pool).await.map_err(opening)?;
        if version > SCHEMA_VERSION {
            return Err(CheckpointError::Configuration(format!(
                "the file has layout {version}, this program knows {SCHEMA_VERSION}"
            )));
        }
        sqlx::raw_sql(SCHEMA).execute(&pool).await.map_err(opening)?;
        let version = format!("PRAGMA user_version = {SCHEMA_VERSION}");
        sqlx::raw_sql(&version).execute(&pool).await.map_err(opening)?;
        Ok(Self { pool, file: Arc::new(FileInPlace::of(path)) })
    }

    /// Writes `changes` on top of `base`, or everything if there is no base, in one transaction.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the file cannot be written.
    pub async fn write(
        &self,
        epoch: u64,
        base: Option<Mark>,
        changes: &Changes,
    ) -> Result<Written, CheckpointError> {
        self.within(async |connection| write(connection, epoch, base, changes).await).await
    }

    /// Returns the shard's checkpoint, if there is one.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the file cannot be read, or does not hold what was written.
    pub async fn load(&self, shard: ShardId) -> Result<Option<(Mark, Snapshot)>, CheckpointError> {
        self.within(async |connection| load(connection, shard).await).await
    }

    /// Returns the marks of all shards that have a checkpoint, ascending by shard.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the file cannot be read.
    pub async fn marks(&self, shards: u16) -> Result<Vec<(ShardId, Mark)>, CheckpointError> {
        self.within(async |connection| {
            let rows: Vec<(u16, i64, i64)> = sqlx::query_as(
                "SELECT shard, epoch, seq FROM shards WHERE shard < ? ORDER BY shard",
            )
            .bind(shards)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
            let mark = |epoch: i64, seq: i64| Mark {
                epoch: epoch.cast_unsigned(),
                seq: seq.cast_unsigned(),
            };
            Ok(rows
                .into_iter()
                .map(|(shard, epoch, seq)| (ShardId(shard), mark(epoch, seq)))
                .collect())
        })
        .await
    }

    /// Makes what was written so far survive a power cut.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the file cannot be synced.
    pub async fn harden(&self) -> Result<(), CheckpointError> {
        self.within(async |connection| {
            // Moves the log into the file, which syncs the log before and the file after.
            let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(FULL)")
                .fetch_one(connection)
                .await
                .map_err(failed)?;
            if busy == 0 {
                Ok(())
            } else {
                Err(CheckpointError::Unavailable("the file is in use".to_owned()))
            }
        })
        .await
    }

    /// Closes the file, after those who use it, and moves its log into it.
    pub async fn close(&self) {
        if let Ok(mut connection) = self.pool.acquire().await {
            empty_log(&mut connection).await;
        }
        close_all(&self.pool).await;
    }

    /// Does `work` on a connection. One on which it failed, or was dropped in the middle, is closed and not
    /// used again, because it is not known what is left of its transaction.
    async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, CheckpointError>,
    ) -> Result<T, CheckpointError> {
        self.file.check().map_err(CheckpointError::Unavailable)?;
        let connection = self.pool.acquire().await.map_err(failed)?;
        lend(connection, |_| true, work).await
    }
}

async fn write(
    connection: &mut SqliteConnection,
    epoch: u64,
    base: Option<Mark>,
    changes: &Changes,
) -> Result<Written, CheckpointError> {
    let mark = Mark { epoch, seq: changes.seq };
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let stored = stored(&mut transaction, changes.shard).await?;
    if let Some(refusal) = refusal(stored.as_ref().map(|stored| stored.mark), base, mark) {
        return Ok(refusal);
    }
    let (items_before, chunks_before) = match (&stored, base) {
        (Some(stored), Some(_)) => (stored.item_count, stored.chunk_count),
        _ => (0, 0),
    };
    if base.is_none() {
        clear(&mut transaction, changes.shard).await?;
    }
    let shard = changes.shard;
    let items = changes
        .items
        .iter()
        .map(|(position, item)| (*position, format::encode_item(shard, *position, item)));
    upsert(&mut transaction, "items", shard, items).await?;
    let chunks = changes
        .chunks
        .iter()
        .map(|(number, chunk)| (*number, format::encode_chunk(shard, *number, chunk.as_deref())));
    upsert(&mut transaction, "chunks", shard, chunks).await?;
    put_payments(&mut transaction, changes).await?;
    let header = Header {
        epoch,
        seq: changes.seq,
        at: changes.at,
        last_order_id: changes.last_order_id,
        payments: changes.payment_count as u64,
    };
    let stored = Stored {
        mark,
        item_count: items_before.max(count(&changes.items)),
        chunk_count: chunks_before.max(count(&changes.chunks)),
        header: format::encode_header(shard, &header),
    };
    put(&mut transaction, shard, &stored).await?;
    transaction.commit().await.map_err(failed)?;
    Ok(Written::Stored(mark))
}

async fn load(
    connection: &mut SqliteConnection,
    shard: ShardId,
) -> Result<Option<(Mark, Snapshot)>, CheckpointError> {
    // One transaction reads one state of all tables.
    let mut transaction = connection.begin().await.map_err(failed)?;
    let Some(stored) = stored(&mut transaction, shard).await? else { return Ok(None) };
    let malformed = |what: &str, Malformed(why)| {
        CheckpointError::Corrupt(format!("{what} of shard {shard}: {why}"))
    };
    let header =
        format::decode_header(shard, &stored.header).map_err(|error| malformed("header", error))?;
    if (Mark { epoch: header.epoch, seq: header.seq }) != stored.mark {
        return Err(malformed("header", Malformed("another mark")));
    }
    let items = rows(&mut transaction, "items", shard, stored.item_count, |number, bytes| {
        format::decode_item(shard, number, bytes)
    })
    .await?;
    let chunks = rows(&mut transaction, "chunks", shard, stored.chunk_count, |number, bytes| {
        format::decode_chunk(shard, number, bytes)
    })
    .await?;
    let payments = payments(&mut transaction, shard, header.payments).await?;
    let snapshot = Snapshot {
        seq: header.seq,
        at: header.at,
        last_order_id: header.last_order_id,
        items,
        chunks,
        payments,
    };
    Ok(Some((stored.mark, snapshot)))
}

async fn stored(
    connection: &mut SqliteConnection,
    shard: ShardId,
) -> Result<Option<Stored>, CheckpointError> {
    let row: Option<(i64, i64, u32, u32, Vec<u8>)> = sqlx::query_as(
        "SELECT epoch, seq, item_count, chunk_count, header FROM shards WHERE shard = ?",
    )
    .bind(shard.0)
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    Ok(row.map(|(epoch, seq, item_count, chunk_count, header)| Stored {
        mark: Mark { epoch: epoch.cast_unsigned(), seq: seq.cast_unsigned() },
        item_count,
        chunk_count,
        header,
    }))
}

async fn put(
    connection: &mut SqliteConnection,
    shard: ShardId,
    stored: &Stored,
) -> Result<(), CheckpointError> {
    sqlx::query(
        "INSERT INTO shards (shard, epoch, seq, item_count, chunk_count, header)
         VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (shard) DO UPDATE SET
             epoch = excluded.epoch, seq = excluded.seq, item_count = excluded.item_count,
             chunk_count = excluded.chunk_count, header = excluded.header",
    )
    .bind(shard.0)
    .bind(stored.mark.epoch.cast_signed())
    .bind(stored.mark.seq.cast_signed())
    .bind(stored.item_count)
    .bind(stored.chunk_count)
    .bind(&stored.header)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

async fn clear(connection: &mut SqliteConnection, shard: ShardId) -> Result<(), CheckpointError> {
    for table in ["items", "chunks"] {
        sqlx::query(&format!("DELETE FROM {table} WHERE place BETWEEN ? AND ?"))
            .bind(place(shard, 0))
            .bind(place(shard, u32::MAX))
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    sqlx::query("DELETE FROM payments WHERE shard = ?")
        .bind(shard.0)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

/// Writes the payments that have changed, and takes those away that were released.
async fn put_payments(
    connection: &mut SqliteConnection,
    changes: &Changes,
) -> Result<(), CheckpointError> {
    let shard = changes.shard;
    for (order_id, payments) in &changes.payments {
        let query = match payments {
            Some(payments) => sqlx::query(
                "INSERT INTO payments (shard, order_id, content) VALUES (?, ?, ?)
                 ON CONFLICT (shard, order_id) DO UPDATE SET content = excluded.content",
            )
            .bind(shard.0)
            .bind(order_id.0.cast_signed())
            .bind(encode_payments(shard, payments)),
            None => sqlx::query("DELETE FROM payments WHERE shard = ? AND order_id = ?")
                .bind(shard.0)
                .bind(order_id.0.cast_signed()),
        };
        query.execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(())
}

/// Reads the payments of the shard's orders, of which there must be `count`, by ascending order.
async fn payments(
    connection: &mut SqliteConnection,
    shard: ShardId,
    count: u64,
) -> Result<Vec<OrderPayments>, CheckpointError> {
    let corrupt = |why| CheckpointError::Corrupt(format!("payments of shard {shard}: {why}"));
    let mut stream =
        sqlx::query("SELECT order_id, content FROM payments WHERE shard = ? ORDER BY order_id")
            .bind(shard.0)
            .fetch(connection);
    let mut found = Vec::new();
    while let Some(row) = stream.try_next().await.map_err(failed)? {
        let order_id: i64 = row.try_get(0).map_err(failed)?;
        let content: &[u8] = row.try_get(1).map_err(failed)?;
        let payments = decode_payments(shard, OrderId(order_id.cast_unsigned()), content);
        found.push(payments.map_err(|Malformed(why)| corrupt(why))?);
    }
    if found.len() as u64 == count { Ok(found) } else { Err(corrupt("not as many")) }
}

async fn upsert(
    connection: &mut SqliteConnection,
    table: &str,
    shard: ShardId,
    rows: impl ExactSizeIterator<Item = (u32, Vec<u8>)>,
) -> Result<(), CheckpointError> {
    let mut rows = rows;
    for size in BATCH_SIZES {
        if rows.len() < size {
            continue;
        }
        let values = vec!["(?, ?)"; size].join(", ");
        let statement = format!(
            "INSERT INTO {table} (place, content) VALUES {values}
             ON CONFLICT (place) DO UPDATE SET content = excluded.content"
        );
        while rows.len() >= size {
            let mut query = sqlx::query(&statement);
            for (number, content) in rows.by_ref().take(size) {
                query = query.bind(place(shard, number)).bind(content);
            }
            query.execute(&mut *connection).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Reads the shard's rows, of which there must be `count`, numbered from 0 without a gap.
async fn rows<T>(
    connection: &mut SqliteConnection,
    table: &str,
    shard: ShardId,
    count: u32,
    decode: impl Fn(u32, &[u8]) -> Result<T, Malformed>,
) -> Result<Vec<T>, CheckpointError> {
    let corrupt = |number: u32, why: &str| {
        CheckpointError::Corrupt(format!("{table} of shard {shard}, number {number}: {why}"))
    };
    let statement =
        format!("SELECT place, content FROM {table} WHERE place BETWEEN ? AND ? ORDER BY place");
    let query = sqlx::query(&statement).bind(place(shard, 0)).bind(place(shard, u32::MAX));
    let mut stream = query.fetch(connection);
    let mut found = Vec::new();
    for number in 0.. {
        let Some(row) = stream.try_next().await.map_err(failed)? else { break };
        let stored_place: i64 = row.try_get(0).map_err(failed)?;
        let content: &[u8] = row.try_get(1).map_err(failed)?;
        if stored_place != place(shard, number) {
            return Err(corrupt(number, "missing"));
        }
        found.push(decode(number, content).map_err(|Malformed(why)| corrupt(number, why))?);
    }
    if found.len() == count as usize { Ok(found) } else { Err(corrupt(count, "not as many")) }
}

fn place(shard: ShardId, number: u32) -> i64 {
    i64::from(shard.0) << 32 | i64::from(number)
}

fn failed(error: sqlx::Error) -> CheckpointError {
    match &error {
        sqlx::Error::PoolTimedOut => CheckpointError::Unavailable(error.to_string()),
        sqlx::Error::Database(database) if is_corrupt(database.code().as_deref()) => {
            CheckpointError::Corrupt(error.to_string())
        }
        sqlx::Error::ColumnDecode { .. } => CheckpointError::Corrupt(error.to_string()),
        sqlx::Error::Database(_) => CheckpointError::Refused(error.to_string()),
        _ => CheckpointError::Unavailable(error.to_string()),
    }
}

/// What an error means while the file is opened.
fn opening(path: &Path, error: sqlx::Error) -> CheckpointError {
    match failed(error) {
        CheckpointError::Unavailable(detail) | CheckpointError::Refused(detail) => {
            CheckpointError::Configuration(format!("{}: {detail}", path.display()))
        }
        error => error,
    }
}

/// SQLITE_CORRUPT with its extended codes, and SQLITE_NOTADB.
fn is_corrupt(code: Option<&str>) -> bool {
    const PRIMARY_CODE: u32 = 0xff;
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| matches!(code & PRIMARY_CODE, 11 | 26))
}
