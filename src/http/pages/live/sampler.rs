//! Looks at engine and edge once a second: what was counted since the last look, divided by the time
//! that has really passed, and what there is now.
//!
//! It runs on the sale's own threads, because those behind the sale starve just when a sale begins; so
//! it waits for nothing and touches no store. Must not know how figures are shown.

use super::board::Note;
use super::look::{
    DependencyLook, Figure, ItemLook, Look, Named, RefusalLook, Said, Totals, Witness,
    most_frequent,
};
use super::process::Usage;
use super::ring::{ITEMS_MAX, ItemSample, Sample};
use super::series::{Series, UNKNOWN, Values};
use super::verdict::Verdict;
use crate::actors::{DecisionFigures, EngineStatus, Gate};
use crate::http::edge::funnels::{OUTCOMES, PLACED, REPLAYED, outcome_of};
use crate::http::edge::metrics::EdgeTotals;
use crate::http::problem::Code;
use crate::http::state::Edge;
use crate::telemetry::quantiles::Counts;
use domain::{ItemCounters, ItemId, ItemPhase, OrderStatus, Timestamp, invariants};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// The time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// How old the figures of another node's item may be that are shown: longer than what nobody watches is left alone.
const ELSEWHERE_AGE_MAX: Duration = Duration::from_secs(15);
/// Looks between two choices of the items that are watched.
const CHOOSE_EACH: u32 = 5;
/// For so long after its end an item is still watched.
const OVER_MILLISECONDS: u64 = 15 * 60_000;

/// Looks for as long as the server runs.
pub async fn run(edge: Arc<Edge>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sampler = Sampler::new(&edge);
    loop {
        tokio::select! {
            () = edge.shutdown.cancelled() => return std::future::pending().await,
            _ = ticks.tick() => sampler.look(&edge),
        }
    }
}

/// Asks the order store for as long as the server runs.
pub use super::witness::run as ask_witness;

/// All that was counted at one look.
#[derive(Clone)]
struct Counted {
    after: Duration,
    edge: EdgeTotals,
    decisions: DecisionFigures,
    records: u64,
    syncs: u64,
    sync_durations: Counts,
    mailbox_waits: Counts,
    mailbox_batches: Counts,
    usage: Usage,
    views: u64,
}

impl Counted {
    fn now(edge: &Edge, after: Duration) -> Self {
        let journal = edge.engine.journal_status();
        let figures = journal.figures();
        Self {
            after,
            edge: edge.metrics.totals(),
            decisions: edge.engine.decisions(),
            records: figures.records,
            syncs: figures.syncs,
            sync_durations: journal.sync_durations().fine().counts(),
            mailbox_waits: edge.engine.mailboxes().waits.fine().counts(),
            mailbox_batches: edge.engine.mailboxes().batches.fine().counts(),
            usage: Usage::now(),
            views: edge.visits.views(),
        }
    }

    fn refused(&self, codes: &[Code]) -> u64 {
        codes.iter().filter_map(|code| self.edge.refused.get(*code as usize)).sum()
    }

    fn requests(&self) -> u64 {
        self.edge.placed + self.edge.replayed + self.edge.refused.iter().sum::<u64>()
    }
}

/// Refusals that have a series of their own, by why they were refused. All others are in one.
const REASONS: [(Series, &[Code]); 5] = [
    (Series::SoldOut, &[Code::SoldOut]),
    (Series::Limited, &[Code::LimitReached, Code::AttemptsExhausted]),
    (Series::Early, &[Code::SaleNotStarted]),
    (Series::Closed, &[Code::SaleEnded, Code::SalePaused]),
    (
        Series::Shed,
        &[
            Code::Overloaded,
            Code::LogUnavailable,
            Code::OwnerUnavailable,
            Code::JournalDamaged,
            Code::OutcomeUnknown,
            Code::ShuttingDown,
            Code::RequestTimeout,
        ],
    ),
];

