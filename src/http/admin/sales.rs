//! Sales in the making: written, submitted, judged by another person, preheated.

use super::draft::{self, SaleRequest};
use crate::http::admission::{Id, Operator};
use crate::http::body::Fields;
use crate::http::document::ProblemView;
use crate::http::edge::Edge;
use crate::http::error::{Code, Problem};
use crate::http::extract::{JsonObject, OptionalJsonObject, PageQuery, Parameters};
use crate::http::items::CountersView;
use crate::http::{sales, timestamp};
use crate::sales::preheat::preheat;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::catalogue::{Sale, SaleItem};
use domain::{SaleId, SaleStatus, SaleStep, Timestamp};
use hyper::StatusCode;
use hyper::header::LOCATION;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

const NOTE_CHARACTERS_MAX: usize = 500;

/// A sale that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedSale {
    /// Its identity.
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub sale_id: String,
    /// `draft`.
    pub status: String,
    /// Its items with their identities.
    pub items: Vec<AdminItem>,
}

/// A sale as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminSale {
    /// Its identity.
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub sale_id: String,
    /// What it is called.
    pub title: String,
    /// `draft`, `submitted`, `rejected`, `approved`, `preheated`, `live`, `ended` or `settled`.
    pub status: String,
    /// When it starts.
    #[schema(format = DateTime)]
    pub starts_at: String,
    /// When it is over.
    #[schema(format = DateTime)]
    pub ends_at: String,
    /// Grows with every change.
    pub revision: u64,
    /// Who made it.
    pub created_by: String,
    /// When.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Who edited it last.
    pub edited_by: String,
    /// Who submitted it.
    pub submitted: Option<Signature>,
    /// Who approved it.
    pub approved: Option<Signature>,
    /// Its items, in the order of display.
    pub items: Vec<AdminItem>,
}

/// Who did something, and when.
#[derive(Debug, Serialize, ToSchema)]
pub struct Signature {
    /// The operator.
    pub by: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
}

/// An item as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminItem {
    /// Its identity.
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub item_id: String,
    /// The product.
    pub product_id: String,
    /// What it is called.
    pub title: String,
    /// Price of one unit in minor units of `currency`.
    pub price: u64,
    /// What one unit costs otherwise.
    pub list_price: Option<u64>,
    /// ISO 4217 code.
    pub currency: String,
    /// Units on sale at the start.
    pub allotted: u32,
    /// Units that one buyer may hold.
    pub limit_per_user: u16,
    /// How long an order may stay unpaid.
    pub payment_window_seconds: u64,
    /// Its units, once it is in its shard.
    pub counters: Option<CountersView>,
}

/// A page of sales, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminSalePage {
    /// The sales.
    pub data: Vec<AdminSale>,
    /// Whether there are older ones: ask again with `starting_after` the last one.
    pub has_more: bool,
}

/// What a judge wants to say.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteRequest {
    /// Goes into the operators' log.
    #[schema(min_length = 1, max_length = 500, pattern = "^[A-Za-z0-9 ]{1,500}$")]
    pub note: Option<String>,
}

/// The check list of a preheat.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreheatList {
    /// The sale.
    pub sale_id: String,
    /// How far it has come.
    pub status: String,
    /// When it starts.
    #[schema(format = DateTime)]
    pub starts_at: String,
    /// Whether every item is in its shard as it was approved.
    pub complete: bool,
    /// Item by item.
    pub items: Vec<PreheatItem>,
}

/// One item of the check list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreheatItem {
    /// Its identity.
    pub item_id: String,
    /// The product.
    pub product_id: String,
    /// Whether it is in its shard.
    pub loaded: bool,
    /// Whether price, window and limits are the approved ones there.
    pub terms_agree: bool,
    /// Which shard has it.
    pub shard: Option<u16>,
    /// Its units there.
    pub counters: Option<CountersView>,
}

fn view_item(edge: &Edge, item: &SaleItem) -> AdminItem {
    let offer = &item.offer;
    AdminItem {
        item_id: item.item_id.to_string(),
        product_id: offer.product_id.clone(),
        title: offer.title.clone(),
        price: offer.price,
        list_price: offer.list_price,
        currency: offer.currency.to_string(),
        allotted: offer.allotted,
        limit_per_user: offer.limit_per_user,
        payment_window_seconds: offer.payment_window_milliseconds / 1000,
        counters: edge.engine.gate(item.item_id).map(|gate| gate.counters().into()),
    }
}

