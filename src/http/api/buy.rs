//! `POST /api/v1/items/{item}/buy`: the request that all buyers send at once.
//!
//! It does not go through the router. The caller is authenticated first, then the item is looked up,
//! then the body is read, and what was asked goes where purchases of every interface go. The token is
//! verified once, the body is parsed without copying it, and the answer is rendered into one buffer.

use super::buy_tokens::TokenParameter;
use super::order_view::{self, OrderView};
use crate::http::address;
use crate::http::admit;
use crate::http::auth::bearer;
use crate::http::edge::connection::Connection;
use crate::http::edge::purchasing::Purchasing;
use crate::http::limits::Standing;
use crate::http::problem::Problem;
use crate::http::purchase::{self, Asked, Bought, Caller};
use crate::http::request::fields::{self, Body as _};
use crate::http::request::idempotency_key::{self, IdempotencyKey};
use crate::http::request::path::Id;
use crate::http::request::rules::{Integer, Rule as _};
use crate::http::request::{body, json, query};
use crate::http::state::Edge;
use bytes::Bytes;
use domain::sale::LIMIT_PER_USER_MAX;
use domain::{ItemId, Order, OrderStatus};
use hyper::body::Body;
use hyper::{Method, Request, Version};
use serde::Deserialize;
use std::ops::Range;

const PREFIX: &str = "/api/v1/items/";
const SUFFIX: &str = "/buy";
const TOKEN: &str = "/buy/";
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

/// What the path of a purchase names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The item; none if no item can have such an identity.
    pub item_id: Option<ItemId>,
    /// Where the buy token is in the path, if there is one.
    pub token: Option<Range<usize>>,
}

/// Returns the units that a number says: one if it is 0, which is none.
///
/// # Errors
/// Returns an `invalid_field` problem if nobody may buy so many at once.
pub fn quantity_of(number: u32) -> Result<u16, Problem> {
    match number {
        0 => Ok(QUANTITY_DEFAULT),
        _ => Quantity::read(number.into()).map_err(|detail| Problem::field("/quantity", detail)),
    }
}

/// Returns what the request's path names, if the request is a purchase.
pub fn named<B>(request: &Request<B>) -> Option<Named> {
    if request.method() != Method::POST {
        return None;
    }
    let path = request.uri().path();
    let rest = path.strip_prefix(PREFIX)?;
    let (item, token) = match rest.strip_suffix(SUFFIX) {
        Some(item) => (item, None),
        None => {
            let (item, token) = rest.split_once(TOKEN)?;
            if token.is_empty() || token.contains('/') {
                return None;
            }
            (item, Some(path.len() - token.len()..path.len()))
        }
    };
    (!item.contains('/')).then(|| Named { item_id: item.parse().ok(), token })
}

/// Decides a purchase. Returns with it how the buyer stands with a limit of which little is left.
///
/// # Errors
/// Returns a problem if the purchase is refused, was not delivered, or has an unknown outcome.
pub async fn buy<B>(
    edge: &Edge,
    connection: &Connection,
    purchasing: &Purchasing,
    named: Named,
    request: Request<B>,
) -> Result<(Bought, Option<Standing>), Problem>
where
    B: Body<Data = Bytes>,
{
    let mut standing = None;
    match decide(edge, connection, purchasing, named, request, &mut standing).await {
        Ok(bought) => Ok((bought, standing)),
        Err(mut problem) => {
            problem.standing = problem.standing.or_else(|| standing.map(Box::new));
            Err(problem)
        }
    }
}

