//! What can be told of a sale: the types of its events, and which record is one of them. Pure.

use domain::{Event, ItemAction, OrderStatus, PaymentState, Record};

/// Declares the types with the names that they have in JSON.
macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What an event says has happened.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum EventType {
            $($(#[$doc])* $name,)*
        }

        impl EventType {
            /// All types that there are.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in an event's `type`, such as `seckill.order.paid`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("seckill.", $text),)*
                }
            }

            /// The name without the first word, such as `order.paid`: a routing key.
            pub fn routing_key(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

event_types! {
    /// An order was placed; its units are held for the buyer.
    OrderReserved = "order.reserved",
    /// An order was paid in time.
    OrderPaid = "order.paid",
    /// A buyer gave an order up.
    OrderCancelled = "order.cancelled",
    /// An order was not paid in time.
    OrderExpired = "order.expired",
    /// Money came for an order that had ended: it has to go back.
    OrderRefundDue = "order.refund_due",
    /// Such money went back.
    OrderRefunded = "order.refunded",
    /// How an order is at present: told where a replay reaches back beyond the journal.
    OrderCurrent = "order.current",
    /// Money came that its order did not need, and the order stays as it is: it has to go back.
    PaymentRefundDue = "payment.refund_due",
    /// Such money went back.
    PaymentRefunded = "payment.refunded",
    /// An item can be sold from its start on.
    ItemOpened = "item.opened",
    /// Units were added to an item.
    ItemRestocked = "item.restocked",
    /// Units were taken off an item.
    ItemReduced = "item.reduced",
    /// An item is not sold for the moment.
    ItemPaused = "item.paused",
    /// An item is sold again.
    ItemResumed = "item.resumed",
    /// An item is not sold any more.
    ItemEnded = "item.ended",
    /// An item is over, and all its orders are final and stored.
    ItemSettled = "item.settled",
}

impl EventType {
    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// What a record is to others; none if it concerns the shop alone: a payment that has begun or failed, how
    /// an item is guarded, units that went from one bucket to another.
    pub fn of(record: &Record) -> Option<Self> {
        if let Some(order) = record.event.changed_order() {
            return Some(match order.status {
                OrderStatus::Reserved => Self::OrderReserved,
                OrderStatus::Paid => Self::OrderPaid,
                OrderStatus::Cancelled => Self::OrderCancelled,
                OrderStatus::Expired => Self::OrderExpired,
                OrderStatus::RefundDue => Self::OrderRefundDue,
            });
        }
        match &record.event {
            Event::Payment(paid) => match (paid.payment.state, paid.order.status) {
                (PaymentState::RefundDue, _) => Some(Self::PaymentRefundDue),
                (PaymentState::Refunded, OrderStatus::RefundDue) => Some(Self::OrderRefunded),
                (PaymentState::Refunded, _) => Some(Self::PaymentRefunded),
                (PaymentState::Started | PaymentState::Captured | PaymentState::Failed, _) => None,
            },
            // Each bucket opens the whole item; the first one speaks for all.
            Event::ItemOpened(terms) => {
                let first = terms.buckets.shard(0);
                first.is_none_or(|first| first == record.shard).then_some(Self::ItemOpened)
            }
            Event::ItemOperated(operation) => match operation.action {
                ItemAction::Restock(_) => Some(Self::ItemRestocked),
                ItemAction::Reduce(_) => Some(Self::ItemReduced),
                ItemAction::Pause => Some(Self::ItemPaused),
                ItemAction::Resume => Some(Self::ItemResumed),
                ItemAction::End => Some(Self::ItemEnded),
                ItemAction::Admit(_) => None,
            },
            Event::ItemSettled(_) => Some(Self::ItemSettled),
            Event::Order(_)
            | Event::UnitsSent(_)
            | Event::UnitsReceived(_)
            | Event::TransferSettled(_) => None,
        }
    }
}