/// The sale as operators see it now.
pub fn view(edge: &Edge, sale: &Sale) -> AdminSale {
    let signature = |(by, at): &(String, Timestamp)| Signature {
        by: by.clone(),
        at: timestamp::to_string(*at),
    };
    let stage = sale.status.stage(edge.engine.now(), sale.starts_at, sale.ends_at);
    AdminSale {
        sale_id: sale.sale_id.to_string(),
        title: sale.title.clone(),
        status: stage.name().to_owned(),
        starts_at: timestamp::to_string(sale.starts_at),
        ends_at: timestamp::to_string(sale.ends_at),
        revision: sale.revision,
        created_by: sale.created_by.clone(),
        created_at: timestamp::to_string(sale.created_at),
        edited_by: sale.edited_by.clone(),
        submitted: sale.submitted.as_ref().map(signature),
        approved: sale.approved.as_ref().map(signature),
        items: sale.items.iter().map(|item| view_item(edge, item)).collect(),
    }
}

/// Makes a draft.
#[utoipa::path(
    post, path = "/api/v1/admin/sales", tag = "operators",
    request_body = SaleRequest,
    responses((status = 201, description = "The draft", body = CreatedSale,
        headers(("Location" = String, description = "The draft's path")))),
    security(("token" = []))
)]
pub async fn create(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    let now = edge.engine.now();
    let draft = draft::read(body, now)?;
    let sale = edge.sales.create_sale(&draft, &operator.name, now).await?;
    let created = CreatedSale {
        sale_id: sale.sale_id.to_string(),
        status: sale.status.name().to_owned(),
        items: sale.items.iter().map(|item| view_item(&edge, item)).collect(),
    };
    let location = [(LOCATION, format!("/api/v1/admin/sales/{}", sale.sale_id))];
    Ok((StatusCode::CREATED, location, Json(created)).into_response())
}

/// All sales, newest first.
#[utoipa::path(
    get, path = "/api/v1/admin/sales", tag = "operators",
    params(PageQuery),
    responses((status = 200, description = "A page of sales", body = AdminSalePage)),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<AdminSalePage>, Problem> {
    let (limit, before) = query.read::<SaleId>()?;
    let (sales, has_more) = sales::page(&edge, &[], before, limit).await?;
    let data = sales.iter().map(|sale| view(&edge, sale)).collect();
    Ok(Json(AdminSalePage { data, has_more }))
}

/// One sale.
#[utoipa::path(
    get, path = "/api/v1/admin/sales/{sale}", tag = "operators",
    params(("sale" = String, Path, description = "The sale's identity")),
    responses((status = 200, description = "The sale", body = AdminSale)),
    security(("token" = []))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Id(sale_id): Id<SaleId>,
) -> Result<Json<AdminSale>, Problem> {
    let sale = edge.sales.sale(sale_id).await?;
    Ok(Json(view(&edge, &sale)))
}

