//! How a folded batch gets into the tables: the one algorithm, over either database.
//!
//! Grants are inserted without looking. Where the database answers that a key is taken, which undoes
//! that statement and no more, the rows are looked up and judged one against the other: repeats,
//! older and newer facts, contradictions. Changes are looked up first. Only rows that were found,
//! with equal content, are updated by *upsert*: on a row that is not there, an upsert would answer a
//! clash of the second key (sale, item, user, attempt) by changing another order's row.
//!
//! Must not know SQL, nor commit.

use super::batch::{Batch, ItemRow};
use super::{StoreError, StoredOrder};
use crate::store::database::statements::chunks;
use domain::{Order, OrderId, OrderStatus, Record, ShardId};
use hashbrown::HashMap;
use std::future::Future;

/// What became of a batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Orders that were not stored before.
    pub inserted: usize,
    /// Orders that were stored in an earlier version.
    pub updated: usize,
    /// Order records that changed nothing: repeats, and those that a later record of the same order,
    /// stored or in the batch, stands for.
    pub duplicates: usize,
    /// Records of items that were not stored before.
    pub item_events: usize,
    /// Records that were left out because they contradict what is stored. Each wants an alarm.
    pub conflicts: Vec<Conflict>,
}

/// A record that contradicts what is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The record.
    pub record: Record,
    /// What it contradicts.
    pub reason: ConflictReason,
}

/// What becomes of a batch's conflicts. They are handed back in either case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conflicts {
    /// Nothing more: the caller has a durable place for them, such as a broker's queue.
    HandedBack,
    /// They are kept beside the orders, in the transaction of their batch, until
    /// [`replay`](super::OrderStore::replay) brings them in.
    Kept,
}

/// A record that was set aside, as [`Conflicts::Kept`] says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetAside {
    /// The record.
    pub record: Record,
    /// What it contradicted when it was tried last, in words.
    pub reason: String,
}

/// What a record contradicts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConflictReason {
    /// The order is stored with another item, buyer, quantity or price.
    #[error("order {} is stored with other content", .stored.order_id)]
    OtherPurchase {
        /// As it is stored.
        stored: Order,
    },
    /// The same version of the order is stored with another status.
    #[error("this version of the order is stored as {}", .stored.name())]
    OtherStatus {
        /// As it is stored.
        stored: OrderStatus,
    },
    /// The buyer's attempt for this item is another order.
    #[error("the buyer's attempt for this item is order {holder}")]
    AttemptTaken {
        /// The order that is stored.
        holder: OrderId,
    },
    /// The shard's record of this number is stored with another content.
    #[error("the shard's record of this number is stored with other content")]
    OtherItemEvent,
    /// The order's identity names another shard than the record, or is none.
    #[error("the order's identity does not belong to the record's shard")]
    Misplaced,
}

/// Whether an insert of several rows went in, all or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Insertion {
    Done,
    KeyTaken,
}

/// The statements of one open transaction. Slices come from [`chunks`]; a failed insert leaves the
/// transaction usable and everything before it in place.
pub(super) trait Session: Send {
    fn stored(
        &mut self,
        order_ids: &[OrderId],
    ) -> impl Future<Output = Result<Vec<StoredOrder>, StoreError>> + Send;

    fn holder(&mut self, order: &Order)
    -> impl Future<Output = Result<OrderId, StoreError>> + Send;

    fn insert(
        &mut self,
        rows: &[StoredOrder],
    ) -> impl Future<Output = Result<Insertion, StoreError>> + Send;

