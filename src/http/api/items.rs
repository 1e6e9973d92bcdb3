//! `GET /api/v1/items/{item}`: an item on sale, with its three counters.

use super::admission_view::AdmissionView;
use super::example;
use crate::actors::Gate;
use crate::http::problem::Problem;
use crate::http::purchase;
use crate::http::request::path::Id;
use crate::http::request::rules::{CurrencyCode, Identity};
use crate::http::state::Edge;
use crate::http::timestamp;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use domain::{Admission, ItemCounters, ItemId, ItemPhase, ItemTerms, Timestamp};
use hyper::header::CACHE_CONTROL;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A product in a sale, as buyers see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Item)]
pub struct ItemView {
    /// The item's identity.
    #[schema(value_type = Identity)]
    pub item_id: String,
    /// The sale's identity.
    #[schema(value_type = Identity)]
    pub sale_id: String,
    /// The product, as its seller names it.
    pub product_id: String,
    /// What the item is called; absent if the catalogue was not asked or does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is said of the item, in paragraphs; only where one sale is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The name of its picture, which is shown at `/media/` and this; only where sales are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// The price of one unit outside of the sale, in minor units of `currency`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_price: Option<u64>,
    /// The price of one unit, in minor units of `currency`: 990 is ¥9.90.
    pub price: u64,
    /// The currency of both prices.
    #[schema(value_type = CurrencyCode)]
    pub currency: String,
    /// Units that one buyer may hold.
    pub limit_per_user: u16,
    /// How long an order may stay unpaid, in seconds.
    pub payment_window_seconds: u64,
    /// From when the item can be bought.
    #[schema(format = DateTime)]
    pub starts_at: String,
    /// From when the item can no longer be bought.
    #[schema(format = DateTime)]
    pub ends_at: String,
    /// Tells price, times, limit and payment window apart from those of before: what was shown with
    /// another revision is no longer true.
    pub revision: String,
    /// After how many milliseconds to look again at the earliest; only where one item is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_after_ms: Option<u64>,
    /// Whether the item can be bought now.
    pub state: ItemStateView,
    /// The item's units: available + reserved + sold = allotted.
    pub counters: CountersView,
    /// How the item is guarded; absent if everybody may buy it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<AdmissionView>,
}

impl ItemView {
    /// Returns the example's item in the middle of its sale.
    pub fn example() -> Self {
        Self {
            item_id: example::ITEM_ID.to_owned(),
            sale_id: example::SALE_ID.to_owned(),
            product_id: example::PRODUCT_ID.to_owned(),
            title: Some(example::ITEM_TITLE.to_owned()),
            description: Some(example::DESCRIPTION.to_owned()),
            picture: Some(example::PICTURE.to_owned()),
            list_price: Some(example::LIST_PRICE),
            price: example::PRICE,
            currency: example::CURRENCY.to_owned(),
            limit_per_user: example::LIMIT_PER_USER,
            payment_window_seconds: example::PAYMENT_WINDOW_SECONDS,
            starts_at: example::STARTS_AT.to_owned(),
            ends_at: example::ENDS_AT.to_owned(),
            revision: "c1d9f50f86825a1a".to_owned(),
            refresh_after_ms: Some(6_180),
            state: ItemStateView::Live,
            counters: CountersView::example(),
            admission: None,
        }
    }
}

/// Whether an item can be bought now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = ItemState)]
#[serde(rename_all = "snake_case")]
pub enum ItemStateView {
    /// It cannot be bought yet: its sale has not started.
    Upcoming,
    /// It can be bought.
    Live,
    /// All units are sold or reserved; reserved units may come back.
    SoldOut,
    /// An operator has paused its sale.
    Paused,
    /// Its sale is over.
    Ended,
}

/// The units of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Counters)]
pub struct CountersView {
    /// Units put on sale.
    pub allotted: u32,
    /// Units that can be bought.
    pub available: u32,
    /// Units of orders that are not paid yet.
    pub reserved: u32,
    /// Units of paid orders.
    pub sold: u32,
}

impl CountersView {
    /// Returns the units of the example's item in the middle of its sale.
    pub fn example() -> Self {
        Self { allotted: example::ALLOTTED, available: 613, reserved: 41, sold: 346 }
    }

    /// Returns the units of the example's item before its sale.
    pub fn example_of_start() -> Self {
        Self { allotted: example::ALLOTTED, available: example::ALLOTTED, reserved: 0, sold: 0 }
    }
}

