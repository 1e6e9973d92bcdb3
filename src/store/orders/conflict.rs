//! Records that contradict what is stored.

use domain::{Order, OrderId, OrderStatus, Record};

/// A record that contradicts what is stored, and so was not applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The record that was not applied.
    pub record: Record,
    /// What it contradicts.
    pub reason: ConflictReason,
}

/// What happens to a batch's conflicts. They are returned in either case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conflicts {
    /// They are only returned: the caller has a durable place for them, such as a broker's queue.
    HandedBack,
    /// They are also kept in the table of dead letters, in the transaction of their batch, until a
    /// replay applies them.
    Kept,
}

/// A dead letter in the order store: a record that was set aside, as [`Conflicts::Kept`] says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetAside {
    /// The record that was set aside.
    pub record: Record,
    /// What it contradicted when it was last tried, in words.
    pub reason: String,
}

/// What a record contradicts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConflictReason {
    /// The order is stored with another item, buyer, quantity or price.
    #[error("order {} is stored with other content", .stored.order_id)]
    OtherPurchase {
        /// The stored order.
        stored: Order,
    },
    /// The same version of the order is stored with another status.
    #[error("this version of the order is stored as {}", .stored.name())]
    OtherStatus {
        /// The stored status.
        stored: OrderStatus,
    },
    /// The buyer's attempt for this item is stored as another order.
    #[error("the buyer's attempt for this item is order {holder}")]
    AttemptTaken {
        /// The stored order.
        holder: OrderId,
    },
    /// The shard's record of this number is stored with another content.
    #[error("the shard's record of this number is stored with other content")]
    OtherItemEvent,
    /// The payment is stored with another provider, request or buyer, with other money, or otherwise as of the same
    /// record.
    #[error("the payment is stored with other content")]
    OtherPayment,
    /// The order's identity names another shard than the record, or is out of range.
    #[error("the order's identity does not belong to the record's shard")]
    Misplaced,
}
