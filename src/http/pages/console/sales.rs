//! Sales: all of them, one with what can be done to it, and the steps that need no page of their own.

use super::sale_view::{Checks, ItemRow, SaleRow, stage_badge, stage_name};
use super::shell::{ConsoleShell, Section};
use super::visit::Visit;
use crate::http::admin::preheat;
use crate::http::pages::form::Form;
use crate::http::pages::problem::Shown;
use crate::http::pages::times::Moment;
use crate::http::problem::{Code, Problem};
use crate::http::request::idempotency_key::{form_key, named_key};
use crate::http::request::page::{PageQuery, place};
use crate::http::request::path::Id;
use crate::http::state::Edge;
use crate::sales::{Base, Change};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use domain::catalogue::Sale;
use domain::{OperatorRole, SaleId, SaleStatus, SaleStep};
use hyper::StatusCode;
use std::sync::Arc;

/// Sales of one page of the list.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "console/sales.html")]
struct List {
    shell: ConsoleShell,
    sales: Vec<SaleRow>,
    /// Where older sales begin, if there are any.
    older: Option<u64>,
    may_write: bool,
}

/// Shows all sales, newest first.
pub async fn list(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let before = place(query.starting_after.as_deref())?;
    let mut sales = edge.sales.page(&[], before, PAGE + 1).await?;
    let has_more = sales.len() > PAGE;
    sales.truncate(PAGE);
    let older = sales.last().map(|sale| sale.sale_id.0).filter(|_| has_more);
    let page = List {
        shell: visit.frame(&edge, visit.words.console_sales(), Section::Sales),
        sales: sales.iter().map(|sale| SaleRow::new(&edge, &visit, sale)).collect(),
        older,
        may_write: visit.user.roles.allow(OperatorRole::Operator),
    };
    visit.page(&edge, StatusCode::OK, &page)
}

#[derive(Template)]
#[template(path = "console/sale.html")]
struct Show {
    shell: ConsoleShell,
    number: u64,
    title: String,
    stage: String,
    badge: &'static str,
    revision: u64,
    starts_at: Moment,
    ends_at: Moment,
    made: Signed,
    submitted: Option<Signed>,
    approved: Option<Signed>,
    edited_by: String,
    items: Vec<ItemRow>,
    checks: Option<Checks>,
    /// What the operator may do now.
    steps: Steps,
    key: String,
    problem: Option<Shown>,
}

/// Who did something, and when.
struct Signed {
    by: String,
    at: Moment,
}

/// What the operator may do to the sale now.
#[derive(Default)]
struct Steps {
    edit: bool,
    submit: bool,
    withdraw: bool,
    judge: bool,
    revise: bool,
    run: bool,
    look: bool,
    preheat: bool,
}

impl Steps {
    fn of(sale: &Sale, visit: &Visit) -> Self {
        let roles = visit.user.roles;
        let status = sale.status;
        let operates = roles.allow(OperatorRole::Operator);
        Self {
            edit: operates && status == SaleStatus::Draft,
            submit: operates && status == SaleStatus::Draft,
            withdraw: operates && status == SaleStatus::Submitted,
            judge: status == SaleStatus::Submitted,
            revise: operates && status == SaleStatus::Rejected,
            run: operates,
            look: matches!(status, SaleStatus::Preheated | SaleStatus::Ended),
            preheat: roles.allow(OperatorRole::Approver) && status == SaleStatus::Approved,
        }
    }
}

/// Shows one sale.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
) -> Result<Response, Problem> {
    let sale = edge.sales.sale(sale_id).await?;
    page(&edge, &visit, StatusCode::OK, &sale, None).await
}

async fn page(
    edge: &Edge,
    visit: &Visit,
    status: StatusCode,
    sale: &Sale,
    problem: Option<Shown>,
) -> Result<Response, Problem> {
    let moment = |at| visit.moment(edge, at);
    let signed = |(by, at): &(String, _)| Signed { by: by.clone(), at: moment(*at) };
    let stage = sale.status.stage(edge.engine.now(), sale.starts_at, sale.ends_at);
    edge.engine.look_at(sale.items.iter().map(|item| item.item_id)).await;
    let is_loaded = matches!(sale.status, SaleStatus::Approved | SaleStatus::Preheated);
    let checks = is_loaded.then(|| Checks::of(edge, visit, sale, &preheat::check(edge, sale)));
    let page = Show {
        shell: visit.frame(edge, sale.title.clone(), Section::Sales),
        number: sale.sale_id.0,
        title: sale.title.clone(),
        stage: stage_name(visit.words, stage),
        badge: stage_badge(stage),
        revision: sale.revision,
        starts_at: moment(sale.starts_at),
        ends_at: moment(sale.ends_at),
        made: Signed { by: sale.created_by.clone(), at: moment(sale.created_at) },
        submitted: sale.submitted.as_ref().map(signed),
        approved: sale.approved.as_ref().map(signed),
        edited_by: sale.edited_by.clone(),
        items: sale.items.iter().map(|item| ItemRow::new(edge, visit, item)).collect(),
        checks,
        steps: Steps::of(sale, visit),
        key: form_key(),
        problem,
    };
    visit.page(edge, status, &page)
}

/// Submits a draft for approval.
pub async fn submit(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
    entered: Form,
) -> Result<Response, Problem> {
    take_step(&edge, &visit, sale_id, SaleStep::Submit, "submitted", &entered).await
}

/// Takes a submitted sale back.
pub async fn withdraw(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
    entered: Form,
) -> Result<Response, Problem> {
    take_step(&edge, &visit, sale_id, SaleStep::Withdraw, "withdrawn", &entered).await
}

/// Makes a rejected sale a draft again.
pub async fn revise(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
    entered: Form,
) -> Result<Response, Problem> {
    take_step(&edge, &visit, sale_id, SaleStep::Revise, "revised", &entered).await
}

async fn take_step(
    edge: &Edge,
    visit: &Visit,
    sale_id: SaleId,
    step: SaleStep,
    flash: &str,
    entered: &Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let change = change(edge, visit, entered);
    match edge.sales.take_step(sale_id, step, None, change).await {
        Ok(_) => Ok(visit.lead_to(edge, &format!("/console/sales/{sale_id}"), Some(flash))),
        Err(error) => refuse(edge, visit, sale_id, error.into()).await,
    }
}

/// Deletes a draft.
pub async fn delete(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
    entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    match edge.sales.delete_sale(sale_id, change(&edge, &visit, &entered)).await {
        Ok(()) => Ok(visit.lead_to(&edge, "/console/sales", Some("deleted"))),
        Err(error) => refuse(&edge, &visit, sale_id, error.into()).await,
    }
}

/// The change that a form asks for: of the revision that it shows, and once.
pub fn change<'a>(edge: &Edge, visit: &'a Visit, entered: &Form) -> Change<'a> {
    let operator = visit.user.name.as_str();
    Change {
        operator,
        at: edge.engine.now(),
        base: Base::Revision(entered.text("revision").parse().unwrap_or(0)),
        request_id: named_key(entered.text("key"), operator),
    }
}

/// Shows the sale as it is now, and why nothing was done to it.
async fn refuse(
    edge: &Edge,
    visit: &Visit,
    sale_id: SaleId,
    problem: Problem,
) -> Result<Response, Problem> {
    if !matches!(problem.code, Code::RevisionConflict | Code::StateConflict | Code::Forbidden) {
        return Err(problem);
    }
    let sale = edge.sales.sale(sale_id).await?;
    let shown = Shown::of(visit.words, problem.code, None);
    page(edge, visit, problem.code.status(), &sale, Some(shown)).await
}
