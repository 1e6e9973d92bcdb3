//! Drills that are scenarios: a load, what befalls it meanwhile, and criteria. Drills 17, 18, 20, 21, 46 and
//! kills.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::drills::evidence::{Evidence, wants};
use crate::drills::setting::Setting;
use crate::outcome::Class;
use crate::report::{Judged, Report};
use crate::run::{Findings, RunOptions, run};
use crate::scenario::Scenario;
use crate::schedule::Phase;

/// A build that is not made for speed gets this share of the load, and this much more time to get ready.
const QUICK_SHARE: f64 = 0.15;
const QUICK_PATIENCE: Duration = Duration::from_secs(3);

/// Carries a scenario out.
pub async fn a_scenario(setting: &Setting, text: &str) -> Result<Evidence> {
    let mut scenario = Scenario::parse(text, Path::new("a drill"))?;
    scenario.seed = setting.seed;
    scenario.server.environment.extend(setting.environment.clone());
    if setting.quick {
        lighten(&mut scenario);
    }
    let home = setting.home()?;
    let options = RunOptions {
        binary: Some(setting.binary.clone()),
        threads: crate::drive::default_threads(),
        closed_loop: None,
        patience: setting.of(QUICK_PATIENCE, Duration::ZERO),
        keep: Some(home.path().to_owned()),
        progress: false,
    };
    let findings = run(scenario, &options).await?;
    let log = std::fs::read(home.path().join("server.log")).unwrap_or_default();
    let panics = String::from_utf8_lossy(&log).matches("panicked at").count();
    Ok(evidence(findings, panics as u64))
}

fn lighten(scenario: &mut Scenario) {
    for phase in &mut scenario.load {
        if let Phase::Constant { rate, .. } = phase {
            *rate *= QUICK_SHARE;
        }
    }
    let fewer = |count: u64| (count as f64 * QUICK_SHARE) as u64;
    scenario.people.users = fewer(scenario.people.users.into()).try_into().unwrap_or(u32::MAX);
    scenario.pass.confirmed_min = scenario.pass.confirmed_min.map(fewer);
}

fn evidence(findings: Findings, panics: u64) -> Evidence {
    let verdict = findings.settled.verdict.clone();
    let engine_audit = findings.settled.engine_audit.clone();
    let unexpected = findings.observed.record.of_class(Class::Unexpected);
    let sells_again = sells_again(&findings);
    let marks: Vec<String> = findings.observed.marks.iter().map(|mark| mark.what.clone()).collect();
    let wanted = findings.scenario.fault.len();
    let broken = wants("what was broken", format!("{wanted} times"), marks.join(", "), {
        marks.len() == wanted
    });
    // The audits are asked of every drill, and are judged there.
    let criteria: Vec<Judged> = Report::new(findings)
        .criteria
        .into_iter()
        .filter(|judged| !judged.what.starts_with("audit"))
        .collect();
    let own = std::iter::once(broken).chain(criteria).collect();
    Evidence { own, verdict, engine_audit, sells_again, unexpected, panics }
}

/// From the end of what was broken until the next new order, the longest of all; none if once there was none.
fn sells_again(findings: &Findings) -> Option<Duration> {
    let mut seen = HashSet::new();
    let confirmations = findings.observed.record.confirmations.iter();
    let orders: Vec<u64> = confirmations
        .filter(|confirmation| seen.insert(confirmation.order))
        .map(|confirmation| confirmation.at_ns / 1_000_000)
        .collect();
    let waits = findings.observed.marks.iter().map(|mark| {
        let next = orders.iter().find(|at_ms| **at_ms >= mark.to_ms);
        next.map(|at_ms| at_ms - mark.to_ms)
    });
    let waits: Option<Vec<u64>> = waits.collect();
    waits?.into_iter().max().map(Duration::from_millis)
}
