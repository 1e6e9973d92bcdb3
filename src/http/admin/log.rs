//! The operators' log: who did what, and when.

use crate::http::admission::Operator;
use crate::http::edge::Edge;
use crate::http::error::Problem;
use crate::http::extract::{PageQuery, Parameters};
use crate::http::timestamp;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// A page of the log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogPage {
    /// The entries.
    pub data: Vec<LogEntryView>,
    /// Whether there are older ones: ask again with `starting_after` the last one.
    pub has_more: bool,
}

/// One entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogEntryView {
    /// Its identity.
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub entry_id: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who.
    pub actor: String,
    /// What, such as `sale.approve`.
    pub action: String,
    /// To what, such as `sale:7`.
    pub subject: String,
    /// Whatever else is worth knowing.
    pub detail: Value,
}

/// The operators' log.
#[utoipa::path(
    get, path = "/api/v1/admin/audit-log", tag = "operators",
    params(PageQuery),
    responses((status = 200, description = "A page of the log", body = LogPage)),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<LogPage>, Problem> {
    let (limit, before) = query.read::<u64>()?;
    let mut entries = edge.sales.log_page(before, limit + 1).await?;
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let data = entries
        .into_iter()
        .map(|logged| LogEntryView {
            entry_id: logged.entry_id.to_string(),
            at: timestamp::to_string(logged.entry.at),
            actor: logged.entry.actor,
            action: logged.entry.action,
            subject: logged.entry.subject,
            detail: logged.entry.detail,
        })
        .collect();
    Ok(Json(LogPage { data, has_more }))
}
