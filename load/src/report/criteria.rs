//! The verdict: each criterion with what was wanted and what was found.

use super::data::Report;
use super::judged::Judged;
use crate::outcome::Class;

/// Judges a report by its scenario's criteria; the audits come first and always count.
pub fn judge(report: &Report) -> Vec<Judged> {
    let pass = &report.scenario.pass;
    let [all, _, _, views] = &report.latency;
    let ended = report.ended().max(1) as f64;
    let generator = &report.generator;
    let mut list = List(Vec::new());

    list.yes("audit: clients, counters and order store agree", report.audit.is_clean());
    if let Some(audit) = &report.engine_audit {
        list.yes("audit: the engine's invariants hold", audit.passed);
    }
    if pass.sold_out {
        list.yes("everything is sold", report.audit.sold == report.audit.stock);
    }
    let honest = report.honest_share;
    list.share_least("stock bought by the page", pass.honest_share_min, honest);
    list.least("orders confirmed", pass.confirmed_min, report.audit.confirmed);
    // An answer that should never be given is not accepted silently.
    list.most("unexpected answers", Some(pass.unexpected_max.unwrap_or(0)), {
        report.of_class(Class::Unexpected)
    });
    let missed = report.of_class(Class::Unavailable) + report.of_class(Class::Unknown);
    list.share_most("unavailable or unanswered", pass.unavailable_share_max, missed as f64 / ended);
    list.most("clients that gave up", pass.given_up_max, generator.given_up);
    let achieved = generator.answered as f64 / generator.offered.max(1) as f64;
    list.share_least("offered requests answered", pass.achieved_share_min, achieved);
    list.ms_most("median latency", pass.p50_ms_max, Some(all.p50));
    list.ms_most("99th percentile of latency", pass.p99_ms_max, Some(all.p99));
    list.ms_most("99.9th percentile of latency", pass.p999_ms_max, Some(all.p999));
    list.ms_most("99th percentile of views", pass.views_p99_ms_max, Some(views.p99));
    let milestones = &report.milestones;
    for (what, most, found) in [
        ("sold out after", pass.sold_out_within_ms, milestones.sold_out_after_ms),
        ("all orders stored after", pass.stored_within_ms, milestones.stored_after_ms),
        ("serving again after", pass.serving_again_within_ms, milestones.serving_again_after_ms),
        ("taken over after", pass.taken_over_within_ms, milestones.taken_over_after_ms),
        (
            "median until taken over",
            pass.taken_over_median_within_ms,
            milestones.taken_over_median_ms,
        ),
        ("longest pause of an item", pass.item_pause_ms_max, milestones.item_pause_ms),
    ] {
        list.ms_most(what, most.map(|most| most as f64), found.map(|found| found as f64));
    }
    let orders: u64 = report.decided.iter().sum();
    let fewest = report.decided.iter().min().copied().unwrap_or(0);
    let share = fewest as f64 / orders.max(1) as f64;
    list.share_least("orders that each node decided", pass.node_share_min, share);
    let handed_on = report.handed_on.unwrap_or(0) as f64 / generator.answered.max(1) as f64;
    list.share_least("requests decided by another node", pass.handed_on_share_min, handed_on);
    let drained = report.drain.map_or(0, |drain| drain.per_second());
    list.least("records a second from the backlog", pass.drained_per_second_min, drained);
    let backlog = report.drain.map_or(0, |drain| drain.waiting_max);
    list.least("records in the backlog", pass.backlog_min, backlog);
    if let Some(most) = pass.memory_mib_max {
        let found = report.memory_mib_max();
        list.add(
            "server memory",
            format!("≤ {most} MiB"),
            format!("{found:.0} MiB"),
            found <= most,
        );
    }
    let [_, lateness, _, _] = generator.lateness_ms;
    list.ms_most("generator lateness, p99", pass.generator_lateness_p99_ms_max, Some(lateness));
    list.0
}

struct List(Vec<Judged>);

impl List {
    fn add(&mut self, what: &'static str, wanted: String, found: String, holds: bool) {
        self.0.push(Judged { what, wanted, found, holds });
    }

    fn yes(&mut self, what: &'static str, holds: bool) {
        let found = if holds { "yes" } else { "no" };
        self.add(what, "yes".to_owned(), found.to_owned(), holds);
    }

    fn least(&mut self, what: &'static str, least: Option<u64>, found: u64) {
        if let Some(least) = least {
            self.add(what, format!("≥ {least}"), found.to_string(), found >= least);
        }
    }

    fn most(&mut self, what: &'static str, most: Option<u64>, found: u64) {
        if let Some(most) = most {
            self.add(what, format!("≤ {most}"), found.to_string(), found <= most);
        }
    }

    fn share_most(&mut self, what: &'static str, most: Option<f64>, found: f64) {
        if let Some(most) = most {
            self.add(what, format!("≤ {}", percent(most)), percent(found), found <= most);
        }
    }

    fn share_least(&mut self, what: &'static str, least: Option<f64>, found: f64) {
        if let Some(least) = least {
            self.add(what, format!("≥ {}", percent(least)), percent(found), found >= least);
        }
    }

    fn ms_most(&mut self, what: &'static str, most: Option<f64>, found: Option<f64>) {
        if let Some(most) = most {
            let holds = found.is_some_and(|found| found <= most);
            let found = found.map_or("never".to_owned(), |found| format!("{found:.1} ms"));
            self.add(what, format!("≤ {most} ms"), found, holds);
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
