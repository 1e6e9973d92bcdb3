//! The order store's statements in SQLite's dialect.
//!
//! SQLite's integers are signed: 64-bit numbers are kept as the signed number of equal bits. Only
//! order identities and sequence numbers are compared in SQL, and those stay below 2^63.

use super::apply::{self, Applied, ApplyError};
use super::batch::{Batch, ItemRow, OperationEntry};
use super::bytes;
use super::conflict::{Conflicts, SetAside};
use super::payment_row::{StoredPayment, bind_payment, decode_payment, payment_columns};
use super::place::{OwnerRow, StorePlace};
use super::progress::ShardProgress;
use super::progress_rows::{
    CENSUS, Census, PROGRESS, PROGRESS_UNSEALED, SEALS, bind_seals, decode_census, decode_progress,
    seal_columns,
};
use super::row::{StoredOrder, bind_order, columns, decode_order};
use super::search::{Whose, Window, window_text};
use super::session::{Insertion, LOG_OPERATION, Session, insertion};
use crate::store::database::statements::{SizedStatement, before_bound, limit_of};
use crate::store::database::{SqliteDatabase, StoreError, within};
use crate::store::journal::JournalId;
use domain::{ItemId, Order, OrderId, Record, RequestId, SaleId, ShardId, UserId};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Connection, Row, Sqlite, SqliteConnection};
use std::sync::LazyLock;

/// The orders in a SQLite file; cheap to clone.
#[derive(Clone, Debug)]
pub struct SqliteOrders {
    database: SqliteDatabase,
}

const INSERT_HEAD: &str = concat!("INSERT INTO orders (", columns!(), ") VALUES ");
const ROW: &str = "(?,?,?,?,?,?,?,?,?,?,?,?,?)";
const UPSERT_TAIL: &str = " ON CONFLICT (order_id) DO UPDATE SET status = excluded.status,
     changed_at = excluded.changed_at, version = excluded.version
     WHERE excluded.version > orders.version";

const INSERT_PAYMENTS_HEAD: &str =
    concat!("INSERT INTO payments (", payment_columns!(), ") VALUES ");
const PAYMENT_ROW: &str = "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
const UPSERT_PAYMENTS_TAIL: &str =
    " ON CONFLICT (order_id, number) DO UPDATE SET amount = excluded.amount,
     currency = excluded.currency, state = excluded.state, reference = excluded.reference,
     refund_reference = excluded.refund_reference, changed_at = excluded.changed_at,
     created_at = min(payments.created_at, excluded.created_at), version = excluded.version
     WHERE excluded.version >= payments.version";

static INSERT: LazyLock<SizedStatement> =
    LazyLock::new(|| SizedStatement::new(INSERT_HEAD, ROW, ""));
static UPSERT: LazyLock<SizedStatement> =
    LazyLock::new(|| SizedStatement::new(INSERT_HEAD, ROW, UPSERT_TAIL));
static STORED: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new(
        concat!("SELECT ", columns!(), " FROM orders WHERE order_id IN ("),
        "?",
        ")",
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
        ")",
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
        " ON CONFLICT (shard, seq) DO UPDATE SET at = excluded.at, reason = excluded.reason,
             record = excluded.record",
    )
});
static WRITE_PROGRESS: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new(
        "INSERT INTO shard_progress (shard, applied_seq) VALUES ",
        "(?,?)",
        " ON CONFLICT (shard) DO UPDATE SET applied_seq = excluded.applied_seq",
    )
});
static WRITE_SEALS: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new(
        concat!("INSERT INTO shard_seals (", seal_columns!(), ") VALUES "),
        "(?,?,?,?,?,?)",
        " ON CONFLICT (shard) DO UPDATE SET seq = excluded.seq, orders = excluded.orders,
             item_records = excluded.item_records, digest = excluded.digest,
             conflicts = excluded.conflicts",
    )
});

const SET_BACK: &str =
    "UPDATE shard_progress SET applied_seq = min(applied_seq, ?) WHERE shard = ?";

impl SqliteOrders {
    pub(super) fn new(database: SqliteDatabase) -> Self {
        Self { database }
    }

