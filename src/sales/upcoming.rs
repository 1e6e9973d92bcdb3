//! Sales that were approved and have not begun, for who has to hear in time that one is not in its shards.

use crate::actors::Engine;
use crate::store::catalogue::{Catalogue, CatalogueError};
use crate::store::database::StoreError;
use domain::{SaleId, SaleStatus, Timestamp};
use parking_lot::Mutex;
use std::sync::Arc;

/// How many of them are looked at, the newest.
const UPCOMING_MAX: usize = 100;

/// The sales, as the catalogue had them when it was last looked at. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Upcoming(Arc<Mutex<Vec<UpcomingSale>>>);

/// A sale that was approved and has not begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UpcomingSale {
    /// The sale's number.
    pub sale_id: SaleId,
    /// First instant at which a purchase can succeed.
    pub starts_at: Timestamp,
    /// Whether its items are in their shards.
    pub is_preheated: bool,
}

impl Upcoming {
    /// Returns what is known of them, the newest sale first.
    pub fn known(&self) -> Vec<UpcomingSale> {
        self.0.lock().clone()
    }

    /// Looks at the catalogue again.
    ///
    /// # Errors
    /// Returns [`StoreError`] if it does not answer; what was known is still known.
    pub(super) async fn look(
        &self,
        engine: &Engine,
        catalogue: &Catalogue,
    ) -> Result<(), StoreError> {
        let statuses = [SaleStatus::Approved, SaleStatus::Preheated];
        let approved = match catalogue.sales(&statuses, None, UPCOMING_MAX).await {
            Err(CatalogueError::Store(error)) => return Err(error),
            approved => approved.unwrap_or_default(),
        };
        let now = engine.now();
        let upcoming = approved.iter().filter(|sale| now < sale.starts_at);
        let upcoming = upcoming.map(|sale| UpcomingSale {
            sale_id: sale.sale_id,
            starts_at: sale.starts_at,
            is_preheated: sale.items.iter().all(|item| {
                engine.gate(item.item_id).is_some() || engine.is_elsewhere(item.item_id)
            }),
        });
        *self.0.lock() = upcoming.collect();
        Ok(())
    }
}
