//! Sales in the making: written, shown, edited and deleted.

use super::change::{self, Editor, IfMatch, SaleAnswer};
use super::draft::{self, SaleRequest};
use super::sale_view::{self, AdminSale, CreatedSale};
use crate::http::auth::bearer::Operator;
use crate::http::problem::Problem;
use crate::http::request::extract::{JsonObject, Parameters};
use crate::http::request::idempotency_key::IdempotencyKey;
use crate::http::request::page::PageQuery;
use crate::http::request::path::Id;
use crate::http::state::Edge;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::SaleId;
use hyper::StatusCode;
use hyper::header::{ETAG, LOCATION};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A page of sales, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminSalePage {
    /// The sales of this page.
    pub data: Vec<AdminSale>,
    /// Whether there are older sales: ask for them with `starting_after` the last one of this page.
    pub has_more: bool,
}

impl AdminSalePage {
    fn example() -> Self {
        Self { data: vec![AdminSale::example("preheated")], has_more: false }
    }
}

/// Creates a sale.
///
/// The sale is a draft: submit it when it is complete, and have another person approve it. Times are
/// RFC 3339 with an offset, money is an integer in minor units of its currency.
#[utoipa::path(
    post, path = "/api/v1/admin/sales", tag = "operators",
    params(IdempotencyKey),
    request_body(content = SaleRequest, content_type = "application/json", examples(
        ("flash_sale" = (summary = "Two hours of one day",
            value = json!(draft::example_of_flash_sale()))),
        ("open_now" = (summary = "A sale that is open at once, to try the API with",
            value = json!(draft::example_of_open_sale()))),
    )),
    responses((status = 201, description = "The draft", body = CreatedSale,
        headers(("Location" = String, description = "The draft's path"),
            ("ETag" = String, description = "The draft's revision, for `If-Match`")),
        links(
            ("submit" = (operation_id = "post_admin_sales_sale_submit")),
            ("replace" = (operation_id = "put_admin_sales_sale")),
            ("sale" = (operation_id = "get_admin_sales_sale")),
            ("delete" = (operation_id = "delete_admin_sales_sale")),
        ),
        example = json!(CreatedSale::example()))),
    security(("token" = []))
)]
pub async fn create(
    State(edge): State<Arc<Edge>>,
    editor: Editor,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    let now = edge.engine.now();
    let draft = draft::read(body, now, edge.engine.buckets_max())?;
    let changed = edge.sales.create_sale(&edge.engine, &draft, editor.change(now)).await?;
    let sale = changed.sale;
    let created = CreatedSale {
        sale_id: sale.sale_id.to_string(),
        status: sale.status.name().to_owned(),
        revision: sale.revision,
        items: sale
            .items
            .iter()
            .map(|item| sale_view::view_item(&edge, item, sale.starts_at))
            .collect(),
    };
    let headers = [
        (LOCATION, format!("/api/v1/admin/sales/{}", sale.sale_id)),
        (ETAG, change::etag(sale.revision)),
    ];
    let status = if changed.is_repeat { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, headers, change::replayed(changed.is_repeat), Json(created)).into_response())
}

/// Lists all sales.
///
/// Sales of every status, newest first, a page at a time.
#[utoipa::path(
    get, path = "/api/v1/admin/sales", tag = "operators",
    params(PageQuery),
    responses((status = 200, description = "A page of sales", body = AdminSalePage,
        links(("sale" = (operation_id = "get_admin_sales_sale",
            parameters(("sale" = "$response.body#/data/0/sale_id")),
            description = "Shows the newest of these sales."))),
        example = json!(AdminSalePage::example()))),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<AdminSalePage>, Problem> {
    let (limit, before) = query.read::<SaleId>()?;
    let (sales, has_more) = edge.sales.page_and_more(&[], before, limit).await?;
    edge.engine.look_at(sales.iter().flat_map(|sale| &sale.items).map(|item| item.item_id)).await;
    let data = sales.iter().map(|sale| sale_view::view(&edge, sale)).collect();
    Ok(Json(AdminSalePage { data, has_more }))
}

/// Shows a sale to operators.
///
/// With its status, who did what, and its items' units once they are in their shards.
#[utoipa::path(
    get, path = "/api/v1/admin/sales/{sale}", tag = "operators",
    params(Id::<SaleId>),
    responses((status = 200, description = "The sale", body = AdminSale,
        headers(("ETag" = String, description = "Its revision, for `If-Match`")),
        links(
            ("preheat" = (operation_id = "get_admin_sales_sale_preheat")),
            ("orders" = (operation_id = "get_admin_sales_sale_orders")),
        ),
        example = json!(AdminSale::example("preheated")))),
    security(("token" = []))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Id(sale_id): Id<SaleId>,
) -> Result<SaleAnswer, Problem> {
    let sale = edge.sales.sale(sale_id).await?;
    edge.engine.look_at(sale.items.iter().map(|item| item.item_id)).await;
    Ok(SaleAnswer::new(sale_view::view(&edge, &sale)))
}

/// Replaces a draft's content.
///
/// Items whose product stays keep their identity.
#[utoipa::path(
    put, path = "/api/v1/admin/sales/{sale}", tag = "operators",
    params(Id::<SaleId>, IfMatch, IdempotencyKey),
    request_body(content = SaleRequest, content_type = "application/json",
        example = json!(draft::example_of_flash_sale())),
    responses(
        (status = 200, description = "The draft", body = AdminSale,
            headers(("ETag" = String, description = "Its revision, for `If-Match`")),
            links(("submit" = (operation_id = "post_admin_sales_sale_submit"))),
            example = json!(AdminSale::example("draft"))),
        (status = 409, description = "`state_conflict`: it is not a draft any more"),
        (status = 412, description = "`revision_conflict`: it was changed since"),
        (status = 428, description = "`revision_required`: it was edited, so send `If-Match`"),
    ),
    security(("token" = []))
)]
pub async fn replace(
    State(edge): State<Arc<Edge>>,
    editor: Editor,
    Id(sale_id): Id<SaleId>,
    JsonObject(body): JsonObject,
) -> Result<SaleAnswer, Problem> {
    let now = edge.engine.now();
    let draft = draft::read(body, now, edge.engine.buckets_max())?;
    let change = editor.change(now);
    let changed = edge.sales.replace_sale(&edge.engine, sale_id, &draft, change).await?;
    let sale = sale_view::view(&edge, &changed.sale);
    Ok(SaleAnswer { sale, is_repeat: changed.is_repeat })
}

/// Deletes a draft.
///
/// Only a draft can be deleted: what was submitted stays.
#[utoipa::path(
    delete, path = "/api/v1/admin/sales/{sale}", tag = "operators",
    params(Id::<SaleId>, IfMatch, IdempotencyKey),
    responses(
        (status = 204, description = "The draft is deleted"),
        (status = 409, description = "`state_conflict`: it is not a draft any more"),
        (status = 412, description = "`revision_conflict`: it was changed since"),
        (status = 428, description = "`revision_required`: it was edited, so send `If-Match`"),
    ),
    security(("token" = []))
)]
pub async fn delete(
    State(edge): State<Arc<Edge>>,
    editor: Editor,
    Id(sale_id): Id<SaleId>,
) -> Result<StatusCode, Problem> {
    edge.sales.delete_sale(sale_id, editor.change(edge.engine.now())).await?;
    Ok(StatusCode::NO_CONTENT)
}
