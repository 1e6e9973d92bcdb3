//! The table of paths. Purchases are in it for their other methods and for the document; they
//! themselves go past it.

use super::edge::Edge;
use super::error::{Code, Problem};
use super::{admin, buy, document, events, health, items, orders, sales, time, users};
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
        .route("/api/v1/sales", get(sales::list))
        .route("/api/v1/sales/{sale}", get(sales::show))
        .route("/api/v1/time", get(time::show))
        .route("/api/v1/users", post(users::register))
        .route("/api/v1/login", post(users::log_in))
        // Operators
        .nest("/api/v1/admin", admin())
        // Operation
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/problems/{code}", get(document::problem))
        .route("/openapi.json", get(document::show))
        .route(document::DOCS, get(document::redirect))
        .route("/docs/", get(document::index))
        .route("/docs/{*file}", get(document::file))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Bodies are limited where they are read.
        .layer(DefaultBodyLimit::disable())
        .with_state(edge)
}

fn admin() -> Router<Arc<Edge>> {
    use admin::{log, operations, orders, sales};
    Router::new()
        .route("/sales", get(sales::list).post(sales::create))
        .route("/sales/{sale}", get(sales::show).put(sales::replace).delete(sales::delete))
        .route("/sales/{sale}/submit", post(sales::submit))
        .route("/sales/{sale}/withdraw", post(sales::withdraw))
        .route("/sales/{sale}/approve", post(sales::approve))
        .route("/sales/{sale}/reject", post(sales::reject))
        .route("/sales/{sale}/revise", post(sales::revise))
        .route("/sales/{sale}/preheat", get(sales::check_preheat))
        .route("/sales/{sale}/pause", post(operations::pause))
        .route("/sales/{sale}/resume", post(operations::resume))
        .route("/sales/{sale}/end", post(operations::end))
        .route("/sales/{sale}/items/{item}/restock", post(operations::restock))
        .route("/sales/{sale}/orders", get(orders::list))
        .route("/audit-log", get(log::list))
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
