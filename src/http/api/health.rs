//! Whether the process lives, whether it accepts purchases, and its metrics.

use super::example;
use crate::http::state::Edge;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use hyper::{StatusCode, Uri};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Whether the server accepts purchases, and what it depends on.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadyView {
    /// How ready the server is.
    pub status: ReadyStatus,
    /// Why purchases are refused, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusing_because: Option<String>,
    /// Shards that are running.
    pub shards_up: usize,
    /// Shards that there are.
    pub shards: usize,
    /// Permits in use: one for each request in the engine.
    pub permits_used: usize,
    /// Permits that there are.
    pub permits: usize,
    /// Messages that wait in the shards' mailboxes.
    pub mailbox_depth: usize,
    /// Records that are durable and not yet in the order store.
    pub backlog_records: u64,
    /// The age of the oldest of these records, in seconds.
    pub backlog_age_seconds: f64,
    /// The age of the oldest checkpoint that is behind its shard, in seconds.
    pub checkpoint_age_seconds: f64,
    /// Items that are not sold for now, because handling them keeps failing.
    pub quarantined_items: Vec<String>,
    /// What the server depends on.
    pub dependencies: Vec<DependencyView>,
}

/// How ready the server is: `ready`, `degraded` (it sells, and an operator should look at it) or
/// `not_ready`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadyStatus {
    /// It sells, and all is well.
    Ready,
    /// It sells, and an operator should look at it.
    Degraded,
    /// It does not sell.
    NotReady,
}

/// Something that the server depends on.
#[derive(Debug, Serialize, ToSchema)]
pub struct DependencyView {
    /// What it is, such as `order_store`.
    pub name: &'static str,
    /// Which implementation is in use, such as `sqlite`.
    pub kind: &'static str,
    /// Whether it works.
    pub healthy: bool,
    /// What its state means for the sale.
    pub meaning: String,
}

impl ReadyView {
    fn example() -> Self {
        Self {
            status: ReadyStatus::Ready,
            refusing_because: None,
            shards_up: 4,
            shards: 4,
            permits_used: 12,
            permits: 4_096,
            mailbox_depth: 3,
            backlog_records: 57,
            backlog_age_seconds: 0.4,
            checkpoint_age_seconds: 2.1,
            quarantined_items: Vec::new(),
            dependencies: vec![DependencyView {
                name: "order_store",
                kind: "sqlite",
                healthy: true,
                meaning: "orders reach the order store".to_owned(),
            }],
        }
    }

    fn example_of_refusing() -> Self {
        Self {
            status: ReadyStatus::NotReady,
            refusing_because: Some("the server is stopping".to_owned()),
            quarantined_items: vec![example::ITEM_ID.to_owned()],
            ..Self::example()
        }
    }
}

/// Tells whether the process lives.
///
/// It answers whatever the state of its dependencies: for a supervisor that restarts what is dead.
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
/// which is still a 200.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    params(("verbose" = Option<String>, Query, allow_reserved, example = "",
        description = "If present, the answer is JSON and says what the server depends on")),
    responses(
        (status = 200, description = "It accepts purchases", content(
            (String = "text/plain", example = json!("ok\n")),
            (ReadyView = "application/json", example = json!(ReadyView::example())),
        )),
        (status = 503, description = "It refuses purchases", content(
            (String = "text/plain", example = json!("not ready\n")),
            (ReadyView = "application/json", example = json!(ReadyView::example_of_refusing())),
        )),
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

/// Shows the server's metrics.
///
/// In Prometheus' text format. No label holds a user, an order or a request.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "The metrics", body = String,
        content_type = "text/plain",
        example = json!("seckill_purchases_total{outcome=\"placed\"} 346\n")))
)]
pub async fn metrics(State(edge): State<Arc<Edge>>) -> Response {
    let mut text = edge.metrics.render();
    text.push_str(&(edge.render_metrics)());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
