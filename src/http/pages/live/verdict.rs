//! How the shop is, in one sentence: what an operator should know before anything else.
//!
//! Must not know how it is shown.

use crate::http::pages::words::Words;
use domain::ItemId;

/// How the shop is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The units of these items do not sum up, or the order store counts others.
    SumsDiffer(ItemId),
    /// It does not sell.
    Refuses,
    /// Shards do not decide.
    ShardsDown(u64),
    /// It sells, and something that it depends on is away, with so many orders on their way.
    Degraded(u64),
    /// It sells so many items.
    Sells(u64),
    /// Nothing is on sale; the next sale begins in so many seconds.
    Waits(u64),
    /// Nothing is on sale, and nothing is planned.
    Idle,
}

impl Verdict {
    /// How good that is: `good`, `watch` or `bad`.
    pub fn level(&self) -> &'static str {
        match self {
            Self::SumsDiffer(_) | Self::Refuses | Self::ShardsDown(_) => "bad",
            Self::Degraded(_) => "watch",
            Self::Sells(_) | Self::Waits(_) | Self::Idle => "good",
        }
    }

    /// Says how the shop is.
    pub fn say(&self, words: Words) -> String {
        match self {
            Self::SumsDiffer(item) => words.verdict_sums_differ(&item.to_string()),
            Self::Refuses => words.verdict_refuses(),
            Self::ShardsDown(count) => words.verdict_shards_down(*count),
            Self::Degraded(backlog) => words.verdict_degraded(*backlog),
            Self::Sells(items) => words.verdict_sells(*items),
            Self::Waits(seconds) if *seconds < 120 => words.verdict_waits_seconds(*seconds),
            Self::Waits(seconds) if *seconds < 7_200 => words.verdict_waits_minutes(seconds / 60),
            Self::Waits(seconds) => words.verdict_waits_hours(seconds / 3_600),
            Self::Idle => words.verdict_idle(),
        }
    }
}
