//! Orders, sales and users as the edge reads and writes them: a thin handle over the order store and
//! the catalogue, with the read cache in front of public sales.
//!
//! Must not decide anything about stock, which the shards own.

pub mod completeness;
pub mod lifecycle;
pub mod preheat;

use crate::actors::Engine;
use crate::store::catalogue::{Catalogue, KnownIds};
use crate::store::orders::ownership::OwnershipError;
use crate::store::orders::{OrderStore, StoredOrder};
use crate::store::read_cache::ReadCache;
use domain::catalogue::{Day, PublicSale, Sale, SaleDraft, SalesOfDay};
use domain::order::Cursor;
use domain::{
    ItemId, ItemTerms, Order, OrderId, RequestId, SaleId, SaleStatus, SaleStep, Timestamp, UserId,
};
use std::fmt;
use std::sync::Arc;

pub use crate::store::catalogue::{Base, CatalogueError, Change, Changed, LogEntry, LoggedEntry};
pub use crate::store::read_cache::ReadError;

/// A handle to the order store and the catalogue, with the read cache in front of public sales. Cheap
/// to clone. Every change of a sale goes through here, so that the cache begins a new generation.
#[derive(Clone, Debug)]
pub struct Sales {
    orders: OrderStore,
    catalogue: Catalogue,
    read_cache: ReadCache,
}

/// The order store did not answer; the reason is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("orders cannot be read at the moment")]
pub struct RecordsUnavailable;

impl Sales {
    /// Creates a handle to the order store and the catalogue beside it, read through the cache.
    pub fn new(orders: OrderStore, read_cache: ReadCache) -> Self {
        let catalogue = Catalogue::new(orders.database());
        Self { orders, catalogue, read_cache }
    }

    /// Checks that the order store was filled from the engine's journal.
    ///
    /// # Errors
    /// Returns [`OwnershipError`] if it was another one, or the order store does not answer.
    pub(super) async fn check_owner(&self, engine: &Engine) -> Result<(), OwnershipError> {
        engine.stored_progress(&self.orders).await.map(drop)
    }

    /// Returns the order, if it has reached the order store.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn order(&self, order_id: OrderId) -> Result<Option<Order>, RecordsUnavailable> {
        let stored = self.orders.order(order_id).await.map_err(unavailable)?;
        Ok(stored.map(|stored| stored.order))
    }

    /// Returns the order that this request got of the item, if it has reached the order store.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn order_of_request(
        &self,
        terms: &ItemTerms,
        user_id: UserId,
        request_id: RequestId,
    ) -> Result<Option<Order>, RecordsUnavailable> {
        let item = (terms.sale_id, terms.item_id);
        let stored = self.orders.order_of_request(item, user_id, request_id).await;
        Ok(stored.map_err(unavailable)?.map(|stored| stored.order))
    }

    /// Returns a buyer's orders that have reached the order store, newest first, placed before `before`
    /// if given; at most `limit`.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn orders_of(
        &self,
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
    ) -> Result<Vec<Order>, RecordsUnavailable> {
        let stored = self.orders.orders_of(user_id, before, limit).await.map_err(unavailable)?;
        Ok(orders(stored))
    }

    /// Returns a sale's orders that have reached the order store, or those of one of its items.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
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

    /// Creates a sale as a draft, whose numbers the engine's journal has not seen.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::create_sale`] does.
    pub async fn create_sale(
        &self,
        engine: &Engine,
        draft: &SaleDraft,
        change: Change<'_>,
    ) -> Result<Changed, CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.create_sale(draft, known_ids(engine), change).await
    }

    /// Replaces a draft's content.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::replace_sale`] does.
    pub async fn replace_sale(
        &self,
        engine: &Engine,
        sale_id: SaleId,
        draft: &SaleDraft,
        change: Change<'_>,
    ) -> Result<Changed, CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.replace_sale(sale_id, draft, known_ids(engine), change).await
    }

    /// Deletes a draft.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::delete_sale`] does.
    pub async fn delete_sale(
        &self,
        sale_id: SaleId,
        change: Change<'_>,
    ) -> Result<(), CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.delete_sale(sale_id, change).await
    }

    /// Takes a sale one step on.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::take_step`] does.
    pub async fn take_step(
        &self,
        sale_id: SaleId,
        step: SaleStep,
        note: Option<&str>,
        change: Change<'_>,
    ) -> Result<Changed, CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.take_step(sale_id, step, note, change).await
    }

    /// Returns the sale as everybody may see it; none if there is no such sale, or it is not public.
    ///
    /// # Errors
    /// Returns [`ReadError`] if neither cache nor catalogue answers.
    pub async fn public_sale(&self, sale_id: SaleId) -> Result<Option<Arc<PublicSale>>, ReadError> {
        let load = async || {
            let sale = self.catalogue.sale(sale_id).await?;
            Ok(sale.as_ref().and_then(Sale::public))
        };
        self.read_cache.sale(sale_id, load).await
    }

    /// Returns the day's sales that everybody may see, by their start.
    ///
    /// # Errors
    /// Returns [`ReadError`] if neither cache nor catalogue answers.
    pub async fn of_day(&self, day: Day) -> Result<Arc<SalesOfDay>, ReadError> {
        self.read_cache.day(day, || self.catalogue.sales_of_day(day)).await
    }

    /// Returns the sale as operators see it.
    ///
    /// # Errors
    /// Returns [`CatalogueError::SaleNotFound`] if there is none, [`CatalogueError::Store`] if the
    /// catalogue does not answer.
    pub async fn sale(&self, sale_id: SaleId) -> Result<Sale, CatalogueError> {
        self.catalogue.sale(sale_id).await?.ok_or(CatalogueError::SaleNotFound)
    }

    /// Returns a page of sales in one of these statuses, newest first, created before `before` if
    /// given; at most `limit`.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn page(
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
    /// Returns [`CatalogueError`] if [`Catalogue::create_user`] does.
    pub async fn create_user(
        &self,
        name: &str,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<UserId, CatalogueError> {
        self.catalogue.create_user(name, password_hash, now).await
    }

    /// Returns the buyer of this name and the hash of the password, if there is one.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn user_by_name(
        &self,
        name: &str,
    ) -> Result<Option<(UserId, String)>, CatalogueError> {
        self.catalogue.user_by_name(name).await
    }

    /// Returns a page of the operators' log, newest first, beginning before the entry `before` if
    /// given; at most `limit`.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn log_page(
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

/// The highest numbers of a sale and an item that the engine's shards have seen.
fn known_ids(engine: &Engine) -> KnownIds {
    let gates = engine.gates();
    let terms = || gates.iter().map(|gate| gate.terms());
    KnownIds {
        sale_id: terms().map(|terms| terms.sale_id).max().unwrap_or_default(),
        item_id: terms().map(|terms| terms.item_id).max().unwrap_or_default(),
    }
}

fn unavailable(error: impl fmt::Display) -> RecordsUnavailable {
    tracing::warn!(%error, "the order store did not answer");
    RecordsUnavailable
}
