//! Sales as everybody may see them: approved, and without who wrote and judged them.
//!
//! The form in which sales are listed, cached and shown. Counters are not part of it; they change
//! with each purchase. Neither is whether a sale is live: that is the clock's to say.

use super::{Sale, SaleItem};
use domain::{Currency, ItemId, ItemTerms, SaleId, SaleStatus, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Statuses of the sales that everybody may see. No step leads out of them.
pub const PUBLIC_STATUSES: [SaleStatus; 4] =
    [SaleStatus::Approved, SaleStatus::Preheated, SaleStatus::Ended, SaleStatus::Settled];

/// A sale as everybody may see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublicSale {
    /// The sale.
    #[serde(with = "text")]
    pub sale_id: SaleId,
    /// Its title.
    pub title: String,
    /// How far it has come: one of [`PUBLIC_STATUSES`].
    #[serde(with = "status")]
    pub status: SaleStatus,
    /// First instant at which it sells.
    #[serde(with = "milliseconds")]
    pub starts_at: Timestamp,
    /// First instant at which it sells no more.
    #[serde(with = "milliseconds")]
    pub ends_at: Timestamp,
    /// Its items, in their order of display.
    pub items: Vec<PublicItem>,
}

/// An item of a sale, without its counters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublicItem {
    /// The item.
    #[serde(with = "text")]
    pub item_id: ItemId,
    /// The product, of which a sale has one item.
    pub product_id: String,
    /// Its title.
    pub title: String,
    /// Price of one unit in minor units of `currency`.
    pub price: u64,
    /// What it costs outside the sale.
    pub list_price: Option<u64>,
    /// ISO 4217 code.
    #[serde(with = "currency")]
    pub currency: Currency,
    /// Units on sale.
    pub allotted: u32,
    /// Units one buyer may hold.
    pub limit_per_user: u16,
    /// How long an order may stay unpaid.
    pub payment_window_milliseconds: u64,
}

/// The sales of one day.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SalesOfDay {
    /// By their start; at most [`super::SALES_PAGE_MAX`].
    pub sales: Vec<PublicSale>,
    /// Whether the day has more than those.
    pub has_more: bool,
}

impl Sale {
    /// The sale as everybody may see it, if they may.
    pub fn public(&self) -> Option<PublicSale> {
        PUBLIC_STATUSES.contains(&self.status).then(|| PublicSale {
            sale_id: self.sale_id,
            title: self.title.clone(),
            status: self.status,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            items: self.items.iter().map(PublicItem::from).collect(),
        })
    }
}

impl From<&SaleItem> for PublicItem {
    fn from(item: &SaleItem) -> Self {
        let offer = &item.offer;
        Self {
            item_id: item.item_id,
            product_id: offer.product_id.clone(),
            title: offer.title.clone(),
            price: offer.price,
            list_price: offer.list_price,
            currency: offer.currency,
            allotted: offer.allotted,
            limit_per_user: offer.limit_per_user,
            payment_window_milliseconds: offer.payment_window_milliseconds,
        }
    }
}

impl PublicSale {
    /// The item's terms, as they were approved.
    pub fn terms(&self, item: &PublicItem) -> ItemTerms {
        ItemTerms {
            item_id: item.item_id,
            sale_id: self.sale_id,
            product_id: item.product_id.as_str().into(),
            price: item.price,
            currency: item.currency,
            allotted: item.allotted,
            limit_per_user: item.limit_per_user,
            payment_window_milliseconds: item.payment_window_milliseconds,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
        }
    }
}

const DAY_MILLISECONDS: u64 = 86_400_000;

/// A calendar day in UTC from 1970 to 9999, written `YYYY-MM-DD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day {
    /// Days since 1970-01-01.
    number: u64,
}

impl Day {
    /// The day of this instant.
    pub fn of(instant: Timestamp) -> Self {
        Self { number: instant.min(Timestamp::MAX).0 / DAY_MILLISECONDS }
    }

