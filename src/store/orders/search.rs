//! Which orders an operator asks for, and the windows in which they are looked for.
//!
//! Sale, buyer and time are answered by an index; item and status are not, because an index that every
//! payment has to move would cost the sale more than a search costs now and then. So a search reads windows
//! of an index and picks, and gives up after so many rows: its caller goes on from there.

use super::row::StoredOrder;
use domain::order::Cursor;
use domain::{ItemId, Order, OrderId, OrderStatus, SaleId, Timestamp, UserId};

/// Rows that one search looks at, at most about.
pub const EXAMINED_ROWS_MAX: usize = 200_000;
/// Rows that are read at a time where most may not be wanted.
pub(super) const WINDOW_ROWS: usize = 2_000;

/// Which orders are asked for: those that are as every given field says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OrderFilter {
    /// Of this sale.
    pub sale_id: Option<SaleId>,
    /// Of this item.
    pub item_id: Option<ItemId>,
    /// Of this buyer.
    pub user_id: Option<UserId>,
    /// In this status.
    pub status: Option<OrderStatus>,
    /// Of those that are `refund_due`, only the ones whose money has gone back, or only the others. Their payments say
    /// so and no row of an order does: who searches has to look at them.
    pub refunded: Option<bool>,
    /// Placed at this instant or later.
    pub from: Option<Timestamp>,
    /// Placed before this instant.
    pub to: Option<Timestamp>,
}

/// What a search found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// The orders, in the cursor's direction.
    pub rows: Vec<StoredOrder>,
    /// The last order that was looked at, if there may be more behind it.
    pub next: Option<OrderId>,
}

/// Whose orders a window holds, by which index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    Everybody,
    Sale(SaleId),
    Buyer(UserId),
}

/// A window: the orders between two identities, both excluded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Window {
    pub(super) whose: Whose,
    pub(super) above: u64,
    pub(super) below: u64,
    pub(super) newest_first: bool,
    pub(super) rows: usize,
}

impl OrderFilter {
    /// Whether the order is asked for.
    pub(super) fn takes(&self, order: &Order) -> bool {
        self.sale_id.is_none_or(|sale_id| sale_id == order.sale_id)
            && self.item_id.is_none_or(|item_id| item_id == order.item_id)
            && self.user_id.is_none_or(|user_id| user_id == order.user_id)
            && self.status.is_none_or(|status| status == order.status)
    }

    /// The window from the cursor on.
    pub(super) fn window(&self, cursor: Cursor, rows_wanted: usize) -> Window {
        const ALL_BELOW: u64 = i64::MAX as u64;
        let first = |at: Timestamp| OrderId::first_at(at).0;
        let (mut above, mut below) = match cursor {
            Cursor::After(after) => (after.0, ALL_BELOW),
            Cursor::Before(before) => {
                (0, before.map_or(ALL_BELOW, |before| before.0.min(ALL_BELOW)))
            }
        };
        above = above.max(self.from.map_or(0, |from| first(from).saturating_sub(1)));
        below = below.min(self.to.map_or(ALL_BELOW, first));
        let (whose, is_exact) = match (self.user_id, self.sale_id) {
            (Some(user_id), sale_id) => (Whose::Buyer(user_id), sale_id.is_none()),
            (None, Some(sale_id)) => (Whose::Sale(sale_id), true),
            (None, None) => (Whose::Everybody, true),
        };
        let is_exact = is_exact && self.item_id.is_none() && self.status.is_none();
        Window {
            whose,
            above,
            below,
            newest_first: matches!(cursor, Cursor::Before(_)),
            rows: if is_exact { rows_wanted } else { WINDOW_ROWS },
        }
    }
}

/// The statement that reads a window: its owner if it has one, its two bounds, and how many rows.
macro_rules! window_text {
    ($window:expr) => {{
        use $crate::store::orders::search::Whose;
        macro_rules! text {
            ($whose:literal, $direction:literal) => {
                concat!(
                    "SELECT ",
                    columns!(),
                    // The inner query reads an index and no row.
                    " FROM (SELECT order_id AS id FROM orders WHERE ",
                    $whose,
                    "order_id > ? AND order_id < ? ORDER BY order_id ",
                    $direction,
                    " LIMIT ?) AS page JOIN orders ON order_id = id ORDER BY order_id ",
                    $direction
                )
            };
        }
        match ($window.whose, $window.newest_first) {
            (Whose::Everybody, true) => text!("", "DESC"),
            (Whose::Everybody, false) => text!("", "ASC"),
            (Whose::Sale(_), true) => text!("sale_id = ? AND ", "DESC"),
            (Whose::Sale(_), false) => text!("sale_id = ? AND ", "ASC"),
            (Whose::Buyer(_), true) => text!("user_id = ? AND ", "DESC"),
            (Whose::Buyer(_), false) => text!("user_id = ? AND ", "ASC"),
        }
    }};
}
pub(super) use window_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_as_narrow_as_cursor_and_times_make_it() {
        let at = |milliseconds: u64| Timestamp(1_790_000_000_000 + milliseconds);
        let id = |milliseconds: u64| OrderId::first_at(at(milliseconds));
        let filter = OrderFilter { from: Some(at(10)), to: Some(at(20)), ..OrderFilter::default() };
        for (cursor, above, below) in [
            (Cursor::After(OrderId(0)), id(10).0 - 1, id(20).0),
            (Cursor::After(id(15)), id(15).0, id(20).0),
            (Cursor::Before(None), id(10).0 - 1, id(20).0),
            (Cursor::Before(Some(id(15))), id(10).0 - 1, id(15).0),
            (Cursor::Before(Some(id(30))), id(10).0 - 1, id(20).0),
        ] {
            let window = filter.window(cursor, 7);
            assert_eq!((window.above, window.below, window.rows), (above, below, 7), "{cursor:?}");
        }
        let status = OrderFilter { status: Some(OrderStatus::Paid), ..filter };
        assert_eq!(status.window(Cursor::Before(None), 7).rows, WINDOW_ROWS);
    }
}
