//! What the longer texts of settings may be, with the words for it.
//!
//! Must not know which setting a text is.

use super::algorithms::algorithms;
use super::declare::{Such, Url, Urls};
use super::texts::{
    are_endpoints, are_networks, is_host_and_port, is_judge_url, is_node_name, is_origin,
    is_prefix, is_provider, is_script_url, is_utc_offset, is_word, named_users,
};
use crate::telemetry::log::is_filter;

/// A Redis server.
pub(super) const REDIS_URL: Url = Url {
    schemes: &["redis", "rediss"],
    path_names: None,
    or_empty: false,
    example: "redis://seckill:password@127.0.0.1:6379/0",
};
/// A MySQL or MariaDB.
pub(super) const MYSQL_URL: Url = Url {
    schemes: &["mysql", "mariadb"],
    path_names: Some("a database"),
    or_empty: false,
    example: "mysql://seckill:password@127.0.0.1:3306/seckill",
};
/// A replica of one.
pub(super) const REPLICA_URL: Url =
    Url { example: "mysql://seckill:password@127.0.0.2:3306/seckill", ..MYSQL_URL };
/// A replica of each of several.
pub(super) const REPLICA_URLS: Urls = Urls(
    MYSQL_URL,
    ORDER_STORES_MAX,
    "mysql://seckill:password@10.0.1.1:3306/seckill mysql://seckill:password@10.0.1.2:3306/seckill",
);
/// Order stores that one shop may have.
pub const ORDER_STORES_MAX: u16 = 16;
/// One or several of them, one for each order store.
pub(super) const MYSQL_URLS: Urls = Urls(
    MYSQL_URL,
    ORDER_STORES_MAX,
    "mysql://seckill:password@10.0.0.1:3306/seckill mysql://seckill:password@10.0.0.2:3306/seckill",
);
/// A RabbitMQ server.
pub(super) const AMQP_URL: Url = Url {
    schemes: &["amqp", "amqps"],
    path_names: None,
    or_empty: false,
    example: "amqp://seckill:password@127.0.0.1:5672/%2f",
};

/// A RabbitMQ for events.
pub(super) const EVENTS_URL: Url =
    Url { example: "amqp://events:password@127.0.0.1:5672/%2f", ..AMQP_URL };
/// The keys of an issuer of tokens.
pub(super) const JWKS_URL: Url = Url {
    schemes: &["https", "http"],
    path_names: None,
    or_empty: false,
    example: "https://login.mall.example/jwks.json",
};
/// A provider of payments.
pub(super) const PROVIDER_URL: Url =
    Url { or_empty: true, example: "https://pay.mall.example/payments", ..JWKS_URL };
/// A collector of traces.
pub(super) const COLLECTOR_URL: Url =
    Url { schemes: &["http", "https"], example: "http://127.0.0.1:4318", ..JWKS_URL };

/// A rule for a text.
type Text = Such<String>;

/// Networks of proxies that are believed.
pub(super) const NETWORKS: Text = Such(
    |networks: &String| are_networks(networks),
    "addresses and networks such as \"10.0.0.0/8 192.0.2.7 2001:db8::/32\", of at most a /8 or, of \
     IPv6, a /16",
);
/// Origins of pages that may use the API.
pub(super) const ORIGINS: Text = Such(
    |origins: &String| origins.split_ascii_whitespace().all(is_origin),
    "origins such as \"https://shop.example https://m.shop.example:8443\"",
);
/// The zone of the pages.
pub(super) const UTC_OFFSET: Text = Such(
    |offset: &String| is_utc_offset(offset),
    "an offset from UTC from \"-23:59\" to \"+23:59\"",
);
/// The members of an etcd.
pub(super) const ENDPOINTS: Text = Such(
    |urls: &String| are_endpoints(urls),
    "URLs such as \"http://10.0.0.1:2379 http://10.0.0.2:2379\"",
);
/// Under which keys of etcd a shop is.
pub(super) const KEY_PREFIX: Text =
    Such(|prefix: &String| is_prefix(prefix), "a path that begins and ends with a slash");
/// The name of a node, or none.
pub(super) const NODE_NAME: Text = Such(
    |name: &String| name.is_empty() || is_node_name(name),
    "1 to 63 letters, digits, \"-\", \"_\" and \".\"",
);
/// Where others reach a node, or nothing.
pub(super) const HOST_AND_PORT: Text = Such(
    |address: &String| address.is_empty() || is_host_and_port(address),
    "a host and a port, such as \"shop-1.internal:7080\"",
);
/// How a proof of work has to begin.
pub(super) const PROOF_PREFIX: Text = Such(
    |prefix| {
        (1..=6).contains(&prefix.len())
            && prefix.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    },
    "1 to 6 hexadecimal digits in lower case",
);
/// Where a provider of challenges judges, if not at its own place.
pub(super) const VERIFY_URL: Text = Such(
    |url| url.is_empty() || is_judge_url(url),
    "a URL that begins with https://, without a user",
);
/// Where a provider of challenges has its script, if not at its own place.
pub(super) const SCRIPT_URL: Text =
    Such(|url| url.is_empty() || is_script_url(url), "a URL that begins with https://");
/// Who takes buyers' money, if anybody does.
pub(super) const PROVIDER: Text = Such(
    |name| name.is_empty() || is_provider(name),
    "1 to 16 of a to z, 0 to 9, \"_\" and \"-\", and not \"sandbox\"",
);
/// Users by their names.
pub(super) const NAMED_USERS: Text = Such(
    |users| named_users(users).is_some(),
    "names with their users' numbers, each name once, such as \"zhangsan=1 lisi=2\"",
);
/// How tokens may be signed.
pub(super) const ALGORITHMS: Text =
    Such(|text| algorithms(text).is_some(), "some of RS256, ES256 and EdDSA");
/// Which shop tells an event: a reference of a URI, which has no spaces.
pub(super) const EVENT_SOURCE: Text = Such(
    |source| {
        (1..=255).contains(&source.len()) && source.bytes().all(|byte| byte.is_ascii_graphic())
    },
    "1 to 255 visible characters of ASCII, such as \"https://shop.example\"",
);
/// The name of a claim in an issuer's tokens.
pub(super) const CLAIM: Text = Such(|name| is_word(name), "a claim's name");
/// What is logged of which targets.
pub(super) const LOG_FILTER: Text =
    Such(|filter| is_filter(filter), "log levels such as \"info,seckill=debug\"");
/// The size of a table in mebibytes.
pub(super) const TABLE_MEBIBYTES: Such<u32> = Such(
    |size| (1..=1_024).contains(size) && size.is_power_of_two(),
    "a power of two from 1 to 1024",
);
