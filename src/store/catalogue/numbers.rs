//! Numbers as the tables keep them: signed, in both databases.

use crate::store::database::StoreError;
use std::fmt::Display;

/// A number as the tables keep it. Numbers are bounded far below 2^63 where they enter.
pub(in crate::store) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that the tables kept; `place` names the row and the column.
///
/// # Errors
/// Returns [`StoreError::Corrupt`] if the number is out of the type's range.
pub(in crate::store) fn number<T: TryFrom<i64>>(
    place: impl Display,
    kept: i64,
) -> Result<T, StoreError> {
    T::try_from(kept).map_err(|_| StoreError::corrupt(format!("{place}: {kept} is out of range")))
}
