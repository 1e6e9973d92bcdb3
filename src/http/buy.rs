//! `POST /api/v1/items/{item}/buy`: the way that everyone takes at once.
//!
//! It goes past the router. Who asks is settled first, then whether the item is known, then what the
//! body says; the item's gate refuses what needs no decision, and the rest is decided by its shard.
//! One look at the token, one borrowed parse, one buffer for the answer.

use super::admission;
use super::body::{self, Fields};
use super::connection::Connection;
use super::document::ProblemView;
use super::edge::Edge;
use super::error::Problem;
use super::order_view::{self, OrderView};
use crate::actors::Reply;
use bytes::Bytes;
use domain::sale::LIMIT_PER_USER_MAX;
use domain::{Buy, ItemId, Order, Outcome};
use hyper::body::Body;
use hyper::{Method, Request, Version};
use serde::Deserialize;
use utoipa::ToSchema;

const PREFIX: &str = "/api/v1/items/";
const SUFFIX: &str = "/buy";
const ORDERS: &[u8] = b"/api/v1/orders/";

/// What a purchase may say. Without a body it is one unit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BuyRequest {
    /// Units to buy, 1 if absent.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 10_000, default = 1)]
    pub quantity: u16,
}

fn one() -> u16 {
    1
}

/// A purchase that ended in an order.
#[derive(Clone, Copy, Debug)]
pub struct Bought {
    /// The order.
    pub order: Order,
    /// Whether it is the one that the same request got before.
    pub replayed: bool,
}

/// Whether the request is a purchase; the item, if its path names one at all.
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

/// Buys.
///
/// # Errors
/// With what stands in the way.
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
    let user_id = admission::authenticate_buyer(edge, &parts.headers)?;
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
        one()
    } else {
        body::require_json(&parts.headers)?;
        quantity(&body)?
    };
    let (request_id, origin) = admission::idempotency_key(&parts.headers, user_id, unique)?;
    if let Some(refusal) = gate.refusal(edge.engine.now(), user_id) {
        return Err(refusal.into());
    }
    let buy = Buy { item_id: gate.terms().item_id, user_id, request_id, quantity };
    match edge.engine.buy(&gate, buy, origin).await {
        Reply::Decided(Outcome::Placed(order)) => Ok(Bought { order, replayed: false }),
        Reply::Decided(Outcome::Replayed(order)) => Ok(Bought { order, replayed: true }),
        Reply::Decided(Outcome::Refused(refusal)) => Err(refusal.into()),
        Reply::NotDelivered(reason) => Err(reason.into()),
        // No other outcome belongs to a purchase.
        Reply::Decided(Outcome::Order(_) | Outcome::Item(_)) | Reply::Unknown => {
            Err(Problem::outcome_unknown())
        }
    }
}

/// A purchase that the router was given all the same.
#[utoipa::path(
    post, path = "/api/v1/items/{item}/buy", tag = "orders",
    params(
        ("item" = String, Path, description = "The item's identity"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            pattern = "^[!-~]{1,255}$",
            description = "Names the purchase, so that repeating it gets the same order"),
    ),
    request_body(content = Option<BuyRequest>, content_type = "application/json"),
    responses(
        (status = 201, description = "The new order", body = OrderView,
            headers(("Location" = String, description = "The order's path"))),
        (status = 200, description = "The order that the same request got before",
            body = OrderView,
            headers(("Idempotent-Replayed" = String, description = "`true`"))),
        (status = 409, description = "`sold_out`, `limit_reached`, `sale_not_started`, \
            `sale_ended`, `sale_paused` or `idempotency_key_reused`",
            body = ProblemView, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub async fn handle() -> Problem {
    Problem::item_not_found()
}

/// The quantity that the body asks for.
fn quantity(body: &[u8]) -> Result<u16, Problem> {
    // serde would take an array for the struct.
    if body.trim_ascii_start().first() == Some(&b'{') {
        match serde_json::from_slice::<BuyRequest>(body) {
            Ok(BuyRequest { quantity }) if (1..=LIMIT_PER_USER_MAX).contains(&quantity) => {
                return Ok(quantity);
            }
            _ => {}
        }
    }
    quantity_at_leisure(body)
}

/// The quantity in an unusual form, or what is wrong with it.
fn quantity_at_leisure(body: &[u8]) -> Result<u16, Problem> {
    let object = body::parse_object(body)?;
    let mut quantity = Some(u64::from(one()));
    let mut errors = Vec::new();
    let has_quantity = object.contains_key("quantity");
    let mut fields = Fields::new(object, "", &mut errors);
    if has_quantity {
        quantity = fields.integer("quantity", 1..=u64::from(LIMIT_PER_USER_MAX));
    }
    fields.finish();
    match quantity.and_then(|quantity| u16::try_from(quantity).ok()) {
        Some(quantity) if errors.is_empty() => Ok(quantity),
        _ => Err(Problem::fields(errors)),
    }
}

/// The order's path and the order as JSON, of one buffer.
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
    use crate::http::error::Code;

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
                    let found = problem.errors.first().map_or("", |error| &error.pointer);
                    assert_eq!(found, pointer, "{body}");
                }
                (outcome, _) => panic!("{body}: {outcome:?}"),
            }
        }
    }
}
