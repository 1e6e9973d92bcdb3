//! Buy tokens: the part of a guarded purchase's path that nobody can guess, bound to one buyer and one
//! item, good for one order.
//!
//! ```text
//! key day  u8    the day whose key signed it, modulo 256
//! flags    u8    0
//! nonce    u64   what the purchase's request id is made of
//! opens    u48   from when it buys, in milliseconds since 1970
//! expires  u32   until when it buys, in seconds since 1970
//! MAC      16 B  of HMAC-SHA-256 under the day's key, over a label, the 20 bytes above, the item and
//!                the buyer
//! ```
//!
//! 36 bytes, big-endian, in base64url. Nothing is stored: item and buyer come with the request, so a
//! forged token, another buyer's and another item's are the same failure. The keys of yesterday, today
//! and tomorrow count, which changes them without a state, and lets nodes be a little apart around
//! midnight. Must not know HTTP, nor when a token is asked for.

use super::auth::token::Signer;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{ItemId, RequestId, Timestamp, UserId};
use parking_lot::RwLock;
use ring::hmac;
use std::fmt;

/// The length of a token in characters.
pub const TOKEN_CHARACTERS: usize = 48;

const TOKEN_BYTES: usize = 36;
const CLAIMS_BYTES: usize = 20;
const MAC_BYTES: usize = 16;
/// With label, item and buyer: what a MAC takes in one block.
const SIGNED_BYTES: usize = 44;
const MAC_LABEL: &[u8; 8] = b"buytoken";
const KEY_LABEL: &[u8] = b"seckill buy token of day ";
const SLOT_LABEL: &[u8] = b"seckill slot of item ";
const NONCE_LABEL: &[u8] = b"seckill nonce of ";
const DAY_MILLISECONDS: u64 = 24 * 3600 * 1000;

/// What a token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuyToken {
    /// What tells it from the buyer's other tokens.
    pub nonce: u64,
    /// From when it buys.
    pub opens_at: Timestamp,
    /// From when it buys no more; whole seconds.
    pub expires_at: Timestamp,
}

/// The token was not made for this buyer and item, or too long ago.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotGood;

/// Makes tokens and tells whether they are good.
pub struct BuyTokens {
    present: DayKeys,
    previous: Option<DayKeys>,
}

impl fmt::Debug for BuyTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BuyTokens")
    }
}

impl BuyToken {
    /// The purchase's identity within its buyer's requests: the same each time the token is used.
    pub fn request_id(&self, user_id: UserId) -> RequestId {
        let digest = xxhash_rust::xxh3::xxh3_64_with_seed(&self.nonce.to_be_bytes(), user_id.0);
        RequestId(digest.max(1))
    }
}

impl BuyTokens {
    /// Makes the tokens of this signer's secrets.
    pub fn new(signer: &Signer) -> Self {
        Self {
            present: DayKeys::new(signer.clone()),
            previous: signer.previous().map(|previous| DayKeys::new(previous.clone())),
        }
    }

