//! Whose address counts as a client's.
//!
//! Directly it is the connection's other end. Behind a proxy all connections are the proxy's, and it
//! says for whom it asks: in `X-Forwarded-For`, or before the first byte of the connection (PROXY
//! protocol, `edge/proxy_protocol.rs`). Anybody can say so, so only proxies that are named are believed.
//! Must not know connections, nor what the address is used for.

use domain::{Address, Network};
use hyper::HeaderMap;
use hyper::header::HeaderName;
use std::net::{IpAddr, SocketAddr};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The most proxies that are looked through: more are no chain that anybody built.
const HOPS_MAX: usize = 32;

/// Where a client's address is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ClientAddressSource {
    /// The connection's other end.
    #[default]
    Peer,
    /// The header `X-Forwarded-For`, as far as trusted proxies wrote it.
    XForwardedFor,
    /// The PROXY protocol's header, which a trusted proxy sends first.
    ProxyProtocol,
}

/// Where a client's address is found, and who is believed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientAddressOptions {
    /// Where it is found.
    pub source: ClientAddressSource,
    /// The proxies that are believed.
    pub trusted: Vec<Network>,
}

impl ClientAddressOptions {
    /// Returns whether a connection from `peer` begins with the PROXY protocol's header.
    pub fn expects_header(&self, peer: Address) -> bool {
        self.source == ClientAddressSource::ProxyProtocol && self.trusts(peer)
    }

    fn trusts(&self, address: Address) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Returns whose address a request with these headers comes from, over a connection from `peer`.
    pub fn client(&self, peer: Address, headers: &HeaderMap) -> Address {
        if self.source != ClientAddressSource::XForwardedFor || !self.trusts(peer) {
            return peer;
        }
        // Each proxy adds at the end whom it was asked by. Read from there, the first that is no proxy
        // of ours is the client; what stands before it is what the client claims.
        let lines = headers.get_all(&X_FORWARDED_FOR);
        let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let mut client = peer;
        for hop in hops.take(HOPS_MAX) {
            let Some(address) = read_hop(hop) else { break };
            client = address;
            if !self.trusts(address) {
                break;
            }
        }
        client
    }
}

/// Reads an address with or without a port. IPv6 with a port stands in brackets.
fn read_hop(hop: &[u8]) -> Option<Address> {
    let text = std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    Some(address.or_else(bracketed)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    fn options(source: ClientAddressSource) -> ClientAddressOptions {
        let trusted = ["10.0.0.0/8", "2001:db8:aaaa::/48"];
        let trusted = trusted.map(|text| text.parse().expect("a network"));
        ClientAddressOptions { source, trusted: trusted.into() }
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let many = vec!["10.0.0.9"; 40].join(",");
        for (peer, lines, expected) in [
            // Nobody wrote anything, or one who is not trusted did.
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("203.0.113.5", &["198.51.100.7"], "203.0.113.5"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            // A client claims to be another one: what the proxy saw counts.
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["10.0.0.3, 198.51.100.7"], "198.51.100.7"),
            // Two proxies of ours, in one line and in two.
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7", " 10.0.0.2"], "198.51.100.7"),
            // What is not an address ends the search at who wrote it.
            ("10.0.0.1", &["198.51.100.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.7,"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["_hidden"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7 10.0.0.2"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.007"], "10.0.0.1"),
            // All of them ours: the furthest.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &[many.as_str()], "10.0.0.9"),
            // In the ways that proxies write them.
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]:4711, 2001:db8:aaaa::1"], "2001:db8::7"),
            ("10.0.0.1", &["\t198.51.100.7\t,\t10.0.0.2"], "198.51.100.7"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(&X_FORWARDED_FOR, line.parse().expect("a value"));
            }
            let found = options(ClientAddressSource::XForwardedFor).client(address(peer), &headers);
            assert_eq!(found, address(expected), "{peer} {lines:?}");
            for source in [ClientAddressSource::Peer, ClientAddressSource::ProxyProtocol] {
                assert_eq!(options(source).client(address(peer), &headers), address(peer));
            }
        }
    }

    #[test]
    fn a_chain_without_end_is_read_for_so_many_hops() {
        let mut chain = vec!["198.51.100.7".to_owned()];
        chain.extend((0..HOPS_MAX).map(|hop| format!("10.0.0.{hop}")));
        let mut headers = HeaderMap::new();
        headers.append(&X_FORWARDED_FOR, chain.join(",").parse().expect("a value"));
        let options = options(ClientAddressSource::XForwardedFor);
        assert_eq!(options.client(address("10.0.0.1"), &headers), address("10.0.0.0"));
        chain.remove(1);
        headers.insert(&X_FORWARDED_FOR, chain.join(",").parse().expect("a value"));
        assert_eq!(options.client(address("10.0.0.1"), &headers), address("198.51.100.7"));
    }
}
