//! The order store in the dialect that MySQL 8 and MariaDB share: what is read of it, and the transactions whose
//! statements `mysql_session.rs` has.

use super::apply::{self, Applied, ApplyError};
use super::batch::Batch;
use super::bytes;
use super::conflict::{Conflicts, SetAside};
use super::mysql_moment::Moment;
use super::mysql_session::{decode, progress_of};
use super::place::{OwnerRow, StorePlace};
use super::progress::ShardProgress;
use super::progress_rows::{CENSUS, Census, PROGRESS, PROGRESS_UNSEALED, SEALS, decode_census};
use super::row::{StoredOrder, columns};
use super::search::{Whose, Window, window_text};
use crate::store::database::statements::{before_bound, limit_of};
use crate::store::database::{MySqlDatabase, StoreError, within};
use crate::store::journal::JournalId;
use domain::{ItemId, OrderId, Record, RequestId, SaleId, ShardId, UserId};
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::query::Query;
use sqlx::{Connection, MySql, MySqlConnection, Row};
use std::sync::Arc;

/// The orders in a MySQL database; cheap to clone.
#[derive(Clone, Debug)]
pub struct MySqlOrders {
    database: MySqlDatabase,
    /// The moment as of which lists are read; without one each statement has its own.
    moment: Option<Arc<Moment>>,
}

impl MySqlOrders {
    pub(super) fn new(database: MySqlDatabase) -> Self {
        Self { database, moment: None }
    }

    /// The same as of now: lists are read as they were at this moment, until [`Self::end`].
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn at_one_moment(&self) -> Result<Self, StoreError> {
        let moment = Moment::begin(&self.database).await?;
        Ok(Self { database: self.database.clone(), moment: Some(Arc::new(moment)) })
    }

