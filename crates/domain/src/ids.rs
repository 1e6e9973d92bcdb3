//! Identities and instants: small copyable numbers that cannot be mistaken for one another.
//!
//! Owns their text form (decimal strings, because JavaScript loses integers past 2^53). Must not
//! know who hands them out.

use std::fmt;
use std::str::FromStr;

/// Declares a 64-bit identity whose text form is its decimal number.
macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_decimal(text).map(Self)
            }
        }
    };
}

identity!(
    /// A buyer. Never taken from a request's body, only from a verified token.
    UserId
);
identity!(
    /// A sale (场次): a time window with items.
    SaleId
);
identity!(
    /// An item: one product in one sale.
    ItemId
);
identity!(
    /// A digest of the client's `Idempotency-Key`, scoped to one buyer: two keys of one buyer share
    /// it with probability 2^-64, and keys of different buyers are never compared.
    RequestId
);
identity!(
    /// An order: 41 bits of milliseconds since 2024-01-01, 10 of shard, 12 of sequence, so that any
    /// node finds an order's owner without a look-up. Strictly increasing within a shard.
    OrderId
);

/// The text is not a decimal number of 64 bits without sign or leading zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a decimal identity")]
pub struct InvalidId;

fn parse_decimal(text: &str) -> Result<u64, InvalidId> {
    let canonical = text == "0" || !text.starts_with('0');
    if !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidId);
    }
    text.parse().map_err(|_| InvalidId)
}

/// A shard's number, 0 to [`ShardId::COUNT_MAX`] - 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ShardId(pub u16);

impl ShardId {
    /// As many shards as an order id has room for.
    pub const COUNT_MAX: u16 = 1 << SHARD_BITS;

    /// The shard's place in a list of all shards.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The latest instant that has a four-digit year: 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The instant `milliseconds` later, saturating.
    #[must_use]
    pub fn plus_milliseconds(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

/// 2024-01-01T00:00:00Z in milliseconds since 1970: where the clock of order ids begins.
const ORDER_EPOCH_MILLISECONDS: u64 = 1_704_067_200_000;
const SEQUENCE_BITS: u32 = 12;
const SHARD_BITS: u32 = 10;
const SEQUENCE_MAX: u64 = (1 << SEQUENCE_BITS) - 1;

impl OrderId {
    /// The next identity of `shard` after `last` (0 if there is none) at `now`.
    ///
    /// A shard that hands out more than 4,096 in a millisecond borrows from the next one, and a
    /// clock that stands still or goes back never makes a smaller or an equal identity.
    #[must_use]
    pub fn next(last: Self, shard: ShardId, now: Timestamp) -> Self {
        let now_milliseconds = now.0.saturating_sub(ORDER_EPOCH_MILLISECONDS);
        let last_milliseconds = last.0 >> (SHARD_BITS + SEQUENCE_BITS);
        let (milliseconds, sequence) = if now_milliseconds > last_milliseconds {
            (now_milliseconds, 0)
        } else if last.0 & SEQUENCE_MAX < SEQUENCE_MAX {
            (last_milliseconds, (last.0 & SEQUENCE_MAX) + 1)
        } else {
            (last_milliseconds + 1, 0)
        };
        Self(
            (milliseconds << (SHARD_BITS + SEQUENCE_BITS))
                | (u64::from(shard.0) << SEQUENCE_BITS)
                | sequence,
        )
    }

    /// The lowest identity of an order that is placed at this instant or later, whichever its shard.
    #[must_use]
    pub fn first_at(at: Timestamp) -> Self {
        const MILLISECONDS_MAX: u64 = u64::MAX >> (SHARD_BITS + SEQUENCE_BITS);
        let milliseconds = at.0.saturating_sub(ORDER_EPOCH_MILLISECONDS).min(MILLISECONDS_MAX);
        Self(milliseconds << (SHARD_BITS + SEQUENCE_BITS))
    }

    /// The shard that decides this order's life.
    #[must_use]
    pub fn shard(self) -> ShardId {
        let mask = u64::from(ShardId::COUNT_MAX - 1);
        // The mask leaves ten bits, which fit.
        ShardId(((self.0 >> SEQUENCE_BITS) & mask) as u16)
    }

    /// When the order was placed.
    #[must_use]
    pub fn created_at(self) -> Timestamp {
        Timestamp((self.0 >> (SHARD_BITS + SEQUENCE_BITS)) + ORDER_EPOCH_MILLISECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    #[test]
    fn order_ids_carry_shard_and_time() {
        let id = OrderId::next(OrderId(0), ShardId(777), NOW);
        assert_eq!(id.shard(), ShardId(777));
        assert_eq!(id.created_at(), NOW);
    }

    #[test]
    fn the_orders_of_a_time_begin_with_its_first_identity() {
        let at = Timestamp(1_790_000_000_000);
        let first = OrderId::first_at(at);
        assert!(first <= OrderId::next(OrderId(0), ShardId(0), at));
        assert!(first > OrderId::next(OrderId(0), ShardId(1_023), Timestamp(at.0 - 1)));
        assert_eq!(first.created_at(), at);
        assert_eq!(OrderId::first_at(Timestamp(0)), OrderId(0));
        assert!(OrderId::first_at(Timestamp(u64::MAX)) > first);
    }

    #[test]
    fn order_ids_grow_through_a_burst_and_a_clock_that_goes_back() {
        let mut last = OrderId(0);
        for step in 0..20_000_u64 {
            let now = Timestamp(NOW.0 - step % 3_000);
            let next = OrderId::next(last, ShardId(3), now);
            assert!(next > last && next.shard() == ShardId(3), "step {step}");
            last = next;
        }
    }

    #[test]
    fn only_canonical_decimals_are_identities() {
        for text in ["", "-1", "+1", "01", "1e3", "18446744073709551616", " 1", "１"] {
            assert_eq!(text.parse::<ItemId>(), Err(InvalidId), "{text:?}");
        }
        assert_eq!("18446744073709551615".parse(), Ok(ItemId(u64::MAX)));
        assert_eq!("0".parse(), Ok(ItemId(0)));
    }
}
