//! Running a sale: pause, resume, end, restock. The shards decide them, so they work even while the
//! catalogue does not answer; each is written to the operators' log.

use super::draft::Units;
use crate::actors::{Gate, Reply};
use crate::http::api::example;
use crate::http::api::items::{self, CountersView, ItemStateView, ItemView};
use crate::http::auth::bearer::Operator;
use crate::http::problem::{Code, FieldErrors, Problem};
use crate::http::request::extract::JsonObject;
use crate::http::request::fields::{Body, body};
use crate::http::request::path::{Id, SaleAndItem};
use crate::http::request::rules::Identity;
use crate::http::state::Edge;
use crate::sales::LogEntry;
use axum::Json;
use axum::extract::State;
use domain::{Command, ItemCounters, ItemId, Outcome, Refusal, SaleId, SaleStatus, SaleStep};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

/// A sale's items after an operation.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperationView {
    /// The sale's identity.
    #[schema(value_type = Identity)]
    pub sale_id: String,
    /// The items that the operation reached, as they are afterwards.
    pub items: Vec<OperatedItem>,
}

/// An item after an operation.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatedItem {
    /// The item's identity.
    #[schema(value_type = Identity)]
    pub item_id: String,
    /// Whether the item can be bought now.
    pub state: ItemStateView,
    /// The item's units.
    pub counters: CountersView,
}

body! {
    /// Units to add to an item.
    pub struct RestockRequest {
        /// How many units.
        Required units: Units,
    }
}

/// An operation on all items of a sale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Pause,
    Resume,
    End,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::End => "end",
        }
    }

    fn command(self, item_id: ItemId) -> Command {
        match self {
            Self::Pause => Command::Pause(item_id),
            Self::Resume => Command::Resume(item_id),
            Self::End => Command::End(item_id),
        }
    }
}

impl OperationView {
    fn example(state: ItemStateView) -> Self {
        Self {
            sale_id: example::SALE_ID.to_owned(),
            items: vec![OperatedItem {
                item_id: example::ITEM_ID.to_owned(),
                state,
                counters: CountersView::example(),
            }],
        }
    }
}

/// Pauses a sale.
///
/// None of its items can be bought until it is resumed. Orders can still be paid and cancelled.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/pause", tag = "operators",
    params(Id::<SaleId>),
    responses(
        (status = 200, description = "The sale's items afterwards", body = OperationView,
            links(
            ("resume" = (operation_id = "post_admin_sales_sale_resume")),
            ("end" = (operation_id = "post_admin_sales_sale_end")),
            ),
            example = json!(OperationView::example(ItemStateView::Paused))),
        (status = 409, description = "`state_conflict`: the sale is not preheated, or is over"),
    ),
    security(("token" = []))
)]
pub async fn pause(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    Id(sale_id): Id<SaleId>,
) -> Result<Json<OperationView>, Problem> {
    operate(&edge, &operator, sale_id, Operation::Pause).await.map(Json)
}

/// Resumes a paused sale.
///
/// Its items can be bought again.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/resume", tag = "operators",
    params(Id::<SaleId>),
    responses(
        (status = 200, description = "The sale's items afterwards", body = OperationView,
            links(
            ("pause" = (operation_id = "post_admin_sales_sale_pause")),
            ("end" = (operation_id = "post_admin_sales_sale_end")),
            ),
            example = json!(OperationView::example(ItemStateView::Live))),
        (status = 409, description = "`state_conflict`: the sale is not preheated, or is over"),
    ),
    security(("token" = []))
)]
pub async fn resume(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    Id(sale_id): Id<SaleId>,
) -> Result<Json<OperationView>, Problem> {
    operate(&edge, &operator, sale_id, Operation::Resume).await.map(Json)
}

/// Ends a sale.
///
/// For good: it cannot be resumed. Orders that were placed can still be paid and cancelled.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/end", tag = "operators",
    params(Id::<SaleId>),
    responses(
        (status = 200, description = "The sale's items afterwards", body = OperationView,
            links(
            ("sale" = (operation_id = "get_admin_sales_sale")),
            ("orders" = (operation_id = "get_admin_sales_sale_orders")),
            ),
            example = json!(OperationView::example(ItemStateView::Ended))),
        (status = 409, description = "`state_conflict`: the sale is not preheated, or is over"),
    ),
    security(("token" = []))
)]
pub async fn end(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    Id(sale_id): Id<SaleId>,
) -> Result<Json<OperationView>, Problem> {
    operate(&edge, &operator, sale_id, Operation::End).await.map(Json)
}

async fn operate(
    edge: &Edge,
    operator: &Operator,
    sale_id: SaleId,
    operation: Operation,
) -> Result<OperationView, Problem> {
    let gates = gates_of(edge, sale_id);
    if gates.is_empty() {
        return without_gates(edge, operator, sale_id, operation).await;
    }
    let mut done = Vec::with_capacity(gates.len());
    let mut conflict = None;
    for gate in &gates {
        match decide(edge, gate, operation.command(gate.terms().item_id)).await {
            Ok(counters) => done.push(view(edge, gate, counters)),
            // An item that has ended stays ended; the others are still asked.
            Err(problem) if problem.code == Code::StateConflict => conflict = Some(problem),
            Err(problem) => {
                log(edge, operator, sale_id, operation, &done, Some(problem.code)).await;
                return Err(problem);
            }
        }
    }
    if let Some(problem) = conflict.filter(|_| done.is_empty()) {
        return Err(problem);
    }
    log(edge, operator, sale_id, operation, &done, None).await;
    if operation == Operation::End {
        note_end(edge, operator, sale_id).await;
    }
    Ok(OperationView { sale_id: sale_id.to_string(), items: done })
}

