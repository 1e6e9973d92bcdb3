//! A report from what a run found.

use std::collections::{HashMap, HashSet};

use hdrhistogram::Histogram;

use super::criteria;
use super::data::{GeneratorFigures, Milestones, OutcomeCount, Percentiles, Report, TimelineRow};
use crate::drive::Record;
use crate::outcome::{Class, Outcome};
use crate::plan::honest_users;
use crate::run::{Findings, Observed, Settled};
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::stage::Drain;

impl Report {
    /// Puts a run's findings together and judges them.
    #[must_use]
    pub fn new(findings: Findings) -> Self {
        let Findings { scenario, machine, threads, observed, settled } = findings;
        let record = &observed.record;
        let firsts = first_confirmations(record);
        let milestones = milestones(&scenario, &observed, &settled, &firsts);
        let honest_share = honest_share(&scenario, record);
        let mut report = Self {
            headline: settled.verdict.headline(),
            passed: false,
            machine,
            criteria: Vec::new(),
            outcomes: outcomes(record),
            generator: generator(&scenario, threads, &observed),
            latency: [
                percentiles("all requests", &record.latency),
                percentiles("purchases granted", &record.latency_granted),
                percentiles("purchases refused", &record.latency_refused),
                percentiles("pages and statuses", &record.latency_views),
            ],
            milestones,
            timeline: timeline(record, &firsts),
            audit: settled.verdict,
            engine_audit: settled.engine_audit,
            notes: settled.notes,
            scenario,
            standings: settled.standings,
            marks: observed.marks,
            server: observed.server,
            generator_samples: observed.generator,
            drain: Drain::of(&observed.backlog),
            honest_share,
            backlog: observed.backlog,
        };
        report.criteria = criteria::judge(&report);
        report.passed = report.criteria.iter().all(|judged| judged.holds);
        report
    }
}

/// Which share of the stock was confirmed to users who are not the script's.
fn honest_share(scenario: &Scenario, record: &Record) -> f64 {
    let honest = honest_users(&scenario.people);
    let confirmations = record.confirmations.iter();
    let orders: HashSet<u64> = confirmations
        .filter(|confirmation| confirmation.user < honest)
        .map(|confirmation| confirmation.order)
        .collect();
    orders.len() as f64 / scenario.stock().max(1) as f64
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
    let mut given_up = 0;
    let rows = record.seconds.iter().enumerate().map(|(second, row)| {
        let end_ns = (second as u64 + 1) * 1_000_000_000;
        while confirmed.next_if(|at| **at < end_ns).is_some() {
            so_far += 1;
        }
        // Their units are on sale again, and confirmed once more.
        given_up += row.outcomes[Outcome::Cancelled.index()];
        given_up += row.outcomes[Outcome::RefundDue.index()];
        TimelineRow {
            second,
            offered: row.offered,
            ended: Class::ALL.map(|class| row.of_class(class)),
            p50_ms: milliseconds(row.latency.value_at_quantile(0.5)),
            p99_ms: milliseconds(row.latency.value_at_quantile(0.99)),
            max_ms: milliseconds(row.latency.max()),
            confirmed: so_far,
            held: so_far.saturating_sub(given_up),
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
    let takeovers = takeovers_ms(observed);
    Milestones {
        sold_out_after_ms: last_unit
            .map(|at| nanoseconds_to_ms(*at).saturating_sub(scenario.sale.opens_after_ms)),
        stored_after_ms: settled
            .stored_after
            .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        serving_again_after_ms: serving_again.max(),
        taken_over_after_ms: takeovers.last().copied(),
        taken_over_median_ms: takeovers.get(1).and(takeovers.get(takeovers.len() / 2)).copied(),
    }
}

/// For each death of a node, the longest that an item which was sold on had no confirmation after it; the
/// longest last.
fn takeovers_ms(observed: &Observed) -> Vec<u64> {
    let deaths = observed.marks.iter().filter(|mark| mark.is_of_a_node);
    let mut waits: Vec<u64> = deaths
        .filter_map(|mark| {
            let mut next: HashMap<u32, u64> = HashMap::new();
            for confirmation in &observed.record.confirmations {
                let at_ms = confirmation.at_ns / 1_000_000;
                if at_ms > mark.from_ms {
                    next.entry(confirmation.item).or_insert(at_ms - mark.from_ms);
                }
            }
            next.into_values().max()
        })
        .collect();
    waits.sort_unstable();
    waits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Record;

    #[test]
    fn what_is_held_is_what_was_confirmed_less_what_was_given_up() {
        let mut record = Record::default();
        record.seconds.resize_with(3, Default::default);
        record.seconds[1].outcomes[Outcome::Cancelled.index()] = 2;
        record.seconds[2].outcomes[Outcome::RefundDue.index()] = 1;
        // Three in the first second, two in the second, one in the third.
        let firsts = [1, 2, 3, 1_000_000_001, 1_000_000_002, 2_000_000_001];
        let rows = timeline(&record, &firsts);
        let held: Vec<_> = rows.iter().map(|row| (row.confirmed, row.held)).collect();
        assert_eq!(held, [(3, 3), (5, 3), (6, 3)]);
    }
}
