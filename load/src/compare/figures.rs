//! What a comparison found: every figure of every round, and the ratios within rounds.

use std::collections::BTreeMap;

use serde::Serialize;

use super::arguments::{CompareArguments, Name};
use super::beside::Views;
use super::told::Told;
use crate::inprocess::InProcessRow;
use crate::spread::Spread;
use crate::stage::Machine;

/// One contender in one round.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Requests that ended.
    pub requests: u64,
    /// Answers a second.
    pub rate: f64,
    /// Share of the answers that this contender should give.
    pub as_expected: f64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile in milliseconds.
    pub p99_ms: f64,
    /// 99.9th percentile in milliseconds.
    pub p999_ms: f64,
    /// Worst in milliseconds.
    pub max_ms: f64,
    /// The generator's own lateness, 99th percentile in milliseconds (open loop).
    pub lateness_p99_ms: f64,
    /// Processor time of the contender's process and its backend for one request, in microseconds.
    pub server_us: f64,
    /// Processors used by the generator.
    pub generator_processors: f64,
    /// How those were told who are, by their name.
    pub told: BTreeMap<String, Told>,
    /// How pages were read beside the purchases, if they were.
    pub views: Option<Views>,
}

/// A row of those who are told what happens.
#[derive(Debug, Clone, Serialize)]
pub struct ToldRow {
    /// Who it is: a broker or a receiver of webhooks.
    pub name: String,
    /// Events a second, from the load's begin until all were told.
    pub rate: Spread,
    /// Events a second, from the load's end until all were told.
    pub rate_after: Spread,
    /// Seconds from the load's end until all were told.
    pub lag_seconds: Spread,
}

/// A contender's row in the closed-loop table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The contender's name.
    pub name: Name,
    /// What its answer promises.
    pub promise: &'static str,
    /// Answers a second.
    pub rate: Spread,
    /// Its rate divided by the floor's in the same round.
    pub to_floor: Option<Spread>,
    /// The engine's rate (in stock) divided by this one's in the same round.
    pub engine_to_this: Option<Spread>,
    /// Median latency in milliseconds.
    pub p50_ms: Spread,
    /// 99th percentile in milliseconds.
    pub p99_ms: Spread,
    /// Processor time of contender and backend for one request, in microseconds.
    pub server_us: Spread,
    /// That divided by the floor's in the same round.
    pub server_us_to_floor: Option<Spread>,
    /// The engine's (in stock) divided by that in the same round.
    pub engine_us_to_this: Option<Spread>,
    /// Processors of the generator.
    pub generator_processors: Spread,
    /// Smallest share of expected answers in a round.
    pub as_expected_least: f64,
}

/// A contender's row in the open-loop table.
#[derive(Debug, Clone, Serialize)]
pub struct OpenLoopRow {
    /// The contender's name.
    pub name: Name,
    /// Requests offered each second.
    pub rate: f64,
    /// Latencies from the intended start in milliseconds.
    pub p50_ms: Spread,
    /// The 99th percentile.
    pub p99_ms: Spread,
    /// The 99.9th percentile.
    pub p999_ms: Spread,
    /// The worst of all.
    pub max_ms: Spread,
    /// The generator's lateness, 99th percentile.
    pub lateness_p99_ms: Spread,
    /// Its 99.9th percentile divided by the floor's in the same round.
    pub p999_to_floor: Option<Spread>,
    /// The engine's median divided by its in the same round.
    pub engine_p50_to_this: Option<Spread>,
    /// The engine's 99th percentile divided by its in the same round.
    pub engine_p99_to_this: Option<Spread>,
}

/// A row of those who read pages beside the purchases.
#[derive(Debug, Clone, Serialize)]
pub struct ViewsRow {
    /// Looks that were answered, a second.
    pub rate: Spread,
    /// Their 99th percentile in milliseconds.
    pub p99_ms: Spread,
    /// Looks that were not answered, or not as they should be, in all rounds.
    pub failed: u64,
}

/// The whole comparison.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The machine, the commit and the time of the comparison.
    pub machine: Machine,
    /// How many rounds were measured.
    pub rounds: u32,
    /// Seconds of each measurement.
    pub seconds: f64,
    /// How many connections each contender had.
    pub connections: u32,
    /// How many items were on sale.
    pub items: u32,
    /// What could not take part, and why.
    pub missing: Vec<String>,
    /// Whose audit found something broken.
    pub broken: Vec<Name>,
    closed: BTreeMap<String, Vec<(u32, Figure)>>,
    open: BTreeMap<String, Vec<(u32, Figure)>>,
    open_rate: f64,
    in_process: Vec<InProcessRow>,
    #[serde(skip)]
    order: Vec<Name>,
}

