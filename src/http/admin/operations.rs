//! Running a sale: pause, resume, end, restock. Decided by the shards, so they hold even while the
//! catalogue is away; each is in the operators' log.

use crate::actors::{Gate, Reply};
use crate::http::admission::{Id, Operator, SaleAndItem};
use crate::http::body::Fields;
use crate::http::document::ProblemView;
use crate::http::edge::Edge;
use crate::http::error::{Code, Problem};
use crate::http::extract::JsonObject;
use crate::http::items::{self, CountersView, ItemStateView, ItemView};
use crate::sales::LogEntry;
use axum::Json;
use axum::extract::State;
use domain::sale::ALLOTTED_MAX;
use domain::{Command, ItemCounters, ItemId, Outcome, Refusal, SaleId, SaleStatus, SaleStep};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

/// What became of a sale's items.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperationView {
    /// The sale.
    pub sale_id: String,
    /// Its items after the operation.
    pub items: Vec<OperatedItem>,
}

/// An item after an operation.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatedItem {
    /// The item.
    pub item_id: String,
    /// Whether it can be bought.
    pub state: ItemStateView,
    /// Its units.
    pub counters: CountersView,
}

/// Units to add.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestockRequest {
    /// How many.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    pub units: u32,
}

/// An operation on items.
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

/// Declares the handler of an operation on all items of a sale.
macro_rules! operation {
    ($name:ident, $operation:expr, $path:literal, $what:literal) => {
        #[doc = $what]
        #[utoipa::path(
                    post, path = $path, tag = "operators",
                    params(("sale" = String, Path, description = "The sale's identity")),
                    responses(
                        (status = 200, description = "The items after it", body = OperationView),
                        (status = 409, description = "`state_conflict`: not preheated, or over",
                            body = ProblemView, content_type = "application/problem+json"),
                    ),
                    security(("token" = []))
                )]
        pub async fn $name(
            State(edge): State<Arc<Edge>>,
            operator: Operator,
            Id(sale_id): Id<SaleId>,
        ) -> Result<Json<OperationView>, Problem> {
            operate(&edge, &operator, sale_id, $operation).await.map(Json)
        }
    };
}

operation!(
    pause,
    Operation::Pause,
    "/api/v1/admin/sales/{sale}/pause",
    "Stops selling all items of a sale for the moment."
);
operation!(
    resume,
    Operation::Resume,
    "/api/v1/admin/sales/{sale}/resume",
    "Sells the items of a paused sale again."
);
operation!(
    end,
    Operation::End,
    "/api/v1/admin/sales/{sale}/end",
    "Ends a sale for good. Orders that were placed live on."
);

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
            // An item that has ended stays so; the others are asked all the same.
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

/// A sale without items in shards: none at all, one that is not preheated, or one long over.
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

/// The shards have ended the items; the catalogue follows, now or when the end is repeated.
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
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/items/{item}/restock", tag = "operators",
    params(
        ("sale" = String, Path, description = "The sale's identity"),
        ("item" = String, Path, description = "The item's identity"),
    ),
    request_body = RestockRequest,
    responses(
        (status = 200, description = "The item after it", body = ItemView),
        (status = 409, description = "`state_conflict`: the item has ended",
            body = ProblemView, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub async fn restock(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    SaleAndItem(sale_id, item_id): SaleAndItem,
    JsonObject(body): JsonObject,
) -> Result<Json<ItemView>, Problem> {
    let mut errors = Vec::new();
    let mut fields = Fields::new(body, "", &mut errors);
    let units = fields
        .integer("units", 1..=u64::from(ALLOTTED_MAX))
        .and_then(|units| u32::try_from(units).ok());
    fields.finish();
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
