//! The comparison as text.

use std::fmt::Write;

use comfy_table::CellAlignment;

use super::figures::Comparison;
use crate::report::terminal::{grouped, table};
use crate::spread::Spread;

/// The comparisons of one session, which differ in their connections.
pub fn render(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    for comparison in comparisons {
        text.push_str(&closed_loop(comparison));
        text.push_str(&open_loop(comparison));
        text.push_str(&told(comparison));
        text.push_str(&views(comparison));
        text.push_str(&in_process(comparison));
    }
    if let Some(first) = comparisons.first() {
        for broken in &first.broken {
            let _ = writeln!(text, "the audit of {} found something broken", broken.text());
        }
        for missing in &first.missing {
            let _ = writeln!(text, "missing: {missing}");
        }
        let _ = writeln!(text, "\n{}", first.machine.line());
    }
    text
}

fn closed_loop(comparison: &Comparison) -> String {
    let mut closed = table(&[
        "contender",
        "requests/s",
        "to the floor",
        "engine to it",
        "server µs a request",
        "µs to the floor's",
        "engine's µs to its",
        "p50 ms",
        "p99 ms",
        "generator cpu",
        "promise",
    ]);
    if let Some(promise) = closed.column_mut(10) {
        promise.set_cell_alignment(CellAlignment::Left);
    }
    for row in comparison.rows() {
        let mut name = row.name.text();
        if row.as_expected_least < 0.999 {
            let _ = write!(name, " (!{:.1} % as expected)", row.as_expected_least * 100.0);
        }
        closed.add_row([
            name,
            rate(row.rate),
            row.to_floor.map_or_else(String::new, ratio),
            row.engine_to_this.map_or_else(String::new, ratio),
            microseconds(row.server_us),
            row.server_us_to_floor.map_or_else(String::new, ratio),
            row.engine_us_to_this.map_or_else(String::new, ratio),
            format!("{:.2}", row.p50_ms.median),
            format!("{:.2}", row.p99_ms.median),
            format!("{:.2}", row.generator_processors.median),
            row.promise.to_owned(),
        ]);
    }
    format!(
        "closed loop, {} connections, {} item(s), {} rounds of {} s each; median (least – most)\n\
         {closed}\n",
        comparison.connections, comparison.items, comparison.rounds, comparison.seconds,
    )
}

fn open_loop(comparison: &Comparison) -> String {
    let rows = comparison.open_rows();
    let Some(first) = rows.first() else { return String::new() };
    let rate = grouped(first.rate as u64);
    let mut open = table(&[
        "contender",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "p99.9 to the floor's",
        "engine's p50 to its",
        "engine's p99 to its",
        "generator late p99 ms",
    ]);
    for row in rows {
        open.add_row([
            row.name.text(),
            milliseconds(row.p50_ms),
            milliseconds(row.p99_ms),
            milliseconds(row.p999_ms),
            milliseconds(row.max_ms),
            row.p999_to_floor.map_or_else(String::new, ratio),
            row.engine_p50_to_this.map_or_else(String::new, ratio),
            row.engine_p99_to_this.map_or_else(String::new, ratio),
            milliseconds(row.lateness_p99_ms),
        ]);
    }
    format!("\nopen loop at {rate} requests/s, from the intended start\n{open}\n")
}

fn told(comparison: &Comparison) -> String {
    let head = ["told of each order", "load", "events/s", "after the load", "behind at the end, s"];
    let mut told = table(&head);
    for (load, in_rush) in [("closed loop", true), ("open loop", false)] {
        for row in comparison.told_rows(in_rush) {
            let (all, after) = (rate(row.rate), rate(row.rate_after));
            let cells = [row.name, load.to_owned(), all, after, ratio(row.lag_seconds)];
            told.add_row(cells);
        }
    }
    if told.is_empty() { String::new() } else { format!("\n{told}\n") }
}

fn views(comparison: &Comparison) -> String {
    let mut views = table(&["pages beside the purchases", "looks/s", "p99 ms", "failed"]);
    for (load, in_rush) in [("closed loop", true), ("open loop", false)] {
        if let Some(row) = comparison.views_row(in_rush) {
            let failed = grouped(row.failed);
            views.add_row([load.to_owned(), rate(row.rate), milliseconds(row.p99_ms), failed]);
        }
    }
    if views.is_empty() { String::new() } else { format!("\n{views}\n") }
}

fn in_process(comparison: &Comparison) -> String {
    if comparison.in_process_rows().is_empty() {
        return String::new();
    }
    let mut in_process = table(&["callers", "items", "durable decisions/s"]);
    for row in comparison.in_process_rows() {
        let cells = [grouped(row.callers.into()), grouped(row.items.into()), rate(row.rate)];
        in_process.add_row(cells);
    }
    format!("\nthe engine in the process, without HTTP\n{in_process}\n")
}

fn rate(spread: Spread) -> String {
    let [median, least, most] =
        [spread.median, spread.least, spread.most].map(|rate| grouped(rate as u64));
    format!("{median} ({least} – {most})")
}

fn microseconds(spread: Spread) -> String {
    format!("{:.1} ({:.1} – {:.1})", spread.median, spread.least, spread.most)
}

fn ratio(spread: Spread) -> String {
    format!("{:.2} ({:.2} – {:.2})", spread.median, spread.least, spread.most)
}

fn milliseconds(spread: Spread) -> String {
    format!("{:.2} ({:.2} – {:.2})", spread.median, spread.least, spread.most)
}
