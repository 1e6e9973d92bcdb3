//! The report as one HTML page without a single request to anywhere.

use std::fmt::Write;

use super::chart::{Axis, Chart};
use super::data::{Percentiles, Report, TimelineRow};
use super::page::{begin, criteria, end, escape, headline, section};
use super::terminal::grouped;
use crate::outcome::Class;
use crate::stage::Sample;

pub fn render(report: &Report) -> String {
    let mut page = begin(&format!("{}: {}", report.scenario.name, report.headline));
    head(report, &mut page);
    figures(report, &mut page);
    section(&mut page, "Requests each second, by outcome", &requests(report));
    section(&mut page, "Latency each second, from the intended start", &latency(report));
    page.push_str(r#"<div class="pair">"#);
    section(&mut page, "Latency by percentile", &spectrum(report));
    section(&mut page, "Orders held", &orders(report));
    section(&mut page, "Memory of the server", &memory(report));
    section(&mut page, "Processors used", &processors(report));
    section(&mut page, "Records behind the sale", &backlog(report));
    page.push_str("</div>");
    section(&mut page, "Verdict", &criteria(&report.criteria));
    page.push_str(r#"<div class="pair">"#);
    section(&mut page, "Outcomes", &outcomes(report));
    section(&mut page, "The generator", &generator(report));
    page.push_str("</div>");
    section(&mut page, "Percentiles, in milliseconds", &percentiles(report));
    end(&mut page, &report.machine.line());
    page
}

fn head(report: &Report, page: &mut String) {
    let scenario = &report.scenario;
    let _ = write!(
        page,
        r"<header><h1>{title}</h1>
<p>Scenario <b>{name}</b>, seed {seed}. {about}</p></header>",
        name = escape(&scenario.name),
        title = escape(&scenario.title),
        seed = scenario.seed,
        about = escape(scenario.about.trim()),
    );
    headline(page, report.passed, &report.headline);
    if !report.audit.findings.is_empty() || !report.notes.is_empty() {
        page.push_str("<section><h2>Findings</h2><table>");
        for finding in &report.audit.findings {
            let what = escape(&finding.what);
            let _ = write!(
                page,
                r#"<tr><td class="bad">{}</td><td class="left">{what}</td></tr>"#,
                finding.invariant
            );
        }
        for note in &report.notes {
            let note = escape(note);
            let _ = write!(page, r#"<tr><td>note</td><td class="left">{note}</td></tr>"#);
        }
        page.push_str("</table></section>");
    }
}

fn figures(report: &Report, page: &mut String) {
    let all = &report.latency[0];
    let generator = &report.generator;
    let mut list = vec![
        (grouped(report.audit.confirmed), "orders confirmed"),
        (grouped(generator.answered), "requests answered"),
        (grouped(generator.achieved_per_second as u64), "answers per second"),
        (latency_text(all.p50), "median latency"),
        (latency_text(all.p99), "99th percentile"),
        (latency_text(all.p999), "99.9th percentile"),
    ];
    let milestones = &report.milestones;
    for (after, what) in [
        (milestones.sold_out_after_ms, "sold out after"),
        (milestones.stored_after_ms, "all in the order store after the load"),
        (milestones.serving_again_after_ms, "serving again after a restart"),
        (milestones.taken_over_after_ms, "taken over after a node's death"),
        (milestones.taken_over_median_ms, "taken over in half of the times"),
        (milestones.item_pause_ms, "longest pause of an item"),
    ] {
        list.extend(after.map(|after| (format!("{} ms", grouped(after)), what)));
    }
    if !report.server.is_empty() {
        list.push((format!("{:.0} MiB", report.memory_mib_max()), "server memory at most"));
    }
    page.push_str(r#"<div class="figures">"#);
    for (figure, what) in list {
        let _ = write!(page, "<div><b>{figure}</b><span>{what}</span></div>");
    }
    page.push_str("</div>");
}

/// As many digits as one reads.
fn latency_text(ms: f64) -> String {
    if ms >= 100.0 { format!("{} ms", grouped(ms as u64)) } else { format!("{ms:.2} ms") }
}

/// A chart over the run's seconds with its faults in the background.
fn over_time(report: &Report, y: Axis) -> Chart {
    with_marks(report, Chart::new(seconds(report), y))
}

fn over_time_narrow(report: &Report, y: Axis) -> Chart {
    with_marks(report, Chart::new(seconds(report), y).narrow())
}

fn seconds(report: &Report) -> Axis {
    Axis::span(0.0, report.timeline.len() as f64, " s")
}

fn with_marks(report: &Report, mut chart: Chart) -> Chart {
    for mark in &report.marks {
        chart.band(mark.from_ms as f64 / 1e3, mark.to_ms as f64 / 1e3, &mark.what);
    }
    chart
}

/// A row's figures belong to the middle of its second.
fn middle(row: &TimelineRow) -> f64 {
    row.second as f64 + 0.5
}

fn requests(report: &Report) -> String {
    let totals = report.timeline.iter().map(|row| row.ended.iter().sum::<u64>().max(row.offered));
    let most = totals.max().unwrap_or(0) as f64;
    let mut chart = over_time(report, Axis::linear(most, ""));
    for (index, class) in Class::ALL.into_iter().enumerate() {
        if report.of_class(class) == 0 {
            continue;
        }
        let points: Vec<_> = report
            .timeline
            .iter()
            .map(|row| {
                let low: u64 = row.ended[..index].iter().sum();
                (middle(row), low as f64, (low + row.ended[index]) as f64)
            })
            .collect();
        let points = widened(&points);
        chart.area(class_name(class), class.words(), &points);
    }
    let offered: Vec<_> =
        report.timeline.iter().map(|row| (middle(row), row.offered as f64)).collect();
    chart.line("offered", "offered", &offered);
    chart.render("Requests each second, by outcome")
}

/// A single second would be an area without width.
fn widened(points: &[(f64, f64, f64)]) -> Vec<(f64, f64, f64)> {
    match points {
        [(x, low, high)] => vec![(x - 0.4, *low, *high), (x + 0.4, *low, *high)],
        _ => points.to_vec(),
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Granted => "granted",
        Class::Refused => "refused",
        Class::Unavailable => "unavailable",
        Class::Unknown => "unknown",
        Class::Unexpected => "unexpected",
    }
}

fn latency(report: &Report) -> String {
    let rows: Vec<_> = report.timeline.iter().filter(|row| row.max_ms > 0.0).collect();
    if rows.is_empty() {
        return String::new();
    }
    let least = rows.iter().fold(f64::INFINITY, |least, row| least.min(row.p50_ms));
    let most = rows.iter().fold(0.0_f64, |most, row| most.max(row.max_ms));
    let mut chart = over_time(report, Axis::powers(least, most, " ms"));
    let line = |value: fn(&TimelineRow) -> f64| -> Vec<_> {
        rows.iter().map(|row| (middle(row), value(row))).collect()
    };
    chart.line("max", "worst", &line(|row| row.max_ms));
    chart.line("p99", "99th percentile", &line(|row| row.p99_ms));
    chart.line("p50", "median", &line(|row| row.p50_ms));
    chart.render("Latency each second")
}

fn spectrum(report: &Report) -> String {
    let filled: Vec<&Percentiles> = report.latency.iter().filter(|row| row.count > 0).collect();
    let all = filled.iter().flat_map(|row| &row.spectrum);
    let least = all.clone().fold(f64::INFINITY, |least, (_, ms)| least.min(*ms));
    let most = all.fold(0.0_f64, |most, (_, ms)| most.max(*ms));
    if most <= 0.0 {
        return String::new();
    }
    let nines = |quantile: f64| -(1.0 - quantile).max(1e-9).log10();
    let longest = filled.iter().filter_map(|row| row.spectrum.last()).map(|(q, _)| nines(*q));
    let x = Axis::nines(longest.fold(1.0, f64::max));
    let mut chart = Chart::new(x, Axis::powers(least, most, " ms")).narrow();
    for (row, class) in filled.iter().zip(["offered", "granted", "refused"]) {
        let points: Vec<_> = row.spectrum.iter().map(|(q, ms)| (nines(*q), *ms)).collect();
        let class = match row.of {
            "purchases granted" => "granted",
            "purchases refused" => "refused",
            _ => class,
        };
        chart.line(class, row.of, &points);
    }
    chart.render("Latency by percentile")
}

fn orders(report: &Report) -> String {
    let stock = report.audit.stock as f64;
    let held_max = report.timeline.iter().map(|row| row.held).max().unwrap_or(0);
    let most = stock.max(held_max as f64);
    let mut chart = over_time_narrow(report, Axis::linear(most, ""));
    let mut points = vec![(0.0, 0.0)];
    let row_end = |row: &TimelineRow| (row.second as f64 + 1.0, row.held as f64);
    points.extend(report.timeline.iter().map(row_end));
    let area: Vec<_> = points.iter().map(|(x, y)| (*x, 0.0, *y)).collect();
    chart.area("granted", "orders held: confirmed, less those given up or over", &area);
    chart.level(stock, "stock");
    chart.render("Orders held")
}

fn memory(report: &Report) -> String {
    if report.server.is_empty() {
        return String::new();
    }
    let mut chart = over_time_narrow(report, Axis::linear(report.memory_mib_max(), " MiB"));
    chart.line("memory", "resident", &samples(&report.server, |sample| sample.resident_mib));
    chart.render("Resident memory of the server")
}

fn backlog(report: &Report) -> String {
    let most = report.backlog.iter().map(|look| look.waiting).max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let mut chart = over_time_narrow(report, Axis::linear(most as f64, ""));
    let points: Vec<_> =
        report.backlog.iter().map(|look| (look.at_seconds, look.waiting as f64)).collect();
    chart.line("offered", "durable, not yet in the order store", &points);
    chart.render("Records behind the sale")
}

fn processors(report: &Report) -> String {
    let both = report.server.iter().chain(&report.generator_samples);
    let most = both.fold(0.5_f64, |most, sample| most.max(sample.processors));
    let mut chart = over_time_narrow(report, Axis::linear(most, ""));
    if !report.server.is_empty() {
        chart.line("processor", "server", &samples(&report.server, |sample| sample.processors));
    }
    let generator = samples(&report.generator_samples, |sample| sample.processors);
    chart.line("generator", "generator", &generator);
    chart.render("Processors used")
}

fn samples(samples: &[Sample], value: fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    samples.iter().map(|sample| (sample.at_seconds, value(sample))).collect()
}

fn outcomes(report: &Report) -> String {
    let mut table = "<table><tr><th>outcome</th><th>requests</th><th>share</th></tr>".to_owned();
    for outcome in &report.outcomes {
        let _ = write!(
            table,
            "<tr><td>{}</td><td>{}</td><td>{:.2} %</td></tr>",
            outcome.name,
            grouped(outcome.count),
            outcome.share * 100.0,
        );
    }
    table + "</table>"
}

fn generator(report: &Report) -> String {
    let figures = &report.generator;
    let [p50, p99, p999, worst] = figures.lateness_ms;
    let rows = [
        ("loop", figures.kind.clone()),
        ("connections", grouped(figures.connections.into())),
        ("threads", figures.threads.to_string()),
        ("processors used", format!("{:.2}", figures.processors)),
        ("offered", grouped(figures.offered)),
        ("of them repeats", grouped(figures.repeats)),
        ("clients that gave up", grouped(figures.given_up)),
        ("never sent", grouped(figures.not_offered)),
        ("offered per second", grouped(figures.offered_per_second as u64)),
        ("achieved per second", grouped(figures.achieved_per_second as u64)),
        ("lateness p50 / p99", format!("{p50:.2} / {p99:.2} ms")),
        ("lateness p99.9 / worst", format!("{p999:.2} / {worst:.2} ms")),
        ("waiting for a connection", format!("at most {}", grouped(figures.waiting_max))),
    ];
    let mut table = "<table>".to_owned();
    for (what, figure) in rows {
        let _ = write!(table, "<tr><td>{what}</td><td>{figure}</td></tr>");
    }
    table + "</table>"
}

fn percentiles(report: &Report) -> String {
    let mut table = "<table><tr><th></th><th>count</th><th>p50</th><th>p90</th><th>p99</th>\
                     <th>p99.9</th><th>p99.99</th><th>max</th></tr>"
        .to_owned();
    for row in report.latency.iter().filter(|row| row.count > 0) {
        let _ = write!(table, "<tr><td>{}</td><td>{}</td>", row.of, grouped(row.count));
        for figure in [row.p50, row.p90, row.p99, row.p999, row.p9999, row.max] {
            let _ = write!(table, "<td>{figure:.2}</td>");
        }
        table.push_str("</tr>");
    }
    table + "</table>"
}