    fn update(
        &mut self,
        rows: &[StoredOrder],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn stored_item(
        &mut self,
        shard: ShardId,
        seq: u64,
    ) -> impl Future<Output = Result<Vec<u8>, StoreError>> + Send;

    fn insert_items(
        &mut self,
        rows: &[ItemRow],
    ) -> impl Future<Output = Result<Insertion, StoreError>> + Send;

    /// Keeps these as they are now, whatever was kept of the same records before.
    fn keep(&mut self, rows: &[SetAside]) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn release(
        &mut self,
        shard: ShardId,
        seq: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn advance(
        &mut self,
        progress: &[(ShardId, u64)],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Brings the batch into the tables.
pub(super) async fn apply(
    session: &mut impl Session,
    mut batch: Batch,
    conflicts: Conflicts,
) -> Result<Applied, StoreError> {
    let progress = std::mem::take(&mut batch.progress);
    let applied = apply_rows(session, batch).await?;
    finish(session, &applied, conflicts, &progress).await?;
    Ok(applied)
}

/// Brings a record in that was set aside; one that still contradicts the tables stays where it is,
/// with its reason of today.
pub(super) async fn replay(session: &mut impl Session, record: &Record) -> Result<(), StoreError> {
    let batch = Batch::fold(std::slice::from_ref(record), &[]);
    let applied = apply_rows(session, batch).await?;
    if applied.conflicts.is_empty() {
        return session.release(record.shard, record.seq).await;
    }
    keep(session, &applied.conflicts).await
}

/// Brings the batch's rows into the tables, and leaves conflicts and progress to [`finish`].
pub(super) async fn apply_rows(
    session: &mut impl Session,
    batch: Batch,
) -> Result<Applied, StoreError> {
    let mut applied = Applied { conflicts: batch.impossible, ..Applied::default() };
    for rows in chunks(&batch.granted) {
        match session.insert(rows).await? {
            Insertion::Done => applied.inserted += rows.len(),
            Insertion::KeyTaken => merge(session, rows, &mut applied).await?,
        }
    }
    for rows in chunks(&batch.changed) {
        merge(session, rows, &mut applied).await?;
    }
    for row in &batch.contested {
        merge(session, std::slice::from_ref(row), &mut applied).await?;
    }
    let order_conflicts = applied.conflicts.len();
    let changes = applied.inserted + applied.updated + order_conflicts;
    applied.duplicates = batch.order_records.saturating_sub(changes);
    for rows in chunks(&batch.items) {
        match session.insert_items(rows).await? {
            Insertion::Done => applied.item_events += rows.len(),
            Insertion::KeyTaken => {
                for row in rows {
                    merge_item(session, row, &mut applied).await?;
                }
            }
        }
    }
    Ok(applied)
}

/// Keeps the conflicts, if they are to be kept, and raises the shards' progress, which passes them
/// (I13). Last before the commit, because the rows of the progress are few and everybody's: they are
/// locked until then.
pub(super) async fn finish(
    session: &mut impl Session,
    applied: &Applied,
    conflicts: Conflicts,
    progress: &[(ShardId, u64)],
) -> Result<(), StoreError> {
    if conflicts == Conflicts::Kept {
        keep(session, &applied.conflicts).await?;
    }
    for progress in chunks(progress) {
        session.advance(progress).await?;
    }
    Ok(())
}

async fn keep(session: &mut impl Session, conflicts: &[Conflict]) -> Result<(), StoreError> {
    let set_aside = |Conflict { record, reason }: &Conflict| SetAside {
        record: record.clone(),
        reason: reason.to_string(),
    };
    let mut rows: Vec<SetAside> = conflicts.iter().map(set_aside).collect();
    // Locks taken in one order do not deadlock.
    rows.sort_by_key(|row| (row.record.shard, row.record.seq));
    for rows in chunks(&rows) {
        session.keep(rows).await?;
    }
    Ok(())
}

/// Brings rows in of which some may be stored.
async fn merge(
    session: &mut impl Session,
    rows: &[StoredOrder],
    applied: &mut Applied,
) -> Result<(), StoreError> {
    let order_ids: Vec<OrderId> = rows.iter().map(|row| row.order.order_id).collect();
    let stored = session.stored(&order_ids).await?;
    let stored: HashMap<OrderId, StoredOrder, foldhash::fast::RandomState> =
        stored.into_iter().map(|row| (row.order.order_id, row)).collect();
    let (mut missing, mut newer) = (Vec::new(), Vec::new());
    for row in rows {
        match stored.get(&row.order.order_id).map(|stored| judge(stored, row)) {
            None => missing.push(*row),
            Some(Judgement::Newer) => newer.push(*row),
            Some(Judgement::Known) => {}
            Some(Judgement::Contradiction(reason)) => applied.conflict(row, reason),
        }
    }
    for rows in chunks(&newer) {
        session.update(rows).await?;
        applied.updated += rows.len();
    }
    for rows in chunks(&missing) {
        match session.insert(rows).await? {
            Insertion::Done => applied.inserted += rows.len(),
            Insertion::KeyTaken => {
                for row in rows {
                    merge_one(session, row, applied).await?;
                }
            }
        }
    }
    Ok(())
}

/// Brings a row in that may clash with another order of the same attempt, or that someone else may
/// have stored a moment ago.
async fn merge_one(
    session: &mut impl Session,
    row: &StoredOrder,
    applied: &mut Applied,
) -> Result<(), StoreError> {
    if session.insert(std::slice::from_ref(row)).await? == Insertion::Done {
        applied.inserted += 1;
        return Ok(());
    }
    match session.stored(&[row.order.order_id]).await?.first().map(|stored| judge(stored, row)) {
        None => {
            let holder = session.holder(&row.order).await?;
            applied.conflict(row, ConflictReason::AttemptTaken { holder });
        }
        Some(Judgement::Newer) => {
            session.update(std::slice::from_ref(row)).await?;
            applied.updated += 1;
        }
        Some(Judgement::Known) => {}
        Some(Judgement::Contradiction(reason)) => applied.conflict(row, reason),
    }
    Ok(())
}

async fn merge_item(
    session: &mut impl Session,
    row: &ItemRow,
    applied: &mut Applied,
) -> Result<(), StoreError> {
    if session.insert_items(std::slice::from_ref(row)).await? == Insertion::Done {
        applied.item_events += 1;
    } else if session.stored_item(row.record.shard, row.record.seq).await? != row.bytes {
        let (record, reason) = (row.record.clone(), ConflictReason::OtherItemEvent);
        applied.conflicts.push(Conflict { record, reason });
    }
    Ok(())
}

/// What a row is to the stored row of the same order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Judgement {
    Newer,
    Known,
    Contradiction(ConflictReason),
}

fn judge(stored: &StoredOrder, row: &StoredOrder) -> Judgement {
    if !stored.order.same_purchase(&row.order) {
        let reason = ConflictReason::OtherPurchase { stored: stored.order };
        return Judgement::Contradiction(reason);
    }
    match row.version.cmp(&stored.version) {
        std::cmp::Ordering::Greater => Judgement::Newer,
        std::cmp::Ordering::Less => Judgement::Known,
        std::cmp::Ordering::Equal if stored.order.status == row.order.status => Judgement::Known,
        std::cmp::Ordering::Equal => {
            let reason = ConflictReason::OtherStatus { stored: stored.order.status };
            Judgement::Contradiction(reason)
        }
    }
}

impl Applied {
    /// What became of both.
    pub(super) fn with(mut self, other: Self) -> Self {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.duplicates += other.duplicates;
        self.item_events += other.item_events;
        self.conflicts.extend(other.conflicts);
        self
    }

    fn conflict(&mut self, row: &StoredOrder, reason: ConflictReason) {
        self.conflicts.push(Conflict { record: row.record(), reason });
    }
}
