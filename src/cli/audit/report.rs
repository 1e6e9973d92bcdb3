//! An audit's report, for people and for machines. Must not know how anything was judged.

use super::advice;
use crate::audit::{AuditedLog, Findings, Judged, OrderCounts, PaymentCounts, Source, Unasked};
use crate::cli::failure::Exit;
use crate::cli::numbers::grouped;
use domain::invariants::Rule;
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

/// What an audit found: the object that `--json` prints, with `passed` added.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// The data directory whose journal was audited; none where a cluster's log was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The cluster whose log was audited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterLook>,
    /// The number of shards that it was made with.
    pub shards: u64,
    /// How many records were read.
    pub records: u64,
    /// How many items are on record.
    pub items: u64,
    /// The orders on record.
    pub orders: OrderCounts,
    /// Their payments on record.
    pub payments: PaymentCounts,
    /// How many messages and records were set aside, if there is a place for them.
    pub dead_letters: Option<u64>,
    /// Items on record that the catalogue does not know, if there is a catalogue.
    pub unknown_items: Option<Vec<u64>>,
    /// One check per invariant, in their order; before them `form`, if a record is malformed.
    pub checks: Vec<Check>,
    /// What the configuration names and could not be asked; the audit fails where there is any.
    pub unasked: Vec<Missing>,
}

/// A cluster's log, as of when it was audited.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClusterLook {
    /// Where in etcd it is.
    pub prefix: String,
    /// The revision of etcd that was read.
    pub revision: i64,
}

/// A store that could not be asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Missing {
    /// Which it is.
    pub store: Source,
    /// Why not, in words.
    pub why: String,
    /// The invariants that are left open without it, in whole or in part.
    pub leaves_open: Vec<String>,
    /// What to do.
    pub to_do: &'static str,
}

/// What became of one invariant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// Its number, such as `I1`.
    pub invariant: String,
    /// What it says.
    pub title: String,
    /// What became of it.
    pub verdict: Verdict,
    /// How many times it was judged.
    pub checked: u64,
    /// Where it was first broken, or why it was not judged, in words.
    pub detail: Option<String>,
    /// What to do, where it is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_do: Option<&'static str>,
}

/// What became of an invariant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It held wherever it was judged.
    Holds,
    /// It did not hold somewhere.
    Broken,
    /// This audit could not judge it.
    NotJudged,
}

impl Verdict {
    /// The words for people.
    fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Broken => "BROKEN",
            Self::NotJudged => "not judged",
        }
    }
}

impl Report {
    /// Whether nothing is broken or lost, and all that the configuration names was asked.
    pub fn passed(&self) -> bool {
        self.exit().is_none()
    }

    /// What to tell the shell; none if the audit passes.
    pub fn exit(&self) -> Option<Exit> {
        let is_broken = self.checks.iter().any(|check| check.verdict == Verdict::Broken);
        if is_broken || !self.unknown_items().is_empty() {
            return Some(Exit::Broken);
        }
        (!self.unasked.is_empty()).then_some(Exit::Data)
    }

    fn unknown_items(&self) -> &[u64] {
        self.unknown_items.as_deref().unwrap_or_default()
    }

    /// Prints the report: one JSON object, or a table for people.
    ///
    /// # Errors
    /// Returns the output's error if it cannot be written.
    pub fn print(&self, json: bool, output: &mut impl Write) -> io::Result<()> {
        if json {
            return writeln!(output, "{}", as_json(self));
        }
        let Report { shards, records, items, orders, dead_letters, checks, .. } = self;
        writeln!(
            output,
            "{}: {} records in {shards} shards, {} items, {} orders",
            self.place(),
            grouped(*records),
            grouped(*items),
            grouped(orders.total()),
        )?;
        writeln!(
            output,
            "orders: {} reserved, {} paid, {} cancelled, {} expired, {} refund due",
            grouped(orders.reserved),
            grouped(orders.paid),
            grouped(orders.cancelled),
            grouped(orders.expired),
            grouped(orders.refund_due),
        )?;
        self.print_payments(output)?;
        writeln!(output)?;
        if let Some(letters) = dead_letters.filter(|letters| *letters > 0) {
            writeln!(
                output,
                "{} dead letters: see `seckill dead-letters list`\n",
                grouped(letters)
            )?;
        }
        if let [first, others @ ..] = self.unknown_items() {
            writeln!(
                output,
                "the catalogue does not know item {first}{}: it was lost, or is older than the journal\n",
                match others.len() {
                    0 => String::new(),
                    others => format!(" and {others} more"),
                }
            )?;
        }
        for check in checks {
            check.print(output)?;
        }
        for missing in &self.unasked {
            missing.print(output)?;
        }
        self.print_verdict(output)
    }

