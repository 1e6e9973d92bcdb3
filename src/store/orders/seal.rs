//! What a shard's log has put into the tables up to some record: two counts and a digest.
//!
//! A seal is a sum over records, kept in the transaction that stores them, and the same sum can be
//! taken over the rows that came of them. So rows that are lost are noticed by their number, and rows
//! that are changed by hand by the digest, long after the journal has deleted the records. The digest
//! guards against mistakes and covers what was bought, whether it was paid, and whether a refund is
//! due. That an order was cancelled or expired adds nothing: of one whose refund is due, the row does not
//! tell whether it had been either before. Of a payment it covers who began it, the money that came and
//! the refund; that it failed adds nothing, because the money may have come after all. Pure.

use super::items::item_kind;
use domain::{
    Admission, Currency, Event, Order, OrderStatus, Payment, PaymentReference, PaymentState,
    Record, RequestId, ShardId, Transfer,
};
use std::ops::AddAssign;
use xxhash_rust::xxh3::xxh3_64;

/// A sum over records. Sums of the same records are equal, in whatever order they were taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seal {
    /// How many orders were granted.
    pub orders: u64,
    /// How many records of items there are.
    pub item_records: u64,
    /// The sum of what is hashed of each record, modulo 2^64.
    pub digest: u64,
}

/// Which fact is hashed, so that no two facts have the same bytes.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Fact {
    Granted = 1,
    Paid = 2,
    RefundDue = 3,
    Item = 4,
    PaymentStarted = 5,
    MoneyCame = 6,
    Refunded = 7,
}

impl Seal {
    /// What one record adds.
    pub fn of_record(record: &Record) -> Self {
        match &record.event {
            Event::Order(order) if order.status == OrderStatus::Reserved => Self::granted(order),
            Event::Order(order) => Self::changed(order),
            Event::Payment(paid) => {
                let mut seal = Self::of_payment_record(&paid.payment);
                if let Some(order) = record.event.changed_order() {
                    seal += Self::changed(order);
                }
                seal
            }
            _ => Self::of_item_record(record),
        }
    }

    /// What all records of an order and its payments add, up to the ones that made them what they are.
    pub fn of_order<'a>(order: &Order, payments: impl IntoIterator<Item = &'a Payment>) -> Self {
        let mut seal = Self::granted(order);
        seal += Self::changed(order);
        for payment in payments {
            seal += Self::of_payment(payment);
        }
        seal
    }

    /// What the record adds for the payment that gave it its state.
    fn of_payment_record(payment: &Payment) -> Self {
        match payment.state {
            PaymentState::Started => Self::started(payment),
            PaymentState::Failed => Self::default(),
            PaymentState::Captured | PaymentState::RefundDue => Self::money_came(payment),
            PaymentState::Refunded => Self::refunded(payment),
        }
    }

    /// What all records of a payment add for itself.
    fn of_payment(payment: &Payment) -> Self {
        let mut seal = Self::started(payment);
        if payment.state.has_money() {
            seal += Self::money_came(payment);
        }
        if payment.state == PaymentState::Refunded {
            seal += Self::refunded(payment);
        }
        seal
    }

    /// Money that nobody had asked for was not started.
    fn started(payment: &Payment) -> Self {
        if payment.request_id == RequestId(0) {
            return Self::default();
        }
        let provider = xxh3_64(payment.provider.as_str().as_bytes());
        Self::of_fact(Fact::PaymentStarted, payment, [payment.request_id.0, provider, 0])
    }

    fn money_came(payment: &Payment) -> Self {
        let is_kept = u64::from(payment.state == PaymentState::Captured);
        let provider = xxh3_64(payment.provider.as_str().as_bytes());
        let name = hash([hash_of(payment.reference.as_ref()), provider, is_kept]);
        Self::of_fact(Fact::MoneyCame, payment, [payment.amount, number_of(payment.currency), name])
    }

    fn refunded(payment: &Payment) -> Self {
        let name = hash_of(payment.refund_reference.as_ref());
        Self::of_fact(Fact::Refunded, payment, [name, 0, 0])
    }

    fn of_fact(fact: Fact, payment: &Payment, detail: [u64; 3]) -> Self {
        let [first, second, third] = detail;
        let (order_id, number) = (payment.id.order_id.0, u64::from(payment.id.number));
        let digest = hash([fact as u64, order_id, number, first, second, third]);
        Self { digest, ..Self::default() }
    }

    /// What the record adds that gave the order its status.
    fn changed(order: &Order) -> Self {
        let fact = match order.status {
            OrderStatus::Paid => Fact::Paid,
            OrderStatus::RefundDue => Fact::RefundDue,
            OrderStatus::Reserved | OrderStatus::Cancelled | OrderStatus::Expired => {
                return Self::default();
            }
        };
        let digest = hash([fact as u64, order.order_id.0]);
        Self { digest, ..Self::default() }
    }

    fn granted(order: &Order) -> Self {
        let digest = hash([
            Fact::Granted as u64,
            order.order_id.0,
            order.sale_id.0,
            order.item_id.0,
            order.user_id.0,
            order.request_id.0,
            u64::from(order.attempt),
            u64::from(order.quantity),
            order.amount,
            number_of(order.currency),
            order.expires_at.0,
        ]);
        Self { orders: 1, item_records: 0, digest }
    }

    fn of_item_record(record: &Record) -> Self {
        let Some((item_id, kind)) = item_kind(&record.event) else { return Self::default() };
        let detail = match &record.event {
            Event::ItemOpened(terms) if !terms.buckets.is_one() => {
                let shards = terms.buckets.shards().iter();
                shards.fold(
                    hash([terms.price, u64::from(terms.allotted), terms.admission.number()]),
                    |digest, shard| hash([digest, u64::from(shard.0)]),
                )
            }
            Event::UnitsSent(transfer)
            | Event::UnitsReceived(transfer)
            | Event::TransferSettled(transfer) => {
                let Transfer { from, to, number, units, .. } = *transfer;
                hash([from.into(), to.into(), number.into(), units.into()])
            }
            Event::ItemOpened(terms) if terms.admission != Admission::OPEN => {
                hash([terms.price, u64::from(terms.allotted), terms.admission.number()])
            }
            Event::ItemOpened(terms) => hash([terms.price, u64::from(terms.allotted)]),
            Event::ItemOperated(operation) => operation.action.value(),
            _ => 0,
        };
        let ShardId(shard) = record.shard;
        let digest = hash([
            Fact::Item as u64,
            u64::from(shard),
            record.seq,
            item_id.0,
            xxh3_64(kind.as_bytes()),
            detail,
        ]);
        Self { orders: 0, item_records: 1, digest }
    }
}

impl AddAssign for Seal {
    fn add_assign(&mut self, other: Self) {
        self.orders += other.orders;
        self.item_records += other.item_records;
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

fn number_of(currency: Currency) -> u64 {
    currency.as_str().bytes().fold(0, |all, byte| all << 8 | u64::from(byte))
}

fn hash_of(reference: Option<&PaymentReference>) -> u64 {
    reference.map_or(0, |reference| xxh3_64(reference.as_str().as_bytes()))
}

fn hash<const N: usize>(numbers: [u64; N]) -> u64 {
    let mut bytes = [0; 8 * 11];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    xxh3_64(&bytes[..8 * N])
}
