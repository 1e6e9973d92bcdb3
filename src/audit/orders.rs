//! The order store against the journal and the dead letters: its orders, its records of items, its
//! progress.

use super::checkpoints::Checkpoints;
use super::letters::{self, Letters, cut_before};
use super::older::Older;
use super::on_record::{OnRecord, Versions};
use super::stored::Stored;
use crate::store::broker::dead_letters::DeadLetter;
use domain::invariants::{self, Invariant, Ledger, Verdict};
use domain::{Order, OrderStatus, ShardId};

impl Stored {
    /// Judges I4, I12 and I13: what the journal granted against what the order store and the dead
    /// letters hold. Returns what could not be judged because the order store has not reached it.
    pub(super) fn compare(
        &self,
        ledger: &mut Ledger,
        on_record: &OnRecord,
        base: &[u64],
        letters: &[DeadLetter],
        checkpoints: &Checkpoints,
    ) -> Option<String> {
        self.compare_items(ledger, on_record, base);
        letters::judge(letters, ledger, base);
        let letters = Letters::of(letters, base);
        let older = Older::of(self, on_record, base, checkpoints);
        let waiting = self.compare_orders(ledger, on_record, &letters, &older);
        self.compare_payments(ledger, on_record, (&letters, base), &older);
        for verdict in older.verdicts() {
            ledger.judge(Invariant::I4, "order store", verdict);
        }
        self.compare_progress(ledger, base);
        let behind = [
            (waiting, "wait in the journal for the order store"),
            (
                older.unknown(),
                "are older than the journal, unsealed and in no checkpoint: not judged",
            ),
        ];
        let behind = behind.iter().filter(|(orders, _)| *orders > 0);
        let words: Vec<String> =
            behind.map(|(orders, what)| format!("{orders} orders {what}")).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// I4: each order on record has its row, and each row its order. Returns how many orders the
    /// order store has not reached.
    fn compare_orders(
        &self,
        ledger: &mut Ledger,
        on_record: &OnRecord,
        letters: &Letters<'_>,
        older: &Older<'_>,
    ) -> u64 {
        let mut waiting = 0;
        let mut verdicts = Vec::new();
        for (order_id, order) in ledger.orders() {
            let Some(known) = on_record.orders.get(order_id) else {
                verdicts.extend(older.verdict(order));
                continue;
            };
            match self.judge_row(order, known) {
                None => waiting += 1,
                Some(verdict) => {
                    verdicts.push(verdict.map_err(|wrong| letters.with_order(*order_id, wrong)));
                }
            }
        }
        for record in &letters.deleted {
            let Some(order) = record.event.changed_order() else { continue };
            let verdict = self.holds(order, record.seq);
            verdicts.push(verdict.map_err(|wrong| letters.with_order(order.order_id, wrong)));
        }
        for order_id in self.orders.keys() {
            if !ledger.orders().contains_key(order_id) {
                verdicts.push(Err(format!("order {order_id} is in the order store alone")));
            }
        }
        for verdict in verdicts {
            ledger.judge(Invariant::I4, "order store", verdict);
        }
        waiting
    }

    /// What is wrong with the row of an order; `None` where the order store has not reached it.
    fn judge_row(&self, order: &Order, on_record: &Versions<OrderStatus>) -> Option<Verdict> {
        let order_id = order.order_id;
        let row = self.orders.get(&order_id);
        if row.is_none() && on_record.reached.is_none() {
            return None;
        }
        let verdict = self.has_content(order);
        let Some((row, version)) = row.filter(|_| verdict.is_ok()) else { return Some(verdict) };
        let what = format!("order {order_id}");
        on_record.judge(&what, *version, &row.status, |status| status.name())
    }

    /// Whether the order is stored, as of the record `seq` or a later one.
    fn holds(&self, order: &Order, seq: u64) -> Verdict {
        self.has_content(order)?;
        let order_id = order.order_id;
        match self.orders.get(&order_id) {
            Some((_, version)) if *version < seq => {
                Err(format!("order {order_id} is stored as of record {version}, before {seq}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the order is stored with all that never changes of it.
    fn has_content(&self, order: &Order) -> Verdict {
        let row = self.orders.get(&order.order_id);
        invariants::i4_stored(order.order_id, row.map(|(row, _)| row.same_purchase(order)))
    }

    /// I12 and I13: the order store has not reached more than is on record, and no record was
    /// deleted that it has not reached.
    fn compare_progress(&self, ledger: &mut Ledger, base: &[u64]) {
        let ends: Vec<(ShardId, u64)> =
            ledger.seqs().iter().map(|(shard, seq)| (*shard, *seq)).collect();
        for (shard, end) in ends {
            let place = format!("shard {shard}");
            let stored = self.reached(shard);
            let cut = cut_before(base, shard);
            let ahead = match stored > end.max(cut) {
                true => Err(format!("the order store is at record {stored}, the journal at {end}")),
                false => Ok(()),
            };
            ledger.judge(Invariant::I12, &place, ahead);
            let kept = match cut > stored {
                true => Err(format!("records {stored} to {cut} were deleted unstored")),
                false => Ok(()),
            };
            ledger.judge(Invariant::I13, &place, kept);
        }
    }

    /// I12: each record of an item that the store has passed is in it, and none that the journal does
    /// not tell.
    fn compare_items(&self, ledger: &mut Ledger, on_record: &OnRecord, base: &[u64]) {
        for (place, record) in &on_record.items {
            let (shard, seq) = *place;
            let verdict = match self.items.get(place) {
                Some(stored) if stored == record => Ok(()),
                Some(_) => Err("the order store holds another record of an item here".to_owned()),
                None if seq > self.reached(shard) => continue,
                None => {
                    Err("the order store has passed this record and does not hold it".to_owned())
                }
            };
            ledger.judge(Invariant::I12, &format!("shard {shard} record {seq}"), verdict);
        }
        for (shard, seq) in self.items.keys() {
            if *seq > cut_before(base, *shard) && !on_record.items.contains_key(&(*shard, *seq)) {
                let wrong = "this record of an item is in the order store alone".to_owned();
                ledger.judge(Invariant::I12, &format!("shard {shard} record {seq}"), Err(wrong));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Currency, Event, ItemId, OrderId, Record, RequestId, SaleId, Timestamp, UserId};
    use std::collections::BTreeMap;

    #[test]
    fn a_dead_letter_speaks_for_the_record_that_the_journal_has_no_longer() {
        let order = Order {
            order_id: OrderId(1 << 12),
            item_id: ItemId(7),
            sale_id: SaleId(3),
            user_id: UserId(1),
            request_id: RequestId(1),
            attempt: 1,
            quantity: 1,
            amount: 10,
            currency: Currency::parse("CNY").expect("a code"),
            status: OrderStatus::Reserved,
            expires_at: Timestamp(0),
        };
        let shard = ShardId(1);
        let record = Record { shard, seq: 5, at: Timestamp(0), event: Event::Order(order) };
        let letter = DeadLetter {
            message_id: "1-5".to_owned(),
            reason: "conflict".to_owned(),
            length: 0,
            records: Ok(vec![record]),
        };
        let check = |row: Option<(Order, u64)>, expected: Option<&str>| {
            let orders = row.map(|row| (order.order_id, row)).into_iter().collect();
            let progress = BTreeMap::from([(shard, 9)]);
            let seals = BTreeMap::new();
            let (items, payments) = (BTreeMap::new(), BTreeMap::new());
            let stored = Stored { orders, payments, items, progress, seals };
            let mut ledger = Ledger::default();
            row.iter().for_each(|(order, _)| ledger.assume_order(*order));
            ledger.assume_seq(shard, 9);
            let letters = std::slice::from_ref(&letter);
            let checkpoints = Checkpoints::default();
            stored.compare(&mut ledger, &OnRecord::default(), &[0, 9], letters, &checkpoints);
            let found = ledger.finding(Invariant::I4).first;
            let has = found.as_deref().zip(expected).is_some_and(|(found, words)| {
                found.contains(words) && found.ends_with("dead letter 1-5 has it: conflict")
            });
            assert_eq!(has, expected.is_some(), "{found:?}");
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
        };
        check(None, Some("is not in the order store"));
        check(Some((Order { amount: 11, ..order }, 5)), Some("has other content"));
        check(Some((order, 4)), Some("is stored as of record 4, before 5"));
        check(Some((order, 5)), None);
        check(Some((order, 6)), None);
    }
}
