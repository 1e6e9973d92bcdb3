//! A shard's mailbox: a FIFO in front of its actor.
//!
//! An actor library's own mailbox is unbounded, is lost when its actor dies and hands out one message
//! at a time. This one holds what was admitted (the permits bound it), survives the actor, and is
//! emptied in batches; the actor's own mailbox carries nothing but the doorbell that says "look". What it
//! takes in depends on whether its shard is served here.

use super::effects::ReplySender;
use super::permits::Permit;
use domain::stock::{Changes, Snapshot};
use domain::{Command, ItemId, Operation, Order, OrderId, RequestId, Timestamp, UserId};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::Duration;
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
    /// Reads who placed the orders that are younger than one, and by which requests: oldest first, at most `limit`.
    ReadRequests {
        after: OrderId,
        limit: usize,
        answer: oneshot::Sender<Vec<(OrderId, UserId, RequestId)>>,
    },
    /// Takes out what changed since the last checkpoint.
    TakeChanges { answer: oneshot::Sender<Changes> },
    /// Puts changes back that no checkpoint holds, so that the next one has them: if the shard's owner is
    /// still the one that they were taken from.
    RestoreChanges { changes: Box<Changes>, owner: Option<u64> },
    /// Copies the whole state, for a checkpoint that builds on none.
    ReadSnapshot { answer: oneshot::Sender<Snapshot> },
    /// Looks again at what waits for units of an item: the item's other buckets were asked, or some could not be,
    /// because their nodes are away.
    LookAgain { item_id: ItemId, are_away: bool },
    /// Nothing: answered once everything before it is durable.
    Flush { answer: oneshot::Sender<()> },
}

impl Envelope {
    /// Whether the shard is asked for its own sake, by what keeps it.
    fn is_upkeep(&self) -> bool {
        matches!(
            self,
            Self::TakeChanges { .. }
                | Self::RestoreChanges { .. }
                | Self::ReadSnapshot { .. }
                | Self::Flush { .. }
        )
    }
}

/// What a mailbox takes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::actors) enum Intake {
    /// Nothing: the shard is not served here.
    #[default]
    Shut,
    /// Upkeep alone: the shard is about to go.
    Upkeep,
    /// Everything that it is sent.
    Open,
}

/// A command that was admitted and is not decided yet.
pub(in crate::actors) struct PendingCommand {
    pub(in crate::actors) command: Command,
    pub(in crate::actors) reply_sender: ReplySender,
    pub(in crate::actors) permit: Permit,
    /// The time at which it was admitted, for its deadline.
    pub(in crate::actors) admitted_at: Timestamp,
    /// The same time since the clock's start, for measuring.
    pub(in crate::actors) admitted_after: Duration,
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
            Command::SendUnits(wanted) => Some(wanted.item_id),
            Command::ReceiveUnits(transfer) | Command::SettleTransfer(transfer) => {
                Some(transfer.item_id)
            }
            Command::Pay { .. }
            | Command::StartPayment(_)
            | Command::NotePayment(_)
            | Command::Refund { .. }
            | Command::Cancel { .. }
            | Command::Expire { .. } => None,
        }
    }

    /// The order that the command names, if it names one rather than an item.
    pub(in crate::actors) fn order_id(&self) -> Option<OrderId> {
        match &self.command {
            Command::Pay { order_id, .. }
            | Command::Cancel { order_id, .. }
            | Command::Expire { order_id } => Some(*order_id),
            Command::StartPayment(asked) => Some(asked.order_id),
            Command::NotePayment(notice) => Some(notice.id.order_id),
            Command::Refund { id, .. } => Some(id.order_id),
            _ => None,
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
    intake: Intake,
    /// Whether the doorbell has rung and the actor has not looked yet.
    rung: bool,
}

impl Mailbox {
    /// Puts an envelope in; true if the doorbell has to be rung.
    ///
    /// # Errors
    /// Returns the envelope if the mailbox does not take it in.
    pub(in crate::actors) fn push(&self, envelope: Envelope) -> Result<bool, Box<Envelope>> {
        let mut waiting = self.waiting.lock();
        let is_taken = match waiting.intake {
            Intake::Open => true,
            Intake::Upkeep => envelope.is_upkeep(),
            Intake::Shut => false,
        };
        if !is_taken {
            return Err(Box::new(envelope));
        }
        waiting.envelopes.push_back(envelope);
        Ok(!std::mem::replace(&mut waiting.rung, true))
    }

    /// What the mailbox takes in.
    pub(in crate::actors) fn intake(&self) -> Intake {
        self.waiting.lock().intake
    }

    /// Sets what the mailbox takes in from now on.
    pub(in crate::actors) fn set_intake(&self, intake: Intake) {
        self.waiting.lock().intake = intake;
    }

    /// Takes nothing in any more, and returns what nobody has looked at.
    pub(in crate::actors) fn shut(&self) -> Vec<Envelope> {
        let mut left: Vec<Envelope> = self.in_hand.lock().drain(..).collect();
        let mut waiting = self.waiting.lock();
        waiting.intake = Intake::Shut;
        waiting.rung = false;
        left.extend(waiting.envelopes.drain(..));
        left
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
