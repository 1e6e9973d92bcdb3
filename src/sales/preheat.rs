//! The preheat: an approved sale's items are loaded into their shards.
//!
//! Every step may be repeated: an item that is in its shard already stays as it is. So whatever
//! interrupts a preheat, repeating it, by an operator or at the next start, completes it.

use super::{CatalogueError, Change, Sales};
use crate::actors::Engine;
use crate::actors::{NotDelivered, Reply};
use crate::store::orders::ownership::OwnershipError;
use domain::catalogue::Sale;
use domain::operation::SHOP_ACTOR;
use domain::{ItemId, Outcome, SaleStatus, SaleStep};

/// Why a sale is not, or not completely, in its shards. It stays approved.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PreheatError {
    /// The order store beside the catalogue is another journal's, so its sales are not this engine's.
    #[error(transparent)]
    NotOurs(OwnershipError),
    /// A shard did not take an item.
    #[error("item {item_id} was not loaded: {}", because(*.reason))]
    NotLoaded {
        /// The first item that was not loaded.
        item_id: ItemId,
        /// Why it was not loaded; `None` if the outcome is unknown.
        reason: Option<NotDelivered>,
    },
    /// A shard has the item with other terms.
    #[error("item {0} is in its shard with other terms")]
    Refused(ItemId),
    /// The items are in their shards, and the catalogue does not say so yet.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// Why an item was not loaded, in words.
fn because(reason: Option<NotDelivered>) -> &'static str {
    match reason {
        None => "whether it was is not known",
        Some(NotDelivered::Overloaded) => "its shard has too much to do",
        Some(NotDelivered::StorageFull) => "the journal has no room",
        Some(NotDelivered::LogUnavailable) => "the log confirms nothing at the moment",
        Some(NotDelivered::StorageDamaged) => "the journal is damaged",
        Some(NotDelivered::BacklogFull) => "the order store is behind",
        Some(NotDelivered::Quarantined) => "handling it keeps failing",
        Some(NotDelivered::Moved) => {
            "the node of its shard does not answer, or no node has the shard yet"
        }
        Some(NotDelivered::NeedsToken) => "it is sold for buy tokens",
        Some(NotDelivered::ShuttingDown) => "the server is stopping",
    }
}

impl From<OwnershipError> for PreheatError {
    fn from(error: OwnershipError) -> Self {
        match error {
            OwnershipError::Store(error) => Self::Catalogue(error.into()),
            error => Self::NotOurs(error),
        }
    }
}

/// Loads the items of an approved sale into their shards and records that in the catalogue.
///
/// # Errors
/// Returns [`PreheatError`] if an item was not loaded or the catalogue did not answer, after which it
/// may be repeated; [`PreheatError::NotOurs`] if the order store is another journal's, whose engine
/// sells that stock.
pub async fn preheat(engine: &Engine, sales: &Sales, sale: &Sale) -> Result<Sale, PreheatError> {
    sales.check_owner(engine).await?;
    let mut missing = None;
    for item in &sale.items {
        let item_id = item.item_id;
        match engine.open_buckets(sale.terms(item), item.offer.buckets).await {
            // Another node's to load: it may have done so. Of several buckets some may be missing.
            Reply::NotDelivered(NotDelivered::Moved) => {
                if item.offer.buckets > 1 || !engine.is_elsewhere(item_id) {
                    missing.get_or_insert(item_id);
                }
            }
            Reply::Decided(Outcome::Refused(_)) => return Err(PreheatError::Refused(item_id)),
            Reply::Decided(_) => {}
            Reply::NotDelivered(reason) => {
                return Err(PreheatError::NotLoaded { item_id, reason: Some(reason) });
            }
            Reply::Unknown => return Err(PreheatError::NotLoaded { item_id, reason: None }),
        }
    }
    if let Some(item_id) = missing {
        return Err(PreheatError::NotLoaded { item_id, reason: Some(NotDelivered::Moved) });
    }
    let change = Change::by(SHOP_ACTOR, engine.now());
    match sales.take_step(sale.sale_id, SaleStep::Preheat, None, change).await {
        Ok(changed) => Ok(changed.sale),
        // Another caller may have done the same at the same time.
        Err(error) => match sales.sale(sale.sale_id).await? {
            sale if sale.status == SaleStatus::Preheated => Ok(sale),
            _ => Err(error.into()),
        },
    }
}

/// Preheats every sale that is approved and not over, which completes at a start what an earlier
/// process did not. Logs each failure, and returns how many were completed.
///
/// # Errors
/// Returns [`CatalogueError`] if the catalogue does not answer.
pub async fn preheat_approved(engine: &Engine, sales: &Sales) -> Result<usize, CatalogueError> {
    const PAGE: usize = 100;
    let mut completed = 0;
    let mut before = None;
    loop {
        let page = sales.page(&[SaleStatus::Approved], before, PAGE).await?;
        for sale in &page {
            before = Some(sale.sale_id);
            if sale.ends_at <= engine.now() {
                continue;
            }
            match preheat(engine, sales, sale).await {
                Ok(_) => completed += 1,
                // The node that completes it marks it.
                Err(PreheatError::NotLoaded { reason: Some(NotDelivered::Moved), .. }) => {}
                Err(error) => {
                    tracing::error!(sale_id = %sale.sale_id, %error, "approved sale not preheated");
                }
            }
        }
        if page.len() < PAGE {
            return Ok(completed);
        }
    }
}
