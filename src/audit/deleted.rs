//! What the journal says no longer because its segments were deleted: taken from the order store.

use super::error::AuditError;
use super::log::Look;
use super::on_record::{order_before, payment_before};
use super::stored::Stored;
use crate::store::orders::StoredItem;
use domain::invariants::Ledger;
use domain::{Event, Order, OrderId, OrderStatus, Payment, PaymentId, Record, ShardId};
use std::collections::HashMap;

/// Gives the ledger the state before the oldest segment that is left: what the order store holds,
/// less what the journal still says.
///
/// # Errors
/// Returns [`AuditError`] if the order store or etcd does not answer.
pub(super) async fn assume_what_was_deleted(
    look: &Look<'_>,
    stored: &Stored,
    base: &[u64],
    ledger: &mut Ledger,
) -> Result<(), AuditError> {
    // As each was before the first of its records that are left; none if that made it.
    let mut orders: HashMap<OrderId, Option<OrderStatus>> = HashMap::new();
    let mut payments: HashMap<PaymentId, Option<Payment>> = HashMap::new();
    // What is unreadable is found again, and reported, by the pass that judges.
    let each = |found: Record| {
        if let Some(order) = found.event.changed_order() {
            orders.entry(order.order_id).or_insert_with(|| order_before(&found.event));
        }
        if let Event::Payment(paid) = &found.event {
            let payment = &paid.payment;
            payments.entry(payment.id).or_insert_with(|| payment_before(payment));
        }
    };
    look.read(|_, _| (), each).await?;
    let is_deleted =
        |record: &Record| record.seq <= base.get(record.shard.index()).copied().unwrap_or(0);
    let deleted: Vec<Record> =
        stored.items.values().filter(|record| is_deleted(record)).cloned().collect();
    for item in StoredItem::fold(&deleted)? {
        let exchange = item.exchange.as_deref();
        ledger.assume_item(item.shard, item.terms, item.allotted.into(), exchange);
    }
    for order in stored.orders() {
        let before = orders.get(&order.order_id).copied().unwrap_or(Some(order.status));
        if let Some(status) = before {
            ledger.assume_order(Order { status, ..*order });
        }
    }
    for (id, row) in &stored.payments {
        let before = payments.get(id).cloned();
        if let Some(payment) = before.unwrap_or_else(|| Some(row.payment.clone())) {
            ledger.assume_payment(payment);
        }
    }
    for (shard, seq) in base.iter().enumerate().filter(|(_, seq)| **seq > 0) {
        ledger.assume_seq(ShardId(shard as u16), *seq);
    }
    Ok(())
}
