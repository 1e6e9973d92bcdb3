//! Payments as they are read: those of an order, those that an operator asks for, and all of them for audit and
//! recovery.

use super::payment_row::{StoredPayment, decode_payment, payment_columns};
use super::tables::{OrderTables, PAGE_ROWS_MAX, SCAN_ROWS_MAX};
use crate::store::database::StoreError;
use crate::store::database::statements::limit_of;
use domain::{OrderId, PaymentId, PaymentState, ProviderName, SaleId, ShardId};
use sqlx::Row;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Which payments are asked for: those that are as every given field says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PaymentFilter {
    /// In this state.
    pub state: Option<PaymentState>,
    /// Of this sale's orders.
    pub sale_id: Option<SaleId>,
    /// Taken by this provider.
    pub provider: Option<ProviderName>,
}

/// The table of payments.
const TABLE: &str = "payments";

const OF_ORDER: &str =
    concat!("SELECT ", payment_columns!(), " FROM payments WHERE order_id = ? ORDER BY number");

/// The statement for each choice of fields, by the sum of 1 for the state, 2 for the sale and 4 for the provider.
static LISTS: LazyLock<[String; 8]> = LazyLock::new(|| {
    std::array::from_fn(|choice| {
        let conditions = ["state = ? AND ", "sale_id = ? AND ", "provider = ? AND "];
        let chosen = conditions.into_iter().enumerate();
        let chosen: String =
            chosen.filter_map(|(place, text)| (choice >> place & 1 == 1).then_some(text)).collect();
        let columns = payment_columns!();
        // The first of the last three conditions is the one that an index answers.
        format!(
            "SELECT {columns} FROM payments WHERE {chosen}order_id >= ? AND (order_id > ? OR number > ?) \
             ORDER BY order_id, number LIMIT ?"
        )
    })
});

impl PaymentFilter {
    fn text(&self) -> &'static str {
        let choice = usize::from(self.state.is_some())
            + 2 * usize::from(self.sale_id.is_some())
            + 4 * usize::from(self.provider.is_some());
        &LISTS[choice]
    }
}

/// Fetches payments: `$of_filter` binds to the query, whose numbers `$kept` makes of a `u64`.
macro_rules! fetch {
    ($store:expr, $query:expr, $read:expr) => {
        $store
            .read(async |connection| {
                let rows = $query.fetch_all(connection).await?;
                rows.iter().map(|row| decode_payment!(row, $read)).collect()
            })
            .await
    };
}

/// Binds the filter's fields, the payment before, and how many rows.
macro_rules! bind_list {
    ($filter:expr, $after:expr, $limit:expr, $kept:expr) => {{
        let kept = $kept;
        let mut query = sqlx::query($filter.text());
        if let Some(state) = $filter.state {
            query = query.bind(state as u8);
        }
        if let Some(sale_id) = $filter.sale_id {
            query = query.bind(kept(sale_id.0));
        }
        if let Some(provider) = &$filter.provider {
            query = query.bind(provider.as_str());
        }
        let (order_id, number) = $after.map_or((0, 0), |id| (id.order_id.0, id.number));
        query.bind(kept(order_id)).bind(kept(order_id)).bind(number).bind(limit_of($limit))
    }};
}

impl OrderTables {
    /// Returns the payments of an order, by ascending number.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn payments_of(
        &self,
        order_id: OrderId,
    ) -> Result<Vec<StoredPayment>, StoreError> {
        match self {
            Self::Sqlite(store) => {
                let query = sqlx::query(OF_ORDER).bind(order_id.0.cast_signed());
                fetch!(store, query, i64::cast_unsigned)
            }
            Self::MySql(store) => {
                fetch!(store, sqlx::query(OF_ORDER).bind(order_id.0), std::convert::identity::<u64>)
            }
        }
    }

    /// Returns the payments that the filter takes, by ascending identity and behind `after` if given; at most `limit`
    /// and [`PAGE_ROWS_MAX`].
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn payments(
        &self,
        filter: &PaymentFilter,
        after: Option<PaymentId>,
        limit: usize,
    ) -> Result<Vec<StoredPayment>, StoreError> {
        let _place = match self {
            Self::Sqlite(store) => store.database().list_place().await?,
            Self::MySql(store) => store.database().list_place().await?,
        };
        self.list_payments(filter, after, limit.min(PAGE_ROWS_MAX)).await
    }

    /// Returns all payments by ascending identity, behind `after` if given; at most `limit` and [`SCAN_ROWS_MAX`]. For
    /// audit and recovery. Tables that an older version made, which has no payments, have none.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn scan_payments(
        &self,
        after: Option<PaymentId>,
        limit: usize,
    ) -> Result<Vec<StoredPayment>, StoreError> {
        let limit = limit.min(SCAN_ROWS_MAX);
        match self.list_payments(&PaymentFilter::default(), after, limit).await {
            Err(StoreError::Refused(why)) if why.contains(TABLE) => Ok(Vec::new()),
            page => page,
        }
    }

    /// Returns the payments of the shards that are asked for, by their orders and by ascending number.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn payments_by_order(
        &self,
        is_asked_for: impl Fn(ShardId) -> bool,
    ) -> Result<HashMap<OrderId, Vec<StoredPayment>>, StoreError> {
        let mut found: HashMap<OrderId, Vec<StoredPayment>> = HashMap::new();
        let mut after = None;
        loop {
            let page = self.scan_payments(after, SCAN_ROWS_MAX).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.payment.id);
            for row in page {
                let order_id = row.payment.id.order_id;
                if is_asked_for(order_id.shard()) {
                    found.entry(order_id).or_default().push(row);
                }
            }
        }
    }

    async fn list_payments(
        &self,
        filter: &PaymentFilter,
        after: Option<PaymentId>,
        limit: usize,
    ) -> Result<Vec<StoredPayment>, StoreError> {
        match self {
            Self::Sqlite(store) => {
                let query = bind_list!(filter, after, limit, u64::cast_signed);
                fetch!(store, query, i64::cast_unsigned)
            }
            Self::MySql(store) => {
                let query = bind_list!(filter, after, limit, std::convert::identity::<u64>);
                fetch!(store, query, std::convert::identity::<u64>)
            }
        }
    }
}
