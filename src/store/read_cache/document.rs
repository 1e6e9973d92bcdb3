//! A day's public sales as one JSON document: the form in which Redis keeps them.
//!
//! Identities are decimal strings, instants milliseconds since 1970, statuses and currencies their
//! names.

use domain::catalogue::{PublicItem, PublicSale, SaleList};
use domain::{Admission, Currency, SaleStatus, Timestamp};
use serde::{Deserialize, Serialize};

/// The document of one day, which is valid for one generation of the cache.
#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    generation: u64,
    sales: Vec<SaleFields>,
    has_more: bool,
}

#[derive(Serialize, Deserialize)]
struct SaleFields {
    sale_id: String,
    title: String,
    status: String,
    starts_at: u64,
    ends_at: u64,
    items: Vec<ItemFields>,
}

#[derive(Serialize, Deserialize)]
struct ItemFields {
    item_id: String,
    product_id: String,
    title: String,
    price: u64,
    list_price: Option<u64>,
    currency: String,
    allotted: u32,
    limit_per_user: u16,
    payment_window_milliseconds: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    picture: Option<String>,
    /// Its admission's number. An earlier version wrote none, and knew none.
    #[serde(default)]
    admission: u64,
}

impl Document {
    pub(super) fn new(generation: u64, day: &SaleList) -> Self {
        Self {
            generation,
            sales: day.sales.iter().map(SaleFields::from).collect(),
            has_more: day.has_more,
        }
    }

    /// The document in `json`, if it is one.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// The day's sales, if the document is of this generation and each field has its form.
    pub(super) fn into_day(self, generation: u64) -> Option<SaleList> {
        if self.generation != generation {
            return None;
        }
        let sales = self.sales.into_iter().map(SaleFields::into_sale).collect::<Option<_>>()?;
        Some(SaleList { sales, has_more: self.has_more })
    }
}

impl From<&PublicSale> for SaleFields {
    fn from(sale: &PublicSale) -> Self {
        Self {
            sale_id: sale.sale_id.to_string(),
            title: sale.title.clone(),
            status: sale.status.name().to_owned(),
            starts_at: sale.starts_at.0,
            ends_at: sale.ends_at.0,
            items: sale.items.iter().map(ItemFields::from).collect(),
        }
    }
}

impl SaleFields {
    fn into_sale(self) -> Option<PublicSale> {
        Some(PublicSale {
            sale_id: self.sale_id.parse().ok()?,
            title: self.title,
            status: SaleStatus::from_name(&self.status)?,
            starts_at: Timestamp(self.starts_at),
            ends_at: Timestamp(self.ends_at),
            items: self.items.into_iter().map(ItemFields::into_item).collect::<Option<_>>()?,
        })
    }
}

impl From<&PublicItem> for ItemFields {
    fn from(item: &PublicItem) -> Self {
        Self {
            item_id: item.item_id.to_string(),
            product_id: item.product_id.clone(),
            title: item.title.clone(),
            price: item.price,
            list_price: item.list_price,
            currency: item.currency.to_string(),
            allotted: item.allotted,
            limit_per_user: item.limit_per_user,
            payment_window_milliseconds: item.payment_window_milliseconds,
            description: item.description.clone(),
            picture: item.picture.map(|picture| picture.to_string()),
            admission: item.admission.number(),
        }
    }
}

impl ItemFields {
    fn into_item(self) -> Option<PublicItem> {
        Some(PublicItem {
            item_id: self.item_id.parse().ok()?,
            product_id: self.product_id,
            title: self.title,
            price: self.price,
            list_price: self.list_price,
            currency: Currency::parse(&self.currency)?,
            allotted: self.allotted,
            limit_per_user: self.limit_per_user,
            payment_window_milliseconds: self.payment_window_milliseconds,
            description: self.description,
            picture: self.picture.map(|picture| picture.parse()).transpose().ok()?,
            admission: Admission::from_number(self.admission)?,
        })
    }
}
