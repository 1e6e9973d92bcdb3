//! What the journal says no longer because its segments were deleted: taken from the order store.

use super::error::AuditError;
use super::log::Look;
use super::stored::Stored;
use crate::store::orders::OrderStore;
use domain::invariants::Ledger;
use domain::{Event, ItemAction, ItemId, Operation, Order, OrderId, OrderStatus, Record, ShardId};
use std::collections::{HashMap, HashSet};

/// Gives the ledger the state before the oldest segment that is left: what the order store holds,
/// less what the journal still says.
///
/// # Errors
/// Returns [`AuditError`] if the order store or etcd does not answer.
pub(super) async fn assume_what_was_deleted(
    look: &Look<'_>,
    stored: &Stored,
    orders: &OrderStore,
    base: &[u64],
    ledger: &mut Ledger,
) -> Result<(), AuditError> {
    let mut granted_later: HashSet<OrderId> = HashSet::new();
    let mut changed_later: HashSet<OrderId> = HashSet::new();
    let mut added_later: HashMap<ItemId, i64> = HashMap::new();
    // What is unreadable is found again, and reported, by the pass that judges.
    let each = |found: Record| match found.event {
        Event::Order(order) if order.status == OrderStatus::Reserved => {
            granted_later.insert(order.order_id);
        }
        Event::Order(order) => {
            changed_later.insert(order.order_id);
        }
        Event::ItemOperated(Operation { item_id, action, .. }) => {
            let units = i64::from(action.units());
            *added_later.entry(item_id).or_default() += match action {
                ItemAction::Reduce(_) => -units,
                _ => units,
            };
        }
        _ => {}
    };
    look.read(|_, _| (), each).await?;
    for item in orders.items().await? {
        if item.opened_seq <= base.get(item.shard.index()).copied().unwrap_or(0) {
            let later = added_later.get(&item.terms.item_id).copied().unwrap_or(0);
            let allotted = (i64::from(item.allotted) - later).max(0);
            ledger.assume_item(item.shard, item.terms, allotted);
        }
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
