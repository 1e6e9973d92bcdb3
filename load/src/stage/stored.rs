//! The order store, read directly: SQLite in the data directory or MySQL. Only the
//! columns that the audit compares are read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use domain::OrderStatus;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{MySqlPool, SqlitePool};

use crate::audit::StoredOrder;
use crate::drive::Crowd;
use crate::{Error, Result};

/// A row as the table has it: order, item, user, quantity, status.
type Row = (i64, i64, i64, i64, i64);

/// The order store of the engine under test.
#[derive(Debug)]
pub enum OrderStore {
    /// The embedded one: a SQLite file in the data directory.
    Sqlite(SqlitePool),
    /// The one on a MySQL or MariaDB server.
    MySql(MySqlPool),
}

/// What an order store holds of a run.
#[derive(Debug)]
pub struct Stored {
    /// The orders for the items of this run.
    pub orders: Vec<StoredOrder>,
}

impl OrderStore {
    /// Opens the store at `mysql_url`, or the embedded one in `data`.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if there is none or it cannot be opened.
    pub async fn open(mysql_url: Option<&str>, data: &Path) -> Result<Self> {
        if let Some(url) = mysql_url {
            let pool = MySqlPoolOptions::new().max_connections(1).connect(url).await;
            return pool.map(Self::MySql).map_err(unreadable);
        }
        for file in database_files(data) {
            let options = SqliteConnectOptions::new().filename(&file).read_only(true);
            let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
            let pool = pool.map_err(unreadable)?;
            let has_orders =
                sqlx::query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'orders'")
                    .fetch_optional(&pool)
                    .await
                    .map_err(unreadable)?;
            if has_orders.is_some() {
                return Ok(Self::Sqlite(pool));
            }
        }
        Err(Error::Server(format!("no order store with a table of orders in {}", data.display())))
    }

    /// How many orders it holds for any item: cheap enough to ask again and again.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if it does not answer.
    pub async fn count(&self) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM orders";
        let count: i64 = match self {
            Self::Sqlite(pool) => sqlx::query_scalar(sql).fetch_one(pool).await,
            Self::MySql(pool) => sqlx::query_scalar(sql).fetch_one(pool).await,
        }
        .map_err(unreadable)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// All orders for the crowd's items.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if it does not answer, or has not the columns it should.
    pub async fn read(&self, crowd: &Crowd) -> Result<Stored> {
        let rows: Vec<Row> = match self {
            Self::Sqlite(pool) => {
                sqlx::query_as(
                    "SELECT order_id, item_id, user_id, CAST(quantity AS INTEGER), \
                     CAST(status AS INTEGER) FROM orders",
                )
                .fetch_all(pool)
                .await
            }
            Self::MySql(pool) => {
                sqlx::query_as(
                    "SELECT CAST(order_id AS SIGNED), CAST(item_id AS SIGNED), \
                     CAST(user_id AS SIGNED), CAST(quantity AS SIGNED), CAST(status AS SIGNED) \
                     FROM orders",
                )
                .fetch_all(pool)
                .await
            }
        }
        .map_err(unreadable)?;
        let users: HashMap<u64, u32> =
            (0..crowd.users()).map(|user| (crowd.user_id(user), user)).collect();
        let items: HashMap<u64, u32> =
            (0..).zip(crowd.item_ids()).map(|(n, id)| (*id, n)).collect();
        let mut orders = Vec::with_capacity(rows.len());
        for (order, item, user, quantity, status) in rows {
            let Some(item) = items.get(&item.cast_unsigned()).copied() else { continue };
            orders.push(StoredOrder {
                order: order.cast_unsigned(),
                user: users.get(&user.cast_unsigned()).copied(),
                item: Some(item),
                quantity,
                status: status_of(status)?,
            });
        }
        Ok(Stored { orders })
    }
}

fn status_of(number: i64) -> Result<OrderStatus> {
    u8::try_from(number)
        .ok()
        .and_then(OrderStatus::from_number)
        .ok_or_else(|| Error::Server(format!("{number} is no order's status")))
}

/// Database files in the data directory and one level below it.
fn database_files(data: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let is_database = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        matches!(ending, Some("sqlite" | "sqlite3" | "db")) && path.is_file()
    };
    let top = list(data);
    let below: Vec<PathBuf> =
        top.iter().filter(|path| path.is_dir()).flat_map(|path| list(path)).collect();
    top.into_iter().chain(below).filter(is_database).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn unreadable(error: sqlx::Error) -> Error {
    Error::Server(format!("the order store cannot be read: {error}"))
}
