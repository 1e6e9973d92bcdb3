//! The lists of those who are denied and allowed: their entries, and the lists made for looking up.
//!
//! Every purchase looks into them and nearly every one finds nothing, so that is what has to be cheap: a
//! million entries cost it one line of memory for its user and one for its address. Must not know who
//! keeps the entries, nor what follows.

use super::networks::Networks;
use crate::{Address, Network, Timestamp, UserId};
use foldhash::quality::RandomState;
use hashbrown::HashSet;
use std::hash::BuildHasher;

/// What an entry of the lists is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntryKind {
    /// A user who is denied.
    DenyUser(UserId),
    /// A network whose addresses are denied.
    DenyAddress(Network),
    /// A network whose addresses no rule about addresses may hit.
    AllowAddress(Network),
}

/// Why a text is no entry.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAnEntry {
    /// There is no such list.
    #[error("must be deny_user, deny_address or allow_address")]
    List,
    /// The list has other values.
    #[error("{0}")]
    Value(String),
}

impl EntryKind {
    /// The names of the lists.
    pub const LISTS: [&'static str; 3] = ["deny_user", "deny_address", "allow_address"];

    /// Returns the list's name.
    pub fn list(self) -> &'static str {
        match self {
            Self::DenyUser(_) => Self::LISTS[0],
            Self::DenyAddress(_) => Self::LISTS[1],
            Self::AllowAddress(_) => Self::LISTS[2],
        }
    }

    /// Returns the user or network as text.
    pub fn value(self) -> String {
        match self {
            Self::DenyUser(user_id) => user_id.to_string(),
            Self::DenyAddress(network) | Self::AllowAddress(network) => network.to_string(),
        }
    }

    /// Returns the network, if it is about one.
    pub fn network(self) -> Option<Network> {
        match self {
            Self::DenyUser(_) => None,
            Self::DenyAddress(network) | Self::AllowAddress(network) => Some(network),
        }
    }

    /// Reads an entry of the list of this name.
    ///
    /// # Errors
    /// Returns [`NotAnEntry`] if there is no such list, or the value is none of it.
    pub fn read(list: &str, value: &str) -> Result<Self, NotAnEntry> {
        let network =
            || value.parse::<Network>().map_err(|error| NotAnEntry::Value(error.to_string()));
        match list {
            "deny_user" => value
                .parse()
                .map(Self::DenyUser)
                .map_err(|_| NotAnEntry::Value("must be the identity of a user".to_owned())),
            "deny_address" => network().map(Self::DenyAddress),
            "allow_address" => network().map(Self::AllowAddress),
            _ => Err(NotAnEntry::List),
        }
    }
}

/// The lists, made for looking up.
#[derive(Debug, Default)]
pub struct Lists {
    denied_users: Users,
    denied: Networks,
    allowed: Networks,
    /// When the next entry ends by itself.
    pub next_expiry: Option<Timestamp>,
}

impl Lists {
    /// Makes the lists of the entries, each with the time when it ends by itself, as they are at `now`.
    pub fn new(
        entries: impl Iterator<Item = (EntryKind, Option<Timestamp>)>,
        now: Timestamp,
    ) -> Self {
        let mut next_expiry = None;
        let (mut users, mut denied, mut allowed) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, expires_at) in entries {
            if let Some(at) = expires_at {
                if at <= now {
                    continue;
                }
                next_expiry = Some(next_expiry.map_or(at, |next: Timestamp| next.min(at)));
            }
            match kind {
                EntryKind::DenyUser(user_id) => users.push(user_id),
                EntryKind::DenyAddress(network) => denied.push(network),
                EntryKind::AllowAddress(network) => allowed.push(network),
            }
        }
        Self {
            denied_users: Users::new(&users),
            denied: Networks::new(denied),
            allowed: Networks::new(allowed),
            next_expiry,
        }
    }

    /// Whether the user is denied.
    #[inline]
    pub fn denies_user(&self, user_id: UserId) -> bool {
        self.denied_users.contain(user_id)
    }

    /// Whether the address is in a network that is denied.
    #[inline]
    pub fn denies_address(&self, address: Address) -> bool {
        self.denied.contain(address)
    }

    /// Whether the address is in a network that is allowed.
    #[inline]
    pub fn allows_address(&self, address: Address) -> bool {
        self.allowed.contain(address)
    }
}

