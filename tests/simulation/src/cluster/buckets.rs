//! The item that has a bucket in every shard: how its units go from one node to another, by messages that are lost,
//! late and doubled, and what its dry buckets wait for.
//!
//! What is known of the buckets, and what each has exchanged, are the product's own. Messages are answered as
//! `src/actors/transfers.rs` and `src/actors/bucket_looks.rs` ask and answer, each step on record before the next.

use super::message::{Message, part_of};
use super::node::Node;
use super::plant::Plant;
use super::question::{Kind, Question, Reply};
use super::serving::{Decided, Effect, Served};
use super::shop::{HOT, bucket_shard};
use domain::{Command, Outcome, Part, Parts, Refusal, Timestamp, UnitsWanted};

/// The time between two rounds of asking for units, in milliseconds.
const ASK_AGAIN: u64 = 25;
/// How long a purchase waits at a dry bucket.
const WAIT_MAX: u64 = 1_200;

impl Node {
    /// A message arrives from another node.
    pub fn read_message(&mut self, now: u64, from: usize, message: Message) {
        let is_live = self.is_live(now);
        let served = message.shard().and_then(|shard| self.shards.get_mut(&shard));
        let served = served.filter(|served| served.is_open);
        match (message, served) {
            (Message::Seen(part), _) => self.hot.update(*part),
            // What another node may have by now is not told of.
            (Message::Look { asked_at, .. }, Some(served)) if is_live => {
                if let Some(part) = &served.part {
                    let part = Part { seen_at: Some(Timestamp(asked_at)), ..part.clone() };
                    self.messages.push((Some(from), Message::Seen(Box::new(part))));
                }
            }
            (Message::Look { .. }, _) | (_, None) => {}
            (message, Some(served)) => served.inbox.push_back(message),
        }
    }

    /// What is durable of the buckets that are served here is known here.
    pub fn show_buckets(&mut self) {
        for served in self.shards.values().filter(|served| served.is_open) {
            if let Some(part) = &served.part {
                self.hot.update(part.clone());
            }
        }
    }

    /// Takes out the messages that may leave, and asks for what dry buckets want.
    pub fn write_messages(&mut self, now: u64) {
        for served in self.shards.values_mut() {
            let messages = std::mem::take(&mut served.outbox);
            self.messages.extend(messages.into_iter().map(|message| (None, message)));
            let Some(own) = served.part.as_ref().map(|part| part.exchange.bucket) else { continue };
            if served.parked.is_empty() || !served.is_open || now < served.next_ask {
                continue;
            }
            served.next_ask = now + ASK_AGAIN;
            let others = (0..self.hot_buckets).filter(|bucket| *bucket != own);
            let looks =
                others.map(|other| Message::Look { of: bucket_shard(other), asked_at: now });
            self.messages.extend(looks.map(|message| (None, message)));
            let units = u32::try_from(served.parked.len()).unwrap_or(u32::MAX);
            let wanted = UnitsWanted { item_id: HOT, to: own, units, buyers_wait: false };
            if let Some(donor) = self.hot.donors(own).first() {
                self.messages.push((None, Message::Send { of: bucket_shard(*donor), wanted }));
            }
        }
    }

    /// Leads on the transfers that are on record as sent and not as settled.
    pub fn lead_on(&mut self) {
        for served in self.shards.values().filter(|served| served.is_open) {
            let open = served.part.iter().flat_map(|part| part.exchange.open(HOT));
            let open = open.filter(|transfer| !served.forgotten.contains(transfer));
            self.messages.extend(open.map(|transfer| (None, Message::Receive(transfer))));
        }
    }
}

impl Served {
    /// Whether a purchase that finds its bucket dry waits for units of the others.
    pub fn waits(&self, now: u64, question: &Question, outcome: &Outcome, known: &Parts) -> bool {
        let Kind::Buy(buy) = question.kind else { return false };
        if buy.item_id != HOT || *outcome != Outcome::Refused(Refusal::SoldOut) {
            return false;
        }
        let Some(item) = self.stock.item(HOT) else { return false };
        let own = item.exchange.as_ref();
        let elsewhere = own.and_then(|own| known.elsewhere(own, Timestamp(now)));
        elsewhere.is_none_or(|units| {
            u32::from(buy.quantity) <= units.saturating_add(item.counters.available)
        })
    }

    /// Puts what waits in front of what came, and answers what has waited too long.
    pub fn wake_parked(&mut self, now: u64, decided: &mut Decided) {
        for question in std::mem::take(&mut self.parked).into_iter().rev() {
            if now < question.asked_at + WAIT_MAX {
                self.mailbox.push_front(question);
            } else {
                let (reply, is_on_record) = (Reply::NotDelivered, false);
                decided.effects.push(Effect::Reply { question, reply, is_on_record });
            }
        }
    }

    /// Decides what the other buckets have written.
    pub fn exchange(&mut self, now: u64, is_live: bool, decided: &mut Decided) {
        while let Some(message) = self.inbox.pop_front() {
            let before = decided.records;
            let answer = match message {
                Message::Send { mut wanted, .. } => {
                    wanted.buyers_wait = !self.parked.is_empty();
                    let send = Command::SendUnits(wanted);
                    if self.plant() == Some(Plant::GivesWithoutLease) && !is_live {
                        self.give_on_its_word(now, &send);
                        continue;
                    }
                    match self.command(now, &send, decided) {
                        Outcome::Transferred(transfer) => Message::Receive(transfer),
                        _ => continue,
                    }
                }
                Message::Receive(mut transfer) => {
                    if self.plant() == Some(Plant::ReceivedTwice)
                        && let Some(part) = part_of(&self.stock)
                    {
                        let received = part.exchange.peer(transfer.from).received;
                        transfer.number = transfer.number.max(received + 1);
                    }
                    match self.command(now, &Command::ReceiveUnits(transfer), decided) {
                        Outcome::Transferred(transfer) => Message::Settle(transfer),
                        _ => continue,
                    }
                }
                Message::Settle(transfer) => {
                    self.command(now, &Command::SettleTransfer(transfer), decided);
                    continue;
                }
                Message::Look { .. } | Message::Seen(_) => continue,
            };
            let is_on_record = decided.records > before;
            decided.effects.push(Effect::Message { message: answer, is_on_record });
        }
    }

    /// Sends units that are not on record as sent.
    fn give_on_its_word(&mut self, now: u64, send: &Command) {
        let decision = self.stock.decide(Timestamp(now), send);
        if let Outcome::Transferred(transfer) = decision.outcome {
            self.outbox.push(Message::Receive(transfer));
        }
    }
}
