//! The order store: every confirmed order as a row, for lists, for audit and for recovery.
//!
//! Filled from the journal's records, in batches, some time after the buyer was answered. Records
//! may come again, late and out of order; whatever the deliveries, the rows come out the same,
//! because a record's `seq` is its order's version and a later version never loses to an earlier
//! one. What contradicts a row is never swallowed: it is a [`Conflict`], left out and handed back,
//! while the rest of the batch commits. Where the caller has no durable place for it, the table of
//! dead letters is one: see [`Conflicts`].
//!
//! The tables belong to one journal, the first that claims them: a `seq` of another says nothing
//! about them. Who is about to believe or to change them asks [`OrderStore::owner`] before.
//!
//! `batch.rs` folds a batch, `apply.rs` brings it into the tables, `sqlite.rs` and `mysql.rs` hold
//! the statements, `items.rs` what is kept of items, `bytes.rs` how a record is kept. Must not know
//! where records come from, nor retry: [`StoreError::is_transient`] tells the consumer whether it
//! should.

mod apply;
mod batch;
mod bytes;
mod items;
mod mysql;
pub mod ownership;
mod sqlite;

pub use apply::{Applied, Conflict, ConflictReason, Conflicts, SetAside};
pub use items::StoredItem;

use crate::store::database::{Database, StoreError};
use crate::store::journal::JournalId;
use batch::Batch;
use domain::order::Cursor;
use domain::{Event, ItemId, Order, OrderId, Record, SaleId, ShardId, Timestamp, UserId};
use mysql::MySqlOrders;
use secrecy::SecretString;
use sqlite::SqliteOrders;
use std::path::Path;

/// The longest page of a list.
pub const PAGE_ROWS_MAX: usize = 500;
/// The longest page of [`OrderStore::scan`].
pub const SCAN_ROWS_MAX: usize = 10_000;

/// A row: an order as of the last record about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredOrder {
    /// The order.
    pub order: Order,
    /// The `seq` of that record.
    pub version: u64,
    /// When it was decided.
    pub changed_at: Timestamp,
}

impl StoredOrder {
    /// The record that the row is made of.
    pub fn record(&self) -> Record {
        Record {
            shard: self.order.order_id.shard(),
            seq: self.version,
            at: self.changed_at,
            event: Event::Order(self.order),
        }
    }
}

/// A handle to the order store; cheap to clone.
#[derive(Clone, Debug)]
pub enum OrderStore {
    /// In a SQLite file.
    Sqlite(SqliteOrders),
    /// On a MySQL or MariaDB server.
    MySql(MySqlOrders),
}

impl OrderStore {
    /// The order store in `database`.
    pub fn new(database: &Database) -> Self {
        match database {
            Database::Sqlite(database) => Self::Sqlite(SqliteOrders::new(database.clone())),
            Database::MySql(database) => Self::MySql(MySqlOrders::new(database.clone())),
        }
    }