/// Operates on a sale without items in shards: it does not exist, is not preheated, or was over long
/// ago.
async fn without_gates(
    edge: &Edge,
    operator: &Operator,
    sale_id: SaleId,
    operation: Operation,
) -> Result<OperationView, Problem> {
    let sale = edge.sales.sale(sale_id).await?;
    let nothing = OperationView { sale_id: sale_id.to_string(), items: Vec::new() };
    match (operation, sale.status) {
        (Operation::End, SaleStatus::Ended | SaleStatus::Settled) => Ok(nothing),
        (Operation::End, SaleStatus::Approved | SaleStatus::Preheated) => {
            let now = edge.engine.now();
            edge.sales.take_step(sale_id, SaleStep::End, &operator.name, None, now).await?;
            Ok(nothing)
        }
        (_, status) => Err(Problem::new(
            Code::StateConflict,
            format!("no item of the sale is on sale: it is {}", status.name()),
        )),
    }
}

fn gates_of(edge: &Edge, sale_id: SaleId) -> Vec<Arc<Gate>> {
    let mut gates: Vec<_> =
        edge.engine.gates().into_iter().filter(|gate| gate.terms().sale_id == sale_id).collect();
    gates.sort_by_key(|gate| gate.terms().item_id);
    gates
}

async fn decide(edge: &Edge, gate: &Gate, command: Command) -> Result<ItemCounters, Problem> {
    match edge.engine.decide_item(gate, command).await {
        Reply::Decided(Outcome::Item(counters)) => Ok(counters),
        Reply::Decided(Outcome::Refused(Refusal::PhaseConflict)) => {
            Err(Problem::new(Code::StateConflict, "the item has ended"))
        }
        Reply::Decided(Outcome::Refused(refusal)) => Err(refusal.into()),
        Reply::NotDelivered(reason) => Err(reason.into()),
        Reply::Decided(Outcome::Order(_) | Outcome::Placed(_) | Outcome::Replayed(_))
        | Reply::Unknown => Err(Problem::new(
            Code::OutcomeUnknown,
            "it may or may not have been done: look at the item before you repeat it",
        )),
    }
}

fn view(edge: &Edge, gate: &Gate, counters: ItemCounters) -> OperatedItem {
    OperatedItem {
        item_id: gate.terms().item_id.to_string(),
        state: items::state(gate, edge.engine.now()),
        counters: counters.into(),
    }
}

async fn log(
    edge: &Edge,
    operator: &Operator,
    sale_id: SaleId,
    operation: Operation,
    done: &[OperatedItem],
    stopped_by: Option<Code>,
) {
    let items: Vec<&str> = done.iter().map(|item| item.item_id.as_str()).collect();
    edge.sales
        .append_log(LogEntry {
            at: edge.engine.now(),
            actor: operator.name.clone(),
            action: format!("items.{}", operation.name()),
            subject: format!("sale:{sale_id}"),
            detail: json!({ "items": items, "stopped_by": stopped_by.map(Code::name) }),
        })
        .await;
}

/// Notes in the catalogue that the shards have ended the items. If the catalogue does not answer now,
/// repeating the operation or the clock makes up for it.
async fn note_end(edge: &Edge, operator: &Operator, sale_id: SaleId) {
    let now = edge.engine.now();
    match edge.sales.take_step(sale_id, SaleStep::End, &operator.name, None, now).await {
        Ok(_) => {}
        Err(error) => {
            let ended =
                edge.sales.sale(sale_id).await.is_ok_and(|sale| {
                    matches!(sale.status, SaleStatus::Ended | SaleStatus::Settled)
                });
            if !ended {
                tracing::warn!(%sale_id, %error, "sale ended, and not yet in the catalogue");
            }
        }
    }
}

/// Adds units to an item.
///
/// They can be bought at once, if the item's sale is live.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/items/{item}/restock", tag = "operators",
    params(SaleAndItem),
    request_body(content = RestockRequest, content_type = "application/json",
        example = json!({ "units": 200 })),
    responses(
        (status = 200, description = "The item afterwards", body = ItemView,
            links(("item" = (operation_id = "get_items_item"))),
            example = json!(ItemView::example())),
        (status = 409, description = "`state_conflict`: the item has ended"),
    ),
    security(("token" = []))
)]
pub async fn restock(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    SaleAndItem(sale_id, item_id): SaleAndItem,
    JsonObject(body): JsonObject,
) -> Result<Json<ItemView>, Problem> {
    let mut errors = FieldErrors::default();
    let units = RestockRequest::read(body, "", &mut errors).units;
    let Some(units) = units.filter(|_| errors.is_empty()) else {
        return Err(Problem::fields(errors));
    };
    let gate = edge
        .engine
        .gate(item_id)
        .filter(|gate| gate.terms().sale_id == sale_id)
        .ok_or_else(Problem::item_not_found)?;
    let counters = decide(&edge, &gate, Command::Restock { item_id, units }).await?;
    edge.sales
        .append_log(LogEntry {
            at: edge.engine.now(),
            actor: operator.name,
            action: "item.restock".to_owned(),
            subject: format!("item:{item_id}"),
            detail: json!({ "units": units, "allotted": counters.allotted }),
        })
        .await;
    Ok(Json(ItemView { counters: counters.into(), ..items::view(&gate, edge.engine.now()) }))
}
