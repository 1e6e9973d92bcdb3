//! `seckill audit`: its arguments, and what it opens to have it audited.

mod report;

pub use report::{Check, Report};

use super::failure::{Exit, Failure};
use crate::audit::{self, AuditError, AuditOptions};
use crate::config::Config;
use crate::opening;
use crate::store::broker::dead_letters::{self, DeadLetter};
use crate::store::broker::{BrokerAddress, BrokerError};
use crate::store::data_dir::DataDir;
use crate::store::orders::OrderStore;
use domain::OrderId;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a live audit waits for the order store.
const LIVE_WAIT: Duration = Duration::from_secs(60);

/// The arguments of `seckill audit`.
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
/// Returns [`Failure`] if something cannot be read, so that there is no verdict.
pub fn run(config: &Config, arguments: &AuditArguments) -> Result<Report, Failure> {
    let confirmations = arguments.confirmations.as_deref().map(confirmations).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| unjudged(&error, Exit::Fault))?;
    let findings = runtime.block_on(async {
        let data_dir = DataDir::look(&config.data.dir);
        // An audit makes no files.
        let orders = opening::existing_orders(config, &data_dir).await?;
        let broker = opening::broker_address(config)?;
        let dead_letters = dead_letters(broker, orders.as_ref()).await?;
        let checkpoints = opening::existing_checkpoints(config, &data_dir).await?;
        let wait = arguments.live.then_some(LIVE_WAIT);
        let options =
            AuditOptions { data_dir, checkpoints, orders, dead_letters, confirmations, wait };
        Ok::<_, Box<dyn std::error::Error>>(audit::run(options).await?)
    });
    Ok(Report::from(findings.map_err(|error| unjudged(error.as_ref(), Exit::Data))?))
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
        meaning: "nothing was judged; nothing was changed".to_owned(),
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
/// Returns [`Failure`] if it cannot be read, or a line is no order id.
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

#[cfg(test)]
mod tests {
    use super::*;

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
