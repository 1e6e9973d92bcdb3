//! The log and the metrics: how they are set up, and the catalogue of metric names.
//!
//! Log lines say what happened in lower case, without a full stop, with values as fields, once and
//! where it is handled. Metric names carry base units, counters end in `_total`, and no label ever
//! holds a user, an order or a request, so that their number stays bounded. Must not know who logs
//! and who counts.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// What is logged if nothing else is configured. The libraries named here tell each connection and
/// each actor at `info`; the broker's client calls it an error that a queue is not there before it is
/// declared, and what fails on its connections is told by whoever uses them.
pub const DEFAULT_FILTER: &str = "info,ractor=warn,lapin=off,sqlx=warn";

/// How a log line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people: time, level, target, message, fields.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Whether the text is a filter for the log.
pub fn is_filter(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok()
}

/// Sends the log to standard error. Once in a process.
///
/// # Errors
/// Where the process has a log already.
pub fn start_log(format: LogFormat, filter: &str) -> Result<(), TryInitError> {
    let filter = EnvFilter::new(filter);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => log.finish().try_init(),
        LogFormat::Json => {
            log.json().flatten_event(true).with_current_span(false).finish().try_init()
        }
    }
}

/// Collects metrics from here on. Once in a process, before anything counts.
///
/// The handle renders them for `/metrics`. Somebody has to call its `run_upkeep` every few seconds:
/// observations of histograms pile up until it, or a rendering, folds them in.
///
/// # Errors
/// Where the process collects metrics already.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

/// From 50 µs, which is below one sync of a good disk, to ten seconds.
const SECONDS_BUCKETS: [f64; 17] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    2.5, 5.0, 10.0,
];

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// A metric of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its unit.
    pub unit: Unit,
    /// What it tells an operator, with its labels.
    pub help: &'static str,
}

/// Declares the names as constants and the catalogue of all of them.
macro_rules! metrics_catalogue {
    ($($constant:ident, $kind:ident, $unit:ident: $name:literal, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Every metric beside those of the HTTP edge, which counts its own.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $constant,
            kind: MetricKind::$kind,
            unit: Unit::$unit,
            help: $help,
        }),*];
    };
}

