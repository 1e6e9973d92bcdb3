//! What a search for orders finds, and what it is called.

use crate::store::catalogue::ItemNames;
use domain::{ItemId, Order, OrderId, UserId};
use std::collections::{HashMap, HashSet};

/// Orders that a search found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FoundOrders {
    /// The orders, in the cursor's direction.
    pub orders: Vec<Order>,
    /// Those of them whose money came too late and has gone back.
    pub refunded: HashSet<OrderId>,
    /// The last order that was looked at, if there may be more behind it.
    pub next: Option<OrderId>,
}

/// What the items and the buyers of some orders are called.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrderNames {
    /// By item; one that the catalogue does not know is not here.
    pub items: HashMap<ItemId, ItemNames>,
    /// By buyer; one who never registered is not here.
    pub users: HashMap<UserId, String>,
}
