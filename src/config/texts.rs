//! What the texts of settings may be.
//!
//! Must not know which setting a text is.

use domain::{Network, ProviderName};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

/// Whether the text is networks with spaces between them.
pub(super) fn are_networks(text: &str) -> bool {
    text.split_ascii_whitespace()
        .all(|network| network.parse().is_ok_and(|network: Network| !network.is_vast()))
}

/// Whether the text is an origin as a browser sends it: scheme, host and port, without a path.
pub(super) fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii_graphic());
    matches!(scheme, "http" | "https") && is_lower && !host.is_empty() && !host.contains(['/', '*'])
}

/// Whether the text is the URL of a script, with nothing in it that would end a source in a page's policy.
pub(super) fn is_script_url(text: &str) -> bool {
    let is_there = text.starts_with("https://") || text.starts_with("http://127.0.0.1:");
    is_there && text.bytes().all(|byte| byte.is_ascii_graphic() && !b";,'\"*".contains(&byte))
}

/// Whether the text can name an issuer or an audience: not empty, and short enough to be kept with each user.
pub(super) fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whether the text can be a claim's name or a role.
pub(super) fn is_word(text: &str) -> bool {
    is_name(text) && !text.contains(char::is_whitespace)
}

/// Whether the text is where a provider of challenges judges: with TLS, or on this machine.
pub(super) fn is_judge_url(text: &str) -> bool {
    let is_here = text.starts_with("http://127.0.0.1:");
    let rest = text.strip_prefix("https://").or(text.strip_prefix("http://").filter(|_| is_here));
    let is_there = |rest: &str| is_place(rest.split(['/', '?', '#']).next().unwrap_or_default());
    rest.is_some_and(is_there) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether the text can name a payment provider that is not the sandbox.
pub(super) fn is_provider(text: &str) -> bool {
    ProviderName::parse(text).is_some_and(|name| name != ProviderName::sandbox())
}

/// Returns the users of a text such as `zhangsan=1 lisi=2`; none if it is no such text, or gives a name
/// twice.
pub fn named_users(text: &str) -> Option<BTreeMap<String, u64>> {
    let mut users = BTreeMap::new();
    for pair in text.split_whitespace() {
        let (name, number) = pair.rsplit_once('=').filter(|(name, _)| !name.is_empty())?;
        let number = number.parse().ok().filter(|number| *number <= i64::MAX as u64)?;
        if users.insert(name.to_owned(), number).is_some() {
            return None;
        }
    }
    Some(users)
}

/// Whether the text is an offset from UTC, such as `+08:00`.
pub(super) fn is_utc_offset(text: &str) -> bool {
    let &[b'+' | b'-', h1, h2, b':', m1, m2] = text.as_bytes() else { return false };
    let are_digits = [h1, h2, m1, m2].iter().all(u8::is_ascii_digit);
    are_digits && (h1, h2) <= (b'2', b'3') && m1 <= b'5'
}

/// Whether the text is URLs of etcd's members with spaces between them, or empty.
pub(super) fn are_endpoints(text: &str) -> bool {
    text.split_ascii_whitespace().all(|url| {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let host = rest.and_then(|rest| rest.rsplit_once(':'));
        host.is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
        })
    })
}

/// Whether the text is a host and a port.
pub(super) fn is_host_and_port(text: &str) -> bool {
    let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    is_place(text) && port.is_some_and(|port| port > 0)
}

/// Whether the text is where a server is, as a URL names it: a name or an address, and a port unless it is the usual.
pub(super) fn is_place(text: &str) -> bool {
    let is_port = |port: &str| {
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
    };
    if let Some(rest) = text.strip_prefix('[') {
        let bracketed = rest.split_once(']');
        return bracketed
            .is_some_and(|(host, port)| host.parse::<Ipv6Addr>().is_ok() && is_port(port));
    }
    let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.%".contains(&byte);
    !host.is_empty() && host.bytes().all(is_allowed) && is_port(port)
}

/// Whether the text can name a node.
pub(super) fn is_node_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=63).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Whether the text can be what the keys of a shop begin with.
pub(super) fn is_prefix(text: &str) -> bool {
    let is_path = text.len() > 1 && text.starts_with('/') && text.ends_with('/');
    is_path && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_place_is_told_from_what_does_not() {
        for (text, expected) in [
            ("", true),
            ("http://10.0.0.1:2379", true),
            ("http://a:1  https://b.example:2379", true),
            ("http://[::1]:2379", true),
            ("10.0.0.1:2379", false),
            ("http://10.0.0.1", false),
            ("http://10.0.0.1:2379/", false),
            ("http://:2379", false),
            ("http://a:1,http://b:1", false),
        ] {
            assert_eq!(are_endpoints(text), expected, "{text}");
        }
        for (text, expected) in [("a", true), ("shop-1.b_c", true), ("", false), ("a/b", false)] {
            assert_eq!(is_node_name(text), expected, "{text}");
        }
        assert!(!is_node_name(&"a".repeat(64)));
        for (text, expected) in [
            ("10.0.0.1:7080", true),
            ("shop-1.internal:1", true),
            ("[2001:db8::1]:7080", true),
            ("shop-1", false),
            (":7080", false),
            ("a:0", false),
            ("http://a:7080", false),
            ("a/b:7080", false),
        ] {
            assert_eq!(is_host_and_port(text), expected, "{text}");
        }
        for (text, expected) in [
            ("https://pay.example", true),
            ("https://[::1]:80/a?b", true),
            ("https://u:p@pay.example", false),
            ("http://127.0.0.1:80/a?b", true),
            ("http://pay.example", false),
            ("https://", false),
            ("https://[::1", false),
            ("https://x y", false),
            ("https://a/\r\nX: 1", false),
            ("https://a:port", false),
            ("ftp://a", false),
        ] {
            assert_eq!(is_judge_url(text), expected, "{text}");
        }
        for (text, expected) in
            [("/a/", true), ("/", false), ("/a", false), ("a/", false), ("/a b/", false)]
        {
            assert_eq!(is_prefix(text), expected, "{text}");
        }
    }
}
