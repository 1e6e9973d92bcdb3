//! What is kept for good, as the edge may read and write it: a thin handle over the order store and
//! the catalogue.
//!
//! Must not decide anything about stock: that is the shards'.

pub mod lifecycle;
pub mod preheat;

use crate::actors::Engine;
use crate::store::catalogue::Catalogue;
use crate::store::orders::ownership::OwnershipError;
use crate::store::orders::{OrderStore, StoredOrder};
use crate::store::read_cache::ReadCache;
use domain::{ItemId, Order, OrderId, SaleId, SaleStatus, SaleStep, Timestamp, UserId};
use std::fmt;
use std::sync::Arc;

pub use crate::store::catalogue::{
    CatalogueError, Day, LogEntry, LoggedEntry, Offer, PUBLIC_STATUSES, Problem as DraftProblem,
    PublicItem, PublicSale, Sale, SaleDraft, SaleItem, SalesOfDay,
};
pub use crate::store::catalogue::{ITEMS_PER_SALE_MAX, TITLE_LENGTH_MAX};
pub use crate::store::orders::Cursor;
pub use crate::store::read_cache::ReadError;

/// A cheap handle to the order store and the catalogue, with the read cache before its public part.
/// Every change of a sale goes through here, so that the cache hears of it.
#[derive(Clone, Debug)]
pub struct Sales {
    orders: OrderStore,
    catalogue: Catalogue,
    read_cache: ReadCache,
}

/// The database did not answer; its reason is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the books cannot be read or written at the moment")]
pub struct RecordsUnavailable;

impl Sales {
    /// The books in the order store and in the catalogue beside it, read through the cache.
    pub fn new(orders: OrderStore, read_cache: ReadCache) -> Self {
        let catalogue = Catalogue::new(orders.database());
        Self { orders, catalogue, read_cache }
    }

    /// Looks whether the books were filled from the engine's journal.
    ///
    /// # Errors
    /// Where it was another one, or they do not answer.
    pub(super) async fn check_owner(&self, engine: &Engine) -> Result<(), OwnershipError> {
        engine.stored_progress(&self.orders).await.map(drop)
    }

    /// The order, if it has reached the order store.
    ///
    /// # Errors
    /// Where the order store does not answer.
    pub async fn order(&self, order_id: OrderId) -> Result<Option<Order>, RecordsUnavailable> {
        let stored = self.orders.order(order_id).await.map_err(unavailable)?;
        Ok(stored.map(|stored| stored.order))
    }

    /// A buyer's orders that have reached the order store, newest first, placed before `before` if
    /// given; at most `limit`.
    ///
    /// # Errors
    /// Where the order store does not answer.
    pub async fn orders_of(
        &self,
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
    ) -> Result<Vec<Order>, RecordsUnavailable> {
        let stored = self.orders.orders_of(user_id, before, limit).await.map_err(unavailable)?;
        Ok(orders(stored))
    }

    /// A sale's orders that have reached the order store, or those of one of its items.
    ///
    /// # Errors
    /// Where the order store does not answer.
    pub async fn orders_of_sale(
        &self,
        sale_id: SaleId,
        item_id: Option<ItemId>,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Vec<Order>, RecordsUnavailable> {
        let stored = self.orders.orders_of_sale(sale_id, item_id, cursor, limit).await;
        Ok(orders(stored.map_err(unavailable)?))
    }

    /// Creates a draft.
    ///
    /// # Errors
    /// As [`Catalogue::create_sale`].
    pub async fn create_sale(
        &self,
        draft: &SaleDraft,
        actor: &str,
        now: Timestamp,
    ) -> Result<Sale, CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.create_sale(draft, actor, now).await
    }

    /// Replaces a draft's content.
    ///
    /// # Errors
    /// As [`Catalogue::replace_sale`].
    pub async fn replace_sale(
        &self,
        sale_id: SaleId,
        draft: &SaleDraft,
        actor: &str,
        now: Timestamp,
    ) -> Result<Sale, CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.replace_sale(sale_id, draft, None, actor, now).await
    }

    /// Deletes a draft.
    ///
    /// # Errors
    /// As [`Catalogue::delete_sale`].
    pub async fn delete_sale(
        &self,
        sale_id: SaleId,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.delete_sale(sale_id, actor, now).await
    }

    /// Takes a sale one step on.
    ///
    /// # Errors
    /// As [`Catalogue::take_step`].
    pub async fn take_step(
        &self,
        sale_id: SaleId,
        step: SaleStep,
        actor: &str,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<Sale, CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.take_step(sale_id, step, actor, note, now).await
    }

    /// The sale, if everybody may see it.
    ///
    /// # Errors
    /// Where neither cache nor catalogue answers.
    pub async fn public_sale(&self, sale_id: SaleId) -> Result<Option<Arc<PublicSale>>, ReadError> {
        let load = async || {
            let sale = self.catalogue.sale(sale_id).await?;
            Ok(sale.as_ref().and_then(Sale::public))
        };
        self.read_cache.sale(sale_id, load).await
    }

    /// The day's sales that everybody may see, by their start.
    ///
    /// # Errors
    /// Where neither cache nor catalogue answers.
    pub async fn sales_of_day(&self, day: Day) -> Result<Arc<SalesOfDay>, ReadError> {
        self.read_cache.day(day, || self.catalogue.sales_of_day(day)).await
    }

    /// The sale.
    ///
    /// # Errors
    /// Where there is none, or the catalogue does not answer.
    pub async fn sale(&self, sale_id: SaleId) -> Result<Sale, CatalogueError> {
        self.catalogue.sale(sale_id).await?.ok_or(CatalogueError::SaleNotFound)
    }

    /// Sales in one of these statuses, newest first, created before `before` if given.
    ///
    /// # Errors
    /// Where the catalogue does not answer.
    pub async fn sales(
        &self,
        statuses: &[SaleStatus],
        before: Option<SaleId>,
        limit: usize,
    ) -> Result<Vec<Sale>, CatalogueError> {
        self.catalogue.sales(statuses, before, limit).await
    }

    /// Registers a buyer.
    ///
    /// # Errors
    /// As [`Catalogue::create_user`].
    pub async fn create_user(
        &self,
        name: &str,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<UserId, CatalogueError> {
        self.catalogue.create_user(name, password_hash, now).await
    }

    /// The buyer of this name and the hash of the password.
    ///
    /// # Errors
    /// Where the catalogue does not answer.
    pub async fn user_by_name(
        &self,
        name: &str,
    ) -> Result<Option<(UserId, String)>, CatalogueError> {
        self.catalogue.user_by_name(name).await
    }

    /// Writes down what an operator did. It is done by then: where the catalogue does not answer,
    /// the process's own log keeps the entry.
    pub async fn log(&self, entry: LogEntry) {
        if let Err(error) = self.catalogue.append_log(&entry).await {
            let LogEntry { actor, action, subject, detail, .. } = &entry;
            tracing::error!(%error, actor, action, subject, %detail, "operators' log not written");
        }
    }

    /// The operators' log, newest first.
    ///
    /// # Errors
    /// Where the catalogue does not answer.
    pub async fn logged(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<LoggedEntry>, CatalogueError> {
        self.catalogue.log(before, limit).await
    }
}

fn orders(stored: Vec<StoredOrder>) -> Vec<Order> {
    stored.into_iter().map(|stored| stored.order).collect()
}

fn unavailable(error: impl fmt::Display) -> RecordsUnavailable {
    tracing::warn!(%error, "the books did not answer");
    RecordsUnavailable
}