    fn print_payments(&self, output: &mut impl Write) -> io::Result<()> {
        let PaymentCounts { started, captured, failed, refund_due, refunded } = self.payments;
        if self.payments.total() == 0 {
            return Ok(());
        }
        writeln!(
            output,
            "payments: {} started, {} captured, {} failed, {} refund due, {} refunded",
            grouped(started),
            grouped(captured),
            grouped(failed),
            grouped(refund_due),
            grouped(refunded),
        )
    }

    /// What was audited, in words.
    fn place(&self) -> String {
        match (&self.data_dir, &self.cluster) {
            (_, Some(ClusterLook { prefix, revision })) => {
                format!("etcd under {prefix} at revision {revision}")
            }
            (Some(data_dir), None) => data_dir.display().to_string(),
            (None, None) => String::new(),
        }
    }

    fn print_verdict(&self, output: &mut impl Write) -> io::Result<()> {
        let count = |wanted| self.checks.iter().filter(|check| check.verdict == wanted).count();
        let (hold, broken) = (count(Verdict::Holds), count(Verdict::Broken));
        let verdict = match (hold, self.passed()) {
            (0, true) => "there is nothing to judge",
            (_, true) => "the audit passes",
            (_, false) => "THE AUDIT FAILS",
        };
        let not_judged = count(Verdict::NotJudged);
        write!(output, "\n{verdict}: {hold} hold, {broken} broken, {not_judged} not judged")?;
        if !self.unasked.is_empty() {
            let names: Vec<_> = self.unasked.iter().map(|missing| missing.store.words()).collect();
            write!(output, "; could not be asked: {}", names.join(", "))?;
        }
        writeln!(output)
    }
}

impl Check {
    fn print(&self, output: &mut impl Write) -> io::Result<()> {
        let Self { invariant, title, .. } = self;
        let (verdict, checked) = (self.verdict.words(), grouped(self.checked));
        writeln!(output, "{invariant:<4} {verdict:<10} {checked:>13}  {title}")?;
        if let Some(detail) = &self.detail {
            writeln!(output, "{:31}{detail}", "")?;
        }
        match self.to_do {
            Some(advice) => writeln!(output, "{:31}to do: {advice}", ""),
            None => Ok(()),
        }
    }
}

impl Missing {
    fn print(&self, output: &mut impl Write) -> io::Result<()> {
        writeln!(output, "\n{} could not be asked: {}", self.store.words(), self.why)?;
        writeln!(output, "means: left open is {}", self.leaves_open.join(", "))?;
        writeln!(output, "to do: {}", self.to_do)
    }
}

impl From<Unasked> for Missing {
    fn from(Unasked { source, why }: Unasked) -> Self {
        let open = source.leaves_open().iter();
        Self {
            store: source,
            why,
            leaves_open: open.map(|invariant| Rule::from(*invariant).to_string()).collect(),
            to_do: advice::of_source(source),
        }
    }
}

impl From<Findings> for Report {
    fn from(findings: Findings) -> Self {
        let Findings {
            log,
            shards,
            records,
            items,
            orders,
            payments,
            dead_letters,
            unknown_items,
            judged,
            unasked,
        } = findings;
        let checks = judged.into_iter().map(|judged| Check::of(judged, &log)).collect();
        let unasked = unasked.into_iter().map(Missing::from).collect();
        let (data_dir, cluster) = match log {
            AuditedLog::Directory(path) => (Some(path), None),
            AuditedLog::Cluster { prefix, revision } => {
                (None, Some(ClusterLook { prefix, revision }))
            }
        };
        Self {
            data_dir,
            cluster,
            shards,
            records,
            items,
            orders,
            payments,
            dead_letters,
            unknown_items,
            checks,
            unasked,
        }
    }
}

impl Check {
    fn of(judged: Judged, log: &AuditedLog) -> Self {
        let advice = match log {
            AuditedLog::Directory(_) => advice::of_rule,
            AuditedLog::Cluster { .. } => advice::of_rule_in_cluster,
        };
        Self {
            invariant: judged.rule.to_string(),
            title: judged.rule.title().to_owned(),
            verdict: match judged {
                Judged { broken: 1.., .. } => Verdict::Broken,
                Judged { checked: 0, .. } => Verdict::NotJudged,
                Judged { .. } => Verdict::Holds,
            },
            checked: judged.checked,
            detail: judged.detail,
            to_do: (judged.broken > 0).then(|| advice(judged.rule)),
        }
    }
}

