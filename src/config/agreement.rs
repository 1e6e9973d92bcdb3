//! What settings must be together: each is allowed by itself, and some contradict each other.

use super::choices::{ChallengeProvider, ClientAddress, CompatSettle};
use super::settings::{Cluster, Config, Http, Oidc, Payments};
use std::net::Ipv4Addr;

/// Returns what contradicts what, in words.
pub fn check(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |is_so: bool, words: &str| {
        if !is_so {
            found.push(words.to_owned());
        }
    };
    must(
        config.http.client_address == ClientAddress::Peer
            || !config.http.trusted_proxies.trim_ascii().is_empty(),
        "http.client_address names proxies, and http.trusted_proxies has none: name those that are \
         believed",
    );
    check_tls(&config.http, &mut must);
    let compat = &config.compat;
    if compat.enabled {
        must(compat.item_id > 0, "compat.enabled = true needs compat.item_id: which item to sell");
        must(
            compat.settle == CompatSettle::Reserved || config.payments.sandbox,
            "compat.settle = \"paid\" needs payments.sandbox = true: there is no other way to pay",
        );
    }
    let challenge = &config.challenge;
    must(
        challenge.provider == ChallengeProvider::None
            || (!challenge.site_key.is_empty() && challenge.secret.is_some()),
        "challenge.provider needs challenge.site_key and challenge.secret",
    );
    check_payments(&config.payments, &mut must);
    must(
        !config.events.amqp || config.events.amqp_url.is_some() || config.broker.amqp_url.is_some(),
        "events.amqp = true needs events.amqp_url or broker.amqp_url: where events are announced",
    );
    config.orders.check(&mut must);
    check_cluster(config, &mut must);
    must(
        is_whole(&config.oidc),
        "oidc.issuer, oidc.audience and oidc.jwks_url: all of them, or none",
    );
    must(
        config.oidc.jwks_url.as_ref().is_none_or(|url| is_safe(url.expose())),
        "oidc.jwks_url needs https:// unless its host is this machine: who can change the answer can \
         be any user",
    );
    found
}

/// What a listener that speaks TLS needs: pages have to know that browsers speak HTTPS.
fn check_tls(http: &Http, must: &mut impl FnMut(bool, &str)) {
    must(
        http.tls_certificate_file.is_some() == http.tls_key_file.is_some(),
        "http.tls_certificate_file and http.tls_key_file: both of them, or none",
    );
    let public_url = http.public_url.as_deref();
    must(
        http.tls_certificate_file.is_none()
            || public_url.is_some_and(|url| url.starts_with("https://")),
        "http.tls_certificate_file needs http.public_url with https://: where browsers find the shop",
    );
}

/// What a provider of real money needs, and that nothing can be paid beside it.
fn check_payments(payments: &Payments, must: &mut impl FnMut(bool, &str)) {
    let has_secret = payments.secret.is_some();
    let set = [
        !payments.provider.is_empty(),
        payments.url.as_ref().is_some_and(|url| !url.is_empty()),
        has_secret,
    ];
    must(
        set == [true; 3] || set == [false; 3],
        "payments.provider, payments.url and payments.secret: all of them, or none",
    );
    must(
        payments.provider.is_empty() || !payments.sandbox,
        "payments.provider needs payments.sandbox = false: in the sandbox orders are paid with no money",
    );
    must(
        payments.url.as_ref().is_none_or(|url| url.is_empty() || is_safe(url.expose())),
        "payments.url needs https:// unless its host is this machine: who can change the answer can send \
         buyers anywhere",
    );
    must(
        payments.previous_secret.is_none() || has_secret,
        "payments.previous_secret needs payments.secret, which came after it",
    );
}

/// What several nodes need besides etcd, because they share it.
fn check_cluster(config: &Config, must: &mut impl FnMut(bool, &str)) {
    let cluster = &config.cluster;
    must(
        cluster.cert_file.is_some() == cluster.key_file.is_some(),
        "cluster.cert_file and cluster.key_file: both of them, or none",
    );
    must(
        cluster.user.is_empty() == cluster.password.is_none(),
        "cluster.user and cluster.password: both of them, or none",
    );
    if !cluster.is_set() {
        return;
    }
    must(!cluster.node.is_empty(), "cluster.endpoints needs cluster.node: this node's name");
    must(
        !config.orders.are_in_file(),
        "cluster.endpoints needs orders.mysql_url or orders.mysql_urls: all nodes keep their orders in the \
         same databases",
    );
    must(
        config.checkpoint.redis_url.is_some(),
        "cluster.endpoints needs checkpoint.redis_url: a node that takes a shard over begins with the \
         checkpoint of the one before",
    );
    must(
        config.tokens.secret.is_some(),
        "cluster.endpoints needs tokens.secret: all nodes accept the same tokens",
    );
    must(
        !cluster.advertise.is_empty()
            || cluster.listen.is_none_or(|address| !address.ip().is_unspecified()),
        "cluster.listen names no address that others reach, and needs cluster.advertise: where they reach \
         this node",
    );
    must(
        config.broker.amqp_url.is_none(),
        "cluster.endpoints and broker.amqp_url: one of them. Each node of a cluster hands its records to \
         the order store by itself",
    );
}

impl Cluster {
    /// Whether the process is one of several nodes.
    pub fn is_set(&self) -> bool {
        !self.endpoints.trim_ascii().is_empty()
    }
}