/// Bits of the first look for each user: so few that a million of them are 1 MiB, and of those who are on
/// no list one in thirty gets past it.
const BITS_PER_USER: usize = 8;

/// Users, and a first look which most others do not get past: three bits in one word for each (a blocked
/// Bloom filter; Putze, Sanders and Singler, 2007).
#[derive(Debug, Default)]
struct Users {
    all: HashSet<UserId, RandomState>,
    /// As many words as a power of two says; none without users.
    look: Vec<u64>,
    hasher: RandomState,
}

impl Users {
    fn new(users: &[UserId]) -> Self {
        let mut made = Self { all: users.iter().copied().collect(), ..Self::default() };
        if !users.is_empty() {
            let words = (users.len() * BITS_PER_USER).div_ceil(64).next_power_of_two();
            made.look = vec![0; words];
        }
        for user_id in users {
            let (word, bits) = made.place(*user_id);
            made.look[word] |= bits;
        }
        made
    }

    #[inline]
    fn contain(&self, user_id: UserId) -> bool {
        if self.look.is_empty() {
            return false;
        }
        let (word, bits) = self.place(user_id);
        self.look[word] & bits == bits && self.all.contains(&user_id)
    }

    /// Returns the word of the first look that is this user's, and his bits there. There is one.
    #[inline]
    fn place(&self, user_id: UserId) -> (usize, u64) {
        let hash = self.hasher.hash_one(user_id);
        let word = (hash >> 32) as usize & (self.look.len() - 1);
        let bit = |part: u32| 1 << (hash >> (6 * part) & 63);
        (word, bit(0) | bit(1) | bit(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    fn entry(list: &str, value: &str) -> EntryKind {
        EntryKind::read(list, value).expect("an entry")
    }

    #[test]
    fn entries_are_read_and_end_by_themselves() {
        for (list, value) in [
            ("deny_user", "7"),
            ("deny_address", "192.0.2.0/24"),
            ("allow_address", "2001:db8::/32"),
        ] {
            let entry = entry(list, value);
            assert_eq!((entry.list(), entry.value().as_str()), (list, value));
        }
        assert_eq!(EntryKind::read("deny", "7"), Err(NotAnEntry::List));
        for (list, value) in [("deny_user", "ann"), ("deny_address", "7"), ("allow_address", "")] {
            assert!(matches!(EntryKind::read(list, value), Err(NotAnEntry::Value(_))), "{list}");
        }
        let entries = [
            (entry("deny_user", "1"), None),
            (entry("deny_user", "2"), Some(Timestamp(20))),
            (entry("deny_address", "192.0.2.0/24"), Some(Timestamp(10))),
            (entry("allow_address", "192.0.2.7"), None),
        ];
        let denied = |now| {
            let lists = Lists::new(entries.into_iter(), Timestamp(now));
            let users = [1, 2, 3].map(|user| lists.denies_user(UserId(user)));
            let inside = address("192.0.2.9");
            let allowed = lists.allows_address(address("192.0.2.7"));
            (users, lists.denies_address(inside), allowed, lists.next_expiry)
        };
        assert_eq!(denied(9), ([true, true, false], true, true, Some(Timestamp(10))));
        assert_eq!(denied(10), ([true, true, false], false, true, Some(Timestamp(20))));
        assert_eq!(denied(20), ([true, false, false], false, true, None));
    }

    #[test]
    fn users_are_found_among_any_number_and_few_others_get_past_the_first_look() {
        for count in [1, 7, 100, 20_000] {
            let listed: Vec<UserId> = (0..count).map(|number| UserId(number * 2)).collect();
            let users = Users::new(&listed);
            assert!(listed.iter().all(|user_id| users.contain(*user_id)), "{count}");
            assert!((0..count).all(|number| !users.contain(UserId(number * 2 + 1))), "{count}");
            let past = (0..20_000_u64).filter(|number| {
                let (word, bits) = users.place(UserId(number * 2 + 1));
                users.look[word] & bits == bits
            });
            assert!(past.count() < 20_000 / 10, "{count}");
        }
        assert!(!Users::new(&[]).contain(UserId(0)));
    }
}
