//! The items of the sales that are on or come, for who has to tell an item whose shard has not taken it in yet from
//! one that there is not.
//!
//! Only items that no node has in a shard are asked for here. However many ask, the catalogue is read once a second
//! at most; while it does not answer, what it said last counts.

use crate::store::catalogue::{Catalogue, CatalogueError};
use domain::{ItemId, SaleStatus, Timestamp};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How old what is known may be.
const AGE_MAX: Duration = Duration::from_secs(1);
/// How long the catalogue is waited for.
const WAIT: Duration = Duration::from_secs(1);
/// Sales of one page, and how many pages are read, the newest sales first.
const PAGE: usize = 100;
const PAGES_MAX: usize = 10;

/// The items, as the catalogue had them when it was last looked at. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    read_at: Option<Instant>,
    items: HashSet<ItemId>,
}

impl Expected {
    /// Whether the item is one of them, as of this instant.
    pub(super) async fn has(&self, item_id: ItemId, catalogue: &Catalogue, now: Timestamp) -> bool {
        // The first one looks for all who wait here.
        let mut known = self.0.lock().await;
        if known.read_at.is_none_or(|at| at.elapsed() >= AGE_MAX) {
            match tokio::time::timeout(WAIT, read(catalogue, now)).await {
                Ok(Ok(items)) => known.items = items,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "which items are to be sold is not known")
                }
                Err(_) => tracing::debug!("which items are to be sold the catalogue does not say"),
            }
            known.read_at = Some(Instant::now());
        }
        known.items.contains(&item_id)
    }
}

async fn read(catalogue: &Catalogue, now: Timestamp) -> Result<HashSet<ItemId>, CatalogueError> {
    let (mut items, mut before) = (HashSet::new(), None);
    for _ in 0..PAGES_MAX {
        let statuses = [SaleStatus::Approved, SaleStatus::Preheated];
        let page = catalogue.sales(&statuses, before, PAGE).await?;
        for sale in page.iter().filter(|sale| sale.ends_at > now) {
            items.extend(sale.items.iter().map(|item| item.item_id));
        }
        before = page.last().map(|sale| sale.sale_id);
        if page.len() < PAGE {
            break;
        }
    }
    Ok(items)
}
