//! The port: one or several order stores, each with the orders of its own shards.
//!
//! A shard is in one store, by its number (`place.rs`), so that what is asked of an order or of a shard goes to
//! one database, and what is asked of a buyer, a sale or everything is put together from all of them. A part of
//! the stores is an order store as well: what moves orders takes each by itself, so that one which is away
//! keeps nothing but its own shards' orders waiting. The first one has the catalogue beside it.

use super::apply::{Applied, ApplyError};
use super::conflict::{Conflicts, SetAside};
use super::items::StoredItem;
use super::place::{Owner, STORES_MAX, StorePlace};
use super::progress::ShardProgress;
use super::progress_rows::Census;
use super::replica::{Replica, ReplicaLook, ReplicaReads};
use super::row::StoredOrder;
use super::tables::OrderTables;
use crate::store::database::{Database, StoreError};
use crate::store::journal::JournalId;
use domain::{ItemId, OrderId, Record, RequestId, SaleId, ShardId, UserId};
use secrecy::SecretString;
use std::path::Path;
use std::sync::Arc;

/// A handle to the order stores. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct OrderStore {
    /// At least one, by ascending place.
    pub(super) stores: Arc<[OneStore]>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct OneStore {
    pub(super) place: StorePlace,
    pub(super) tables: OrderTables,
    /// Where lists are read if it is near enough.
    pub(super) replica: Option<Replica>,
}

impl OrderStore {
    /// Creates a handle to the only order store, in `database`.
    pub fn new(database: &Database) -> Self {
        let tables = OrderTables::new(database);
        Self { stores: Arc::new([OneStore { place: StorePlace::ALONE, tables, replica: None }]) }
    }

    /// Creates a handle to one or several order stores, each in a database of its own, by their places.
    ///
    /// # Errors
    /// Returns [`StoreError::InvalidUrl`] if there are none, or more than [`STORES_MAX`].
    pub fn over(databases: &[Database]) -> Result<Self, StoreError> {
        let stores = u16::try_from(databases.len()).unwrap_or(u16::MAX);
        if !(1..=STORES_MAX).contains(&stores) {
            return Err(StoreError::InvalidUrl);
        }
        let one = |(place, database)| OneStore {
            place: StorePlace { place, stores },
            tables: OrderTables::new(database),
            replica: None,
        };
        Ok(Self { stores: (0..).zip(databases).map(one).collect() })
    }

    /// The same with a replica of each, by their places. If they are awaited, what the journal may delete has to be in
    /// them too: who does so asks [`Self::awaits_replica`].
    #[must_use]
    pub fn with_replicas(self, replicas: &[Database], are_awaited: bool) -> Self {
        let mut replicas = replicas.iter();
        let with = |store: &OneStore| {
            let replica = replicas.next().map(|found| Replica::new(found, are_awaited));
            OneStore { replica, ..store.clone() }
        };
        Self { stores: self.stores.iter().map(with).collect() }
    }

    /// Whether one of them has a replica.
    pub fn has_replica(&self) -> bool {
        self.stores.iter().any(|store| store.replica.is_some())
    }

    /// Whether one of them has a replica that the journal keeps records for.
    pub fn awaits_replica(&self) -> bool {
        let mut replicas = self.stores.iter().filter_map(|store| store.replica.as_ref());
        replicas.any(|replica| replica.is_awaited)
    }

    /// Asks the replica of the first of them what it is and how far.
    ///
    /// # Errors
    /// Returns [`StoreError`] if there is none, or it does not answer.
    pub async fn replica_look(&self) -> Result<ReplicaLook, StoreError> {
        match &self.one().replica {
            Some(replica) => replica.look().await,
            None => Err(StoreError::Unavailable("there is no replica".to_owned())),
        }
    }

    /// What came of the lists that the replica of the first of them was asked for.
    pub fn replica_reads(&self) -> ReplicaReads {
        self.one().replica.as_ref().map(Replica::reads).unwrap_or_default()
    }

    /// Whether lists may be read from the replica of the first of them, where it is near enough.
    pub fn use_replica(&self, is_usable: bool) {
        if let Some(replica) = &self.one().replica {
            replica.set_usable(is_usable);
        }
    }

