//! What an audit found, as plain data. Must not know how it was found nor how it is shown.

use domain::invariants::{Finding, Invariant, Rule};
use domain::{OrderStatus, PaymentState};
use serde::Serialize;
use std::path::PathBuf;

/// The log that was audited.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuditedLog {
    /// The journal of this data directory.
    Directory(PathBuf),
    /// The log of a cluster.
    Cluster {
        /// Where in etcd it is.
        prefix: String,
        /// The revision of etcd that was read.
        revision: i64,
    },
}

/// What an audit found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Findings {
    /// The log that was audited.
    pub log: AuditedLog,
    /// The number of shards that it was made with.
    pub shards: u64,
    /// How many records were read.
    pub records: u64,
    /// How many items are on record.
    pub items: u64,
    /// The orders on record.
    pub orders: OrderCounts,
    /// Their payments on record.
    pub payments: PaymentCounts,
    /// How many messages and records were set aside, if there is a place for them.
    pub dead_letters: Option<u64>,
    /// Items on record that the catalogue does not know, if there is a catalogue: it was lost, or is older
    /// than the journal.
    pub unknown_items: Option<Vec<u64>>,
    /// What became of each invariant, in their order; before them the records' form, if it is
    /// broken.
    pub judged: Vec<Judged>,
    /// What belongs to the audit and could not be asked.
    pub unasked: Vec<Unasked>,
}

/// A store that the configuration names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The orders, with the dead letters and the catalogue beside them.
    OrderStore,
    /// The states of the shards, from which a start goes on.
    Checkpoints,
    /// The broker, with its dead letters.
    Broker,
}

impl Source {
    /// What it is called.
    pub fn words(self) -> &'static str {
        match self {
            Self::OrderStore => "the order store",
            Self::Checkpoints => "the checkpoints",
            Self::Broker => "the broker's dead letters",
        }
    }

    /// What is left open without it.
    pub fn leaves_open(self) -> &'static [Invariant] {
        match self {
            Self::OrderStore => &[Invariant::I4, Invariant::I12, Invariant::I13, Invariant::I17],
            Self::Checkpoints => &[Invariant::I9, Invariant::I11],
            Self::Broker => &[Invariant::I12],
        }
    }
}

/// A store that the configuration names and that could not be asked: other than one that is not judged
/// because nobody gave it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unasked {
    /// Which it is.
    pub source: Source,
    /// Why not, in words.
    pub why: String,
}

/// What became of one rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// The rule that was judged.
    pub rule: Rule,
    /// How many times it was judged; 0 means that this audit could not.
    pub checked: u64,
    /// How many times it did not hold.
    pub broken: u64,
    /// Where it was first broken, why it was not judged, or what is left to judge, in words.
    pub detail: Option<String>,
}

impl Findings {
    /// What became of this rule; `None` if its findings are not listed.
    pub fn of(&self, rule: impl Into<Rule>) -> Option<&Judged> {
        let rule = rule.into();
        self.judged.iter().find(|judged| judged.rule == rule)
    }
}

impl Judged {
    /// What a finding says of the rule.
    pub fn new(rule: impl Into<Rule>, finding: Finding) -> Self {
        let Finding { checked, broken, first } = finding;
        Self { rule: rule.into(), checked, broken, detail: first }
    }

    /// An invariant that this audit has no means to judge, and why.
    pub fn not_judged(invariant: Invariant, reason: &str) -> Self {
        Self::new(invariant, Finding { first: Some(reason.to_owned()), ..Finding::default() })
    }
}

/// Orders on record, by status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct OrderCounts {
    /// Bought, not paid.
    pub reserved: u64,
    /// Paid in time.
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

/// Payments on record, by state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct PaymentCounts {
    /// Begun; no money has come.
    pub started: u64,
    /// The money has come, and an order is paid by it.
    pub captured: u64,
    /// Begun, and the money will not come.
    pub failed: u64,
    /// The money has come and must go back.
    pub refund_due: u64,
    /// The money went back.
    pub refunded: u64,
}

impl PaymentCounts {
    /// Counts one more.
    pub fn add(&mut self, state: PaymentState) {
        *match state {
            PaymentState::Started => &mut self.started,
            PaymentState::Captured => &mut self.captured,
            PaymentState::Failed => &mut self.failed,
            PaymentState::RefundDue => &mut self.refund_due,
            PaymentState::Refunded => &mut self.refunded,
        } += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.started + self.captured + self.failed + self.refund_due + self.refunded
    }
}
