//! Clients: each wants one thing at a time, and asks one node after the other until it is decided.

use super::question::{Answered, Kind, Question, Reply};
use super::shop::{CLIENTS, HOT, USERS, shard_of};
use domain::{Buy, ItemId, Order, OrderId, Outcome, Refusal, RequestId, ShardId, UserId};
use harness::Random;
use std::collections::BTreeMap;

/// How long a client waits for a node.
const PATIENCE_MIN: u64 = 300;
const PATIENCE_SPREAD: u64 = 1_500;

pub struct Client {
    pub user_id: UserId,
    wish: Option<Wish>,
    /// Orders that it knows of.
    known: BTreeMap<OrderId, Order>,
    asked: u64,
    turn: u64,
}

struct Wish {
    kind: Kind,
    /// The question that is on its way.
    number: u64,
    patience: u64,
}

impl Client {
    pub fn all() -> Vec<Self> {
        let client = |index: usize| Self {
            user_id: UserId(1 + index as u64 % USERS),
            wish: None,
            known: BTreeMap::new(),
            asked: 0,
            turn: 0,
        };
        (0..CLIENTS).map(client).collect()
    }

    /// Whether it wants something that is not decided yet.
    pub fn wants(&self) -> bool {
        self.wish.is_some()
    }

    /// The question that it asks now, if it is time for one: `begins` says whether it may want something
    /// new.
    pub fn ask(
        &mut self,
        (client, now): (usize, u64),
        begins: bool,
        random: &mut Random,
    ) -> Option<Question> {
        if let Some(wish) = &self.wish {
            if now < wish.patience {
                return None;
            }
        } else if begins {
            let kind = self.want(random);
            self.wish = Some(Wish { kind, number: 0, patience: 0 });
        }
        let wish = self.wish.as_mut()?;
        self.asked += 1;
        wish.number = self.asked;
        wish.patience = now + PATIENCE_MIN + random.below(PATIENCE_SPREAD);
        let shard = shard_of_kind(&wish.kind);
        Some(Question { client, number: self.asked, asked_at: now, shard, kind: wish.kind })
    }

    /// Gives it its next turn, and returns the number of that.
    pub fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    /// Whether a turn is its newest one.
    pub fn has_turn(&self, turn: u64) -> bool {
        self.turn == turn
    }

    /// When it asks again if it hears nothing.
    pub fn patience(&self) -> u64 {
        self.wish.as_ref().map_or(0, |wish| wish.patience)
    }

    fn want(&self, random: &mut Random) -> Kind {
        let known: Vec<&Order> = self.known.values().collect();
        if let Some(order) = random.pick(&known)
            && random.once_in(2)
        {
            let (order_id, user_id) = (order.order_id, order.user_id);
            return match random.below(5) {
                0 | 1 => Kind::Read { order_id },
                2 | 3 => Kind::Cancel { order_id, user_id },
                // Few names, so that some money was told of before.
                _ => Kind::Note { order: **order, named: random.below(2) },
            };
        }
        // One of four wants the item that is in every shard.
        let item_id = ItemId((1 + random.below(HOT.0 + 1)).min(HOT.0));
        // Few keys for an item, so that some purchases are repeats.
        let request_id = RequestId(item_id.0 * 100 + random.below(12));
        Kind::Buy(Buy { item_id, user_id: self.user_id, request_id, quantity: 1 })
    }

    /// Hears an answer. Returns whether its wish is decided; none if the answer is not the one that it
    /// waits for.
    pub fn hear(&mut self, answered: &Answered) -> Option<bool> {
        if let Reply::Decided(Outcome::Placed(order) | Outcome::Replayed(order)) = &answered.reply {
            self.known.insert(order.order_id, *order);
        }
        let wish = self.wish.as_mut().filter(|wish| wish.number == answered.question.number)?;
        let is_decided = match answered.reply {
            // The shard may be so new that its items are not open.
            Reply::Decided(Outcome::Refused(Refusal::ItemNotFound)) => false,
            Reply::Decided(_) | Reply::Read(_) => true,
            Reply::NotDelivered | Reply::HeldBack | Reply::Unknown => false,
        };
        if is_decided {
            self.wish = None;
        } else {
            wish.patience = 0;
        }
        Some(is_decided)
    }
}

fn shard_of_kind(kind: &Kind) -> ShardId {
    match kind {
        Kind::Buy(buy) => shard_of(buy),
        Kind::Cancel { order_id, .. } | Kind::Read { order_id } => order_id.shard(),
        Kind::Note { order, .. } => order.order_id.shard(),
    }
}
