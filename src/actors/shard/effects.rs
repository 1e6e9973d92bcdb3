//! What waits for durability, and how it is released.
//!
//! An [`Effect`] is appended to the journal together with the records it rests on and comes back
//! when they are durable; only then is it released. This is the one way in which a decision leaves
//! the engine (I8).

use super::idempotency::KeyReservation;
use super::permits::Permit;
use super::wishes::Wishes;
use crate::actors::gate::Gate;
use crate::actors::lease::Lease;
use crate::telemetry::traces::{Hops, TraceContext};
use dashmap::DashMap;
use domain::stock::ItemState;
use domain::{
    Admission, ItemCounters, ItemId, ItemPhase, Order, OrderId, Outcome, Part, ShardId, Timestamp,
};
use foldhash::fast::RandomState;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, oneshot};

/// What became of a request to the engine.
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NotDelivered {
    /// All permits are out, or the request waited in the mailbox beyond its deadline.
    Overloaded,
    /// The journal has no room left on its disk.
    StorageFull,
    /// The log that the journal is kept in has confirmed nothing for a while.
    LogUnavailable,
    /// What the journal has on its disk is damaged.
    StorageDamaged,
    /// The backlog of records not yet in the order store is beyond the operator's threshold.
    BacklogFull,
    /// The item is out of order in this process.
    Quarantined,
    /// The shard is another node's, or about to be; or units may be in a bucket whose node does not answer.
    Moved,
    /// The item is sold for buy tokens now, and there was none: the node that was asked for it knew of the time
    /// before.
    NeedsToken,
    /// The engine is draining or has stopped.
    ShuttingDown,
}

impl NotDelivered {
    /// All reasons, by the numbers under which nodes tell each other, from 1.
    const ALL: [Self; 9] = [
        Self::Overloaded,
        Self::StorageFull,
        Self::LogUnavailable,
        Self::StorageDamaged,
        Self::BacklogFull,
        Self::Quarantined,
        Self::Moved,
        Self::ShuttingDown,
        Self::NeedsToken,
    ];

    /// The number under which nodes tell each other.
    pub(in crate::actors) fn number(self) -> u8 {
        (1..).zip(Self::ALL).find(|(_, reason)| *reason == self).map_or(0, |(number, _)| number)
    }

    /// The reason of this number.
    pub(in crate::actors) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// Sends one reply to the caller. Dropped without one, the caller learns that the outcome is unknown.
pub(in crate::actors) struct ReplySender {
    sender: Option<oneshot::Sender<Reply>>,
    /// Held until the reply has left.
    _reservation: Option<KeyReservation>,
    hops: Hops,
}

impl ReplySender {
    pub(in crate::actors) fn new(
        sender: oneshot::Sender<Reply>,
        reservation: Option<KeyReservation>,
        hops: Hops,
    ) -> Self {
        Self { sender: Some(sender), _reservation: reservation, hops }
    }

    /// For the engine's own commands, whose outcome no caller waits for.
    pub(in crate::actors) fn none() -> Self {
        Self { sender: None, _reservation: None, hops: Hops::NONE }
    }

    /// Notes that the shard has begun with it, if it is traced.
    #[inline]
    pub(in crate::actors) fn note_taken(&mut self) {
        self.hops.taken();
    }

    /// Notes that it is decided, with the number of its own record if it has one, if it is traced.
    #[inline]
    pub(in crate::actors) fn note_decided(&mut self, shard: ShardId, seq: Option<u64>) {
        self.hops.decided(shard, seq);
    }

    /// The trace that the purchase belongs to, if it is traced.
    pub(in crate::actors) fn trace_id(&self) -> Option<impl Display + use<>> {
        self.hops.context().map(TraceContext::shown_trace_id)
    }

