//! The statements of an open transaction in the dialect that MySQL 8 and MariaDB share.
//!
//! Rows are looked up `FOR UPDATE`, so that what was compared stays as it was until the commit. In
//! `ON DUPLICATE KEY UPDATE`, assignments take effect from left to right, so the version comes last:
//! the others compare with it. `VALUES()` is used although MySQL 8 prefers a row alias, which MariaDB
//! does not know.

use super::batch::{ItemRow, OperationEntry};
use super::bytes;
use super::conflict::SetAside;
use super::payment_row::{StoredPayment, bind_payment, decode_payment, payment_columns};
use super::progress::ShardProgress;
use super::progress_rows::{bind_seals, decode_progress, seal_columns};
use super::row::{StoredOrder, bind_order, columns, decode_order};
use super::session::{Insertion, LOG_OPERATION, Session, insertion};
use crate::store::database::StoreError;
use crate::store::database::statements::{SIZES, SizedStatement};
use domain::{Order, OrderId, ShardId};
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::query::Query;
use sqlx::{MySql, MySqlConnection, Row};
use std::sync::LazyLock;

const INSERT_HEAD: &str = concat!("INSERT INTO orders (", columns!(), ") VALUES ");
const ROW: &str = "(?,?,?,?,?,?,?,?,?,?,?,?,?)";
const UPSERT_TAIL: &str = " ON DUPLICATE KEY UPDATE
     status = IF(VALUES(version) > version, VALUES(status), status),
     changed_at = IF(VALUES(version) > version, VALUES(changed_at), changed_at),
     version = IF(VALUES(version) > version, VALUES(version), version)";

const INSERT_PAYMENTS_HEAD: &str =
    concat!("INSERT INTO payments (", payment_columns!(), ") VALUES ");
const PAYMENT_ROW: &str = "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
const UPSERT_PAYMENTS_TAIL: &str = " ON DUPLICATE KEY UPDATE
     amount = IF(VALUES(version) >= version, VALUES(amount), amount),
     currency = IF(VALUES(version) >= version, VALUES(currency), currency),
     state = IF(VALUES(version) >= version, VALUES(state), state),
     reference = IF(VALUES(version) >= version, VALUES(reference), reference),
     refund_reference = IF(VALUES(version) >= version, VALUES(refund_reference), refund_reference),
     changed_at = IF(VALUES(version) >= version, VALUES(changed_at), changed_at),
     created_at = LEAST(created_at, VALUES(created_at)),
     version = GREATEST(version, VALUES(version))";

static INSERT: LazyLock<SizedStatement> =
    LazyLock::new(|| SizedStatement::new(INSERT_HEAD, ROW, ""));
static UPSERT: LazyLock<SizedStatement> =
    LazyLock::new(|| SizedStatement::new(INSERT_HEAD, ROW, UPSERT_TAIL));
static STORED: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new(
        concat!("SELECT ", columns!(), " FROM orders WHERE order_id IN ("),
        "?",
        ") FOR UPDATE",
    )
});
static INSERT_PAYMENTS: LazyLock<SizedStatement> =
    LazyLock::new(|| SizedStatement::new(INSERT_PAYMENTS_HEAD, PAYMENT_ROW, ""));
static UPSERT_PAYMENTS: LazyLock<SizedStatement> =
    LazyLock::new(|| SizedStatement::new(INSERT_PAYMENTS_HEAD, PAYMENT_ROW, UPSERT_PAYMENTS_TAIL));
static STORED_PAYMENTS: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new(
        concat!("SELECT ", payment_columns!(), " FROM payments WHERE order_id IN ("),
        "?",
        ") FOR UPDATE",
    )
});
static INSERT_ITEMS: LazyLock<SizedStatement> = LazyLock::new(|| {
    let head = "INSERT INTO item_events (shard, seq, item_id, kind, at, record) VALUES ";
    SizedStatement::new(head, "(?,?,?,?,?,?)", "")
});
static SET_ASIDE: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new(
        "INSERT INTO dead_letters (shard, seq, at, reason, record) VALUES ",
        "(?,?,?,?,?)",
        " ON DUPLICATE KEY UPDATE
             at = VALUES(at), reason = VALUES(reason), record = VALUES(record)",
    )
});
static WRITE_PROGRESS: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new(
        "INSERT INTO shard_progress (shard, applied_seq) VALUES ",
        "(?,?)",
        " ON DUPLICATE KEY UPDATE applied_seq = VALUES(applied_seq)",
    )
});
static WRITE_SEALS: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new(
        concat!("INSERT INTO shard_seals (", seal_columns!(), ") VALUES "),
        "(?,?,?,?,?,?)",
        " ON DUPLICATE KEY UPDATE seq = VALUES(seq), orders = VALUES(orders),
             item_records = VALUES(item_records), digest = VALUES(digest),
             conflicts = VALUES(conflicts)",
    )
});

