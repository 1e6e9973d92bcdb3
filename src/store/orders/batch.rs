//! Folds a batch of records to the rows that each table needs, before any connection is taken. Pure.

use super::bytes;
use super::conflict::{Conflict, ConflictReason};
use super::items::item_kind;
use super::payment_row::PaymentRow;
use super::progress::Steps;
use super::row::StoredOrder;
use domain::{
    Event, ItemAction, Operation, Order, OrderId, OrderStatus, Record, ShardId, Timestamp,
};
use serde_json::json;
use std::sync::Arc;

/// A folded batch: of several records of one order only the latest is left.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// How many records of orders it was made of, among them those of payments that changed their order.
    pub(super) order_records: usize,
    /// Orders whose grant is in the batch, so that they are probably not stored yet. By identity.
    pub(super) granted: Vec<StoredOrder>,
    /// Orders without their grant, so that they are probably stored. By identity.
    pub(super) changed: Vec<StoredOrder>,
    /// Records that contradict another one of the batch: the tables decide which is right. In the
    /// order of the batch.
    pub(super) contested: Vec<StoredOrder>,
    /// Payments, by identity.
    pub(super) payments: Arc<Vec<PaymentRow>>,
    /// Records of payments that contradict another one of the batch. In the order of the batch.
    pub(super) contested_payments: Vec<PaymentRow>,
    /// Whether it was split off another batch, which applies the payments. It has them along to tell which of its orders
    /// were changed by one.
    pub(super) is_split_off: bool,
    /// Records of items, by shard and `seq`.
    pub(super) items: Vec<ItemRow>,
    /// Records that can never be stored.
    pub(super) impossible: Vec<Conflict>,
    /// Up to which record each shard's log is to be applied with this batch, by shard.
    pub(super) progress: Vec<(ShardId, u64)>,
    /// What the records add to their shards' seals; empty if the progress is left alone.
    pub(super) steps: Steps,
}

/// A row of the table of items' records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ItemRow {
    pub(super) record: Record,
    pub(super) item_id: u64,
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<u8>,
}

