//! Running a sale: pause, resume, end, restock, reduce. The shards decide them, so they work even while
//! the catalogue does not answer. Who asked for each is part of its record, from which the operators'
//! log is filled.

use super::change;
use super::draft::Units;
use crate::actors::{Gate, Reply};
use crate::http::api::example;
use crate::http::api::items::{self, CountersView, ItemStateView, ItemView};
use crate::http::auth::bearer::Operator;
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::JsonObject;
use crate::http::request::fields::{Body, body};
use crate::http::request::idempotency_key::{IdempotencyKey, operator_key};
use crate::http::request::path::{Id, SaleAndItem};
use crate::http::request::rules::Identity;
use crate::http::state::Edge;
use crate::sales::Change;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use domain::{
    Command, ItemAction, ItemCounters, ItemId, ItemPhase, Operation, OperatorRequest, Outcome,
    Refusal, RequestId, SaleId, SaleStatus, SaleStep,
};
use futures_util::future::join_all;
use hyper::http::request::Parts;
use serde::Serialize;
use serde_json::{Map, Value};
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
    /// Units to add to an item, or to take back from it.
    pub struct UnitsRequest {
        /// How many units.
        Required units: Units,
    }
}

/// An operator with the identity of the request, if the client named it.
#[derive(Clone, Debug)]
pub struct Requester {
    /// The operator's name.
    pub name: String,
    /// The request's identity, by which a repeat is recognised.
    pub request_id: Option<RequestId>,
}

impl Requester {
    /// Makes the command that does this to the item.
    pub fn command(&self, item_id: ItemId, action: ItemAction) -> Command {
        let operator = self.name.as_str().into();
        let request = OperatorRequest { operator, request_id: self.request_id };
        Command::Operate(Operation { item_id, action, request: Some(request) })
    }
}

impl FromRequestParts<Arc<Edge>> for Requester {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let operator = Operator::from_request_parts(parts, edge).await?;
        let request_id = operator_key(&parts.headers, &operator.name)?;
        Ok(Self { name: operator.name, request_id })
    }
}

/// A sale's items after an operation, and whether the same request had done it before.
#[derive(Debug, Default)]
pub struct OperatedSale {
    /// The items that the operation reached.
    pub items: Vec<OperatedItem>,
    /// Whether it is a repeat.
    pub is_repeat: bool,
}

/// An item's counters after an operation, and whether the same request had done it before.
#[derive(Clone, Copy, Debug)]
pub struct Operated {
    /// The item's units.
    pub counters: ItemCounters,
    /// Whether it is a repeat.
    pub is_repeat: bool,
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
    params(Id::<SaleId>, IdempotencyKey),
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
    requester: Requester,
    Id(sale_id): Id<SaleId>,
) -> Result<Response, Problem> {
    let done = operate_sale(&edge, &requester, sale_id, ItemAction::Pause).await?;
    Ok(answer(sale_id, done))
}

/// Resumes a paused sale.
///
/// Its items can be bought again.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/resume", tag = "operators",
    params(Id::<SaleId>, IdempotencyKey),
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
    requester: Requester,
    Id(sale_id): Id<SaleId>,
) -> Result<Response, Problem> {
    let done = operate_sale(&edge, &requester, sale_id, ItemAction::Resume).await?;
    Ok(answer(sale_id, done))
}

/// Ends a sale.
///
/// For good: it cannot be resumed. Orders that were placed can still be paid and cancelled.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/end", tag = "operators",
    params(Id::<SaleId>, IdempotencyKey),
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
    requester: Requester,
    Id(sale_id): Id<SaleId>,
) -> Result<Response, Problem> {
    let done = operate_sale(&edge, &requester, sale_id, ItemAction::End).await?;
    Ok(answer(sale_id, done))
}

