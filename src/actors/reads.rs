//! What is read of the shards, and where else it may be.
//!
//! A node of several reads its own shards itself, and asks the nodes that serve the others. Must not change
//! anything.

use super::engine::Engine;
use super::forwarding::between_ends;
use super::gate::Gate;
use super::shard::context::SILENT_WAIT_MAX;
use super::shard::effects::{NotDelivered, OrderChanges};
use super::shard::mailbox::Envelope;
use domain::{Buy, ItemId, Order, OrderId, OrderStatus, RequestId, ShardId, UserId};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

impl Engine {
    /// The order, if its shard holds it: durable, and at once.
    ///
    /// # Errors
    /// Returns [`NotDelivered`] if no permit was left or the shard did not answer in time.
    pub async fn order(&self, order_id: OrderId) -> Result<Option<Order>, NotDelivered> {
        let shard = order_id.shard();
        if !self.context().router.has(shard) {
            return Ok(None);
        }
        let mut until = None;
        loop {
            let found = self.order_here(order_id).await;
            let (Err(NotDelivered::Moved), Some(remote)) = (&found, self.remote()) else {
                return found;
            };
            let until = *until.get_or_insert_with(between_ends);
            let was_own = remote.is_own(shard);
            let found = remote.order(order_id).await;
            let has_moved = matches!(found, Err(NotDelivered::Moved));
            if !has_moved || !self.moves_on(remote, shard, was_own, until).await {
                return found.map_err(|reason| self.in_vain(reason));
            }
        }
    }