    /// Lists have to hold the shard's records up to `seq` from now on: a replica that does not is not read from.
    pub fn lists_need(&self, shard: ShardId, seq: u64) {
        let replicas = self.stores.iter().filter(|store| store.place.holds(shard));
        for replica in replicas.filter_map(|store| store.replica.as_ref()) {
            replica.need(shard, seq);
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

    /// Each of the order stores by itself.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        self.stores.iter().map(|store| Self { stores: Arc::new([store.clone()]) })
    }

    /// The first of them, which has the catalogue and all else beside it that a shop has once.
    #[must_use]
    pub fn first(&self) -> Self {
        Self { stores: self.stores.iter().take(1).cloned().collect() }
    }

    /// Those that hold some of these shards; all of them if there are no such shards.
    #[must_use]
    pub fn holding(&self, shards: &[ShardId]) -> Self {
        let holds = |store: &&OneStore| shards.iter().any(|shard| store.place.holds(*shard));
        let stores: Arc<[OneStore]> = self.stores.iter().filter(holds).cloned().collect();
        if stores.is_empty() { self.clone() } else { Self { stores } }
    }

    /// The place of the first of them among all that the shop has.
    pub fn place(&self) -> StorePlace {
        self.one().place
    }

    /// Whether one of them holds the shard.
    pub fn holds(&self, shard: ShardId) -> bool {
        self.stores.iter().any(|store| store.place.holds(shard))
    }

    /// The database of the first of them.
    pub fn database(&self) -> Database {
        self.one().tables.database()
    }

    /// Brings the tables up to date, the catalogue's too, and returns the names of those that were gone
    /// and were made anew.
    ///
    /// # Errors
    /// Returns [`StoreError`] if [`Database::migrate`] does, for some of them; the others are up to date.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let (mut made, mut failure) = (Vec::new(), None);
        for store in self.stores.iter() {
            match store.tables.database().migrate().await {
                Ok(tables) => made.extend(tables),
                // One that time may heal says less than one that it does not.
                Err(error) if failure.as_ref().is_none_or(StoreError::is_transient) => {
                    failure = Some(error);
                }
                Err(_) => {}
            }
        }
        failure.map_or(Ok(made), Err)
    }

