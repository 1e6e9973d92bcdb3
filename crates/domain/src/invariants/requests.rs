//! Which request got which order. Must not know what an order does to the stock.

use crate::ids::{ItemId, OrderId, RequestId, UserId};
use crate::order::Order;
use std::collections::HashMap;

/// The orders of requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The first order of each request, and its item.
    first: HashMap<(UserId, RequestId), (OrderId, ItemId)>,
    /// Where one request may get orders of several items: those beside the first.
    others: Option<HashMap<(UserId, RequestId, ItemId), OrderId>>,
}

impl Requests {
    /// Requests each of which may get an order of each item.
    pub(super) fn by_item() -> Self {
        Self { others: Some(HashMap::new()), ..Self::default() }
    }

    /// The order because of which the request of this one may get no other.
    pub(super) fn earlier(&self, order: &Order) -> Option<OrderId> {
        let Order { user_id, request_id, item_id, .. } = *order;
        let (first, item) = *self.first.get(&(user_id, request_id))?;
        match &self.others {
            Some(others) if item != item_id => others.get(&(user_id, request_id, item_id)).copied(),
            _ => Some(first),
        }
    }

    /// Notes an order.
    pub(super) fn enter(&mut self, order: &Order) {
        let Order { order_id, user_id, request_id, item_id, .. } = *order;
        let first = self.first.entry((user_id, request_id)).or_insert((order_id, item_id));
        if let Some(others) = self.others.as_mut().filter(|_| first.1 != item_id) {
            others.entry((user_id, request_id, item_id)).or_insert(order_id);
        }
    }

    /// How many orders were placed by requests that had got one of another item.
    pub(super) fn reuses(&self) -> u64 {
        self.others.as_ref().map_or(0, |others| others.len() as u64)
    }
}
