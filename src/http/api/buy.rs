//! `POST /api/v1/items/{item}/buy`: the request that all buyers send at once.
//!
//! It does not go through the router. The caller is authenticated first, then the item is looked up,
//! then the body is read; the item's gate refuses what needs no decision, and its shard decides the
//! rest. The token is verified once, the body is parsed without copying it, and the answer is rendered
//! into one buffer.

use super::order_view::{self, OrderView};
use crate::actors::{Gate, KeyOrigin, Reply};
use crate::http::auth::bearer;
use crate::http::edge::connection::Connection;
use crate::http::problem::{Code, Problem};
use crate::http::request::fields::{self, Body as _};
use crate::http::request::idempotency_key::{self, IdempotencyKey};
use crate::http::request::path::Id;
use crate::http::request::rules::Integer;
use crate::http::request::{body, json, query};
use crate::http::state::Edge;
use bytes::Bytes;
use domain::sale::LIMIT_PER_USER_MAX;
use domain::{Buy, ItemId, Order, OrderStatus, Outcome, Refusal};
use hyper::body::Body;
use hyper::{Method, Request, Version};
use serde::Deserialize;

const PREFIX: &str = "/api/v1/items/";
const SUFFIX: &str = "/buy";
const ORDERS: &[u8] = b"/api/v1/orders/";

/// Units of one purchase.
type Quantity = Integer<u16, 1, { LIMIT_PER_USER_MAX as u64 }>;

const QUANTITY_DEFAULT: u16 = 1;

fields::body! {
    /// What to buy. Without it a purchase is of one unit.
    pub struct BuyRequest {
        /// Units to buy.
        Optional quantity: Quantity = QUANTITY_DEFAULT,
    }
}

/// The usual form of a [`BuyRequest`], which is parsed without an allocation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainBuyRequest {
    #[serde(default = "quantity_default")]
    quantity: u16,
}

fn quantity_default() -> u16 {
    QUANTITY_DEFAULT
}

/// A purchase that ended in an order.
#[derive(Clone, Copy, Debug)]
pub struct Bought {
    /// The order that the purchase got.
    pub order: Order,
    /// Whether the same request got this order before.
    pub replayed: bool,
}

/// Returns whether the request is a purchase, and the item if its path names one at all.
#[expect(
    clippy::option_option,
    reason = "a purchase of an item that no path can name is still one"
)]
pub fn item_of<B>(request: &Request<B>) -> Option<Option<ItemId>> {
    if request.method() != Method::POST {
        return None;
    }
    let item = request.uri().path().strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    (!item.contains('/')).then(|| item.parse().ok())
}

/// Decides a purchase.
///
/// # Errors
/// Returns a problem if the purchase is refused, was not delivered, or has an unknown outcome.
pub async fn buy<B>(
    edge: &Edge,
    connection: &Connection,
    unique: u64,
    item_id: Option<ItemId>,
    request: Request<B>,
) -> Result<Bought, Problem>
where
    B: Body<Data = Bytes>,
{
    let (parts, body) = request.into_parts();
    query::check(&parts.uri, &[])?;
    let user_id = bearer::authenticate_buyer(edge, &parts.headers)?;
    let gate = item_id
        .and_then(|item_id| edge.engine.gate(item_id))
        .ok_or_else(Problem::item_not_found)?;
    let bytes_max = edge.options.buy_body_bytes_max;
    let body = if parts.version == Version::HTTP_2 {
        body::read(body, bytes_max, edge.options.body_timeout).await?
    } else {
        body::read_swept(body, bytes_max, connection).await?
    };
    let quantity = if body.is_empty() {
        QUANTITY_DEFAULT
    } else {
        json::require_json(&parts.headers)?;
        quantity(&body)?
    };
    let (request_id, origin) = idempotency_key::idempotency_key(&parts.headers, user_id, unique)?;
    let buy = Buy { item_id: gate.terms().item_id, user_id, request_id, quantity };
    let reply = match gate.refusal(edge.engine.now(), user_id) {
        Some(refusal) => Reply::Decided(Outcome::Refused(refusal)),
        None => edge.engine.buy(&gate, buy, origin).await,
    };
    match reply {
        Reply::Decided(Outcome::Refused(Refusal::SaleEnded))
            if origin == KeyOrigin::Client && gate.is_settled() =>
        {
            replay_settled(edge, &gate, &buy).await
        }
        Reply::Decided(Outcome::Placed(order)) => Ok(Bought { order, replayed: false }),
        Reply::Decided(Outcome::Replayed(order)) => Ok(Bought { order, replayed: true }),
        Reply::Decided(Outcome::Refused(refusal)) => Err(refused(refusal, &gate, quantity)),
        Reply::NotDelivered(reason) => Err(reason.into()),
        // No other outcome belongs to a purchase.
        Reply::Decided(Outcome::Order(_) | Outcome::Item(_) | Outcome::ItemReplayed(_))
        | Reply::Unknown => Err(Problem::outcome_unknown()),
    }
}

