//! `seckill audit`: its arguments, and a report for people and for machines.

use super::failure::{Exit, Failure};
use crate::audit::{self, AuditError, AuditOptions, Check, Report};
use crate::config::Config;
use crate::opening;
use crate::store::broker::dead_letters::{self, DeadLetter};
use crate::store::broker::{BrokerAddress, BrokerError};
use crate::store::data_dir::DataDir;
use crate::store::orders::OrderStore;
use domain::OrderId;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a live audit waits for the order store.
const LIVE_WAIT: Duration = Duration::from_secs(60);

/// What `seckill audit` can be told.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AuditArguments {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Beside a shop that is selling: wait, for a minute at most, until the order store has reached
    /// what is on record now, so that all of that can be judged
    #[arg(long)]
    pub live: bool,
    /// Orders that clients saw confirmed, one id a line: each must be on record (I3)
    #[arg(long, value_name = "FILE")]
    pub confirmations: Option<PathBuf>,
}

/// Audits the configured data directory with the checkpoints and the order store that belong to it.
///
/// # Errors
/// Where something cannot be read, so that there is no verdict.
pub fn run(config: &Config, arguments: &AuditArguments) -> Result<Report, Failure> {
    let confirmations = arguments.confirmations.as_deref().map(confirmations).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| unjudged(&error, Exit::Fault))?;
    let report = runtime.block_on(async {
        let data_dir = DataDir::look(&config.data.dir);
        // An audit makes no files.
        let orders = opening::existing_orders(config, &data_dir).await?;
        let broker = opening::broker_address(config)?;
        let dead_letters = dead_letters(broker, orders.as_ref()).await?;
        let checkpoints = opening::existing_checkpoints(config, &data_dir).await?;
        let wait = arguments.live.then_some(LIVE_WAIT);
        let options =
            AuditOptions { data_dir, checkpoints, orders, dead_letters, confirmations, wait };
        Ok(audit::run(options).await?)
    });
    report.map_err(|error: Box<dyn std::error::Error>| unjudged(error.as_ref(), Exit::Data))
}

/// The dead letters, if there is a broker or an order store that can have any; at most so many of
/// each.
async fn dead_letters(
    broker: Option<BrokerAddress>,
    orders: Option<&OrderStore>,
) -> Result<Option<Vec<DeadLetter>>, AuditError> {
    const LETTERS_MAX: usize = 10_000;
    let queued = match broker {
        None => None,
        Some(address) => match dead_letters::list(address, LETTERS_MAX).await {
            Ok(letters) => Some(letters),
            // No engine has served with this broker yet.
            Err(BrokerError::QueueMissing) => Some(Vec::new()),
            Err(error) => return Err(error.into()),
        },
    };
    let Some(orders) = orders else { return Ok(queued) };
    let kept = orders.set_aside(LETTERS_MAX).await?.into_iter().map(DeadLetter::from);
    Ok(Some(queued.into_iter().flatten().chain(kept).collect()))
}

fn unjudged(error: &dyn std::error::Error, exit: Exit) -> Failure {
    Failure {
        exit,
        what: format!("there is no verdict: {error}"),
        meaning: "the books were not judged; nothing was changed".to_owned(),
        remedy:
            "see that data.dir names the directory, that this user can read it, that the servers \
                 which keep checkpoints and orders can be reached, and that tables which an older \
                 version made were brought up to date with `seckill migrate`"
                .to_owned(),
    }
}

/// Reads a file of order ids, one a line; empty lines count for nothing.
///
/// # Errors
/// Where it cannot be read, or a line is no order id.
pub fn confirmations(path: &Path) -> Result<Vec<OrderId>, Failure> {
    let refused = |what: String| Failure {
        exit: Exit::Fault,
        what: format!("{}: {what}", path.display()),
        meaning: "nothing was audited, and no data was touched".to_owned(),
        remedy: "give --confirmations a file with one order id a line".to_owned(),
    };
    let file = File::open(path).map_err(|error| refused(error.to_string()))?;
    let mut orders = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| refused(error.to_string()))?;
        let text = line.trim();
        if !text.is_empty() {
            let order = text.parse();
            orders
                .push(order.map_err(|error| {
                    refused(format!("line {}: {text:?} is {error}", index + 1))
                })?);
        }
    }
    Ok(orders)
}

