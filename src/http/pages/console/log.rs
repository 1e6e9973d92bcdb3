//! The operators' log: who did what, and when.

use super::log_view::{LogRow, rows};
use super::shell::{ConsoleShell, Section};
use super::visit::Visit;
use crate::http::problem::Problem;
use crate::http::request::page::{PageQuery, place};
use crate::http::state::Edge;
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use hyper::StatusCode;
use std::sync::Arc;

/// Entries of one page.
const PAGE: usize = 100;

#[derive(Template)]
#[template(path = "console/log.html")]
struct Log {
    shell: ConsoleShell,
    entries: Vec<LogRow>,
    older: Option<u64>,
}

/// Shows a page of the log, newest first.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    visit.user.require_reader()?;
    let before = place(query.starting_after.as_deref())?;
    let mut entries = edge.sales.log_page(before, PAGE + 1).await?;
    let has_more = entries.len() > PAGE;
    entries.truncate(PAGE);
    let older = entries.last().map(|logged| logged.entry_id).filter(|_| has_more);
    let page = Log {
        shell: visit.frame(&edge, visit.words.console_log(), Section::Log),
        entries: rows(&edge, &visit, entries),
        older,
    };
    visit.page(&edge, StatusCode::OK, &page)
}