    /// Sends an envelope that is answered with a value, and waits for the answer.
    pub(super) async fn ask<T>(
        &self,
        shard: ShardId,
        envelope: impl FnOnce(oneshot::Sender<T>) -> Envelope,
    ) -> Result<T, NotDelivered> {
        let _permit = self.context().permits.take().ok_or(NotDelivered::Overloaded)?;
        let (answer, mut answered) = oneshot::channel();
        if self.context().router.send(shard, envelope(answer)).is_err() {
            return Err(NotDelivered::Moved);
        }
        let ends = Instant::now() + self.context().reply_timeout;
        loop {
            let looks = ends.min(Instant::now() + SILENT_WAIT_MAX);
            match tokio::time::timeout_at(looks, &mut answered).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(_)) if !self.lease().is_live() => return Err(NotDelivered::Moved),
                Ok(Err(_)) => return Err(NotDelivered::Overloaded),
                // What is read must be durable, and nothing becomes that meanwhile.
                Err(_) if self.context().is_out_of_touch() => {
                    return Err(NotDelivered::LogUnavailable);
                }
                Err(_) if looks == ends => return Err(NotDelivered::Overloaded),
                Err(_) => {}
            }
        }
    }

    /// The order, if its shard is served here and holds it.
    pub(super) async fn order_here(
        &self,
        order_id: OrderId,
    ) -> Result<Option<Order>, NotDelivered> {
        self.ask(order_id.shard(), |answer| Envelope::ReadOrder { order_id, answer }).await
    }

    /// The order of the gate's item that this request got, if its shard holds it: durable.
    ///
    /// # Errors
    /// Returns [`NotDelivered`] if no permit was left or the shard did not answer in time.
    pub async fn order_of(
        &self,
        gate: &Gate,
        user_id: UserId,
        request_id: RequestId,
    ) -> Result<Option<Order>, NotDelivered> {
        let shard = gate.shard_of(user_id);
        let found = self.order_of_request(shard, user_id, request_id).await;
        let found = match (found, self.remote()) {
            (Err(NotDelivered::Moved), Some(remote)) => {
                let found = remote.order_of_request(shard, user_id, request_id).await;
                found.map_err(|reason| self.in_vain(reason))?
            }
            (found, _) => found?,
        };
        Ok(found.filter(|order| order.item_id == gate.terms().item_id))
    }

    /// The newest orders of a buyer that shards hold, newest first, at most `limit`, placed before
    /// `before` if given.
    ///
    /// # Errors
    /// Returns [`NotDelivered`] if no permit was left or a shard did not answer in time, and
    /// [`NotDelivered::Moved`] if some shard is served by no node that answers.
    pub async fn orders_of(
        &self,
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
    ) -> Result<Vec<Order>, NotDelivered> {
        if self.serves_all() {
            return self.orders_of_here(user_id, before, limit).await;
        }
        let remote = self.remote().ok_or(NotDelivered::Moved)?;
        let mut served: BTreeSet<ShardId> = self.served_shards().into_iter().collect();
        let here = self.orders_of_here(user_id, before, limit);
        let (here, there) = tokio::join!(here, remote.orders_of(user_id, before, limit));
        let (mut orders, (mut others, elsewhere)) = (here?, there?);
        orders.append(&mut others);
        served.extend(elsewhere);
        // A page that lacks a shard's orders would say that there are none.
        if served.len() < usize::from(self.shards()) {
            return Err(self.in_vain(NotDelivered::Moved));
        }
        Ok(newest(orders, limit))
    }

    /// The newest orders of a buyer in the shards that are served here.
    pub(super) async fn orders_of_here(
        &self,
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
    ) -> Result<Vec<Order>, NotDelivered> {
        let mut asked = Vec::new();
        for shard in self.busy_shards() {
            asked.push(self.ask(shard, |answer| Envelope::ReadOrdersOf {
                user_id,
                before,
                limit,
                answer,
            }));
        }
        let mut orders = Vec::new();
        for answer in futures_util::future::join_all(asked).await {
            orders.append(&mut answer?);
        }
        Ok(newest(orders, limit))
    }

    /// The order once it has another status than `known`, as the node has it that serves its shard, or as it is after
    /// `wait`. That is for orders of other nodes: what changes here, [`Engine::watch_order`] tells.
    ///
    /// # Errors
    /// Returns [`NotDelivered`] if no other node serves the shard, or it does not answer.
    pub async fn await_change_elsewhere(
        &self,
        order_id: OrderId,
        known: OrderStatus,
        wait: Duration,
    ) -> Result<Option<Order>, NotDelivered> {
        match self.remote() {
            Some(remote) => remote.await_change(order_id, known, wait).await,
            None => Err(NotDelivered::Moved),
        }
    }

    /// The order's durable changes from now on.
    pub fn watch_order(&self, order_id: OrderId) -> OrderChanges {
        self.context().effect_sink.watchers.watch(order_id)
    }

    /// Whether this request got an order of another item, here or at another node that says so. Asked only after the
    /// filter's "maybe".
    pub(super) async fn is_used_elsewhere(
        &self,
        gate: &Gate,
        buy: &Buy,
    ) -> Result<bool, NotDelivered> {
        let Buy { user_id, request_id, item_id, .. } = *buy;
        let own = self.order_of_request(gate.shard_of(user_id), user_id, request_id).await?;
        if let Some(order) = own {
            return Ok(order.item_id != item_id);
        }
        let here = self.reuse_here(user_id, request_id, item_id).await?;
        Ok(here.is_some() || self.is_used_at_others(buy).await)
    }

    /// The order that this request got on another item, in the shards that are served here.
    pub(super) async fn reuse_here(
        &self,
        user_id: UserId,
        request_id: RequestId,
        item_id: ItemId,
    ) -> Result<Option<Order>, NotDelivered> {
        // Another node's filter may err where this one, which knows these shards' keys, does not.
        if !self.context().idempotency_keys.may_be_granted(user_id, request_id) {
            return Ok(None);
        }
        for shard in self.busy_shards() {
            let found = self.order_of_request(shard, user_id, request_id).await?;
            if let Some(order) = found.filter(|order| order.item_id != item_id) {
                return Ok(Some(order));
            }
        }
        Ok(None)
    }

    /// The order that this request got on any item of the shard, which is served here.
    pub(super) async fn order_of_request(
        &self,
        shard: ShardId,
        user_id: UserId,
        request_id: RequestId,
    ) -> Result<Option<Order>, NotDelivered> {
        self.ask(shard, |answer| Envelope::FindRequest { user_id, request_id, answer }).await
    }

    /// Shards that own an item. Of several buckets, some may be other nodes'.
    fn busy_shards(&self) -> Vec<ShardId> {
        let mut shards = Vec::new();
        for gate in self.context().effect_sink.gates.iter() {
            match gate.shards() {
                [shard] => shards.push(*shard),
                several => shards.extend(several.iter().filter(|shard| self.serves(**shard))),
            }
        }
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// Whether the shard is served here.
    pub fn serves(&self, shard: ShardId) -> bool {
        self.context().router.serves(shard)
    }

    /// Whether the shop has other nodes.
    pub fn is_one_of_several(&self) -> bool {
        self.directory().is_some()
    }

    /// Whether every shard is served here. A node alone serves them all.
    pub fn serves_all(&self) -> bool {
        let router = &self.context().router;
        self.directory().is_none() || router.served().count() == router.shards().count()
    }

    /// Whether nobody serves a shard, as far as this node knows.
    pub fn is_unowned(&self, shard: ShardId) -> bool {
        self.directory().is_some_and(|directory| directory.owner(shard).is_none())
    }

    /// Whether this item is known to be in a shard that is not served here.
    pub fn is_elsewhere(&self, item_id: ItemId) -> bool {
        self.gate(item_id).is_none()
            && self.directory().is_some_and(|directory| directory.shard_of(item_id).is_some())
    }

    /// Whether an item that is not here may be in a shard that is not served here: asks the other nodes'
    /// registry where that is not known.
    pub async fn may_be_elsewhere(&self, item_id: ItemId) -> bool {
        let Some(directory) = self.directory() else { return false };
        directory.find_item(item_id).await.is_some() || !directory.knows_items()
    }
}

/// The newest of these, newest first.
fn newest(mut orders: Vec<Order>, limit: usize) -> Vec<Order> {
    orders.sort_unstable_by_key(|order| std::cmp::Reverse(order.order_id));
    // What moved meanwhile may have been read twice.
    orders.dedup_by_key(|order| order.order_id);
    orders.truncate(limit);
    orders
}
