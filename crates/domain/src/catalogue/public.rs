//! Sales as the public sees them: approved, and without who wrote and judged them.
//!
//! The form in which sales are listed, cached and shown. Counters are not part of it; they change
//! with each purchase. Neither is whether a sale is live: that is the clock's to say.

use super::picture::PictureId;
use super::sale::{Sale, SaleItem};
use crate::admission::Admission;
use crate::approval::SaleStatus;
use crate::buckets::Buckets;
use crate::ids::{ItemId, SaleId, Timestamp};
use crate::sale::{Currency, ItemTerms};

/// Statuses of the sales that are public. No step leads out of them.
pub const PUBLIC_STATUSES: [SaleStatus; 4] =
    [SaleStatus::Approved, SaleStatus::Preheated, SaleStatus::Ended, SaleStatus::Settled];

/// A sale as the public sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicSale {
    /// The sale's number.
    pub sale_id: SaleId,
    /// The title under which it is shown.
    pub title: String,
    /// How far it has come: one of [`PUBLIC_STATUSES`].
    pub status: SaleStatus,
    /// First instant at which it sells.
    pub starts_at: Timestamp,
    /// First instant at which it sells no more.
    pub ends_at: Timestamp,
    /// Its items, in their order of display.
    pub items: Vec<PublicItem>,
}

/// An item of a sale, without its counters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicItem {
    /// The item's number.
    pub item_id: ItemId,
    /// The product, of which a sale has one item.
    pub product_id: String,
    /// The title under which it is shown.
    pub title: String,
    /// Price of one unit in minor units of `currency`.
    pub price: u64,
    /// What it costs outside the sale.
    pub list_price: Option<u64>,
    /// ISO 4217 code.
    pub currency: Currency,
    /// Units on sale.
    pub allotted: u32,
    /// Units one buyer may hold.
    pub limit_per_user: u16,
    /// How long an order may stay unpaid.
    pub payment_window_milliseconds: u64,
    /// What is said of it in paragraphs; a list of a day's sales leaves it out.
    pub description: Option<String>,
    /// The picture of it.
    pub picture: Option<PictureId>,
    /// How it is guarded when it goes on sale.
    pub admission: Admission,
}

/// Some sales: a page of them, or those of one day.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SaleList {
    /// The newest first; those of a day in the order of their start. As many as a page holds.
    pub sales: Vec<PublicSale>,
    /// Whether there are more than those.
    pub has_more: bool,
}

impl Sale {
    /// The sale as the public sees it; `None` if its status is not public.
    pub fn public(&self) -> Option<PublicSale> {
        PUBLIC_STATUSES.contains(&self.status).then(|| PublicSale {
            sale_id: self.sale_id,
            title: self.title.clone(),
            status: self.status,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            items: self.items.iter().map(PublicItem::from).collect(),
        })
    }
}

impl From<&SaleItem> for PublicItem {
    fn from(item: &SaleItem) -> Self {
        let offer = &item.offer;
        Self {
            item_id: item.item_id,
            product_id: offer.product_id.clone(),
            title: offer.title.clone(),
            price: offer.price,
            list_price: offer.list_price,
            currency: offer.currency,
            allotted: offer.allotted,
            limit_per_user: offer.limit_per_user,
            payment_window_milliseconds: offer.payment_window_milliseconds,
            description: offer.description.clone(),
            picture: offer.picture,
            admission: offer.admission,
        }
    }
}

impl PublicSale {
    /// The sale as a list shows it: without what is said of its items.
    #[must_use]
    pub fn listed(mut self) -> Self {
        self.items.iter_mut().for_each(|item| item.description = None);
        self
    }

    /// The item's terms, as they were approved.
    pub fn terms(&self, item: &PublicItem) -> ItemTerms {
        ItemTerms {
            item_id: item.item_id,
            sale_id: self.sale_id,
            product_id: item.product_id.as_str().into(),
            price: item.price,
            currency: item.currency,
            allotted: item.allotted,
            limit_per_user: item.limit_per_user,
            payment_window_milliseconds: item.payment_window_milliseconds,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            admission: item.admission,
            buckets: Buckets::ONE,
        }
    }
}
