//! The engine's figures for `/metrics`: what is looked at only when somebody asks.

use crate::actors::{Engine, Gate};
use crate::telemetry;
use crate::telemetry::metrics as names;
use crate::telemetry::text::header;
use metrics::{counter, gauge};
use std::fmt::Write as _;
use std::sync::Arc;

/// Items that have series of their own: more would be too many for Prometheus.
const ITEMS_MAX: usize = 1_000;

/// Records the engine's present state in the metrics.
pub(super) fn observe(engine: &Engine) {
    let status = engine.status();
    gauge!(names::PERMITS).set(status.permits as f64);
    gauge!(names::PERMITS_USED).set(status.permits_used as f64);
    gauge!(names::MAILBOX_DEPTH).set(status.mailbox_depth as f64);
    gauge!(names::SHARDS).set(status.shards as f64);
    gauge!(names::SHARDS_UP).set(status.shards_up as f64);
    gauge!(names::ITEMS_QUARANTINED).set(status.quarantined_items.len() as f64);
    counter!(names::JOURNAL_RECORDS_TOTAL).absolute(status.journal.records);
    counter!(names::JOURNAL_BYTES_TOTAL).absolute(status.journal.bytes);
    counter!(names::JOURNAL_SYNCS_TOTAL).absolute(status.journal.syncs);
    gauge!(names::BACKLOG_RECORDS).set(status.backlog_records as f64);
    gauge!(names::BACKLOG_AGE_SECONDS).set(status.backlog_age_seconds);
    gauge!(names::CHECKPOINT_AGE_SECONDS).set(status.checkpoint_age_seconds);
    counter!(names::LOG_LINES_LOST_TOTAL).absolute(telemetry::log::lines_lost());
    gauge!(names::WALL_CLOCK_DRIFT_SECONDS).set(status.wall_drift_seconds);
    for dependency in &status.dependencies {
        let up = f64::from(u8::from(dependency.healthy));
        gauge!(names::DEPENDENCY_UP, "name" => dependency.name, "kind" => dependency.kind).set(up);
    }
}

/// The figures that the recorder does not hold, in Prometheus' text form: series that end, and what is
/// counted on the journal's thread.
pub(super) fn render(engine: &Engine) -> String {
    let mut out = String::new();
    let name = names::JOURNAL_SYNC_DURATION_SECONDS;
    header(&mut out, name);
    engine.journal_status().sync_durations().render(name, "", &mut out);
    render_items(&engine.gates(), &mut out);
    out
}

/// Appends the units of the items that are not settled, those that end first first.
fn render_items(gates: &[Arc<Gate>], out: &mut String) {
    let mut open: Vec<&Arc<Gate>> = gates.iter().filter(|gate| !gate.is_settled()).collect();
    open.sort_unstable_by_key(|gate| (gate.terms().ends_at, gate.terms().item_id));
    let name = names::ITEM_UNITS;
    header(out, name);
    for gate in open.iter().take(ITEMS_MAX) {
        let (item, counters) = (gate.terms().item_id, gate.counters());
        for (state, units) in [
            ("allotted", counters.allotted),
            ("available", counters.available),
            ("reserved", counters.reserved),
            ("sold", counters.sold),
        ] {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name}{{item=\"{item}\",state=\"{state}\"}} {units}");
        }
    }
    let name = names::ITEMS_NOT_SHOWN;
    header(out, name);
    let _ = writeln!(out, "{name} {}", open.len().saturating_sub(ITEMS_MAX));
}
