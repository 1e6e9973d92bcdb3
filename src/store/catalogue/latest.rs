//! The mark of the latest change of a sale: another one after each, so that every process that shares the catalogue
//! finds out when what it has read of sales is no longer true.

use super::error::CatalogueError;
use super::handle::{Catalogue, reading};
use super::numbers::number;

/// The latest change of a sale, by a number that no other change has had.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LatestChange(pub u64);

/// Marks a change within its transaction. To be its last statement: the row is locked until it is committed, so that
/// marks follow each other as the changes do.
macro_rules! mark_change {
    ($connection:expr) => {
        sqlx::query("UPDATE catalogue_changes SET mark = ? WHERE one = 1")
            .bind(rand::random_range(0..i64::MAX))
            .execute(&mut *$connection)
            .await
    };
}
pub(super) use mark_change;

impl Catalogue {
    /// Returns the latest change of a sale.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn latest_change(&self) -> Result<LatestChange, CatalogueError> {
        let text = "SELECT mark FROM catalogue_changes WHERE one = 1";
        let mark: Result<i64, CatalogueError> = reading!(&self.database, |connection| {
            Ok(sqlx::query_scalar(text).fetch_one(connection).await?)
        });
        Ok(LatestChange(number("catalogue_changes", mark?)?))
    }
}