/// The primary keys are forced, since a look at the whole of a small table would wait for the rows of other shards: of
/// those that another node's transaction holds, for as long as it does.
static LOCK_PROGRESS: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new(
        "SELECT p.shard, p.applied_seq, s.seq, s.orders, s.item_records, s.digest, s.conflicts
         FROM shard_progress p FORCE INDEX (PRIMARY)
         LEFT JOIN shard_seals s FORCE INDEX (PRIMARY) ON s.shard = p.shard WHERE p.shard IN (",
        "?",
        ") ORDER BY p.shard FOR UPDATE",
    )
});

impl Session for MySqlConnection {
    async fn stored(&mut self, order_ids: &[OrderId]) -> Result<Vec<StoredOrder>, StoreError> {
        let mut query = sqlx::query(STORED.of(order_ids.len()));
        for order_id in order_ids {
            query = query.bind(order_id.0);
        }
        query.fetch_all(self).await?.iter().map(decode).collect()
    }

    async fn holder(&mut self, order: &Order) -> Result<OrderId, StoreError> {
        let text = "SELECT order_id FROM orders \
                    WHERE sale_id = ? AND item_id = ? AND user_id = ? AND attempt = ?";
        let row = sqlx::query(text)
            .bind(order.sale_id.0)
            .bind(order.item_id.0)
            .bind(order.user_id.0)
            .bind(order.attempt)
            .fetch_one(self)
            .await?;
        Ok(OrderId(row.try_get(0)?))
    }

    async fn insert(&mut self, rows: &[StoredOrder]) -> Result<Insertion, StoreError> {
        let query = rows.iter().fold(sqlx::query(INSERT.of(rows.len())), bind);
        insertion(query.execute(self).await)
    }

    async fn update(&mut self, rows: &[StoredOrder]) -> Result<(), StoreError> {
        let query = rows.iter().fold(sqlx::query(UPSERT.of(rows.len())), bind);
        query.execute(self).await?;
        Ok(())
    }

    async fn stored_payments(
        &mut self,
        order_ids: &[OrderId],
    ) -> Result<Vec<StoredPayment>, StoreError> {
        let mut query = sqlx::query(STORED_PAYMENTS.of(order_ids.len()));
        for order_id in order_ids {
            query = query.bind(order_id.0);
        }
        let rows = query.fetch_all(self).await?;
        rows.iter().map(|row: &MySqlRow| decode_payment!(row, kept)).collect()
    }

    async fn insert_payments(&mut self, rows: &[&StoredPayment]) -> Result<Insertion, StoreError> {
        let query = sqlx::query(INSERT_PAYMENTS.of(rows.len()));
        let query = rows.iter().fold(query, |query, row| bind_payment!(query, row, kept));
        insertion(query.execute(self).await)
    }

    async fn update_payments(&mut self, rows: &[StoredPayment]) -> Result<(), StoreError> {
        let query = sqlx::query(UPSERT_PAYMENTS.of(rows.len()));
        let query = rows.iter().fold(query, |query, row| bind_payment!(query, row, kept));
        query.execute(self).await?;
        Ok(())
    }

