//! A sale as the catalogue keeps it: its offers with their numbers, and who made and judged it.

use super::draft::Offer;
use crate::approval::{Makers, SaleStatus};
use crate::buckets::Buckets;
use crate::ids::{ItemId, SaleId, Timestamp};
use crate::sale::ItemTerms;

/// A sale with its items.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sale {
    /// The sale's number.
    pub sale_id: SaleId,
    /// The title under which it is shown.
    pub title: String,
    /// First instant at which a purchase can succeed.
    pub starts_at: Timestamp,
    /// First instant at which none can any more.
    pub ends_at: Timestamp,
    /// How far the sale has come.
    pub status: SaleStatus,
    /// Grows with every change.
    pub revision: u64,
    /// How often its content was changed since it was created.
    pub edits: u64,
    /// The operator who created it.
    pub created_by: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// The operator who edited it last.
    pub edited_by: String,
    /// Who submitted it and when, if it was submitted.
    pub submitted: Option<(String, Timestamp)>,
    /// Who approved it and when, if it was approved.
    pub approved: Option<(String, Timestamp)>,
    /// When it was changed last.
    pub changed_at: Timestamp,
    /// Its items, in the order of display.
    pub items: Vec<SaleItem>,
}

/// One product in a sale.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SaleItem {
    /// The item's number.
    pub item_id: ItemId,
    /// What is offered.
    pub offer: Offer,
}

impl Sale {
    /// What the shard of `item` must know of it.
    pub fn terms(&self, item: &SaleItem) -> ItemTerms {
        ItemTerms {
            item_id: item.item_id,
            sale_id: self.sale_id,
            product_id: item.offer.product_id.as_str().into(),
            price: item.offer.price,
            currency: item.offer.currency,
            allotted: item.offer.allotted,
            limit_per_user: item.offer.limit_per_user,
            payment_window_milliseconds: item.offer.payment_window_milliseconds,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            admission: item.offer.admission,
            buckets: Buckets::ONE,
        }
    }

    /// The people who may not judge it.
    pub fn makers(&self) -> Makers<'_> {
        Makers {
            created_by: &self.created_by,
            edited_by: &self.edited_by,
            submitted_by: self.submitted.as_ref().map(|(name, _)| name.as_str()),
        }
    }
}
