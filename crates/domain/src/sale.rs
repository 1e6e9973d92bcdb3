//! What is on sale: an item's terms, its phase and its three counters.

use crate::admission::Admission;
use crate::buckets::Buckets;
use crate::ids::{ItemId, SaleId, ShardId, Timestamp};
use std::fmt;

/// An ISO 4217 currency code, three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The renminbi (人民币).
    pub const CNY: Self = Self(*b"CNY");

    /// The code in `text`, if it is three upper-case ASCII letters.
    pub fn parse(text: &str) -> Option<Self> {
        let code: [u8; 3] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }

    /// How many digits of an amount in minor units stand behind the point, by ISO 4217: 0 for the yen,
    /// 3 for Kuwait's dinar, and 2 for most.
    pub fn exponent(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG"
            | b"RWF" | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }

    /// An amount in minor units as people write it, such as `19.99 CNY`.
    pub fn format(self, amount: u64) -> String {
        let unit = 10_u64.pow(self.exponent());
        let (whole, part) = (amount / unit, amount % unit);
        match self.exponent() as usize {
            0 => format!("{whole} {self}"),
            digits => format!("{whole}.{part:0digits$} {self}"),
        }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a code is made of ASCII letters only")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The most units that one buyer may be allowed of one item.
pub const LIMIT_PER_USER_MAX: u16 = 10_000;
/// The largest allotment of one item.
pub const ALLOTTED_MAX: u32 = 1_000_000_000;
/// The largest price, in minor units: an order's amount stays far inside 2^63.
pub const PRICE_MAX: u64 = 1_000_000_000_000;
/// The largest amount of an order, in minor units: an integer that JavaScript holds exactly, 2^53 - 1.
pub const AMOUNT_MAX: u64 = (1 << 53) - 1;
/// Orders beyond its limit that one buyer may place for one item, having cancelled the others:
/// bounds the chain of a buyer's orders, and with it the work of one purchase.
pub const SPARE_ATTEMPTS: u16 = 100;
/// The longest payment window: thirty days.
pub const PAYMENT_WINDOW_MILLISECONDS_MAX: u64 = 30 * 24 * 3600 * 1000;
/// The longest product id, in bytes.
pub const PRODUCT_ID_LENGTH_MAX: usize = 64;

/// What the buy path must know of an item: fixed when the item is preheated into its shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemTerms {
    /// The item's number.
    pub item_id: ItemId,
    /// The sale that it belongs to.
    pub sale_id: SaleId,
    /// The product, which names the owner on the ring: 1 to 64 bytes.
    pub product_id: Box<str>,
    /// Price of one unit in minor units of `currency`.
    pub price: u64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// Units on sale at the start.
    pub allotted: u32,
    /// Live units one buyer may hold.
    pub limit_per_user: u16,
    /// How long an order may stay unpaid.
    pub payment_window_milliseconds: u64,
    /// First instant at which a purchase can succeed.
    pub starts_at: Timestamp,
    /// First instant at which none can any more.
    pub ends_at: Timestamp,
    /// How it is guarded when it is opened. Operators may change that later, and this stays.
    pub admission: Admission,
    /// Where its units are if several shards sell them.
    pub buckets: Buckets,
}

/// What operators have made of an item; whether it is live also depends on the clock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ItemPhase {
    /// Sells within its window.
    Open = 1,
    /// Stopped for the moment.
    Paused = 2,
    /// Stopped for good.
    Ended = 3,
}

impl ItemPhase {
    /// The phase of this number, which is how checkpoints keep it.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Open, Self::Paused, Self::Ended].into_iter().find(|phase| *phase as u8 == number)
    }
}

/// The three counters of an item and their sum (I1: allotted = available + reserved + sold).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ItemCounters {
    /// Units put on sale, restocks included.
    pub allotted: u32,
    /// Units that can be bought (可售).
    pub available: u32,
    /// Units bought and not yet paid (锁定).
    pub reserved: u32,
    /// Units paid (已售).
    pub sold: u32,
}

impl ItemTerms {
    /// How long the item sells, in milliseconds.
    pub fn window_milliseconds(&self) -> u64 {
        self.ends_at.0.saturating_sub(self.starts_at.0)
    }

    /// The counters of an item that has sold nothing.
    pub fn counters(&self) -> ItemCounters {
        ItemCounters { allotted: self.allotted, available: self.allotted, reserved: 0, sold: 0 }
    }

    /// The counters that the item has at first in a shard; none if it has several buckets, and none of them
    /// there.
    pub fn counters_in(&self, shard: ShardId) -> Option<ItemCounters> {
        if self.buckets.is_one() {
            return Some(self.counters());
        }
        let allotted = self.buckets.share(self.allotted, self.buckets.number_in(shard)?);
        Some(ItemCounters { allotted, available: allotted, reserved: 0, sold: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_the_currency_has_them() {
        for (code, amount, text) in [
            ("CNY", 199_900, "1999.00 CNY"),
            ("CNY", 5, "0.05 CNY"),
            ("JPY", 1_200, "1200 JPY"),
            ("KWD", 1_234_567, "1234.567 KWD"),
            ("CLF", 10_001, "1.0001 CLF"),
        ] {
            let currency = Currency::parse(code).expect("a code");
            assert_eq!(currency.format(amount), text);
        }
    }
}
