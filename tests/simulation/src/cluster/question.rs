//! What clients ask of nodes, and what they hear.

use domain::{Buy, Order, OrderId, Outcome, ShardId, UserId};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Buy(Buy),
    Cancel {
        order_id: OrderId,
        user_id: UserId,
    },
    Read {
        order_id: OrderId,
    },
    /// A provider's: an order's price has come, under the name of this number.
    Note {
        order: Order,
        named: u64,
    },
}

/// A client's request on its way.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Which client asks, and the how-many-eth question of it.
    pub client: usize,
    pub number: u64,
    pub asked_at: u64,
    pub shard: ShardId,
    pub kind: Kind,
}

/// What it hears.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    Decided(Outcome),
    Read(Option<Order>),
    /// It was not decided.
    NotDelivered,
    /// It was decided, and nothing of it is on record: as good as not.
    HeldBack,
    /// It may or may not have been decided.
    Unknown,
}

/// An answer that has left a node.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    pub question: Question,
    pub reply: Reply,
    pub shard: ShardId,
    /// The owner that answers, by number; 0 if none is.
    pub epoch: u64,
}
