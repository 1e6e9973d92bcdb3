//! What items are called: read from the catalogue once, because a sale that was approved does not
//! change any more.

use crate::actors::Gate;
use crate::sales::Sales;
use dashmap::DashMap;
use domain::ItemId;
use std::sync::Arc;

/// The titles that were read, one for each item with a gate at most.
#[derive(Debug, Default)]
pub struct Titles(DashMap<ItemId, Title>);

/// What only the catalogue knows of an item on sale.
#[derive(Clone, Debug)]
pub struct Title {
    /// What it is called.
    pub title: Arc<str>,
    /// The price of one unit outside of the sale, in minor units of the item's currency.
    pub list_price: Option<u64>,
}

impl Titles {
    /// Returns the title of the gate's item, or `None` if the catalogue does not answer.
    pub async fn title(&self, sales: &Sales, gate: &Gate) -> Option<Title> {
        let item_id = gate.terms().item_id;
        if let Some(title) = self.0.get(&item_id) {
            return Some(title.clone());
        }
        let sale = sales.sale(gate.terms().sale_id).await.ok()?;
        for item in sale.items {
            let title = Title {
                title: item.offer.title.as_str().into(),
                list_price: item.offer.list_price,
            };
            self.0.insert(item.item_id, title);
        }
        self.0.get(&item_id).map(|title| title.clone())
    }
}
