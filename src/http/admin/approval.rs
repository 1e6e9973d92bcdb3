//! Sales on their way to approval: submitted, judged by another person, preheated.

use super::change::{Editor, IfMatch, SaleAnswer};
use super::sale_view::{self, AdminSale};
use crate::http::problem::{Code, FieldErrors, Problem};
use crate::http::request::extract::OptionalJsonObject;
use crate::http::request::fields::{Body, body};
use crate::http::request::idempotency_key::IdempotencyKey;
use crate::http::request::path::Id;
use crate::http::request::rules::Text;
use crate::http::state::Edge;
use crate::sales::Change;
use crate::sales::preheat::preheat;
use axum::extract::State;
use domain::catalogue::Sale;
use domain::{OperatorRole, SaleId, SaleStatus, SaleStep};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The most characters of a note.
const NOTE_LENGTH_MAX: usize = 500;

body! {
    /// What an operator wants to say about a step. It goes into the operators' log.
    pub struct NoteRequest {
        /// The note: at most 500 characters, none of them a control character.
        Nullable note: Text<NOTE_LENGTH_MAX>,
    }
}

/// Submits a draft for approval.
///
/// Another person than those who wrote or submitted the sale has to approve it. A submitted sale cannot
/// be edited; withdraw it first.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/submit", tag = "operators",
    params(Id::<SaleId>, IfMatch, IdempotencyKey),
    request_body(content = Option<NoteRequest>, content_type = "application/json",
        example = json!(example_note())),
    responses(
        (status = 200, description = "The sale", body = AdminSale,
            headers(("ETag" = String, description = "Its revision, for `If-Match`")),
            links(
                ("approve" = (operation_id = "post_admin_sales_sale_approve")),
                ("reject" = (operation_id = "post_admin_sales_sale_reject")),
                ("withdraw" = (operation_id = "post_admin_sales_sale_withdraw")),
            ),
            example = json!(AdminSale::example("submitted"))),
        (status = 409, description = "`state_conflict`: it is not a draft"),
        (status = 412, description = "`revision_conflict`: it was changed since"),
        (status = 428, description = "`revision_required`: it was edited, so send `If-Match`"),
    ),
    security(("token" = []))
)]
pub async fn submit(
    State(edge): State<Arc<Edge>>,
    editor: Editor,
    Id(sale_id): Id<SaleId>,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<SaleAnswer, Problem> {
    take_step(&edge, &editor, sale_id, SaleStep::Submit, body).await
}

/// Withdraws a submitted sale.
///
/// The sale is a draft again, and can be edited and submitted again.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/withdraw", tag = "operators",
    params(Id::<SaleId>, IfMatch, IdempotencyKey),
    request_body(content = Option<NoteRequest>, content_type = "application/json",
        example = json!(example_note())),
    responses(
        (status = 200, description = "The sale", body = AdminSale,
            headers(("ETag" = String, description = "Its revision, for `If-Match`")),
            links(
                ("replace" = (operation_id = "put_admin_sales_sale")),
                ("submit" = (operation_id = "post_admin_sales_sale_submit")),
            ),
            example = json!(AdminSale::example("draft"))),
        (status = 409, description = "`state_conflict`: it is not submitted"),
        (status = 412, description = "`revision_conflict`: it was changed since"),
        (status = 428, description = "`revision_required`: it was edited, so send `If-Match`"),
    ),
    security(("token" = []))
)]
pub async fn withdraw(
    State(edge): State<Arc<Edge>>,
    editor: Editor,
    Id(sale_id): Id<SaleId>,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<SaleAnswer, Problem> {
    take_step(&edge, &editor, sale_id, SaleStep::Withdraw, body).await
}

/// Rejects a submitted sale.
///
/// For an approver who did not write it. Say in the note what has to change.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/reject", tag = "operators",
    params(Id::<SaleId>, IfMatch, IdempotencyKey),
    request_body(content = Option<NoteRequest>, content_type = "application/json",
        example = json!(example_note())),
    responses(
        (status = 200, description = "The sale", body = AdminSale,
            headers(("ETag" = String, description = "Its revision, for `If-Match`")),
            links(
                ("revise" = (operation_id = "post_admin_sales_sale_revise")),
            ),
            example = json!(AdminSale::example("rejected"))),
        (status = 409, description = "`state_conflict`: it is not submitted"),
        (status = 412, description = "`revision_conflict`: it was changed since"),
        (status = 428, description = "`revision_required`: it was edited, so send `If-Match`"),
    ),
    security(("token" = []))
)]
pub async fn reject(
    State(edge): State<Arc<Edge>>,
    editor: Editor,
    Id(sale_id): Id<SaleId>,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<SaleAnswer, Problem> {
    take_step(&edge, &editor, sale_id, SaleStep::Reject, body).await
}

/// Makes a rejected sale a draft again.
///
/// The sale can then be edited and submitted again.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/revise", tag = "operators",
    params(Id::<SaleId>, IfMatch, IdempotencyKey),
    request_body(content = Option<NoteRequest>, content_type = "application/json",
        example = json!(example_note())),
    responses(
        (status = 200, description = "The sale", body = AdminSale,
            headers(("ETag" = String, description = "Its revision, for `If-Match`")),
            links(
                ("replace" = (operation_id = "put_admin_sales_sale")),
                ("submit" = (operation_id = "post_admin_sales_sale_submit")),
            ),
            example = json!(AdminSale::example("draft"))),
        (status = 409, description = "`state_conflict`: it is not rejected"),
        (status = 412, description = "`revision_conflict`: it was changed since"),
        (status = 428, description = "`revision_required`: it was edited, so send `If-Match`"),
    ),
    security(("token" = []))
)]
pub async fn revise(
    State(edge): State<Arc<Edge>>,
    editor: Editor,
    Id(sale_id): Id<SaleId>,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<SaleAnswer, Problem> {
    take_step(&edge, &editor, sale_id, SaleStep::Revise, body).await
}

async fn take_step(
    edge: &Edge,
    editor: &Editor,
    sale_id: SaleId,
    step: SaleStep,
    body: Map<String, Value>,
) -> Result<SaleAnswer, Problem> {
    if step == SaleStep::Reject {
        editor.operator.require(OperatorRole::Approver)?;
    }
    let note = read_note(body)?;
    let change = editor.change(edge.engine.now());
    let changed = edge.sales.take_step(sale_id, step, note.as_deref(), change).await?;
    let sale = sale_view::view(edge, &changed.sale);
    Ok(SaleAnswer { sale, is_repeat: changed.is_repeat })
}

/// Approves a submitted sale.
///
/// For an approver who did not write it. It loads the sale's items into their shards, so that they can
/// be bought from the sale's start on. Approving it again completes a preheat that was interrupted.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/approve", tag = "operators",
    params(Id::<SaleId>, IfMatch, IdempotencyKey),
    request_body(content = Option<NoteRequest>, content_type = "application/json",
        example = json!(example_note())),
    responses(
        (status = 200, description = "The sale, preheated", body = AdminSale,
            headers(("ETag" = String, description = "Its revision, for `If-Match`")),
            links(
                ("buy" = (operation_id = "post_items_item_buy",
                    parameters(("item" = "$response.body#/items/0/item_id")),
                    description = "Buys units of the sale's first item, as a buyer.")),
                ("preheat" = (operation_id = "get_admin_sales_sale_preheat")),
                ("sale" = (operation_id = "get_sales_sale")),
                ("restock" = (operation_id = "post_admin_sales_sale_items_item_restock",
                    parameters(("sale" = "$response.body#/sale_id"),
                        ("item" = "$response.body#/items/0/item_id")),
                    description = "Adds units to the sale's first item.")),
                ("pause" = (operation_id = "post_admin_sales_sale_pause")),
                ("end" = (operation_id = "post_admin_sales_sale_end")),
            ),
            example = json!(AdminSale::example("preheated"))),
        (status = 403, description = "`forbidden`: you are not an approver, or you wrote the sale"),
        (status = 409, description = "`state_conflict`: it is not submitted, or its window is over"),
        (status = 412, description = "`revision_conflict`: it was changed since"),
        (status = 428, description = "`revision_required`: it was edited, so send `If-Match`"),
    ),
    security(("token" = []))
)]
pub async fn approve(
    State(edge): State<Arc<Edge>>,
    editor: Editor,
    Id(sale_id): Id<SaleId>,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<SaleAnswer, Problem> {
    editor.operator.require(OperatorRole::Approver)?;
    let note = read_note(body)?;
    let change = editor.change(edge.engine.now());
    let sale = approve_sale(&edge, sale_id, note.as_deref(), change).await?;
    edge.engine.look_at(sale.items.iter().map(|item| item.item_id)).await;
    Ok(SaleAnswer::new(sale_view::view(&edge, &sale)))
}

/// Approves a sale and preheats it; one that is approved is preheated again.
///
/// # Errors
/// Returns a problem if it may not be approved, was changed meanwhile, or was not loaded completely.
pub async fn approve_sale(
    edge: &Edge,
    sale_id: SaleId,
    note: Option<&str>,
    change: Change<'_>,
) -> Result<Sale, Problem> {
    let sale = edge.sales.sale(sale_id).await?;
    let sale = match sale.status {
        SaleStatus::Approved => sale,
        SaleStatus::Preheated => return Ok(sale),
        SaleStatus::Submitted if sale.ends_at <= change.at => {
            return Err(Problem::new(Code::StateConflict, "the sale's window is over"));
        }
        _ => edge.sales.take_step(sale_id, SaleStep::Approve, note, change).await?.sale,
    };
    Ok(preheat(&edge.engine, &edge.sales, &sale).await?)
}

fn read_note(body: Map<String, Value>) -> Result<Option<String>, Problem> {
    let mut errors = FieldErrors::default();
    let note = NoteRequest::read(body, "", &mut errors).note;
    if errors.is_empty() { Ok(note) } else { Err(Problem::fields(errors)) }
}

fn example_note() -> Value {
    json!({ "note": "价格已核对" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_may_be_left_out() {
        for (body, note) in [
            (json!({}), Some(None)),
            (json!({ "note": null }), Some(None)),
            (example_note(), Some(Some("价格已核对"))),
            (json!({ "note": "" }), None),
            (json!({ "note": 1 }), None),
            (json!({ "remark": "x" }), None),
        ] {
            let Value::Object(object) = body.clone() else { panic!("it is an object") };
            let read = read_note(object).ok();
            assert_eq!(read.as_ref().map(Option::as_deref), note, "{body}");
        }
    }
}
