//! The report as text. The first line is the audit's.

use std::fmt::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, LineStyle, Table};

use super::data::Report;

pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |content: &str| {
        text.push_str(content);
        text.push('\n');
    };
    line(&report.headline);
    line("");
    let verdict = if report.passed { "PASSED" } else { "FAILED" };
    line(&format!("{verdict}  {}: {}", report.scenario.name, report.scenario.title));
    line(&criteria(report).to_string());
    for finding in &report.audit.findings {
        line(&format!("  {} {}", finding.invariant, finding.what));
    }
    if let Some(audit) = report.engine_audit.as_ref().filter(|audit| !audit.passed) {
        line(&format!("  the engine's audit says: {}", audit.broken()));
    }
    for note in &report.notes {
        line(&format!("  note: {note}"));
    }
    line(&outcomes(report).to_string());
    line(&latency(report).to_string());
    line(&generator(report));
    line(&server(report));
    line(&timeline(report).to_string());
    line(&report.machine.line());
    text
}

/// A table without vertical lines; all columns but the first hold numbers.
pub fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_header(head.to_vec());
    for index in 1..head.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn criteria(report: &Report) -> Table {
    let mut table = table(&["criterion", "wanted", "found", ""]);
    for judged in &report.criteria {
        let mark = if judged.holds { "ok" } else { "FAILED" };
        table.add_row([judged.what, &judged.wanted, &judged.found, mark]);
    }
    table
}

fn outcomes(report: &Report) -> Table {
    let mut table = table(&["outcome", "class", "requests", "share"]);
    for outcome in &report.outcomes {
        table.add_row([
            Cell::new(outcome.name),
            Cell::new(outcome.class.words()).set_alignment(CellAlignment::Left),
            Cell::new(grouped(outcome.count)),
            Cell::new(format!("{:.2} %", outcome.share * 100.0)),
        ]);
    }
    table
}

fn latency(report: &Report) -> Table {
    let head = ["latency, ms", "count", "p50", "p90", "p99", "p99.9", "p99.99", "max"];
    let mut table = table(&head);
    for row in report.latency.iter().filter(|row| row.count > 0) {
        let figures = [row.p50, row.p90, row.p99, row.p999, row.p9999, row.max];
        let mut cells = vec![row.of.to_owned(), grouped(row.count)];
        cells.extend(figures.map(|figure| format!("{figure:.2}")));
        table.add_row(cells);
    }
    table
}

fn generator(report: &Report) -> String {
    let figures = &report.generator;
    let [p50, p99, p999, worst] = figures.lateness_ms;
    let mut text = format!(
        "{}, {} connections, {} threads on the server's machine ({:.2} processors used)\n\
         offered {} in {:.1} s ({}/s), of them {} repeats; answered {} ({}/s), never sent {}, \
         {} clients gave up\n\
         generator lateness p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, worst \
         {worst:.2} ms; at most {} waited for a connection",
        figures.kind,
        figures.connections,
        figures.threads,
        figures.processors,
        grouped(figures.offered),
        figures.seconds,
        grouped(figures.offered_per_second as u64),
        grouped(figures.repeats),
        grouped(figures.answered),
        grouped(figures.achieved_per_second as u64),
        grouped(figures.not_offered),
        grouped(figures.given_up),
        grouped(figures.waiting_max),
    );
    for (what, after) in [
        ("sold out", report.milestones.sold_out_after_ms),
        ("every order in the order store", report.milestones.stored_after_ms),
        ("serving again", report.milestones.serving_again_after_ms),
        ("taken over", report.milestones.taken_over_after_ms),
        ("half of the times taken over", report.milestones.taken_over_median_ms),
    ] {
        if let Some(after) = after {
            let _ = write!(text, "\n{what} after {after} ms");
        }
    }
    if let Some(pause) = report.milestones.item_pause_ms {
        let _ = write!(text, "\nno item paused for longer than {pause} ms");
    }
    if let Some(handed_on) = report.handed_on {
        let decided: Vec<String> = report.decided.iter().copied().map(grouped).collect();
        let _ = write!(
            text,
            "\nthe nodes answered {} calls of each other; orders by the owners of the beginning: {}",
            grouped(handed_on),
            decided.join(", "),
        );
    }
    if let Some(drain) = &report.drain {
        let _ = write!(
            text,
            "\nat most {} records behind; the order store then took {} in {:.1} s ({}/s)",
            grouped(drain.waiting_max),
            grouped(drain.stored),
            drain.seconds,
            grouped(drain.per_second()),
        );
    }
    text
}

fn server(report: &Report) -> String {
    if report.server.is_empty() {
        return "server: not ours, not observed".to_owned();
    }
    let most = report.server.iter().fold(0.0_f64, |most, sample| most.max(sample.processors));
    let mean = report.server.iter().map(|sample| sample.processors).sum::<f64>()
        / report.server.len() as f64;
    format!(
        "server: {:.0} MiB resident at most; {mean:.2} processors on average, {most:.2} at most",
        report.memory_mib_max()
    )
}

fn timeline(report: &Report) -> Table {
    /// Longer runs are thinned: the whole timeline is in the JSON and the HTML.
    const ROWS_MAX: usize = 40;
    let head = [
        "second", "offered", "granted", "refused", "unavail.", "unknown", "unexp.", "p50", "p99",
        "max ms", "orders", "",
    ];
    let mut table = table(&head);
    let stride = report.timeline.len().div_ceil(ROWS_MAX).max(1);
    for row in report.timeline.iter().step_by(stride) {
        let (from_ms, to_ms) = (row.second as u64 * 1_000, (row.second + stride) as u64 * 1_000);
        let marks = report.marks.iter();
        let marks: Vec<&str> = marks
            .filter(|mark| mark.from_ms < to_ms && mark.to_ms >= from_ms)
            .map(|mark| mark.what.as_str())
            .collect();
        let mut cells = vec![row.second.to_string(), grouped(row.offered)];
        cells.extend(row.ended.map(grouped));
        cells.extend([row.p50_ms, row.p99_ms, row.max_ms].map(|ms| format!("{ms:.2}")));
        cells.push(grouped(row.confirmed));
        cells.push(marks.join(", "));
        table.add_row(cells);
    }
    table
}

/// Thousands apart: 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
