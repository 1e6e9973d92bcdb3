//! What is on tonight: whether the shop sells, which sales run and come, what waits for somebody, and what
//! was done last.

use super::log_view::{LogRow, rows};
use super::sale_view::{SaleRow, dependency_name};
use super::shell::{ConsoleShell, Section};
use super::soon::soon;
use super::visit::Visit;
use crate::http::admin::preheat::{self, PreheatItem};
use crate::http::problem::Problem;
use crate::http::state::Edge;
use crate::sales::CatalogueError;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::catalogue::Sale;
use domain::{OperatorRole, SaleStatus};
use hyper::StatusCode;
use std::sync::Arc;

/// How far ahead the page looks.
const AHEAD_MILLISECONDS: u64 = 36 * 3_600_000;
/// Sales that are looked at.
const SALES_MAX: usize = 100;
/// Sales that wait for somebody, and entries of the log, that are shown.
const WAITING_MAX: usize = 10;
const LOG_MAX: usize = 8;

#[derive(Template)]
#[template(path = "console/tonight.html")]
struct Tonight {
    shell: ConsoleShell,
    /// Whether purchases are taken.
    is_selling: bool,
    shards_up: u64,
    shards: u64,
    backlog: u64,
    /// What does not work, with what that means for the sale.
    ailing: Vec<Ailing>,
    /// None if the catalogue does not answer.
    sales: Option<Vec<Coming>>,
    waiting: Vec<SaleRow>,
    drafts: Vec<SaleRow>,
    log: Vec<LogRow>,
    may_write: bool,
    may_approve: bool,
}

struct Ailing {
    name: String,
    meaning: String,
}

/// A sale that runs or comes.
struct Coming {
    row: SaleRow,
    is_live: bool,
    /// Items in their shards, and items.
    loaded: u64,
    items: u64,
    is_ready: bool,
    /// The first item that is not ready.
    culprit: String,
}

/// Shows the page.
pub async fn show(State(edge): State<Arc<Edge>>, visit: Visit) -> Result<Response, Problem> {
    let status = edge.engine.status();
    let ailing = status.dependencies.iter().filter(|dependency| !dependency.healthy);
    let ailing = ailing.map(|dependency| Ailing {
        name: dependency_name(visit.words, dependency.name),
        meaning: visit.words.meaning(&dependency.meaning),
    });
    let ailing = ailing.collect();
    let roles = visit.user.roles;
    let logged = async {
        match roles.allow_any(OperatorRole::READERS) {
            true => edge.sales.log_page(None, LOG_MAX).await.unwrap_or_default(),
            false => Vec::new(),
        }
    };
    // At once, so that a catalogue that is away is waited for once.
    let (making, sales, log) =
        tokio::join!(soon(in_the_making(&edge)), soon(coming(&edge)), soon(logged));
    let (waiting, drafts) = making.and_then(Result::ok).unwrap_or_default();
    let sales = match sales.and_then(Result::ok) {
        Some(sales) => Some(with_items(&edge, &visit, &sales).await),
        None => None,
    };
    let rows_of =
        |sales: &[Sale]| sales.iter().map(|sale| SaleRow::new(&edge, &visit, sale)).collect();
    let page = Tonight {
        shell: visit.frame(&edge, visit.words.console_tonight(), Section::Tonight),
        is_selling: status.refusing_because.is_none() && !edge.shutdown.is_cancelled(),
        shards_up: status.shards_up as u64,
        shards: status.shards as u64,
        backlog: status.backlog_records,
        ailing,
        sales,
        waiting: rows_of(&waiting),
        drafts: rows_of(&drafts),
        log: rows(&edge, &visit, log.unwrap_or_default()),
        may_write: roles.allow(OperatorRole::Operator),
        may_approve: roles.allow(OperatorRole::Approver),
    };
    visit.page(&edge, StatusCode::OK, &page)
}

/// The sales that wait for an approver, and those that are being written.
async fn in_the_making(edge: &Edge) -> Result<(Vec<Sale>, Vec<Sale>), CatalogueError> {
    let waiting = edge.sales.page(&[SaleStatus::Submitted], None, WAITING_MAX).await?;
    let written = [SaleStatus::Draft, SaleStatus::Rejected];
    Ok((waiting, edge.sales.page(&written, None, WAITING_MAX).await?))
}

/// The sales that run now or start soon, by their start.
async fn coming(edge: &Edge) -> Result<Vec<Sale>, CatalogueError> {
    let now = edge.engine.now();
    let approved = [SaleStatus::Approved, SaleStatus::Preheated];
    let mut sales = edge.sales.page(&approved, None, SALES_MAX).await?;
    let until = now.plus_milliseconds(AHEAD_MILLISECONDS);
    sales.retain(|sale| sale.ends_at > now && sale.starts_at < until);
    sales.sort_by_key(|sale| (sale.starts_at, sale.sale_id));
    Ok(sales)
}

/// These sales as the page shows them, with other nodes' items as they are, if that can be told soon.
async fn with_items(edge: &Edge, visit: &Visit, sales: &[Sale]) -> Vec<Coming> {
    let items = sales.iter().flat_map(|sale| &sale.items).map(|item| item.item_id);
    soon(edge.engine.look_at(items)).await;
    let now = edge.engine.now();
    let coming = |sale: &Sale| {
        let items = preheat::check(edge, sale);
        let culprit = items.iter().position(|item| !item.is_ready());
        let culprit = culprit.and_then(|place| sale.items.get(place));
        Coming {
            row: SaleRow::new(edge, visit, sale),
            is_live: sale.starts_at <= now,
            loaded: items.iter().filter(|item| item.is_ready()).count() as u64,
            items: items.len() as u64,
            is_ready: items.iter().all(PreheatItem::is_ready),
            culprit: culprit.map(|item| item.offer.title.clone()).unwrap_or_default(),
        }
    };
    sales.iter().map(coming).collect()
}
