//! What the operations listener has beyond the API's words of health: readiness with its reasons, and
//! the metrics.

use super::api::health::ReadyStatus;
use super::oidc::Oidc;
use super::payments::provider::PaymentProvider;
use super::state::Edge;
use crate::actors::EngineStatus;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::Uri;
use hyper::header::CONTENT_TYPE;
use serde::Serialize;
use std::sync::Arc;

/// Whether the server accepts purchases, and what it depends on.
#[derive(Debug, Serialize)]
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

/// Something that the server depends on.
#[derive(Debug, Serialize)]
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

/// `GET /readyz`: how ready the server is, with `?verbose` as JSON and with what it depends on.
pub async fn ready(State(edge): State<Arc<Edge>>, uri: Uri) -> Response {
    let is_verbose = uri.query().is_some_and(|query| {
        query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose="))
    });
    // One look for all of the answer, so that its word is that of its rows.
    let status = edge.engine.status();
    let ready = ReadyStatus::of(&edge, &status);
    if is_verbose {
        ready.answer(Json(view(&edge, ready, status)))
    } else {
        ready.answer(ready.word())
    }
}

fn view(edge: &Edge, ready: ReadyStatus, status: EngineStatus) -> ReadyView {
    let refusing_because = if edge.shutdown.is_cancelled() {
        Some("the server is stopping".to_owned())
    } else {
        status.refusing_because.map(|reason| format!("{reason:?}"))
    };
    ReadyView {
        status: ready,
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
                meaning: dependency.meaning.to_string(),
            })
            .chain(challenge_provider(edge))
            .chain(edge.provider.as_deref().map(payment_provider))
            .chain(edge.oidc.as_ref().map(issuer))
            .collect(),
    }
}

/// How the provider of challenges is, if there is one. Purchases do without it.
fn challenge_provider(edge: &Edge) -> Option<DependencyView> {
    let (healthy, meaning) = edge.challenges.provider_health()?;
    let meaning = meaning.to_owned();
    Some(DependencyView { name: "challenge", kind: "external", healthy, meaning })
}

/// How the provider that takes the buyers' money is. Purchases do without it for as long as orders can be paid.
fn payment_provider(provider: &PaymentProvider) -> DependencyView {
    let healthy = provider.is_healthy();
    let meaning = match healthy {
        true => "payments begin there",
        false => {
            "payments could not begin: buyers are answered 503 and try again, orders stay reserved"
        }
    };
    DependencyView { name: "payments", kind: "provider", healthy, meaning: meaning.to_owned() }
}

/// The issuer of the mall's tokens among the dependencies, in words for operators.
fn issuer(oidc: &Oidc) -> DependencyView {
    let trouble = oidc.trouble();
    DependencyView {
        name: "issuer",
        kind: "oidc",
        healthy: trouble.is_none(),
        meaning: match trouble {
            Some(trouble) if oidc.has_keys() => format!("its keys: {trouble}, for a day at most"),
            Some(trouble) => {
                format!("its keys: {trouble}; its users and operators are answered 503")
            }
            None => "its keys are known: its users and operators are let in".to_owned(),
        },
    }
}

/// `GET /metrics`: the server's metrics in Prometheus' text format. No label holds a user, an order or a
/// request.
pub async fn metrics(State(edge): State<Arc<Edge>>) -> Response {
    let mut text = edge.metrics.render(edge.unread.count(), edge.event_streams.count());
    text.push_str(&edge.visits.render());
    edge.risk.render(&mut text);
    text.push_str(&(edge.render_metrics)());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
