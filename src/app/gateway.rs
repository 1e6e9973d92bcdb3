//! What a gateway in front of the shop has to know: where its nodes are, in nginx's words or in Kong's.
//!
//! One shop is where `http.listen` says; the nodes of a cluster are where they say in etcd. A node that is drained
//! is left out as long as there is another. Must not know who reads it, nor when.

use super::steering::{self, SteeringError, SteeringOpenError};
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::store::outbound::{Outbound, OutboundError, OutboundOptions};
use crate::store::registry::{NodeRecord, View};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The name of the nodes together, for both gateways.
const UPSTREAM: &str = "seckill";
/// The bytes of an address, `host:port`: a name of DNS has 253 at most.
const ADDRESS_BYTES_MAX: usize = 260;
/// What all paths about one item begin with, as a regular expression that names the item.
const ITEM_PATHS: &str = "~/(?:api/v1|zh|en)/items/(?<item>[0-9]+)";
/// How long Kong may take over a configuration.
const KONG_TIMEOUT: Duration = Duration::from_secs(10);

/// Why it is not known where the nodes are.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The cluster's address or a certificate cannot be used.
    #[error(transparent)]
    Open(#[from] SteeringOpenError),
    /// etcd does not answer, or knows no such cluster.
    #[error(transparent)]
    Cluster(#[from] SteeringError),
    /// No node of the cluster lives.
    #[error("no node of the cluster lives")]
    NoNodes,
    /// A node says of itself what is no address.
    #[error("node {node} says that clients reach it at {address:?}, which is no address")]
    NoAddress {
        /// The node's name.
        node: String,
        /// What it says.
        address: String,
    },
}

/// Why Kong did not take a configuration.
#[derive(Debug, thiserror::Error)]
pub enum KongError {
    /// The URL of its Admin API is none.
    #[error("the URL of Kong's Admin API: {0}")]
    Url(io::Error),
    /// It did not answer.
    #[error("Kong: {0}")]
    Outbound(#[from] OutboundError),
    /// It answered, and did not take it.
    #[error("Kong refused it with {status}: {text}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// The answer, cut.
        text: String,
    },
}

/// Where clients reach the nodes, each as `host:port`, in the order of the nodes' names. Must be called within a Tokio
/// runtime.
///
/// # Errors
/// Returns [`GatewayError`] if etcd does not answer, no node lives, or one has no address.
pub async fn addresses(config: &Config) -> Result<Vec<String>, GatewayError> {
    if config.cluster.is_set() {
        return of_nodes(&steering::open(&config.clone().into())?.view().await?);
    }
    Ok(vec![reachable(config.http.listen).to_string()])
}

/// The address by which a listener is reached from the same machine.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        let loopback =
            if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        listen.set_ip(loopback);
    }
    listen
}

fn of_nodes(view: &View) -> Result<Vec<String>, GatewayError> {
    let is_drained = |name: &str, node: &NodeRecord| node.is_draining || view.wishes.drain(name);
    let has_other = view.nodes.iter().any(|(name, node)| !is_drained(name, node));
    let mut addresses = Vec::new();
    for (name, node) in &view.nodes {
        if has_other && is_drained(name, node) {
            continue;
        }
        let address = &node.http_address;
        if !is_address(address) {
            return Err(GatewayError::NoAddress { node: name.clone(), address: address.clone() });
        }
        addresses.push(address.clone());
    }
    if addresses.is_empty() { Err(GatewayError::NoNodes) } else { Ok(addresses) }
}

/// Whether this is `host:port` and nothing that a configuration would read as more than that.
fn is_address(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let port = text.rsplit_once(':').map(|(host, port)| (!host.is_empty(), port.parse::<u16>()));
    text.len() <= ADDRESS_BYTES_MAX
        && text.bytes().all(is_part)
        && matches!(port, Some((true, Ok(1..))))
}

/// nginx's upstreams of these nodes, as `deploy/nginx/nginx.conf` includes them. Those of gRPC are others, because nginx
/// would send a request of HTTP/1.1 over a connection that it keeps for HTTP/2.
pub fn nginx(addresses: &[String]) -> String {
    let mut text = String::from(
        "# The nodes behind the gateway, as `seckill gateway nginx` writes it. By hand: one line for each server.\n",
    );
    push_upstream(&mut text, UPSTREAM, "$affinity", addresses);
    text.push_str("# The same for calls of gRPC, whose connections are others.\n");
    push_upstream(&mut text, &format!("{UPSTREAM}_grpc"), "$grpc_affinity", addresses);
    text
}

fn push_upstream(text: &mut String, name: &str, affinity: &str, addresses: &[String]) {
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "upstream {name} {{\n    zone {name} 256k;\n    hash {affinity} consistent;\n"
    );
    for address in addresses {
        let _ = writeln!(text, "    server {address} max_fails=3 fail_timeout=2s;");
    }
    text.push_str(
        "    keepalive 64;\n    keepalive_requests 100000;\n    keepalive_timeout 60s;\n}\n",
    );
}

