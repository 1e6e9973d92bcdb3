//! `GET /api/v1/time`: the clock that decides, so that a countdown can follow it.

use super::example;
use crate::http::state::Edge;
use crate::http::timestamp;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use hyper::header::CACHE_CONTROL;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The server's clock.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimeView {
    /// The time, as text.
    #[schema(format = DateTime)]
    pub now: String,
    /// The same time in milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
}

impl TimeView {
    fn example() -> Self {
        let starts_at = timestamp::parse(example::STARTS_AT).unwrap_or_default();
        Self { now: timestamp::to_string(starts_at), unix_ms: starts_at.0 }
    }
}

/// Tells the server's time.
///
/// It is the clock that opens and ends sales, so let a countdown follow it instead of the device's
/// clock.
#[utoipa::path(
    get, path = "/api/v1/time", tag = "sales",
    responses((status = 200, description = "The time", body = TimeView,
        example = json!(TimeView::example())))
)]
pub async fn show(State(edge): State<Arc<Edge>>) -> impl IntoResponse {
    let now = edge.engine.now();
    let view = TimeView { now: timestamp::to_string(now), unix_ms: now.0 };
    ([(CACHE_CONTROL, "no-store")], Json(view))
}