metrics_catalogue! {
    PERMITS, Gauge, Count: "seckill_permits",
        "Requests that may be in the engine at once.";
    PERMITS_USED, Gauge, Count: "seckill_permits_used",
        "Requests in the engine: near seckill_permits, new ones are refused with 503.";
    MAILBOX_DEPTH, Gauge, Count: "seckill_mailbox_depth",
        "Requests that wait in the shards' mailboxes.";
    SHARDS, Gauge, Count: "seckill_shards",
        "Shards configured.";
    SHARDS_UP, Gauge, Count: "seckill_shards_up",
        "Shards that decide; fewer than seckill_shards means that some products cannot be bought.";
    SHARD_RESTARTS_TOTAL, Counter, Count: "seckill_shard_restarts_total",
        "Times a shard's actor died and was started again.";
    SHARD_REBUILDS_TOTAL, Counter, Count: "seckill_shard_rebuilds_total",
        "Times a shard's state was rebuilt from checkpoint and journal while the others sold on.";
    SHARD_PANICS_TOTAL, Counter, Count: "seckill_shard_panics_total",
        "Panics contained within a shard: each is a defect, and cost at most one request.";
    REQUESTS_OVERDUE_TOTAL, Counter, Count: "seckill_requests_overdue_total",
        "Requests that were not decided within their deadline.";
    ITEMS_QUARANTINED, Gauge, Count: "seckill_items_quarantined",
        "Items taken out of the sale because handling them panics again and again.";
    ITEM_UNITS, Gauge, Count: "seckill_item_units",
        "Units of an item, by item and state: available, reserved and sold sum to allotted.";
    JOURNAL_RECORDS_TOTAL, Counter, Count: "seckill_journal_records_total",
        "Records made durable.";
    JOURNAL_BYTES_TOTAL, Counter, Bytes: "seckill_journal_bytes_total",
        "Bytes made durable.";
    JOURNAL_SYNCS_TOTAL, Counter, Count: "seckill_journal_syncs_total",
        "Syncs, each of which made one batch of records durable.";
    JOURNAL_SYNC_SECONDS_SUM, Gauge, Seconds: "seckill_journal_sync_seconds_sum",
        "Time spent in syncs; its rate over that of seckill_journal_syncs_total is what one takes.";
    BACKLOG_RECORDS, Gauge, Count: "seckill_backlog_records",
        "Records durable in the journal and not yet in the order store.";
    BACKLOG_AGE_SECONDS, Gauge, Seconds: "seckill_backlog_age_seconds",
        "Age of the oldest record that is not yet in the order store.";
    CHECKPOINT_AGE_SECONDS, Gauge, Seconds: "seckill_checkpoint_age_seconds",
        "Age of the oldest checkpoint that is behind its shard: the older, the more a start replays.";
    CHECKPOINT_FAILURES_TOTAL, Counter, Count: "seckill_checkpoint_failures_total",
        "Checkpoints that could not be written; they are tried again.";
    RELAY_MESSAGES_TOTAL, Counter, Count: "seckill_relay_messages_total",
        "Messages that the broker confirmed.";
    RELAY_RETURNED_TOTAL, Counter, Count: "seckill_relay_returned_total",
        "Messages that the broker had no queue for; they are sent again.";
    STORED_RECORDS_TOTAL, Counter, Count: "seckill_stored_records_total",
        "Records that reached the order store.";
    ORDER_STORE_FAILURES_TOTAL, Counter, Count: "seckill_order_store_failures_total",
        "Batches that the order store did not take; they are tried again.";
    ORDER_STORE_CONFLICTS_TOTAL, Counter, Count: "seckill_order_store_conflicts_total",
        "Records that contradict a row: each wants an operator.";
    DEAD_LETTERS_TOTAL, Counter, Count: "seckill_dead_letters_total",
        "Messages set aside because the order store cannot take them: each wants an operator.";
    SALE_LOOKUPS_TOTAL, Counter, Count: "seckill_sale_lookups_total",
        "Look-ups of a sale or a day, by answer: redis, catalogue or absent, which asks neither.";
    DEPENDENCY_UP, Gauge, Count: "seckill_dependency_up",
        "1 while a dependency works, by name and kind; without all but the journal the sale goes on.";
    WALL_CLOCK_DRIFT_SECONDS, Gauge, Seconds: "seckill_wall_clock_drift_seconds",
        "How far the wall clock has moved from the engine's own since the start.";
}

/// Gives every metric of the catalogue its help text.
fn describe() {
    for Metric { name, kind, unit, help } in METRICS.iter().copied() {
        match kind {
            MetricKind::Counter => describe_counter!(name, unit, help),
            MetricKind::Gauge => describe_gauge!(name, unit, help),
            MetricKind::Histogram => describe_histogram!(name, unit, help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_say_what_they_are() {
        let mut names = HashSet::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.starts_with("seckill_"), "{name} has no namespace");
            let is_counter = metric.kind == MetricKind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}: counters end in _total");
            let unit = match metric.unit {
                Unit::Seconds => Some("_seconds"),
                Unit::Bytes => Some("_bytes"),
                _ => None,
            };
            let stem = name.trim_end_matches("_total").trim_end_matches("_sum");
            assert!(unit.is_none_or(|unit| stem.ends_with(unit)), "{name} lacks its unit");
            assert!(metric.help.ends_with('.'), "{name}: help is a sentence");
        }
    }

    #[test]
    fn operators_can_look_each_one_up() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
        let text = std::fs::read_to_string(path).expect("docs/operations.md");
        for Metric { name, .. } in METRICS {
            assert!(text.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
        }
    }

    #[test]
    fn the_default_filter_is_one() {
        assert!(is_filter(DEFAULT_FILTER));
        assert!(!is_filter("seckill=loud"));
    }
}