    /// From its first instant to the next day's.
    pub fn window(self) -> Range<Timestamp> {
        let start = Timestamp(self.number * DAY_MILLISECONDS);
        start..start.plus_milliseconds(DAY_MILLISECONDS)
    }

    /// How many days lie between this day and another, whichever is earlier.
    pub fn distance(self, other: Self) -> u64 {
        self.number.abs_diff(other.number)
    }
}

/// The first day.
const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = i64::try_from(self.number).unwrap_or(i64::MAX);
        let date = EPOCH.saturating_add(jiff::SignedDuration::from_hours(days.saturating_mul(24)));
        fmt::Display::fmt(&date, formatter)
    }
}

/// The text is no day from 1970 to 9999 in the form `YYYY-MM-DD`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a day of the form YYYY-MM-DD from 1970 on")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let date: jiff::civil::Date = text.parse().map_err(|_| NotADay)?;
        let milliseconds = date.duration_since(EPOCH).as_millis();
        let instant = Timestamp(u64::try_from(milliseconds).map_err(|_| NotADay)?);
        let day = Self::of(instant);
        // jiff also takes other forms of a date.
        if day.to_string() == text { Ok(day) } else { Err(NotADay) }
    }
}

/// Identities in JSON: decimal strings.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::fmt::Display;
    use std::str::FromStr;

    pub fn serialize<Id: Display, To: Serializer>(id: &Id, to: To) -> Result<To::Ok, To::Error> {
        to.collect_str(id)
    }

    pub fn deserialize<'de, Id, From>(from: From) -> Result<Id, From::Error>
    where
        Id: FromStr<Err: Display>,
        From: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// Instants in JSON: milliseconds since 1970.
mod milliseconds {
    use domain::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<To: Serializer>(at: &Timestamp, to: To) -> Result<To::Ok, To::Error> {
        to.serialize_u64(at.0)
    }

    pub fn deserialize<'de, From: Deserializer<'de>>(from: From) -> Result<Timestamp, From::Error> {
        u64::deserialize(from).map(Timestamp)
    }
}

/// Statuses in JSON: their names.
mod status {
    use domain::SaleStatus;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<To: Serializer>(status: &SaleStatus, to: To) -> Result<To::Ok, To::Error> {
        to.serialize_str(status.name())
    }

    pub fn deserialize<'de, From: Deserializer<'de>>(
        from: From,
    ) -> Result<SaleStatus, From::Error> {
        let name = String::deserialize(from)?;
        SaleStatus::from_name(&name).ok_or_else(|| de::Error::custom("not a sale's status"))
    }
}

/// Currencies in JSON: their codes.
mod currency {
    use domain::Currency;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<To: Serializer>(currency: &Currency, to: To) -> Result<To::Ok, To::Error> {
        to.serialize_str(currency.as_str())
    }

    pub fn deserialize<'de, From: Deserializer<'de>>(from: From) -> Result<Currency, From::Error> {
        let code = String::deserialize(from)?;
        Currency::parse(&code).ok_or_else(|| de::Error::custom("not a currency code"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_utc() {
        for (instant, text) in [
            (0, "1970-01-01"),
            (86_399_999, "1970-01-01"),
            (86_400_000, "1970-01-02"),
            (1_709_251_199_999, "2024-02-29"),
            (u64::MAX, "9999-12-31"),
        ] {
            let day = Day::of(Timestamp(instant));
            assert_eq!(day.to_string(), text);
            assert_eq!(text.parse(), Ok(day));
            assert!(day.window().contains(&Timestamp(instant).min(Timestamp::MAX)), "{text}");
        }
    }

    #[test]
    fn a_day_has_one_form() {
        for text in [
            "",
            "2024-2-29",
            "20240229",
            "2023-02-29",
            "1969-12-31",
            "-0001-01-01",
            "10000-01-01",
            "2024-02-29T00:00:00",
            "2024-02-29 ",
            "today",
        ] {
            assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
        }
    }
}
