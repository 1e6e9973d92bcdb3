//! Orders older than the journal: what the order store says of them against the checkpoints, where they
//! have the order, and against what was sealed when they were stored.

use super::checkpoints::Checkpoints;
use super::on_record::OnRecord;
use super::stored::Stored;
use crate::store::orders::Seal;
use domain::invariants::{self, Verdict};
use domain::{Order, OrderId, OrderStatus, ShardId};
use std::collections::{BTreeMap, HashMap};

/// What is known of orders whose records were deleted from the journal.
pub(super) struct Older<'a> {
    stored: &'a Stored,
    /// Those that checkpoints hold.
    checkpointed: HashMap<OrderId, Order>,
    /// Whether the rows of each shard add up to what was sealed, where it was.
    seals: BTreeMap<ShardId, Verdict>,
    /// How many orders neither speaks of.
    unknown: u64,
}

impl<'a> Older<'a> {
    /// Finds out what there is to compare with. `base` is each shard's last record that was deleted.
    pub(super) fn of(
        stored: &'a Stored,
        on_record: &OnRecord,
        base: &[u64],
        checkpoints: &Checkpoints,
    ) -> Self {
        let is_cut = |shard: ShardId| base.get(shard.index()).is_some_and(|seq| *seq > 0);
        let is_older = |order: &Order| {
            is_cut(order.order_id.shard()) && !on_record.orders.contains_key(&order.order_id)
        };
        let checkpointed = checkpoints.orders(base).filter(|order| is_older(order));
        let checkpointed: HashMap<OrderId, Order> =
            checkpointed.map(|order| (order.order_id, order)).collect();
        let mut found: BTreeMap<ShardId, Seal> = BTreeMap::new();
        for order in stored.orders() {
            if let Some(order) = as_sealed(stored, on_record, order) {
                *found.entry(order.order_id.shard()).or_default() += Seal::of_order(&order);
            }
        }
        for record in stored.items.values() {
            if stored.seals.get(&record.shard).is_some_and(|sealed| record.seq <= sealed.seq) {
                *found.entry(record.shard).or_default() += Seal::of_record(record);
            }
        }
        let sealed = stored.seals.iter().filter(|(shard, _)| is_cut(**shard));
        let seals = sealed.map(|(shard, sealed)| {
            let found = found.get(shard).copied().unwrap_or_default();
            (*shard, judge(*shard, sealed.seal, found))
        });
        let seals: BTreeMap<ShardId, Verdict> = seals.collect();
        let is_unknown = |order: &&Order| {
            is_older(order)
                && !seals.contains_key(&order.order_id.shard())
                && !checkpointed.contains_key(&order.order_id)
        };
        let unknown = stored.orders().filter(is_unknown).count() as u64;
        Self { stored, checkpointed, seals, unknown }
    }

    /// What becomes of the order, if anything speaks of it. Of a shard that does not add up, it is not
    /// known which row is to blame.
    pub(super) fn verdict(&self, order: &Order) -> Option<Verdict> {
        if let Some(known) = self.checkpointed.get(&order.order_id) {
            return Some(self.compare(known));
        }
        let sealed = self.seals.get(&order.order_id.shard())?;
        sealed.is_ok().then_some(Ok(()))
    }

    /// What is wrong beyond single rows: rows that are gone, and shards that do not add up.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        let gone =
            self.checkpointed.values().filter(|order| self.stored.row(order.order_id).is_none());
        let gone = gone.map(|order| invariants::i4_stored(order.order_id, None));
        gone.chain(self.seals.values().filter(|verdict| verdict.is_err()).cloned())
    }

    /// How many orders neither checkpoints nor seals speak of.
    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    /// The row against the checkpoint, which has the order as it was when its last record was deleted.
    fn compare(&self, known: &Order) -> Verdict {
        let row = self.stored.row(known.order_id).map(|(row, _)| row);
        invariants::i4_stored(known.order_id, row.map(|row| row.same_purchase(known)))?;
        match row {
            Some(row) if row.status != known.status => Err(format!(
                "order {} is {} in the checkpoint and {} in the order store",
                known.order_id,
                known.status.name(),
                row.status.name()
            )),
            _ => Ok(()),
        }
    }
}

/// The order as it was when its shard was sealed; none if it was not there yet, or nothing was sealed.
fn as_sealed(stored: &Stored, on_record: &OnRecord, order: &Order) -> Option<Order> {
    let sealed = stored.seals.get(&order.order_id.shard())?;
    let (_, version) = stored.row(order.order_id)?;
    let known = on_record.orders.get(&order.order_id).filter(|_| version > sealed.seq);
    let Some(known) = known else { return Some(*order) };
    // Changed between the look at the seals and the look at the row.
    let status = match (known.reached, known.first) {
        (Some((_, status)), _) => status,
        (None, OrderStatus::Reserved) => return None,
        (None, OrderStatus::RefundDue) => OrderStatus::Expired,
        (None, _) => OrderStatus::Reserved,
    };
    Some(Order { status, ..*order })
}

fn judge(shard: ShardId, sealed: Seal, found: Seal) -> Verdict {
    if sealed == found {
        return Ok(());
    }
    let counts =
        |seal: Seal| format!("{} orders and {} records of items", seal.orders, seal.item_records);
    let difference = if counts(sealed) == counts(found) {
        "as many rows, but with other content".to_owned()
    } else {
        format!("{} instead of {}", counts(found), counts(sealed))
    };
    Err(format!(
        "the order store does not hold what was stored of shard {shard}, of which the journal has \
         deleted records: {difference}"
    ))
}
