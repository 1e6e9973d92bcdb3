//! A shard's mailbox: a FIFO in front of its actor.
//!
//! An actor library's own mailbox is unbounded, is lost when its actor dies and hands out one message
//! at a time. This one holds what was admitted (the permits bound it), survives the actor, and is
//! emptied in batches; the actor's own mailbox carries nothing but the doorbell that says "look".

use super::effects::ReplySender;
use super::permits::Permit;
use domain::stock::{Changes, Snapshot};
use domain::{Command, ItemId, Operation, Order, OrderId, RequestId, Timestamp, UserId};
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// What a shard's actor is told through its own mailbox.
pub(in crate::actors) enum ShardMessage {
    /// There are envelopes in the [`Mailbox`].
    Doorbell,
    /// Time has passed: orders may be due, and quarantines over.
    Tick,
}

/// What a shard can be sent, with where the answer goes.
pub(in crate::actors) enum Envelope {
    /// Decides a command.
    Command(PendingCommand),
    /// Reads an order.
    ReadOrder { order_id: OrderId, answer: oneshot::Sender<Option<Order>> },
    /// Reads a buyer's orders, newest first.
    ReadOrdersOf {
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
        answer: oneshot::Sender<Vec<Order>>,
    },
    /// Reads the order that a buyer got for a request, on any item of the shard.
    FindRequest { user_id: UserId, request_id: RequestId, answer: oneshot::Sender<Option<Order>> },
    /// Takes out what changed since the last checkpoint.
    TakeChanges { answer: oneshot::Sender<Changes> },
    /// Puts changes back that no checkpoint holds, so that the next one has them.
    RestoreChanges { changes: Box<Changes> },
    /// Copies the whole state, for a checkpoint that builds on none.
    ReadSnapshot { answer: oneshot::Sender<Snapshot> },
}

/// A command that was admitted and is not decided yet.
pub(in crate::actors) struct PendingCommand {
    pub(in crate::actors) command: Command,
    pub(in crate::actors) reply_sender: ReplySender,
    pub(in crate::actors) permit: Permit,
    /// The time at which it was admitted, for its deadline.
    pub(in crate::actors) admitted_at: Timestamp,
    /// Whether the request id is the client's and may come again on another item.
    pub(in crate::actors) keyed: bool,
    /// How often deciding it has panicked.
    pub(in crate::actors) panics: u8,
}

impl PendingCommand {
    /// The item that the command names, if it names one rather than an order.
    pub(in crate::actors) fn item_id(&self) -> Option<ItemId> {
        match &self.command {
            Command::Buy(buy) => Some(buy.item_id),
            Command::Open(terms) => Some(terms.item_id),
            Command::Operate(Operation { item_id, .. }) | Command::Settle { item_id, .. } => {
                Some(*item_id)
            }
            Command::Pay { .. } | Command::Cancel { .. } | Command::Expire { .. } => None,
        }
    }
}

/// The envelopes of one shard, first in, first out.
#[derive(Default)]
pub(in crate::actors) struct Mailbox {
    waiting: Mutex<Waiting>,
    /// The batch that is worked on. Locked for as long as that takes.
    in_hand: Mutex<VecDeque<Envelope>>,
}

#[derive(Default)]
struct Waiting {
    envelopes: VecDeque<Envelope>,
    /// Whether the doorbell has rung and the actor has not looked yet.
    rung: bool,
}

impl Mailbox {
    /// Puts an envelope in; true if the doorbell has to be rung.
    #[must_use]
    pub(in crate::actors) fn push(&self, envelope: Envelope) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.envelopes.push_back(envelope);
        !std::mem::replace(&mut waiting.rung, true)
    }

    /// Gives `work` the envelopes in hand: what an actor that died had not looked at, or else up to
    /// `limit` of those that wait, oldest first. True if some are left.
    ///
    /// The envelopes stay here while they are worked on, so that the death of the actor costs one.
    pub(in crate::actors) fn work<T>(
        &self,
        limit: usize,
        work: impl FnOnce(&mut VecDeque<Envelope>) -> T,
    ) -> (T, bool) {
        let mut in_hand = self.in_hand.lock();
        let mut waiting = self.waiting.lock();
        waiting.rung = false;
        if in_hand.is_empty() {
            if waiting.envelopes.len() <= limit {
                std::mem::swap(&mut waiting.envelopes, &mut *in_hand);
            } else {
                in_hand.extend(waiting.envelopes.drain(..limit));
            }
        }
        let more = !waiting.envelopes.is_empty();
        drop(waiting);
        (work(&mut in_hand), more)
    }

    /// Takes out the envelopes at the front that were admitted before `deadline`. They were not
    /// delivered, so they may be repeated.
    pub(in crate::actors) fn take_overdue(&self, deadline: Timestamp) -> Vec<PendingCommand> {
        let mut overdue = Vec::new();
        // An actor that is at work on what is in hand is not stuck.
        if let Some(mut in_hand) = self.in_hand.try_lock() {
            take_overdue(&mut in_hand, deadline, &mut overdue);
        }
        take_overdue(&mut self.waiting.lock().envelopes, deadline, &mut overdue);
        overdue
    }

    /// Number of envelopes that wait.
    pub(in crate::actors) fn depth(&self) -> usize {
        self.waiting.lock().envelopes.len()
    }
}

fn take_overdue(
    envelopes: &mut VecDeque<Envelope>,
    deadline: Timestamp,
    overdue: &mut Vec<PendingCommand>,
) {
    while let Some(Envelope::Command(command)) = envelopes.front() {
        if command.admitted_at >= deadline {
            break;
        }
        if let Some(Envelope::Command(command)) = envelopes.pop_front() {
            overdue.push(command);
        }
    }
}