struct Sampler {
    before: Counted,
    started_at: Timestamp,
    looks: u32,
    /// The watched items by their places, with what they came to at the last look.
    watched: [Option<(ItemId, u64)>; ITEMS_MAX],
    items_left_out: usize,
    /// The first item whose units do not sum up, of all items.
    imbalanced: Option<ItemId>,
    /// When the next sale begins, if one does.
    next_start: Option<Timestamp>,
}

impl Sampler {
    fn new(edge: &Edge) -> Self {
        let (now, after) = edge.clock.moment();
        Self {
            before: Counted::now(edge, after),
            started_at: now,
            looks: 0,
            watched: std::array::from_fn(|_| None),
            items_left_out: 0,
            imbalanced: None,
            next_start: None,
        }
    }

    fn look(&mut self, edge: &Edge) {
        let (now, after) = edge.clock.moment();
        let at = u32::try_from(now.0 / 1_000).unwrap_or(u32::MAX);
        if self.looks.is_multiple_of(CHOOSE_EACH) {
            self.choose(edge, now);
        }
        self.looks = self.looks.wrapping_add(1);
        let counted = Counted::now(edge, after);
        let seconds = counted.after.saturating_sub(self.before.after).as_secs_f32().max(0.001);
        let status = edge.engine.status();
        let values = values(edge, &status, &self.before, &counted, seconds);
        let mut sample = Sample { at, values, ..Sample::NONE };
        let items = self.look_at_items(edge, now, seconds, &mut sample);
        edge.board.rings.lock().push(&sample);
        let look = self.judged(edge, &status, &counted, (now, &sample), items);
        edge.board.show(look);
        self.before = counted;
    }

    /// Chooses the items that are watched: those that sell, then those that sell soon, then those that
    /// were over last.
    fn choose(&mut self, edge: &Edge, now: Timestamp) {
        let gates = edge.engine.known_gates();
        let is_wrong = |gate: &&Arc<Gate>| invariants::i1_balance(&gate.counters()).is_err();
        self.imbalanced = gates.iter().find(is_wrong).map(|gate| gate.terms().item_id);
        let mut open: Vec<&Arc<Gate>> = gates
            .iter()
            .filter(|gate| {
                let ends_at = gate.terms().ends_at;
                !gate.is_settled() && ends_at.plus_milliseconds(OVER_MILLISECONDS) > now
            })
            .collect();
        let starts = open.iter().map(|gate| gate.terms().starts_at);
        self.next_start = starts.filter(|starts_at| *starts_at > now).min();
        open.sort_unstable_by_key(|gate| {
            let terms = gate.terms();
            let order = match (now < terms.starts_at, now < terms.ends_at) {
                (false, true) => (0, terms.ends_at.0),
                (true, _) => (1, terms.starts_at.0),
                (false, false) => (2, u64::MAX - terms.ends_at.0),
            };
            (order, terms.item_id)
        });
        self.items_left_out = open.len().saturating_sub(ITEMS_MAX);
        let wanted: Vec<ItemId> =
            open.iter().take(ITEMS_MAX).map(|gate| gate.terms().item_id).collect();
        let places = {
            let mut rings = edge.board.rings.lock();
            rings.give_places(&wanted);
            *rings.places()
        };
        for (place, item) in places.into_iter().enumerate() {
            let item = item.filter(|item| wanted.contains(item));
            let known = self.watched[place].map(|(item, _)| item);
            if item == known {
                continue;
            }
            self.watched[place] = item.map(|item| (item, 0));
            edge.board.notes.lock()[place] = Note::default();
            if let Some(item) = item {
                edge.metrics.funnels.watch(place, item);
            }
        }
    }

