//! Approval: what another person made, beside what it was before, and the two buttons that judge it.

use super::sale_fields::{Difference, SaleFields};
use super::sale_view::{ItemRow, stage_name};
use super::shell::{ConsoleShell, Section};
use super::visit::Visit;
use crate::http::admin::approval::approve_sale;
use crate::http::pages::form::{Form, FormErrors};
use crate::http::pages::money;
use crate::http::pages::problem::Shown;
use crate::http::pages::times::Moment;
use crate::http::pages::words::{Words, grouped};
use crate::http::problem::{Code, Problem};
use crate::http::request::idempotency_key::form_key;
use crate::http::request::path::Id;
use crate::http::request::rules::{Rule as _, Text};
use crate::http::state::Edge;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::catalogue::{Offer, Sale, SaleItem};
use domain::{Currency, OperatorRole, SaleId, SaleStatus, SaleStep};
use hyper::StatusCode;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The most characters of a note.
const NOTE_LENGTH_MAX: usize = 500;
/// Approved sales that are looked at for what a product cost before.
const FORMER_SALES: usize = 50;
/// A price that is lower than before by as many percent is told apart.
const LOWER_PERCENT: u64 = 50;

#[derive(Template)]
#[template(path = "console/approve.html")]
struct Approve {
    shell: ConsoleShell,
    errors: FormErrors,
    number: u64,
    title: String,
    stage: String,
    revision: u64,
    edited_by: String,
    submitted_by: String,
    starts_at: Moment,
    ends_at: Moment,
    length: String,
    items: Vec<Judged>,
    /// What all units would bring, by currency.
    revenue: Vec<String>,
    /// Whether the operator may judge it.
    may_judge: bool,
    is_own: bool,
    /// Whether it waits for a judgement.
    is_open: bool,
    note: String,
    seen: String,
    key: String,
    /// What was changed since the page was last shown.
    changes: Option<Vec<Difference>>,
    problem: Option<Shown>,
}

/// An item, beside the same product in the sale that was approved last.
struct Judged {
    row: ItemRow,
    former: Option<Former>,
    /// By how many percent the price is below the usual one; 0 if nobody says.
    below_list: u64,
    /// Whether that is so much that it may be a mistake.
    is_low: bool,
}

/// What a product cost when it was sold last.
struct Former {
    price: String,
    allotted: String,
    sale: u64,
    /// By how many percent the price is lower now.
    lower: u64,
    is_low: bool,
    is_same: bool,
}

/// What a judgement's form is shown with again.
#[derive(Default)]
struct Again {
    note: String,
    errors: FormErrors,
    changes: Option<Vec<Difference>>,
    problem: Option<Shown>,
}

/// Shows what is to be judged.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
) -> Result<Response, Problem> {
    let sale = edge.sales.sale(sale_id).await?;
    page(&edge, &visit, StatusCode::OK, &sale, Again::default()).await
}

async fn page(
    edge: &Edge,
    visit: &Visit,
    status: StatusCode,
    sale: &Sale,
    again: Again,
) -> Result<Response, Problem> {
    let words = visit.words;
    let former = former_offers(edge, sale).await?;
    let is_own = is_own(sale, &visit.user.name);
    let fields = SaleFields::of(sale, edge.options.pages.utc_offset);
    let stage = sale.status.stage(edge.engine.now(), sale.starts_at, sale.ends_at);
    let judged = |item: &SaleItem| judge(edge, visit, item, former.get(&item.offer.product_id));
    let page = Approve {
        shell: visit.frame(edge, words.approve_title(), Section::Sales),
        errors: again.errors,
        number: sale.sale_id.0,
        title: sale.title.clone(),
        stage: stage_name(words, stage),
        revision: sale.revision,
        edited_by: sale.edited_by.clone(),
        submitted_by: sale.submitted.as_ref().map(|(by, _)| by.clone()).unwrap_or_default(),
        starts_at: visit.moment(edge, sale.starts_at),
        ends_at: visit.moment(edge, sale.ends_at),
        length: length(words, sale.ends_at.0.saturating_sub(sale.starts_at.0) / 60_000),
        items: sale.items.iter().map(judged).collect(),
        revenue: revenue(visit, sale),
        may_judge: visit.user.roles.allow(OperatorRole::Approver) && !is_own,
        is_own,
        is_open: sale.status == SaleStatus::Submitted,
        note: again.note,
        seen: serde_json::to_string(&fields).unwrap_or_default(),
        key: form_key(),
        changes: again.changes,
        problem: again.problem,
    };
    visit.page(edge, status, &page)
}

/// How long a sale lasts, in the two largest units.
fn length(words: Words, minutes: u64) -> String {
    let (hours, days) = (minutes / 60, minutes / 1_440);
    match days {
        0 => words.approve_hours(hours, minutes % 60),
        _ => words.approve_days(days, hours % 24),
    }
}

