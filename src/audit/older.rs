//! Orders and payments older than the journal: what the order store says of them against the checkpoints, where they
//! have them, and against what was sealed when they were stored.

use super::checkpoints::Checkpoints;
use super::on_record::{OnRecord, Versions};
use super::stored::Stored;
use crate::store::orders::{Seal, StoredPayment};
use domain::invariants::{self, Verdict};
use domain::{Order, OrderId, Payment, PaymentId, ShardId};
use std::collections::{BTreeMap, HashMap};

/// What is known of orders and payments whose records were deleted from the journal.
pub(super) struct Older<'a> {
    stored: &'a Stored,
    /// Those that checkpoints hold.
    checkpointed: HashMap<OrderId, Order>,
    checkpointed_payments: HashMap<PaymentId, Payment>,
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
        let is_older_payment = |payment: &&Payment| {
            is_cut(payment.id.order_id.shard()) && !on_record.payments.contains_key(&payment.id)
        };
        let checkpointed_payments = checkpoints.payments(base).filter(is_older_payment);
        let checkpointed_payments =
            checkpointed_payments.map(|payment| (payment.id, payment.clone())).collect();
        let mut found: BTreeMap<ShardId, Seal> = BTreeMap::new();
        for order in stored.orders() {
            if let Some(order) = as_sealed(stored, on_record, order) {
                let payments = payments_as_sealed(stored, on_record, &order);
                *found.entry(order.order_id.shard()).or_default() +=
                    Seal::of_order(&order, &payments);
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
        Self { stored, checkpointed, checkpointed_payments, seals, unknown }
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

    /// What becomes of the payment, if anything speaks of it.
    pub(super) fn payment_verdict(&self, payment: &Payment) -> Option<Verdict> {
        if let Some(known) = self.checkpointed_payments.get(&payment.id) {
            return Some(self.compare_payment(known));
        }
        let sealed = self.seals.get(&payment.id.order_id.shard())?;
        sealed.is_ok().then_some(Ok(()))
    }

    /// What is wrong beyond single rows: rows that are gone, and shards that do not add up.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        let gone =
            self.checkpointed.values().filter(|order| self.stored.row(order.order_id).is_none());
        let gone = gone.map(|order| invariants::i4_stored(order.order_id, None));
        gone.chain(self.seals.values().filter(|verdict| verdict.is_err()).cloned())
    }

    /// The same of payments: rows that are gone.
    pub(super) fn payment_verdicts(&self) -> impl Iterator<Item = Verdict> {
        let is_gone = |payment: &&Payment| !self.stored.payments.contains_key(&payment.id);
        let gone = self.checkpointed_payments.values().filter(is_gone);
        gone.map(|payment| self.compare_payment(payment))
    }

    /// How many orders neither checkpoints nor seals speak of.
    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    /// The row against the checkpoint, which has the payment as it was when its last record was deleted.
    fn compare_payment(&self, known: &Payment) -> Verdict {
        let id = known.id;
        match self.stored.payments.get(&id).map(|row| &row.payment) {
            Some(row) if row == known => Ok(()),
            Some(row) if row.state == known.state => {
                Err(format!("payment {id} has other content in the order store"))
            }
            Some(row) => Err(format!(
                "payment {id} is {} in the checkpoint and {} in the order store",
                known.state.name(),
                row.state.name()
            )),
            None => Err(format!("payment {id} is not in the order store")),
        }
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

/// The order's payments as they were when its shard was sealed.
fn payments_as_sealed(stored: &Stored, on_record: &OnRecord, order: &Order) -> Vec<Payment> {
    let sealed_seq = stored.seals.get(&order.order_id.shard()).map_or(0, |sealed| sealed.seq);
    let as_sealed = |row: &StoredPayment| {
        let known = on_record.payments.get(&row.payment.id);
        match known.filter(|_| row.version > sealed_seq) {
            None => Some(row.payment.clone()),
            // Changed between the look at the seals and the look at the row.
            Some(Versions { reached, before, .. }) => {
                reached.as_ref().map(|(_, payment)| payment).or(before.as_ref()).cloned()
            }
        }
    };
    stored.payments_of(order.order_id).filter_map(as_sealed).collect()
}

/// The order as it was when its shard was sealed; none if it was not there yet, or nothing was sealed.
fn as_sealed(stored: &Stored, on_record: &OnRecord, order: &Order) -> Option<Order> {
    let sealed = stored.seals.get(&order.order_id.shard())?;
    let (_, version) = stored.row(order.order_id)?;
    let known = on_record.orders.get(&order.order_id).filter(|_| version > sealed.seq);
    let Some(known) = known else { return Some(*order) };
    // Changed between the look at the seals and the look at the row.
    let status = known.reached.map(|(_, status)| status).or(known.before)?;
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
