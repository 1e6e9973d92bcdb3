//! What this node does for the others: it decides and reads in the shards that it serves.
//!
//! A purchase passes the item's gate here, because the node that was asked for it knows of the item only what
//! it was a moment ago. Nothing is sent on from here: a node that does not serve a shard says which one does.

use super::engine::Engine;
use super::shard::effects::{NotDelivered, Reply};
use super::shard::idempotency::KeyOrigin;
use crate::peers::{Answer, Ask, Item, Serve};
use crate::telemetry::traces::{Kind, Parent, Span, TraceContext};
use domain::stock::ItemState;
use domain::{
    Buy, Command, ItemId, Order, OrderId, OrderStatus, Outcome, Refusal, RequestId, ShardId, UserId,
};
use std::time::Duration;
use tokio::time::Instant;

/// How long another node may have this one wait for a change of an order.
const WATCH_MAX: Duration = Duration::from_secs(30);
/// The time between two looks meanwhile.
const WATCH_LOOK: Duration = Duration::from_secs(1);
/// The span of a purchase that another node has sent here.
const SERVE: &str = "serve buy";

/// An engine, as other nodes ask it.
#[derive(Clone)]
pub struct Serving(Engine);

impl Serving {
    /// Lets this engine be asked by other nodes.
    pub fn new(engine: Engine) -> Self {
        Self(engine)
    }
}

impl Serve for Serving {
    async fn serve(&self, shard: ShardId, ask: Ask) -> Answer {
        let engine = &self.0;
        if let Ask::OrdersOf { user_id, before, limit } = ask {
            return self.orders_of(user_id, before, usize::from(limit)).await;
        }
        if let Ask::ReadBuckets(items) = ask {
            return self.buckets(&items);
        }
        if let Ask::NoteKeys(keys) = ask {
            engine.context().idempotency_keys.record_granted_elsewhere(&keys);
            return Answer::Noted;
        }
        if ask == Ask::ReadClock {
            return Answer::Clock(engine.now());
        }
        if let Ask::FindReuse { user_id, request_id, item_id } = ask {
            return self.reuse(user_id, request_id, item_id).await;
        }
        if !engine.serves(shard) {
            return self.not_owner(shard);
        }
        match ask {
            Ask::Buy { buy, origin, trace } => {
                let below =
                    |trace| engine.tracer().span(Kind::Server, SERVE, Parent::Elsewhere(trace));
                let span = trace.and_then(below);
                self.buy(shard, buy, origin, span.as_ref().map(Span::context)).await
            }
            Ask::Command(command) => self.command(shard, command).await,
            Ask::ReadOrder(order_id) => self.found(shard, engine.order_here(order_id).await),
            Ask::AwaitChange { order_id, known, wait } => {
                self.await_change(shard, order_id, known, wait).await
            }
            Ask::FindRequest(user_id, request_id) => {
                self.found(shard, engine.order_of_request(shard, user_id, request_id).await)
            }
            Ask::ReadItem(item_id) => {
                let state = engine.gate(item_id).and_then(|gate| gate.state_in(shard));
                Answer::Item(state.map(item_of))
            }
            // They were answered above.
            Ask::OrdersOf { .. }
            | Ask::ReadBuckets(_)
            | Ask::NoteKeys(_)
            | Ask::ReadClock
            | Ask::FindReuse { .. } => Answer::Unknown,
        }
    }
}

impl Serving {
    async fn buy(
        &self,
        shard: ShardId,
        buy: Buy,
        origin: u8,
        trace: Option<&TraceContext>,
    ) -> Answer {
        let engine = &self.0;
        let Some(origin) = KeyOrigin::from_number(origin) else { return Answer::Unknown };
        let Some(gate) = engine.gate(buy.item_id) else {
            // The shard may just be going, and its gates with it.
            return if engine.serves(shard) {
                Answer::Decided(Outcome::Refused(Refusal::ItemNotFound))
            } else {
                self.not_owner(shard)
            };
        };
        if let Some(refusal) = gate.refusal(engine.now(), buy.user_id) {
            return Answer::Decided(Outcome::Refused(refusal));
        }
        if gate.needs_token() && origin != KeyOrigin::Token {
            return Answer::NotDelivered(NotDelivered::NeedsToken.number());
        }
        self.answer(shard, engine.buy_here(&gate, buy, origin, trace).await)
    }

