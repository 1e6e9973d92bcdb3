//! What the longer texts of settings may be, in words as well.
//!
//! Must not know which setting a text is.

use super::declare::Such;
use super::texts::{
    are_endpoints, are_networks, is_host_and_port, is_node_name, is_origin, is_prefix,
    is_utc_offset,
};

/// Networks of proxies that are believed.
pub(super) const NETWORKS: Such<String> = Such(
    |networks: &String| are_networks(networks),
    "addresses and networks such as \"10.0.0.0/8 192.0.2.7 2001:db8::/32\", of at most a /8 or, of \
     IPv6, a /16",
);
/// Origins of pages that may use the API.
pub(super) const ORIGINS: Such<String> = Such(
    |origins: &String| origins.split_ascii_whitespace().all(is_origin),
    "origins such as \"https://shop.example https://m.shop.example:8443\"",
);
/// The zone of the pages.
pub(super) const UTC_OFFSET: Such<String> = Such(
    |offset: &String| is_utc_offset(offset),
    "an offset from UTC from \"-23:59\" to \"+23:59\"",
);
/// The members of an etcd.
pub(super) const ENDPOINTS: Such<String> = Such(
    |urls: &String| are_endpoints(urls),
    "URLs such as \"http://10.0.0.1:2379 http://10.0.0.2:2379\"",
);
/// Under which keys of etcd a shop is.
pub(super) const KEY_PREFIX: Such<String> =
    Such(|prefix: &String| is_prefix(prefix), "a path that begins and ends with a slash");
/// The name of a node, or none.
pub(super) const NODE_NAME: Such<String> = Such(
    |name: &String| name.is_empty() || is_node_name(name),
    "1 to 63 letters, digits, \"-\", \"_\" and \".\"",
);
/// Where others reach a node, or nothing.
pub(super) const HOST_AND_PORT: Such<String> = Such(
    |address: &String| address.is_empty() || is_host_and_port(address),
    "a host and a port, such as \"shop-1.internal:7080\"",
);
