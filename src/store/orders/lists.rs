//! Lists over all order stores: a page of each, put together to one page that misses nothing.

use super::payment_list::PaymentFilter;
use super::payment_row::StoredPayment;
use super::row::StoredOrder;
use super::search::{OrderFilter, Search};
use super::store::OrderStore;
use super::tables::{OrderTables, PAGE_ROWS_MAX, SCAN_ROWS_MAX};
use crate::store::database::StoreError;
use domain::order::Cursor;
use domain::{ItemId, OrderId, PaymentId, SaleId, ShardId, UserId};
use futures_util::future::try_join_all;
use std::cmp::Reverse;
use std::collections::HashMap;

impl OrderStore {
    /// Returns a buyer's orders, newest first, placed before `before` if given; at most `limit` and
    /// [`PAGE_ROWS_MAX`].
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn orders_of(
        &self,
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        let pages = self
            .each_page(move |tables| async move { tables.orders_of(user_id, before, limit).await });
        Ok(first_of(pages.await?, limit.min(PAGE_ROWS_MAX), |row| Reverse(row.order.order_id)))
    }

    /// Returns the orders that the filter takes, from the cursor on; at most `limit` and
    /// [`PAGE_ROWS_MAX`]. It may return fewer although there are more, after
    /// [`EXAMINED_ROWS_MAX`](super::EXAMINED_ROWS_MAX) rows of a store.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn search(
        &self,
        filter: &OrderFilter,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Search, StoreError> {
        let filter = *filter;
        let pages = self
            .each_page(move |tables| async move { tables.search(&filter, cursor, limit).await });
        Ok(joined(pages.await?, cursor, limit.min(PAGE_ROWS_MAX)))
    }

    /// Returns all orders by ascending identity, beginning after `after`; at most `limit` and
    /// [`SCAN_ROWS_MAX`], and none only if there are no more. For audit and recovery.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn scan(&self, after: OrderId, limit: usize) -> Result<Vec<StoredOrder>, StoreError> {
        let share = self.share_of(limit);
        let pages = self.stores.iter().map(|store| store.tables.scan(after, share));
        Ok(beginning(try_join_all(pages).await?, share, |row| row.order.order_id))
    }

    /// Returns the payments of an order, by ascending number.
    ///
    /// # Errors
    /// Returns [`StoreError`] if its database does not answer.
    pub async fn payments_of(&self, order_id: OrderId) -> Result<Vec<StoredPayment>, StoreError> {
        self.store_of(order_id.shard())?.tables.payments_of(order_id).await
    }

    /// Returns the payments that the filter takes, by ascending identity and behind `after` if given; at most `limit`
    /// and [`PAGE_ROWS_MAX`].
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn payments(
        &self,
        filter: &PaymentFilter,
        after: Option<PaymentId>,
        limit: usize,
    ) -> Result<Vec<StoredPayment>, StoreError> {
        let pages = self.each_page(|tables: OrderTables| {
            let filter = filter.clone();
            async move { tables.payments(&filter, after, limit).await }
        });
        Ok(first_of(pages.await?, limit.min(PAGE_ROWS_MAX), |row| row.payment.id))
    }

    /// Returns all payments by ascending identity, behind `after` if given; at most `limit` and [`SCAN_ROWS_MAX`], and
    /// none only if there are no more. For audit and recovery. Tables that an older version made, which has no
    /// payments, have none.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn scan_payments(
        &self,
        after: Option<PaymentId>,
        limit: usize,
    ) -> Result<Vec<StoredPayment>, StoreError> {
        let share = self.share_of(limit);
        let pages = self.stores.iter().map(|store| store.tables.scan_payments(after, share));
        Ok(beginning(try_join_all(pages).await?, share, |row| row.payment.id))
    }

    /// Returns the payments of the shards that are asked for, by their orders and by ascending number.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn payments_by_order(
        &self,
        is_asked_for: impl Fn(ShardId) -> bool,
    ) -> Result<HashMap<OrderId, Vec<StoredPayment>>, StoreError> {
        let mut found = HashMap::new();
        for store in self.stores.iter() {
            found.extend(store.tables.payments_by_order(&is_asked_for).await?);
        }
        Ok(found)
    }

    /// Counts the units that the orders of a sale hold, by item: those that are reserved, and those that are sold.
    /// Reads all orders of the sale.
    ///
    /// # Errors
    /// Returns [`StoreError`] if a database does not answer.
    pub async fn units_of_sale(
        &self,
        sale_id: SaleId,
    ) -> Result<Vec<(ItemId, (u64, u64))>, StoreError> {
        // They are compared with what the shards have, so that a replica's would be too old.
        let pages = self.stores.iter().map(|store| store.tables.units_of_sale(sale_id));
        let pages = try_join_all(pages);
        let mut found: Vec<(ItemId, (u64, u64))> = Vec::new();
        // An item of several buckets may have some in each store.
        for (item_id, (reserved, sold)) in pages.await?.into_iter().flatten() {
            match found.iter_mut().find(|(known, _)| *known == item_id) {
                Some((_, sum)) => *sum = (sum.0 + reserved, sum.1 + sold),
                None => found.push((item_id, (reserved, sold))),
            }
        }
        Ok(found)
    }

    /// A page of each store, or of its replica if that is near enough.
    async fn each_page<T, Read: Future<Output = Result<T, StoreError>>>(
        &self,
        read: impl Fn(OrderTables) -> Read,
    ) -> Result<Vec<T>, StoreError> {
        let read = &read;
        let pages = self.stores.iter().map(|store| async move {
            if let Some(replica) = &store.replica
                && let Some(page) = replica.read(read).await
            {
                return Ok(page);
            }
            read(store.tables.clone()).await
        });
        try_join_all(pages).await
    }

    /// How many rows each store is asked for, so that all together are about `limit`.
    fn share_of(&self, limit: usize) -> usize {
        limit.min(SCAN_ROWS_MAX).div_ceil(self.stores.len())
    }
}

