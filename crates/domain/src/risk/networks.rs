//! Networks of addresses, made for looking up.

use crate::{Address, Network};
use std::net::{IpAddr, Ipv4Addr};

/// Bits of an address that the first look sees at least, and at most: of IPv4 the first ones, of IPv6 so
/// many mixed from its first 32.
const LOOK_BITS_MIN: u32 = 16;
const LOOK_BITS_MAX: u32 = 24;
/// How many places the first look has for each network: with more networks it has more of them.
const PLACES_PER_NETWORK: usize = 16;
/// A larger network of IPv6 is in every place.
const PLACES_OF_NETWORK_MAX: u32 = 256;

/// Networks as ranges of addresses that do not touch, and a first look which most addresses do not get
/// past.
#[derive(Debug, Default)]
pub struct Networks {
    /// The last address of each range with its first, in their order.
    ranges: Vec<(Address, Address)>,
    look: Look,
}

/// A bit for each place in which a network has an address; none without networks.
#[derive(Debug, Default)]
struct Look {
    words: Vec<u64>,
    /// How many bits of an address say its place.
    bits: u32,
}

impl Networks {
    /// Makes them of any networks, which may lie within each other.
    pub fn new(mut networks: Vec<Network>) -> Self {
        if networks.is_empty() {
            return Self::default();
        }
        networks.sort_unstable();
        let mut ranges: Vec<(Address, Address)> = Vec::with_capacity(networks.len());
        let mut look = Look::for_networks(networks.len());
        for network in networks {
            let (first, last) = network.range();
            // Networks lie within each other or apart, and the larger one is first.
            if ranges.last().is_some_and(|(end, _)| first <= *end) {
                continue;
            }
            look.mark(network);
            ranges.push((last, first));
        }
        ranges.shrink_to_fit();
        Self { ranges, look }
    }

    /// Whether the address is in one of them.
    #[inline]
    pub fn contain(&self, address: Address) -> bool {
        self.look.sees(address) && self.is_in_range(address)
    }

    fn is_in_range(&self, address: Address) -> bool {
        let next = self.ranges.partition_point(|(last, _)| *last < address);
        self.ranges.get(next).is_some_and(|(_, first)| *first <= address)
    }
}

impl Look {
    fn for_networks(count: usize) -> Self {
        let places = (count * PLACES_PER_NETWORK).next_power_of_two();
        let bits = places.ilog2().clamp(LOOK_BITS_MIN, LOOK_BITS_MAX);
        Self { words: vec![0; (1 << bits) / 64], bits }
    }

    #[inline]
    fn sees(&self, address: Address) -> bool {
        let place = match ipv4(address) {
            Some(bits) => self.place_of_ipv4(bits),
            None => self.place_of_ipv6(start(address)),
        };
        self.words.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// Marks every place in which the network has an address.
    fn mark(&mut self, network: Network) {
        let (first, last) = network.range();
        if let (Some(first), Some(last)) = (ipv4(first), ipv4(last)) {
            for place in self.place_of_ipv4(first)..=self.place_of_ipv4(last) {
                self.mark_place(place);
            }
            return;
        }
        let holds_ipv4 = network.contains(Address::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        let (first, last) = (start(first), start(last));
        if holds_ipv4 || last - first >= PLACES_OF_NETWORK_MAX {
            self.words.fill(u64::MAX);
            return;
        }
        for start in first..=last {
            self.mark_place(self.place_of_ipv6(start));
        }
    }

    fn mark_place(&mut self, place: usize) {
        self.words[place / 64] |= 1 << (place % 64);
    }

    #[inline]
    fn place_of_ipv4(&self, bits: u32) -> usize {
        (u64::from(bits) >> (u32::BITS - self.bits)) as usize
    }

    #[inline]
    fn place_of_ipv6(&self, start: u32) -> usize {
        // By the golden ratio (Knuth, The Art of Computer Programming, 6.4).
        let mixed = start.wrapping_mul(0x9E37_79B9);
        (u64::from(mixed) >> (u32::BITS - self.bits)) as usize
    }
}

/// The bits of an address of IPv4.
#[inline]
fn ipv4(address: Address) -> Option<u32> {
    address.is_ipv4().then_some(address.bits() as u32)
}

/// The first 32 bits of an address of IPv6.
#[inline]
fn start(address: Address) -> u32 {
    (address.bits() >> 96) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv6Addr;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn a_network_of_ipv6_may_hold_all_of_ipv4() {
        for network in ["::/0", "::/64", "::/80", "::fffe:0:0/95", "::ffff:0:0/96"] {
            let networks = Networks::new(vec![network.parse().expect("a network")]);
            for held in ["0.0.0.0", "192.0.2.7", "255.255.255.255"] {
                assert!(networks.contain(address(held)), "{network} {held}");
            }
        }
        let apart = Networks::new(vec!["::1:0:0:0/80".parse().expect("a network")]);
        assert!(!apart.contain(address("192.0.2.7")));
    }

    fn addresses() -> impl Strategy<Value = IpAddr> {
        // Close together, so that networks meet.
        let near = |bits: u32| bits & 0x0103_0307;
        prop_oneof![
            any::<u32>().prop_map(move |bits| IpAddr::V4(Ipv4Addr::from_bits(near(bits)))),
            any::<[u32; 4]>().prop_map(move |words| {
                let bits =
                    words.map(near).into_iter().fold(0, |all, word| all << 32 | u128::from(word));
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            }),
        ]
    }

    fn networks() -> impl Strategy<Value = Network> {
        (addresses(), 0_u8..=128).prop_map(|(address, length)| {
            let (bits, total) = match address {
                IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
                IpAddr::V6(address) => (address.to_bits(), 128),
            };
            let length = length % (total + 1);
            let kept = bits & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or_default();
            let first = match total {
                32 => IpAddr::V4(Ipv4Addr::from_bits((kept >> 96) as u32)),
                _ => IpAddr::V6(Ipv6Addr::from_bits(kept)),
            };
            format!("{first}/{length}").parse().expect("a network")
        })
    }

    #[test]
    fn the_first_look_grows_with_the_networks() {
        let networks = |count: u32| {
            let network = |number: u32| format!("{}/24", Ipv4Addr::from_bits(number << 8));
            let all = (0..count).map(|number| network(number * 2).parse().expect("a network"));
            Networks::new(all.collect())
        };
        for (count, bits) in [(1, 16), (4_096, 16), (4_097, 17), (100_000, 21), (1_100_000, 24)] {
            let networks = networks(count);
            assert_eq!((networks.look.bits, networks.ranges.len()), (bits, count as usize));
            for number in (0..count).step_by(997) {
                let of = |number: u32| Address::from(IpAddr::V4(Ipv4Addr::from_bits(number << 8)));
                assert!(networks.contain(of(number * 2)), "{number} of {count}");
                assert!(!networks.contain(of(number * 2 + 1)), "{number} of {count}");
            }
        }
    }

    proptest! {
        #[test]
        fn networks_hold_what_one_of_them_holds(
            networks in proptest::collection::vec(networks(), 0..12),
            addresses in proptest::collection::vec(addresses(), 1..60),
        ) {
            let made = Networks::new(networks.clone());
            let ends = networks.iter().flat_map(|network| {
                let (first, last) = network.range();
                [first, last]
            });
            for address in addresses.into_iter().map(Address::from).chain(ends) {
                let expected = networks.iter().any(|network| network.contains(address));
                prop_assert_eq!(made.contain(address), expected, "{}", address);
            }
        }
    }
}