    /// Returns the token as text.
    pub fn issue(
        &self,
        now: Timestamp,
        token: &BuyToken,
        item_id: ItemId,
        user_id: UserId,
    ) -> String {
        let day = day_of(now);
        let mut bytes = [0; TOKEN_BYTES];
        bytes[0] = day as u8;
        bytes[2..10].copy_from_slice(&token.nonce.to_be_bytes());
        bytes[10..16].copy_from_slice(&token.opens_at.0.to_be_bytes()[2..]);
        let expires_at = u32::try_from(token.expires_at.0 / 1000).unwrap_or(u32::MAX);
        bytes[16..20].copy_from_slice(&expires_at.to_be_bytes());
        let (claims, mac) = bytes.split_at_mut(CLAIMS_BYTES);
        let tag = self.present.sign(day, day, &signed(claims, item_id, user_id));
        mac.copy_from_slice(&tag.as_ref()[..MAC_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Returns what the token says, if it was made for this buyer and item. Whether it has opened or
    /// expired is for the caller to see.
    ///
    /// # Errors
    /// Returns [`NotGood`] if it was not, or is older than its key.
    pub fn verify(
        &self,
        now: Timestamp,
        text: &str,
        item_id: ItemId,
        user_id: UserId,
    ) -> Result<BuyToken, NotGood> {
        let mut bytes = [0; TOKEN_BYTES];
        if text.len() != TOKEN_CHARACTERS
            || URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(TOKEN_BYTES)
        {
            return Err(NotGood);
        }
        let (claims, mac) = bytes.split_at(CLAIMS_BYTES);
        let today = day_of(now);
        let day = (today.saturating_sub(1)..=today + 1).find(|day| *day as u8 == claims[0]);
        let day = day.ok_or(NotGood)?;
        let signed = signed(claims, item_id, user_id);
        let is_of = |keys: &DayKeys| {
            let tag = keys.sign(today, day, &signed);
            is_equal(&tag.as_ref()[..MAC_BYTES], mac)
        };
        if !is_of(&self.present) && !self.previous.as_ref().is_some_and(is_of) {
            return Err(NotGood);
        }
        let mut opens = [0; 8];
        opens[2..].copy_from_slice(&claims[10..16]);
        let [.., a, b, c, d] = *claims else { return Err(NotGood) };
        Ok(BuyToken {
            nonce: u64::from_be_bytes(first_eight(&claims[2..10])),
            opens_at: Timestamp(u64::from_be_bytes(opens)),
            expires_at: Timestamp(u64::from(u32::from_be_bytes([a, b, c, d])) * 1000),
        })
    }

    /// Returns how long after the item's start the buyer may begin, below `spread_milliseconds`: always
    /// the same, and no buyer can tell another's.
    pub fn slot_milliseconds(
        &self,
        item_id: ItemId,
        user_id: UserId,
        spread_milliseconds: u32,
    ) -> u64 {
        if spread_milliseconds == 0 {
            return 0;
        }
        let seed = self.present.root.derive(&[SLOT_LABEL, &item_id.0.to_be_bytes()]);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &seed);
        let tag = hmac::sign(&key, &user_id.0.to_be_bytes());
        u64::from_be_bytes(first_eight(tag.as_ref())) % u64::from(spread_milliseconds)
    }

    /// Returns the nonce that belongs to `source`, such as the solution of a challenge: the same source
    /// makes the same purchase.
    pub fn nonce(&self, kind: &str, source: &[u8]) -> u64 {
        let digest = self.present.root.derive(&[NONCE_LABEL, kind.as_bytes(), b" ", source]);
        u64::from_be_bytes(first_eight(&digest))
    }
}

/// The keys of the days around one, which are made anew when that is over.
struct DayKeys {
    root: Signer,
    of: RwLock<(u64, [hmac::Key; 3])>,
}

impl DayKeys {
    fn new(root: Signer) -> Self {
        let keys = around(&root, 1);
        Self { root, of: RwLock::new((1, keys)) }
    }

    /// Signs under the key of `day`, which is `today` or next to it.
    fn sign(&self, today: u64, day: u64, message: &[u8; SIGNED_BYTES]) -> hmac::Tag {
        let place = |day: u64| (day + 1 - today) as usize;
        let kept = self.of.read();
        if kept.0 == today {
            return hmac::sign(&kept.1[place(day)], message);
        }
        drop(kept);
        let mut kept = self.of.write();
        if kept.0 != today {
            *kept = (today, around(&self.root, today));
        }
        hmac::sign(&kept.1[place(day)], message)
    }
}

/// The keys of the day before `day`, of `day`, and of the day after.
fn around(root: &Signer, day: u64) -> [hmac::Key; 3] {
    [day.saturating_sub(1), day, day + 1].map(|day| {
        let key = root.derive(&[KEY_LABEL, &day.to_be_bytes()]);
        hmac::Key::new(hmac::HMAC_SHA256, &key)
    })
}

/// The day since 1970, at least the second: so that there is one before it.
fn day_of(now: Timestamp) -> u64 {
    (now.0 / DAY_MILLISECONDS).max(1)
}

fn signed(claims: &[u8], item_id: ItemId, user_id: UserId) -> [u8; SIGNED_BYTES] {
    let mut signed = [0; SIGNED_BYTES];
    signed[..8].copy_from_slice(MAC_LABEL);
    signed[8..28].copy_from_slice(claims);
    signed[28..36].copy_from_slice(&item_id.0.to_be_bytes());
    signed[36..].copy_from_slice(&user_id.0.to_be_bytes());
    signed
}

/// Compares in a time that does not tell how far they agree.
fn is_equal(left: &[u8], right: &[u8]) -> bool {
    left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right)) == 0
}

