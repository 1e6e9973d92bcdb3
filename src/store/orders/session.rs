//! The statements that applying a batch needs, which each database writes in its own dialect.

use super::batch::{ItemRow, OperationEntry};
use super::conflict::SetAside;
use super::payment_row::StoredPayment;
use super::progress::ShardProgress;
use super::row::StoredOrder;
use crate::store::database::StoreError;
use domain::{Order, OrderId, ShardId};
use std::future::Future;

/// The outcome of an insert of several rows, of which all or none go in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Insertion {
    /// All rows were inserted.
    Done,
    /// A key of one of them exists already, and none was inserted.
    KeyTaken,
}

/// The statements of one open transaction. The length of each slice is one of
/// [`SIZES`](crate::store::database::statements::SIZES); a failed insert leaves the transaction usable
/// and everything before it in place.
pub(super) trait Session: Send {
    /// Returns those of the orders that are stored.
    fn stored(
        &mut self,
        order_ids: &[OrderId],
    ) -> impl Future<Output = Result<Vec<StoredOrder>, StoreError>> + Send;

    /// Returns the stored order of the same sale, item, buyer and attempt.
    fn holder(&mut self, order: &Order)
    -> impl Future<Output = Result<OrderId, StoreError>> + Send;

    /// Inserts orders that are not stored yet.
    fn insert(
        &mut self,
        rows: &[StoredOrder],
    ) -> impl Future<Output = Result<Insertion, StoreError>> + Send;

    /// Raises stored orders to these versions, unless theirs are later.
    fn update(
        &mut self,
        rows: &[StoredOrder],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns the stored payments of these orders.
    fn stored_payments(
        &mut self,
        order_ids: &[OrderId],
    ) -> impl Future<Output = Result<Vec<StoredPayment>, StoreError>> + Send;

    /// Inserts payments that are not stored yet.
    fn insert_payments(
        &mut self,
        rows: &[&StoredPayment],
    ) -> impl Future<Output = Result<Insertion, StoreError>> + Send;

    /// Raises stored payments to these versions, unless theirs are later.
    fn update_payments(
        &mut self,
        rows: &[StoredPayment],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns the bytes of a stored record of an item.
    fn stored_item(
        &mut self,
        shard: ShardId,
        seq: u64,
    ) -> impl Future<Output = Result<Vec<u8>, StoreError>> + Send;

    /// Inserts records of items.
    fn insert_items(
        &mut self,
        rows: &[ItemRow],
    ) -> impl Future<Output = Result<Insertion, StoreError>> + Send;

    /// Appends an operation to the operators' log.
    fn log_operation(
        &mut self,
        entry: &OperationEntry<'_>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps these dead letters, replacing those of the same records.
    fn set_aside(
        &mut self,
        rows: &[SetAside],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes a dead letter, if there is one of this record.
    fn delete_set_aside(
        &mut self,
        shard: ShardId,
        seq: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns how far these shards are, which ascend, and holds them so until the transaction ends, even if nothing
    /// is stored of them yet. Others may be among what is returned, and are held only by a database that has one
    /// transaction at a time.
    fn lock_progress(
        &mut self,
        shards: &[ShardId],
    ) -> impl Future<Output = Result<Vec<ShardProgress>, StoreError>> + Send;

    /// Writes how far these shards are.
    fn write_progress(
        &mut self,
        progress: &[ShardProgress],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes what is sealed of these shards, each of which has a seal.
    fn write_seals(
        &mut self,
        progress: &[ShardProgress],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Appends an operation to the operators' log, in either dialect.
pub(super) const LOG_OPERATION: &str =
    "INSERT INTO operator_log (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)";

/// Tells an insert that met a taken key from one that failed.
pub(super) fn insertion<T>(result: Result<T, sqlx::Error>) -> Result<Insertion, StoreError> {
    match result {
        Ok(_) => Ok(Insertion::Done),
        Err(sqlx::Error::Database(refusal)) if refusal.is_unique_violation() => {
            Ok(Insertion::KeyTaken)
        }
        Err(error) => Err(error.into()),
    }
}
