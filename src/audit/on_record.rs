//! What a log says, as an audit compares it: each order and each payment as of the record that the order store has
//! reached.

use domain::invariants::Verdict;
use domain::{
    Event, OrderId, OrderStatus, Payment, PaymentId, PaymentState, Record, RequestId, ShardId,
};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

/// What the journal says, as far as the order store can be compared with it.
#[derive(Default)]
pub(super) struct OnRecord {
    pub(super) orders: HashMap<OrderId, Versions<OrderStatus>>,
    pub(super) payments: HashMap<PaymentId, Versions<Payment>>,
    /// Records that are neither of an order nor of a payment.
    pub(super) items: BTreeMap<(ShardId, u64), Record>,
}

/// What became of an order or a payment, by its records' numbers.
#[derive(Clone)]
pub(super) struct Versions<T> {
    /// As of the record that the order store has reached, if it was there by then.
    pub(super) reached: Option<(u64, T)>,
    /// As of the last record.
    pub(super) last: (u64, T),
    /// Before the first record, if an earlier one made it, which was deleted from the journal.
    pub(super) before: Option<T>,
}

impl OnRecord {
    /// Takes a record in, of whose shard the order store has reached the record `reached`. Records
    /// of one shard come in their order.
    pub(super) fn add(&mut self, record: &Record, reached: u64) {
        if record.event.order().is_none() {
            self.items.insert((record.shard, record.seq), record.clone());
            return;
        }
        if let Some(order) = record.event.changed_order() {
            let last = (record.seq, order.status);
            let before = || order_before(&record.event);
            let versions = self.orders.entry(order.order_id);
            versions
                .or_insert_with(|| Versions { reached: None, last, before: before() })
                .add(last, reached);
        }
        if let Event::Payment(paid) = &record.event {
            let payment = &paid.payment;
            let of_payment = (record.seq, payment.clone());
            let last = of_payment.clone();
            let versions = self.payments.entry(payment.id);
            versions
                .or_insert_with(|| Versions {
                    reached: None,
                    last,
                    before: payment_before(payment),
                })
                .add(of_payment, reached);
        }
    }
}

impl<T: Clone + PartialEq> Versions<T> {
    fn add(&mut self, last: (u64, T), reached: u64) {
        if last.0 <= reached {
            self.reached = Some(last.clone());
        }
        self.last = last;
    }

    /// What is wrong with the row of `what`, which was made of the record `version`; `None` where the order store has
    /// not reached it. `name` tells in a word what became of it.
    pub(super) fn judge(
        &self,
        what: &impl Display,
        version: u64,
        row: &T,
        name: fn(&T) -> &'static str,
    ) -> Option<Verdict> {
        let Self { reached, last, .. } = self;
        let as_of = [Some(last), reached.as_ref()].into_iter().flatten();
        match as_of.into_iter().find(|(seq, _)| *seq == version) {
            Some((_, known)) if known == row => (version == last.0).then_some(Ok(())),
            Some((seq, known)) if name(known) == name(row) => {
                Some(Err(format!("{what} has other content in the order store as of record {seq}")))
            }
            Some((seq, known)) => Some(Err(format!(
                "{what} is {} on record and {} in the order store as of record {seq}",
                name(known),
                name(row)
            ))),
            None if version > last.0 => Some(Err(format!(
                "{what} is stored as of record {version}, but its last is {}",
                last.0
            ))),
            None => match reached {
                Some((seq, _)) if version < *seq => Some(Err(format!(
                    "{what} is stored as of record {version}, although record {seq} was stored"
                ))),
                // Changed between the look at the store's progress and the look at the row.
                _ => None,
            },
        }
    }
}

/// What the order was before the event that changed it; none if that placed it. Of an order whose refund is due by an
/// older version's record it is not told whether it had expired or been cancelled.
pub(super) fn order_before(event: &Event) -> Option<OrderStatus> {
    match event {
        Event::Payment(paid) => Some(paid.status_before),
        Event::Order(order) => match order.status {
            OrderStatus::Reserved => None,
            OrderStatus::RefundDue => Some(OrderStatus::Expired),
            OrderStatus::Paid | OrderStatus::Cancelled | OrderStatus::Expired => {
                Some(OrderStatus::Reserved)
            }
        },
        _ => None,
    }
}

/// What the payment was before it became this; none if it began so.
pub(super) fn payment_before(payment: &Payment) -> Option<Payment> {
    let was_asked_for = payment.request_id != RequestId(0);
    let (state, reference) = match payment.state {
        PaymentState::Started => return None,
        PaymentState::Captured | PaymentState::RefundDue if !was_asked_for => return None,
        PaymentState::Refunded => (PaymentState::RefundDue, payment.reference.clone()),
        PaymentState::Captured | PaymentState::RefundDue | PaymentState::Failed => {
            (PaymentState::Started, None)
        }
    };
    Some(Payment { state, reference, refund_reference: None, ..payment.clone() })
}