    /// Sends the reply, unless one was sent before.
    pub(in crate::actors) fn send(&mut self, reply: Reply) {
        // Before, because the caller ends its span at once; the hops' own are made behind the reply.
        self.hops.answered(matches!(reply, Reply::Decided(_)));
        if let Some(sender) = self.sender.take() {
            // A caller that has given up needs no reply.
            let _ = sender.send(reply);
        }
    }
}

/// Something that must not happen before the records it rests on are durable.
pub(in crate::actors) enum Effect {
    /// Answers a command and gives its permit back. What has no record of its own is answered only while
    /// nobody else can have the shard.
    Reply {
        outcome: Outcome,
        is_on_record: bool,
        reply_sender: ReplySender,
        permit: Permit,
        admitted_at: Timestamp,
    },
    /// Shows an item's new state at its gate.
    UpdateGate {
        gate: Arc<Gate>,
        seq: u64,
        phase: ItemPhase,
        admission: Admission,
        counters: ItemCounters,
    },
    /// Shows the new state of one of an item's buckets at its gate.
    UpdateBucket { gate: Arc<Gate>, part: Box<Part> },
    /// Puts a settled item's smaller gate in the place of the one that knew its buyers; of several buckets, when
    /// the last one is settled.
    SettleGate { gate: Arc<Gate>, bucket: Option<u8> },
    /// Lets the edge find a new item's gate.
    OpenGate { gate: Arc<Gate> },
    /// Tells the order's watchers of its new state.
    NotifyWatchers { order: Order },
    /// Answers a read, while nobody else can have the shard; dropped unanswered otherwise.
    Read(Box<dyn FnOnce() + Send>),
    /// Calls a function: for what is rare.
    Call(Box<dyn FnOnce() + Send>),
}

impl Effect {
    /// Shows the item at its gate as it is in its shard now.
    pub(in crate::actors) fn of_item(gate: &Arc<Gate>, item: &ItemState) -> Self {
        let (gate, seq, phase) = (Arc::clone(gate), item.last_seq, item.phase);
        let (admission, counters) = (item.admission, item.counters);
        match &item.exchange {
            None => Self::UpdateGate { gate, seq, phase, admission, counters },
            Some(exchange) => {
                let (exchange, is_settled) = ((**exchange).clone(), item.settled);
                let seen_at = None;
                let part = Part { seq, phase, admission, counters, exchange, is_settled, seen_at };
                Self::UpdateBucket { gate, part: Box::new(part) }
            }
        }
    }
}

/// All gates by item.
pub(in crate::actors) type Gates = Arc<DashMap<ItemId, Arc<Gate>, RandomState>>;

/// Where durable effects are released: to callers, gates and watchers.
#[derive(Clone)]
pub(in crate::actors) struct EffectSink {
    pub(in crate::actors) gates: Gates,
    /// Those of items of several buckets, from the first one that is opened.
    pub(in crate::actors) shared_gates: Gates,
    /// Told when a gate has come.
    pub(in crate::actors) gate_opened: Arc<Notify>,
    /// Tells all who wait for it that more is durable.
    pub(in crate::actors) durable_told: Arc<Notify>,
    pub(in crate::actors) watchers: OrderWatchers,
    /// Units that buckets want of others.
    pub(in crate::actors) wishes: Wishes,
    /// For how long this node certainly is the owner.
    pub(in crate::actors) lease: Lease,
}

impl EffectSink {
    /// The gate of an item that is in a shard: a new one, which the buckets of one item share.
    pub(in crate::actors) fn gate(&self, item: &ItemState, shard: ShardId) -> Arc<Gate> {
        let new = || Arc::new(Gate::new(item, shard, self.lease.clone()));
        match item.exchange {
            None => new(),
            Some(_) => {
                // A settled one, of buckets that are here already.
                let earlier = self.gates.get(&item.terms.item_id).map(|gate| Arc::clone(&gate));
                let shared = self.shared_gates.entry(item.terms.item_id).or_insert_with(|| {
                    let gate = new();
                    earlier.iter().for_each(|earlier| gate.learn_from(earlier));
                    gate
                });
                Arc::clone(&shared)
            }
        }
    }

    /// Puts the smaller gate of an item in place whose buckets are all settled.
    pub(in crate::actors) fn settle(&self, gate: &Gate) {
        let item_id = gate.terms().item_id;
        self.shared_gates.remove(&item_id);
        self.gates.insert(item_id, Arc::new(gate.settle()));
    }

    /// Knows a shard's items no more, of several buckets when the last one here has gone.
    pub(in crate::actors) fn forget(&self, shard: ShardId) {
        self.gates.retain(|item_id, gate| {
            let is_gone = gate.shards().contains(&shard) && gate.forget(shard);
            if is_gone {
                self.shared_gates.remove(item_id);
            }
            !is_gone
        });
    }

    /// Opens the gate of an item of a recovered shard.
    pub(in crate::actors) fn open_gate(&self, item: &ItemState, shard: ShardId) {
        let gate = self.gate(item, shard);
        gate.show(item);
        self.gates.insert(item.terms.item_id, gate);
    }