    /// Looks at the watched items, which fill their places in the sample.
    fn look_at_items(
        &mut self,
        edge: &Edge,
        now: Timestamp,
        seconds: f32,
        sample: &mut Sample,
    ) -> Vec<(Timestamp, ItemLook)> {
        let notes = edge.board.notes.lock().clone();
        let mut looks = Vec::new();
        for (place, watched) in self.watched.iter_mut().enumerate() {
            let Some((item_id, before)) = watched else { continue };
            // It may be another node's by now, or have become this one's. While another node does not answer,
            // there is a gap.
            let gate = edge.engine.recent_gate(*item_id, ELSEWHERE_AGE_MAX);
            let Some(gate) = gate else { continue };
            // One snapshot, so that the sum is of one moment, and of no part of the buckets.
            let Some(counters) = gate.units() else { continue };
            let outcomes = edge.metrics.funnels.outcomes(place);
            let total: u64 = outcomes.iter().sum();
            let requests = rate(total, std::mem::replace(before, total), seconds);
            sample.items[place] = ItemSample {
                available: counters.available,
                reserved: counters.reserved,
                sold: counters.sold,
                requests,
            };
            looks.push((
                gate.terms().starts_at,
                ItemLook {
                    id: item_id.to_string(),
                    title: notes[place].title.clone().unwrap_or_else(|| format!("#{item_id}")),
                    state: state(&gate, counters, now),
                    allotted: counters.allotted,
                    available: counters.available,
                    reserved: counters.reserved,
                    sold: counters.sold,
                    balances: invariants::i1_balance(&counters).is_ok(),
                    witness: notes[place].witness,
                    requests: Figure(requests),
                    outcomes: named(&outcomes),
                },
            ));
        }
        looks
    }

    fn judged(
        &self,
        edge: &Edge,
        status: &EngineStatus,
        counted: &Counted,
        (now, sample): (Timestamp, &Sample),
        mut items: Vec<(Timestamp, ItemLook)>,
    ) -> Look {
        items.sort_by_key(|(starts_at, item)| (item.state == "ended", *starts_at));
        let items: Vec<ItemLook> = items.into_iter().map(|(_, item)| item).collect();
        let seconds = counted.after.saturating_sub(self.before.after).as_secs_f32().max(0.001);
        let verdict = self.verdict(edge, status, now, &items);
        let mut look = Look {
            at: sample.at,
            started_at: u32::try_from(self.started_at.0 / 1_000).unwrap_or(u32::MAX),
            verdict: Said::by(|_| String::new()),
            level: "good",
            balances: add_up(self.imbalanced, &items),
            values: Named(sample.values),
            totals: totals(edge, counted),
            refusals: refusals(&self.before, counted, seconds),
            items,
            items_left_out: self.items_left_out,
            shards: (status.shards_up, status.shards),
            permits: status.permits,
            dependencies: dependencies(status),
            viewers: edge.board.viewers(),
        };
        look.judge(&verdict);
        look
    }

    fn verdict(
        &self,
        edge: &Edge,
        status: &EngineStatus,
        now: Timestamp,
        items: &[ItemLook],
    ) -> Verdict {
        let selling = items.iter().filter(|item| matches!(item.state, "live" | "sold_out")).count();
        if let Some(item) = culprit(self.imbalanced, items) {
            Verdict::SumsDiffer(item)
        } else if !status.accepting || edge.shutdown.is_cancelled() {
            Verdict::Refuses
        } else if status.shards_up < status.shards {
            Verdict::ShardsDown((status.shards - status.shards_up) as u64)
        } else if status.dependencies.iter().any(|dependency| !dependency.healthy) {
            Verdict::Degraded(status.backlog_records)
        } else if selling > 0 {
            Verdict::Sells(selling as u64)
        } else if let Some(starts_at) = self.next_start.filter(|starts_at| *starts_at > now) {
            Verdict::Waits((starts_at.0 - now.0) / 1_000)
        } else {
            Verdict::Idle
        }
    }
}

/// Whether the units of all items sum up, of which `imbalanced` is known not to.
fn add_up(imbalanced: Option<ItemId>, items: &[ItemLook]) -> bool {
    imbalanced.is_none() && items.iter().all(|item| item.balances)
}

/// The first item of whose units something is wrong: they do not sum up, or the order store has others.
fn culprit(imbalanced: Option<ItemId>, items: &[ItemLook]) -> Option<ItemId> {
    let is_wrong = |item: &&ItemLook| !item.balances || item.witness == Witness::Differs;
    imbalanced.or_else(|| items.iter().find(is_wrong)?.id.parse().ok())
}

