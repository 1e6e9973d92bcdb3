//! What a shard can be asked, and what it answers.
//!
//! Business results are values, not errors: `SoldOut` is an [`Outcome`].

use crate::buckets::{Transfer, UnitsWanted};
use crate::ids::{ItemId, OrderId, RequestId, Timestamp, UserId};
use crate::operation::Operation;
use crate::order::Order;
use crate::payment::{
    PaymentAsked, PaymentId, PaymentNotice, PaymentOutcome, PaymentReference, PaymentState,
};
use crate::sale::{ItemCounters, ItemTerms};

/// A purchase as a buyer asks for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buy {
    /// The item to buy.
    pub item_id: ItemId,
    /// The buyer, as the token says.
    pub user_id: UserId,
    /// The request's id, by which a repeat is recognised.
    pub request_id: RequestId,
    /// Units to buy, at least 1.
    pub quantity: u16,
}

/// What a shard can be asked to decide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Reserve units for a buyer.
    Buy(Buy),
    /// The order is paid, begun and captured at once, by the sandbox; one that costs nothing without any payment.
    Pay {
        /// The order's id.
        order_id: OrderId,
        /// The buyer who asks.
        user_id: UserId,
    },
    /// The buyer begins to pay.
    StartPayment(Box<PaymentAsked>),
    /// A provider told what became of a payment.
    NotePayment(Box<PaymentNotice>),
    /// An operator has given a payment's money back.
    Refund {
        /// The payment's id.
        id: PaymentId,
        /// By what the refund can be found again.
        reference: PaymentReference,
    },
    /// The buyer gives the order up.
    Cancel {
        /// The order's id.
        order_id: OrderId,
        /// The buyer who asks.
        user_id: UserId,
    },
    /// The order's payment window may be over.
    Expire {
        /// The order's id.
        order_id: OrderId,
    },
    /// Load an item: the preheat.
    Open(ItemTerms),
    /// Change an item on an operator's behalf.
    Operate(Operation),
    /// Give units to another bucket of the item.
    SendUnits(UnitsWanted),
    /// Take in what another bucket of the item has sent.
    ReceiveUnits(Transfer),
    /// The units that were sent have arrived.
    SettleTransfer(Transfer),
    /// Release the orders of an ended item, all of which are closed and in the order store up to
    /// `stored_seq`.
    Settle {
        /// The item's id.
        item_id: ItemId,
        /// The shard's records up to here are in the order store and in a checkpoint.
        stored_seq: u64,
    },
}

/// Why a command was refused. Each is final for this request and none is a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The shard does not know the item.
    ItemNotFound,
    /// The shard does not know the order, or it is another buyer's.
    OrderNotFound,
    /// The window has not opened.
    SaleNotStarted {
        /// When it opens.
        starts_at: Timestamp,
    },
    /// The window is over, or an operator ended the item.
    SaleEnded,
    /// An operator paused the item.
    SalePaused,
    /// Fewer units are available than were asked for.
    SoldOut,
    /// The buyer would hold more live units of the item than allowed.
    LimitReached,
    /// The buyer has placed and given up as many orders of the item as one buyer may.
    AttemptsExhausted,
    /// The request id was used for another purchase.
    IdempotencyKeyReused,
    /// The order has ended, and this cannot be done to it any more.
    OrderClosed(Order),
    /// The shard does not know the payment, or it is another provider's.
    PaymentNotFound,
    /// The payment stands where this cannot be done to it.
    PaymentClosed(PaymentState),
    /// As many payments of the order were started as may be.
    TooManyPayments,
    /// The operation does not fit the item's phase.
    PhaseConflict,
    /// Fewer units are available than were to be taken off the allotment.
    FewerAvailable {
        /// Units that are available.
        available: u32,
    },
    /// A counter would pass its bound.
    OutOfRange,
}

/// What a shard answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A new order.
    Placed(Order),
    /// The order that this request got before.
    Replayed(Order),
    /// The order after a change, or as it was where the change had been made before.
    Order(Order),
    /// The payment and its order after a change, or as they were where the change had been made before.
    Payment(PaymentOutcome),
    /// The item after an operation, or as it was where there was nothing to do.
    Item(ItemCounters),
    /// The item as it is now: this request's operation was done before.
    ItemReplayed(ItemCounters),
    /// The transfer as the bucket has it: begun, received or settled, now or before.
    Transferred(Transfer),
    /// The command was refused; nothing changed.
    Refused(Refusal),
}

impl Outcome {
    /// The outcome as it was when the command was decided first: for a caller who sent it twice himself.
    pub fn at_first(self) -> Self {
        match self {
            Self::Replayed(order) => Self::Placed(order),
            Self::ItemReplayed(counters) => Self::Item(counters),
            Self::Payment(paid) => Self::Payment(PaymentOutcome { is_repeat: false, ..paid }),
            outcome => outcome,
        }
    }
}
