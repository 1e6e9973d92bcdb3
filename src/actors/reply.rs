//! What waits for durability, and how it is let go.
//!
//! An [`Effect`] is appended to the journal together with the records it rests on and comes back
//! when they are on disk; only then is it released. This is the one door through which a decision
//! leaves the engine (rule 5, I8).

use super::claims::Claim;
use super::gate::Gate;
use super::permits::Permit;
use crate::domain::{ItemCounters, ItemId, ItemPhase, Order, OrderId, Outcome, Timestamp};
use dashmap::DashMap;
use foldhash::fast::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
pub(super) struct Asker {
    sender: Option<oneshot::Sender<Reply>>,
    /// Held until the answer has left.
    _claim: Option<Claim>,
}

impl Asker {
    pub(super) fn new(sender: oneshot::Sender<Reply>, claim: Option<Claim>) -> Self {
        Self { sender: Some(sender), _claim: claim }
    }

    /// Nobody: the engine's own work.
    pub(super) fn nobody() -> Self {
        Self { sender: None, _claim: None }
    }

    /// Answers, unless that was done; whoever has hung up does not mind.
    pub(super) fn answer(&mut self, reply: Reply) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(reply);
        }
    }
}

/// Something that must not happen before the records it rests on are durable.
pub(super) enum Effect {
    /// Answer.
    Answer { outcome: Outcome, asker: Asker, permit: Permit, admitted_at: Timestamp },
    /// Show an item's new state at its gate.
    Publish { gate: Arc<Gate>, seq: u64, phase: ItemPhase, counters: ItemCounters },
    /// Let the edge find an item.
    Open { gate: Arc<Gate> },
    /// Tell whoever watches the order.
    Changed { order: Order },
    /// Run: for what is rare.
    Run(Box<dyn FnOnce() + Send>),
}

/// All gates by item.
pub(super) type Gates = Arc<DashMap<ItemId, Arc<Gate>, RandomState>>;

/// Lets effects go.
#[derive(Clone)]
pub(super) struct Release {
    pub(super) gates: Gates,
    pub(super) watchers: Watchers,
}

impl Release {
    pub(super) fn release(&self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Answer { outcome, mut asker, permit, .. } => {
                    // The permit first: whoever is answered may come back at once.
                    drop(permit);
                    asker.answer(Reply::Decided(outcome));
                }
                Effect::Publish { gate, seq, phase, counters } => {
                    gate.publish(seq, phase, counters);
                }
                Effect::Open { gate } => {
                    self.gates.insert(gate.terms().item_id, gate);
                }
                Effect::Changed { order } => self.watchers.tell(order),
                Effect::Run(run) => run(),
            }
        }
    }
}

/// Who watches which order.
#[derive(Clone, Default)]
pub(super) struct Watchers(Arc<WatchersInner>);

#[derive(Default)]
struct WatchersInner {
    count: AtomicUsize,
    orders: DashMap<OrderId, broadcast::Sender<Order>, RandomState>,
}

impl Watchers {
    /// Each later durable change of the order.
    pub(super) fn watch(&self, order_id: OrderId) -> broadcast::Receiver<Order> {
        const CHANGES_MAX: usize = 8;
        self.0
            .orders
            .entry(order_id)
            .or_insert_with(|| {
                self.0.count.fetch_add(1, Ordering::AcqRel);
                broadcast::channel(CHANGES_MAX).0
            })
            .subscribe()
    }

    /// Forgets orders that nobody watches any more.
    pub(super) fn sweep(&self) {
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
