//! What the journal says no longer because its segments were deleted: taken from the order store.

use super::error::AuditError;
use super::log::Look;
use super::stored::Stored;
use crate::store::orders::StoredItem;
use domain::invariants::Ledger;
use domain::{Order, OrderId, OrderStatus, Record, ShardId};
use std::collections::HashSet;

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
    let mut granted_later: HashSet<OrderId> = HashSet::new();
    let mut changed_later: HashSet<OrderId> = HashSet::new();
    // What is unreadable is found again, and reported, by the pass that judges.
    let each = |found: Record| match found.event.changed_order() {
        Some(order) if order.status == OrderStatus::Reserved => {
            granted_later.insert(order.order_id);
        }
        Some(order) => {
            changed_later.insert(order.order_id);
        }
        None => {}
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
    for order in stored.orders().filter(|order| !granted_later.contains(&order.order_id)) {
        let is_changed = changed_later.contains(&order.order_id);
        let status = if is_changed { OrderStatus::Reserved } else { order.status };
        ledger.assume_order(Order { status, ..*order });
    }
    for (shard, seq) in base.iter().enumerate().filter(|(_, seq)| **seq > 0) {
        ledger.assume_seq(ShardId(shard as u16), *seq);
    }
    Ok(())
}
