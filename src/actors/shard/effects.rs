//! What waits for durability, and how it is let go.
//!
//! An [`Effect`] is appended to the journal together with the records it rests on and comes back
//! when they are on disk; only then is it released. This is the one door through which a decision
//! leaves the engine (rule 5, I8).

use super::idempotency::KeyReservation;
use super::permits::Permit;
use crate::actors::gate::Gate;
use dashmap::DashMap;
use domain::{ItemCounters, ItemId, ItemPhase, Order, OrderId, Outcome, Timestamp};
use foldhash::fast::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};

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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NotDelivered {
    /// All permits are out, or the request waited in the mailbox beyond its deadline.
    Overloaded,
    /// The journal has no room left on its disk.
    StorageFull,
    /// The backlog of records not yet in the order store is beyond the operator's threshold.
    BacklogFull,
    /// The item is out of order in this process.
    Quarantined,
    /// The engine is draining or has stopped.
    ShuttingDown,
}

/// Whoever waits for an answer. Dropped without one, the other side learns that it is unknown.
pub(in crate::actors) struct ReplySender {
    sender: Option<oneshot::Sender<Reply>>,
    /// Held until the answer has left.
    _reservation: Option<KeyReservation>,
}

impl ReplySender {
    pub(in crate::actors) fn new(
        sender: oneshot::Sender<Reply>,
        reservation: Option<KeyReservation>,
    ) -> Self {
        Self { sender: Some(sender), _reservation: reservation }
    }

    /// Nobody: the engine's own work.
    pub(in crate::actors) fn nobody() -> Self {
        Self { sender: None, _reservation: None }
    }

    /// Answers, unless that was done; whoever has hung up does not mind.
    pub(in crate::actors) fn answer(&mut self, reply: Reply) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(reply);
        }
    }
}

/// Something that must not happen before the records it rests on are durable.
pub(in crate::actors) enum Effect {
    /// Answer.
    Reply { outcome: Outcome, reply_sender: ReplySender, permit: Permit, admitted_at: Timestamp },
    /// Show an item's new state at its gate.
    UpdateGate { gate: Arc<Gate>, seq: u64, phase: ItemPhase, counters: ItemCounters },
    /// Let the edge find an item.
    OpenGate { gate: Arc<Gate> },
    /// Tell whoever watches the order.
    NotifyWatchers { order: Order },
    /// Run: for what is rare.
    Call(Box<dyn FnOnce() + Send>),
}

/// All gates by item.
pub(in crate::actors) type Gates = Arc<DashMap<ItemId, Arc<Gate>, RandomState>>;

/// Lets effects go.
#[derive(Clone)]
pub(in crate::actors) struct EffectSink {
    pub(in crate::actors) gates: Gates,
    pub(in crate::actors) watchers: OrderWatchers,
}

impl EffectSink {
    pub(in crate::actors) fn release(&self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { outcome, mut reply_sender, permit, .. } => {
                    // The permit first: whoever is answered may come back at once.
                    drop(permit);
                    reply_sender.answer(Reply::Decided(outcome));
                }
                Effect::UpdateGate { gate, seq, phase, counters } => {
                    gate.publish(seq, phase, counters);
                }
                Effect::OpenGate { gate } => {
                    self.gates.insert(gate.terms().item_id, gate);
                }
                Effect::NotifyWatchers { order } => self.watchers.tell(order),
                Effect::Call(run) => run(),
            }
        }
    }
}

/// The durable changes of one order, from the moment it was asked for.
#[derive(Debug)]
pub struct OrderChanges(broadcast::Receiver<Order>);

/// More changes than are kept came at once: some are lost, and the order itself has the last one.
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

/// Who watches which order.
#[derive(Clone, Default)]
pub(in crate::actors) struct OrderWatchers(Arc<WatchersInner>);

#[derive(Default)]
struct WatchersInner {
    count: AtomicUsize,
    orders: DashMap<OrderId, broadcast::Sender<Order>, RandomState>,
}

impl OrderWatchers {
    /// Each later durable change of the order.
    pub(in crate::actors) fn watch(&self, order_id: OrderId) -> OrderChanges {
        const CHANGES_MAX: usize = 8;
        let watched = self.0.orders.entry(order_id).or_insert_with(|| {
            self.0.count.fetch_add(1, Ordering::AcqRel);
            broadcast::channel(CHANGES_MAX).0
        });
        OrderChanges(watched.subscribe())
    }

    /// Forgets orders that nobody watches any more.
    pub(in crate::actors) fn sweep(&self) {
        if self.0.count.load(Ordering::Acquire) > 0 {
            self.0.orders.retain(|_, sender| {
                let watched = sender.receiver_count() > 0;
                self.0.count.fetch_sub(usize::from(!watched), Ordering::AcqRel);
                watched
            });
        }
    }

    fn tell(&self, order: Order) {
        if self.0.count.load(Ordering::Acquire) > 0
            && let Some(sender) = self.0.orders.get(&order.order_id)
        {
            // Without receivers there is nobody to tell.
            let _ = sender.send(order);
        }
    }
}