/// Answers a purchase of an item whose orders its shard has released: a repeat gets its order from the
/// order store.
async fn replay_settled(edge: &Edge, gate: &Gate, buy: &Buy) -> Result<Bought, Problem> {
    let order = edge.sales.order_of_request(gate.terms(), buy.user_id, buy.request_id).await?;
    match order {
        None => Err(Refusal::SaleEnded.into()),
        Some(order) if order.quantity != buy.quantity => Err(Refusal::IdempotencyKeyReused.into()),
        Some(order) => Ok(Bought { order, replayed: true }),
    }
}

/// Makes the problem of a refused purchase; one that would exceed the buyer's limit says what is allowed.
fn refused(refusal: Refusal, gate: &Gate, quantity: u16) -> Problem {
    if refusal != Refusal::LimitReached {
        return refusal.into();
    }
    let limit = gate.terms().limit_per_user;
    let detail = if quantity > limit {
        format!("one buyer may hold {limit} of this item, and you asked for {quantity}")
    } else {
        format!(
            "one buyer may hold {limit} of this item: with {quantity} more you would hold more than \
             that"
        )
    };
    Problem::new(Code::LimitReached, detail)
}

/// Buys units of an item.
///
/// The order is `reserved` when you get it, and durable: pay it before `expires_at`, or its units go
/// back on sale. Send an `Idempotency-Key`, so that you can repeat a purchase whose answer you did not
/// get without buying twice.
#[utoipa::path(
    post, path = "/api/v1/items/{item}/buy", tag = "orders",
    params(Id::<ItemId>, IdempotencyKey),
    request_body(content = Option<BuyRequest>, content_type = "application/json",
        example = json!({ "quantity": 1 })),
    responses(
        (status = 201, description = "The new order", body = OrderView,
            headers(("Location" = String, description = "The order's path")),
            links(
                ("pay" = (operation_id = "post_orders_order_pay")),
                ("cancel" = (operation_id = "post_orders_order_cancel")),
                ("order" = (operation_id = "get_orders_order")),
                ("events" = (operation_id = "get_orders_order_events")),
            ),
            example = json!(OrderView::example(OrderStatus::Reserved))),
        (status = 200, description = "The order that the same request got before",
            body = OrderView,
            headers(
                ("Location" = String, description = "The order's path"),
                ("Idempotent-Replayed" = String, description = "`true`"),
            ),
            links(("order" = (operation_id = "get_orders_order"))),
            example = json!(OrderView::example(OrderStatus::Reserved))),
        (status = 409, description = "`sold_out`, `limit_reached`, `attempts_exhausted`, \
            `sale_not_started`, `sale_ended`, `sale_paused` or `idempotency_key_reused`"),
    ),
    security(("token" = []))
)]
pub async fn handle() -> Problem {
    // The route declares the purchase for the document and for `Allow`. The service answers purchases
    // before they reach the router, as a test there makes sure.
    Problem::item_not_found()
}

/// Returns the quantity that the body asks for.
fn quantity(body: &[u8]) -> Result<u16, Problem> {
    // serde would take an array for the struct.
    if body.trim_ascii_start().first() == Some(&b'{') {
        match serde_json::from_slice::<PlainBuyRequest>(body) {
            Ok(PlainBuyRequest { quantity }) if (1..=LIMIT_PER_USER_MAX).contains(&quantity) => {
                return Ok(quantity);
            }
            _ => {}
        }
    }
    quantity_in_full(body)
}