    /// The order store in the file at `path`, which is created if needed.
    ///
    /// # Errors
    /// As [`Database::open_sqlite`].
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::new(&Database::open_sqlite(path).await?))
    }

    /// The order store on the server that `url` names; connects when first used.
    ///
    /// # Errors
    /// As [`Database::open_mysql`].
    pub fn open_mysql(url: &SecretString, connections_max: u32) -> Result<Self, StoreError> {
        Ok(Self::new(&Database::open_mysql(url, connections_max)?))
    }

    /// The database it lives in, which the catalogue shares.
    pub fn database(&self) -> Database {
        match self {
            Self::Sqlite(store) => Database::Sqlite(store.database()),
            Self::MySql(store) => Database::MySql(store.database()),
        }
    }

    /// Brings the tables up to date, the catalogue's too.
    ///
    /// # Errors
    /// As [`Database::migrate`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.database().migrate().await
    }

    /// Asks the database whether it answers.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.database().ping().await
    }

    /// Brings records into the tables, does with `conflicts` as it says, and raises each shard's
    /// progress to at least the given `seq`, all in one transaction, which is durable on return.
    /// 4,000 to 16,000 records at a time are best: each batch rewrites the pages of one randomly
    /// ordered index.
    ///
    /// Progress is taken on trust: give it only where every record up to it is in `records` or was
    /// applied before. Safe to repeat with the same or other records, in any order.
    ///
    /// # Errors
    /// Where the transaction failed; none of it is kept then, except that a connection lost during
    /// the commit leaves that open. Repeat it.
    pub async fn apply(
        &self,
        records: &[Record],
        progress: &[(ShardId, u64)],
        conflicts: Conflicts,
    ) -> Result<Applied, StoreError> {
        let batch = Batch::fold(records, progress);
        match self {
            Self::Sqlite(store) => store.apply(batch, conflicts).await,
            Self::MySql(store) => store.apply(batch, conflicts).await,
        }
    }

    /// Records that were set aside, by shard and `seq`; at most `limit`.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn set_aside(&self, limit: usize) -> Result<Vec<SetAside>, StoreError> {
        self.set_aside_after((ShardId(0), 0), limit).await
    }

    /// Brings the records that were set aside in once more, at most `limit`, each in a transaction of
    /// its own, and returns how many it tried. What goes in is set aside no longer; what still
    /// contradicts a row stays, with its reason of today. Safe to repeat, and beside a consumer.
    ///
    /// # Errors
    /// Where a transaction failed: that record and those behind it are still set aside.
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

    /// Up to which record each shard's log is in the tables; shards without any are left out. What
    /// it says is durable.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn progress(&self) -> Result<Vec<(ShardId, u64)>, StoreError> {
        match self {
            Self::Sqlite(store) => store.progress().await,
            Self::MySql(store) => store.progress().await,
        }
    }

    /// The journal that the tables belong to, if one has claimed them.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn owner(&self) -> Result<Option<JournalId>, StoreError> {
        let text = match self {
            Self::Sqlite(store) => store.owner().await?,
            Self::MySql(store) => store.owner().await?,
        };
        text.map(|text| text.parse().map_err(|_| StoreError::corrupt("no identity in journal")))
            .transpose()
    }

    /// Makes the tables `journal`'s, unless they are a journal's already, and returns whose they are
    /// now. Of several at once one wins, and all are told which.
    ///
    /// # Errors
    /// Where the database cannot be read or written.
    pub async fn claim(&self, journal: JournalId) -> Result<JournalId, StoreError> {
        match self {
            Self::Sqlite(store) => store.claim(journal).await?,
            Self::MySql(store) => store.claim(journal).await?,
        }
        self.owner().await?.ok_or_else(|| StoreError::corrupt("journal has lost its row"))
    }

    /// The order, if it is stored.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn order(&self, order_id: OrderId) -> Result<Option<StoredOrder>, StoreError> {
        match self {
            Self::Sqlite(store) => store.order(order_id).await,
            Self::MySql(store) => store.order(order_id).await,
        }
    }

    /// A buyer's orders, newest first, placed before `before` if given; at most `limit` and
    /// [`PAGE_ROWS_MAX`].
    ///
    /// # Errors
    /// Where the database cannot be read.
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

    /// A sale's orders, or those of one of its items; at most `limit` and [`PAGE_ROWS_MAX`].
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn orders_of_sale(
        &self,
        sale_id: SaleId,
        item_id: Option<ItemId>,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        let limit = limit.min(PAGE_ROWS_MAX);
        match self {
            Self::Sqlite(store) => store.orders_of_sale(sale_id, item_id, cursor, limit).await,
            Self::MySql(store) => store.orders_of_sale(sale_id, item_id, cursor, limit).await,
        }
    }

    /// All orders by ascending identity, beginning after `after`; at most `limit` and
    /// [`SCAN_ROWS_MAX`]. For audit and recovery.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn scan(&self, after: OrderId, limit: usize) -> Result<Vec<StoredOrder>, StoreError> {
        let limit = limit.min(SCAN_ROWS_MAX);
        match self {
            Self::Sqlite(store) => store.scan(after, limit).await,
            Self::MySql(store) => store.scan(after, limit).await,
        }
    }

    /// All items that were ever preheated, by shard and in the order of their preheat: with
    /// [`Self::scan`] and [`Self::progress`] enough to rebuild every shard.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn items(&self) -> Result<Vec<StoredItem>, StoreError> {
        items::fold(&self.item_records().await?)
    }

    /// All records of items, by shard and `seq`.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn item_records(&self) -> Result<Vec<Record>, StoreError> {
        match self {
            Self::Sqlite(store) => store.item_records().await,
            Self::MySql(store) => store.item_records().await,
        }
    }
}