/// Operates on all items of a sale.
///
/// # Errors
/// Returns a problem if nothing was done, or if that is not known; what was done to some items stays.
pub async fn operate_sale(
    edge: &Edge,
    requester: &Requester,
    sale_id: SaleId,
    action: ItemAction,
) -> Result<OperatedSale, Problem> {
    // Half of a sale must not be paused: before anything is done, all of it is found.
    let gates = gates_of(edge, sale_id).await?;
    if gates.is_empty() {
        return without_gates(edge, requester, sale_id, action).await;
    }
    let mut items = Vec::with_capacity(gates.len());
    let (mut conflict, mut failed) = (None, None);
    let mut is_repeat = true;
    let command = |gate: &Arc<Gate>| requester.command(gate.terms().item_id, action);
    // At once: one whose node is away has the others wait for nothing.
    let decided = join_all(gates.iter().map(|gate| decide(edge, gate, command(gate)))).await;
    for (gate, decided) in gates.iter().zip(decided) {
        match decided {
            Ok(operated) => {
                is_repeat &= operated.is_repeat;
                items.push(view(edge, gate, operated.counters));
            }
            // An item that has ended stays ended; the others are asked, too.
            Err(problem) if problem.code == Code::StateConflict => conflict = Some(problem),
            Err(problem) => failed = failed.or(Some(problem)),
        }
    }
    // What the first buckets have decided is so, whenever the others follow.
    let is_over = || gates.iter().all(|gate| gate.phase() == ItemPhase::Ended);
    if action == ItemAction::End
        && (failed.is_some() && is_over() || failed.is_none() && !is_repeat)
    {
        note_end(edge, requester, sale_id).await;
    }
    match failed.or(conflict.filter(|_| items.is_empty())) {
        Some(problem) => Err(problem),
        None => Ok(OperatedSale { items, is_repeat }),
    }
}

fn answer(sale_id: SaleId, done: OperatedSale) -> Response {
    let view = OperationView { sale_id: sale_id.to_string(), items: done.items };
    (change::replayed(done.is_repeat), Json(view)).into_response()
}

/// Operates on a sale without items in shards: it does not exist, is not preheated, or was over long
/// ago.
async fn without_gates(
    edge: &Edge,
    requester: &Requester,
    sale_id: SaleId,
    action: ItemAction,
) -> Result<OperatedSale, Problem> {
    let sale = edge.sales.sale(sale_id).await?;
    match (action, sale.status) {
        (ItemAction::End, SaleStatus::Ended | SaleStatus::Settled) => Ok(OperatedSale::default()),
        (ItemAction::End, SaleStatus::Approved | SaleStatus::Preheated) => {
            let change = Change::by(&requester.name, edge.engine.now());
            edge.sales.take_step(sale_id, SaleStep::End, None, change).await?;
            Ok(OperatedSale::default())
        }
        (_, status) => Err(Problem::new(
            Code::StateConflict,
            format!("no item of the sale is on sale: it is {}", status.name()),
        )),
    }
}

/// Returns the gates of a sale's items, by item; none if it is not preheated.
///
/// # Errors
/// Returns a problem if other nodes may have some of them and one of these, or the catalogue, does not answer.
pub async fn gates_of(edge: &Edge, sale_id: SaleId) -> Result<Vec<Arc<Gate>>, Problem> {
    let mut gates = Vec::new();
    if edge.engine.serves_all() {
        gates.extend(edge.engine.gates());
        gates.retain(|gate| gate.terms().sale_id == sale_id);
    } else {
        for item in &edge.sales.sale(sale_id).await?.items {
            gates.extend(edge.engine.find_gate(item.item_id).await?);
        }
    }
    gates.sort_by_key(|gate| gate.terms().item_id);
    Ok(gates)
}