    /// Carries out the effects, in their order. What they rest on is durable.
    pub(in crate::actors) fn release(&self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { outcome, is_on_record, mut reply_sender, permit, .. } => {
                    // The permit first: a caller that has its answer may come back at once.
                    drop(permit);
                    reply_sender.send(if is_on_record || self.lease.is_live() {
                        Reply::Decided(outcome)
                    } else {
                        Reply::NotDelivered(NotDelivered::Moved)
                    });
                }
                Effect::UpdateGate { gate, seq, phase, admission, counters } => {
                    gate.publish(seq, phase, admission, counters);
                }
                Effect::UpdateBucket { gate, part } => gate.publish_bucket(*part),
                Effect::SettleGate { gate, bucket: Some(bucket) }
                    if !gate.settle_bucket(bucket) => {}
                Effect::SettleGate { gate, .. } => self.settle(&gate),
                Effect::OpenGate { gate } => {
                    self.gates.insert(gate.terms().item_id, gate);
                    self.gate_opened.notify_one();
                }
                Effect::NotifyWatchers { order } => self.watchers.notify(order),
                Effect::Read(answer) if self.lease.is_live() => answer(),
                Effect::Read(_) => {}
                Effect::Call(run) => run(),
            }
        }
    }
}

/// Where the journal's effects go.
pub(in crate::actors) struct Release {
    pub(in crate::actors) effect_sink: EffectSink,
    pub(in crate::actors) durable_moved: Arc<Notify>,
}

impl Release {
    pub(in crate::actors) fn new(lease: Lease) -> Self {
        let watchers = OrderWatchers::default();
        let effect_sink = EffectSink {
            gates: Arc::default(),
            shared_gates: Arc::default(),
            gate_opened: Arc::default(),
            durable_told: Arc::default(),
            watchers,
            wishes: Wishes::default(),
            lease,
        };
        Self { effect_sink, durable_moved: Arc::default() }
    }

    /// What the journal's thread does with what has become durable.
    pub(in crate::actors) fn on_durable(&self) -> impl FnMut(Vec<Effect>) + Send + use<> {
        let (moved, sink) = (Arc::clone(&self.durable_moved), self.effect_sink.clone());
        move |effects| {
            moved.notify_one();
            sink.durable_told.notify_waiters();
            // On the journal's thread: a hop to a task of the runtime would cost a wake-up in front of
            // all who wait for this batch.
            sink.release(effects);
        }
    }
}

/// The durable changes of one order, from the call that returned it. Ends when the engine stops.
#[derive(Debug)]
pub struct OrderChanges(broadcast::Receiver<Order>);

/// More changes came than are kept for a slow caller: some were missed, and the order itself has the
/// last one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("changes of the order were missed")]
pub struct ChangesMissed;

impl OrderChanges {
    /// The next change; none once the engine has stopped.
    ///
    /// # Errors
    /// Returns [`ChangesMissed`] if the caller was too slow. The changes after it still come.
    pub async fn next(&mut self) -> Result<Option<Order>, ChangesMissed> {
        match self.0.recv().await {
            Ok(order) => Ok(Some(order)),
            Err(RecvError::Closed) => Ok(None),
            Err(RecvError::Lagged(_)) => Err(ChangesMissed),
        }
    }
}

/// The watchers of each order.
#[derive(Clone, Default)]
pub(in crate::actors) struct OrderWatchers(Arc<WatchersInner>);

#[derive(Default)]
struct WatchersInner {
    count: AtomicUsize,
    orders: DashMap<OrderId, broadcast::Sender<Order>, RandomState>,
}

impl OrderWatchers {
    /// The order's durable changes from now on.
    pub(in crate::actors) fn watch(&self, order_id: OrderId) -> OrderChanges {
        const CHANGES_MAX: usize = 8;
        let watched = self.0.orders.entry(order_id).or_insert_with(|| {
            self.0.count.fetch_add(1, Ordering::AcqRel);
            broadcast::channel(CHANGES_MAX).0
        });
        OrderChanges(watched.subscribe())
    }

    /// Drops the channels of orders that have no watcher any more.
    pub(in crate::actors) fn sweep(&self) {
        if self.0.count.load(Ordering::Acquire) > 0 {
            self.0.orders.retain(|_, sender| {
                let watched = sender.receiver_count() > 0;
                self.0.count.fetch_sub(usize::from(!watched), Ordering::AcqRel);
                watched
            });
        }
    }

    fn notify(&self, order: Order) {
        if self.0.count.load(Ordering::Acquire) > 0
            && let Some(sender) = self.0.orders.get(&order.order_id)
        {
            // The last watcher may just have gone.
            let _ = sender.send(order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_number_of_its_own() {
        for number in 1..=9 {
            let reason = NotDelivered::from_number(number).expect("a reason");
            assert_eq!(reason.number(), number);
        }
        assert_eq!((NotDelivered::from_number(0), NotDelivered::from_number(10)), (None, None));
    }
}