/// The first `limit` rows of all pages, each of which has as many of its store's.
fn first_of<T, K: Ord>(pages: Vec<Vec<T>>, limit: usize, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut rows: Vec<T> = pages.into_iter().flatten().collect();
    rows.sort_by_key(key);
    rows.truncate(limit);
    rows
}

/// The rows of all pages up to where the first of those ends that are full: behind that, its store may have
/// rows that come before the others'.
fn beginning<T, K: Ord>(pages: Vec<Vec<T>>, full: usize, key: impl Fn(&T) -> K) -> Vec<T> {
    let ends = pages.iter().filter(|page| page.len() >= full);
    let end = ends.filter_map(|page| page.last().map(&key)).min();
    let mut rows: Vec<T> = pages.into_iter().flatten().collect();
    if let Some(end) = end {
        rows.retain(|row| key(row) <= end);
    }
    rows.sort_by_key(key);
    rows
}

/// What all searches found, up to where the first of those stopped that may find more.
fn joined(mut found: Vec<Search>, cursor: Cursor, limit: usize) -> Search {
    if found.len() == 1
        && let Some(only) = found.pop()
    {
        return only;
    }
    // How far along the cursor's way an order is.
    let way = |order_id: OrderId| match cursor {
        Cursor::Before(_) => u64::MAX - order_id.0,
        Cursor::After(_) => order_id.0,
    };
    let end = found.iter().filter_map(|search| search.next).min_by_key(|next| way(*next));
    let mut rows: Vec<StoredOrder> = found.into_iter().flat_map(|search| search.rows).collect();
    if let Some(end) = end {
        rows.retain(|row| way(row.order.order_id) <= way(end));
    }
    rows.sort_by_key(|row| way(row.order.order_id));
    let next = if rows.len() > limit {
        rows.truncate(limit);
        rows.last().map(|row| row.order.order_id)
    } else {
        end
    };
    Search { rows, next }
}
