//! Running a sale: its figures, the brake, and what asks first.
//!
//! A pause is one press, because nobody types into a brake. Units are changed after the new sum was shown,
//! and a sale is ended by typing its title. Works while the catalogue does not answer, by what the
//! shards know.

use super::sale_view::{Units, stage_badge, stage_name};
use super::shell::{ConsoleShell, Section};
use super::soon::soon;
use super::visit::Visit;
use crate::actors::Gate;
use crate::http::admin::draft::Units as UnitsRule;
use crate::http::admin::operations::{Requester, gate_of, gates_of, operate_item, operate_sale};
use crate::http::api::items::{self, ItemStateView};
use crate::http::pages::form::{Form, FormErrors};
use crate::http::pages::problem::Shown;
use crate::http::pages::times::Moment;
use crate::http::pages::words::{Words, grouped};
use crate::http::problem::{Code, Problem};
use crate::http::purchase;
use crate::http::request::idempotency_key::{form_key, named_key};
use crate::http::request::path::{Id, SaleAndItem};
use crate::http::request::rules::Rule as _;
use crate::http::state::Edge;
use crate::sales::{CatalogueError, RecordsUnavailable};
use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::catalogue::Sale;
use domain::{ItemAction, ItemId, OperatorRole, SaleId};
use hyper::StatusCode;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "console/live.html")]
struct Live {
    shell: ConsoleShell,
    errors: FormErrors,
    number: u64,
    title: String,
    stage: String,
    badge: &'static str,
    starts_at: Option<Moment>,
    ends_at: Option<Moment>,
    now: Moment,
    items: Vec<LiveItem>,
    /// Whether some item can be paused, and whether some is.
    may_pause: bool,
    may_resume: bool,
    may_operate: bool,
    is_over: bool,
    typed: String,
    key: String,
    problem: Option<Shown>,
}

struct LiveItem {
    number: u64,
    title: String,
    state: String,
    badge: &'static str,
    units: Units,
    is_over: bool,
    /// What was typed into its field where that was wrong.
    typed: String,
}

#[derive(Template)]
#[template(path = "console/units.html")]
struct Confirm {
    shell: ConsoleShell,
    sale: u64,
    item: u64,
    title: String,
    /// Whether units are taken back.
    is_reduction: bool,
    units: u64,
    units_text: String,
    before: String,
    after: String,
    key: String,
}

/// Shows the figures, and what can be done.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
) -> Result<Response, Problem> {
    page(&edge, &visit, StatusCode::OK, sale_id, Again::default()).await
}

/// What the page is shown with again.
#[derive(Default)]
struct Again {
    errors: FormErrors,
    typed: String,
    /// What was typed as an item's units.
    units: Option<(ItemId, String)>,
    problem: Option<Shown>,
}

async fn page(
    edge: &Edge,
    visit: &Visit,
    status: StatusCode,
    sale_id: SaleId,
    again: Again,
) -> Result<Response, Problem> {
    let gates = gates_of(edge, sale_id).await?;
    let sale = match soon(edge.sales.sale(sale_id)).await {
        Some(Ok(sale)) => Some(sale),
        // The shards have all that a brake needs.
        None | Some(Err(CatalogueError::Store(_))) if !gates.is_empty() => None,
        None => return Err(RecordsUnavailable.into()),
        Some(Err(error)) => return Err(error.into()),
    };
    let (words, now) = (visit.words, edge.engine.now());
    let titles = sale.as_ref().map(titles).unwrap_or_default();
    let states: Vec<ItemStateView> = gates.iter().map(|gate| items::state(gate, now)).collect();
    let rows = gates.iter().zip(&states).map(|(gate, state)| {
        let terms = gate.terms();
        let title = titles.get(&terms.item_id).cloned();
        let typed = again.units.as_ref().filter(|(item_id, _)| *item_id == terms.item_id);
        LiveItem {
            number: terms.item_id.0,
            title: title.unwrap_or_else(|| terms.product_id.to_string()),
            state: state_name(words, *state),
            badge: state_badge(*state),
            units: items::units(gate).into(),
            is_over: *state == ItemStateView::Ended,
            typed: typed.map(|(_, typed)| typed.clone()).unwrap_or_default(),
        }
    });
    let stage = sale.as_ref().map(|sale| sale.status.stage(now, sale.starts_at, sale.ends_at));
    let has = |wanted: &[ItemStateView]| states.iter().any(|state| wanted.contains(state));
    let page = Live {
        shell: visit.frame(edge, words.live_title(), Section::Sales),
        errors: again.errors,
        number: sale_id.0,
        title: sale.as_ref().map_or_else(|| sale_id.to_string(), |sale| sale.title.clone()),
        stage: stage.map(|stage| stage_name(words, stage)).unwrap_or_default(),
        badge: stage.map(stage_badge).unwrap_or_default(),
        starts_at: sale.as_ref().map(|sale| visit.moment(edge, sale.starts_at)),
        ends_at: sale.as_ref().map(|sale| visit.moment(edge, sale.ends_at)),
        now: visit.moment(edge, now),
        items: rows.collect(),
        may_pause: has(&[ItemStateView::Live, ItemStateView::Upcoming, ItemStateView::SoldOut]),
        may_resume: has(&[ItemStateView::Paused]),
        may_operate: visit.user.roles.allow(OperatorRole::Operator),
        is_over: !gates.is_empty() && states.iter().all(|state| *state == ItemStateView::Ended),
        typed: again.typed,
        key: form_key(),
        problem: again.problem,
    };
    visit.page(edge, status, &page)
}

