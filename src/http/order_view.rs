//! An order as buyers see it, rendered by hand into one buffer: it is what a purchase answers.

use super::timestamp;
use domain::Order;
use serde::Serialize;
use utoipa::ToSchema;

/// An order in the API's document; [`render`] writes the same fields.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderView {
    /// Its identity: a decimal number of 64 bits.
    #[schema(example = "388125042737152000", pattern = "^[0-9]{1,20}$")]
    pub order_id: String,
    /// What was bought.
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub item_id: String,
    /// In which sale.
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub sale_id: String,
    /// Units bought.
    #[schema(minimum = 1)]
    pub quantity: u16,
    /// What it costs, in minor units of `currency`.
    pub amount: u64,
    /// ISO 4217 code.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// Where it stands.
    pub status: StatusView,
    /// When it was placed.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Until when it can be paid.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// Where an order stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = OrderStatus)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `render` writes")]
pub enum StatusView {
    /// Bought, not paid.
    Reserved,
    /// Paid.
    Paid,
    /// Given up by the buyer.
    Cancelled,
    /// Not paid in time.
    Expired,
    /// Money came for an order that no longer held stock, and goes back.
    RefundDue,
}

/// Bytes that a rendered order stays below.
pub const LENGTH_MAX: usize = 352;

/// Appends the order as JSON.
pub fn render(order: &Order, out: &mut Vec<u8>) {
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
    push(order.status.name().as_bytes());
    push(b"\",\"created_at\":\"");
    push(&timestamp::render(order.created_at()));
    push(b"\",\"expires_at\":\"");
    push(&timestamp::render(order.expires_at));
    push(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        Currency, ItemId, OrderId, OrderStatus, RequestId, SaleId, ShardId, Timestamp, UserId,
    };

    #[test]
    fn the_rendered_order_is_the_documented_one() {
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
        let view = OrderView {
            order_id: order.order_id.to_string(),
            item_id: u64::MAX.to_string(),
            sale_id: u64::MAX.to_string(),
            quantity: u16::MAX,
            amount: u64::MAX,
            currency: "EUR".to_owned(),
            status: StatusView::RefundDue,
            created_at: timestamp::to_string(created_at),
            expires_at: timestamp::to_string(Timestamp::MAX),
        };
        assert_eq!(String::from_utf8(text).unwrap(), serde_json::to_string(&view).unwrap());
    }
}
