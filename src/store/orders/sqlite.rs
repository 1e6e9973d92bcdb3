//! The order store's statements in SQLite's dialect.
//!
//! SQLite's integers are signed: 64-bit numbers are kept as the signed number of equal bits. Only
//! order identities and sequence numbers are compared in SQL, and those stay below 2^63.

use super::apply::{self, Applied, Conflicts, Insertion, Session, SetAside};
use super::batch::{Batch, ItemRow};
use super::{StoredOrder, bytes};
use crate::store::database::statements::{Sized, before_bound, limit_of};
use crate::store::database::{SqliteDatabase, StoreError, within};
use crate::store::journal::JournalId;
use domain::order::Cursor;
use domain::{
    Currency, ItemId, Order, OrderId, OrderStatus, Record, RequestId, SaleId, ShardId, Timestamp,
    UserId,
};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Connection, Error, Row, Sqlite, SqliteConnection};
use std::sync::LazyLock;

/// The orders in a SQLite file; cheap to clone.
#[derive(Clone, Debug)]
pub struct SqliteOrders {
    database: SqliteDatabase,
}

/// The columns of a row, in the order of [`decode`] and [`bind`].
macro_rules! columns {
    () => {
        "order_id, sale_id, item_id, user_id, request_id, attempt, quantity, amount, currency, \
         status, expires_at, changed_at, version"
    };
}

const INSERT_HEAD: &str = concat!("INSERT INTO orders (", columns!(), ") VALUES ");
const ROW: &str = "(?,?,?,?,?,?,?,?,?,?,?,?,?)";
const UPSERT_TAIL: &str = " ON CONFLICT (order_id) DO UPDATE SET status = excluded.status,
     changed_at = excluded.changed_at, version = excluded.version
     WHERE excluded.version > orders.version";

static INSERT: LazyLock<Sized> = LazyLock::new(|| Sized::new(INSERT_HEAD, ROW, ""));
static UPSERT: LazyLock<Sized> = LazyLock::new(|| Sized::new(INSERT_HEAD, ROW, UPSERT_TAIL));
static STORED: LazyLock<Sized> = LazyLock::new(|| {
    Sized::new(concat!("SELECT ", columns!(), " FROM orders WHERE order_id IN ("), "?", ")")
});
static INSERT_ITEMS: LazyLock<Sized> = LazyLock::new(|| {
    let head = "INSERT INTO item_events (shard, seq, item_id, kind, at, record) VALUES ";
    Sized::new(head, "(?,?,?,?,?,?)", "")
});
static KEEP: LazyLock<Sized> = LazyLock::new(|| {
    Sized::new(
        "INSERT INTO dead_letters (shard, seq, at, reason, record) VALUES ",
        "(?,?,?,?,?)",
        " ON CONFLICT (shard, seq) DO UPDATE SET at = excluded.at, reason = excluded.reason,
             record = excluded.record",
    )
});
static ADVANCE: LazyLock<Sized> = LazyLock::new(|| {
    Sized::new(
        "INSERT INTO shard_progress (shard, applied_seq) VALUES ",
        "(?,?)",
        " ON CONFLICT (shard) DO UPDATE SET applied_seq = max(applied_seq, excluded.applied_seq)",
    )
});

impl SqliteOrders {
    pub(super) fn new(database: SqliteDatabase) -> Self {
        Self { database }
    }

    pub(super) fn database(&self) -> SqliteDatabase {
        self.database.clone()
    }

