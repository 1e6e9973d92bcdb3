//! The operators' log as it is read. What operators do to sales is in the catalogue's, what they do to items in
//! that of the order store which keeps the item's shard.

use super::{CatalogueError, LoggedEntry, Sales};
use crate::store::catalogue::{Catalogue, LogPlace};

impl Sales {
    /// Returns a page of the operators' log, newest first, beginning before the entry `before` if
    /// given; at most `limit`. Of several order stores the entries come by their time.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue, or one of several order stores, does not answer.
    pub async fn log_page(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<LoggedEntry>, CatalogueError> {
        if self.orders.place().stores == 1 {
            return self.catalogue.log(before, limit).await;
        }
        let mut entries = Vec::new();
        for store in self.orders.each() {
            let place = LogPlace { store: store.place().place, before };
            entries.extend(Catalogue::new(store.database()).log_by_time(place, limit).await?);
        }
        entries.sort_by_key(|entry: &LoggedEntry| std::cmp::Reverse(entry.entry_id));
        entries.truncate(limit);
        Ok(entries)
    }
}