    /// Ends the moment, if there is one.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn end(&self) -> Result<(), StoreError> {
        match &self.moment {
            None => Ok(()),
            Some(moment) => moment.end().await,
        }
    }

    /// Reads for a list.
    ///
    /// # Errors
    /// Returns the error of `work`, or [`StoreError`] if the database does not answer.
    pub(super) async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &self.moment {
            None => within(self.database.reader().await?, work).await,
            Some(moment) => moment.read(work).await,
        }
    }

    pub(super) fn database(&self) -> MySqlDatabase {
        self.database.clone()
    }

    /// Applies a batch. A session is one thread at the server, so a large batch is applied in two
    /// sessions: the part that is split off is committed, with its conflicts, before the rest, which
    /// raises the progress.
    pub(super) async fn apply(
        &self,
        mut batch: Batch,
        conflicts: Conflicts,
    ) -> Result<Applied, ApplyError> {
        within(self.database.writer().await?, async |connection| {
            let mut transaction = connection.begin().await?;
            let progress = apply::raised_progress(&mut *transaction, &batch).await?;
            let split_off =
                if self.database.has_two_connections() { batch.split_off_grants() } else { None };
            let (applied, ahead) = tokio::join!(
                apply::apply_rows(&mut *transaction, batch),
                self.apply_ahead(split_off, conflicts)
            );
            let (applied, ahead) = (applied?, ahead?);
            let applied = applied.with(ahead);
            apply::finish(&mut *transaction, &applied, conflicts, progress).await?;
            transaction.commit().await?;
            Ok(applied)
        })
        .await
    }

    /// Applies and commits what was split off a batch.
    async fn apply_ahead(
        &self,
        split_off: Option<Batch>,
        conflicts: Conflicts,
    ) -> Result<Applied, StoreError> {
        let Some(batch) = split_off else { return Ok(Applied::default()) };
        within(self.database.writer().await?, async |connection| {
            let mut transaction = connection.begin().await?;
            let applied = apply::apply_rows(&mut *transaction, batch).await?;
            apply::finish(&mut *transaction, &applied, conflicts, Vec::new()).await?;
            transaction.commit().await?;
            Ok(applied)
        })
        .await
    }

    pub(super) async fn replay(&self, record: &Record) -> Result<(), StoreError> {
        within(self.database.writer().await?, async |connection| {
            let mut transaction = connection.begin().await?;
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
        let query = sqlx::query(TEXT).bind(shard.0).bind(shard.0).bind(seq);
        let query = query.bind(limit_of(limit));
        within(self.database.reader().await?, async |connection| {
            let decode = |row: &MySqlRow| {
                let (shard, seq) = (ShardId(row.try_get(0)?), row.try_get(1)?);
                let record = bytes::decode("dead_letters", shard, seq, row.try_get(2)?)?;
                Ok(SetAside { record, reason: row.try_get(3)? })
            };
            query.fetch_all(connection).await?.iter().map(decode).collect()
        })
        .await
    }

    pub(super) async fn progress(&self) -> Result<Vec<ShardProgress>, StoreError> {
        let read =
            async |text| self.read(async |connection| progress_of(connection, text).await).await;
        match read(PROGRESS).await {
            Err(StoreError::Refused(why)) if why.contains(SEALS) => read(PROGRESS_UNSEALED).await,
            progress => progress,
        }
    }

    pub(super) async fn set_back(&self, to: &[(ShardId, u64)]) -> Result<(), StoreError> {
        const TEXT: &str =
            "UPDATE shard_progress SET applied_seq = LEAST(applied_seq, ?) WHERE shard = ?";
        within(self.database.writer().await?, async |connection| {
            let mut transaction = connection.begin().await?;
            for (shard, seq) in to {
                sqlx::query(TEXT).bind(*seq).bind(shard.0).execute(&mut *transaction).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    pub(super) async fn seal(&self, found: ShardProgress) -> Result<(), StoreError> {
        within(self.database.writer().await?, async |connection| {
            let mut transaction = connection.begin().await?;
            apply::seal(&mut *transaction, found).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    pub(super) async fn census(&self) -> Result<Census, StoreError> {
        within(self.database.reader().await?, async |connection| {
            let row = sqlx::query(CENSUS).fetch_one(connection).await?;
            decode_census!(row, i64::cast_unsigned)
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
                            ON DUPLICATE KEY UPDATE identity = identity";
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
                    .bind(order_id.0)
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
        let query =
            sqlx::query(TEXT).bind(user_id.0).bind(sale_id.0).bind(item_id.0).bind(request_id.0);
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
        let query =
            sqlx::query(TEXT).bind(user_id.0).bind(before_bound(before)).bind(limit_of(limit));
        let _place = self.database.list_place().await?;
        self.fetch(query).await
    }

    pub(super) async fn window(&self, window: Window) -> Result<Vec<StoredOrder>, StoreError> {
        let query = sqlx::query(window_text!(window));
        let query = match window.whose {
            Whose::Everybody => query,
            Whose::Sale(sale_id) => query.bind(sale_id.0),
            Whose::Buyer(user_id) => query.bind(user_id.0),
        };
        let query = query.bind(window.above).bind(window.below);
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
        self.fetch(sqlx::query(TEXT).bind(after.0).bind(limit_of(limit))).await
    }

    pub(super) async fn item_records(&self) -> Result<Vec<Record>, StoreError> {
        within(self.database.reader().await?, async |connection| {
            let rows =
                sqlx::query("SELECT shard, seq, record FROM item_events ORDER BY shard, seq")
                    .fetch_all(connection)
                    .await?;
            let decode = |row: &MySqlRow| {
                let (shard, seq) = (ShardId(row.try_get(0)?), row.try_get(1)?);
                bytes::decode("item_events", shard, seq, row.try_get(2)?)
            };
            rows.iter().map(decode).collect()
        })
        .await
    }

    async fn fetch(
        &self,
        query: Query<'static, MySql, MySqlArguments>,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        self.read(async |connection| {
            query.fetch_all(connection).await?.iter().map(decode).collect()
        })
        .await
    }
}
