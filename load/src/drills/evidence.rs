//! What a drill has found, and the judgement of it: a pure function, so that it can be shown what a lying
//! engine leaves behind.

use std::time::Duration;

use crate::audit::Verdict;
use crate::report::Judged;
use crate::run::EngineAudit;

/// A shop that takes longer than this to sell again has not come back.
pub const SELLS_AGAIN_WITHIN: Duration = Duration::from_secs(60);

/// What a drill has found.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// What this drill wants, beside what every drill wants.
    pub own: Vec<Judged>,
    /// What clients were told, against counters and order store.
    pub verdict: Verdict,
    /// What the engine's own audit says of its data, with all confirmations in hand; none if it was not asked.
    pub engine_audit: Option<EngineAudit>,
    /// How long after the repair a valid purchase succeeded; none if none did.
    pub sells_again: Option<Duration>,
    /// Answers that are never right: 5xx but 503, and what a correct client does not earn.
    pub unexpected: u64,
    /// Panics in the engine's log, beside those that the drill causes.
    pub panics: u64,
}

/// Judges what a drill has found: what it wants itself, and then what has to hold after every drill.
#[must_use]
pub fn judge(evidence: &Evidence) -> Vec<Judged> {
    let Evidence { own, verdict, engine_audit, sells_again, unexpected, panics } = evidence;
    let mut all = own.clone();
    let mut add = |what, wanted: &str, found: String, holds| {
        all.push(Judged { what, wanted: wanted.to_owned(), found, holds });
    };
    let audited = engine_audit.as_ref().is_some_and(|audit| audit.passed);
    let missing = verdict.lost + verdict.late;
    add(
        "confirmations on record",
        "all",
        format!("{} of {}", verdict.confirmed.saturating_sub(missing), verdict.confirmed),
        missing == 0,
    );
    let (doubled, oversold) = (verdict.doubled, verdict.oversold);
    add("nothing doubled", "0", doubled.to_string(), doubled == 0);
    add("nothing oversold", "0", oversold.to_string(), oversold == 0);
    add(
        "clients, counters and order store agree",
        "yes",
        verdict.findings.first().map_or_else(
            || "yes".to_owned(),
            |finding| format!("{}: {}", finding.invariant, finding.what),
        ),
        verdict.is_clean() && verdict.store_read,
    );
    let said = match engine_audit {
        None => "it was not asked".to_owned(),
        Some(audit) if audit.passed => "yes".to_owned(),
        Some(audit) => format!("no: {}", audit.broken()),
    };
    add("the engine's own audit passes", "yes", said, audited);
    let found =
        sells_again.map_or("never".to_owned(), |after| format!("{:.1} s", after.as_secs_f64()));
    let in_time = sells_again.is_some_and(|after| after <= SELLS_AGAIN_WITHIN);
    let wanted = format!("within {} s", SELLS_AGAIN_WITHIN.as_secs());
    add("sells again", &wanted, found, in_time);
    add("answers that are never right", "0", unexpected.to_string(), *unexpected == 0);
    add("panics outside the drill", "0", panics.to_string(), *panics == 0);
    all
}

/// A criterion of a drill's own.
#[must_use]
pub fn wants(
    what: &'static str,
    wanted: impl Into<String>,
    found: impl std::fmt::Display,
    holds: bool,
) -> Judged {
    Judged { what, wanted: wanted.into(), found: found.to_string(), holds }
}

#[cfg(test)]
mod tests {
    use domain::invariants::Invariant;
    use serde_json::Value;

    use super::*;
    use crate::audit::{ClientView, Finding, Rules, compare};

    fn good() -> Evidence {
        let clients = ClientView { confirmations: &[], follow_ups: &[], unresolved: &[] };
        let rules = Rules { limit_per_user: 1, orders_may_expire: false, must_sell_out: false };
        Evidence {
            own: vec![wants("it was broken", "yes", "yes", true)],
            verdict: compare(clients, &[], Some(&[]), rules),
            engine_audit: Some(EngineAudit { passed: true, printed: Value::Null }),
            sells_again: Some(Duration::from_secs(1)),
            ..Evidence::default()
        }
    }

    /// What does not hold once this was changed.
    fn check(change: impl FnOnce(&mut Evidence), broken: &[&str]) {
        let mut evidence = good();
        change(&mut evidence);
        let judged = judge(&evidence);
        let found: Vec<_> =
            judged.iter().filter(|judged| !judged.holds).map(|judged| judged.what).collect();
        assert_eq!(found, broken);
    }

    #[test]
    fn each_question_can_fail_a_drill() {
        let audit = |passed| Some(EngineAudit { passed, printed: Value::Null });
        let on_record = "confirmations on record";
        let audits = "the engine's own audit passes";
        check(|_| {}, &[]);
        check(|evidence| evidence.own[0].holds = false, &["it was broken"]);
        check(
            |evidence| evidence.verdict.lost = 1,
            &[on_record, "clients, counters and order store agree"],
        );
        check(|evidence| evidence.verdict.late = 1, &[on_record]);
        check(
            |evidence| evidence.verdict.doubled = 1,
            &["nothing doubled", "clients, counters and order store agree"],
        );
        check(
            |evidence| evidence.verdict.oversold = 1,
            &["nothing oversold", "clients, counters and order store agree"],
        );
        let finding = Finding { invariant: Invariant::I1, what: "item 0".to_owned() };
        check(
            |evidence| evidence.verdict.findings.push(finding),
            &["clients, counters and order store agree"],
        );
        check(
            |evidence| evidence.verdict.store_read = false,
            &["clients, counters and order store agree"],
        );
        check(|evidence| evidence.engine_audit = audit(false), &[audits]);
        check(|evidence| evidence.engine_audit = None, &[audits]);
        check(|evidence| evidence.sells_again = None, &["sells again"]);
        let late = SELLS_AGAIN_WITHIN + Duration::from_millis(1);
        check(|evidence| evidence.sells_again = Some(late), &["sells again"]);
        check(|evidence| evidence.unexpected = 1, &["answers that are never right"]);
        check(|evidence| evidence.panics = 1, &["panics outside the drill"]);
    }
}
