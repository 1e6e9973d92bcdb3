//! Guarding an item that is on sale, or letting everybody buy it again.

use super::guard::{self, AdmissionRequest};
use super::operations::{Requester, answer_item, decide, gate_of};
use crate::http::api::admission_view::AdmissionView;
use crate::http::api::items::ItemView;
use crate::http::problem::{FieldErrors, Problem};
use crate::http::request::extract::JsonObject;
use crate::http::request::idempotency_key::IdempotencyKey;
use crate::http::request::path::SaleAndItem;
use crate::http::state::Edge;
use axum::extract::State;
use axum::response::Response;
use domain::ItemAction;
use std::sync::Arc;

/// Guards an item.
///
/// From now on, and in place of how it was guarded before: purchases that do not have what it asks for are
/// refused, with a token of before or without. `{"buy_token": false}` lets everybody buy again.
#[utoipa::path(
    put, path = "/api/v1/admin/sales/{sale}/items/{item}/admission", tag = "operators",
    params(SaleAndItem, IdempotencyKey),
    request_body(content = AdmissionRequest, content_type = "application/json",
        example = json!({ "buy_token": true, "challenge": "proof", "spread_milliseconds": 2000 })),
    responses(
        (status = 200, description = "The item afterwards", body = ItemView,
            links(("item" = (operation_id = "get_items_item"))),
            example = json!(ItemView {
                admission: Some(AdmissionView::example()), ..ItemView::example()
            })),
        (status = 409, description = "`state_conflict`: the item has ended"),
    ),
    security(("token" = []))
)]
pub async fn set(
    State(edge): State<Arc<Edge>>,
    requester: Requester,
    SaleAndItem(sale_id, item_id): SaleAndItem,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    let gate = gate_of(&edge, sale_id, item_id).await?;
    let mut errors = FieldErrors::default();
    let admission = guard::read(body, "", gate.terms().window_milliseconds(), &mut errors);
    let admission = errors.or(admission)?;
    let command = requester.command(item_id, ItemAction::Admit(admission));
    let operated = decide(&edge, &gate, command).await?;
    Ok(answer_item(&edge, &gate, &operated))
}
