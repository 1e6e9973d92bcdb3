//! What the comparison found.

use std::collections::BTreeSet;

use domain::invariants::Invariant;
use serde::{Serialize, Serializer};

/// Findings of one kind are listed up to this many; the counts are always complete.
const LISTED_MAX: usize = 5;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The invariant that is broken; in JSON its number, such as `"I4"`.
    #[serde(serialize_with = "as_number")]
    pub invariant: Invariant,
    /// In words, with ids.
    pub what: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape of serialize_with")]
fn as_number<S: Serializer>(invariant: &Invariant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(invariant)
}

/// What the comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Units on sale.
    pub stock: u64,
    /// Units reserved or sold by the server's counters.
    pub sold: u64,
    /// Distinct orders told to clients.
    pub confirmed: u64,
    /// Units sold beyond the stock, by whichever view shows most.
    pub oversold: u64,
    /// Confirmed orders that the counters or the order store do not have.
    pub lost: u64,
    /// Confirmed orders that are on the engine's record, but were not in the order store
    /// when the wait for it was over.
    pub late: u64,
    /// Orders a client got beyond what the request or the limit allowed.
    pub doubled: u64,
    /// Everything that is wrong, at most a few of each kind.
    pub findings: Vec<Finding>,
    /// True if every stored order was compared; false if the store was not read.
    pub store_read: bool,
    must_sell_out: bool,
}

impl Verdict {
    /// A verdict before anything was compared.
    pub(super) fn new(store_read: bool, must_sell_out: bool) -> Self {
        Self { store_read, must_sell_out, ..Self::default() }
    }

    /// True if nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.oversold + self.lost + self.doubled == 0
    }

    /// The report's first line.
    #[must_use]
    pub fn headline(&self) -> String {
        let sold = if self.sold == self.stock {
            "sold = stock".to_owned()
        } else {
            format!("sold {} of {}", self.sold, self.stock)
        };
        let Self { oversold, lost, doubled, .. } = self;
        let mut line = format!("{sold}, oversold {oversold}, lost {lost}, doubled {doubled}");
        if self.late > 0 {
            line.push_str(&format!(", late {}", self.late));
        }
        if !self.is_clean() {
            let broken: BTreeSet<_> =
                self.findings.iter().map(|finding| finding.invariant).collect();
            let numbers: Vec<_> = broken.iter().map(Invariant::to_string).collect();
            line.push_str(&format!(" (broken: {})", numbers.join(", ")));
        }
        line
    }

    /// The engine's own audit has every confirmation on record: what the order store lacks
    /// is late and not lost. It stays a finding.
    pub fn all_are_on_record(&mut self) {
        self.late += std::mem::take(&mut self.lost);
    }

    /// Adds a finding of something that is wrong.
    pub(super) fn find(&mut self, invariant: Invariant, what: String) {
        let same = self.findings.iter().filter(|finding| finding.invariant == invariant);
        if same.count() < LISTED_MAX {
            self.findings.push(Finding { invariant, what });
        }
    }

    /// Adds a finding if an invariant's function says that it does not hold at `place`; tells
    /// whether it holds.
    pub(super) fn judge(
        &mut self,
        invariant: Invariant,
        place: &str,
        verdict: domain::invariants::Verdict,
    ) -> bool {
        let broken = verdict.err();
        let holds = broken.is_none();
        if let Some(detail) = broken {
            self.find(invariant, format!("{place}: {detail}"));
        }
        holds
    }
}
