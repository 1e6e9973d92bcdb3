//! The report of a run as data: everything a reader needs to believe or doubt it.

use serde::Serialize;

use super::judged::Judged;
use crate::audit::{ItemStanding, Verdict};
use crate::outcome::Class;
use crate::run::{EngineAudit, Mark};
use crate::scenario::Scenario;
use crate::stage::{Backlog, Drain, Machine, Sample};

/// Everything about a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The first line: sold, oversold, lost, doubled.
    pub headline: String,
    /// True if the audits and every criterion hold.
    pub passed: bool,
    /// What was run.
    pub scenario: Scenario,
    /// The machine, the commit and the time of the run.
    pub machine: Machine,
    /// Each criterion with what was found.
    pub criteria: Vec<Judged>,
    /// The comparison of the three views.
    pub audit: Verdict,
    /// The engine's own audit of its data directory.
    pub engine_audit: Option<EngineAudit>,
    /// What could not be looked at.
    pub notes: Vec<String>,
    /// The server's counters at the end.
    pub standings: Vec<ItemStanding>,
    /// Counts by outcome, those that occurred.
    pub outcomes: Vec<OutcomeCount>,
    /// What the generator did and how well it kept its schedule.
    pub generator: GeneratorFigures,
    /// Percentiles from the intended start: of all requests, of purchases granted and refused, and
    /// of what readers looked at.
    pub latency: [Percentiles; 4],
    /// Points in the run.
    pub milestones: Milestones,
    /// The run second by second.
    pub timeline: Vec<TimelineRow>,
    /// Faults as they happened.
    pub marks: Vec<Mark>,
    /// The server's memory and processors, each second.
    pub server: Vec<Sample>,
    /// The generator's memory and processors, each second.
    pub generator_samples: Vec<Sample>,
    /// How far the order store was behind, each second.
    pub backlog: Vec<Backlog>,
    /// How the longest backlog was worked off while the load ran.
    pub drain: Option<Drain>,
    /// Share of the stock that was confirmed to buyers who came by the page.
    pub honest_share: f64,
    /// Distinct orders that each of several nodes has decided, by the owners of shards when the load began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<u64>,
    /// How many calls several nodes have answered each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handed_on: Option<u64>,
}

/// How often one outcome occurred.
#[derive(Debug, Clone, Serialize)]
pub struct OutcomeCount {
    /// The API's code, or the generator's word.
    pub name: &'static str,
    /// The outcome's class.
    pub class: Class,
    /// How often it occurred.
    pub count: u64,
    /// Share of all requests that ended.
    pub share: f64,
}

/// What the generator did.
#[derive(Debug, Clone, Serialize)]
pub struct GeneratorFigures {
    /// Open or closed loop.
    pub kind: String,
    /// How many connections it had.
    pub connections: u32,
    /// Threads, on the machine of the server.
    pub threads: u32,
    /// Seconds from the first intended request to the last answer.
    pub seconds: f64,
    /// Requests that were due.
    pub offered: u64,
    /// Of those, repeats by clients without a definite answer.
    pub repeats: u64,
    /// Clients that ran out of patience without a definite answer.
    pub given_up: u64,
    /// Of the offered ones, never sent because the generator's own queue was full or time was up.
    pub not_offered: u64,
    /// Answers of the server.
    pub answered: u64,
    /// Requests a second that were due during the schedule.
    pub offered_per_second: f64,
    /// Answers a second until the last one.
    pub achieved_per_second: f64,
    /// The generator noticed due requests so late: p50, p99, p99.9 and worst, in
    /// milliseconds.
    pub lateness_ms: [f64; 4],
    /// Most requests that waited for a free connection.
    pub waiting_max: u64,
    /// Processors the generator used on average.
    pub processors: f64,
}

/// A latency distribution in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Percentiles {
    /// The requests whose latency it is.
    pub of: &'static str,
    /// How many requests those are.
    pub count: u64,
    /// The 50th percentile, the median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The 99.99th percentile.
    pub p9999: f64,
    /// The worst of all.
    pub max: f64,
    /// Points of the whole distribution: (quantile, milliseconds).
    pub spectrum: Vec<(f64, f64)>,
}

/// Moments of the run in milliseconds; absent if they did not come.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Milestones {
    /// From opening until as many orders were confirmed as there were units.
    pub sold_out_after_ms: Option<u64>,
    /// From the load's end until every confirmed order was in the order store.
    pub stored_after_ms: Option<u64>,
    /// From the slowest restarted server's start until the next confirmation, or until it
    /// listened if nothing was left to confirm.
    pub serving_again_after_ms: Option<u64>,
    /// From the death of a node until each item that was sold on was confirmed again.
    pub taken_over_after_ms: Option<u64>,
    /// The median of those times, if several nodes died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_over_median_ms: Option<u64>,
    /// The longest that an item confirmed nothing though buyers waited whom it confirmed later.
    pub item_pause_ms: Option<u64>,
}

/// One second of the run.
#[derive(Debug, Clone, Serialize)]
pub struct TimelineRow {
    /// The second, counted from 0.
    pub second: usize,
    /// Requests that were due.
    pub offered: u64,
    /// Ends by [`Class::ALL`].
    pub ended: [u64; Class::ALL.len()],
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile in milliseconds.
    pub p99_ms: f64,
    /// Worst in milliseconds.
    pub max_ms: f64,
    /// Distinct orders confirmed so far.
    pub confirmed: u64,
    /// Of those, the ones that clients were not told to be given up or over.
    pub held: u64,
}

impl Report {
    /// How many requests ended in this class.
    #[must_use]
    pub fn of_class(&self, class: Class) -> u64 {
        let counted = self.outcomes.iter().filter(|outcome| outcome.class == class);
        counted.map(|outcome| outcome.count).sum()
    }

    /// How many requests ended in all.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.outcomes.iter().map(|outcome| outcome.count).sum()
    }

    /// The server's largest resident memory in MiB.
    #[must_use]
    pub fn memory_mib_max(&self) -> f64 {
        self.server.iter().fold(0.0, |most, sample| most.max(sample.resident_mib))
    }
}
