//! The payments in the order store against the journal and the dead letters.

use super::letters::{Letters, cut_before};
use super::older::Older;
use super::on_record::{OnRecord, Versions};
use super::stored::Stored;
use crate::store::orders::StoredPayment;
use domain::invariants::{Invariant, Ledger, Verdict};
use domain::{Event, Order, Payment, PaymentId};

impl Stored {
    /// I17: each payment on record has its row, and each row its payment. What waits is not told: its order waits too.
    pub(super) fn compare_payments(
        &self,
        ledger: &mut Ledger,
        on_record: &OnRecord,
        (letters, base): (&Letters<'_>, &[u64]),
        older: &Older<'_>,
    ) {
        let mut verdicts = Vec::new();
        for (id, payment) in ledger.payments() {
            let verdict = match on_record.payments.get(id) {
                None => older.payment_verdict(payment),
                Some(known) => {
                    self.judge_payment(payment, ledger.orders().get(&id.order_id), known)
                }
            };
            verdicts.extend(
                verdict.map(|verdict| verdict.map_err(|wrong| letters.with_payment(*id, wrong))),
            );
        }
        for record in &letters.deleted {
            if let Event::Payment(paid) = &record.event {
                let verdict = self.holds_payment(&paid.payment, record.seq);
                let id = paid.payment.id;
                verdicts.push(verdict.map_err(|wrong| letters.with_payment(id, wrong)));
            }
        }
        let alone = self.payments.iter().filter(|(id, _)| !ledger.payments().contains_key(id));
        for (id, row) in alone {
            // Of one whose order is gone with all of its records, the order tells.
            let is_older = row.version <= cut_before(base, id.order_id.shard());
            if !is_older || ledger.orders().contains_key(&id.order_id) {
                verdicts.push(Err(format!("payment {id} is in the order store alone")));
            }
        }
        for verdict in verdicts.into_iter().chain(older.payment_verdicts()) {
            ledger.judge(Invariant::I17, "order store", verdict);
        }
    }

    /// What is wrong with the row of a payment; `None` where the order store has not reached it.
    fn judge_payment(
        &self,
        payment: &Payment,
        order: Option<&Order>,
        known: &Versions<Payment>,
    ) -> Option<Verdict> {
        let id = payment.id;
        let Some(row) = self.payments.get(&id) else {
            return known.reached.is_some().then(|| Err(missing(id)));
        };
        let is_its_orders = order.is_none_or(|order| {
            (row.sale_id, row.item_id, row.user_id) == (order.sale_id, order.item_id, order.user_id)
        });
        if !is_its_orders {
            return Some(Err(format!("payment {id} has other content in the order store")));
        }
        let what = format!("payment {id}");
        known.judge(&what, row.version, &row.payment, |payment| payment.state.name())
    }

    /// Whether the payment is stored, as of the record `seq` or a later one.
    fn holds_payment(&self, payment: &Payment, seq: u64) -> Verdict {
        let id = payment.id;
        match self.payments.get(&id) {
            None => Err(missing(id)),
            Some(StoredPayment { version, .. }) if *version < seq => {
                Err(format!("payment {id} is stored as of record {version}, before {seq}"))
            }
            Some(row) if row.version == seq && row.payment != *payment => {
                Err(format!("payment {id} has other content in the order store"))
            }
            Some(_) => Ok(()),
        }
    }
}

fn missing(id: PaymentId) -> String {
    format!("payment {id} is not in the order store")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::checkpoints::Checkpoints;
    use crate::store::broker::dead_letters::DeadLetter;
    use domain::PaymentState::{Captured, Failed, Started};
    use domain::{
        Currency, ItemId, OrderId, OrderStatus, PaymentRecord, PaymentReference, PaymentState,
        ProviderName, Record, RequestId, SaleId, ShardId, Timestamp, UserId,
    };
    use std::collections::{BTreeMap, HashMap};

    const SHARD: ShardId = ShardId(1);

    fn order() -> Order {
        Order {
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
        }
    }

    fn payment(state: PaymentState) -> Payment {
        Payment {
            id: PaymentId { order_id: order().order_id, number: 1 },
            request_id: RequestId(2),
            provider: ProviderName::sandbox(),
            amount: 10,
            currency: order().currency,
            state,
            reference: PaymentReference::parse("ch-1").filter(|_| state != Started),
            refund_reference: None,
        }
    }

    fn record(seq: u64, state: PaymentState) -> Record {
        let status = if state == Captured { OrderStatus::Paid } else { OrderStatus::Reserved };
        let order = Order { status, ..order() };
        let status_before = OrderStatus::Reserved;
        let paid = PaymentRecord { payment: payment(state), order, status_before };
        Record { shard: SHARD, seq, at: Timestamp(0), event: Event::Payment(Box::new(paid)) }
    }

    fn row(version: u64, payment: Payment) -> StoredPayment {
        let Order { sale_id, item_id, user_id, .. } = order();
        let (created_at, changed_at) = (Timestamp(0), Timestamp(0));
        StoredPayment { payment, sale_id, item_id, user_id, created_at, changed_at, version }
    }

    /// What is found of a payment that began with record 5, failed with 6 and was captured with 7, while the order store
    /// has reached 6: how often it was judged, and what is wrong.
    fn found(rows: &[StoredPayment], records: &[Record], letters: &[Record]) -> (u64, String) {
        let mut ledger = Ledger::default();
        ledger.assume_order(order());
        let mut on_record = OnRecord::default();
        for record in records {
            on_record.add(record, 6);
            let Event::Payment(paid) = &record.event else { unreachable!("it is a payment's") };
            ledger.assume_payment(paid.payment.clone());
        }
        let stored = Stored {
            orders: HashMap::from([(order().order_id, (order(), 1))]),
            payments: rows.iter().map(|row| (row.payment.id, row.clone())).collect(),
            items: BTreeMap::new(),
            progress: BTreeMap::from([(SHARD, 6)]),
            seals: BTreeMap::new(),
        };
        let letters = [DeadLetter {
            message_id: "1-5".to_owned(),
            reason: "conflict".to_owned(),
            length: 0,
            records: Ok(letters.to_vec()),
        }];
        let base = [0, 4];
        let older = Older::of(&stored, &on_record, &base, &Checkpoints::default());
        let letters = Letters::of(&letters, &base);
        stored.compare_payments(&mut ledger, &on_record, (&letters, &base), &older);
        let finding = ledger.finding(Invariant::I17);
        (finding.checked, finding.first.unwrap_or_default())
    }

    #[test]
    fn a_row_is_compared_with_the_record_that_it_was_made_of() {
        let records = [record(5, Started), record(6, Failed), record(7, Captured)];
        let other = Payment { request_id: RequestId(9), ..payment(Failed) };
        for (rows, checked, words) in [
            (vec![row(7, payment(Captured))], 1, ""),
            // The last record is on its way.
            (vec![row(6, payment(Failed))], 0, ""),
            (vec![], 1, "is not in the order store"),
            (vec![row(5, payment(Started))], 1, "as of record 5, although record 6 was stored"),
            (vec![row(8, payment(Captured))], 1, "as of record 8, but its last is 7"),
            (vec![row(6, payment(Captured))], 1, "is failed on record and captured in the order"),
            (vec![row(6, other)], 1, "has other content in the order store as of record 6"),
            (
                vec![StoredPayment { user_id: UserId(2), ..row(7, payment(Captured)) }],
                1,
                "has other content in the order store",
            ),
        ] {
            let (judged, wrong) = found(&rows, &records, &[]);
            assert_eq!((judged, wrong.is_empty()), (checked, words.is_empty()), "{wrong}");
            assert!(wrong.contains(words), "{words:?} is not in {wrong:?}");
        }
        // None of its records is known to have been stored.
        assert_eq!(found(&[], &records[2..], &[]), (0, String::new()));
        // A row that no record tells of: of one that is older, its order's row is asked.
        let (judged, wrong) = found(&[row(6, payment(Failed))], &[], &[]);
        assert!(judged == 1 && wrong.ends_with("is in the order store alone"), "{wrong}");
    }

    #[test]
    fn a_dead_letter_tells_of_the_payment_that_it_has() {
        let records = [record(5, Started), record(6, Failed)];
        let (_, wrong) = found(&[], &records, &[record(6, Failed)]);
        assert!(wrong.ends_with("is not in the order store; dead letter 1-5 has it: conflict"));
        // Of a record that the journal has no longer, the letter alone tells.
        let (_, wrong) = found(&[row(3, payment(Started))], &[], &[record(4, Failed)]);
        assert!(wrong.contains("is stored as of record 3, before 4"), "{wrong}");
        let (_, wrong) = found(&[row(4, payment(Captured))], &[], &[record(4, Failed)]);
        assert!(wrong.contains("has other content in the order store"), "{wrong}");
        let (_, wrong) = found(&[], &[], &[record(4, Failed)]);
        assert!(wrong.contains("is not in the order store; dead letter 1-5"), "{wrong}");
    }
}
