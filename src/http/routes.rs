//! The table of paths. Purchases are in it for their other methods and for the document; they
//! themselves go past it.

use super::edge::Edge;
use super::error::{Code, Problem};
use super::{buy, document, events, health, items, orders, time};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::{Method, StatusCode};
use std::sync::Arc;

/// The router over all paths.
pub fn router(edge: Arc<Edge>) -> Router {
    Router::new()
        // Buyers
        .route("/api/v1/items/{item}", get(items::show))
        .route("/api/v1/items/{item}/buy", post(buy::handle))
        .route("/api/v1/orders", get(orders::list))
        .route("/api/v1/orders/{order}", get(orders::show))
        .route("/api/v1/orders/{order}/pay", post(orders::pay))
        .route("/api/v1/orders/{order}/cancel", post(orders::cancel))
        .route("/api/v1/orders/{order}/events", get(events::watch))
        .route("/api/v1/time", get(time::show))
        // Operation
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/problems/{code}", get(document::problem))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Bodies are limited where they are read.
        .layer(DefaultBodyLimit::disable())
        .with_state(edge)
}

async fn not_found() -> Problem {
    Problem::not_found()
}

/// axum adds the path's methods in `Allow`.
async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(Code::MethodNotAllowed, "see Allow for the methods of this path").into_response()
}