/// Kong's whole configuration for these nodes, as it is loaded by a Kong without a database.
pub fn kong(addresses: &[String]) -> Value {
    let targets: Vec<Value> =
        addresses.iter().map(|address| json!({ "target": address, "weight": 100 })).collect();
    let closed = ["api/v1/admin", "console", "metrics", "livez", "readyz"].join("|");
    let route = |name: &str, path: &str| json!({ "name": name, "paths": [path], "strip_path": false, "preserve_host": true });
    let mut operators = route("operators", &format!("~/(?:{closed})(?:/|$)"));
    operators["plugins"] = json!([{
        "name": "request-termination",
        "config": { "status_code": 404, "content_type": "application/problem+json", "body": NOT_FOUND },
    }]);
    let mut purchases = route("purchases", &format!("{ITEM_PATHS}/buy"));
    purchases["methods"] = json!(["POST"]);
    purchases["plugins"] = json!([
        { "name": "rate-limiting", "config": { "second": 20, "policy": "local", "limit_by": "ip" } },
        { "name": "request-size-limiting",
            "config": { "allowed_payload_size": 1, "size_unit": "kilobytes" } },
    ]);
    json!({
        "_format_version": "3.0",
        "upstreams": [{
            "name": UPSTREAM,
            "algorithm": "consistent-hashing",
            "hash_on": "uri_capture",
            "hash_on_uri_capture": "item",
            "hash_fallback": "ip",
            "healthchecks": { "passive": {
                "type": "http",
                "unhealthy": { "tcp_failures": 3, "timeouts": 3, "http_failures": 0 },
            }, "active": {
                "type": "http",
                "http_path": "/livez",
                "healthy": { "interval": 2, "successes": 1 },
                "unhealthy": { "interval": 2, "tcp_failures": 2, "timeouts": 2, "http_failures": 0 },
            } },
            "targets": targets,
        }],
        "services": [{
            "name": UPSTREAM,
            "host": UPSTREAM,
            "port": 80,
            "protocol": "http",
            "connect_timeout": 1000,
            "read_timeout": 35000,
            "write_timeout": 15000,
            "retries": 1,
            "routes": [operators, purchases, route("items", ITEM_PATHS), route("shop", "/")],
        }],
    })
}

/// What is not to be seen through the gateway is not there.
const NOT_FOUND: &str = r#"{"type":"/problems/not_found","title":"No such resource","status":404,"code":"not_found","detail":"there is nothing at this path"}"#;

/// Loads configurations into a Kong by its Admin API.
#[derive(Debug)]
pub struct Kong(Outbound);

impl Kong {
    /// The Kong whose Admin API is at this URL.
    ///
    /// # Errors
    /// Returns [`KongError::Url`] if the URL is not one of `http` or `https`.
    pub fn at(url: &str) -> Result<Self, KongError> {
        let options = OutboundOptions {
            timeout: KONG_TIMEOUT,
            in_flight_max: 1,
            // Each attempt is one that was waited for.
            failures_max: u32::MAX,
            pause: Duration::ZERO,
        };
        let url = format!("{}/config", url.trim_end_matches('/'));
        Outbound::new(&url, options, Clock::start(clock::wall_now()))
            .map(Self)
            .map_err(KongError::Url)
    }

    /// Puts this configuration in the place of the one that is in effect.
    ///
    /// # Errors
    /// Returns [`KongError`] if it does not answer or refuses; the one of before is in effect then.
    pub async fn load(&self, configuration: &Value) -> Result<(), KongError> {
        /// The beginning of a refusal, in characters.
        const SHOWN: usize = 300;
        let reply = self.0.post("application/json", configuration.to_string()).await?;
        if (200..300).contains(&reply.status) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&reply.body).chars().take(SHOWN).collect();
        Err(KongError::Refused { status: reply.status, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::registry::DrainWish;

    fn node(address: &str, is_draining: bool) -> NodeRecord {
        NodeRecord {
            incarnation: 1,
            peer_address: "a:7080".to_owned(),
            http_address: address.to_owned(),
            version: "0.1.0".to_owned(),
            secret_fingerprint: String::new(),
            config_version: 0,
            is_draining,
            unable: Vec::new(),
        }
    }

    fn view(nodes: &[(&str, NodeRecord)]) -> View {
        let nodes = nodes.iter().map(|(name, node)| ((*name).to_owned(), node.clone()));
        View { nodes: nodes.collect(), ..View::default() }
    }

    fn told(nodes: &[(&str, NodeRecord)]) -> Result<Vec<String>, String> {
        of_nodes(&view(nodes)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_node_that_is_drained_is_left_out_while_there_is_another() {
        let (a, b) = (node("a.mall:8080", false), node("[fd00::7]:8080", false));
        let both = Ok(vec!["a.mall:8080".to_owned(), "[fd00::7]:8080".to_owned()]);
        assert_eq!(told(&[("a", a.clone()), ("b", b.clone())]), both);
        let drained = node("b.mall:8080", true);
        assert_eq!(
            told(&[("a", a.clone()), ("b", drained.clone())]),
            Ok(vec!["a.mall:8080".to_owned()])
        );
        assert_eq!(told(&[("b", drained)]), Ok(vec!["b.mall:8080".to_owned()]));
        assert!(told(&[]).is_err());
        // An operator wishes it, and its process knows nothing of that.
        let (mut view, wish) =
            (view(&[("a", a), ("b", b)]), DrainWish { by: "an operator".to_owned() });
        view.wishes.drains.insert("b".to_owned(), wish.clone());
        assert_eq!(of_nodes(&view).expect("one"), ["a.mall:8080"]);
        view.wishes.drains.insert("a".to_owned(), wish);
        assert_eq!(of_nodes(&view).expect("both").len(), 2, "a gateway without a node is none");
    }

    #[test]
    fn what_is_no_address_gets_into_no_configuration() {
        for text in
            ["", ":8080", "a", "a:0", "a:65536", "a:8080; }", "a b:80", "a:80\n", "$host:80"]
        {
            assert!(told(&[("a", node(text, false))]).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_this_machine() {
        let reached = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reached("[::]:8080"), "[::1]:8080");
        assert_eq!(reached("10.0.0.7:80"), "10.0.0.7:80");
    }
}