    pub(super) async fn apply(
        &self,
        batch: Batch,
        conflicts: Conflicts,
    ) -> Result<Applied, StoreError> {
        within(self.database.writer().await?, async |connection| {
            // Takes the write lock at once: a transaction that begins reading and writes later may
            // find that another process wrote in between.
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
        const TEXT: &str = "SELECT record, reason FROM dead_letters \
                            WHERE shard > ? OR (shard = ? AND seq > ?) \
                            ORDER BY shard, seq LIMIT ?";
        let query = sqlx::query(TEXT).bind(shard.0).bind(shard.0).bind(signed(seq));
        let query = query.bind(limit_of(limit));
        within(self.database.reader().await?, async |connection| {
            let decode = |row: &SqliteRow| {
                let record = bytes::decode(row.try_get(0)?)?;
                Ok(SetAside { record, reason: row.try_get(1)? })
            };
            query.fetch_all(connection).await?.iter().map(decode).collect()
        })
        .await
    }

    pub(super) async fn progress(&self) -> Result<Vec<(ShardId, u64)>, StoreError> {
        within(self.database.reader().await?, async |connection| {
            let rows = sqlx::query("SELECT shard, applied_seq FROM shard_progress ORDER BY shard")
                .fetch_all(connection)
                .await?;
            rows.iter()
                .map(|row| {
                    Ok((ShardId(narrow::<u16>(row.try_get(0)?)?), unsigned(row.try_get(1)?)))
                })
                .collect()
        })
        .await
    }

    pub(super) async fn owner(&self) -> Result<Option<String>, StoreError> {
        within(self.database.reader().await?, async |connection| {
            let query = sqlx::query_scalar("SELECT identity FROM journal");
            Ok(query.fetch_optional(connection).await?)
        })
        .await
    }

    pub(super) async fn claim(&self, journal: JournalId) -> Result<(), StoreError> {
        const TEXT: &str =
            "INSERT INTO journal (place, identity) VALUES (1, ?) ON CONFLICT (place) DO NOTHING";
        within(self.database.writer().await?, async |connection| {
            sqlx::query(TEXT).bind(journal.to_string()).execute(connection).await?;
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
        self.fetch(query).await
    }

    pub(super) async fn orders_of_sale(
        &self,
        sale_id: SaleId,
        item_id: Option<ItemId>,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        const NEWEST: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM orders WHERE sale_id = ? AND (? OR item_id = ?) AND order_id < ? \
             ORDER BY order_id DESC LIMIT ?"
        );
        const OLDEST: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM orders WHERE sale_id = ? AND (? OR item_id = ?) AND order_id > ? \
             ORDER BY order_id LIMIT ?"
        );
        let (text, bound) = match cursor {
            Cursor::Before(before) => (NEWEST, before_bound(before)),
            Cursor::After(after) => (OLDEST, after.0),
        };
        let query = sqlx::query(text)
            .bind(signed(sale_id.0))
            .bind(item_id.is_none())
            .bind(signed(item_id.unwrap_or_default().0))
            .bind(signed(bound))
            .bind(limit_of(limit));
        self.fetch(query).await
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
            let rows = sqlx::query("SELECT record FROM item_events ORDER BY shard, seq")
                .fetch_all(connection)
                .await?;
            rows.iter().map(|row| bytes::decode(row.try_get(0)?)).collect()
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

    async fn keep(&mut self, rows: &[SetAside]) -> Result<(), StoreError> {
        let mut query = sqlx::query(KEEP.of(rows.len()));
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

    async fn release(&mut self, shard: ShardId, seq: u64) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM dead_letters WHERE shard = ? AND seq = ?");
        query.bind(shard.0).bind(signed(seq)).execute(self).await?;
        Ok(())
    }

    async fn advance(&mut self, progress: &[(ShardId, u64)]) -> Result<(), StoreError> {
        let mut query = sqlx::query(ADVANCE.of(progress.len()));
        for (shard, seq) in progress {
            query = query.bind(shard.0).bind(signed(*seq));
        }
        query.execute(self).await?;
        Ok(())
    }
}

fn insertion<T>(result: Result<T, Error>) -> Result<Insertion, StoreError> {
    match result {
        Ok(_) => Ok(Insertion::Done),
        Err(Error::Database(refusal)) if refusal.is_unique_violation() => Ok(Insertion::KeyTaken),
        Err(error) => Err(error.into()),
    }
}

fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments<'q>>,
    row: &'q StoredOrder,
) -> Query<'q, Sqlite, SqliteArguments<'q>> {
    let order = &row.order;
    query
        .bind(signed(order.order_id.0))
        .bind(signed(order.sale_id.0))
        .bind(signed(order.item_id.0))
        .bind(signed(order.user_id.0))
        .bind(signed(order.request_id.0))
        .bind(order.attempt)
        .bind(order.quantity)
        .bind(signed(order.amount))
        .bind(order.currency.as_str())
        .bind(order.status as u8)
        .bind(signed(order.expires_at.0))
        .bind(signed(row.changed_at.0))
        .bind(signed(row.version))
}

fn decode(row: &SqliteRow) -> Result<StoredOrder, StoreError> {
    let currency: &str = row.try_get(8)?;
    Ok(StoredOrder {
        order: Order {
            order_id: OrderId(unsigned(row.try_get(0)?)),
            sale_id: SaleId(unsigned(row.try_get(1)?)),
            item_id: ItemId(unsigned(row.try_get(2)?)),
            user_id: UserId(unsigned(row.try_get(3)?)),
            request_id: RequestId(unsigned(row.try_get(4)?)),
            attempt: narrow::<u16>(row.try_get(5)?)?,
            quantity: narrow::<u16>(row.try_get(6)?)?,
            amount: unsigned(row.try_get(7)?),
            currency: Currency::parse(currency)
                .ok_or_else(|| StoreError::corrupt("no currency code in orders"))?,
            status: OrderStatus::from_number(narrow::<u8>(row.try_get(9)?)?)
                .ok_or_else(|| StoreError::corrupt("unknown status in orders"))?,
            expires_at: Timestamp(unsigned(row.try_get(10)?)),
        },
        version: unsigned(row.try_get(12)?),
        changed_at: Timestamp(unsigned(row.try_get(11)?)),
    })
}

/// The signed number of equal bits.
fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// The unsigned number of equal bits.
fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}

fn narrow<T: TryFrom<i64>>(number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_| StoreError::corrupt("a number out of range in orders"))
}
