//! `GET /api/v1/items/{item}`: an item on sale, with its three counters.

use super::admission::Id;
use super::edge::Edge;
use super::error::Problem;
use super::timestamp;
use crate::actors::Gate;
use axum::Json;
use axum::extract::State;
use dashmap::DashMap;
use domain::{ItemCounters, ItemId, ItemPhase, ItemTerms, Timestamp};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// An item as buyers see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Item)]
pub struct ItemView {
    /// Its identity.
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub item_id: String,
    /// Its sale.
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub sale_id: String,
    /// The product.
    pub product_id: String,
    /// What it is called; absent where the catalogue was not asked or does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What one unit costs otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_price: Option<u64>,
    /// Price of one unit in minor units of `currency`.
    pub price: u64,
    /// ISO 4217 code.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// Units that one buyer may hold.
    pub limit_per_user: u16,
    /// How long an order may stay unpaid.
    pub payment_window_seconds: u64,
    /// When it can first be bought.
    #[schema(format = DateTime)]
    pub starts_at: String,
    /// From when it cannot any more.
    #[schema(format = DateTime)]
    pub ends_at: String,
    /// Whether it can be bought.
    pub state: ItemStateView,
    /// Units: available + reserved + sold = allotted.
    pub counters: CountersView,
}

/// Whether an item can be bought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = ItemState)]
#[serde(rename_all = "snake_case")]
pub enum ItemStateView {
    /// Its sale has not started.
    Upcoming,
    /// Yes.
    Live,
    /// Everything is sold or reserved; reserved units may come back.
    SoldOut,
    /// An operator has paused it.
    Paused,
    /// Its sale is over.
    Ended,
}

/// An item's units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Counters)]
pub struct CountersView {
    /// Put on sale.
    pub allotted: u32,
    /// To be bought.
    pub available: u32,
    /// Bought and not paid.
    pub reserved: u32,
    /// Paid.
    pub sold: u32,
}

impl From<ItemCounters> for CountersView {
    fn from(counters: ItemCounters) -> Self {
        let ItemCounters { allotted, available, reserved, sold } = counters;
        Self { allotted, available, reserved, sold }
    }
}

/// What the gate's item is at `now`.
pub fn state(gate: &Gate, now: Timestamp) -> ItemStateView {
    let terms = gate.terms();
    if gate.phase() == ItemPhase::Ended || now >= terms.ends_at {
        ItemStateView::Ended
    } else if gate.phase() == ItemPhase::Paused {
        ItemStateView::Paused
    } else if now < terms.starts_at {
        ItemStateView::Upcoming
    } else if gate.counters().available == 0 {
        ItemStateView::SoldOut
    } else {
        ItemStateView::Live
    }
}

/// The gate's item at `now`, without what only the catalogue knows.
pub fn view(gate: &Gate, now: Timestamp) -> ItemView {
    view_terms(gate.terms(), state(gate, now), gate.counters().into())
}

/// An item of these terms.
pub fn view_terms(terms: &ItemTerms, state: ItemStateView, counters: CountersView) -> ItemView {
    ItemView {
        item_id: terms.item_id.to_string(),
        sale_id: terms.sale_id.to_string(),
        product_id: terms.product_id.to_string(),
        title: None,
        list_price: None,
        price: terms.price,
        currency: terms.currency.to_string(),
        limit_per_user: terms.limit_per_user,
        payment_window_seconds: terms.payment_window_milliseconds / 1000,
        starts_at: timestamp::to_string(terms.starts_at),
        ends_at: timestamp::to_string(terms.ends_at),
        state,
        counters,
    }
}

/// What items are called: read once, because a sale that was approved does not change any more. As
/// many as there are gates.
#[derive(Debug, Default)]
pub struct Titles(DashMap<ItemId, Title>);

#[derive(Clone, Debug)]
struct Title {
    title: Arc<str>,
    list_price: Option<u64>,
}

/// The title of the gate's item, or nothing where the catalogue does not answer.
async fn title(edge: &Edge, gate: &Gate) -> Option<Title> {
    let item_id = gate.terms().item_id;
    if let Some(title) = edge.titles.0.get(&item_id) {
        return Some(title.clone());
    }
    let sale = edge.sales.sale(gate.terms().sale_id).await.ok()?;
    for item in sale.items {
        let title =
            Title { title: item.offer.title.as_str().into(), list_price: item.offer.list_price };
        edge.titles.0.insert(item.item_id, title);
    }
    edge.titles.0.get(&item_id).map(|title| title.clone())
}

/// An item on sale.
#[utoipa::path(
    get, path = "/api/v1/items/{item}", tag = "sales",
    params(("item" = String, Path, description = "The item's identity")),
    responses((status = 200, description = "The item", body = ItemView))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Id(item_id): Id<ItemId>,
) -> Result<Json<ItemView>, Problem> {
    // The gate first: an unknown identity never reaches the catalogue.
    let gate = edge.engine.gate(item_id).ok_or_else(Problem::item_not_found)?;
    let title = title(&edge, &gate).await;
    Ok(Json(ItemView {
        title: title.as_ref().map(|title| title.title.to_string()),
        list_price: title.and_then(|title| title.list_price),
        ..view(&gate, edge.engine.now())
    }))
}