fn titles(sale: &Sale) -> HashMap<ItemId, String> {
    sale.items.iter().map(|item| (item.item_id, item.offer.title.clone())).collect()
}

fn state_name(words: Words, state: ItemStateView) -> String {
    match state {
        ItemStateView::Upcoming => words.state_upcoming(),
        ItemStateView::Live => words.state_live(),
        ItemStateView::Paused => words.state_paused(),
        ItemStateView::SoldOut => words.state_sold_out(),
        ItemStateView::Ended => words.state_ended(),
    }
}

fn state_badge(state: ItemStateView) -> &'static str {
    match state {
        ItemStateView::Live => "good",
        ItemStateView::Paused => "warn",
        ItemStateView::Upcoming | ItemStateView::SoldOut | ItemStateView::Ended => "",
    }
}

/// The figures of a sale, for the page's script.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// As of when, in words.
    at: String,
    /// As of when, for machines.
    machine: String,
    items: Vec<ItemFigures>,
}

#[derive(Debug, Serialize)]
struct ItemFigures {
    item: String,
    state: String,
    badge: &'static str,
    available: String,
    reserved: String,
    sold: String,
    allotted: String,
    adds_up: bool,
}

/// Returns the figures as text, as the page shows them.
pub async fn figures(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
) -> Json<Figures> {
    let now = edge.engine.now();
    // What cannot be looked at keeps its last figures on the page.
    let gates = gates_of(&edge, sale_id).await.unwrap_or_default();
    let items = gates.into_iter().map(|gate| {
        let (units, state) = (Units::from(items::units(&gate)), items::state(&gate, now));
        ItemFigures {
            item: gate.terms().item_id.to_string(),
            state: state_name(visit.words, state),
            badge: state_badge(state),
            available: units.available,
            reserved: units.reserved,
            sold: units.sold,
            allotted: units.allotted,
            adds_up: units.adds_up,
        }
    });
    let Moment { machine, text } = visit.moment(&edge, now);
    Json(Figures { at: text, machine, items: items.collect() })
}

/// Pauses the sale: one press.
pub async fn pause(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
    entered: Form,
) -> Result<Response, Problem> {
    operate(&edge, &visit, sale_id, ItemAction::Pause, "paused", &entered).await
}

/// Resumes the sale.
pub async fn resume(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
    entered: Form,
) -> Result<Response, Problem> {
    operate(&edge, &visit, sale_id, ItemAction::Resume, "resumed", &entered).await
}

/// Ends the sale, if its title was typed.
pub async fn end(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
    entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let typed = entered.text("title").trim();
    let is_meant = match soon(edge.sales.sale(sale_id)).await {
        Some(Ok(sale)) => typed == sale.title.trim(),
        // Without the catalogue the page shows the sale's number in place of its title.
        None | Some(Err(CatalogueError::Store(_))) => typed == sale_id.to_string(),
        Some(Err(error)) => return Err(error.into()),
    };
    if is_meant {
        return operate(&edge, &visit, sale_id, ItemAction::End, "ended", &entered).await;
    }
    let mut again = Again { typed: typed.to_owned(), ..Again::default() };
    again.errors.push("title", visit.words.live_end_rule());
    page(&edge, &visit, StatusCode::UNPROCESSABLE_ENTITY, sale_id, again).await
}

