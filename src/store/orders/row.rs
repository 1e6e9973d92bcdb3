//! A row of the table of orders: its columns, and how they are bound and decoded.
//!
//! Both dialects keep the same columns and differ in one thing: SQLite's integers are signed, so a
//! 64-bit number goes through a conversion there. The macros take it, so that the columns are spelled
//! out once for both drivers.

use crate::store::database::StoreError;
use domain::{Event, Order, OrderId, PaymentId, Record, Timestamp};

/// A row: an order as of the last record about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredOrder {
    /// The order as it is stored.
    pub order: Order,
    /// The `seq` of that record in the log of its shard.
    pub version: u64,
    /// The time of that record.
    pub changed_at: Timestamp,
}

impl StoredOrder {
    /// The record that the row was made of.
    pub fn record(&self) -> Record {
        Record {
            shard: self.order.order_id.shard(),
            seq: self.version,
            at: self.changed_at,
            event: Event::Order(self.order),
        }
    }
}

/// Why a row is not an order, or not a payment.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    /// A column is missing or of another type or range.
    #[error(transparent)]
    Column(#[from] sqlx::Error),
    /// The currency is not a code of three letters.
    #[error("{0:?} is not a currency code")]
    Currency(String),
    /// No status has this number.
    #[error("there is no status {0}")]
    Status(u8),
    /// No state of a payment has this number.
    #[error("there is no state {0}")]
    State(u8),
    /// No payment provider can have this name.
    #[error("{0:?} is not a provider's name")]
    Provider(String),
    /// No provider names a payment or a refund like this.
    #[error("{0:?} is not a reference")]
    Reference(String),
}

impl RowError {
    /// The store's error, which names the row.
    pub(super) fn of(self, order_id: OrderId) -> StoreError {
        StoreError::corrupt(format!("order {order_id}: {self}"))
    }

    /// The same for a row of the table of payments.
    pub(super) fn of_payment(self, id: PaymentId) -> StoreError {
        StoreError::corrupt(format!("payment {id}: {self}"))
    }
}

/// The columns of a row, in the order in which [`bind_order`] and [`decode_order`] take them.
macro_rules! columns {
    () => {
        "order_id, sale_id, item_id, user_id, request_id, attempt, quantity, amount, currency, \
         status, expires_at, changed_at, version"
    };
}

/// Binds a [`StoredOrder`] to a query. `$kept` makes of a `u64` what the dialect keeps.
macro_rules! bind_order {
    ($query:expr, $row:expr, $kept:expr) => {{
        let (row, kept): (&StoredOrder, fn(u64) -> _) = ($row, $kept);
        let order = &row.order;
        $query
            .bind(kept(order.order_id.0))
            .bind(kept(order.sale_id.0))
            .bind(kept(order.item_id.0))
            .bind(kept(order.user_id.0))
            .bind(kept(order.request_id.0))
            .bind(order.attempt)
            .bind(order.quantity)
            .bind(kept(order.amount))
            .bind(order.currency.as_str())
            .bind(order.status as u8)
            .bind(kept(order.expires_at.0))
            .bind(kept(row.changed_at.0))
            .bind(kept(row.version))
    }};
}

/// Decodes a row to a [`StoredOrder`]. `$read` makes a `u64` of what the dialect keeps.
macro_rules! decode_order {
    ($row:expr, $read:expr) => {{
        let (row, read) = ($row, $read);
        let order_id = domain::OrderId(read(row.try_get(0)?));
        let decode = || -> Result<StoredOrder, $crate::store::orders::row::RowError> {
            let (currency, status): (&str, u8) = (row.try_get(8)?, row.try_get(9)?);
            let order = domain::Order {
                order_id,
                sale_id: domain::SaleId(read(row.try_get(1)?)),
                item_id: domain::ItemId(read(row.try_get(2)?)),
                user_id: domain::UserId(read(row.try_get(3)?)),
                request_id: domain::RequestId(read(row.try_get(4)?)),
                attempt: row.try_get(5)?,
                quantity: row.try_get(6)?,
                amount: read(row.try_get(7)?),
                currency: domain::Currency::parse(currency).ok_or_else(|| {
                    $crate::store::orders::row::RowError::Currency(currency.to_owned())
                })?,
                status: domain::OrderStatus::from_number(status)
                    .ok_or($crate::store::orders::row::RowError::Status(status))?,
                expires_at: domain::Timestamp(read(row.try_get(10)?)),
            };
            let changed_at = domain::Timestamp(read(row.try_get(11)?));
            Ok(StoredOrder { order, version: read(row.try_get(12)?), changed_at })
        };
        decode().map_err(|error| error.of(order_id))
    }};
}

pub(super) use {bind_order, columns, decode_order};

#[cfg(test)]
mod tests {
    use crate::store::database::{Database, StoreError};
    use crate::store::orders::OrderStore;
    use domain::OrderId;

    #[tokio::test]
    async fn a_row_with_an_impossible_value_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let database = Database::open_sqlite(&directory.path().join("orders.db")).await;
        let database = database.expect("a database");
        database.migrate().await.expect("tables");
        let Database::Sqlite(sqlite) = &database else { unreachable!("it was opened as SQLite") };
        let orders = OrderStore::new(&database);
        for (id, quantity, currency, status, expected) in [
            (1_u64, 1, "CNY", 0, "order 1: there is no status 0"),
            (2, 1, "CNY", 9, "order 2: there is no status 9"),
            (3, 1, "yuan", 1, "order 3: \"yuan\" is not a currency code"),
            (4, 70_000, "CNY", 1, "order 4: "),
        ] {
            let mut writer = sqlite.writer().await.expect("a connection");
            sqlx::query(concat!(
                "INSERT INTO orders (",
                columns!(),
                ") VALUES (?, 1, 1, ?, 1, 1, ?, 1, ?, ?, 1, 1, 1)"
            ))
            .bind(id.cast_signed())
            .bind(id.cast_signed())
            .bind(quantity)
            .bind(currency)
            .bind(status)
            .execute(&mut *writer)
            .await
            .expect("inserted");
            drop(writer);
            match orders.order(OrderId(id)).await {
                Err(StoreError::Corrupt(what)) => assert!(what.starts_with(expected), "{what}"),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}