/// Whether an item sells, in a word.
fn state(gate: &Gate, counters: ItemCounters, now: Timestamp) -> &'static str {
    let terms = gate.terms();
    if gate.is_quarantined() {
        "quarantined"
    } else if now >= terms.ends_at || gate.phase() == ItemPhase::Ended {
        "ended"
    } else if gate.phase() == ItemPhase::Paused {
        "paused"
    } else if now < terms.starts_at {
        "upcoming"
    } else if counters.available == 0 {
        "sold_out"
    } else {
        "live"
    }
}

fn rate(now: u64, before: u64, seconds: f32) -> f32 {
    now.saturating_sub(before) as f32 / seconds
}

fn values(
    edge: &Edge,
    status: &EngineStatus,
    before: &Counted,
    counted: &Counted,
    seconds: f32,
) -> Values {
    let mut values = UNKNOWN;
    let mut set = |series: Series, value: f32| values[series as usize] = value;
    let of = |count: fn(&Counted) -> u64| rate(count(counted), count(before), seconds);
    set(Series::Requests, of(Counted::requests));
    set(Series::Admitted, of(|counted| counted.decisions.purchases));
    set(Series::Placed, of(|counted| counted.edge.placed));
    set(Series::Replayed, of(|counted| counted.edge.replayed));
    let mut named = 0;
    for (series, codes) in REASONS {
        let (now, earlier) = (counted.refused(codes), before.refused(codes));
        named += now.saturating_sub(earlier);
        set(series, rate(now, earlier, seconds));
    }
    let refused = |counted: &Counted| counted.refused(Code::ALL);
    let others = refused(counted).saturating_sub(refused(before)).saturating_sub(named);
    set(Series::OtherRefusals, others as f32 / seconds);
    for (series, status) in [
        (Series::Paid, OrderStatus::Paid),
        (Series::Cancelled, OrderStatus::Cancelled),
        (Series::Expired, OrderStatus::Expired),
    ] {
        let count = |counted: &Counted| counted.decisions.orders(status);
        set(series, rate(count(counted), count(before), seconds));
    }
    set(Series::Challenges, of(|counted| counted.edge.challenges));
    set(Series::Tokens, of(|counted| counted.edge.tokens));
    set(Series::TokensRefused, of(|counted| counted.edge.tokens_refused));
    set(Series::Records, of(|counted| counted.records));
    set(Series::Syncs, of(|counted| counted.syncs));
    set(Series::OtherRequests, of(|counted| counted.edge.others));
    set(Series::Views, of(|counted| counted.views));
    set_durations(&mut set, before, counted);
    set(Series::MailboxDepth, status.mailbox_depth as f32);
    set(Series::Permits, status.permits_used as f32);
    set(Series::Backlog, status.backlog_records as f32);
    set(Series::BacklogAge, status.backlog_age_seconds as f32);
    set(Series::CheckpointAge, status.checkpoint_age_seconds as f32);
    set(Series::Connections, counted.edge.connections as f32);
    set(Series::Drift, status.wall_drift_seconds as f32);
    let unhealthy = status.dependencies.iter().filter(|dependency| !dependency.healthy).count();
    set(Series::Unhealthy, unhealthy as f32);
    set(Series::Visitors, edge.visits.visitors().map_or(f32::NAN, |visitors| visitors as f32));
    let usage = (counted.usage, before.usage);
    set(Series::Memory, usage.0.memory_bytes.map_or(f32::NAN, |bytes| bytes as f32 / 1e6));
    if let (Some(now), Some(earlier)) = (usage.0.processor_seconds, usage.1.processor_seconds) {
        set(Series::Processor, (now - earlier) as f32 / seconds * 100.0);
    }
    values
}