    /// Reads for a list.
    ///
    /// # Errors
    /// Returns the error of `work`, or [`StoreError`] if the database does not answer.
    pub(super) async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        within(self.database.reader().await?, work).await
    }

    pub(super) fn database(&self) -> SqliteDatabase {
        self.database.clone()
    }

    pub(super) async fn apply(
        &self,
        batch: Batch,
        conflicts: Conflicts,
    ) -> Result<Applied, ApplyError> {
        within(self.database.writer().await?, async |connection| {
            // Takes the write lock at once: in a transaction that reads first and writes later, another
            // process may write in between.
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            let applied = apply::apply(&mut *transaction, batch, conflicts).await?;
            transaction.commit().await?;
            Ok(applied)
        })
        .await
    }

    pub(super) async fn replay(&self, record: &Record) -> Result<(), StoreError> {
        within(self.database.writer().await?, async |connection| {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            apply::replay(&mut *transaction, record).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    pub(super) async fn set_aside(
        &self,
        (shard, seq): (ShardId, u64),
        limit: usize,
    ) -> Result<Vec<SetAside>, StoreError> {
        const TEXT: &str = "SELECT shard, seq, record, reason FROM dead_letters \
                            WHERE shard > ? OR (shard = ? AND seq > ?) \
                            ORDER BY shard, seq LIMIT ?";
        let query = sqlx::query(TEXT).bind(shard.0).bind(shard.0).bind(signed(seq));
        let query = query.bind(limit_of(limit));
        within(self.database.reader().await?, async |connection| {
            let decode = |row: &SqliteRow| {
                let (shard, seq) = (ShardId(row.try_get(0)?), unsigned(row.try_get(1)?));
                let record = bytes::decode("dead_letters", shard, seq, row.try_get(2)?)?;
                Ok(SetAside { record, reason: row.try_get(3)? })
            };
            query.fetch_all(connection).await?.iter().map(decode).collect()
        })
        .await
    }

    pub(super) async fn progress(&self) -> Result<Vec<ShardProgress>, StoreError> {
        let read = async |text| {
            within(self.database.reader().await?, async |connection| {
                progress_of(connection, text).await
            })
            .await
        };
        match read(PROGRESS).await {
            Err(StoreError::Refused(why)) if why.contains(SEALS) => read(PROGRESS_UNSEALED).await,
            progress => progress,
        }
    }

    pub(super) async fn set_back(&self, to: &[(ShardId, u64)]) -> Result<(), StoreError> {
        within(self.database.writer().await?, async |connection| {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            for (shard, seq) in to {
                sqlx::query(SET_BACK)
                    .bind(signed(*seq))
                    .bind(shard.0)
                    .execute(&mut *transaction)
                    .await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    pub(super) async fn seal(&self, found: ShardProgress) -> Result<(), StoreError> {
        within(self.database.writer().await?, async |connection| {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            apply::seal(&mut *transaction, found).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    pub(super) async fn census(&self) -> Result<Census, StoreError> {
        within(self.database.reader().await?, async |connection| {
            let row = sqlx::query(CENSUS).fetch_one(connection).await?;
            decode_census!(row, unsigned)
        })
        .await
    }

    pub(super) async fn owner(&self, text: &'static str) -> Result<Option<OwnerRow>, StoreError> {
        within(self.database.reader().await?, async |connection| {
            Ok(sqlx::query_as(text).fetch_optional(connection).await?)
        })
        .await
    }

    pub(super) async fn assign_owner(
        &self,
        journal: JournalId,
        place: StorePlace,
    ) -> Result<(), StoreError> {
        const TEXT: &str = "INSERT INTO journal (place, identity, store, stores) VALUES (1, ?, ?, ?) \
                            ON CONFLICT (place) DO NOTHING";
        within(self.database.writer().await?, async |connection| {
            let query = sqlx::query(TEXT).bind(journal.to_string());
            query.bind(place.place).bind(place.stores).execute(connection).await?;
            Ok(())
        })
        .await
    }

    pub(super) async fn order(&self, order_id: OrderId) -> Result<Option<StoredOrder>, StoreError> {
        within(self.database.reader().await?, async |connection| {
            let row =
                sqlx::query(concat!("SELECT ", columns!(), " FROM orders WHERE order_id = ?"))
                    .bind(signed(order_id.0))
                    .fetch_optional(connection)
                    .await?;
            row.as_ref().map(decode).transpose()
        })
        .await
    }

    pub(super) async fn order_of_request(
        &self,
        (sale_id, item_id): (SaleId, ItemId),
        user_id: UserId,
        request_id: RequestId,
    ) -> Result<Option<StoredOrder>, StoreError> {
        const TEXT: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM orders WHERE user_id = ? AND sale_id = ? AND item_id = ? AND request_id = ?"
        );
        let query = sqlx::query(TEXT)
            .bind(signed(user_id.0))
            .bind(signed(sale_id.0))
            .bind(signed(item_id.0))
            .bind(signed(request_id.0));
        Ok(self.fetch(query).await?.pop())
    }

    pub(super) async fn orders_of(
        &self,
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        const TEXT: &str = concat!(
            "SELECT ",
            columns!(),
            // The inner query reads the buyer's part of one index and no row.
            " FROM (SELECT order_id AS id FROM orders WHERE user_id = ? AND order_id < ? \
             ORDER BY order_id DESC LIMIT ?) AS page \
             JOIN orders ON order_id = id ORDER BY order_id DESC"
        );
        let query = sqlx::query(TEXT)
            .bind(signed(user_id.0))
            .bind(signed(before_bound(before)))
            .bind(limit_of(limit));
        let _place = self.database.list_place().await?;
        self.fetch(query).await
    }

    pub(super) async fn window(&self, window: Window) -> Result<Vec<StoredOrder>, StoreError> {
        let query = sqlx::query(window_text!(window));
        let query = match window.whose {
            Whose::Everybody => query,
            Whose::Sale(sale_id) => query.bind(signed(sale_id.0)),
            Whose::Buyer(user_id) => query.bind(signed(user_id.0)),
        };
        let query = query.bind(signed(window.above)).bind(signed(window.below));
        let _place = self.database.list_place().await?;
        self.fetch(query.bind(limit_of(window.rows))).await
    }

    pub(super) async fn scan(
        &self,
        after: OrderId,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        const TEXT: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM orders WHERE order_id > ? ORDER BY order_id LIMIT ?"
        );
        self.fetch(sqlx::query(TEXT).bind(signed(after.0)).bind(limit_of(limit))).await
    }

    pub(super) async fn item_records(&self) -> Result<Vec<Record>, StoreError> {
        within(self.database.reader().await?, async |connection| {
            let rows =
                sqlx::query("SELECT shard, seq, record FROM item_events ORDER BY shard, seq")
                    .fetch_all(connection)
                    .await?;
            let decode = |row: &SqliteRow| {
                let (shard, seq) = (ShardId(row.try_get(0)?), unsigned(row.try_get(1)?));
                bytes::decode("item_events", shard, seq, row.try_get(2)?)
            };
            rows.iter().map(decode).collect()
        })
        .await
    }

    async fn fetch(
        &self,
        query: Query<'static, Sqlite, SqliteArguments<'static>>,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        within(self.database.reader().await?, async |connection| {
            query.fetch_all(connection).await?.iter().map(decode).collect()
        })
        .await
    }
}

impl Session for SqliteConnection {
    async fn stored(&mut self, order_ids: &[OrderId]) -> Result<Vec<StoredOrder>, StoreError> {
        let mut query = sqlx::query(STORED.of(order_ids.len()));
        for order_id in order_ids {
            query = query.bind(signed(order_id.0));
        }
        query.fetch_all(self).await?.iter().map(decode).collect()
    }

    async fn holder(&mut self, order: &Order) -> Result<OrderId, StoreError> {
        let text = "SELECT order_id FROM orders \
                    WHERE sale_id = ? AND item_id = ? AND user_id = ? AND attempt = ?";
        let row = sqlx::query(text)
            .bind(signed(order.sale_id.0))
            .bind(signed(order.item_id.0))
            .bind(signed(order.user_id.0))
            .bind(order.attempt)
            .fetch_one(self)
            .await?;
        Ok(OrderId(unsigned(row.try_get(0)?)))
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
            query = query.bind(signed(order_id.0));
        }
        let rows = query.fetch_all(self).await?;
        rows.iter().map(|row: &SqliteRow| decode_payment!(row, unsigned)).collect()
    }

    async fn insert_payments(&mut self, rows: &[&StoredPayment]) -> Result<Insertion, StoreError> {
        let query = sqlx::query(INSERT_PAYMENTS.of(rows.len()));
        let query = rows.iter().fold(query, |query, row| bind_payment!(query, row, signed));
        insertion(query.execute(self).await)
    }

    async fn update_payments(&mut self, rows: &[StoredPayment]) -> Result<(), StoreError> {
        let query = sqlx::query(UPSERT_PAYMENTS.of(rows.len()));
        let query = rows.iter().fold(query, |query, row| bind_payment!(query, row, signed));
        query.execute(self).await?;
        Ok(())
    }

    async fn stored_item(&mut self, shard: ShardId, seq: u64) -> Result<Vec<u8>, StoreError> {
        let row = sqlx::query("SELECT record FROM item_events WHERE shard = ? AND seq = ?")
            .bind(shard.0)
            .bind(signed(seq))
            .fetch_one(self)
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn insert_items(&mut self, rows: &[ItemRow]) -> Result<Insertion, StoreError> {
        let mut query = sqlx::query(INSERT_ITEMS.of(rows.len()));
        for row in rows {
            query = query
                .bind(row.record.shard.0)
                .bind(signed(row.record.seq))
                .bind(signed(row.item_id))
                .bind(row.kind)
                .bind(signed(row.record.at.0))
                .bind(row.bytes.as_slice());
        }
        insertion(query.execute(self).await)
    }

    async fn log_operation(&mut self, entry: &OperationEntry<'_>) -> Result<(), StoreError> {
        sqlx::query(LOG_OPERATION)
            .bind(signed(entry.at.0))
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
                .bind(signed(record.seq))
                .bind(signed(record.at.0))
                .bind(reason.as_str())
                .bind(bytes::encode(record));
        }
        query.execute(self).await?;
        Ok(())
    }

    async fn delete_set_aside(&mut self, shard: ShardId, seq: u64) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM dead_letters WHERE shard = ? AND seq = ?");
        query.bind(shard.0).bind(signed(seq)).execute(self).await?;
        Ok(())
    }

    async fn lock_progress(&mut self, _: &[ShardId]) -> Result<Vec<ShardProgress>, StoreError> {
        // The transaction has the file to itself.
        progress_of(self, PROGRESS).await
    }

    async fn write_progress(&mut self, progress: &[ShardProgress]) -> Result<(), StoreError> {
        let mut query = sqlx::query(WRITE_PROGRESS.of(progress.len()));
        for progress in progress {
            query = query.bind(progress.shard.0).bind(signed(progress.applied_seq));
        }
        query.execute(self).await?;
        Ok(())
    }

    async fn write_seals(&mut self, progress: &[ShardProgress]) -> Result<(), StoreError> {
        let query = sqlx::query(WRITE_SEALS.of(progress.len()));
        bind_seals!(query, progress, signed).execute(self).await?;
        Ok(())
    }
}

async fn progress_of(
    connection: &mut SqliteConnection,
    text: &'static str,
) -> Result<Vec<ShardProgress>, StoreError> {
    let rows = sqlx::query(text).fetch_all(connection).await?;
    rows.iter().map(|row: &SqliteRow| decode_progress!(row, unsigned)).collect()
}

fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments<'q>>,
    row: &'q StoredOrder,
) -> Query<'q, Sqlite, SqliteArguments<'q>> {
    bind_order!(query, row, signed)
}

fn decode(row: &SqliteRow) -> Result<StoredOrder, StoreError> {
    decode_order!(row, unsigned)
}

/// The number as SQLite keeps it: the signed one of equal bits.
fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// The number that SQLite kept as the signed one of equal bits.
fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}