/// Returns who asks, with the form's own name.
pub fn requester(visit: &Visit, entered: &Form) -> Requester {
    let name = visit.user.name.clone();
    Requester { request_id: named_key(entered.text("key"), &name), name }
}

async fn operate(
    edge: &Edge,
    visit: &Visit,
    sale_id: SaleId,
    action: ItemAction,
    flash: &str,
    entered: &Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    match operate_sale(edge, &requester(visit, entered), sale_id, action).await {
        Ok(_) => Ok(visit.lead_to(edge, &format!("/console/sales/{sale_id}/live"), Some(flash))),
        Err(problem) => refuse(edge, visit, sale_id, problem).await,
    }
}

/// Shows the page as it is now, and why nothing was done.
///
/// # Errors
/// Returns the problem itself if there is no such sale or item.
pub async fn refuse(
    edge: &Edge,
    visit: &Visit,
    sale_id: SaleId,
    problem: Problem,
) -> Result<Response, Problem> {
    if matches!(problem.code, Code::SaleNotFound | Code::ItemNotFound) {
        return Err(problem);
    }
    let shown = Shown::of(visit.words, problem.code, None);
    let again = Again { problem: Some(shown), ..Again::default() };
    page(edge, visit, problem.code.status(), sale_id, again).await
}

/// Adds units to an item or takes some back: shows the new sum first, and does it when that was confirmed.
pub async fn change_units(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    path: SaleAndItem,
    entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let SaleAndItem(sale_id, item_id) = path;
    let is_reduction = entered.has("reduce");
    // The whole item's units, also where it is in several buckets.
    gate_of(&edge, sale_id, item_id).await?;
    let gate = purchase::item_with_units(&edge, item_id).await?;
    let typed = entered.text("units").trim();
    let units = typed.parse::<u64>().ok().and_then(|units| UnitsRule::read(units.into()).ok());
    let before = gate.counters().allotted;
    let after = units.map(|units| match is_reduction {
        true => Some(before.saturating_sub(units)),
        false => before.checked_add(units),
    });
    let (Some(units), Some(after)) = (units, after.flatten()) else {
        return units_again(&edge, &visit, path, typed, visit.words.live_units_rule()).await;
    };
    let too_many = || {
        (is_reduction && units > gate.counters().available)
            .then(|| visit.words.live_reduce_rule(gate.counters().available.into()))
    };
    if !entered.has("confirmed") {
        if let Some(rule) = too_many() {
            return units_again(&edge, &visit, path, typed, rule).await;
        }
        let title = edge.titles.title(&edge.sales, &gate).await;
        let product = gate.terms().product_id.to_string();
        let confirm = Confirm {
            shell: visit.frame(&edge, visit.words.units_title(), Section::Sales),
            sale: sale_id.0,
            item: item_id.0,
            title: title.map_or(product, |title| title.title.to_string()),
            is_reduction,
            units: u64::from(units),
            units_text: grouped(&units.to_string()),
            before: grouped(&before.to_string()),
            after: grouped(&after.to_string()),
            key: entered.text("key").to_owned(),
        };
        return visit.page(&edge, StatusCode::OK, &confirm);
    }
    let action = if is_reduction { ItemAction::Reduce(units) } else { ItemAction::Restock(units) };
    match operate_item(&edge, &requester(&visit, &entered), path, action).await {
        Ok(_) => {
            let path = format!("/console/sales/{sale_id}/live");
            Ok(visit.lead_to(&edge, &path, Some("units_changed")))
        }
        // Some were bought after the sum was shown.
        Err(problem) if problem.code == Code::StateConflict => match too_many() {
            Some(rule) if !is_over(&edge, &gate) => {
                units_again(&edge, &visit, path, typed, rule).await
            }
            _ => refuse(&edge, &visit, sale_id, problem).await,
        },
        Err(problem) => refuse(&edge, &visit, sale_id, problem).await,
    }
}

fn is_over(edge: &Edge, gate: &Gate) -> bool {
    items::state(gate, edge.engine.now()) == ItemStateView::Ended
}

/// Shows the page with what was typed as an item's units, and what is wrong with it.
async fn units_again(
    edge: &Edge,
    visit: &Visit,
    SaleAndItem(sale_id, item_id): SaleAndItem,
    typed: &str,
    rule: String,
) -> Result<Response, Problem> {
    let mut again = Again { units: Some((item_id, typed.to_owned())), ..Again::default() };
    again.errors.push(format!("units-{item_id}"), rule);
    page(edge, visit, StatusCode::UNPROCESSABLE_ENTITY, sale_id, again).await
}