fn first_eight(bytes: &[u8]) -> [u8; 8] {
    bytes.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);
    const ITEM: ItemId = ItemId(7);
    const USER: UserId = UserId(1_000_001);
    const TOKEN: BuyToken = BuyToken {
        nonce: 0x0123_4567_89AB_CDEF,
        opens_at: Timestamp(1_790_000_060_123),
        expires_at: Timestamp(1_790_000_360_000),
    };

    fn tokens(byte: u8) -> BuyTokens {
        BuyTokens::new(&Signer::new(&[byte; 32]).unwrap())
    }

    fn days(count: u64) -> Timestamp {
        NOW.plus_milliseconds(count * DAY_MILLISECONDS)
    }

    #[test]
    fn a_token_says_what_was_written_to_its_buyer_of_its_item_alone() {
        let node = tokens(7);
        let text = node.issue(NOW, &TOKEN, ITEM, USER);
        assert_eq!(text.len(), TOKEN_CHARACTERS);
        assert_eq!(node.verify(NOW, &text, ITEM, USER), Ok(TOKEN));
        assert_eq!(tokens(7).verify(NOW, &text, ITEM, USER), Ok(TOKEN), "another node");
        assert_eq!(node.verify(NOW, &text, ItemId(8), USER), Err(NotGood));
        assert_eq!(node.verify(NOW, &text, ITEM, UserId(1)), Err(NotGood));
        assert_eq!(tokens(8).verify(NOW, &text, ITEM, USER), Err(NotGood), "another secret");
        // Item and buyer have places of their own.
        let swapped = node.issue(NOW, &TOKEN, ItemId(USER.0), UserId(ITEM.0));
        assert_eq!(node.verify(NOW, &swapped, ITEM, USER), Err(NotGood));
    }

    #[test]
    fn each_of_its_characters_counts() {
        let node = tokens(7);
        let text = node.issue(NOW, &TOKEN, ITEM, USER);
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for place in 0..text.len() {
            for letter in alphabet {
                let mut forged = text.clone().into_bytes();
                if forged[place] == *letter {
                    continue;
                }
                forged[place] = *letter;
                let forged = String::from_utf8(forged).unwrap();
                assert_eq!(node.verify(NOW, &forged, ITEM, USER), Err(NotGood), "{place}");
            }
            assert_eq!(node.verify(NOW, &text[..place], ITEM, USER), Err(NotGood));
        }
        for text in [format!("{text}A"), format!("{text}="), "=".repeat(48), "é".repeat(24)] {
            assert_eq!(node.verify(NOW, &text, ITEM, USER), Err(NotGood), "{text}");
        }
    }

    #[test]
    fn a_key_lasts_until_the_end_of_the_next_day() {
        let node = tokens(7);
        let text = node.issue(NOW, &TOKEN, ITEM, USER);
        assert_eq!(node.verify(days(1), &text, ITEM, USER), Ok(TOKEN));
        for count in [2, 255, 256, 257] {
            assert_eq!(node.verify(days(count), &text, ITEM, USER), Err(NotGood), "{count} days");
        }
        // A node whose clock is behind over midnight.
        let early = Timestamp(NOW.0 - DAY_MILLISECONDS);
        assert_eq!(node.verify(early, &text, ITEM, USER), Ok(TOKEN));
        assert_eq!(node.verify(NOW, &text, ITEM, USER), Ok(TOKEN), "and back");
    }

    #[test]
    fn the_secret_of_before_still_counts() {
        let old = tokens(7).issue(NOW, &TOKEN, ITEM, USER);
        let signer = Signer::new(&[8; 32]).unwrap().with_previous(&[7; 32]).unwrap();
        let node = BuyTokens::new(&signer);
        assert_eq!(node.verify(NOW, &old, ITEM, USER), Ok(TOKEN));
        let new = node.issue(NOW, &TOKEN, ITEM, USER);
        assert_eq!(tokens(7).verify(NOW, &new, ITEM, USER), Err(NotGood));
    }

    #[test]
    fn slots_are_fixed_spread_and_each_items_own() {
        let node = tokens(7);
        let slot = |item, user| node.slot_milliseconds(ItemId(item), UserId(user), 2_000);
        assert_eq!(slot(1, 1), tokens(7).slot_milliseconds(ItemId(1), UserId(1), 2_000));
        assert!((0..64).any(|user| slot(1, user) != slot(2, user)));
        assert_eq!(node.slot_milliseconds(ItemId(1), UserId(1), 0), 0);
        assert_eq!(node.slot_milliseconds(ItemId(1), UserId(1), 1), 0);
        let mut quarters = [0; 4];
        for user in 0..4_000 {
            quarters[(slot(1, user) / 500) as usize] += 1;
        }
        assert!(quarters.iter().all(|count| (850..1_150).contains(count)), "{quarters:?}");
    }

    #[test]
    fn the_same_source_makes_the_same_purchase() {
        let node = tokens(7);
        assert_eq!(node.nonce("key", b"a"), tokens(7).nonce("key", b"a"));
        assert_ne!(node.nonce("key", b"a"), node.nonce("key", b"b"));
        assert_ne!(node.nonce("key", b"a"), node.nonce("proof", b"a"));
        assert_ne!(TOKEN.request_id(USER), TOKEN.request_id(UserId(1)));
        let other = BuyToken { nonce: TOKEN.nonce + 1, ..TOKEN };
        assert_ne!(TOKEN.request_id(USER), other.request_id(USER));
    }
}
