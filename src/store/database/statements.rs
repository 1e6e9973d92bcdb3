//! Statement texts for many rows at once, in a few fixed sizes.
//!
//! A connection caches prepared statements by their text, so a batch is cut into chunks of 512, 64, 8
//! and 1 rows: four texts instead of one per length. Must not know any table.

use domain::OrderId;
use std::fmt::Write as _;

/// Rows per statement, largest first.
pub(in crate::store) const SIZES: [usize; 4] = [512, 64, 8, 1];

/// The text of one statement in each of [`SIZES`].
#[derive(Debug)]
pub(in crate::store) struct SizedStatement([String; SIZES.len()]);

impl SizedStatement {
    /// Composes `head`, then `part` once per row, comma-separated, then `tail`.
    pub(in crate::store) fn new(head: &str, part: &str, tail: &str) -> Self {
        Self(SIZES.map(|size| {
            let mut text = String::with_capacity(head.len() + size * (part.len() + 1) + tail.len());
            let _ = write!(text, "{head}{part}");
            for _ in 1..size {
                let _ = write!(text, ",{part}");
            }
            text.push_str(tail);
            text
        }))
    }

    /// The text for `rows` rows, which must be one of [`SIZES`].
    pub(in crate::store) fn of(&self, rows: usize) -> &str {
        let position = SIZES.iter().position(|size| *size == rows);
        debug_assert!(position.is_some(), "rows come from `chunks`");
        &self.0[position.unwrap_or(SIZES.len() - 1)]
    }
}

/// Cuts a slice into chunks whose lengths are in [`SIZES`], in order.
pub(in crate::store) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (chunk, rest) = rows.split_at(size);
        rows = rest;
        Some(chunk)
    })
}

/// The exclusive upper bound of identities for a page before `before`: the largest if there is none.
pub(in crate::store) fn before_bound(before: Option<OrderId>) -> u64 {
    before.map_or(i64::MAX as u64, |order_id| order_id.0.min(i64::MAX as u64))
}

/// A page's length as the type that SQL takes.
pub(in crate::store) fn limit_of(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_cut_into_few_sizes_and_nothing_is_lost() {
        for length in [0, 1, 7, 8, 9, 64, 100, 511, 512, 1_000, 5_000] {
            let rows: Vec<usize> = (0..length).collect();
            let pieces: Vec<&[usize]> = chunks(&rows).collect();
            assert_eq!(pieces.concat(), rows);
            assert!(pieces.iter().all(|piece| SIZES.contains(&piece.len())));
        }
        let lengths: Vec<usize> = chunks(&[0; 1_034]).map(<[_]>::len).collect();
        assert_eq!(lengths, [512, 512, 8, 1, 1]);
    }

    #[test]
    fn a_statement_has_as_many_parts_as_rows() {
        let statement = SizedStatement::new("INSERT INTO t VALUES ", "(?,?)", " RETURNING a");
        assert_eq!(statement.of(1), "INSERT INTO t VALUES (?,?) RETURNING a");
        for size in SIZES {
            assert_eq!(statement.of(size).matches("(?,?)").count(), size);
        }
    }
}
