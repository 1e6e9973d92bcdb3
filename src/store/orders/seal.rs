//! What a shard's log has put into the tables up to some record: two counts and a digest.
//!
//! A seal is a sum over records, kept in the transaction that stores them, and the same sum can be
//! taken over the rows that came of them. So rows that are lost are noticed by their number, and rows
//! that are changed by hand by the digest, long after the journal has deleted the records. The digest
//! guards against mistakes and covers what was bought, whether it was paid, and whether a refund is
//! due. That an order was cancelled or expired adds nothing: of one whose refund is due, the row does not
//! tell whether it had been either before. Pure.

use super::items::item_kind;
use domain::{Admission, Event, Order, OrderStatus, Record, ShardId, Transfer};
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
}

impl Seal {
    /// What one record adds.
    pub fn of_record(record: &Record) -> Self {
        let Some(order) = record.event.changed_order() else { return Self::of_item_record(record) };
        match order.status {
            OrderStatus::Reserved => Self::granted(order),
            _ => Self::changed(order),
        }
    }

    /// What all records of an order add, up to the one that gave it its status.
    pub fn of_order(order: &Order) -> Self {
        let mut seal = Self::granted(order);
        seal += Self::changed(order);
        seal
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
        let currency =
            order.currency.as_str().bytes().fold(0, |all, byte| all << 8 | u64::from(byte));
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
            currency,
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

fn hash<const N: usize>(numbers: [u64; N]) -> u64 {
    let mut bytes = [0; 8 * 11];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    xxh3_64(&bytes[..8 * N])
}
