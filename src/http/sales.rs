//! Sales as buyers see them: those that were approved, with their items and counters.

use super::admission::Id;
use super::edge::Edge;
use super::error::Problem;
use super::extract::{Parameters, SalesQuery};
use super::items::{CountersView, ItemStateView, ItemView};
use super::{items, timestamp};
use axum::Json;
use axum::extract::State;
use domain::catalogue::{PUBLIC_STATUSES, PublicItem, PublicSale, Sale};
use domain::{ItemCounters, SaleId, SaleStatus, Timestamp};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A sale with its items.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Sale)]
pub struct SaleView {
    /// Its identity.
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub sale_id: String,
    /// What it is called.
    pub title: String,
    /// `approved`, `preheated`, `live`, `ended` or `settled`.
    pub status: String,
    /// When it starts.
    #[schema(format = DateTime)]
    pub starts_at: String,
    /// When it is over.
    #[schema(format = DateTime)]
    pub ends_at: String,
    /// Its items, in the order of display.
    pub items: Vec<ItemView>,
}

/// A page of sales, newest first, or the sales of a day by their start.
#[derive(Debug, Serialize, ToSchema)]
pub struct SalePage {
    /// The sales.
    pub data: Vec<SaleView>,
    /// Whether there are more: of a page the older ones, for which to ask again with
    /// `starting_after` the last one; of a day those beyond its first hundred.
    pub has_more: bool,
}

/// The sale as it is now.
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
    let title = Some(item.title.clone());
    let list_price = item.list_price;
    if let Some(gate) = edge.engine.gate(item.item_id) {
        return ItemView { title, list_price, ..items::view(&gate, now) };
    }
    // Not preheated yet, or let go of already.
    let terms = sale.terms(item);
    let is_over =
        now >= sale.ends_at || matches!(sale.status, SaleStatus::Ended | SaleStatus::Settled);
    let state = if is_over { ItemStateView::Ended } else { ItemStateView::Upcoming };
    let counters: ItemCounters = terms.counters();
    ItemView { title, list_price, ..items::view_terms(&terms, state, CountersView::from(counters)) }
}

/// Sales, newest first, or those of one day. Those that were not approved are not shown.
#[utoipa::path(
    get, path = "/api/v1/sales", tag = "sales",
    params(SalesQuery),
    responses((status = 200, description = "A page of sales", body = SalePage))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Parameters(query): Parameters<SalesQuery>,
) -> Result<Json<SalePage>, Problem> {
    if let Some(day) = query.day()? {
        let day = edge.sales.of_day(day).await?;
        let data = day.sales.iter().map(|sale| view(&edge, sale)).collect();
        return Ok(Json(SalePage { data, has_more: day.has_more }));
    }
    let (limit, before) = query.page().read::<SaleId>()?;
    let (sales, has_more) = page(&edge, &PUBLIC_STATUSES, before, limit).await?;
    let sales = sales.iter().filter_map(Sale::public);
    Ok(Json(SalePage { data: sales.map(|sale| view(&edge, &sale)).collect(), has_more }))
}

/// A page of sales in one of these statuses, and whether there are more.
///
/// # Errors
/// Where the catalogue does not answer.
pub async fn page(
    edge: &Edge,
    statuses: &[SaleStatus],
    before: Option<SaleId>,
    limit: usize,
) -> Result<(Vec<Sale>, bool), Problem> {
    let found = edge.sales.page(statuses, before, limit).await?;
    let has_more = match found.last() {
        Some(last) if found.len() == limit => {
            !edge.sales.page(statuses, Some(last.sale_id), 1).await?.is_empty()
        }
        _ => false,
    };
    Ok((found, has_more))
}

/// One sale.
#[utoipa::path(
    get, path = "/api/v1/sales/{sale}", tag = "sales",
    params(("sale" = String, Path, description = "The sale's identity")),
    responses((status = 200, description = "The sale", body = SaleView))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Id(sale_id): Id<SaleId>,
) -> Result<Json<SaleView>, Problem> {
    let sale = edge.sales.public_sale(sale_id).await?.ok_or_else(Problem::sale_not_found)?;
    Ok(Json(view(&edge, &sale)))
}
