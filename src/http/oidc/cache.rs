//! Tokens of another issuer that were verified, so that a buyer who sends one with each request costs a
//! signature and a look at the database once.
//!
//! Of fixed size: one more takes the place of the one in its set that ends first. A token is known by its
//! SHA-256, because who is found here is believed. Must not know how a token is verified.

use domain::{Timestamp, UserId};
use parking_lot::Mutex;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// Tokens of one set, which share a lock.
const WAYS: usize = 8;
/// With so many sets there is room for 65,536 tokens.
const SETS: usize = 8_192;

/// A token's digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint([u8; SHA256_OUTPUT_LEN]);

impl Fingerprint {
    /// Returns the digest of a token.
    pub fn of(token: &str) -> Self {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }

    fn set(self) -> usize {
        usize::from(u16::from_be_bytes([self.0[0], self.0[1]])) % SETS
    }
}

/// A token that was verified. One whose time is 0 is none.
#[derive(Clone, Copy, Debug)]
struct Known {
    fingerprint: Fingerprint,
    user_id: UserId,
    /// The generation of the keys that verified it.
    generation: u64,
    /// The first second in which it is not accepted any more.
    ends_at_seconds: u64,
}

const NONE: Known = Known {
    fingerprint: Fingerprint([0; SHA256_OUTPUT_LEN]),
    user_id: UserId(0),
    generation: 0,
    ends_at_seconds: 0,
};

/// Tokens that were verified.
pub struct VerifiedTokens(Box<[Mutex<[Known; WAYS]>]>);

impl VerifiedTokens {
    /// No tokens yet, and room for all that there will be.
    pub fn new() -> Self {
        Self((0..SETS).map(|_| Mutex::new([NONE; WAYS])).collect())
    }

    /// Returns the buyer whose token this is, if keys of this generation verified it and it has not ended.
    pub fn find(&self, token: Fingerprint, generation: u64, now: Timestamp) -> Option<UserId> {
        let set = self.0[token.set()].lock();
        let known = set.iter().find(|known| known.fingerprint == token)?;
        let is_good = known.generation == generation && now.0 / 1000 < known.ends_at_seconds;
        is_good.then_some(known.user_id)
    }

    /// Remembers a token that keys of this generation verified, until that second.
    pub fn insert(
        &self,
        token: Fingerprint,
        user_id: UserId,
        generation: u64,
        ends_at_seconds: u64,
    ) {
        let known = Known { fingerprint: token, user_id, generation, ends_at_seconds };
        let mut set = self.0[token.set()].lock();
        let place = set.iter().position(|other| other.fingerprint == token).unwrap_or_else(|| {
            // What earlier keys verified counts for nothing.
            let ends = |known: &Known| {
                if known.generation == generation { known.ends_at_seconds } else { 0 }
            };
            (0..WAYS).min_by_key(|place| ends(&set[*place])).unwrap_or_default()
        });
        set[place] = known;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const TOKENS_MAX: usize = WAYS * SETS;

    #[test]
    fn a_token_is_known_until_it_ends_or_the_keys_change() {
        let tokens = VerifiedTokens::new();
        let token = Fingerprint::of("a.b.c");
        assert_eq!(tokens.find(token, 1, NOW), None);
        tokens.insert(token, UserId(7), 1, 1_001);
        assert_eq!(tokens.find(token, 1, NOW), Some(UserId(7)));
        assert_eq!(tokens.find(Fingerprint::of("a.b.d"), 1, NOW), None);
        assert_eq!(tokens.find(token, 1, NOW.plus_milliseconds(999)), Some(UserId(7)));
        assert_eq!(tokens.find(token, 1, NOW.plus_milliseconds(1_000)), None);
        assert_eq!(tokens.find(token, 2, NOW), None, "other keys have not verified it");
        tokens.insert(token, UserId(7), 2, 1_001);
        assert_eq!(tokens.find(token, 2, NOW), Some(UserId(7)));
        assert_eq!(tokens.find(token, 1, NOW), None);
    }

    #[test]
    fn no_crowd_makes_it_larger_and_all_that_fit_are_known() {
        let tokens = VerifiedTokens::new();
        let token = |number: u64| Fingerprint::of(&number.to_string());
        let crowd = 4 * TOKENS_MAX as u64;
        for number in 0..crowd {
            tokens.insert(token(number), UserId(number), 1, 2_000 + number);
        }
        let known = |number: &u64| tokens.find(token(*number), 1, NOW) == Some(UserId(*number));
        let found = (0..crowd).filter(known).count();
        // With four times as many as there is room for, no set has a free place.
        assert_eq!(found, TOKENS_MAX);
        // Those that end last stayed.
        let late = (crowd - 1_000..crowd).filter(known).count();
        assert!(late > 990, "{late}");
        // Other keys: a new one takes the place of what they have not verified.
        tokens.insert(token(crowd), UserId(crowd), 2, 1_001);
        assert_eq!(tokens.find(token(crowd), 2, NOW), Some(UserId(crowd)));
    }
}
