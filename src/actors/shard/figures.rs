//! What the shards count of their own work, for operators.
//!
//! Each shard has a cell of its own that nobody else writes to, and adds to it once a batch. Decisions
//! are counted when they are made, which is a sync before they are durable. Must not know who looks.

use crate::telemetry::text::Histogram;
use domain::{OrderStatus, PaymentState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What one batch of a shard came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::actors) struct BatchFigures {
    /// Purchases that were decided.
    pub(in crate::actors) purchases: u64,
    /// Orders that came to each status.
    pub(in crate::actors) orders: [u64; OrderStatus::ALL.len()],
    /// Payments that came to each state.
    pub(in crate::actors) payments: [u64; PaymentState::ALL.len()],
}

impl BatchFigures {
    /// Counts a payment that came to this state.
    pub(in crate::actors) fn count_payment(&mut self, state: PaymentState) {
        self.payments[state as usize - 1] += 1;
    }

    /// Counts an order that came to this status.
    pub(in crate::actors) fn count_order(&mut self, status: OrderStatus) {
        self.orders[status as usize - 1] += 1;
    }
}

/// One shard's cell, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(in crate::actors) struct ShardFigures {
    purchases: AtomicU64,
    orders: [AtomicU64; OrderStatus::ALL.len()],
    payments: [AtomicU64; PaymentState::ALL.len()],
}

impl ShardFigures {
    /// Orders that were placed since the start.
    pub(in crate::actors) fn placed(&self) -> u64 {
        self.orders[OrderStatus::Reserved as usize - 1].load(Relaxed)
    }

    /// Adds what a batch came to, and empties it.
    pub(in crate::actors) fn add(&self, batch: &mut BatchFigures) {
        let BatchFigures { purchases, orders, payments } = std::mem::take(batch);
        let orders = self.orders.iter().zip(orders);
        let payments = self.payments.iter().zip(payments);
        for (cell, count) in
            [(&self.purchases, purchases)].into_iter().chain(orders).chain(payments)
        {
            if count > 0 {
                cell.fetch_add(count, Relaxed);
            }
        }
    }
}

/// What all shards together have counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DecisionFigures {
    /// Purchases that were decided: no gate had refused them.
    pub purchases: u64,
    /// Orders that came to each status, in the order of [`OrderStatus::ALL`].
    pub orders: [u64; OrderStatus::ALL.len()],
    /// Payments that came to each state, in the order of [`PaymentState::ALL`].
    pub payments: [u64; PaymentState::ALL.len()],
}

impl DecisionFigures {
    /// Orders that came to this status.
    pub fn orders(&self, status: OrderStatus) -> u64 {
        self.orders[status as usize - 1]
    }

    /// Payments that came to this state.
    pub fn payments(&self, state: PaymentState) -> u64 {
        self.payments[state as usize - 1]
    }

    /// Adds up the cells.
    pub(in crate::actors) fn sum<'a>(cells: impl Iterator<Item = &'a ShardFigures>) -> Self {
        let mut sum = Self::default();
        for cell in cells {
            sum.purchases += cell.purchases.load(Relaxed);
            for (sum, cell) in sum.orders.iter_mut().zip(&cell.orders) {
                *sum += cell.load(Relaxed);
            }
            for (sum, cell) in sum.payments.iter_mut().zip(&cell.payments) {
                *sum += cell.load(Relaxed);
            }
        }
        sum
    }
}

/// How the mailboxes of all shards are emptied.
#[derive(Debug)]
pub struct MailboxFigures {
    /// How long the oldest request of a batch had waited in its mailbox.
    pub waits: Histogram,
    /// Requests of a batch.
    pub batches: Histogram,
}

impl Default for MailboxFigures {
    fn default() -> Self {
        Self { waits: Histogram::of_durations(), batches: Histogram::of_counts() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_add_up() {
        let cells = [ShardFigures::default(), ShardFigures::default()];
        let mut batch = BatchFigures { purchases: 3, ..BatchFigures::default() };
        batch.count_order(OrderStatus::Reserved);
        batch.count_order(OrderStatus::RefundDue);
        batch.count_payment(PaymentState::RefundDue);
        cells[0].add(&mut batch);
        assert_eq!(batch, BatchFigures::default());
        batch.purchases = 4;
        batch.count_order(OrderStatus::Reserved);
        batch.count_payment(PaymentState::RefundDue);
        cells[1].add(&mut batch);
        let sum = DecisionFigures::sum(cells.iter());
        assert_eq!(sum.purchases, 7);
        assert_eq!((sum.orders(OrderStatus::Reserved), sum.orders(OrderStatus::RefundDue)), (2, 1));
        assert_eq!(sum.orders(OrderStatus::Paid), 0);
        let payments =
            [PaymentState::RefundDue, PaymentState::Refunded].map(|state| sum.payments(state));
        assert_eq!(payments, [2, 0]);
    }
}
