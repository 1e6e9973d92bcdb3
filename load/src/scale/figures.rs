//! What was found: every figure of every round, and the table that is printed.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::arguments::ScaleArguments;
use super::entry::Entry;
use crate::report::terminal::{grouped, table};
use crate::spread::Spread;
use crate::stage::Machine;

/// Answers other than a grant that are put up with: a busy machine may cut one off.
const GRANTED_SHARE_MIN: f64 = 0.999;

/// One way to ask, in one round.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Purchases granted a second.
    pub rate: f64,
    /// Share of the answers that were grants.
    pub granted_share: f64,
    /// Processor time of all nodes for a purchase, in microseconds.
    pub node_us: f64,
    /// Processors used by etcd, Redis and MariaDB.
    pub behind_processors: f64,
    /// Processors used by the generator.
    pub generator_processors: f64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile in milliseconds.
    pub p99_ms: f64,
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Scale {
    /// The machine, the commit and the time.
    pub machine: Machine,
    /// Nodes of the shop of several.
    pub nodes: u32,
    /// Connections of each node.
    pub connections: u32,
    /// Hundredths of a processor that each node may use; 0 if it is not capped.
    pub percent: u32,
    /// Seconds of each measurement.
    pub seconds: u32,
    /// Whether both audits found everything whole.
    pub are_whole: bool,
    closed: BTreeMap<Entry, Vec<Figure>>,
    open: BTreeMap<Entry, Vec<Figure>>,
}

impl Scale {
    /// Nothing was measured yet.
    pub fn new(machine: Machine, arguments: &ScaleArguments) -> Self {
        Self {
            machine,
            nodes: arguments.nodes,
            connections: arguments.connections,
            percent: arguments.percent,
            seconds: arguments.seconds,
            are_whole: false,
            closed: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// Notes a figure of the closed loop, round after round.
    pub fn closed(&mut self, entry: Entry, figure: Figure) {
        self.closed.entry(entry).or_default().push(figure);
    }

    /// Notes a figure at half load.
    pub fn open(&mut self, entry: Entry, figure: Figure) {
        self.open.entry(entry).or_default().push(figure);
    }

    /// The middle rate of the closed loop.
    pub fn median_rate(&self, entry: Entry) -> Option<f64> {
        spread(self.closed.get(&entry)?, |figure| figure.rate).map(|rate| rate.median)
    }

    /// Whether what was measured is what was to be measured, and nothing was lost.
    pub fn is_valid(&self) -> bool {
        let mut figures = self.closed.values().chain(self.open.values()).flatten();
        self.are_whole && figures.all(|figure| figure.granted_share >= GRANTED_SHARE_MIN)
    }

    /// A figure's ratio to that of another way in the same round.
    fn ratio(&self, entry: Entry, to: Entry, of: impl Fn(&Figure) -> f64) -> Option<Spread> {
        let pairs = self.closed.get(&entry)?.iter().zip(self.closed.get(&to)?);
        Spread::of(pairs.map(|(one, other)| of(one) / of(other)))
    }

    /// The tables.
    pub fn render(&self) -> String {
        let capped = match self.percent {
            0 => "not capped".to_owned(),
            percent => format!("each capped at {percent} % of a processor"),
        };
        let mut text = format!(
            "{} nodes beside one, {capped}, {} connections to each, {} s a round; median (least – most)\n",
            self.nodes, self.connections, self.seconds
        );
        let mut closed = table(&[
            "buyers ask",
            "purchases/s",
            "to one node",
            "nodes' µs a purchase",
            "to the owners'",
            "etcd and stores, cpu",
            "generator cpu",
        ]);
        for (entry, figures) in &self.closed {
            closed.add_row([
                self.name(*entry, figures),
                shown(spread(figures, |figure| figure.rate), 0),
                shown(self.ratio(*entry, Entry::Single, |figure| figure.rate), 2),
                shown(spread(figures, |figure| figure.node_us), 1),
                shown(self.ratio(*entry, Entry::Owners, |figure| figure.node_us), 2),
                shown(spread(figures, |figure| figure.behind_processors), 2),
                shown(spread(figures, |figure| figure.generator_processors), 2),
            ]);
        }
        let mut open = table(&["at half of that, buyers ask", "purchases/s", "p50 ms", "p99 ms"]);
        for (entry, figures) in &self.open {
            open.add_row([
                self.name(*entry, figures),
                shown(spread(figures, |figure| figure.rate), 0),
                shown(spread(figures, |figure| figure.p50_ms), 2),
                shown(spread(figures, |figure| figure.p99_ms), 2),
            ]);
        }
        let audits = if self.are_whole { "both audits: whole" } else { "an audit found something" };
        let _ = write!(text, "{closed}\n\n{open}\n\n{audits}\n{}\n", self.machine.line());
        text
    }

    fn name(&self, entry: Entry, figures: &[Figure]) -> String {
        let least = figures.iter().map(|figure| figure.granted_share).fold(1.0, f64::min);
        let words = entry.text().to_owned();
        if least < GRANTED_SHARE_MIN {
            format!("{words} (!{:.1} % granted)", least * 100.0)
        } else {
            words
        }
    }
}

fn spread(figures: &[Figure], of: impl Fn(&Figure) -> f64) -> Option<Spread> {
    Spread::of(figures.iter().map(of))
}

fn shown(spread: Option<Spread>, digits: usize) -> String {
    let Some(Spread { median, least, most }) = spread else { return String::new() };
    if digits == 0 {
        let [median, least, most] = [median, least, most].map(|value| grouped(value as u64));
        return format!("{median} ({least} – {most})");
    }
    format!("{median:.digits$} ({least:.digits$} – {most:.digits$})")
}
