//! What items, sales and buyers are called, many at a time: for lists and exports of orders.

use super::error::CatalogueError;
use super::handle::{Catalogue, reading};
use super::numbers::{number, signed};
use crate::store::database::statements::{SizedStatement, chunks};
use domain::{ItemId, UserId};
use std::collections::HashMap;
use std::sync::LazyLock;

/// What an item and its sale are called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemNames {
    /// The product, as its seller names it.
    pub product_id: String,
    /// The item's title.
    pub title: String,
    /// The sale's title.
    pub sale_title: String,
}

static ITEM_NAMES: LazyLock<SizedStatement> = LazyLock::new(|| {
    let head = "SELECT item_id, product_id, sale_items.title, sales.title FROM sale_items \
                JOIN sales ON sales.sale_id = sale_items.sale_id WHERE item_id IN (";
    SizedStatement::new(head, "?", ")")
});
static USER_NAMES: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new("SELECT user_id, name FROM users WHERE user_id IN (", "?", ")")
});

/// Runs a sized statement over all keys and collects the rows.
macro_rules! rows_of {
    ($database:expr, $statement:expr, $keys:expr) => {{
        let keys: Vec<i64> = $keys;
        reading!($database, |connection| {
            let mut rows = Vec::new();
            for keys in chunks(&keys) {
                let mut query = sqlx::query_as($statement.of(keys.len()));
                for key in keys {
                    query = query.bind(*key);
                }
                rows.extend(query.fetch_all(&mut *connection).await?);
            }
            Ok(rows)
        })
    }};
}

impl Catalogue {
    /// Returns what those of the items are called that there are.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn item_names(
        &self,
        items: &[ItemId],
    ) -> Result<HashMap<ItemId, ItemNames>, CatalogueError> {
        let keys = items.iter().map(|item_id| signed(item_id.0)).collect();
        let rows: Result<Vec<(i64, String, String, String)>, CatalogueError> =
            rows_of!(&self.database, ITEM_NAMES, keys);
        rows?
            .into_iter()
            .map(|(item_id, product_id, title, sale_title)| {
                let item_id = ItemId(number("sale_items.item_id", item_id)?);
                Ok((item_id, ItemNames { product_id, title, sale_title }))
            })
            .collect()
    }

    /// Returns the names of those of the buyers who registered.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn user_names(
        &self,
        users: &[UserId],
    ) -> Result<HashMap<UserId, String>, CatalogueError> {
        let keys = users.iter().map(|user_id| signed(user_id.0)).collect();
        let rows: Result<Vec<(i64, String)>, CatalogueError> =
            rows_of!(&self.database, USER_NAMES, keys);
        rows?
            .into_iter()
            .map(|(user_id, name)| Ok((UserId(number("users.user_id", user_id)?), name)))
            .collect()
    }
}
