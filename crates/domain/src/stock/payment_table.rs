//! The payments that a shard holds, and which of them the next checkpoint has to keep. Must not know what may become
//! of a payment.

use crate::ids::OrderId;
use crate::payment::{OrderPayments, Payment, PaymentRecord};
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};

/// The payments that the shard holds, by their order.
#[derive(Debug, Default)]
pub(super) struct PaymentTable {
    pub(super) by_order: HashMap<OrderId, OrderPayments, RandomState>,
    dirty: HashSet<OrderId, RandomState>,
}

impl PaymentTable {
    pub(super) fn of(&self, order_id: OrderId) -> &[Payment] {
        self.by_order.get(&order_id).map_or(&[], |kept| &kept.payments)
    }

    pub(super) fn set(&mut self, record: &PaymentRecord) {
        let order_id = record.order.order_id;
        let kept = self
            .by_order
            .entry(order_id)
            // Most orders have one payment.
            .or_insert_with(|| OrderPayments {
                order: record.order,
                payments: Vec::with_capacity(1),
            });
        kept.order = record.order;
        kept.set(record.payment.clone());
        self.dirty.insert(order_id);
    }

    /// The orders of which there are payments.
    pub(super) fn len(&self) -> usize {
        self.by_order.len()
    }

    pub(super) fn mark_dirty(&mut self, order_id: OrderId) {
        self.dirty.insert(order_id);
    }

    pub(super) fn take_dirty(&mut self) -> Vec<(OrderId, Option<OrderPayments>)> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().map(|id| (id, self.by_order.get(&id).cloned())).collect()
    }

    pub(super) fn all(&self) -> Vec<OrderPayments> {
        let mut all: Vec<OrderPayments> = self.by_order.values().cloned().collect();
        all.sort_unstable_by_key(|kept| kept.order.order_id);
        all
    }

    /// About how many bytes of heap are held.
    pub(super) fn memory_bytes(&self) -> usize {
        const TEXTS: usize = 48;
        let slot = size_of::<(OrderId, OrderPayments)>() + 1;
        let payments: usize = self.by_order.values().map(|kept| kept.payments.capacity()).sum();
        self.by_order.capacity() * slot + payments * (size_of::<Payment>() + TEXTS)
    }
}
