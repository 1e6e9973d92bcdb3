//! What the limits are set to. Must not know where a setting comes from, nor check it: the configuration
//! does both.

/// The rates that the edge holds its callers to. A rate of 0 is no limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitOptions {
    /// Purchases of one user in a second.
    pub user_per_second: u32,
    /// Purchases of one user at once.
    pub user_burst: u32,
    /// Purchases from one address in a second.
    pub address_per_second: u32,
    /// Purchases from one address at once.
    pub address_burst: u32,
    /// Purchases of one item in a second that reach its shard.
    pub item_per_second: u32,
    /// Purchases in a second that reach a shard.
    pub global_per_second: u32,
    /// Log-ins, registrations and exchanges of tokens from one address in a minute.
    pub login_address_per_minute: u32,
    /// Log-ins, registrations and exchanges with one name from one address in a minute.
    pub login_name_per_minute: u32,
    /// Buy tokens that one user is issued in a minute.
    pub token_user_per_minute: u32,
}

impl LimitOptions {
    /// No limit at all.
    pub const NONE: Self = Self {
        user_per_second: 0,
        user_burst: 0,
        address_per_second: 0,
        address_burst: 0,
        item_per_second: 0,
        global_per_second: 0,
        login_address_per_minute: 0,
        login_name_per_minute: 0,
        token_user_per_minute: 0,
    };
}
