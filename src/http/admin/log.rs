//! The operators' log: who did what, and when.

use crate::http::api::example;
use crate::http::auth::bearer::Reader;
use crate::http::problem::Problem;
use crate::http::request::extract::Parameters;
use crate::http::request::page::PageQuery;
use crate::http::request::rules::Identity;
use crate::http::state::Edge;
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
    /// The entries of this page.
    pub data: Vec<LogEntryView>,
    /// Whether there are older entries: ask for them with `starting_after` the last one of this page.
    pub has_more: bool,
}

/// An entry of the operators' log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogEntryView {
    /// The entry's identity.
    #[schema(value_type = Identity)]
    pub entry_id: String,
    /// When it was done.
    #[schema(format = DateTime)]
    pub at: String,
    /// The operator who did it.
    pub actor: String,
    /// What was done, such as `sale.approve`.
    pub action: String,
    /// What it was done to, such as `sale:7`.
    pub subject: String,
    /// More about it; its fields depend on the action.
    pub detail: Value,
}

impl LogPage {
    fn example() -> Self {
        let entry = LogEntryView {
            entry_id: "18".to_owned(),
            at: example::APPROVED_AT.to_owned(),
            actor: example::APPROVER.to_owned(),
            action: "sale.approve".to_owned(),
            subject: format!("sale:{}", example::SALE_ID),
            detail: serde_json::json!({ "note": "价格已核对" }),
        };
        Self { data: vec![entry], has_more: false }
    }
}

/// Lists what operators did.
///
/// The operators' log, newest first, a page at a time; for operators and admins.
#[utoipa::path(
    get, path = "/api/v1/admin/audit-log", tag = "operators",
    params(PageQuery),
    responses((status = 200, description = "A page of the log", body = LogPage,
        example = json!(LogPage::example()))),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    _reader: Reader,
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
