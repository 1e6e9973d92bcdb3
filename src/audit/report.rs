//! What an audit found, as plain data. Must not know how it was found nor how it is shown.

use domain::OrderStatus;
use domain::invariants::Finding;
use serde::Serialize;
use std::path::PathBuf;

/// The invariants' numbers and what they say, in order.
pub const INVARIANTS: [(&str, &str); 16] = [
    ("I1", "allotted = available + reserved + sold, per item, at every seq"),
    ("I2", "available is never below 0"),
    ("I3", "each confirmation a client saw has exactly one record"),
    ("I4", "grants in the journal = orders in the order store, with equal content"),
    ("I5", "(shard, seq) is dense and the checksum chain holds"),
    ("I6", "no more live units per user and item than the limit"),
    ("I7", "one (user, request) has at most one order"),
    ("I8", "no reply beyond the durable watermark"),
    ("I9", "replay of checkpoint and tail = replay of all"),
    ("I10", "an order ends once; its stock returns at most once"),
    ("I11", "no checkpoint beyond what is durable"),
    ("I12", "the relay's cursor passes nothing unconfirmed or returned"),
    ("I13", "no segment is gone while an order in it is missing from the order store"),
    ("I14", "an order's price is the price in force at its seq"),
    ("I15", "no record of an older owner takes effect after a newer owner's first"),
    ("I16", "with stock left and the system healthy, a valid purchase succeeds"),
];

/// What became of one invariant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// Its number, such as `I1`.
    pub invariant: String,
    /// What it says.
    pub title: String,
    /// Whether it held wherever it was looked at.
    pub passed: bool,
    /// How many times it was looked at; 0 means that this audit could not.
    pub checked: u64,
    /// Where it was first broken, or why it was not looked at, in words.
    pub detail: Option<String>,
}

impl Check {
    /// The verdict of a finding on the invariant of this number.
    pub fn of(invariant: &str, finding: &Finding) -> Self {
        let title = INVARIANTS.iter().find(|(number, _)| *number == invariant);
        Self {
            invariant: invariant.to_owned(),
            title: title.map_or("", |(_, title)| *title).to_owned(),
            passed: finding.broken == 0,
            checked: finding.checked,
            detail: finding.first.clone(),
        }
    }

    /// An invariant that this audit has no means to judge, and why.
    pub fn not_judged(invariant: &str, reason: &str) -> Self {
        let nothing = Finding { checked: 0, broken: 0, first: Some(reason.to_owned()) };
        Self::of(invariant, &nothing)
    }
}

/// Orders on record, by status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct OrderCounts {
    /// Bought, not paid.
    pub reserved: u64,
    /// Paid.
    pub paid: u64,
    /// Given up by their buyers.
    pub cancelled: u64,
    /// Not paid in time.
    pub expired: u64,
    /// Paid when they held no stock any more.
    pub refund_due: u64,
}

impl OrderCounts {
    /// Counts one more.
    pub fn add(&mut self, status: OrderStatus) {
        *match status {
            OrderStatus::Reserved => &mut self.reserved,
            OrderStatus::Paid => &mut self.paid,
            OrderStatus::Cancelled => &mut self.cancelled,
            OrderStatus::Expired => &mut self.expired,
            OrderStatus::RefundDue => &mut self.refund_due,
        } += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.reserved + self.paid + self.cancelled + self.expired + self.refund_due
    }
}

/// What an audit found in a data directory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Shards it was made with.
    pub shards: u64,
    /// Records read.
    pub records: u64,
    /// Items on record.
    pub items: u64,
    /// Orders on record.
    pub orders: OrderCounts,
    /// Messages and records that were set aside, if there is a place for them.
    pub dead_letters: Option<u64>,
    /// One check per invariant that this audit knows of, in their order.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether nothing is broken.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}
