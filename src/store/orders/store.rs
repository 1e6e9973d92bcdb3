//! The port: the order store in either database.

use super::apply::{Applied, ApplyError};
use super::batch::Batch;
use super::conflict::{Conflicts, SetAside};
use super::items::StoredItem;
use super::mysql::MySqlOrders;
use super::progress::ShardProgress;
use super::progress_rows::Census;
use super::row::StoredOrder;
use super::search::{EXAMINED_ROWS_MAX, OrderFilter, Search};
use super::sqlite::SqliteOrders;
use crate::store::database::{Database, StoreError};
use crate::store::journal::JournalId;
use domain::order::Cursor;
use domain::{ItemId, OrderId, Record, RequestId, SaleId, ShardId, UserId};
use secrecy::SecretString;
use std::path::Path;

/// The longest page of a list, in rows.
pub const PAGE_ROWS_MAX: usize = 500;
/// The longest page of [`OrderStore::scan`], in rows.
pub const SCAN_ROWS_MAX: usize = 10_000;

/// A handle to the order store. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub enum OrderStore {
    /// Orders in a SQLite file.
    Sqlite(SqliteOrders),
    /// Orders on a MySQL or MariaDB server.
    MySql(MySqlOrders),
}

impl OrderStore {
    /// Creates a handle to the order store in `database`.
    pub fn new(database: &Database) -> Self {
        match database {
            Database::Sqlite(database) => Self::Sqlite(SqliteOrders::new(database.clone())),
            Database::MySql(database) => Self::MySql(MySqlOrders::new(database.clone())),
        }
    }