fn is_whole(oidc: &Oidc) -> bool {
    let set = [oidc.issuer.is_some(), oidc.audience.is_some(), oidc.jwks_url.is_some()];
    set.iter().all(|is_set| *is_set) || set.iter().all(|is_set| !is_set)
}

/// Whether nobody between this process and the server can change what it says.
fn is_safe(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return true };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next() == Some("::1");
    }
    let name = host.split(':').next().unwrap_or_default();
    name == "localhost" || name.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::secret_text::SecretText;
    use super::super::secret_url::{SecretUrl, SecretUrls};
    use super::*;

    #[test]
    fn keys_come_over_a_way_that_nobody_can_change() {
        for (url, expected) in [
            ("https://login.mall.example/jwks.json", true),
            ("http://127.0.0.1:8081/jwks.json", true),
            ("http://127.8.9.1/jwks.json", true),
            ("http://localhost/jwks.json", true),
            ("http://[::1]:8081/jwks.json", true),
            ("http://login.mall.example/jwks.json", false),
            ("http://localhost.evil.example/", false),
            ("http://127.0.0.1@evil.example/", false),
            ("http://127.0.0.1.evil.example/", false),
            ("http://10.0.0.1/", false),
            ("http://[::2]/", false),
        ] {
            assert_eq!(is_safe(url), expected, "{url}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        let check = |change: fn(&mut Config), expected: &[&str]| {
            let mut config = Config::default();
            change(&mut config);
            let found = super::check(&config);
            let begins = found.iter().zip(expected).all(|(found, begin)| found.starts_with(begin));
            assert!(found.len() == expected.len() && begins, "{found:?}");
        };
        check(|_| {}, &[]);
        check(|config| config.payments.sandbox = false, &[]);
        check(
            |config| config.payments.provider = "pay".to_owned(),
            &["payments.provider, payments.url and", "payments.provider needs payments.sandbox"],
        );
        check(
            |config| {
                let payments = &mut config.payments;
                payments.sandbox = false;
                payments.provider = "pay".to_owned();
                payments.url = Some(SecretUrl::new("http://pay.example/"));
                payments.secret = Some(SecretText::new("whsec_x"));
            },
            &["payments.url needs https://"],
        );
        check(|config| config.oidc.issuer = Some("x".into()), &["oidc.issuer, oidc.audience and"]);
        check(
            |config| config.http.client_address = ClientAddress::XForwardedFor,
            &["http.client_address names proxies"],
        );
        check(
            |config| {
                config.http.client_address = ClientAddress::ProxyProtocol;
                config.http.trusted_proxies = "10.0.0.0/8".to_owned();
            },
            &[],
        );
        check(
            |config| config.cluster.endpoints = "http://127.0.0.1:2379".to_owned(),
            &[
                "cluster.endpoints needs cluster.node",
                "cluster.endpoints needs orders.mysql_url",
                "cluster.endpoints needs checkpoint.redis_url",
                "cluster.endpoints needs tokens.secret",
            ],
        );
        check(
            |config| {
                config.cluster.endpoints = "http://127.0.0.1:2379".to_owned();
                config.cluster.node = "a".to_owned();
                config.cluster.listen = Some(([0, 0, 0, 0], 7080).into());
                config.tokens.secret = Some(SecretText::new("5e".repeat(32)));
                let url = |scheme| Some(SecretUrl::new(format!("{scheme}://127.0.0.1/0")));
                (config.orders.mysql_url, config.checkpoint.redis_url) =
                    (url("mysql"), url("redis"));
            },
            &["cluster.listen names no address that others reach"],
        );
        check(
            |config| config.http.tls_certificate_file = Some("/shop.pem".into()),
            &["http.tls_certificate_file and", "http.tls_certificate_file needs http.public_url"],
        );
        check(
            |config| {
                config.orders.mysql_url = Some(SecretUrl::new("mysql://a/shop"));
                config.orders.mysql_urls = Some(SecretUrls::new("mysql://a/shop mysql://b/shop"));
            },
            &["orders.mysql_url and orders.mysql_urls: one of them"],
        );
        check(
            |config| {
                let url = |host: &str| format!("mysql://{host}/shop");
                config.orders.mysql_urls = Some(SecretUrls::new(&[url("a"), url("b")].join(" ")));
                config.orders.replica_url = Some(SecretUrl::new(url("b")));
            },
            &[
                "orders.replica_url or orders.replica_urls: one",
                "orders.replica_url or orders.replica_urls names",
            ],
        );
        check(
            |config| config.orders.keep_until_replicated = true,
            &["orders.keep_until_replicated = true needs"],
        );
        check(
            |config| config.cluster.user = "shop".to_owned(),
            &["cluster.user and cluster.password"],
        );
        check(
            |config| config.challenge.provider = ChallengeProvider::Geetest,
            &["challenge.provider needs challenge.site_key"],
        );
        check(
            |config| config.compat.enabled = true,
            &["compat.enabled = true needs compat.item_id"],
        );
        check(
            |config| {
                config.compat.enabled = true;
                config.compat.item_id = 1;
                config.payments.sandbox = false;
            },
            &["compat.settle = \"paid\" needs payments.sandbox"],
        );
        check(
            |config| {
                config.compat.enabled = true;
                config.compat.item_id = 1;
                config.compat.settle = CompatSettle::Reserved;
                config.payments.sandbox = false;
            },
            &[],
        );
    }
}
