//! What clients were told, to be held against what is there in the end.

use domain::invariants::{self, Invariant};
use domain::{Order, OrderId, PaymentId, PaymentOutcome};
use std::collections::{HashMap, HashSet};

/// What they were told, over all crashes and by all nodes.
#[derive(Default)]
pub struct Seen {
    /// The newest answer about each order.
    pub orders: HashMap<OrderId, Order>,
    /// The payments whose money was confirmed.
    pub money: HashSet<PaymentId>,
    /// The order of each request.
    requests: HashMap<(u64, u64), OrderId>,
}

impl Seen {
    /// Notes that money was confirmed, with what it made of its order.
    pub fn note_money(&mut self, paid: &PaymentOutcome) {
        assert!(paid.state.has_money(), "{paid:?}");
        self.money.insert(paid.id);
        self.note(&paid.order);
    }

    /// Notes an answer, which must not contradict an earlier one.
    pub fn note(&mut self, order: &Order) {
        let request = (order.user_id.0, order.request_id.0);
        let first = *self.requests.entry(request).or_insert(order.order_id);
        let other = (first != order.order_id).then_some(first);
        let verdict = invariants::i7_granted_once(other, order.order_id);
        assert_eq!(verdict, Ok(()), "{}", Invariant::I7);
        let before = self.orders.insert(order.order_id, *order);
        if let Some(before) = before {
            assert!(before.same_purchase(order), "{before:?} became {order:?}");
            // Answers of one order may cross on their way; its end does not change again but to
            // a refund.
            if before.status != order.status && !before.status.may_become(order.status) {
                self.orders.insert(order.order_id, before);
            }
        }
    }
}
