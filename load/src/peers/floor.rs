//! The floor: the request is parsed and a constant is answered. Nothing is decided and
//! nothing is kept. No server in this framework on this machine can do less, so ratios
//! are taken to it.
//!
//! Promises: nothing.

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::answer::{bearer, one_unit, order};

pub fn router() -> Router {
    Router::new()
        .route("/api/v1/items/{item}/buy", post(buy))
        .route("/peer/sale", post(async || StatusCode::NO_CONTENT))
}

async fn buy(Path(item): Path<u64>, headers: HeaderMap, body: Bytes) -> Response {
    match bearer(&headers).and_then(|_| one_unit(&body)) {
        Ok(()) => order(StatusCode::CREATED, 1, item),
        Err(refusal) => refusal.into_response(),
    }
}
