//! What is kept for good, as the edge may read and write it: a thin handle over the order store and
//! the catalogue.
//!
//! Must not decide anything about stock: that is the shards'.

use crate::domain::{Order, OrderId, UserId};
use crate::store::orders::{OrderStore, StoredOrder};

/// A cheap handle to the order store and the catalogue.
#[derive(Clone, Debug)]
pub struct Books {
    orders: OrderStore,
}

/// The database did not answer; its reason is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the books cannot be read or written at the moment")]
pub struct BooksUnavailable;

impl Books {
    /// The books in these stores.
    pub fn new(orders: OrderStore) -> Self {
        Self { orders }
    }

    /// The order, if it has reached the order store.
    ///
    /// # Errors
    /// Where the order store does not answer.
    pub async fn order(&self, order_id: OrderId) -> Result<Option<Order>, BooksUnavailable> {
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
    ) -> Result<Vec<Order>, BooksUnavailable> {
        let stored = self.orders.orders_of(user_id, before, limit).await.map_err(unavailable)?;
        Ok(orders(stored))
    }
}

fn orders(stored: Vec<StoredOrder>) -> Vec<Order> {
    stored.into_iter().map(|stored| stored.order).collect()
}

fn unavailable(error: impl std::fmt::Display) -> BooksUnavailable {
    tracing::warn!(%error, "the books did not answer");
    BooksUnavailable
}
