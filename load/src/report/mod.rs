//! The report of a run: everything a reader needs to believe or doubt it, as data. The
//! terminal table, the JSON file and the HTML page are three views of this one value.

mod chart;
mod criteria;
mod html;
pub(crate) mod terminal;

use std::collections::HashSet;
use std::path::Path;

use hdrhistogram::Histogram;
use serde::Serialize;

pub use criteria::Judged;

use crate::audit::{Book, Verdict};
use crate::drive::Record;
use crate::outcome::{Class, Outcome};
use crate::run::{EngineAudit, Mark, Observed, Settled};
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::stage::{Backlog, Drain, Machine, Sample};
use crate::{Error, Result};

/// Everything about a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The first line: sold, oversold, lost, doubled.
    pub headline: String,
    /// True if the audits and every criterion hold.
    pub passed: bool,
    /// What was run.
    pub scenario: Scenario,
    /// Where, of which commit, when.
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
    pub books: Vec<Book>,
    /// Counts by outcome, those that occurred.
    pub outcomes: Vec<OutcomeCount>,
    /// What the generator did and how well it kept its schedule.
    pub generator: GeneratorFigures,
    /// Percentiles from the intended start.
    pub latency: Vec<Percentiles>,
    /// Points in the run.
    pub milestones: Milestones,
    /// Each second.
    pub timeline: Vec<TimelineRow>,
    /// Faults as they happened.
    pub marks: Vec<Mark>,
    /// The server's memory and processors, each second.
    pub server: Vec<Sample>,
    /// The generator's.
    pub generator_samples: Vec<Sample>,
    /// How far the order store was behind, each second.
    pub backlog: Vec<Backlog>,
    /// How the longest backlog was worked off while the load ran.
    pub drain: Option<Drain>,
}

/// How often one outcome occurred.
#[derive(Debug, Clone, Serialize)]
pub struct OutcomeCount {
    /// The API's code, or the generator's word.
    pub name: &'static str,
    /// Its class.
    pub class: Class,
    /// How often.
    pub count: u64,
    /// Share of all requests that ended.
    pub share: f64,
}

/// What the generator did.
#[derive(Debug, Clone, Serialize)]
pub struct GeneratorFigures {
    /// Open or closed loop.
    pub kind: String,
    /// Connections.
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
    /// Of what.
    pub of: &'static str,
    /// How many.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// 99.99th percentile.
    pub p9999: f64,
    /// Worst.
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
}

/// One second of the run.
#[derive(Debug, Clone, Serialize)]
pub struct TimelineRow {
    /// Which second.
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
}

impl Report {
    /// Puts a run's findings together and judges them.
    #[must_use]
    pub fn new(
        scenario: &Scenario,
        machine: Machine,
        threads: u32,
        observed: Observed,
        settled: Settled,
    ) -> Self {
        let record = &observed.record;
        let firsts = first_confirmations(record);
        let milestones = milestones(scenario, &observed, &settled, &firsts);
        let mut report = Self {
            headline: settled.verdict.headline(),
            passed: false,
            scenario: scenario.clone(),
            machine,
            criteria: Vec::new(),
            outcomes: outcomes(record),
            generator: generator(scenario, threads, &observed),
            latency: vec![
                percentiles("all requests", &record.latency),
                percentiles("purchases granted", &record.latency_granted),
                percentiles("purchases refused", &record.latency_refused),
            ],
            milestones,
            timeline: timeline(record, &firsts),
            audit: settled.verdict,
            engine_audit: settled.engine_audit,
            notes: settled.notes,
            books: settled.books,
            marks: observed.marks,
            server: observed.server,
            generator_samples: observed.generator,
            drain: Drain::of(&observed.backlog),
            backlog: observed.backlog,
        };
        report.criteria = criteria::judge(&report);
        report.passed = report.criteria.iter().all(|judged| judged.holds);
        report
    }

    /// The report for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        terminal::render(self)
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("a report has a JSON form");
        write(path, &text)
    }

    /// Writes the report as one self-contained HTML page.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write_html(&self, path: &Path) -> Result<()> {
        write(path, &html::render(self))
    }

    /// Ends of one class.
    #[must_use]
    pub fn of_class(&self, class: Class) -> u64 {
        let counted = self.outcomes.iter().filter(|outcome| outcome.class == class);
        counted.map(|outcome| outcome.count).sum()
    }

    /// All ends.
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

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Error::io(format!("writing {}", path.display())))
}

