//! The engine's figures for `/metrics`: what is looked at only when somebody asks.

use crate::actors::{DecisionFigures, Engine, Gate, NotDelivered};
use crate::http::Board;
use crate::sales::Sales;
use crate::sales::upcoming::UpcomingSale;
use crate::store::data_dir::DataDir;
use crate::telemetry;
use crate::telemetry::metrics as names;
use crate::telemetry::process;
use crate::telemetry::text::header;
use domain::{OrderStatus, Timestamp, invariants};
use metrics::{counter, gauge};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

/// Items that have series of their own: more would be too many for Prometheus.
const ITEMS_MAX: usize = 1_000;

/// The live figures, with the history that was kept when the process last stopped. A history that cannot be
/// read is no reason not to sell.
pub(super) fn board(data_dir: &DataDir, now: Timestamp) -> Board {
    let now = u32::try_from(now.0 / 1_000).unwrap_or(u32::MAX);
    match data_dir.read_history() {
        Ok(kept) => Board::with_history(&kept.unwrap_or_default(), now),
        Err(error) => {
            tracing::warn!(%error, "the history of the figures cannot be read and begins anew");
            Board::default()
        }
    }
}

/// Keeps the history for the next start.
pub(super) fn keep(board: &Board, data_dir: &DataDir) {
    if let Err(error) = data_dir.write_history(&board.history()) {
        tracing::warn!(%error, "the history of the figures cannot be kept");
    }
}

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
    for (store, backlog) in status.store_backlogs.iter().enumerate() {
        let labels = [("store", store.to_string())];
        gauge!(names::ORDER_STORE_BACKLOG_RECORDS, &labels).set(*backlog as f64);
    }
    gauge!(names::BACKLOG_AGE_SECONDS).set(status.backlog_age_seconds);
    gauge!(names::CHECKPOINT_AGE_SECONDS).set(status.checkpoint_age_seconds);
    counter!(names::LOG_LINES_LOST_TOTAL).absolute(telemetry::log::lines_lost());
    gauge!(names::WALL_CLOCK_DRIFT_SECONDS).set(status.wall_drift_seconds);
    gauge!(names::TRACE_RECORDS_UNDERWAY).set(engine.tracer().underway_count() as f64);
    let links = engine.link_figures().unwrap_or_default();
    gauge!(names::PEER_LINKS).set(links.open as f64);
    gauge!(names::PEER_BREAKERS_OPEN).set(links.left_alone as f64);
    gauge!(names::PEERS_LACKING_KEYS).set(engine.peers_lacking_keys() as f64);
    for dependency in &status.dependencies {
        let up = f64::from(u8::from(dependency.healthy));
        let labels = [("dependency", dependency.name), ("kind", dependency.kind)];
        gauge!(names::DEPENDENCY_UP, &labels).set(up);
    }
}

/// The figures that the recorder does not hold, in Prometheus' text form: series that end, what is
/// counted on the journal's thread, and what others than the engine know.
pub(super) fn render(engine: &Engine, sales: &Sales, data_dir: &DataDir) -> String {
    let mut out = String::new();
    render_build(&mut out);
    render_accepting(engine.status().refusing_because, &mut out);
    render_upcoming(&sales.upcoming().known(), &mut out);
    render_free_bytes(&data_dir.journal(), &mut out);
    process::render(&mut out);
    let name = names::ORDER_STORE_APPLY_DURATION_SECONDS;
    header(&mut out, name);
    engine.apply_durations().render(name, "", &mut out);
    let name = names::JOURNAL_SYNC_DURATION_SECONDS;
    header(&mut out, name);
    engine.journal_status().sync_durations().render(name, "", &mut out);
    let name = names::JOURNAL_BATCH_RECORDS;
    header(&mut out, name);
    engine.journal_status().batch_records().render(name, "", &mut out);
    let name = names::PEER_CALL_DURATION_SECONDS;
    header(&mut out, name);
    if let Some(durations) = engine.peer_call_durations() {
        durations.render(name, "", &mut out);
    }
    for (name, histogram) in [
        (names::MAILBOX_WAIT_SECONDS, &engine.mailboxes().waits),
        (names::MAILBOX_BATCH_REQUESTS, &engine.mailboxes().batches),
    ] {
        header(&mut out, name);
        histogram.render(name, "", &mut out);
    }
    render_decisions(&engine.decisions(), &mut out);
    render_items(&engine.gates(), &mut out);
    out
}

