//! How many units the stored orders hold, counted anew: what an item's counters are compared with.

use super::tables::OrderTables;
use crate::store::database::{StoreError, within};
use domain::{ItemId, OrderStatus, SaleId};

/// Units of an item by its live orders: those that are reserved, and those that are sold.
pub(super) type Units = (u64, u64);

/// The status is one number for both databases, and so is the sum.
const TEXT: &str = "SELECT CAST(item_id AS SIGNED), CAST(status AS SIGNED), \
                    CAST(SUM(quantity) AS SIGNED) FROM orders WHERE sale_id = ? AND status IN (1, 2) \
                    GROUP BY item_id, status";

impl OrderTables {
    /// Counts the units that the orders of a sale hold, by item. Reads all orders of the sale.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn units_of_sale(
        &self,
        sale_id: SaleId,
    ) -> Result<Vec<(ItemId, Units)>, StoreError> {
        let sale = sale_id.0.cast_signed();
        let rows: Vec<(i64, i64, i64)> = match self {
            Self::Sqlite(store) => {
                within(store.database().reader().await?, async |connection| {
                    let rows = sqlx::query_as(TEXT).bind(sale).fetch_all(connection).await;
                    rows.map_err(StoreError::from)
                })
                .await?
            }
            Self::MySql(store) => {
                within(store.database().reader().await?, async |connection| {
                    let rows = sqlx::query_as(TEXT).bind(sale_id.0).fetch_all(connection).await;
                    rows.map_err(StoreError::from)
                })
                .await?
            }
        };
        let mut found: Vec<(ItemId, Units)> = Vec::new();
        for (item, status, units) in rows {
            let item = ItemId(item.cast_unsigned());
            let place = found.iter().position(|(known, _)| *known == item).unwrap_or_else(|| {
                found.push((item, (0, 0)));
                found.len() - 1
            });
            let (reserved, sold) = &mut found[place].1;
            let units = units.max(0).cast_unsigned();
            *(if status == OrderStatus::Paid as i64 { sold } else { reserved }) += units;
        }
        Ok(found)
    }
}
