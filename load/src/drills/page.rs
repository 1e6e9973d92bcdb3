//! The page of a run of drills, as data: what became of each.

use std::time::Duration;

use serde::Serialize;

use super::drill::Drill;
use super::evidence::{Evidence, judge};
use crate::report::Judged;
use crate::stage::Machine;
use crate::{Error, Result};

/// How a drill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All that it wants holds.
    Passed,
    /// Something does not, or the shop could not be asked.
    Failed,
    /// It was not carried out.
    Skipped,
}

impl Ending {
    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A drill and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its number or name.
    pub id: &'static str,
    /// What was broken.
    pub name: &'static str,
    /// What it has to show.
    pub passes: &'static str,
    /// How it is carried out.
    pub carried: &'static str,
    /// How it ended.
    pub ending: Ending,
    /// Why it was skipped or could not be judged; empty otherwise.
    pub reason: String,
    /// Each criterion with what was found.
    pub criteria: Vec<Judged>,
    /// Distinct orders that clients were told of.
    pub confirmed: u64,
    /// Of those, the ones that are not on record.
    pub missing: u64,
    /// Orders beyond what was asked for or allowed.
    pub doubled: u64,
    /// From the repair until a valid purchase succeeded, in seconds; none if none did.
    pub sells_again_seconds: Option<f64>,
    /// How long the drill took, in seconds.
    pub seconds: f64,
}

impl Row {
    /// A drill that was not carried out, and why.
    #[must_use]
    pub fn skipped(drill: &Drill, reason: impl Into<String>) -> Self {
        Self {
            id: drill.id,
            name: drill.name,
            passes: drill.passes,
            carried: drill.carried.words(),
            ending: Ending::Skipped,
            reason: reason.into(),
            criteria: Vec::new(),
            confirmed: 0,
            missing: 0,
            doubled: 0,
            sells_again_seconds: None,
            seconds: 0.0,
        }
    }

    /// A drill that was carried out: its evidence is judged here. What is not there on this machine skips it,
    /// and whatever else went wrong fails it.
    #[must_use]
    pub fn of(drill: &Drill, found: Result<Evidence>, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        let base = Self { seconds, ..Self::skipped(drill, "") };
        match found {
            Err(error @ Error::Missing { .. }) => Self { reason: error.to_string(), ..base },
            Err(error) => Self { ending: Ending::Failed, reason: error.to_string(), ..base },
            Ok(evidence) => {
                let criteria = judge(&evidence);
                let holds = criteria.iter().all(|judged| judged.holds);
                let ending = if holds { Ending::Passed } else { Ending::Failed };
                let verdict = &evidence.verdict;
                Self {
                    ending,
                    confirmed: verdict.confirmed,
                    missing: verdict.lost + verdict.late,
                    doubled: verdict.doubled,
                    sells_again_seconds: evidence.sells_again.map(|after| after.as_secs_f64()),
                    criteria,
                    ..base
                }
            }
        }
    }

    /// Whether there is something to tell of confirmations.
    #[must_use]
    pub fn was_judged(&self) -> bool {
        !self.criteria.is_empty()
    }

    /// How many confirmations are on record.
    #[must_use]
    pub fn on_record(&self) -> String {
        if !self.was_judged() {
            return String::new();
        }
        let on_record = self.confirmed.saturating_sub(self.missing);
        format!("{on_record} of {}", self.confirmed)
    }

    /// That nothing is doubled, or how much is.
    #[must_use]
    pub fn doubles(&self) -> String {
        if self.was_judged() { self.doubled.to_string() } else { String::new() }
    }

    /// After how long it sold again.
    #[must_use]
    pub fn sells_again(&self) -> String {
        match self.sells_again_seconds {
            Some(seconds) => format!("{seconds:.1} s"),
            None if self.was_judged() => "never".to_owned(),
            None => String::new(),
        }
    }
}

/// A run of drills.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// True if no drill failed.
    pub passed: bool,
    /// What all of them began from.
    pub seed: u64,
    /// The engine's program.
    pub program: String,
    /// The machine, the commit and the time.
    pub machine: Machine,
    /// The drills, in the order of the table.
    pub rows: Vec<Row>,
}

impl Page {
    /// How many ended so.
    #[must_use]
    pub fn count(&self, ending: Ending) -> usize {
        self.rows.iter().filter(|row| row.ending == ending).count()
    }

    /// The page's first line.
    #[must_use]
    pub fn headline(&self) -> String {
        let [passed, failed, skipped] =
            [Ending::Passed, Ending::Failed, Ending::Skipped].map(|ending| self.count(ending));
        format!("{passed} drills passed, {failed} failed, {skipped} skipped")
    }
}
