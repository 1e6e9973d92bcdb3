//! The engine's handle: what the edge may ask.

use super::gate::Gate;
use crate::clock::Clock;
use crate::domain::{Buy, Command, ItemId, ItemTerms, Order, OrderId, Outcome, Timestamp, UserId};
use std::sync::Arc;
use tokio::sync::broadcast;

/// What became of a request to the engine (design rule 15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Decided, and all that the decision rests on is durable.
    Decided(Outcome),
    /// Never decided: safe to repeat, with or without the same request id.
    NotDelivered(NotDelivered),
    /// It may or may not have been decided: repeat only with the same request id.
    Unknown,
}

/// Why a request did not reach its decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotDelivered {
    /// All permits are out, or the request waited in the mailbox beyond its deadline.
    Overloaded,
    /// The journal has no room or the backlog is beyond the operator's threshold.
    StorageFull,
    /// The item is out of order in this process.
    Quarantined,
    /// The engine is draining or has stopped.
    ShuttingDown,
}

/// Where a purchase's request id comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyOrigin {
    /// The client's `Idempotency-Key`: it may come again, on this item or wrongly on another.
    Client,
    /// Made at the edge for this request alone.
    Edge,
}

/// A cheap handle to the running engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    clock: Clock,
}

impl Engine {
    /// The engine's time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The item's gate, if the item was preheated.
    pub fn gate(&self, _item_id: ItemId) -> Option<Arc<Gate>> {
        None
    }

    /// All gates, in no order.
    pub fn gates(&self) -> Vec<Arc<Gate>> {
        Vec::new()
    }

    /// Decides a purchase; answers once that is durable. Knows nothing of gates' fast path: the
    /// caller asks [`Gate::refusal`] before.
    pub async fn buy(&self, gate: &Gate, buy: Buy, origin: KeyOrigin) -> Reply {
        let _ = (gate, buy, origin);
        Reply::Unknown
    }

    /// Decides a command about an order (pay, cancel) in the shard that its id names.
    pub async fn decide_order(&self, order_id: OrderId, command: Command) -> Reply {
        let _ = (order_id, command);
        Reply::Unknown
    }

    /// Preheats an item into the shard that the ring gives its product.
    pub async fn open_item(&self, terms: ItemTerms) -> Reply {
        let _ = terms;
        Reply::Unknown
    }

    /// Decides an operation (restock, pause, resume, end) on a preheated item.
    pub async fn decide_item(&self, gate: &Gate, command: Command) -> Reply {
        let _ = (gate, command);
        Reply::Unknown
    }

    /// The order, if its shard holds it: durable, and at once. `Err` where the shard did not answer
    /// within the deadline.
    ///
    /// # Errors
    /// Where the shard could not be asked.
    pub async fn order(&self, order_id: OrderId) -> Result<Option<Order>, NotDelivered> {
        let _ = order_id;
        Ok(None)
    }

    /// The newest orders of a buyer that shards hold, newest first, at most `limit`, placed before
    /// `before` if given.
    ///
    /// # Errors
    /// Where a shard could not be asked.
    pub async fn orders_of(
        &self,
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
    ) -> Result<Vec<Order>, NotDelivered> {
        let _ = (user_id, before, limit);
        Ok(Vec::new())
    }

    /// Each later durable change of the order, until the receiver is dropped.
    pub fn watch_order(&self, order_id: OrderId) -> broadcast::Receiver<Order> {
        let _ = order_id;
        broadcast::channel(1).1
    }

    /// What readiness reports and metrics show.
    pub fn status(&self) -> EngineStatus {
        EngineStatus::default()
    }
}

/// A look at the engine's insides.
#[derive(Clone, Debug, Default)]
pub struct EngineStatus {
    /// Whether the engine takes purchases.
    pub accepting: bool,
    /// Why not, in words for the operator.
    pub refusing_because: Option<String>,
    /// Shards that are up, of `shards`.
    pub shards_up: usize,
    /// Shards in all.
    pub shards: usize,
    /// Items in quarantine.
    pub quarantined_items: Vec<ItemId>,
    /// Permits out: requests admitted and not yet answered.
    pub permits_used: usize,
    /// Permits in all.
    pub permits: usize,
    /// Requests waiting in mailboxes.
    pub mailbox_depth: usize,
    /// Records durable and not yet in the order store.
    pub backlog_records: u64,
    /// Age of the oldest of them, in seconds.
    pub backlog_age_seconds: f64,
    /// Age of the oldest shard's checkpoint that is behind its log, in seconds.
    pub checkpoint_age_seconds: f64,
    /// Each dependency: name, whether it works, and what its state means for the sale.
    pub dependencies: Vec<DependencyStatus>,
}

/// A dependency as an operator should see it.
#[derive(Clone, Debug)]
pub struct DependencyStatus {
    /// `journal`, `checkpoint`, `broker` or `order_store`.
    pub name: &'static str,
    /// Which implementation serves: `file`, `sqlite`, `redis`, `in-process`, `rabbitmq`, `mysql`.
    pub kind: &'static str,
    /// Whether it works.
    pub healthy: bool,
    /// What its state means for the sale, in words.
    pub meaning: String,
}
