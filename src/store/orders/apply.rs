//! Applies a folded batch to the tables: one algorithm for both databases.
//!
//! Grants are inserted without a look-up. If the database answers that a key is taken, which undoes
//! that statement and no more, the stored rows are looked up and each row is compared with its stored
//! one: a repeat, an older or newer version, or a contradiction. Changes are looked up first. Only
//! rows that were found, with equal content, are updated by *upsert*: on a row that does not exist, an
//! upsert would answer a clash of the second key (sale, item, user, attempt) by changing another
//! order's row.
//!
//! Payments come after the orders: see `payment_apply.rs`. Must not know SQL, nor commit.

use super::batch::{Batch, ItemRow};
use super::conflict::{Conflict, ConflictReason, Conflicts, SetAside};
use super::payment_apply;
use super::payment_row::PaymentRow;
use super::progress::{Gap, ShardProgress};
use super::row::StoredOrder;
use super::session::{Insertion, Session};
use crate::store::database::statements::chunks;
use crate::store::database::{ConnectionFault, StoreError};
use domain::{Event, OrderId, Record, ShardId};
use hashbrown::HashMap;

/// The outcome of a batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// How many orders were not stored before.
    pub inserted: usize,
    /// How many orders were stored in an earlier version.
    pub updated: usize,
    /// How many records of orders changed nothing: repeats, and those that a later record of the same
    /// order, stored or in the batch, replaces.
    pub duplicates: usize,
    /// How many payments were not stored before, or in an earlier version.
    pub payments: usize,
    /// How many records of items were not stored before.
    pub item_events: usize,
    /// Records that were left out because they contradict what is stored. Each is reason for an alarm.
    pub conflicts: Vec<Conflict>,
}

/// Why a batch was not applied. Nothing of it was stored.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApplyError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The batch does not begin where the tables are.
    #[error(transparent)]
    Gap(#[from] Gap),
}

impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl ConnectionFault for ApplyError {
    fn is_connection_fault(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

/// Applies the batch, with its conflicts and progress.
pub(super) async fn apply(
    session: &mut impl Session,
    batch: Batch,
    conflicts: Conflicts,
) -> Result<Applied, ApplyError> {
    let progress = raised_progress(session, &batch).await?;
    let applied = apply_rows(session, batch).await?;
    finish(session, &applied, conflicts, progress).await?;
    Ok(applied)
}

/// How far each shard of the batch is once it is applied. The tables' own progress decides, and is
/// held from here on: what is believed about it elsewhere may be older than a backup that was restored
/// since.
pub(super) async fn raised_progress(
    session: &mut impl Session,
    batch: &Batch,
) -> Result<Vec<ShardProgress>, ApplyError> {
    if batch.progress.is_empty() {
        return Ok(Vec::new());
    }
    let mut shards: Vec<ShardId> = batch.progress.iter().map(|(shard, _)| *shard).collect();
    shards.sort_unstable();
    let stored = session.lock_progress(&shards).await?;
    let raise = |(shard, to): &(ShardId, u64)| {
        // A row that was made to be locked tells as little as none.
        let own = stored.iter().find(|own| own.shard == *shard && own.applied_seq > 0).copied();
        batch.steps.raise(own.unwrap_or_else(|| ShardProgress::none(*shard)), *to)
    };
    Ok(batch.progress.iter().map(raise).collect::<Result<_, Gap>>()?)
}

/// Applies a record that was set aside; one that still contradicts the tables stays set aside, with
/// its present reason.
pub(super) async fn replay(session: &mut impl Session, record: &Record) -> Result<(), StoreError> {
    let batch = Batch::fold(std::slice::from_ref(record), &[]);
    let applied = apply_rows(session, batch).await?;
    if applied.conflicts.is_empty() {
        return session.delete_set_aside(record.shard, record.seq).await;
    }
    set_aside(session, &applied.conflicts).await
}

/// Applies the batch's rows, and leaves conflicts and progress to [`finish`].
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
    applied.name_payments(&batch.payments);
    if !batch.is_split_off {
        let contested = &batch.contested_payments;
        let written = payment_apply::apply(session, &batch.payments, contested).await?;
        applied.payments = written.rows;
        applied.add_conflicts(written.conflicts);
    }
    let mut new_items: Vec<&ItemRow> = Vec::new();
    for rows in chunks(&batch.items) {
        match session.insert_items(rows).await? {
            Insertion::Done => new_items.extend(rows),
            Insertion::KeyTaken => {
                for row in rows {
                    if merge_item(session, row, &mut applied).await? {
                        new_items.push(row);
                    }
                }
            }
        }
    }
    applied.item_events = new_items.len();
    // A person reads the log from the newest entry to the oldest, across shards.
    new_items.sort_by_key(|row| row.record.at);
    for entry in new_items.into_iter().filter_map(ItemRow::log_entry) {
        session.log_operation(&entry).await?;
    }
    Ok(applied)
}

/// Sets the conflicts aside, if they are to be kept, and writes the shards' progress, which passes
/// them (I13).
pub(super) async fn finish(
    session: &mut impl Session,
    applied: &Applied,
    conflicts: Conflicts,
    mut progress: Vec<ShardProgress>,
) -> Result<(), StoreError> {
    if conflicts == Conflicts::Kept {
        set_aside(session, &applied.conflicts).await?;
    }
    for Conflict { record, .. } in &applied.conflicts {
        let own = progress.iter_mut().find(|progress| progress.shard == record.shard);
        if let Some(sealed) = own.and_then(|progress| progress.sealed.as_mut()) {
            sealed.conflicts += 1;
        }
    }
    for progress in chunks(&progress) {
        session.write_progress(progress).await?;
    }
    progress.retain(|progress| progress.sealed.is_some());
    for progress in chunks(&progress) {
        session.write_seals(progress).await?;
    }
    Ok(())
}

/// Keeps what was found of a shard as its seal, if it has none and is still where it was found.
pub(super) async fn seal(
    session: &mut impl Session,
    found: ShardProgress,
) -> Result<(), StoreError> {
    let stored = session.lock_progress(&[found.shard]).await?;
    let own = stored.iter().find(|progress| progress.shard == found.shard);
    if own.is_some_and(|own| own.sealed.is_none() && own.applied_seq == found.applied_seq) {
        session.write_seals(&[found]).await?;
    }
    Ok(())
}

async fn set_aside(session: &mut impl Session, conflicts: &[Conflict]) -> Result<(), StoreError> {
    let row = |Conflict { record, reason }: &Conflict| SetAside {
        record: record.clone(),
        reason: reason.to_string(),
    };
    let mut rows: Vec<SetAside> = conflicts.iter().map(row).collect();
    // Locks taken in one order do not deadlock.
    rows.sort_by_key(|row| (row.record.shard, row.record.seq));
    for rows in chunks(&rows) {
        session.set_aside(rows).await?;
    }
    Ok(())
}

/// Applies rows of which some may be stored.
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

/// Applies a row that may clash with another order of the same attempt, or that another session may
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

/// Applies a record of an item that may be stored; true if it was not.
async fn merge_item(
    session: &mut impl Session,
    row: &ItemRow,
    applied: &mut Applied,
) -> Result<bool, StoreError> {
    if session.insert_items(std::slice::from_ref(row)).await? == Insertion::Done {
        return Ok(true);
    }
    if session.stored_item(row.record.shard, row.record.seq).await? != row.bytes {
        let (record, reason) = (row.record.clone(), ConflictReason::OtherItemEvent);
        applied.conflicts.push(Conflict { record, reason });
    }
    Ok(false)
}

/// How a row compares with the stored row of the same order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Judgement {
    /// A later version of the same order.
    Newer,
    /// The stored version, or an earlier one.
    Known,
    /// Both cannot be true.
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
    /// The outcome of both batches.
    pub(super) fn with(mut self, other: Self) -> Self {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.duplicates += other.duplicates;
        self.payments += other.payments;
        self.item_events += other.item_events;
        self.conflicts.extend(other.conflicts);
        self
    }

    /// Where an order was changed by a payment, that record is left out and no other.
    fn name_payments(&mut self, payments: &[PaymentRow]) {
        for Conflict { record, .. } in &mut self.conflicts {
            let Event::Order(order) = &record.event else { continue };
            if let Some(row) = payments.iter().find(|row| row.has_order(record.seq, order)) {
                *record = row.record();
            }
        }
    }

    /// A record that contradicts both an order and a payment is left out once.
    fn add_conflicts(&mut self, conflicts: Vec<Conflict>) {
        for conflict in conflicts {
            if !self.conflicts.iter().any(|known| known.record == conflict.record) {
                self.conflicts.push(conflict);
            }
        }
    }

    fn conflict(&mut self, row: &StoredOrder, reason: ConflictReason) {
        self.conflicts.push(Conflict { record: row.record(), reason });
    }
}
