//! An order as buyers see it, rendered by hand into one buffer, because every purchase answers with
//! one.

use super::example;
use crate::http::request::rules::{CurrencyCode, Identity};
use crate::http::timestamp;
use domain::{Order, OrderStatus};
use serde::Serialize;
use utoipa::ToSchema;

/// A buyer's order of some units of an item.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderView {
    /// The order's identity.
    #[schema(value_type = Identity)]
    pub order_id: String,
    /// The item that was bought.
    #[schema(value_type = Identity)]
    pub item_id: String,
    /// The item's sale.
    #[schema(value_type = Identity)]
    pub sale_id: String,
    /// How many units were bought.
    #[schema(minimum = 1)]
    pub quantity: u16,
    /// What all units cost together, in minor units of `currency`.
    pub amount: u64,
    /// The currency of `amount`.
    #[schema(value_type = CurrencyCode)]
    pub currency: String,
    /// How far the order has come.
    pub status: StatusView,
    /// When the order was placed.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Until when the order can be paid.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// How far an order has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = OrderStatus)]
#[serde(rename_all = "snake_case")]
pub enum StatusView {
    /// Bought and not yet paid; the units are held for the buyer.
    Reserved,
    /// Paid before it ended.
    Paid,
    /// Cancelled by the buyer before it was paid.
    Cancelled,
    /// Not paid before `expires_at`.
    Expired,
    /// Paid after it had ended, when no units were held for it any more: the money is to be returned.
    RefundDue,
    /// Paid after it had ended, and an operator has said that the money was returned.
    Refunded,
}

impl OrderView {
    /// Returns the example's order with this status.
    pub fn example(status: OrderStatus) -> Self {
        Self {
            order_id: example::ORDER_ID.to_owned(),
            item_id: example::ITEM_ID.to_owned(),
            sale_id: example::SALE_ID.to_owned(),
            quantity: 1,
            amount: example::PRICE,
            currency: example::CURRENCY.to_owned(),
            status: status.into(),
            created_at: example::CREATED_AT.to_owned(),
            expires_at: example::EXPIRES_AT.to_owned(),
        }
    }
}

impl From<&Order> for OrderView {
    fn from(order: &Order) -> Self {
        Self {
            order_id: order.order_id.to_string(),
            item_id: order.item_id.to_string(),
            sale_id: order.sale_id.to_string(),
            quantity: order.quantity,
            amount: order.amount,
            currency: order.currency.to_string(),
            status: order.status.into(),
            created_at: timestamp::to_string(order.created_at()),
            expires_at: timestamp::to_string(order.expires_at),
        }
    }
}

impl StatusView {
    /// Returns the name that JSON has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::RefundDue => "refund_due",
            Self::Refunded => REFUNDED,
        }
    }
}

impl From<OrderStatus> for StatusView {
    fn from(status: OrderStatus) -> Self {
        match status {
            OrderStatus::Reserved => Self::Reserved,
            OrderStatus::Paid => Self::Paid,
            OrderStatus::Cancelled => Self::Cancelled,
            OrderStatus::Expired => Self::Expired,
            OrderStatus::RefundDue => Self::RefundDue,
        }
    }
}

/// What the status of an order is called whose money came too late and has gone back. The order itself stays
/// `refund_due`; its payments say this.
pub const REFUNDED: &str = "refunded";

/// Returns what an order's status is called.
pub fn status_name(order: &Order, is_refunded: bool) -> &'static str {
    let view = if is_refunded { StatusView::Refunded } else { order.status.into() };
    view.name()
}

/// The most bytes of a rendered order.
pub const LENGTH_MAX: usize = 352;

/// Appends the order as JSON: the fields of [`OrderView`].
pub fn render(order: &Order, out: &mut Vec<u8>) {
    render_as(order, order.status.name(), out);
}

/// Appends the order as JSON, with its status called as [`status_name`] has it.
pub fn render_as(order: &Order, status: &str, out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    let mut push = |bytes: &[u8]| out.extend_from_slice(bytes);
    push(b"{\"order_id\":\"");
    push(number.format(order.order_id.0).as_bytes());
    push(b"\",\"item_id\":\"");
    push(number.format(order.item_id.0).as_bytes());
    push(b"\",\"sale_id\":\"");
    push(number.format(order.sale_id.0).as_bytes());
    push(b"\",\"quantity\":");
    push(number.format(order.quantity).as_bytes());
    push(b",\"amount\":");
    push(number.format(order.amount).as_bytes());
    push(b",\"currency\":\"");
    push(order.currency.as_str().as_bytes());
    push(b"\",\"status\":\"");
    push(status.as_bytes());
    push(b"\",\"created_at\":\"");
    push(&timestamp::render(order.created_at()));
    push(b"\",\"expires_at\":\"");
    push(&timestamp::render(order.expires_at));
    push(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Currency, ItemId, OrderId, RequestId, SaleId, ShardId, Timestamp, UserId};

    #[test]
    fn a_rendered_order_has_the_documented_fields() {
        let created_at = Timestamp(1_790_000_000_123);
        let order = Order {
            order_id: OrderId::next(OrderId(0), ShardId(1023), created_at),
            item_id: ItemId(u64::MAX),
            sale_id: SaleId(u64::MAX),
            user_id: UserId(4),
            request_id: RequestId(5),
            attempt: 1,
            quantity: u16::MAX,
            amount: u64::MAX,
            currency: Currency::parse("EUR").unwrap(),
            status: OrderStatus::RefundDue,
            expires_at: Timestamp::MAX,
        };
        let mut text = Vec::new();
        render(&order, &mut text);
        assert!(text.len() <= LENGTH_MAX, "{} bytes", text.len());
        assert_eq!(
            String::from_utf8(text).unwrap(),
            serde_json::to_string(&OrderView::from(&order)).unwrap()
        );
    }

    #[test]
    fn a_status_is_called_the_same_everywhere() {
        for status in OrderStatus::ALL {
            assert_eq!(StatusView::from(status).name(), status.name());
        }
        assert_eq!(serde_json::json!(StatusView::Refunded), REFUNDED);
    }

    #[test]
    fn events_have_the_same_fields() {
        let journal = crate::actors::EventMaker::example();
        let order = Order {
            order_id: OrderId::next(OrderId(0), ShardId(1), Timestamp(1_790_000_000_123)),
            item_id: ItemId(1),
            sale_id: SaleId(2),
            user_id: UserId(4),
            request_id: RequestId(5),
            attempt: 1,
            quantity: 3,
            amount: 4,
            currency: Currency::CNY,
            status: OrderStatus::Paid,
            expires_at: Timestamp(1_790_000_600_123),
        };
        let event = domain::Event::Order(order);
        let record = domain::Record { shard: ShardId(1), seq: 1, at: Timestamp(1), event };
        let made = journal.make(&record, None).unwrap();
        let mut body: serde_json::Value = serde_json::from_slice(&made.body).unwrap();
        let buyer = body["data"].as_object_mut().unwrap().remove("buyer").unwrap();
        assert_eq!(buyer, serde_json::json!({ "user_id": "4" }));
        assert_eq!(body["data"], serde_json::json!(OrderView::from(&order)));
    }

    #[test]
    fn the_examples_order_says_when_it_was_placed() {
        let order_id: OrderId = example::ORDER_ID.parse().unwrap();
        assert_eq!(timestamp::to_string(order_id.created_at()), example::CREATED_AT);
        let window = example::PAYMENT_WINDOW_SECONDS * 1000;
        let expires_at = order_id.created_at().plus_milliseconds(window);
        assert_eq!(timestamp::to_string(expires_at), example::EXPIRES_AT);
    }
}