    /// Opens the order store in the SQLite file at `path`, which is created if needed.
    ///
    /// # Errors
    /// Returns [`StoreError`] if [`Database::open_sqlite`] does.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::new(&Database::open_sqlite(path).await?))
    }

    /// Prepares the order store on the server that `url` names; connects when first used.
    ///
    /// # Errors
    /// Returns [`StoreError`] if [`Database::open_mysql`] does.
    pub fn open_mysql(url: &SecretString, connections_max: u32) -> Result<Self, StoreError> {
        Ok(Self::new(&Database::open_mysql(url, connections_max)?))
    }

    /// The database it is kept in, which the catalogue shares.
    pub fn database(&self) -> Database {
        match self {
            Self::Sqlite(store) => Database::Sqlite(store.database()),
            Self::MySql(store) => Database::MySql(store.database()),
        }
    }

    /// Brings the tables up to date, the catalogue's too, and returns the names of those that were gone
    /// and were made anew.
    ///
    /// # Errors
    /// Returns [`StoreError`] if [`Database::migrate`] does.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.database().migrate().await
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// Returns [`StoreError`] if it does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.database().ping().await
    }

    /// Brings records into the tables, treats records that contradict a row as `conflicts` says, and
    /// raises the progress of each shard in `progress` to at least the given `seq`, all in one
    /// transaction, which is durable on return. 4,000 to 16,000 records at a time are best: each batch
    /// rewrites the pages of one randomly ordered index.
    ///
    /// The records of such a shard begin at the store's own progress + 1 or before, and none is missing
    /// up to `seq`. Safe to repeat with the same or other records.
    ///
    /// # Errors
    /// Returns [`ApplyError::Gap`] if records of a shard in `progress` are missing; nothing was stored.
    /// Returns [`ApplyError::Store`] if the transaction failed; none of it is kept then, except that
    /// after a connection that was lost during the commit this is unknown. The caller repeats it.
    pub async fn apply(
        &self,
        records: &[Record],
        progress: &[(ShardId, u64)],
        conflicts: Conflicts,
    ) -> Result<Applied, ApplyError> {
        let batch = Batch::fold(records, progress);
        match self {
            Self::Sqlite(store) => store.apply(batch, conflicts).await,
            Self::MySql(store) => store.apply(batch, conflicts).await,
        }
    }

    /// Returns the records that were set aside as dead letters, by shard and `seq`; at most `limit`.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn set_aside(&self, limit: usize) -> Result<Vec<SetAside>, StoreError> {
        self.set_aside_after((ShardId(0), 0), limit).await
    }

    /// Applies the records that were set aside once more, at most `limit`, each in a transaction of its
    /// own, and returns how many it tried. A record that is applied is no dead letter any longer; one
    /// that still contradicts a row stays, with its present reason. Safe to repeat, also while a
    /// consumer applies batches.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a transaction failed: that record and those behind it are still set
    /// aside.
    pub async fn replay(&self, limit: usize) -> Result<usize, StoreError> {
        const PAGE: usize = 1_000;
        let mut after = (ShardId(0), 0);
        let mut tried = 0;
        while tried < limit {
            let page = self.set_aside_after(after, PAGE.min(limit - tried)).await?;
            if page.is_empty() {
                break;
            }
            for SetAside { record, .. } in page {
                match self {
                    Self::Sqlite(store) => store.replay(&record).await?,
                    Self::MySql(store) => store.replay(&record).await?,
                }
                after = (record.shard, record.seq);
                tried += 1;
            }
        }
        Ok(tried)
    }

    async fn set_aside_after(
        &self,
        after: (ShardId, u64),
        limit: usize,
    ) -> Result<Vec<SetAside>, StoreError> {
        match self {
            Self::Sqlite(store) => store.set_aside(after, limit).await,
            Self::MySql(store) => store.set_aside(after, limit).await,
        }
    }

    /// Returns up to which record each shard's log is in the tables; shards without any are left out.
    /// The records up to it are durable there.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn progress(&self) -> Result<Vec<(ShardId, u64)>, StoreError> {
        let progress = self.shard_progress().await?;
        Ok(progress.iter().map(|progress| (progress.shard, progress.seq())).collect())
    }

    /// Returns the same with what is sealed of each shard.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn shard_progress(&self) -> Result<Vec<ShardProgress>, StoreError> {
        match self {
            Self::Sqlite(store) => store.progress().await,
            Self::MySql(store) => store.progress().await,
        }
    }

    /// Counts the rows of the tables, and those that were stored: what is missing was lost since.
    /// Reads an index of all orders.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn census(&self) -> Result<Census, StoreError> {
        match self {
            Self::Sqlite(store) => store.census().await,
            Self::MySql(store) => store.census().await,
        }
    }

    /// Lowers the progress of these shards to at most the given `seq`, so that what comes behind it is
    /// stored once more.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the transaction failed.
    pub async fn set_back(&self, to: &[(ShardId, u64)]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.set_back(to).await,
            Self::MySql(store) => store.set_back(to).await,
        }
    }

    /// Returns the journal that the tables are filled from, if one was assigned.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn owner(&self) -> Result<Option<JournalId>, StoreError> {
        let text = match self {
            Self::Sqlite(store) => store.owner().await?,
            Self::MySql(store) => store.owner().await?,
        };
        let parse = |text: String| {
            text.parse().map_err(|_| {
                StoreError::corrupt(format!("table journal: {text:?} is not a journal's identity"))
            })
        };
        text.map(parse).transpose()
    }

    /// Assigns `journal` to the tables as the one they are filled from, unless one was assigned before,
    /// and returns the one that is assigned now. Of several callers at once one wins, and all get the
    /// same answer.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer or cannot be written.
    pub async fn assign_owner(&self, journal: JournalId) -> Result<JournalId, StoreError> {
        match self {
            Self::Sqlite(store) => store.assign_owner(journal).await?,
            Self::MySql(store) => store.assign_owner(journal).await?,
        }
        self.owner().await?.ok_or_else(|| StoreError::corrupt("table journal: its row is gone"))
    }

    /// Returns the order, if it is stored.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn order(&self, order_id: OrderId) -> Result<Option<StoredOrder>, StoreError> {
        match self {
            Self::Sqlite(store) => store.order(order_id).await,
            Self::MySql(store) => store.order(order_id).await,
        }
    }

    /// Returns the order that this buyer's request got of the item.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn order_of_request(
        &self,
        (sale_id, item_id): (SaleId, ItemId),
        user_id: UserId,
        request_id: RequestId,
    ) -> Result<Option<StoredOrder>, StoreError> {
        match self {
            Self::Sqlite(store) => {
                store.order_of_request((sale_id, item_id), user_id, request_id).await
            }
            Self::MySql(store) => {
                store.order_of_request((sale_id, item_id), user_id, request_id).await
            }
        }
    }

    /// Returns a buyer's orders, newest first, placed before `before` if given; at most `limit` and
    /// [`PAGE_ROWS_MAX`].
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn orders_of(
        &self,
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        let limit = limit.min(PAGE_ROWS_MAX);
        match self {
            Self::Sqlite(store) => store.orders_of(user_id, before, limit).await,
            Self::MySql(store) => store.orders_of(user_id, before, limit).await,
        }
    }

    /// Returns the orders that the filter takes, from the cursor on; at most `limit` and
    /// [`PAGE_ROWS_MAX`]. It may return fewer although there are more, after [`EXAMINED_ROWS_MAX`] rows.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn search(
        &self,
        filter: &OrderFilter,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Search, StoreError> {
        let limit = limit.min(PAGE_ROWS_MAX);
        let (mut rows, mut cursor, mut examined) = (Vec::new(), cursor, 0);
        while rows.len() < limit {
            let window = filter.window(cursor, limit - rows.len());
            let page = match self {
                Self::Sqlite(store) => store.window(window).await?,
                Self::MySql(store) => store.window(window).await?,
            };
            examined += page.len();
            let is_last = page.len() < window.rows;
            let last = page.last().map(|row| row.order.order_id);
            rows.extend(page.into_iter().filter(|row| filter.takes(&row.order)));
            let Some(last) = last.filter(|_| !is_last || rows.len() > limit) else {
                return Ok(Search { rows, next: None });
            };
            if examined >= EXAMINED_ROWS_MAX && rows.len() < limit {
                return Ok(Search { rows, next: Some(last) });
            }
            cursor = match cursor {
                Cursor::Before(_) => Cursor::Before(Some(last)),
                Cursor::After(_) => Cursor::After(last),
            };
        }
        rows.truncate(limit);
        let next = rows.last().map(|row| row.order.order_id);
        Ok(Search { rows, next })
    }

    /// Returns all orders by ascending identity, beginning after `after`; at most `limit` and
    /// [`SCAN_ROWS_MAX`]. For audit and recovery.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn scan(&self, after: OrderId, limit: usize) -> Result<Vec<StoredOrder>, StoreError> {
        let limit = limit.min(SCAN_ROWS_MAX);
        match self {
            Self::Sqlite(store) => store.scan(after, limit).await,
            Self::MySql(store) => store.scan(after, limit).await,
        }
    }

    /// Returns all items that were ever preheated, by shard and in the order of their preheat: with
    /// [`Self::scan`] and [`Self::progress`] enough to rebuild every shard.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn items(&self) -> Result<Vec<StoredItem>, StoreError> {
        StoredItem::fold(&self.item_records().await?)
    }

    /// Returns all records of items, by shard and `seq`.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn item_records(&self) -> Result<Vec<Record>, StoreError> {
        match self {
            Self::Sqlite(store) => store.item_records().await,
            Self::MySql(store) => store.item_records().await,
        }
    }
}