    async fn stored_item(&mut self, shard: ShardId, seq: u64) -> Result<Vec<u8>, StoreError> {
        let row = sqlx::query("SELECT record FROM item_events WHERE shard = ? AND seq = ?")
            .bind(shard.0)
            .bind(seq)
            .fetch_one(self)
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn insert_items(&mut self, rows: &[ItemRow]) -> Result<Insertion, StoreError> {
        let mut query = sqlx::query(INSERT_ITEMS.of(rows.len()));
        for row in rows {
            query = query
                .bind(row.record.shard.0)
                .bind(row.record.seq)
                .bind(row.item_id)
                .bind(row.kind)
                .bind(row.record.at.0)
                .bind(row.bytes.as_slice());
        }
        insertion(query.execute(self).await)
    }

    async fn log_operation(&mut self, entry: &OperationEntry<'_>) -> Result<(), StoreError> {
        sqlx::query(LOG_OPERATION)
            .bind(entry.at.0)
            .bind(entry.actor)
            .bind(entry.action.as_str())
            .bind(entry.subject.as_str())
            .bind(entry.detail.as_str())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn set_aside(&mut self, rows: &[SetAside]) -> Result<(), StoreError> {
        let mut query = sqlx::query(SET_ASIDE.of(rows.len()));
        for SetAside { record, reason } in rows {
            query = query
                .bind(record.shard.0)
                .bind(record.seq)
                .bind(record.at.0)
                .bind(reason.as_str())
                .bind(bytes::encode(record));
        }
        query.execute(self).await?;
        Ok(())
    }

    async fn delete_set_aside(&mut self, shard: ShardId, seq: u64) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM dead_letters WHERE shard = ? AND seq = ?");
        query.bind(shard.0).bind(seq).execute(self).await?;
        Ok(())
    }

    async fn lock_progress(
        &mut self,
        shards: &[ShardId],
    ) -> Result<Vec<ShardProgress>, StoreError> {
        let stored = locked_progress(self, shards).await?;
        let is_missing = |shard: &&ShardId| stored.iter().all(|own| own.shard != **shard);
        let mut missing = shards.iter().filter(is_missing).peekable();
        if missing.peek().is_none() {
            return Ok(stored);
        }
        // A row that does not exist cannot be locked, so that two sessions would both begin at 0.
        const TEXT: &str = "INSERT INTO shard_progress (shard, applied_seq) VALUES (?, 0) \
                            ON DUPLICATE KEY UPDATE applied_seq = applied_seq";
        for shard in missing {
            sqlx::query(TEXT).bind(shard.0).execute(&mut *self).await?;
        }
        locked_progress(self, shards).await
    }

    async fn write_progress(&mut self, progress: &[ShardProgress]) -> Result<(), StoreError> {
        let mut query = sqlx::query(WRITE_PROGRESS.of(progress.len()));
        for progress in progress {
            query = query.bind(progress.shard.0).bind(progress.applied_seq);
        }
        query.execute(self).await?;
        Ok(())
    }

    async fn write_seals(&mut self, progress: &[ShardProgress]) -> Result<(), StoreError> {
        let query = sqlx::query(WRITE_SEALS.of(progress.len()));
        bind_seals!(query, progress, kept).execute(self).await?;
        Ok(())
    }
}

/// How far these shards are, those of which something is stored.
async fn locked_progress(
    connection: &mut MySqlConnection,
    shards: &[ShardId],
) -> Result<Vec<ShardProgress>, StoreError> {
    let mut found = Vec::with_capacity(shards.len());
    for part in shards.chunks(SIZES[0]) {
        let size = SIZES.into_iter().rev().find(|size| *size >= part.len()).unwrap_or(SIZES[0]);
        // The last one is named until all places are taken.
        let named = part.iter().chain(part.iter().rev().cycle()).take(size);
        let query =
            named.fold(sqlx::query(LOCK_PROGRESS.of(size)), |query, shard| query.bind(shard.0));
        for row in &query.fetch_all(&mut *connection).await? {
            found.push(decode_progress!(row, kept)?);
        }
    }
    Ok(found)
}

pub(super) async fn progress_of(
    connection: &mut MySqlConnection,
    text: &'static str,
) -> Result<Vec<ShardProgress>, StoreError> {
    let rows = sqlx::query(text).fetch_all(connection).await?;
    rows.iter().map(|row| decode_progress!(row, kept)).collect()
}

fn bind<'q>(
    query: Query<'q, MySql, MySqlArguments>,
    row: &'q StoredOrder,
) -> Query<'q, MySql, MySqlArguments> {
    bind_order!(query, row, kept)
}

pub(super) fn decode(row: &MySqlRow) -> Result<StoredOrder, StoreError> {
    decode_order!(row, kept)
}

/// The number as MySQL keeps it, whose integers may be unsigned.
fn kept(number: u64) -> u64 {
    number
}
