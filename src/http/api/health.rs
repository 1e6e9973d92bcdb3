//! Whether the process lives, and whether it accepts purchases: a word each, for a load balancer.
//!
//! Why, and the figures, are for those who run the shop: `operations.rs` has them.

use crate::actors::EngineStatus;
use crate::http::state::Edge;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use serde::Serialize;
use std::sync::Arc;

/// How ready the server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadyStatus {
    /// It sells, and all is well.
    Ready,
    /// It sells, and an operator should look at it.
    Degraded,
    /// It does not sell.
    NotReady,
}

impl ReadyStatus {
    /// Returns how ready the server is now.
    pub fn now(edge: &Edge) -> Self {
        Self::of(edge, &edge.engine.status())
    }

    /// Returns how ready the server is where its engine stands so.
    pub fn of(edge: &Edge, status: &EngineStatus) -> Self {
        let is_well = status.shards_up == status.shards
            && status.quarantined_items.is_empty()
            && status.dependencies.iter().all(|dependency| dependency.healthy)
            && edge.challenges.provider_health().is_none_or(|(healthy, _)| healthy)
            && edge.oidc.as_ref().is_none_or(|oidc| oidc.trouble().is_none());
        // A node of several may have no shard, and reach none.
        let sells = status.accepting && edge.engine.has_something_to_sell();
        match (sells && !edge.shutdown.is_cancelled(), is_well) {
            (false, _) => Self::NotReady,
            (true, false) => Self::Degraded,
            (true, true) => Self::Ready,
        }
    }

    /// Makes an answer with this content say how ready the server is.
    pub fn answer(self, content: impl IntoResponse) -> Response {
        let mut response = content.into_response();
        if self == Self::NotReady {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    /// Returns it as a line of text.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ok\n",
            Self::Degraded => "degraded\n",
            Self::NotReady => "not ready\n",
        }
    }
}

/// Tells whether the process lives.
///
/// It answers whatever the state of its dependencies: for a supervisor that restarts what is dead. The
/// operations listener has it too, and answers there however many buyers are connected here.
#[utoipa::path(
    get, path = "/livez", tag = "operations",
    responses((status = 200, description = "It lives", body = String, content_type = "text/plain",
        example = json!("ok\n")))
)]
pub async fn live() -> &'static str {
    "ok\n"
}

/// Tells whether the server accepts purchases.
///
/// For a load balancer. A broken dependency that sales can do without makes the server `degraded`,
/// which is still a 200. What it depends on, and its metrics, are at the operations listener.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    params(("verbose" = Option<String>, Query,
        description = "Taken, so that one probe fits both listeners; the answer is a word here",
        example = json!("true"))),
    responses(
        (status = 200, description = "It accepts purchases", body = String,
            content_type = "text/plain", example = json!("ok\n")),
        (status = 503, description = "It refuses purchases", body = String,
            content_type = "text/plain", example = json!("not ready\n")),
    )
)]
pub async fn ready(State(edge): State<Arc<Edge>>) -> Response {
    let status = ReadyStatus::now(&edge);
    status.answer(status.word())
}
