//! Whether the process lives, whether it takes purchases, and what it counts.

use super::edge::Edge;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use hyper::{StatusCode, Uri};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Whether the server takes purchases, and what it stands on.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadyView {
    /// `ready`, `degraded` (it sells, and something wants looking after) or `not_ready`.
    pub status: ReadyStatus,
    /// Why purchases are refused, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusing_because: Option<String>,
    /// Shards that decide.
    pub shards_up: usize,
    /// Shards in all.
    pub shards: usize,
    /// Requests in the engine.
    pub permits_used: usize,
    /// How many there may be.
    pub permits: usize,
    /// Messages waiting in mailboxes.
    pub mailbox_depth: usize,
    /// Records durable and not yet in the order store.
    pub backlog_records: u64,
    /// Age of the oldest of them, in seconds.
    pub backlog_age_seconds: f64,
    /// Age of the oldest checkpoint that is behind its shard, in seconds.
    pub checkpoint_age_seconds: f64,
    /// Items taken out of the sale because handling them fails again and again.
    pub quarantined_items: Vec<String>,
    /// What the engine stands on.
    pub dependencies: Vec<DependencyView>,
}

/// How ready the server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadyStatus {
    /// All is well.
    Ready,
    /// It sells, and something wants looking after.
    Degraded,
    /// It does not sell.
    NotReady,
}

/// A dependency.
#[derive(Debug, Serialize, ToSchema)]
pub struct DependencyView {
    /// Which.
    pub name: &'static str,
    /// Which implementation of it serves.
    pub kind: &'static str,
    /// Whether it works.
    pub healthy: bool,
    /// What its state means for the sale.
    pub meaning: String,
}

/// Whether the process lives.
#[utoipa::path(
    get, path = "/livez", tag = "operations",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"))
)]
pub async fn live() -> &'static str {
    "ok\n"
}

/// Whether the server takes purchases. A missing optional dependency degrades it and no more.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    params(("verbose" = Option<String>, Query, allow_reserved, description = "With it, what the \
        server stands on as JSON")),
    responses(
        (status = 200, description = "It does", content((String = "text/plain"), (ReadyView = "application/json"))),
        (status = 503, description = "It does not", content((String = "text/plain"), (ReadyView = "application/json"))),
    )
)]
pub async fn ready(State(edge): State<Arc<Edge>>, uri: Uri) -> Response {
    let view = look(&edge);
    let status = match view.status {
        ReadyStatus::Ready | ReadyStatus::Degraded => StatusCode::OK,
        ReadyStatus::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    };
    let verbose = uri.query().is_some_and(|query| {
        query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose="))
    });
    let mut response = if verbose {
        (status, Json(view)).into_response()
    } else {
        let word = match view.status {
            ReadyStatus::Ready => "ok\n",
            ReadyStatus::Degraded => "degraded\n",
            ReadyStatus::NotReady => "not ready\n",
        };
        (status, word).into_response()
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(hyper::header::RETRY_AFTER, 1.into());
    }
    response
}

fn look(edge: &Edge) -> ReadyView {
    let status = edge.engine.status();
    let draining = edge.shutdown.is_cancelled();
    let well = status.shards_up == status.shards
        && status.quarantined_items.is_empty()
        && status.dependencies.iter().all(|dependency| dependency.healthy);
    let refusing_because = if draining {
        Some("the server is stopping".to_owned())
    } else {
        status.refusing_because.map(|reason| format!("{reason:?}"))
    };
    ReadyView {
        status: match (status.accepting && !draining, well) {
            (false, _) => ReadyStatus::NotReady,
            (true, false) => ReadyStatus::Degraded,
            (true, true) => ReadyStatus::Ready,
        },
        refusing_because,
        shards_up: status.shards_up,
        shards: status.shards,
        permits_used: status.permits_used,
        permits: status.permits,
        mailbox_depth: status.mailbox_depth,
        backlog_records: status.backlog_records,
        backlog_age_seconds: status.backlog_age_seconds,
        checkpoint_age_seconds: status.checkpoint_age_seconds,
        quarantined_items: status.quarantined_items.iter().map(ToString::to_string).collect(),
        dependencies: status
            .dependencies
            .into_iter()
            .map(|dependency| DependencyView {
                name: dependency.name,
                kind: dependency.kind,
                healthy: dependency.healthy,
                meaning: dependency.meaning,
            })
            .collect(),
    }
}

/// Everything that is counted, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "Prometheus text format", body = String,
        content_type = "text/plain"))
)]
pub async fn metrics(State(edge): State<Arc<Edge>>) -> Response {
    let mut text = edge.metrics.render();
    text.push_str(&(edge.render_metrics)());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
