//! Sales as operators see them.

use crate::http::api::admission_view::AdmissionView;
use crate::http::api::example;
use crate::http::api::items::CountersView;
use crate::http::request::rules::{CurrencyCode, Identity};
use crate::http::state::Edge;
use crate::http::timestamp;
use domain::Timestamp;
use domain::catalogue::{Sale, SaleItem};
use serde::Serialize;
use utoipa::ToSchema;

/// A sale that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedSale {
    /// The sale's identity.
    #[schema(value_type = Identity)]
    pub sale_id: String,
    /// How far the sale has come: `draft`.
    pub status: String,
    /// A number that grows with every change of the sale: its `ETag` is this in quotes.
    pub revision: u64,
    /// The sale's items with their identities, in the order of display.
    pub items: Vec<AdminItem>,
}

/// A sale as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminSale {
    /// The sale's identity.
    #[schema(value_type = Identity)]
    pub sale_id: String,
    /// What the sale is called.
    pub title: String,
    /// How far the sale has come: `draft`, `submitted`, `rejected`, `approved`, `preheated`, `live`,
    /// `ended` or `settled`.
    pub status: String,
    /// When the sale starts.
    #[schema(format = DateTime)]
    pub starts_at: String,
    /// When the sale is over.
    #[schema(format = DateTime)]
    pub ends_at: String,
    /// A number that grows with every change of the sale: its `ETag` is this in quotes.
    pub revision: u64,
    /// The operator who made the sale.
    pub created_by: String,
    /// When the sale was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// The operator who edited the sale last.
    pub edited_by: String,
    /// Who submitted the sale, and when.
    pub submitted: Option<Signature>,
    /// Who approved the sale, and when.
    pub approved: Option<Signature>,
    /// The sale's items, in the order of display.
    pub items: Vec<AdminItem>,
}

/// An operator who did something, and when.
#[derive(Debug, Serialize, ToSchema)]
pub struct Signature {
    /// The operator's name.
    pub by: String,
    /// When the operator did it.
    #[schema(format = DateTime)]
    pub at: String,
}

/// An item as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminItem {
    /// The item's identity.
    #[schema(value_type = Identity)]
    pub item_id: String,
    /// The product, as its seller names it.
    pub product_id: String,
    /// What the item is called.
    pub title: String,
    /// The price of one unit, in minor units of `currency`: 990 is ¥9.90.
    pub price: u64,
    /// The price of one unit outside of the sale, in minor units of `currency`.
    pub list_price: Option<u64>,
    /// The currency of both prices.
    #[schema(value_type = CurrencyCode)]
    pub currency: String,
    /// Units on sale at the start.
    pub allotted: u32,
    /// Units that one buyer may hold.
    pub limit_per_user: u16,
    /// How long an order may stay unpaid, in seconds.
    pub payment_window_seconds: u64,
    /// What is said of the item, in paragraphs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The name of its picture, which is shown at `/media/` and this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// How the item is guarded when it goes on sale, and once it is on sale, how it is then; absent if
    /// everybody may buy it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<AdmissionView>,
    /// Over how many shards the item's units are spread; absent if one shard has them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buckets: Option<u8>,
    /// The item's units, once the item is in its shard; of several buckets, once all were seen.
    pub counters: Option<CountersView>,
}

/// Returns the item as operators see it now.
pub fn view_item(edge: &Edge, item: &SaleItem, starts_at: Timestamp) -> AdminItem {
    let offer = &item.offer;
    let gate = edge.engine.known_gate(item.item_id);
    let admission = gate.as_ref().map_or(offer.admission, |gate| gate.admission());
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
        description: offer.description.clone(),
        picture: offer.picture.map(|picture| picture.to_string()),
        admission: AdmissionView::of(admission, starts_at),
        buckets: Some(offer.buckets).filter(|buckets| *buckets > 1),
        counters: gate.and_then(|gate| gate.units()).map(CountersView::from),
    }
}

/// Returns the sale as operators see it now.
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
        items: sale.items.iter().map(|item| view_item(edge, item, sale.starts_at)).collect(),
    }
}

impl CreatedSale {
    /// Returns the example's sale, just made.
    pub fn example() -> Self {
        Self {
            sale_id: example::SALE_ID.to_owned(),
            status: "draft".to_owned(),
            revision: 1,
            items: vec![AdminItem::example(None)],
        }
    }
}

impl AdminSale {
    /// Returns the example's sale with this status: `draft`, `submitted`, `rejected` or `preheated`.
    pub fn example(status: &str) -> Self {
        let signature = |by: &str, at: &str| Signature { by: by.to_owned(), at: at.to_owned() };
        let submitted = signature(example::OPERATOR, example::SUBMITTED_AT);
        let approved = signature(example::APPROVER, example::APPROVED_AT);
        let is_approved = status == "preheated";
        Self {
            sale_id: example::SALE_ID.to_owned(),
            title: example::SALE_TITLE.to_owned(),
            status: status.to_owned(),
            starts_at: example::STARTS_AT.to_owned(),
            ends_at: example::ENDS_AT.to_owned(),
            revision: 3,
            created_by: example::OPERATOR.to_owned(),
            created_at: example::WRITTEN_AT.to_owned(),
            edited_by: example::OPERATOR.to_owned(),
            submitted: Some(submitted).filter(|_| status != "draft"),
            approved: Some(approved).filter(|_| is_approved),
            items: vec![AdminItem::example(is_approved.then(CountersView::example_of_start))],
        }
    }
}

impl AdminItem {
    fn example(counters: Option<CountersView>) -> Self {
        Self {
            item_id: example::ITEM_ID.to_owned(),
            product_id: example::PRODUCT_ID.to_owned(),
            title: example::ITEM_TITLE.to_owned(),
            price: example::PRICE,
            list_price: Some(example::LIST_PRICE),
            currency: example::CURRENCY.to_owned(),
            allotted: example::ALLOTTED,
            limit_per_user: example::LIMIT_PER_USER,
            payment_window_seconds: example::PAYMENT_WINDOW_SECONDS,
            description: Some(example::DESCRIPTION.to_owned()),
            picture: None,
            admission: None,
            buckets: None,
            counters,
        }
    }
}
