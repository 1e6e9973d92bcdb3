//! Refunds: money that has to go back, with the field for by what it went, and what went back before.

use super::shell::{ConsoleShell, Section};
use super::visit::Visit;
use crate::http::admin::list_form::for_excel;
use crate::http::admin::refund_export::export;
use crate::http::admin::refunds::{RefundsQuery, page_of, refunded};
use crate::http::pages::form::{Form, FormErrors};
use crate::http::pages::money;
use crate::http::pages::times::Moment;
use crate::http::problem::{Code, Problem};
use crate::http::request::page::place;
use crate::http::request::path::Segment;
use crate::http::state::Edge;
use crate::sales::StoredPayment;
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use domain::{OperatorRole, PaymentId, PaymentReference, PaymentState};
use hyper::StatusCode;
use serde::Deserialize;
use std::sync::Arc;

/// Refunds of one page.
const PAGE: usize = 50;

/// Which refunds are shown, and from where on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Shown {
    state: String,
    starting_after: Option<String>,
    excel: Option<String>,
}

impl Shown {
    fn is_made(&self) -> bool {
        self.state == PaymentState::Refunded.name()
    }

    fn query(&self) -> RefundsQuery {
        let state = if self.is_made() { PaymentState::Refunded } else { PaymentState::RefundDue };
        RefundsQuery { state: Some(state.name().to_owned()), ..RefundsQuery::default() }
    }
}

#[derive(Template)]
#[template(path = "console/refunds.html")]
struct Refunds {
    shell: ConsoleShell,
    errors: FormErrors,
    /// What was typed where something is wrong.
    typed: String,
    /// Whether those are shown that were made.
    is_made: bool,
    state: &'static str,
    rows: Vec<RefundRow>,
    /// The last payment of this page, if there are more.
    after: Option<String>,
}

struct RefundRow {
    payment: String,
    order: u64,
    sale: u64,
    user: u64,
    provider: String,
    reference: String,
    amount: String,
    made_as: String,
    since: Moment,
}

impl Refunds {
    /// What stands in the field of a payment: what was typed, if that was wrong.
    fn typed_for(&self, payment: &str) -> &str {
        if self.errors.of(field(payment)).is_empty() { "" } else { &self.typed }
    }

    fn field(&self, payment: &str) -> String {
        field(payment)
    }
}

/// The `id` of a payment's field.
fn field(payment: &str) -> String {
    format!("reference-{payment}")
}

/// Shows those that are due, or those that were made.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    page(&edge, &visit, &shown, StatusCode::OK, FormErrors::default(), String::new()).await
}

async fn page(
    edge: &Edge,
    visit: &Visit,
    shown: &Shown,
    status: StatusCode,
    errors: FormErrors,
    typed: String,
) -> Result<Response, Problem> {
    let filter = shown.query().filter()?;
    let after = place(shown.starting_after.as_deref())?;
    let (found, has_more) = page_of(edge, &filter, after, PAGE).await?;
    let is_made = shown.is_made();
    let page = Refunds {
        shell: visit.frame(edge, visit.words.console_refunds(), Section::Refunds),
        errors,
        typed,
        is_made,
        state: filter.state.map_or("", PaymentState::name),
        after: found.last().filter(|_| has_more).map(|last| last.payment.id.to_string()),
        rows: found.iter().map(|stored| row(edge, visit, stored)).collect(),
    };
    visit.page(edge, status, &page)
}

fn row(edge: &Edge, visit: &Visit, stored: &StoredPayment) -> RefundRow {
    let payment = &stored.payment;
    let text = |reference: &Option<PaymentReference>| {
        reference.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    RefundRow {
        payment: payment.id.to_string(),
        order: payment.id.order_id.0,
        sale: stored.sale_id.0,
        user: stored.user_id.0,
        provider: payment.provider.to_string(),
        reference: text(&payment.reference),
        amount: money::format(visit.words.language(), payment.currency, payment.amount),
        made_as: text(&payment.refund_reference),
        since: visit.moment(edge, stored.changed_at),
    }
}

/// Sends what is shown as a file, all of it.
pub async fn file(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let for_excel = for_excel(shown.excel.as_deref())?;
    export(edge, shown.query().filter()?, for_excel).await
}

/// Marks a refund as made.
pub async fn settle(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Segment(payment): Segment,
    entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let words = visit.words;
    let typed = entered.text("reference").trim();
    let done = match (payment.parse::<PaymentId>(), PaymentReference::parse(typed)) {
        (Ok(id), Some(reference)) => {
            match refunded(&edge, id, &reference, &visit.user.name).await {
                Ok(_) => Ok(()),
                Err(problem) if problem.code == Code::PaymentClosed => Err(words.refund_closed()),
                Err(problem) if problem.code == Code::PaymentNotFound => Err(words.refund_gone()),
                Err(problem) => return Err(problem),
            }
        }
        (Err(_), _) => Err(words.refund_gone()),
        (Ok(_), None) => Err(words.refund_reference_rule()),
    };
    match done {
        Ok(()) => Ok(visit.lead_to(&edge, "/console/refunds", Some("refunded"))),
        Err(message) => {
            let mut errors = FormErrors::default();
            errors.push(field(&payment), message);
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            page(&edge, &visit, &Shown::default(), status, errors, typed.to_owned()).await
        }
    }
}