/// Returns the quantity that a body in an unusual form asks for, or all that is wrong with the body.
fn quantity_in_full(body: &[u8]) -> Result<u16, Problem> {
    let BuyRequest { quantity } = BuyRequest::parse(json::parse_object(body)?)?;
    Ok(quantity.unwrap_or(QUANTITY_DEFAULT))
}

/// Returns the order's path and the order as JSON, which share one buffer.
pub fn render(order: &Order) -> (Bytes, Bytes) {
    let mut buffer = Vec::with_capacity(ORDERS.len() + 20 + order_view::LENGTH_MAX);
    buffer.extend_from_slice(ORDERS);
    buffer.extend_from_slice(itoa::Buffer::new().format(order.order_id.0).as_bytes());
    let location_length = buffer.len();
    order_view::render(order, &mut buffer);
    let mut location = Bytes::from(buffer);
    let body = location.split_off(location_length);
    (location, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purchases_are_told_by_method_and_path() {
        for (method, path, expected) in [
            (Method::POST, "/api/v1/items/7/buy", Some(Some(ItemId(7)))),
            (Method::POST, "/api/v1/items/7/buy?x=1", Some(Some(ItemId(7)))),
            (Method::POST, "/api/v1/items/07/buy", Some(None)),
            (Method::POST, "/api/v1/items/%37/buy", Some(None)),
            (Method::POST, "/api/v1/items//buy", Some(None)),
            (Method::POST, "/api/v1/items/7/x/buy", None),
            (Method::POST, "/api/v1/items/7/buy/", None),
            (Method::GET, "/api/v1/items/7/buy", None),
        ] {
            let request = Request::builder().method(&method).uri(path).body(()).unwrap();
            assert_eq!(item_of(&request), expected, "{method} {path}");
        }
    }

    #[test]
    fn quantities() {
        for (body, expected) in [
            ("{}", Ok(1)),
            (r#" {"quantity":1}"#, Ok(1)),
            (r#"{"quantity":10000}"#, Ok(10_000)),
            (r#"{"quantity":10001}"#, Err((Code::InvalidField, "/quantity"))),
            (r#"{"quantity":0}"#, Err((Code::InvalidField, "/quantity"))),
            (r#"{"quantity":-1}"#, Err((Code::InvalidField, "/quantity"))),
            (r#"{"quantity":2.0}"#, Ok(2)),
            (r#"{"quantity":1.5}"#, Err((Code::InvalidField, "/quantity"))),
            (r#"{"quantity":9223372036854775808}"#, Err((Code::InvalidField, "/quantity"))),
            (r#"{"quantity":1e308}"#, Err((Code::InvalidField, "/quantity"))),
            (r#"{"quantity":"1"}"#, Err((Code::InvalidField, "/quantity"))),
            (r#"{"quantity":null}"#, Err((Code::InvalidField, "/quantity"))),
            (r#"{"quantity":[1]}"#, Err((Code::InvalidField, "/quantity"))),
            (r#"{"units":1}"#, Err((Code::InvalidField, "/units"))),
            ("[1]", Err((Code::InvalidField, ""))),
            ("1", Err((Code::InvalidField, ""))),
            (r#"{"quantity":1,"quantity":1}"#, Err((Code::MalformedJson, ""))),
            (r#"{"quantity":1"#, Err((Code::MalformedJson, ""))),
            (r#"{"quantity":1}{}"#, Err((Code::MalformedJson, ""))),
            (r#"{"quantity":1e999}"#, Err((Code::MalformedJson, ""))),
        ] {
            let outcome = quantity(body.as_bytes());
            match (outcome, expected) {
                (Ok(quantity), Ok(expected)) => assert_eq!(quantity, expected, "{body}"),
                (Err(problem), Err((code, pointer))) => {
                    assert_eq!(problem.code, code, "{body}");
                    let found = problem.errors.shown.first().map_or("", |error| &error.pointer);
                    assert_eq!(found, pointer, "{body}");
                }
                (outcome, _) => panic!("{body}: {outcome:?}"),
            }
        }
    }
}