/// Replaces a draft's content. Items whose product stays keep their identity.
#[utoipa::path(
    put, path = "/api/v1/admin/sales/{sale}", tag = "operators",
    params(("sale" = String, Path, description = "The sale's identity")),
    request_body = SaleRequest,
    responses(
        (status = 200, description = "The draft", body = AdminSale),
        (status = 409, description = "`state_conflict`: it is no draft any more",
            body = ProblemView, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub async fn replace(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    Id(sale_id): Id<SaleId>,
    JsonObject(body): JsonObject,
) -> Result<Json<AdminSale>, Problem> {
    let now = edge.engine.now();
    let draft = draft::read(body, now)?;
    let sale = edge.sales.replace_sale(sale_id, &draft, &operator.name, now).await?;
    Ok(Json(view(&edge, &sale)))
}

/// Deletes a draft.
#[utoipa::path(
    delete, path = "/api/v1/admin/sales/{sale}", tag = "operators",
    params(("sale" = String, Path, description = "The sale's identity")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "`state_conflict`: it is no draft any more",
            body = ProblemView, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub async fn delete(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    Id(sale_id): Id<SaleId>,
) -> Result<StatusCode, Problem> {
    edge.sales.delete_sale(sale_id, &operator.name, edge.engine.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Declares the handler of a step that needs no more than the catalogue.
macro_rules! step {
    ($name:ident, $step:expr, $path:literal, $what:literal) => {
        #[doc = $what]
        #[utoipa::path(
                    post, path = $path, tag = "operators",
                    params(("sale" = String, Path, description = "The sale's identity")),
                    request_body(content = Option<NoteRequest>, content_type = "application/json"),
                    responses(
                        (status = 200, description = "The sale", body = AdminSale),
                        (status = 409, description = "`state_conflict`: not from its status",
                            body = ProblemView, content_type = "application/problem+json"),
                    ),
                    security(("token" = []))
                )]
        pub async fn $name(
            State(edge): State<Arc<Edge>>,
            operator: Operator,
            Id(sale_id): Id<SaleId>,
            OptionalJsonObject(body): OptionalJsonObject,
        ) -> Result<Json<AdminSale>, Problem> {
            take_step(&edge, &operator, sale_id, $step, body).await
        }
    };
}

step!(
    submit,
    SaleStep::Submit,
    "/api/v1/admin/sales/{sale}/submit",
    "Asks another person to approve a draft."
);
step!(
    withdraw,
    SaleStep::Withdraw,
    "/api/v1/admin/sales/{sale}/withdraw",
    "Makes a submitted sale a draft again."
);
step!(
    reject,
    SaleStep::Reject,
    "/api/v1/admin/sales/{sale}/reject",
    "Sends a submitted sale back; for an approver who did not write it."
);
step!(
    revise,
    SaleStep::Revise,
    "/api/v1/admin/sales/{sale}/revise",
    "Makes a rejected sale a draft again."
);

async fn take_step(
    edge: &Edge,
    operator: &Operator,
    sale_id: SaleId,
    step: SaleStep,
    body: Map<String, Value>,
) -> Result<Json<AdminSale>, Problem> {
    if step == SaleStep::Reject {
        require_approver(operator)?;
    }
    let note = read_note(body)?;
    let now = edge.engine.now();
    let sale = edge.sales.take_step(sale_id, step, &operator.name, note.as_deref(), now).await?;
    Ok(Json(view(edge, &sale)))
}

/// Approves a submitted sale and loads its items into their shards; for an approver who did not
/// write it. Approving it again completes what was interrupted.
#[utoipa::path(
    post, path = "/api/v1/admin/sales/{sale}/approve", tag = "operators",
    params(("sale" = String, Path, description = "The sale's identity")),
    request_body(content = Option<NoteRequest>, content_type = "application/json"),
    responses(
        (status = 200, description = "The sale, preheated", body = AdminSale),
        (status = 403, description = "`forbidden`: no approver, or the sale's own maker",
            body = ProblemView, content_type = "application/problem+json"),
        (status = 409, description = "`state_conflict`: not from its status",
            body = ProblemView, content_type = "application/problem+json"),
    ),
    security(("token" = []))
)]
pub async fn approve(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    Id(sale_id): Id<SaleId>,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<Json<AdminSale>, Problem> {
    require_approver(&operator)?;
    let note = read_note(body)?;
    let now = edge.engine.now();
    let sale = edge.sales.sale(sale_id).await?;
    let sale = match sale.status {
        SaleStatus::Approved => sale,
        SaleStatus::Preheated => return Ok(Json(view(&edge, &sale))),
        SaleStatus::Submitted if sale.ends_at <= now => {
            return Err(Problem::new(Code::StateConflict, "the sale's window is over"));
        }
        _ => {
            let step = SaleStep::Approve;
            edge.sales.take_step(sale_id, step, &operator.name, note.as_deref(), now).await?
        }
    };
    let sale = preheat(&edge.engine, &edge.sales, &sale).await?;
    Ok(Json(view(&edge, &sale)))
}

fn require_approver(operator: &Operator) -> Result<(), Problem> {
    if operator.may_approve {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, "this is for approvers, and the token is an operator's"))
}

fn read_note(body: Map<String, Value>) -> Result<Option<String>, Problem> {
    let mut errors = Vec::new();
    let has_note = body.get("note").is_some_and(|note| !note.is_null());
    let mut fields = Fields::new(body, "", &mut errors);
    let note = if has_note {
        fields.text("note", NOTE_CHARACTERS_MAX)
    } else {
        fields.take_optional("note");
        None
    };
    fields.finish();
    if errors.is_empty() { Ok(note) } else { Err(Problem::fields(errors)) }
}

/// Whether each item is in its shard as it was approved.
#[utoipa::path(
    get, path = "/api/v1/admin/sales/{sale}/preheat", tag = "operators",
    params(("sale" = String, Path, description = "The sale's identity")),
    responses((status = 200, description = "The check list", body = PreheatList)),
    security(("token" = []))
)]
pub async fn check_preheat(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Id(sale_id): Id<SaleId>,
) -> Result<Json<PreheatList>, Problem> {
    let sale = edge.sales.sale(sale_id).await?;
    let items: Vec<PreheatItem> = sale
        .items
        .iter()
        .map(|item| {
            let gate = edge.engine.gate(item.item_id);
            let terms_agree = gate.as_ref().is_some_and(|gate| *gate.terms() == sale.terms(item));
            PreheatItem {
                item_id: item.item_id.to_string(),
                product_id: item.offer.product_id.clone(),
                loaded: gate.is_some(),
                terms_agree,
                shard: gate.as_ref().map(|gate| gate.shard().0),
                counters: gate.as_ref().map(|gate| gate.counters().into()),
            }
        })
        .collect();
    let stage = sale.status.stage(edge.engine.now(), sale.starts_at, sale.ends_at);
    Ok(Json(PreheatList {
        sale_id: sale.sale_id.to_string(),
        status: stage.name().to_owned(),
        starts_at: timestamp::to_string(sale.starts_at),
        complete: items.iter().all(|item| item.loaded && item.terms_agree),
        items,
    }))
}