/// Whether the operator is one of those who wrote or submitted the sale.
fn is_own(sale: &Sale, name: &str) -> bool {
    let step = SaleStep::Approve;
    let taken = domain::approval::take_step(SaleStatus::Submitted, step, name, sale.makers());
    taken.is_err()
}

/// The offers of the same products in the sales that were approved last, the newest of each.
async fn former_offers(
    edge: &Edge,
    sale: &Sale,
) -> Result<HashMap<String, (SaleId, Offer)>, Problem> {
    let approved =
        [SaleStatus::Approved, SaleStatus::Preheated, SaleStatus::Ended, SaleStatus::Settled];
    let mut former = HashMap::new();
    for before in edge.sales.page(&approved, None, FORMER_SALES).await? {
        if before.sale_id == sale.sale_id {
            continue;
        }
        for item in before.items {
            let product_id = item.offer.product_id.clone();
            former.entry(product_id).or_insert((before.sale_id, item.offer));
        }
    }
    Ok(former)
}

fn judge(edge: &Edge, visit: &Visit, item: &SaleItem, former: Option<&(SaleId, Offer)>) -> Judged {
    let offer = &item.offer;
    let money =
        |currency: Currency, amount| money::format(visit.words.language(), currency, amount);
    let former = former.filter(|(_, before)| before.currency == offer.currency);
    let former = former.map(|(sale, before)| {
        let lower = percent_lower(before.price, offer.price);
        Former {
            price: money(before.currency, before.price),
            allotted: grouped(&before.allotted.to_string()),
            sale: sale.0,
            lower,
            is_low: lower >= LOWER_PERCENT,
            is_same: before.price == offer.price,
        }
    });
    let below_list = offer.list_price.map_or(0, |list| percent_lower(list, offer.price));
    Judged { row: ItemRow::new(edge, visit, item), former, below_list, is_low: below_list >= 90 }
}

/// By how many percent `now` is below `before`; 0 if it is not.
fn percent_lower(before: u64, now: u64) -> u64 {
    let difference = u128::from(before.saturating_sub(now));
    // Of a hundred at most.
    u64::try_from(difference * 100 / u128::from(before.max(1))).unwrap_or(100)
}

/// What all units would bring, by currency.
fn revenue(visit: &Visit, sale: &Sale) -> Vec<String> {
    let mut sums: BTreeMap<&str, (Currency, u64)> = BTreeMap::new();
    for item in &sale.items {
        let offer = &item.offer;
        let (_, sum) = sums.entry(offer.currency.as_str()).or_insert((offer.currency, 0));
        *sum = sum.saturating_add(offer.price.saturating_mul(u64::from(offer.allotted)));
    }
    let text = |(currency, sum)| money::format(visit.words.language(), currency, sum);
    sums.into_values().map(text).collect()
}

/// Approves the sale and preheats it, or says why not. With the button for it, rejects the sale.
pub async fn submit(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
    entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Approver)?;
    let note = entered.text("note").trim();
    let mut again = Again { note: note.to_owned(), ..Again::default() };
    let is_rejection = entered.has("reject");
    let is_note = note.is_empty() || Text::<NOTE_LENGTH_MAX>::read(note.into()).is_ok();
    if !is_note || (is_rejection && note.is_empty()) {
        again.errors.push("note", visit.words.approve_note_rule());
        let sale = edge.sales.sale(sale_id).await?;
        return page(&edge, &visit, StatusCode::UNPROCESSABLE_ENTITY, &sale, again).await;
    }
    let note = Some(note).filter(|note| !note.is_empty());
    let change = super::sales::change(&edge, &visit, &entered);
    let done = if is_rejection {
        let step = edge.sales.take_step(sale_id, SaleStep::Reject, note, change).await;
        step.map(|changed| changed.sale).map_err(Problem::from)
    } else {
        approve_sale(&edge, sale_id, note, change).await
    };
    let problem = match done {
        Ok(_) => {
            let flash = if is_rejection { "rejected" } else { "approved" };
            return Ok(visit.lead_to(&edge, &format!("/console/sales/{sale_id}"), Some(flash)));
        }
        Err(problem) => problem,
    };
    if !matches!(problem.code, Code::RevisionConflict | Code::StateConflict | Code::Forbidden) {
        return Err(problem);
    }
    let sale = edge.sales.sale(sale_id).await?;
    if problem.code == Code::RevisionConflict {
        let seen: SaleFields = serde_json::from_str(entered.text("seen")).unwrap_or_default();
        let now = SaleFields::of(&sale, edge.options.pages.utc_offset);
        again.changes = Some(seen.differences(&now, visit.words));
    } else {
        again.problem = Some(Shown::of(visit.words, problem.code, None));
    }
    page(&edge, &visit, problem.code.status(), &sale, again).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_price_is_told_in_percent() {
        for (before, now, expected) in
            [(990, 99, 90), (990, 990, 0), (990, 1_000, 0), (100, 0, 100), (0, 0, 0), (3, 2, 33)]
        {
            assert_eq!(percent_lower(before, now), expected, "{before} {now}");
        }
    }
}
