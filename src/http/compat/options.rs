//! How clients of the older order service are served. Must not know how a request looks.

use domain::{ItemId, UserId};
use std::collections::BTreeMap;

/// What becomes of an order that its buyer cannot pay, because the older service knew no payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settle {
    /// It is paid in the sandbox at once.
    Paid,
    /// It stays reserved, and expires unless it is paid in another way.
    Reserved,
}

/// How the older service's clients are served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompatOptions {
    /// The item that they buy: they name none.
    pub item_id: ItemId,
    /// The users that a name stands for.
    pub users: BTreeMap<String, UserId>,
    /// Whether `userToken` may be such a name, which proves nothing.
    pub trusts_user_names: bool,
    /// What becomes of a new order.
    pub settle: Settle,
}
