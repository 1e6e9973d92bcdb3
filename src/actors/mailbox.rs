//! A shard's mailbox: a FIFO in front of its actor.
//!
//! An actor library's own mailbox is unbounded, is lost when its actor dies and hands out one message
//! at a time. This one holds what was admitted (the permits bound it), survives the actor, and is
//! emptied in batches; the actor's own mailbox carries nothing but the doorbell that says "look".

use super::permits::Permit;
use super::reply::Asker;
use crate::domain::stock::{Changes, Snapshot};
use crate::domain::{Command, ItemId, Order, OrderId, RequestId, Timestamp, UserId};
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// What a shard can be sent.
pub(super) enum Letter {
    /// Decide.
    Decide(Decide),
    /// Look an order up.
    ReadOrder { order_id: OrderId, answer: oneshot::Sender<Option<Order>> },
    /// Look a buyer's orders up, newest first.
    ReadOrdersOf {
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
        answer: oneshot::Sender<Vec<Order>>,
    },
    /// Look for the order that a buyer got for a request, on any item.
    FindRequest { user_id: UserId, request_id: RequestId, answer: oneshot::Sender<Option<Order>> },
    /// Hand out what changed since the last checkpoint.
    TakeChanges { answer: oneshot::Sender<Changes> },
    /// These changes were not kept.
    PutBack { changes: Box<Changes> },
    /// Copy everything: for comparisons.
    ReadAll { answer: oneshot::Sender<Snapshot> },
}

/// A command, and who waits for the answer.
pub(super) struct Decide {
    pub(super) command: Command,
    pub(super) asker: Asker,
    pub(super) permit: Permit,
    /// When it was admitted, for its deadline.
    pub(super) admitted_at: Timestamp,
    /// Whether the request id is the client's and may come again on another item.
    pub(super) keyed: bool,
    /// How often deciding it has panicked.
    pub(super) panics: u8,
}

impl Decide {
    /// The item that the command names, if it names one rather than an order.
    pub(super) fn item_id(&self) -> Option<ItemId> {
        match &self.command {
            Command::Buy(buy) => Some(buy.item_id),
            Command::Open(terms) => Some(terms.item_id),
            Command::Restock { item_id, .. }
            | Command::Pause(item_id)
            | Command::Resume(item_id)
            | Command::End(item_id)
            | Command::Settle { item_id, .. } => Some(*item_id),
            Command::Pay { .. } | Command::Cancel { .. } | Command::Expire { .. } => None,
        }
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Mailbox {
    waiting: Mutex<Waiting>,
    in_hand: Mutex<VecDeque<Letter>>,
}

#[derive(Default)]
struct Waiting {
    letters: VecDeque<Letter>,
    /// Whether the doorbell has rung and the actor has not looked yet.
    rung: bool,
}

impl Mailbox {
    /// Puts a letter in; true if the doorbell has to be rung.
    #[must_use]
    pub(super) fn push(&self, letter: Letter) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.letters.push_back(letter);
        !std::mem::replace(&mut waiting.rung, true)
    }

    /// Gives `work` the letters in hand: what an actor that died had not looked at, or else up to
    /// `limit` of those that wait, oldest first. True if some are left.
    ///
    /// The letters stay here while they are worked on, so that the death of the actor costs one.
    pub(super) fn work<T>(
        &self,
        limit: usize,
        work: impl FnOnce(&mut VecDeque<Letter>) -> T,
    ) -> (T, bool) {
        let mut in_hand = self.in_hand.lock();
        let mut waiting = self.waiting.lock();
        waiting.rung = false;
        if in_hand.is_empty() {
            if waiting.letters.len() <= limit {
                std::mem::swap(&mut waiting.letters, &mut *in_hand);
            } else {
                in_hand.extend(waiting.letters.drain(..limit));
            }
        }
        let more = !waiting.letters.is_empty();
        drop(waiting);
        (work(&mut in_hand), more)
    }

    /// Takes out the letters at the front that were admitted before `deadline`. They were not
    /// delivered, so they may be repeated.
    pub(super) fn take_overdue(&self, deadline: Timestamp) -> Vec<Decide> {
        let mut overdue = Vec::new();
        // An actor that is at work on what is in hand is not stuck.
        if let Some(mut in_hand) = self.in_hand.try_lock() {
            take_overdue(&mut in_hand, deadline, &mut overdue);
        }
        take_overdue(&mut self.waiting.lock().letters, deadline, &mut overdue);
        overdue
    }

    /// Letters that wait.
    pub(super) fn depth(&self) -> usize {
        self.waiting.lock().letters.len()
    }
}

fn take_overdue(letters: &mut VecDeque<Letter>, deadline: Timestamp, overdue: &mut Vec<Decide>) {
    while let Some(Letter::Decide(decide)) = letters.front() {
        if decide.admitted_at >= deadline {
            break;
        }
        if let Some(Letter::Decide(decide)) = letters.pop_front() {
            overdue.push(decide);
        }
    }
}
