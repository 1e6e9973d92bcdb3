//! A report from what a run found.

use std::collections::{HashMap, HashSet};

use domain::OrderId;
use hdrhistogram::Histogram;

use super::criteria;
use super::data::{GeneratorFigures, Milestones, OutcomeCount, Percentiles, Report, TimelineRow};
use crate::drive::{Confirmation, Record};
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
        let decided = decided(&observed);
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
            decided,
            handed_on: settled.handed_on,
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
        item_pause_ms: item_pause_ms(&observed.record.confirmations),
    }
}

/// The longest that one item confirmed nothing while a buyer waited whom it confirmed later; `confirmations` are in
/// the order in which they came.
fn item_pause_ms(confirmations: &[Confirmation]) -> Option<u64> {
    // From the last to the first: of each item what came next, and since when somebody waited for it or later ones.
    let mut later: HashMap<u32, (u64, u64)> = HashMap::new();
    let mut longest_ns = None;
    let mut pause = |from_ns: u64, next_ns: u64| {
        longest_ns = longest_ns.max(Some(next_ns.saturating_sub(from_ns)));
    };
    for &Confirmation { item, asked_ns, at_ns, .. } in confirmations.iter().rev() {
        let waits_since_ns = match later.get(&item) {
            Some(&(next_ns, since_ns)) => {
                pause(at_ns.max(since_ns), next_ns);
                since_ns.min(asked_ns)
            }
            None => asked_ns,
        };
        later.insert(item, (at_ns, waits_since_ns));
    }
    later.into_values().for_each(|(first_ns, since_ns)| pause(since_ns, first_ns));
    longest_ns.map(|pause_ns: u64| pause_ns / 1_000_000)
}

/// How many distinct orders each node has decided, if each shard stayed with the owner that it had.
fn decided(observed: &Observed) -> Vec<u64> {
    let nodes = observed.owners.iter().flatten().max().map_or(0, |last| last + 1);
    let mut decided = vec![0; nodes];
    let mut seen = HashSet::new();
    for confirmation in &observed.record.confirmations {
        let shard = OrderId(confirmation.order).shard().index();
        let owner = observed.owners.get(shard).copied().flatten();
        if let Some(owner) = owner.filter(|_| seen.insert(confirmation.order)) {
            decided[owner] += 1;
        }
    }
    decided
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
    fn an_item_pauses_while_somebody_waits_whom_it_confirms_later() {
        let check = |table: &[(u32, u64, u64)], wanted: Option<u64>| {
            let confirmation = |&(item, asked_ms, at_ms): &(u32, u64, u64)| {
                let (asked_ns, at_ns) = (asked_ms * 1_000_000, at_ms * 1_000_000);
                Confirmation { order: 0, user: 0, item, key: 0, asked_ns, at_ns }
            };
            let confirmations: Vec<_> = table.iter().map(confirmation).collect();
            assert_eq!(item_pause_ms(&confirmations), wanted, "{table:?}");
        };
        check(&[], None);
        // The first one waits.
        check(&[(0, 100, 107)], Some(7));
        // Nobody waits between two buyers.
        check(&[(0, 100, 101), (0, 900, 902)], Some(2));
        // Somebody waits while others are served: their item does not pause.
        check(&[(0, 100, 300), (0, 290, 500), (0, 90, 600)], Some(210));
        // Of two who wait the second is served first.
        check(&[(0, 0, 1), (0, 50, 400), (0, 20, 410)], Some(380));
        // Another item's sales are no consolation.
        check(&[(0, 0, 1), (1, 5, 6), (1, 7, 8), (0, 2, 9)], Some(7));
    }

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