    /// Asks the databases for a sign of life.
    ///
    /// # Errors
    /// Returns [`StoreError`] if one of them does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        for store in self.stores.iter() {
            store.tables.database().ping().await?;
        }
        Ok(())
    }

    /// Closes all connections, after those in use have been returned.
    pub async fn close(&self) {
        for store in self.stores.iter() {
            store.tables.database().close().await;
            if let Some(replica) = &store.replica {
                replica.close().await;
            }
        }
    }

    /// Brings records into the tables, treats records that contradict a row as `conflicts` says, and
    /// raises the progress of each shard in `progress` to at least the given `seq`, all in one
    /// transaction of each store, which is durable on return. 4,000 to 16,000 records at a time are best:
    /// each batch rewrites the pages of one randomly ordered index.
    ///
    /// The records of such a shard begin at the store's own progress + 1 or before, and none is missing
    /// up to `seq`. Safe to repeat with the same or other records.
    ///
    /// # Errors
    /// Returns [`ApplyError::Gap`] if records of a shard in `progress` are missing; nothing was stored of its
    /// store. Returns [`ApplyError::Store`] if a transaction failed, or a record is of a shard that is in none
    /// of these stores; none of it is kept then, except that after a connection that was lost during the
    /// commit this is unknown. The caller repeats it.
    pub async fn apply(
        &self,
        records: &[Record],
        progress: &[(ShardId, u64)],
        conflicts: Conflicts,
    ) -> Result<Applied, ApplyError> {
        let shards = records.iter().map(|record| record.shard);
        let mut shards = shards.chain(progress.iter().map(|(shard, _)| *shard));
        if let Some(stray) = shards.find(|shard| !self.holds(*shard)) {
            return Err(self.no_store_of(stray).into());
        }
        if let [store] = &*self.stores {
            return store.tables.apply(records, progress, conflicts).await;
        }
        let mut applied = Applied::default();
        for store in self.stores.iter() {
            let own = |record: &&Record| store.place.holds(record.shard);
            let records: Vec<Record> = records.iter().filter(own).cloned().collect();
            let progress: Vec<(ShardId, u64)> =
                progress.iter().filter(|(shard, _)| store.place.holds(*shard)).copied().collect();
            let own = store.tables.apply(&records, &progress, conflicts).await?;
            applied = applied.with(own);
        }
        Ok(applied)
    }

    /// Returns the records that were set aside as dead letters, by shard and `seq`; at most `limit`.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn set_aside(&self, limit: usize) -> Result<Vec<SetAside>, StoreError> {
        let mut found = Vec::new();
        for store in self.stores.iter() {
            found.extend(store.tables.set_aside((ShardId(0), 0), limit).await?);
        }
        found.sort_by_key(|SetAside { record, .. }| (record.shard, record.seq));
        found.truncate(limit);
        Ok(found)
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
        let mut tried = 0;
        for OneStore { tables, .. } in self.stores.iter() {
            let mut after = (ShardId(0), 0);
            while tried < limit {
                let page = tables.set_aside(after, PAGE.min(limit - tried)).await?;
                if page.is_empty() {
                    break;
                }
                for SetAside { record, .. } in page {
                    tables.replay(&record).await?;
                    after = (record.shard, record.seq);
                    tried += 1;
                }
            }
        }
        Ok(tried)
    }

    /// Returns up to which record each shard's log is in the tables; shards without any are left out.
    /// The records up to it are durable there.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn progress(&self) -> Result<Vec<(ShardId, u64)>, StoreError> {
        let progress = self.shard_progress().await?;
        Ok(progress.iter().map(|progress| (progress.shard, progress.seq())).collect())
    }

    /// Returns the same with what is sealed of each shard.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn shard_progress(&self) -> Result<Vec<ShardProgress>, StoreError> {
        let mut found = Vec::new();
        for store in self.stores.iter() {
            found.extend(store.tables.shard_progress().await?);
        }
        found.sort_by_key(|progress| progress.shard);
        Ok(found)
    }

    /// Counts the rows of the tables, and those that were stored: what is missing was lost since.
    /// Reads an index of all orders.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn census(&self) -> Result<Census, StoreError> {
        let mut all = self.one().tables.census().await?;
        for store in self.stores.iter().skip(1) {
            all += store.tables.census().await?;
        }
        Ok(all)
    }

    /// Seals the shards of which a version stored records that kept no seals, by the rows that there
    /// are. A shard with rows beyond its progress, or of which more is stored meanwhile, is left for the
    /// next time.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn seal_what_is_stored(&self) -> Result<(), StoreError> {
        for store in self.stores.iter() {
            store.tables.seal_what_is_stored().await?;
        }
        Ok(())
    }

    /// Lowers the progress of these shards to at most the given `seq`, so that what comes behind it is
    /// stored once more.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a transaction failed.
    pub async fn set_back(&self, to: &[(ShardId, u64)]) -> Result<(), StoreError> {
        for store in self.stores.iter() {
            let own: Vec<(ShardId, u64)> =
                to.iter().filter(|(shard, _)| store.place.holds(*shard)).copied().collect();
            store.tables.set_back(&own).await?;
        }
        Ok(())
    }

    /// Returns what the tables of the first store that says so say of themselves: from which journal they are
    /// filled, and which store they are.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn owner_row(&self) -> Result<Option<Owner>, StoreError> {
        for store in self.stores.iter() {
            if let Some(owner) = store.tables.owner().await? {
                return Ok(Some(owner));
            }
        }
        Ok(None)
    }

    /// Returns the journal that the tables are filled from, if one was assigned.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn owner(&self) -> Result<Option<JournalId>, StoreError> {
        Ok(self.owner_row().await?.map(|owner| owner.journal))
    }

    /// Assigns `journal` to the tables as the one they are filled from, unless one was assigned before,
    /// and returns the one that is assigned now, to the last of them. Of several callers at once one wins,
    /// and all get the same answer.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer or cannot be written.
    pub async fn assign_owner(&self, journal: JournalId) -> Result<JournalId, StoreError> {
        let mut assigned = journal;
        for store in self.stores.iter() {
            assigned = store.tables.assign_owner(journal, store.place).await?.journal;
        }
        Ok(assigned)
    }

    /// Returns the order, if it is stored.
    ///
    /// # Errors
    /// Returns [`StoreError`] if its database does not answer.
    pub async fn order(&self, order_id: OrderId) -> Result<Option<StoredOrder>, StoreError> {
        self.store_of(order_id.shard())?.tables.order(order_id).await
    }

    /// Returns the order that this buyer's request got of the item, in one of the shards that may have
    /// granted it.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn order_of_request(
        &self,
        (sale_id, item_id): (SaleId, ItemId),
        user_id: UserId,
        request_id: RequestId,
    ) -> Result<Option<StoredOrder>, StoreError> {
        for store in self.stores.iter() {
            let item = (sale_id, item_id);
            let found = store.tables.order_of_request(item, user_id, request_id).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Returns all items that were ever preheated, by shard and in the order of their preheat: with
    /// [`Self::scan`] and [`Self::progress`] enough to rebuild every shard.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn items(&self) -> Result<Vec<StoredItem>, StoreError> {
        StoredItem::fold(&self.item_records().await?)
    }

    /// Returns all records of items, by shard and `seq`.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn item_records(&self) -> Result<Vec<Record>, StoreError> {
        let mut found = Vec::new();
        for store in self.stores.iter() {
            found.extend(store.tables.item_records().await?);
        }
        found.sort_by_key(|record| (record.shard, record.seq));
        Ok(found)
    }

    /// The store that holds the shard.
    pub(super) fn store_of(&self, shard: ShardId) -> Result<&OneStore, StoreError> {
        let found = self.stores.iter().find(|store| store.place.holds(shard));
        found.ok_or_else(|| self.no_store_of(shard))
    }

    fn no_store_of(&self, shard: ShardId) -> StoreError {
        let StorePlace { place, stores } = StorePlace::of(shard, self.place().stores);
        StoreError::Refused(format!(
            "shard {shard} is in order store {place} of {stores}, not here"
        ))
    }

    fn one(&self) -> &OneStore {
        // There is no way to make one without any.
        &self.stores[0]
    }
}
