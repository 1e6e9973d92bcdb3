//! `GET /api/v1/time`: the clock that decides, so that a countdown can follow it.

use super::edge::Edge;
use super::timestamp;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use hyper::header::CACHE_CONTROL;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The server's time.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimeView {
    /// As text.
    #[schema(format = DateTime)]
    pub now: String,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
}

/// The server's time.
#[utoipa::path(
    get, path = "/api/v1/time", tag = "sales",
    responses((status = 200, description = "The time that decides", body = TimeView))
)]
pub async fn show(State(edge): State<Arc<Edge>>) -> impl IntoResponse {
    let now = edge.engine.now();
    let view = TimeView { now: timestamp::to_string(now), unix_ms: now.0 };
    ([(CACHE_CONTROL, "no-store")], Json(view))
}