    async fn command(&self, shard: ShardId, command: Command) -> Answer {
        let engine = &self.0;
        let reply = match &command {
            Command::SendUnits(_) | Command::ReceiveUnits(_) | Command::SettleTransfer(_) => {
                engine.transfers().decide_here(shard, command).await
            }
            // The first bucket's node has the others follow.
            Command::Operate(operation) => match engine.gate(operation.item_id) {
                Some(gate) if gate.shard() == shard => {
                    engine.decide_item_here(&gate, command).await
                }
                _ => engine.decide_here(shard, command).await,
            },
            _ => engine.decide_here(shard, command).await,
        };
        self.answer(shard, reply)
    }

    /// The order once it is not as it is known to the other node, or after so long.
    async fn await_change(
        &self,
        shard: ShardId,
        order_id: OrderId,
        known: OrderStatus,
        wait: Duration,
    ) -> Answer {
        let engine = &self.0;
        let until = Instant::now() + wait.min(WATCH_MAX);
        // Watched before it is read: what changes in between is told.
        let mut changes = engine.watch_order(order_id);
        let found = engine.order_here(order_id).await;
        if !matches!(&found, Ok(Some(order)) if order.status == known) {
            return self.found(shard, found);
        }
        // Now and then it is looked at whether the shard has gone, which is no change of the order.
        while engine.serves(shard) && Instant::now() < until {
            let look = until.min(Instant::now() + WATCH_LOOK);
            match tokio::time::timeout_at(look, changes.next()).await {
                Ok(Ok(Some(order))) if order.status != known => {
                    return Answer::Order(Some(order));
                }
                Ok(Ok(Some(_))) | Err(_) => {}
                // Some were missed, or the engine stops.
                Ok(Ok(None) | Err(_)) => break,
            }
        }
        self.found(shard, engine.order_here(order_id).await)
    }

    /// The buckets of these items that are served here. What another node may have by now is not told of.
    fn buckets(&self, items: &[ItemId]) -> Answer {
        if !self.0.lease().is_live() {
            return Answer::NotOwner(None);
        }
        let gates = items.iter().filter_map(|item_id| self.0.gate(*item_id));
        let buckets = gates.flat_map(|gate| {
            let states = gate.shards().iter().filter_map(|shard| gate.state_in(*shard));
            states.map(item_of).collect::<Vec<_>>()
        });
        Answer::Buckets(buckets.collect())
    }

    /// The order that a request got on another item here, if it did.
    async fn reuse(&self, user_id: UserId, request_id: RequestId, item_id: ItemId) -> Answer {
        match self.0.reuse_here(user_id, request_id, item_id).await {
            Ok(order) => Answer::Order(order),
            Err(reason) => Answer::NotDelivered(reason.number()),
        }
    }

    async fn orders_of(&self, user_id: UserId, before: Option<OrderId>, limit: usize) -> Answer {
        // Before they are asked: what comes meanwhile was not.
        let served = self.0.served_shards();
        match self.0.orders_of_here(user_id, before, limit).await {
            Ok(orders) => Answer::Orders(orders, served),
            Err(reason) => Answer::NotDelivered(reason.number()),
        }
    }

    fn answer(&self, shard: ShardId, reply: Reply) -> Answer {
        match reply {
            Reply::Decided(outcome) => Answer::Decided(outcome),
            Reply::NotDelivered(reason) => self.refused(shard, reason),
            Reply::Unknown => Answer::Unknown,
        }
    }

    fn found(&self, shard: ShardId, found: Result<Option<Order>, NotDelivered>) -> Answer {
        found.map_or_else(|reason| self.refused(shard, reason), Answer::Order)
    }

    fn refused(&self, shard: ShardId, reason: NotDelivered) -> Answer {
        match reason {
            NotDelivered::Moved => self.not_owner(shard),
            reason => Answer::NotDelivered(reason.number()),
        }
    }

    /// Says who serves the shard, if another node does as far as this one knows.
    fn not_owner(&self, shard: ShardId) -> Answer {
        let owner = self.0.directory().and_then(|directory| directory.owner(shard));
        Answer::NotOwner(owner.filter(|owner| !owner.is_self).map(|owner| owner.name.clone()))
    }
}

fn item_of(state: ItemState) -> Item {
    Item {
        terms: state.terms,
        phase: state.phase,
        counters: state.counters,
        admission: state.admission,
        is_settled: state.settled,
        seq: state.last_seq,
        exchange: state.exchange,
    }
}
