//! Addresses of clients, and networks of them.
//!
//! An address is 128 bits: of IPv4, those of its IPv4-mapped form (RFC 4291), so that a client is the
//! same whichever way it is written. Must not know where an address comes from, nor open a socket.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The first 96 bits of an IPv4-mapped address.
const MAPPED: u128 = 0xFFFF << 32;
/// How many bits of a mapped address are not IPv4's.
const MAPPED_BITS: u8 = 96;

/// An address of a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address(u128);

impl Address {
    /// Returns whether it is an address of IPv4.
    pub fn is_ipv4(self) -> bool {
        self.0 >> 32 == MAPPED >> 32
    }

    /// Returns what one client certainly holds: an address of IPv4, a network of 64 bits of IPv6.
    #[must_use]
    pub fn subscriber(self) -> Self {
        if self.is_ipv4() { self } else { Self(self.0 & (u128::MAX << 64)) }
    }

    /// Returns what one client can be given of IPv6: a network of 48 bits, with 65,536 of 64.
    pub fn site(self) -> Option<Self> {
        (!self.is_ipv4()).then_some(Self(self.0 & (u128::MAX << 80)))
    }

    /// Returns its 128 bits.
    pub fn bits(self) -> u128 {
        self.0
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv6Addr::from_bits(self.0).to_canonical().fmt(formatter)
    }
}

/// A network of addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Network {
    first: Address,
    /// The bits that its addresses share, of 128.
    length: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotANetwork {
    /// It is not an address with or without a length.
    #[error("must be an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")]
    Form,
    /// It has bits beyond its length.
    #[error("has bits beyond its length: write the network's first address")]
    HostBits,
}

impl Network {
    /// Returns whether it holds the address.
    pub fn contains(self, address: Address) -> bool {
        (address.0 ^ self.first.0) & self.mask() == 0
    }

    /// Returns its first and its last address.
    pub fn range(self) -> (Address, Address) {
        (self.first, Address(self.first.0 | !self.mask()))
    }

    /// Returns the bits that its addresses share, of 128.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether no operator of the Internet has as many addresses: it is more than a /8 of IPv4, or a /16 of
    /// IPv6.
    pub fn is_vast(self) -> bool {
        let is_of_ipv4 = self.first.is_ipv4() || self.contains(Address(MAPPED));
        self.length < if is_of_ipv4 { MAPPED_BITS + 8 } else { 16 }
    }

    fn mask(self) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or_default()
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork::Form)?;
        let (bits, before) = if address.is_ipv4() { (32, MAPPED_BITS) } else { (128, 0) };
        let length = match length {
            None => bits,
            // Neither a sign nor leading zeros.
            Some(text) => text
                .parse::<u8>()
                .ok()
                .filter(|length| *length <= bits && length.to_string() == text)
                .ok_or(NotANetwork::Form)?,
        };
        let network = Self { first: address.into(), length: before + length };
        if network.first.0 & !network.mask() != 0 {
            return Err(NotANetwork::HostBits);
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_ipv4 = self.first.is_ipv4() && self.length >= MAPPED_BITS;
        let length = if is_ipv4 { self.length - MAPPED_BITS } else { self.length };
        if is_ipv4 {
            write!(formatter, "{}/{length}", self.first)
        } else {
            write!(formatter, "{}/{length}", Ipv6Addr::from_bits(self.first.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_everybody_is_vast() {
        for (text, expected) in [
            ("0.0.0.0/0", true),
            ("128.0.0.0/1", true),
            ("10.0.0.0/7", true),
            ("10.0.0.0/8", false),
            ("192.0.2.7", false),
            ("::/0", true),
            ("::/64", true),
            ("::ffff:0:0/96", true),
            ("2000::/3", true),
            ("2001::/16", false),
            ("::1", false),
        ] {
            let network: Network = text.parse().expect("a network");
            assert_eq!(network.is_vast(), expected, "{text}");
        }
    }

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        assert_eq!(address("192.0.2.7"), address("::ffff:192.0.2.7"));
        assert_eq!(address("::ffff:192.0.2.7").to_string(), "192.0.2.7");
        assert_eq!(address("192.0.2.7").subscriber(), address("192.0.2.7"));
        assert_eq!(address("192.0.2.7").site(), None);
        let long = address("2001:db8:1:2:3:4:5:6");
        assert_eq!(long.subscriber(), address("2001:db8:1:2::"));
        assert_eq!(long.site(), Some(address("2001:db8:1::")));
        assert!(!address("::1").is_ipv4() && !address("::").is_ipv4());
    }

    #[test]
    fn networks_are_read_shown_and_hold_their_addresses() {
        for (text, shown, within, without) in [
            ("192.0.2.0/24", "192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7/32", "::ffff:192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "0.0.0.0/0", "255.255.255.255", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1/128", "::1", "::2"),
            ("::/0", "::/0", "192.0.2.7", ""),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24", "192.0.2.9", "192.0.3.9"),
        ] {
            let network: Network = text.parse().expect(text);
            assert_eq!(network.to_string(), shown);
            assert_eq!(shown.parse(), Ok(network));
            assert!(network.contains(address(within)), "{text} {within}");
            let (first, last) = network.range();
            assert!(first <= address(within) && address(within) <= last, "{text}");
            if !without.is_empty() {
                assert!(!network.contains(address(without)), "{text} {without}");
            }
        }
        for (text, error) in [
            ("", NotANetwork::Form),
            ("192.0.2", NotANetwork::Form),
            ("192.0.2.0/33", NotANetwork::Form),
            ("192.0.2.0/024", NotANetwork::Form),
            ("192.0.2.0/+24", NotANetwork::Form),
            ("192.0.2.0/24/1", NotANetwork::Form),
            ("2001:db8::/129", NotANetwork::Form),
            ("shop.example", NotANetwork::Form),
            ("192.0.2.1/24", NotANetwork::HostBits),
            ("2001:db8::1/64", NotANetwork::HostBits),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
    }
}