/// Has the item's shard decide an operation.
///
/// # Errors
/// Returns a problem if the operation is refused, was not delivered, or has an unknown outcome.
pub async fn decide(edge: &Edge, gate: &Gate, command: Command) -> Result<Operated, Problem> {
    match edge.engine.decide_item(gate, command).await {
        Reply::Decided(Outcome::Item(counters)) => Ok(Operated { counters, is_repeat: false }),
        Reply::Decided(Outcome::ItemReplayed(counters)) => {
            Ok(Operated { counters, is_repeat: true })
        }
        Reply::Decided(Outcome::Refused(Refusal::PhaseConflict)) => {
            Err(Problem::new(Code::StateConflict, "the item has ended"))
        }
        Reply::Decided(Outcome::Refused(refusal)) => Err(refusal.into()),
        Reply::NotDelivered(reason) => Err(reason.into()),
        Reply::Decided(
            Outcome::Order(_)
            | Outcome::Payment(_)
            | Outcome::Placed(_)
            | Outcome::Replayed(_)
            | Outcome::Transferred(_),
        )
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

/// Notes in the catalogue that the shards have ended the items. If the catalogue does not answer now,
/// [`lifecycle`](crate::sales::lifecycle) makes up for it.
async fn note_end(edge: &Edge, requester: &Requester, sale_id: SaleId) {
    let now = edge.engine.now();
    let change = Change::by(&requester.name, now);
    match edge.sales.take_step(sale_id, SaleStep::End, None, change).await {
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
    params(SaleAndItem, IdempotencyKey),
    request_body(content = UnitsRequest, content_type = "application/json",
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
    requester: Requester,
    path: SaleAndItem,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    change_allotment(&edge, &requester, path, body, ItemAction::Restock).await
}

/// Takes units back from an item.
///
/// At most those that are available: what is reserved or sold stays with its buyers.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/items/{item}/reduce", tag = "operators",
    params(SaleAndItem, IdempotencyKey),
    request_body(content = UnitsRequest, content_type = "application/json",
        example = json!({ "units": 50 })),
    responses(
        (status = 200, description = "The item afterwards", body = ItemView,
            links(("item" = (operation_id = "get_items_item"))),
            example = json!(ItemView::example())),
        (status = 409, description = "`state_conflict`: the item has ended, or has fewer units left"),
    ),
    security(("token" = []))
)]
pub async fn reduce(
    State(edge): State<Arc<Edge>>,
    requester: Requester,
    path: SaleAndItem,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    change_allotment(&edge, &requester, path, body, ItemAction::Reduce).await
}

/// Changes an item's allotment by the units that the body names.
async fn change_allotment(
    edge: &Edge,
    requester: &Requester,
    path: SaleAndItem,
    body: Map<String, Value>,
    action: fn(u32) -> ItemAction,
) -> Result<Response, Problem> {
    // They are required.
    let action = action(UnitsRequest::parse(body)?.units.unwrap_or_default());
    let (gate, operated) = operate_item(edge, requester, path, action).await?;
    Ok(answer_item(edge, &gate, &operated))
}

/// Operates on one item of a sale.
///
/// # Errors
/// Returns a problem if it was not done, or if that is not known.
pub async fn operate_item(
    edge: &Edge,
    requester: &Requester,
    SaleAndItem(sale_id, item_id): SaleAndItem,
    action: ItemAction,
) -> Result<(Arc<Gate>, Operated), Problem> {
    let gate = gate_of(edge, sale_id, item_id).await?;
    let operated = decide(edge, &gate, requester.command(item_id, action)).await?;
    Ok((gate, operated))
}

/// Returns the gate of a sale's item.
///
/// # Errors
/// Returns an `item_not_found` problem if the sale has no such item in a shard, and an `owner_unavailable` one
/// if another node has it that does not answer.
pub async fn gate_of(edge: &Edge, sale_id: SaleId, item_id: ItemId) -> Result<Arc<Gate>, Problem> {
    let gate = edge.engine.find_gate(item_id).await?;
    gate.filter(|gate| gate.terms().sale_id == sale_id).ok_or_else(Problem::item_not_found)
}

/// Answers an operation on one item with the item as it is afterwards.
pub fn answer_item(edge: &Edge, gate: &Gate, operated: &Operated) -> Response {
    let now = edge.engine.now();
    let view =
        ItemView { counters: operated.counters.into(), ..items::view(&items::look(gate, now)) };
    (change::replayed(operated.is_repeat), Json(view)).into_response()
}