impl Batch {
    /// Folds records, and the progress that applies with them.
    pub(super) fn fold(records: &[Record], progress: &[(ShardId, u64)]) -> Self {
        let mut batch = Self::default();
        let mut orders: Vec<StoredOrder> = Vec::with_capacity(records.len());
        let mut payments: Vec<PaymentRow> = Vec::new();
        for record in records {
            let Some(order) = record.event.order() else {
                batch.items.extend(ItemRow::of(record));
                continue;
            };
            let changed = record.event.changed_order();
            batch.order_records += usize::from(changed.is_some());
            if !is_possible(record, order) {
                let reason = ConflictReason::Misplaced;
                batch.impossible.push(Conflict { record: record.clone(), reason });
                continue;
            }
            let (version, changed_at) = (record.seq, record.at);
            orders.extend(changed.map(|order| StoredOrder { order: *order, version, changed_at }));
            if let Event::Payment(paid) = &record.event {
                payments.push(PaymentRow::of(record, paid));
            }
        }
        // A stable sort: repeats and contradictions stay in the order of the batch. Ascending keys are
        // also the quickest to insert, and locks taken in one order do not deadlock.
        orders.sort_by_key(|row| (row.order.order_id, row.version));
        for same in orders.chunk_by(|left, right| left.order.order_id == right.order.order_id) {
            batch.fold_order(same);
        }
        batch.fold_payments(payments);
        batch.items.sort_by_key(|item| (item.record.shard, item.record.seq));
        batch.items.dedup();
        batch.progress = progress.to_vec();
        batch.progress.sort_unstable();
        batch.progress.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            kept.1 = if same { later.1.max(kept.1) } else { kept.1 };
            same
        });
        if !batch.progress.is_empty() {
            batch.steps = Steps::of(records);
        }
        batch
    }

    /// Moves half of the grants to a batch of their own, if there are so many that two sessions are
    /// quicker than one, and if nothing in the batch has to be applied in a certain order.
    pub(super) fn split_off_grants(&mut self) -> Option<Self> {
        const GRANTS_MIN: usize = 1_024;
        if self.granted.len() < GRANTS_MIN || !self.contested.is_empty() {
            return None;
        }
        let granted = self.granted.split_off(self.granted.len() / 2);
        self.order_records = self.order_records.saturating_sub(granted.len());
        Some(Self {
            order_records: granted.len(),
            granted,
            payments: Arc::clone(&self.payments),
            is_split_off: true,
            ..Self::default()
        })
    }

    /// Folds all rows of one order, which come by version.
    fn fold_order(&mut self, rows: &[StoredOrder]) {
        let Some((first, others)) = rows.split_first() else { return };
        let mut latest = *first;
        for row in others {
            let same_fact =
                row.version != latest.version || row.order.status == latest.order.status;
            if row.order.same_purchase(&latest.order) && same_fact {
                latest = *row;
            } else {
                self.contested.push(*row);
            }
        }
        let is_granted = rows.iter().any(|row| row.order.status == OrderStatus::Reserved);
        if is_granted { self.granted.push(latest) } else { self.changed.push(latest) }
    }

    /// Folds the records of each payment to the latest, which keeps the time of the first.
    fn fold_payments(&mut self, mut rows: Vec<PaymentRow>) {
        rows.sort_by_key(|row| (row.stored.payment.id, row.stored.version));
        let mut folded: Vec<PaymentRow> = Vec::with_capacity(rows.len());
        for mut row in rows {
            match folded.last_mut() {
                Some(latest) if latest.stored.payment.id == row.stored.payment.id => {
                    if latest.stored.contradicts(&row.stored) {
                        self.contested_payments.push(row);
                    } else {
                        row.stored.created_at = latest.stored.created_at.min(row.stored.created_at);
                        *latest = row;
                    }
                }
                _ => folded.push(row),
            }
        }
        self.payments = Arc::new(folded);
    }
}

/// Whether the record can have a row: versions are comparable within the order's own shard only, identities have 63
/// bits, and a payment is its order's.
fn is_possible(record: &Record, order: &Order) -> bool {
    let is_own = match &record.event {
        Event::Payment(paid) => paid.payment.id.order_id == order.order_id,
        _ => true,
    };
    is_own && order.order_id.shard() == record.shard && order.order_id <= OrderId(i64::MAX as u64)
}

/// An operator's change of an item, as the operators' log has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct OperationEntry<'a> {
    pub(super) at: Timestamp,
    pub(super) actor: &'a str,
    /// Such as `item.restock`.
    pub(super) action: String,
    /// Such as `item:12`.
    pub(super) subject: String,
    /// Further facts, as JSON.
    pub(super) detail: String,
}

impl ItemRow {
    /// The entry for the operators' log; none if no operator's request is known.
    pub(super) fn log_entry(&self) -> Option<OperationEntry<'_>> {
        let Event::ItemOperated(Operation { item_id, action, request: Some(request) }) =
            &self.record.event
        else {
            return None;
        };
        let detail = match (action, action.units()) {
            (ItemAction::Admit(admission), _) => json!({
                "buy_token": admission.buy_token,
                "challenge": admission.challenge.name(),
                "lead_seconds": admission.lead_seconds,
                "spread_milliseconds": admission.spread_milliseconds,
            }),
            (_, 0) => json!({}),
            (_, units) => json!({ "units": units }),
        };
        Some(OperationEntry {
            at: self.record.at,
            actor: &request.operator,
            action: format!("item.{}", action.name()),
            subject: format!("item:{item_id}"),
            detail: detail.to_string(),
        })
    }

    /// The row of a record; none if the record is an order's or a payment's.
    fn of(record: &Record) -> Option<Self> {
        let (item_id, kind) = item_kind(&record.event)?;
        let bytes = bytes::encode(record);
        Some(Self { record: record.clone(), item_id: item_id.0, kind, bytes })
    }
}
