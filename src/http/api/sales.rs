//! Sales as buyers see them: those that were approved, with their items and the items' units.

use super::example;
use super::items::{self, ItemStateView, ItemView, SeenItem};
use crate::http::problem::Problem;
use crate::http::request::extract::Parameters;
use crate::http::request::page::SalesQuery;
use crate::http::request::path::Id;
use crate::http::request::rules::Identity;
use crate::http::state::Edge;
use crate::http::timestamp;
use axum::Json;
use axum::extract::State;
use domain::catalogue::{PublicItem, PublicSale, SaleList};
use domain::{SaleId, SaleStatus, Timestamp};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A sale with its items.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Sale)]
pub struct SaleView {
    /// The sale's identity.
    #[schema(value_type = Identity)]
    pub sale_id: String,
    /// What the sale is called.
    pub title: String,
    /// How far the sale has come: `approved`, `preheated`, `live`, `ended` or `settled`.
    pub status: String,
    /// When the sale starts.
    #[schema(format = DateTime)]
    pub starts_at: String,
    /// When the sale is over.
    #[schema(format = DateTime)]
    pub ends_at: String,
    /// The sale's items, in the order of display.
    pub items: Vec<ItemView>,
}

impl SaleView {
    /// Returns the example's sale while it is live.
    pub fn example() -> Self {
        Self {
            sale_id: example::SALE_ID.to_owned(),
            title: example::SALE_TITLE.to_owned(),
            status: "live".to_owned(),
            starts_at: example::STARTS_AT.to_owned(),
            ends_at: example::ENDS_AT.to_owned(),
            items: vec![ItemView::example()],
        }
    }
}

/// A page of sales, newest first, or the sales of a day by their start.
#[derive(Debug, Serialize, ToSchema)]
pub struct SalePage {
    /// The sales of this page.
    pub data: Vec<SaleView>,
    /// Whether there are more: older sales, to be asked for with `starting_after` the last one of this
    /// page; of a day, those beyond its first hundred.
    pub has_more: bool,
}

/// Returns the sale as it is now.
pub fn view(edge: &Edge, sale: &PublicSale) -> SaleView {
    let now = edge.engine.now();
    SaleView {
        sale_id: sale.sale_id.to_string(),
        title: sale.title.clone(),
        status: sale.status.stage(now, sale.starts_at, sale.ends_at).name().to_owned(),
        starts_at: timestamp::to_string(sale.starts_at),
        ends_at: timestamp::to_string(sale.ends_at),
        items: sale.items.iter().map(|item| view_item(edge, sale, item, now)).collect(),
    }
}

fn view_item(edge: &Edge, sale: &PublicSale, item: &PublicItem, now: Timestamp) -> ItemView {
    ItemView {
        title: Some(item.title.clone()),
        description: item.description.clone(),
        picture: item.picture.map(|picture| picture.to_string()),
        list_price: item.list_price,
        ..items::view(&look_at_item(edge, sale, item, now))
    }
}

/// Returns an item of a sale as it is at `now`: as its gate says, and as the sale does where there is none.
pub fn look_at_item(edge: &Edge, sale: &PublicSale, item: &PublicItem, now: Timestamp) -> SeenItem {
    if let Some(gate) = edge.engine.known_gate(item.item_id) {
        return items::look(&gate, now);
    }
    // The item is not preheated yet, or its shard has evicted it already.
    let terms = sale.terms(item);
    let is_over =
        now >= sale.ends_at || matches!(sale.status, SaleStatus::Ended | SaleStatus::Settled);
    let state = if is_over { ItemStateView::Ended } else { ItemStateView::Upcoming };
    SeenItem { admission: terms.admission, state, counters: terms.counters(), terms }
}

/// Lists sales.
///
/// Sales that were approved, newest first and a page at a time, or with `date` those of one day.
#[utoipa::path(
    get, path = "/api/v1/sales", tag = "sales",
    params(SalesQuery),
    responses((status = 200, description = "A page of sales", body = SalePage,
        links(
            ("sale" = (operation_id = "get_sales_sale",
                parameters(("sale" = "$response.body#/data/0/sale_id")),
                description = "Shows the first of these sales.")),
            ("buy" = (operation_id = "post_items_item_buy",
                parameters(("item" = "$response.body#/data/0/items/0/item_id")),
                description = "Buys units of the first item of the first sale.")),
        ),
        example = json!(SalePage { data: vec![SaleView::example()], has_more: false })))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Parameters(query): Parameters<SalesQuery>,
) -> Result<Json<SalePage>, Problem> {
    let found = listed(&edge, query).await?;
    let data = found.sales.iter().map(|sale| view(&edge, sale)).collect();
    Ok(Json(SalePage { data, has_more: found.has_more }))
}

/// Returns the sales that a query asks for, and has their units looked at.
///
/// # Errors
/// Returns an `invalid_field` problem if the query is not valid, an `overloaded` one if too many ask, and a
/// `records_unavailable` one if the catalogue does not answer.
pub async fn listed(edge: &Edge, query: SalesQuery) -> Result<Arc<SaleList>, Problem> {
    let found = if let Some(day) = query.day()? {
        edge.sales.of_day(day).await?
    } else {
        let (limit, before) = query.page().read::<SaleId>()?;
        edge.sales.public_page(before, limit).await?
    };
    look_at(edge, &found.sales).await;
    Ok(found)
}

/// Shows a sale.
///
/// With its items, their prices and their units as they are now. A sale that was not approved is not
/// shown.
#[utoipa::path(
    get, path = "/api/v1/sales/{sale}", tag = "sales",
    params(Id::<SaleId>),
    responses((status = 200, description = "The sale", body = SaleView,
        links(
            ("item" = (operation_id = "get_items_item",
                parameters(("item" = "$response.body#/items/0/item_id")),
                description = "Shows the sale's first item.")),
            ("buy" = (operation_id = "post_items_item_buy",
                parameters(("item" = "$response.body#/items/0/item_id")),
                description = "Buys units of the sale's first item.")),
        ),
        example = json!(SaleView::example())))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Id(sale_id): Id<SaleId>,
) -> Result<Json<SaleView>, Problem> {
    find(&edge, sale_id).await.map(|sale| Json(view(&edge, &sale)))
}

/// Returns a sale that everybody may see, and has its units looked at.
///
/// # Errors
/// Returns a `sale_not_found` problem if there is none, and those of [`listed`].
pub async fn find(edge: &Edge, sale_id: SaleId) -> Result<Arc<PublicSale>, Problem> {
    let sale = edge.sales.public_sale(sale_id).await?.ok_or_else(Problem::sale_not_found)?;
    look_at(edge, [sale.as_ref()]).await;
    Ok(sale)
}

/// Looks at the units of the sales' items that are other nodes'.
async fn look_at(edge: &Edge, sales: impl IntoIterator<Item = &PublicSale>) {
    let items = sales.into_iter().flat_map(|sale| &sale.items);
    edge.engine.look_at(items.map(|item| item.item_id)).await;
}
