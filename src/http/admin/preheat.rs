//! The check list of a preheat: whether each item of a sale is in its shard as it was approved.

use crate::http::api::example;
use crate::http::api::items::CountersView;
use crate::http::auth::bearer::Operator;
use crate::http::problem::Problem;
use crate::http::request::path::Id;
use crate::http::request::rules::Identity;
use crate::http::state::Edge;
use crate::http::timestamp;
use axum::Json;
use axum::extract::State;
use domain::catalogue::{Sale, SaleItem};
use domain::{ItemTerms, SaleId};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The check list of a preheat.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreheatList {
    /// The sale's identity.
    #[schema(value_type = Identity)]
    pub sale_id: String,
    /// How far the sale has come.
    pub status: String,
    /// When the sale starts.
    #[schema(format = DateTime)]
    pub starts_at: String,
    /// Whether every item is in its shard as it was approved.
    pub complete: bool,
    /// The sale's items, one by one.
    pub items: Vec<PreheatItem>,
}

/// One item of the check list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreheatItem {
    /// The item's identity.
    #[schema(value_type = Identity)]
    pub item_id: String,
    /// The product, as its seller names it.
    pub product_id: String,
    /// Whether the item is in its shard; of several buckets, whether each is in its own.
    pub loaded: bool,
    /// Whether the shard has the price, the window and the limits that were approved.
    pub terms_agree: bool,
    /// The number of the shard that has the item; of several buckets, that of the first one.
    pub shard: Option<u16>,
    /// The item's units in its shard.
    pub counters: Option<CountersView>,
}

impl PreheatList {
    fn example() -> Self {
        Self {
            sale_id: example::SALE_ID.to_owned(),
            status: "preheated".to_owned(),
            starts_at: example::STARTS_AT.to_owned(),
            complete: true,
            items: vec![PreheatItem {
                item_id: example::ITEM_ID.to_owned(),
                product_id: example::PRODUCT_ID.to_owned(),
                loaded: true,
                terms_agree: true,
                shard: Some(3),
                counters: Some(CountersView::example_of_start()),
            }],
        }
    }
}

/// Checks the preheat of a sale.
///
/// Whether each item is in its shard as it was approved, so that it can be bought at the sale's start.
/// Approving the sale again completes a preheat that was interrupted.
#[utoipa::path(
    get, path = "/api/v1/admin/sales/{sale}/preheat", tag = "operators",
    params(Id::<SaleId>),
    responses((status = 200, description = "The check list", body = PreheatList,
        links(("sale" = (operation_id = "get_admin_sales_sale"))),
        example = json!(PreheatList::example()))),
    security(("token" = []))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Id(sale_id): Id<SaleId>,
) -> Result<Json<PreheatList>, Problem> {
    let sale = edge.sales.sale(sale_id).await?;
    edge.engine.look_at(sale.items.iter().map(|item| item.item_id)).await;
    let items = check(&edge, &sale);
    let stage = sale.status.stage(edge.engine.now(), sale.starts_at, sale.ends_at);
    Ok(Json(PreheatList {
        sale_id: sale.sale_id.to_string(),
        status: stage.name().to_owned(),
        starts_at: timestamp::to_string(sale.starts_at),
        complete: items.iter().all(PreheatItem::is_ready),
        items,
    }))
}

impl PreheatItem {
    /// Returns whether the item is in its shard as it was approved.
    pub fn is_ready(&self) -> bool {
        self.loaded && self.terms_agree
    }
}

/// Returns how each of the sale's items is in its shard, in the order of display.
pub fn check(edge: &Edge, sale: &Sale) -> Vec<PreheatItem> {
    let check = |item: &SaleItem| {
        let gate = edge.engine.known_gate(item.item_id);
        let units = gate.as_ref().and_then(|gate| gate.units());
        let terms_agree = gate.as_ref().is_some_and(|gate| agree(gate.terms(), sale, item));
        PreheatItem {
            item_id: item.item_id.to_string(),
            product_id: item.offer.product_id.clone(),
            // A preheat that was interrupted leaves some buckets without units.
            loaded: units.is_some(),
            terms_agree,
            shard: gate.as_ref().map(|gate| gate.shard().0),
            counters: units.map(CountersView::from),
        }
    };
    sale.items.iter().map(check).collect()
}

/// Whether an item is sold on the terms that were approved. In which shards its buckets are, the preheat has decided.
fn agree(terms: &ItemTerms, sale: &Sale, item: &SaleItem) -> bool {
    *terms == ItemTerms { buckets: terms.buckets.clone(), ..sale.terms(item) }
}
