//! The tables of one order store, in either database. Must not know of other stores.

use super::apply::{Applied, ApplyError};
use super::batch::Batch;
use super::conflict::{Conflicts, SetAside};
use super::mysql::MySqlOrders;
use super::place::{OWNER, OWNER_ALONE, OWNER_COLUMN, Owner, StorePlace};
use super::progress::ShardProgress;
use super::progress_rows::Census;
use super::row::StoredOrder;
use super::search::{EXAMINED_ROWS_MAX, OrderFilter, Search};
use super::sqlite::SqliteOrders;
use crate::store::database::{Database, StoreError};
use crate::store::journal::JournalId;
use domain::order::Cursor;
use domain::{ItemId, OrderId, Record, RequestId, SaleId, ShardId, UserId};

/// The longest page of a list, in rows.
pub const PAGE_ROWS_MAX: usize = 500;
/// The longest page of a scan of the tables, in rows.
pub const SCAN_ROWS_MAX: usize = 10_000;

/// A handle to the tables in one database. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub(super) enum OrderTables {
    /// Orders in a SQLite file.
    Sqlite(SqliteOrders),
    /// Orders on a MySQL or MariaDB server.
    MySql(MySqlOrders),
}

impl OrderTables {
    /// Creates a handle to the tables in `database`.
    pub(super) fn new(database: &Database) -> Self {
        match database {
            Database::Sqlite(database) => Self::Sqlite(SqliteOrders::new(database.clone())),
            Database::MySql(database) => Self::MySql(MySqlOrders::new(database.clone())),
        }
    }

    /// The database it is kept in, which the catalogue shares.
    pub(super) fn database(&self) -> Database {
        match self {
            Self::Sqlite(store) => Database::Sqlite(store.database()),
            Self::MySql(store) => Database::MySql(store.database()),
        }
    }

    /// The same tables as of now: lists are read as they were at this moment, until [`Self::end`]. In a SQLite file
    /// each list has its own.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn at_one_moment(&self) -> Result<Self, StoreError> {
        Ok(match self {
            Self::Sqlite(_) => self.clone(),
            Self::MySql(store) => Self::MySql(store.at_one_moment().await?),
        })
    }

    /// Ends the moment, if there is one.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn end(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::MySql(store) => store.end().await,
        }
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
    pub(super) async fn apply(
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

    /// Applies a record that was set aside once more. It is no dead letter any longer; one that still
    /// contradicts a row stays, with its present reason.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the transaction failed: the record is still set aside.
    pub(super) async fn replay(&self, record: &Record) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.replay(record).await,
            Self::MySql(store) => store.replay(record).await,
        }
    }

    /// Returns the records that were set aside as dead letters behind `after`, by shard and `seq`; at most `limit`.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn set_aside(
        &self,
        after: (ShardId, u64),
        limit: usize,
    ) -> Result<Vec<SetAside>, StoreError> {
        match self {
            Self::Sqlite(store) => store.set_aside(after, limit).await,
            Self::MySql(store) => store.set_aside(after, limit).await,
        }
    }

    /// Returns up to which record each shard's log is in the tables, and what is sealed of it; shards without
    /// any are left out. The records up to it are durable there.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn shard_progress(&self) -> Result<Vec<ShardProgress>, StoreError> {
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
    pub(super) async fn census(&self) -> Result<Census, StoreError> {
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
    pub(super) async fn set_back(&self, to: &[(ShardId, u64)]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.set_back(to).await,
            Self::MySql(store) => store.set_back(to).await,
        }
    }

    /// Returns the journal that the tables are filled from and which of several stores they are, if that was
    /// assigned.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn owner(&self) -> Result<Option<Owner>, StoreError> {
        let read = async |text| match self {
            Self::Sqlite(store) => store.owner(text).await,
            Self::MySql(store) => store.owner(text).await,
        };
        let found = match read(OWNER).await {
            Err(StoreError::Refused(why)) if why.contains(OWNER_COLUMN) => read(OWNER_ALONE).await,
            found => found,
        };
        found?.map(Owner::read).transpose()
    }

    /// Assigns `owner` to the tables, unless one was assigned before, and returns the one that is assigned
    /// now. Of several callers at once one wins, and all get the same answer.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer or cannot be written.
    pub(super) async fn assign_owner(
        &self,
        journal: JournalId,
        place: StorePlace,
    ) -> Result<Owner, StoreError> {
        match self {
            Self::Sqlite(store) => store.assign_owner(journal, place).await?,
            Self::MySql(store) => store.assign_owner(journal, place).await?,
        }
        self.owner().await?.ok_or_else(|| StoreError::corrupt("table journal: its row is gone"))
    }

    /// Returns the order, if it is stored.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn order(&self, order_id: OrderId) -> Result<Option<StoredOrder>, StoreError> {
        match self {
            Self::Sqlite(store) => store.order(order_id).await,
            Self::MySql(store) => store.order(order_id).await,
        }
    }

    /// Returns the order that this buyer's request got of the item.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn order_of_request(
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
    pub(super) async fn orders_of(
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
    pub(super) async fn search(
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
    pub(super) async fn scan(
        &self,
        after: OrderId,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        let limit = limit.min(SCAN_ROWS_MAX);
        match self {
            Self::Sqlite(store) => store.scan(after, limit).await,
            Self::MySql(store) => store.scan(after, limit).await,
        }
    }

    /// Returns all records of items, by shard and `seq`.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn item_records(&self) -> Result<Vec<Record>, StoreError> {
        match self {
            Self::Sqlite(store) => store.item_records().await,
            Self::MySql(store) => store.item_records().await,
        }
    }
}