fn render_build(out: &mut String) {
    let name = names::BUILD_INFO;
    header(out, name);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{name}{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
}

/// Appends whether purchases are taken, by what might keep them out.
fn render_accepting(refusing: Option<NotDelivered>, out: &mut String) {
    let name = names::ACCEPTING;
    header(out, name);
    for (reason, word) in [
        (NotDelivered::ShuttingDown, "shutting_down"),
        (NotDelivered::StorageDamaged, "journal_damaged"),
        (NotDelivered::LogUnavailable, "log_unavailable"),
        (NotDelivered::StorageFull, "storage_full"),
        (NotDelivered::BacklogFull, "backlog_full"),
    ] {
        let is_accepting = u8::from(refusing != Some(reason));
        let _ = writeln!(out, "{name}{{reason=\"{word}\"}} {is_accepting}");
    }
}

/// Appends when the sales begin that were approved.
fn render_upcoming(upcoming: &[UpcomingSale], out: &mut String) {
    let name = names::SALE_STARTS_TIMESTAMP_SECONDS;
    header(out, name);
    for UpcomingSale { sale_id, starts_at, is_preheated } in upcoming {
        let labels = format!("sale=\"{sale_id}\",preheated=\"{is_preheated}\"");
        let _ = writeln!(out, "{name}{{{labels}}} {}", starts_at.0 as f64 / 1e3);
    }
}

/// Appends how much room the journal's disk has; nothing if the operating system does not say.
fn render_free_bytes(journal: &Path, out: &mut String) {
    let name = names::JOURNAL_FREE_BYTES;
    header(out, name);
    if let Ok(disk) = rustix::fs::statvfs(journal) {
        let _ = writeln!(out, "{name} {}", disk.f_bavail.saturating_mul(disk.f_frsize));
    }
}

/// Appends what the shards have decided.
fn render_decisions(decisions: &DecisionFigures, out: &mut String) {
    let name = names::PURCHASES_ADMITTED_TOTAL;
    header(out, name);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{name} {}", decisions.purchases);
    let name = names::ORDER_CHANGES_TOTAL;
    header(out, name);
    for status in OrderStatus::ALL {
        let count = decisions.orders(status);
        let _ = writeln!(out, "{name}{{status=\"{}\"}} {count}", status.name());
    }
}

/// Appends the units of the items that are not settled, those that end first first.
fn render_items(gates: &[Arc<Gate>], out: &mut String) {
    let mut open: Vec<&Arc<Gate>> = gates.iter().filter(|gate| !gate.is_settled()).collect();
    open.sort_unstable_by_key(|gate| (gate.terms().ends_at, gate.terms().item_id));
    let name = names::ITEM_UNITS;
    header(out, name);
    for gate in open.iter().take(ITEMS_MAX) {
        let (item, Some(counters)) = (gate.terms().item_id, gate.units()) else { continue };
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
    let name = names::BUCKET_UNITS_UNDER_WAY;
    header(out, name);
    let under_way: u64 = gates.iter().map(|gate| u64::from(gate.units_under_way())).sum();
    let _ = writeln!(out, "{name} {under_way}");
    let name = names::STOCK_IMBALANCED_ITEMS;
    header(out, name);
    let is_wrong = |gate: &&Arc<Gate>| invariants::i1_balance(&gate.counters()).is_err();
    let _ = writeln!(out, "{name} {}", gates.iter().filter(is_wrong).count());
    let name = names::ITEMS_NOT_SHOWN;
    header(out, name);
    let _ = writeln!(out, "{name} {}", open.len().saturating_sub(ITEMS_MAX));
}