impl From<ItemCounters> for CountersView {
    fn from(counters: ItemCounters) -> Self {
        let ItemCounters { allotted, available, reserved, sold } = counters;
        Self { allotted, available, reserved, sold }
    }
}

/// Returns whether the gate's item can be bought at `now`.
pub fn state(gate: &Gate, now: Timestamp) -> ItemStateView {
    let terms = gate.terms();
    if gate.phase() == ItemPhase::Ended || now >= terms.ends_at {
        ItemStateView::Ended
    } else if gate.phase() == ItemPhase::Paused {
        ItemStateView::Paused
    } else if now < terms.starts_at {
        ItemStateView::Upcoming
    } else if units(gate).available == 0 {
        ItemStateView::SoldOut
    } else {
        ItemStateView::Live
    }
}

/// An item as it is at one moment, without what only the catalogue knows.
#[derive(Clone, Debug)]
pub struct SeenItem {
    /// On which terms it is sold.
    pub terms: ItemTerms,
    /// How it is guarded.
    pub admission: Admission,
    /// Whether it can be bought.
    pub state: ItemStateView,
    /// How many units there are, and how many of them are sold.
    pub counters: ItemCounters,
}

/// Returns the gate's item as it is at `now`.
pub fn look(gate: &Gate, now: Timestamp) -> SeenItem {
    SeenItem {
        terms: gate.terms().clone(),
        admission: gate.admission(),
        state: state(gate, now),
        counters: units(gate),
    }
}

/// Returns the units of the gate's item: of all its buckets as they were last seen together and, where they never
/// were, as it was approved. A part of them is never shown.
pub fn units(gate: &Gate) -> ItemCounters {
    gate.units().unwrap_or_else(|| gate.terms().counters())
}

/// Returns an item as buyers see it, without what only the catalogue knows.
pub fn view(seen: &SeenItem) -> ItemView {
    let SeenItem { terms, admission, state, counters } = seen;
    ItemView {
        item_id: terms.item_id.to_string(),
        sale_id: terms.sale_id.to_string(),
        product_id: terms.product_id.to_string(),
        title: None,
        description: None,
        picture: None,
        list_price: None,
        price: terms.price,
        currency: terms.currency.to_string(),
        limit_per_user: terms.limit_per_user,
        payment_window_seconds: terms.payment_window_milliseconds / 1000,
        starts_at: timestamp::to_string(terms.starts_at),
        ends_at: timestamp::to_string(terms.ends_at),
        revision: revision(terms),
        refresh_after_ms: None,
        state: *state,
        counters: (*counters).into(),
        admission: AdmissionView::of(*admission, terms.starts_at),
    }
}

/// Returns what tells these terms apart from others, as far as buyers see them.
pub fn revision(terms: &ItemTerms) -> String {
    let ItemTerms { price, currency, limit_per_user, payment_window_milliseconds, .. } = terms;
    let (starts_at, ends_at) = (terms.starts_at.0, terms.ends_at.0);
    let text = format!(
        "{price} {currency} {limit_per_user} {payment_window_milliseconds} {starts_at} {ends_at}"
    );
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

/// Shows an item on sale.
///
/// With its price, its window and its units as they are now. Units change all the time: only a
/// purchase says whether you get one.
#[utoipa::path(
    get, path = "/api/v1/items/{item}", tag = "sales",
    params(Id::<ItemId>),
    responses((status = 200, description = "The item", body = ItemView,
        links(
            ("buy" = (operation_id = "post_items_item_buy")),
            ("sale" = (operation_id = "get_sales_sale")),
        ),
        example = json!(ItemView::example())))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Id(item_id): Id<ItemId>,
) -> Result<impl IntoResponse, Problem> {
    // The gate first: an unknown identity never reaches the catalogue.
    let gate = purchase::item_with_units(&edge, item_id).await?;
    let title = edge.titles.title(&edge.sales, &gate).await;
    let refresh_after_ms = edge.read_rate.look(edge.clock.elapsed(), rand::random());
    let view = ItemView {
        refresh_after_ms: Some(refresh_after_ms),
        title: title.as_ref().map(|title| title.title.to_string()),
        list_price: title.and_then(|title| title.list_price),
        ..view(&look(&gate, edge.engine.now()))
    };
    // A second old is new enough, and spares the server a crowd that reloads.
    Ok(([(CACHE_CONTROL, "public, max-age=1")], Json(view)))
}