/// When each distinct order was first confirmed, ascending, in nanoseconds.
fn first_confirmations(record: &Record) -> Vec<u64> {
    let mut seen = HashSet::with_capacity(record.confirmations.len());
    let firsts = record.confirmations.iter().filter(|confirmation| seen.insert(confirmation.order));
    firsts.map(|confirmation| confirmation.at_ns).collect()
}

fn outcomes(record: &Record) -> Vec<OutcomeCount> {
    let all: u64 = record.outcomes.iter().sum();
    let occurred = Outcome::ALL.iter().filter(|outcome| record.count(**outcome) > 0);
    occurred
        .map(|outcome| {
            let count = record.count(*outcome);
            let share = count as f64 / all.max(1) as f64;
            OutcomeCount { name: outcome.name(), class: outcome.class(), count, share }
        })
        .collect()
}

fn generator(scenario: &Scenario, threads: u32, observed: &Observed) -> GeneratorFigures {
    let record = &observed.record;
    let seconds = record.last_answer_ns as f64 / 1e9;
    let planned = Schedule::new(&scenario.load).map_or(0.0, |s| s.duration().as_secs_f64());
    let busy = observed.generator.iter().map(|sample| sample.processors);
    GeneratorFigures {
        kind: scenario.generator.kind.to_string(),
        connections: scenario.generator.connections,
        threads,
        seconds,
        offered: record.offered,
        repeats: record.repeats,
        given_up: record.given_up,
        not_offered: record.not_offered,
        answered: record.answered(),
        offered_per_second: record.offered as f64 / planned.max(seconds).max(1e-9),
        achieved_per_second: record.answered() as f64 / seconds.max(1e-9),
        lateness_ms: [0.5, 0.99, 0.999, 1.0]
            .map(|quantile| milliseconds(record.lateness.value_at_quantile(quantile))),
        waiting_max: record.waiting_max,
        processors: busy.sum::<f64>() / observed.generator.len().max(1) as f64,
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000.0
}

fn percentiles(of: &'static str, histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
    let mut spectrum = Vec::new();
    if !histogram.is_empty() {
        // Ten points for each nine, as far as the count supports them.
        let nines_max = (histogram.len() as f64).log10();
        for step in 0.. {
            let nines = f64::from(step) / 10.0;
            if nines > nines_max.min(5.0) {
                break;
            }
            let quantile = 1.0 - 10_f64.powf(-nines);
            spectrum.push((quantile, at(quantile)));
        }
    }
    Percentiles {
        of,
        count: histogram.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        p9999: at(0.9999),
        max: milliseconds(histogram.max()),
        spectrum,
    }
}

fn timeline(record: &Record, firsts: &[u64]) -> Vec<TimelineRow> {
    let mut confirmed = firsts.iter().peekable();
    let mut so_far = 0;
    let rows = record.seconds.iter().enumerate().map(|(second, row)| {
        let end_ns = (second as u64 + 1) * 1_000_000_000;
        while confirmed.next_if(|at| **at < end_ns).is_some() {
            so_far += 1;
        }
        TimelineRow {
            second,
            offered: row.offered,
            ended: Class::ALL.map(|class| row.of_class(class)),
            p50_ms: milliseconds(row.latency.value_at_quantile(0.5)),
            p99_ms: milliseconds(row.latency.value_at_quantile(0.99)),
            max_ms: milliseconds(row.latency.max()),
            confirmed: so_far,
        }
    });
    rows.collect()
}

fn milestones(
    scenario: &Scenario,
    observed: &Observed,
    settled: &Settled,
    firsts: &[u64],
) -> Milestones {
    let nanoseconds_to_ms = |ns: u64| ns / 1_000_000;
    let stock = usize::try_from(scenario.stock()).unwrap_or(usize::MAX);
    let last_unit = stock.checked_sub(1).and_then(|last| firsts.get(last));
    let serving_again = observed.marks.iter().filter_map(|mark| {
        let start_ms = mark.start_ms?;
        let next = firsts.iter().find(|at| nanoseconds_to_ms(**at) >= mark.to_ms);
        let waited = next.map_or(0, |at| nanoseconds_to_ms(*at) - mark.to_ms);
        Some(start_ms + waited)
    });
    Milestones {
        sold_out_after_ms: last_unit
            .map(|at| nanoseconds_to_ms(*at).saturating_sub(scenario.sale.opens_after_ms)),
        stored_after_ms: settled
            .stored_after
            .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        serving_again_after_ms: serving_again.max(),
    }
}
