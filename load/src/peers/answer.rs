//! What all peers share: reading a purchase request and writing its answers, with the
//! status codes and fields of the engine's API.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

/// The body of a purchase.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buy {
    /// How many units.
    pub quantity: u32,
}

/// The peers' admin request: forget everything, then sell these.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSale {
    /// The items' ids.
    pub items: Vec<u64>,
    /// Units of each item.
    pub allotted: u64,
}

/// How a purchase was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A new order.
    Reserved(u64),
    /// The order of an earlier request with the same id.
    Replayed(u64),
    /// No unit is left.
    SoldOut,
    /// This user has the item.
    LimitReached,
    /// No such item.
    ItemNotFound,
}

/// Why a request is not even decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 401: the token was not accepted.
    Unauthenticated,
    /// 400: the body is not JSON.
    MalformedJson,
    /// 422: a field is out of range.
    InvalidField,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthenticated => problem(StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::MalformedJson => problem(StatusCode::BAD_REQUEST, "malformed_json"),
            Self::InvalidField => problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field"),
        }
    }
}

/// The request's body, if it buys one unit: all that these peers sell at a time.
pub fn one_unit(body: &[u8]) -> Result<(), Refusal> {
    match serde_json::from_slice::<Buy>(body) {
        Ok(Buy { quantity: 1 }) => Ok(()),
        Ok(_) => Err(Refusal::InvalidField),
        Err(_) => Err(Refusal::MalformedJson),
    }
}

/// The bearer token.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Refusal::Unauthenticated)
}

/// The client's request id.
pub fn request_id(headers: &HeaderMap) -> &str {
    let value = headers.get(HeaderName::from_static("idempotency-key"));
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// An order id: milliseconds and a counter.
pub fn next_order() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let floor = u64::try_from(since.as_millis()).unwrap_or(0) << 20;
    let next = |last: u64| Some((last + 1).max(floor));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    last.map_or(floor, |last| (last + 1).max(floor))
}

/// The answer to a decision.
pub fn respond(decision: Decision, item: u64) -> Response {
    match decision {
        Decision::Reserved(id) => order(StatusCode::CREATED, id, item),
        Decision::Replayed(id) => order(StatusCode::OK, id, item),
        Decision::SoldOut => problem(StatusCode::CONFLICT, "sold_out"),
        Decision::LimitReached => problem(StatusCode::CONFLICT, "limit_reached"),
        Decision::ItemNotFound => problem(StatusCode::NOT_FOUND, "item_not_found"),
    }
}

/// A backend failed; whether the purchase took place is unknown.
pub fn failed(error: &dyn std::error::Error) -> Response {
    eprintln!("outcome unknown: {error}");
    problem(StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown")
}

/// 201 or 200 with an order as long as the engine's.
pub fn order(status: StatusCode, id: u64, item: u64) -> Response {
    let body = format!(
        r#"{{"order_id":"{id}","item_id":"{item}","sale_id":"1","quantity":1,"amount":19900,"currency":"CNY","status":"reserved","created_at":"2026-01-01T00:00:00.000Z","expires_at":"2026-01-01T00:10:00.000Z"}}"#
    );
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

fn problem(status: StatusCode, code: &'static str) -> Response {
    let body = format!(
        r#"{{"type":"about:blank","title":"{code}","status":{},"code":"{code}","detail":"{code}"}}"#,
        status.as_u16()
    );
    let kind = HeaderValue::from_static("application/problem+json");
    (status, [(CONTENT_TYPE, kind)], body).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn order_ids_do_not_repeat() {
        let ids: HashSet<u64> = (0..10_000).map(|_| super::next_order()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