async fn decide<B>(
    edge: &Edge,
    connection: &Connection,
    purchasing: &Purchasing,
    named: Named,
    request: Request<B>,
    standing: &mut Option<Standing>,
) -> Result<Bought, Problem>
where
    B: Body<Data = Bytes>,
{
    let (parts, body) = request.into_parts();
    query::check(&parts.uri, &[])?;
    // Cheapest first, and before a token is verified.
    let address = address::client_of(edge, connection, &parts.headers);
    let of_address = admit::purchase_from(edge, address)?;
    let user_id = bearer::authenticate_buyer(edge, &parts).await?;
    *standing = Standing::tighter(of_address, admit::purchase_of(edge, user_id, address)?);
    let item = purchase::item(edge, named.item_id).await?;
    let bytes_max = edge.live_options.buy_body_bytes_max();
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
    let key = idempotency_key::idempotency_key(&parts.headers, user_id, purchasing.number())?;
    let token = named.token.and_then(|place| parts.uri.path().get(place));
    let asked = Asked { item, quantity, key, token, trace: purchasing.trace() };
    purchase::run(edge, Caller { user_id }, asked).await
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
        (status = 403, description = "`forbidden`: the token does not allow this; `not_admitted`; \
             `buy_token_required`: the item is guarded"),
        (status = 429, description = "`rate_limited`: you buy more often than you may"),
    ),
    security(("token" = []))
)]
pub async fn handle() -> Problem {
    // The route declares the purchase for the document and for `Allow`. The service answers purchases
    // before they reach the router, as a test there makes sure.
    Problem::item_not_found()
}

/// Buys units of a guarded item.
///
/// At the `buy_url` of the buyer's token. The token names the purchase, one order for each: sent again, it
/// gets the same order, also after it has expired. An `Idempotency-Key` may be sent and names nothing.
#[utoipa::path(
    post, path = "/api/v1/items/{item}/buy/{buy_token}", tag = "orders",
    params(Id::<ItemId>, TokenParameter, IdempotencyKey),
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
        (status = 200, description = "The order that the same token got before",
            body = OrderView,
            headers(
                ("Location" = String, description = "The order's path"),
                ("Idempotent-Replayed" = String, description = "`true`"),
            ),
            links(("order" = (operation_id = "get_orders_order"))),
            example = json!(OrderView::example(OrderStatus::Reserved))),
        (status = 403, description = "`buy_token_invalid`: it is not this buyer's for this item, or has \
            expired unused; `forbidden`; `not_admitted`"),
        (status = 409, description = "`sold_out`, `limit_reached`, `attempts_exhausted`, \
            `sale_not_started` until the buyer's slot, `sale_ended`, `sale_paused`, or \
            `idempotency_key_reused` for another quantity"),
        (status = 429, description = "`rate_limited`: you buy more often than you may"),
    ),
    security(("token" = []))
)]
pub async fn handle_with_token() -> Problem {
    // As above.
    Problem::item_not_found()
}

/// Returns the quantity that the body asks for.
///
/// # Errors
/// Returns a problem with what is wrong with the body.
pub fn quantity(body: &[u8]) -> Result<u16, Problem> {
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
    use crate::http::problem::Code;

    #[test]
    fn purchases_are_told_by_method_and_path() {
        let item = Some(ItemId(7));
        for (method, path, expected) in [
            (Method::POST, "/api/v1/items/7/buy", Some((item, None))),
            (Method::POST, "/api/v1/items/7/buy?x=1", Some((item, None))),
            (Method::POST, "/api/v1/items/07/buy", Some((None, None))),
            (Method::POST, "/api/v1/items/%37/buy", Some((None, None))),
            (Method::POST, "/api/v1/items//buy", Some((None, None))),
            (Method::POST, "/api/v1/items/7/x/buy", None),
            (Method::POST, "/api/v1/items/7/buy/", None),
            (Method::GET, "/api/v1/items/7/buy", None),
            (Method::POST, "/api/v1/items/7/buy/x-_1", Some((item, Some("x-_1")))),
            (Method::POST, "/api/v1/items/7/buy/x?y=/", Some((item, Some("x")))),
            // The token of an item that is called so.
            (Method::POST, "/api/v1/items/7/buy/buy", None),
            (Method::POST, "/api/v1/items/x/buy/y", Some((None, Some("y")))),
            (Method::POST, "/api/v1/items/7/8/buy/y", None),
            (Method::POST, "/api/v1/items/7/buy/y/", None),
            (Method::POST, "/api/v1/items/7/buy/y/z", None),
            (Method::POST, "/api/v1/items/7/buy-token", None),
            (Method::GET, "/api/v1/items/7/buy/y", None),
        ] {
            let request = Request::builder().method(&method).uri(path).body(()).unwrap();
            let found = named(&request).map(|named| {
                let token = named.token.map(|place| &request.uri().path()[place]);
                (named.item_id, token)
            });
            assert_eq!(found, expected, "{method} {path}");
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
