//! The three views that are compared, and what the sale allowed.

use domain::OrderStatus;
use domain::invariants::UnitCounts;
use serde::Serialize;

use crate::drive::{Confirmation, FollowUp, Unresolved};

/// What the clients were told.
#[derive(Debug, Clone, Copy)]
pub struct ClientView<'a> {
    /// Every order id told for a purchase, repeats included.
    pub confirmations: &'a [Confirmation],
    /// What was told about orders afterwards.
    pub follow_ups: &'a [FollowUp],
    /// Purchases whose clients never got a definite answer.
    pub unresolved: &'a [Unresolved],
}

/// The server's counters of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ItemStanding {
    /// Which item, counted from 0 as in [`Confirmation::item`].
    pub item: u32,
    /// Units on sale.
    pub allotted: i64,
    /// Units that can be bought.
    pub available: i64,
    /// Units bought and not paid.
    pub reserved: i64,
    /// Units that were paid.
    pub sold: i64,
}

impl ItemStanding {
    /// Units that orders hold.
    #[must_use]
    pub fn taken(&self) -> i64 {
        self.reserved + self.sold
    }

    /// The counters as the invariants judge them.
    #[must_use]
    pub fn counts(&self) -> UnitCounts {
        let Self { allotted, available, reserved, sold, .. } = *self;
        UnitCounts { allotted, available, reserved, sold }
    }
}

/// An order as the order store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOrder {
    /// The order's id.
    pub order: u64,
    /// The buyer; `None` if no user of this run.
    pub user: Option<u32>,
    /// The item; `None` if none of this run.
    pub item: Option<u32>,
    /// How many units.
    pub quantity: i64,
    /// The order's status.
    pub status: OrderStatus,
}

/// What the sale allowed.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Most live orders of one user for one item.
    pub limit_per_user: u32,
    /// True if payment windows may have passed during the run.
    pub orders_may_expire: bool,
    /// True if the scenario says that everything must be gone.
    pub must_sell_out: bool,
}