/// Prints the report.
///
/// # Errors
/// Where the output cannot be written.
pub fn print(report: &Report, json: bool, output: &mut impl Write) -> io::Result<()> {
    if json {
        return writeln!(output, "{}", as_json(report));
    }
    let Report { data_dir, shards, records, items, orders, dead_letters, checks } = report;
    writeln!(
        output,
        "{}: {} records in {shards} shards, {} items, {} orders",
        data_dir.display(),
        grouped(*records),
        grouped(*items),
        grouped(orders.total()),
    )?;
    writeln!(
        output,
        "orders: {} reserved, {} paid, {} cancelled, {} expired, {} refund due\n",
        grouped(orders.reserved),
        grouped(orders.paid),
        grouped(orders.cancelled),
        grouped(orders.expired),
        grouped(orders.refund_due),
    )?;
    if let Some(letters) = dead_letters.filter(|letters| *letters > 0) {
        writeln!(output, "{} dead letters: see `seckill dead-letters list`\n", grouped(letters))?;
    }
    for check in checks {
        let verdict = verdict(check);
        let (invariant, title) = (&check.invariant, &check.title);
        writeln!(output, "{invariant:<4} {verdict:<10} {:>13}  {title}", grouped(check.checked))?;
        if let Some(detail) = &check.detail {
            writeln!(output, "{:31}{detail}", "")?;
        }
    }
    let count = |wanted: &str| checks.iter().filter(|check| verdict(check) == wanted).count();
    let (hold, broken) = (count(HOLDS), count(BROKEN));
    let verdict = match (hold, broken) {
        (0, 0) => "there is nothing to judge",
        (_, 0) => "the books balance",
        _ => "THE BOOKS DO NOT BALANCE",
    };
    let not_judged = count(NOT_JUDGED);
    writeln!(output, "\n{verdict}: {hold} hold, {broken} broken, {not_judged} not judged")
}

const HOLDS: &str = "holds";
const BROKEN: &str = "BROKEN";
const NOT_JUDGED: &str = "not judged";

fn verdict(check: &Check) -> &'static str {
    match check {
        Check { passed: false, .. } => BROKEN,
        Check { checked: 0, .. } => NOT_JUDGED,
        Check { .. } => HOLDS,
    }
}

fn as_json(report: &Report) -> serde_json::Value {
    let mut json = serde_json::json!(report);
    json["passed"] = report.passed().into();
    json
}

/// The number with its digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let plain = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::OrderCounts;
    use domain::invariants::Finding;

    fn report(broken: u64) -> Report {
        let first = (broken > 0).then(|| "shard 3 record 17: oversold".to_owned());
        Report {
            data_dir: "data".into(),
            shards: 64,
            records: 1_234_567,
            items: 3,
            orders: OrderCounts { reserved: 1, paid: 2, ..OrderCounts::default() },
            dead_letters: Some(0),
            checks: vec![
                Check::of("I1", &Finding { checked: 1_234_567, broken: 0, first: None }),
                Check::of("I2", &Finding { checked: 3, broken, first }),
                Check::not_judged("I3", "no file of confirmations was given"),
            ],
        }
    }

    fn text(report: &Report, json: bool) -> String {
        let mut output = Vec::new();
        print(report, json, &mut output).expect("a vector takes all");
        String::from_utf8(output).expect("UTF-8")
    }

    #[test]
    fn books_that_balance() {
        insta::assert_snapshot!(text(&report(0), false), @r"
        data: 1,234,567 records in 64 shards, 3 items, 3 orders
        orders: 1 reserved, 2 paid, 0 cancelled, 0 expired, 0 refund due

        I1   holds          1,234,567  allotted = available + reserved + sold, per item, at every seq
        I2   holds                  3  available is never below 0
        I3   not judged             0  each confirmation a client saw has exactly one record
                                       no file of confirmations was given

        the books balance: 2 hold, 0 broken, 1 not judged
        ");
    }

    #[test]
    fn books_that_do_not() {
        insta::assert_snapshot!(text(&report(1), false), @r"
        data: 1,234,567 records in 64 shards, 3 items, 3 orders
        orders: 1 reserved, 2 paid, 0 cancelled, 0 expired, 0 refund due

        I1   holds          1,234,567  allotted = available + reserved + sold, per item, at every seq
        I2   BROKEN                 3  available is never below 0
                                       shard 3 record 17: oversold
        I3   not judged             0  each confirmation a client saw has exactly one record
                                       no file of confirmations was given

        THE BOOKS DO NOT BALANCE: 1 hold, 1 broken, 1 not judged
        ");
    }

    #[test]
    fn json_carries_the_verdict() {
        let value: serde_json::Value = serde_json::from_str(&text(&report(1), true)).expect("JSON");
        assert_eq!(value["passed"], false);
        assert_eq!(value["orders"]["paid"], 2);
        assert_eq!(value["checks"][1]["invariant"], "I2");
        assert_eq!(value["checks"][2]["checked"], 0);
    }

    #[test]
    fn confirmations_are_one_a_line() {
        let check = |text: &str, expected: Result<Vec<u64>, &str>| {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), text).expect("written");
            match (confirmations(file.path()), expected) {
                (Ok(orders), Ok(expected)) => {
                    assert_eq!(orders, expected.into_iter().map(OrderId).collect::<Vec<_>>());
                }
                (Err(failure), Err(expected)) => assert!(failure.what.ends_with(expected)),
                (outcome, _) => panic!("{text:?} came to {outcome:?}"),
            }
        };
        check("", Ok(vec![]));
        check("1\r\n\n 22 \n", Ok(vec![1, 22]));
        check("1\nx\n", Err("line 2: \"x\" is not a decimal identity"));
    }
}