fn as_json(report: &Report) -> serde_json::Value {
    let mut json = serde_json::json!(report);
    json["passed"] = report.passed().into();
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::invariants::{Finding, Invariant};

    fn report(broken: u64) -> Report {
        let first = (broken > 0).then(|| "shard 3 record 17: available is -1".to_owned());
        let held = Finding { checked: 1_234_567, broken: 0, first: None };
        Report::from(Findings {
            log: AuditedLog::Directory("data".into()),
            shards: 64,
            records: 1_234_567,
            items: 3,
            orders: OrderCounts { reserved: 1, paid: 2, ..OrderCounts::default() },
            payments: PaymentCounts::default(),
            dead_letters: Some(0),
            unknown_items: Some(Vec::new()),
            judged: vec![
                Judged::new(Invariant::I1, held),
                Judged::new(Invariant::I2, Finding { checked: 3, broken, first }),
                Judged::not_judged(Invariant::I3, "no file of confirmations was given"),
            ],
            unasked: Vec::new(),
        })
    }

    fn text(report: &Report, json: bool) -> String {
        let mut output = Vec::new();
        report.print(json, &mut output).expect("a vector takes all");
        String::from_utf8(output).expect("UTF-8")
    }

    #[test]
    fn a_catalogue_that_lacks_items_fails_it() {
        let lacking = Report { unknown_items: Some(vec![7, 9]), ..report(0) };
        let text = text(&lacking, false);
        assert!(
            text.contains("the catalogue does not know item 7 and 1 more: it was lost"),
            "{text}"
        );
        assert!(text.ends_with("THE AUDIT FAILS: 2 hold, 0 broken, 1 not judged\n"), "{text}");
        assert!(!lacking.passed() && report(0).passed());
    }

    #[test]
    fn what_could_not_be_asked_fails_it_in_words_of_its_own() {
        let why = "data/orders.db does not exist".to_owned();
        let unasked = vec![Missing::from(Unasked { source: Source::OrderStore, why })];
        let report = Report { unasked, ..report(0) };
        assert_eq!((report.passed(), report.exit()), (false, Some(Exit::Data)));
        let text = text(&report, false);
        let told = "the order store could not be asked: data/orders.db does not exist\n\
                    means: left open is I4, I12, I13, I17\nto do: bring it back";
        assert!(text.contains(told), "{text}");
        let last = "THE AUDIT FAILS: 2 hold, 0 broken, 1 not judged; could not be asked: the order store\n";
        assert!(text.ends_with(last), "{text}");
    }

    #[test]
    fn an_audit_that_passes() {
        insta::assert_snapshot!(text(&report(0), false), @r"
        data: 1,234,567 records in 64 shards, 3 items, 3 orders
        orders: 1 reserved, 2 paid, 0 cancelled, 0 expired, 0 refund due

        I1   holds          1,234,567  allotted = available + reserved + sold, per item, at every seq
        I2   holds                  3  available is never below 0
        I3   not judged             0  each confirmation a client saw has exactly one record
                                       no file of confirmations was given

        the audit passes: 2 hold, 0 broken, 1 not judged
        ");
    }

    #[test]
    fn an_audit_that_fails() {
        insta::assert_snapshot!(text(&report(1), false), @r"
        data: 1,234,567 records in 64 shards, 3 items, 3 orders
        orders: 1 reserved, 2 paid, 0 cancelled, 0 expired, 0 refund due

        I1   holds          1,234,567  allotted = available + reserved + sold, per item, at every seq
        I2   BROKEN                 3  available is never below 0
                                       shard 3 record 17: available is -1
                                       to do: pause the item: its latest orders have no units. Restock it by so many, or cancel those orders
        I3   not judged             0  each confirmation a client saw has exactly one record
                                       no file of confirmations was given

        THE AUDIT FAILS: 1 hold, 1 broken, 1 not judged
        ");
    }

    #[test]
    fn payments_are_told_where_there_are_any() {
        let payments = PaymentCounts { captured: 1_234, refund_due: 5, ..PaymentCounts::default() };
        let report = Report { payments, ..report(0) };
        let told = "0 refund due\npayments: 0 started, 1,234 captured, 0 failed, 5 refund due, 0 refunded\n\n";
        assert!(text(&report, false).contains(told), "{}", text(&report, false));
        let json: serde_json::Value = serde_json::from_str(&text(&report, true)).expect("JSON");
        assert_eq!(json["payments"]["refund_due"], 5);
    }

    #[test]
    fn json_carries_the_verdict() {
        let value: serde_json::Value = serde_json::from_str(&text(&report(1), true)).expect("JSON");
        assert_eq!(value["passed"], false);
        assert_eq!(value["orders"]["paid"], 2);
        assert_eq!(value["checks"][1]["invariant"], "I2");
        let verdicts = value["checks"].as_array().expect("checks").iter();
        let verdicts: Vec<_> = verdicts.map(|check| check["verdict"].clone()).collect();
        assert_eq!(verdicts, ["holds", "broken", "not_judged"]);
    }
}
