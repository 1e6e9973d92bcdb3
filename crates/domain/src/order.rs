//! An order and its life: reserved, then paid, cancelled or expired, the first journalled wins.

use crate::ids::{ItemId, OrderId, RequestId, SaleId, Timestamp, UserId};
use crate::sale::Currency;

/// Where an order stands. `Reserved` and `Paid` are *live*: they hold stock and count towards the
/// buyer's limit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum OrderStatus {
    /// Bought, not paid (锁定).
    Reserved = 1,
    /// Paid for (已售).
    Paid = 2,
    /// Given up by the buyer before it was paid.
    Cancelled = 3,
    /// Not paid within the item's payment window.
    Expired = 4,
    /// Money arrived for an order that no longer held stock: it has to go back.
    RefundDue = 5,
}

impl OrderStatus {
    /// All statuses, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Reserved, Self::Paid, Self::Cancelled, Self::Expired, Self::RefundDue];

    /// The name used in JSON, SQL and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::RefundDue => "refund_due",
        }
    }

    /// The status of this number, which is how journal and order store keep it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as u8 == number)
    }

    /// The status of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether the order holds stock and counts towards its buyer's limit.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Reserved | Self::Paid)
    }

    /// Whether an order may go from `self` to `next` (I10: an order ends once).
    ///
    /// Only a reserved order can be paid, cancelled or expire. Money that arrives after the end, or
    /// after the payment window, makes it `RefundDue`, and there it stays.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Reserved => next != Self::Reserved,
            Self::Cancelled | Self::Expired => next == Self::RefundDue,
            Self::Paid | Self::RefundDue => false,
        }
    }
}

/// An order, whole: enough to answer the buyer, to fill a row and to rebuild a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// Its identity, which carries shard and time of creation.
    pub order_id: OrderId,
    /// The item that was bought.
    pub item_id: ItemId,
    /// The sale that the item belongs to.
    pub sale_id: SaleId,
    /// The buyer who placed it.
    pub user_id: UserId,
    /// By which request; repeats of the request get this order.
    pub request_id: RequestId,
    /// The how-many-eth order of this buyer for this item, from 1: with sale, item and user the
    /// order store's unique key.
    pub attempt: u16,
    /// Units bought, at least 1.
    pub quantity: u16,
    /// What it costs, in minor units of `currency`.
    pub amount: u64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// Where it stands.
    pub status: OrderStatus,
    /// Until when it can be paid.
    pub expires_at: Timestamp,
}

impl Order {
    /// When it was placed.
    pub fn created_at(&self) -> Timestamp {
        self.order_id.created_at()
    }

    /// Whether two facts about one order agree in all that never changes.
    pub fn same_purchase(&self, other: &Self) -> bool {
        *self == Self { status: self.status, ..*other }
    }
}

/// Which of a sale's orders a page holds, and in which direction it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cursor {
    /// The newest, placed before this order if given: for a screen.
    Before(Option<OrderId>),
    /// The oldest, placed after this order ([`OrderId`] 0 for all): for an export.
    After(OrderId),
}