impl Comparison {
    /// A comparison without figures.
    #[must_use]
    pub fn new(
        machine: Machine,
        arguments: &CompareArguments,
        connections: u32,
        missing: Vec<String>,
    ) -> Self {
        Self {
            machine,
            rounds: arguments.rounds,
            seconds: arguments.seconds,
            connections,
            items: arguments.items,
            missing,
            broken: Vec::new(),
            closed: BTreeMap::new(),
            open: BTreeMap::new(),
            open_rate: 0.0,
            in_process: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Notes a closed-loop figure.
    pub fn closed(&mut self, name: Name, round: u32, figure: Figure) {
        if !self.order.contains(&name) {
            self.order.push(name);
            self.order.sort_by_key(|name| *name as u8);
        }
        self.closed.entry(name.text()).or_default().push((round, figure));
    }

    /// Notes an open-loop figure at `rate` requests a second.
    pub fn open(&mut self, name: Name, round: u32, rate: f64, figure: Figure) {
        self.open_rate = rate;
        self.open.entry(name.text()).or_default().push((round, figure));
    }

    /// Notes the figures of the engine without HTTP.
    pub fn in_process(&mut self, rows: Vec<InProcessRow>) {
        self.in_process = rows;
    }

    /// The figures of the engine without HTTP.
    #[must_use]
    pub fn in_process_rows(&self) -> &[InProcessRow] {
        &self.in_process
    }

    /// A contender's median closed-loop rate.
    #[must_use]
    pub fn median_rate(&self, name: Name) -> Option<f64> {
        let figures = self.closed.get(&name.text())?;
        Spread::of(figures.iter().map(|(_, figure)| figure.rate)).map(|spread| spread.median)
    }

    /// The closed-loop rows.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let rows = self.order.iter().filter_map(|name| {
            let figures = self.closed.get(&name.text())?;
            let spread = |value: fn(&Figure) -> f64| {
                Spread::of(figures.iter().map(|(_, figure)| value(figure)))
            };
            let rate = |figure: &Figure| figure.rate;
            let us = |figure: &Figure| figure.server_us;
            let expected = figures.iter().map(|(_, figure)| figure.as_expected);
            Some(Row {
                name: *name,
                promise: name.promise(),
                rate: spread(rate)?,
                to_floor: self.ratio(&self.closed, *name, Name::Floor, rate),
                engine_to_this: self.ratio(&self.closed, Name::Engine, *name, rate),
                p50_ms: spread(|figure| figure.p50_ms)?,
                p99_ms: spread(|figure| figure.p99_ms)?,
                server_us: spread(us)?,
                server_us_to_floor: self.ratio(&self.closed, *name, Name::Floor, us),
                engine_us_to_this: self.ratio(&self.closed, Name::Engine, *name, us),
                generator_processors: spread(|figure| figure.generator_processors)?,
                as_expected_least: expected.fold(1.0, f64::min),
            })
        });
        rows.collect()
    }

    /// The open-loop rows.
    #[must_use]
    pub fn open_rows(&self) -> Vec<OpenLoopRow> {
        let rows = self.order.iter().filter_map(|name| {
            let figures = self.open.get(&name.text())?;
            let spread = |value: fn(&Figure) -> f64| {
                Spread::of(figures.iter().map(|(_, figure)| value(figure)))
            };
            Some(OpenLoopRow {
                name: *name,
                rate: self.open_rate,
                p50_ms: spread(|figure| figure.p50_ms)?,
                p99_ms: spread(|figure| figure.p99_ms)?,
                p999_ms: spread(|figure| figure.p999_ms)?,
                max_ms: spread(|figure| figure.max_ms)?,
                lateness_p99_ms: spread(|figure| figure.lateness_p99_ms)?,
                p999_to_floor: self.ratio(&self.open, *name, Name::Floor, |figure| figure.p999_ms),
                engine_p50_to_this: self.ratio(&self.open, Name::Engine, *name, |of| of.p50_ms),
                engine_p99_to_this: self.ratio(&self.open, Name::Engine, *name, |of| of.p99_ms),
            })
        });
        rows.collect()
    }

    /// Those who are told what happens: in the closed loop, which is a rush, or in the open one.
    #[must_use]
    pub fn told_rows(&self, in_rush: bool) -> Vec<ToldRow> {
        let figures = if in_rush { &self.closed } else { &self.open };
        let all = figures.values().flatten().flat_map(|(_, figure)| &figure.told);
        let mut by_name: BTreeMap<&String, Vec<Told>> = BTreeMap::new();
        all.for_each(|(name, told)| by_name.entry(name).or_default().push(*told));
        let row = |(name, told): (&String, Vec<Told>)| {
            Some(ToldRow {
                name: name.clone(),
                rate: Spread::of(told.iter().map(|told| told.rate))?,
                rate_after: Spread::of(told.iter().map(|told| told.rate_after))?,
                lag_seconds: Spread::of(told.iter().map(|told| told.lag_seconds))?,
            })
        };
        by_name.into_iter().filter_map(row).collect()
    }

    /// Those who read pages: in the closed loop, which is a rush, or in the open one.
    #[must_use]
    pub fn views_row(&self, in_rush: bool) -> Option<ViewsRow> {
        let figures = if in_rush { &self.closed } else { &self.open };
        let all = || figures.values().flatten().filter_map(|(_, figure)| figure.views);
        Some(ViewsRow {
            rate: Spread::of(all().map(|views| views.rate))?,
            p99_ms: Spread::of(all().map(|views| views.p99_ms))?,
            failed: all().map(|views| views.failed).sum(),
        })
    }

    /// Notes that a contender's audit found something broken.
    pub fn note_broken(&mut self, name: Name) {
        self.broken.push(name);
    }

    /// True if every contender answered as it should, buyers and readers, and nothing is broken.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let mut views = [true, false].into_iter().filter_map(|in_rush| self.views_row(in_rush));
        self.broken.is_empty()
            && views.all(|row| row.failed == 0)
            && self.rows().iter().all(|row| row.as_expected_least > 0.99)
    }

    /// `name`'s value divided by `base`'s, round by round.
    fn ratio(
        &self,
        figures: &BTreeMap<String, Vec<(u32, Figure)>>,
        name: Name,
        base: Name,
        value: fn(&Figure) -> f64,
    ) -> Option<Spread> {
        let bases: BTreeMap<u32, f64> = figures
            .get(&base.text())?
            .iter()
            .map(|(round, figure)| (*round, value(figure)))
            .collect();
        let named = figures.get(&name.text())?;
        let ratios =
            named.iter().filter_map(|(round, figure)| Some(value(figure) / bases.get(round)?));
        Spread::of(ratios)
    }
}