/// Sets what is a duration or the size of a batch, of what was counted between two looks.
fn set_durations(set: &mut impl FnMut(Series, f32), before: &Counted, counted: &Counted) {
    let milliseconds = |value: Option<f64>| value.map_or(f32::NAN, |value| value as f32 / 1e3);
    let purchases = counted.edge.durations.since(&before.edge.durations);
    for (series, share) in
        [(Series::P50, 0.5), (Series::P90, 0.9), (Series::P99, 0.99), (Series::P999, 0.999)]
    {
        set(series, milliseconds(purchases.quantile(share)));
    }
    let syncs = counted.sync_durations.since(&before.sync_durations);
    set(Series::SyncP50, milliseconds(syncs.quantile(0.5)));
    set(Series::SyncP99, milliseconds(syncs.quantile(0.99)));
    set(Series::SyncMax, milliseconds(syncs.maximum()));
    let waits = counted.mailbox_waits.since(&before.mailbox_waits);
    set(Series::MailboxWait, milliseconds(waits.quantile(0.99)));
    let batches = counted.mailbox_batches.since(&before.mailbox_batches);
    set(Series::MailboxBatch, batches.mean().map_or(f32::NAN, |mean| mean as f32));
}

fn totals(edge: &Edge, counted: &Counted) -> Totals {
    let decisions = &counted.decisions;
    Totals {
        requests: counted.requests(),
        admitted: decisions.purchases,
        placed: counted.edge.placed,
        paid: decisions.orders(OrderStatus::Paid),
        cancelled: decisions.orders(OrderStatus::Cancelled),
        expired: decisions.orders(OrderStatus::Expired),
        views: counted.views,
        views_dropped: edge.visits.dropped(),
    }
}

/// Why purchases were refused, the most frequent reasons first.
fn refusals(before: &Counted, counted: &Counted, seconds: f32) -> Vec<RefusalLook> {
    const SHOWN_MAX: usize = 12;
    let total = |counted: &Counted, code: Code| counted.refused(&[code]);
    let mut refusals: Vec<RefusalLook> = Code::ALL
        .iter()
        .filter(|code| total(counted, **code) > 0)
        .map(|code| RefusalLook {
            code: code.name(),
            rate: Figure(rate(total(counted, *code), total(before, *code), seconds)),
            total: total(counted, *code),
        })
        .collect();
    refusals.sort_by_key(|refusal| Reverse(refusal.total));
    refusals.truncate(SHOWN_MAX);
    refusals
}

fn dependencies(status: &EngineStatus) -> Vec<DependencyLook> {
    let look = |dependency: &crate::actors::DependencyStatus| DependencyLook {
        name: dependency.name,
        kind: dependency.kind,
        healthy: dependency.healthy,
        meaning: Said::by(|words| words.meaning(&dependency.meaning)),
    };
    status.dependencies.iter().map(look).collect()
}

/// The outcomes with their names.
fn named(outcomes: &[u64; OUTCOMES]) -> Vec<(&'static str, u64)> {
    let mut named = vec![("placed", outcomes[PLACED]), ("replayed", outcomes[REPLAYED])];
    named.extend(Code::ALL.iter().map(|code| (code.name(), outcomes[outcome_of(*code)])));
    most_frequent(named)
}

#[cfg(test)]
mod tests {
    use super::super::look::tests::worst_item;
    use super::*;

    #[test]
    fn a_rate_is_what_came_since_by_the_time_that_passed() {
        for (now, before, seconds, expected) in
            [(30, 10, 2.0, 10.0), (30, 10, 0.5, 40.0), (10, 10, 1.0, 0.0), (0, 10, 1.0, 0.0)]
        {
            assert!(
                (rate(now, before, seconds) - expected).abs() < 1e-3,
                "{now} {before} {seconds}"
            );
        }
    }

    #[test]
    fn one_item_that_is_wrong_is_the_culprit() {
        let item = |id: u64, balances, witness| ItemLook {
            id: id.to_string(),
            balances,
            witness,
            ..worst_item()
        };
        let good = || item(1, true, Witness::Agrees);
        let check = |imbalanced, other: ItemLook, adds_up, found: Option<u64>| {
            let items = [good(), other];
            assert_eq!(add_up(imbalanced, &items), adds_up);
            assert_eq!(culprit(imbalanced, &items), found.map(ItemId));
        };
        check(None, item(2, true, Witness::Agrees), true, None);
        check(None, item(2, false, Witness::Agrees), false, Some(2));
        check(None, item(2, true, Witness::Differs), true, Some(2));
        // One that is not among the watched.
        check(Some(ItemId(9)), item(2, true, Witness::Agrees), false, Some(9));
    }
}
