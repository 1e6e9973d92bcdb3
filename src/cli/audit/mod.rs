//! `seckill audit`: its arguments, and what it opens to have it audited.

mod advice;
mod report;

pub use report::{Check, Report};

use super::failure::{Exit, Failure};
use super::readable;
use crate::audit::{self, AuditOptions, ClusterLog, LogSource, Source, Unasked};
use crate::config::Config;
use crate::opening::{self, OpenError};
use crate::store::broker::dead_letters::{self, DeadLetter};
use crate::store::broker::{BrokerAddress, BrokerError};
use crate::store::checkpoint::CheckpointStore;
use crate::store::data_dir::DataDir;
use crate::store::journal::JournalId;
use crate::store::journal::fenced::EtcdLog;
use crate::store::orders::OrderStore;
use crate::store::registry::{EtcdRegistry, FORMAT, Registry};
use domain::OrderId;
use std::fmt::Display;
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

/// How long a call to etcd may take. A node is in more of a hurry.
const ETCD_TIMEOUT: Duration = Duration::from_secs(10);

/// Audits the configured data directory, or the cluster's log in etcd, with the checkpoints and the order store that belong to it.
///
/// # Errors
/// Returns [`Failure`] if something cannot be read, so that there is no verdict.
pub fn run(config: &Config, arguments: &AuditArguments) -> Result<Report, Failure> {
    let confirmations = arguments.confirmations.as_deref().map(confirmations).transpose()?;
    if !config.cluster.is_set() {
        readable::check(&config.data.dir)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure {
        exit: Exit::Fault,
        ..unjudged(&error, "see what limits this user's threads and open files")
    })?;
    runtime.block_on(async {
        let data_dir = DataDir::look(&config.data.dir);
        let mut unasked = Vec::new();
        let cluster = match config.cluster.is_set() {
            true => Some(cluster(config).await?),
            false => None,
        };
        let orders = orders(config, &data_dir, &mut unasked).await?;
        let journal = cluster.as_ref().map(|cluster| cluster.identity);
        let checkpoints = checkpoints(config, &data_dir, journal, &mut unasked).await?;
        let broker = opening::broker_address(config).map_err(|error| of_opening(&error))?;
        let dead_letters = dead_letters(broker, orders.as_ref(), &mut unasked).await;
        let wait = arguments.live.then_some(LIVE_WAIT);
        let log = cluster.map_or(LogSource::Directory(data_dir), LogSource::Cluster);
        let findings = audit::run(AuditOptions {
            log,
            checkpoints,
            orders,
            dead_letters,
            unasked,
            confirmations,
            wait,
        });
        let findings = findings.await;
        Ok(findings.map_err(|error| unjudged(&error, advice::of_error(&error)))?.into())
    })
}

/// The log of the cluster.
async fn cluster(config: &Config) -> Result<ClusterLog, Failure> {
    let etcd = opening::etcd(config, ETCD_TIMEOUT).map_err(|error| Failure {
        exit: Exit::Configuration,
        ..unjudged(&error, "correct cluster.endpoints, or the certificates that [cluster] names")
    })?;
    let prefix = config.cluster.prefix.clone();
    let registry = EtcdRegistry::new(etcd.clone(), prefix.as_str(), Duration::ZERO);
    let found = registry.cluster().await.map_err(|error| {
        let remedy = "see that cluster.endpoints names etcd's members, that a majority of them answers, and \
                      that cluster.user may read below cluster.prefix; then repeat";
        unjudged(&error, remedy)
    })?;
    let found = found.ok_or_else(|| {
        let remedy =
            "correct cluster.endpoints or cluster.prefix: no node has founded a shop there";
        unjudged(&format_args!("etcd holds no shop under {prefix}"), remedy)
    })?;
    let identity = found.journal_id().filter(|_| found.format == FORMAT).ok_or_else(|| {
        let what = format_args!("the cluster is kept in format {}", found.format);
        unjudged(&what, "audit with the version of seckill that the nodes run")
    })?;
    let log = EtcdLog::new(etcd, prefix.as_str());
    Ok(ClusterLog { log, prefix, identity, shards: found.shards })
}

/// The order store; noted if it is not there, because an audit makes no files and every shop has one.
async fn orders(
    config: &Config,
    data_dir: &DataDir,
    unasked: &mut Vec<Unasked>,
) -> Result<Option<OrderStore>, Failure> {
    let opened = opening::existing_orders(config, data_dir).await;
    asked(Source::OrderStore, opened, &data_dir.orders(), unasked)
}

/// The checkpoints; noted if they are not there.
async fn checkpoints(
    config: &Config,
    data_dir: &DataDir,
    journal: Option<JournalId>,
    unasked: &mut Vec<Unasked>,
) -> Result<Option<CheckpointStore>, Failure> {
    let opened = match journal {
        None => opening::existing_checkpoints(config, data_dir).await,
        Some(journal) => opening::checkpoints(config, data_dir, journal).await.map(Some),
    };
    asked(Source::Checkpoints, opened, &data_dir.checkpoints(), unasked)
}

fn asked<T>(
    source: Source,
    opened: Result<Option<T>, OpenError>,
    path: &Path,
    unasked: &mut Vec<Unasked>,
) -> Result<Option<T>, Failure> {
    let why = match opened {
        Ok(Some(store)) => return Ok(Some(store)),
        Ok(None) => format!("{} does not exist", path.display()),
        Err(error @ (OpenError::DataDir(_) | OpenError::Certificate { .. })) => {
            return Err(of_opening(&error));
        }
        Err(error) if path.exists() => format!("{}: {error}", path.display()),
        Err(error) => error.to_string(),
    };
    unasked.push(Unasked { source, why });
    Ok(None)
}

/// The dead letters, if there is a broker or an order store that can have any; at most so many of
/// each. One that does not answer is noted: the audit finds the same of the order store.
async fn dead_letters(
    broker: Option<BrokerAddress>,
    orders: Option<&OrderStore>,
    unasked: &mut Vec<Unasked>,
) -> Option<Vec<DeadLetter>> {
    const LETTERS_MAX: usize = 10_000;
    let queued = match broker {
        None => None,
        Some(address) => match dead_letters::list(address, LETTERS_MAX).await {
            Ok(letters) => Some(letters),
            // No engine has served with this broker yet.
            Err(BrokerError::QueueMissing) => Some(Vec::new()),
            Err(error) => {
                unasked.push(Unasked { source: Source::Broker, why: error.to_string() });
                None
            }
        },
    };
    let kept = match orders {
        Some(orders) => orders.set_aside(LETTERS_MAX).await.ok(),
        None => None,
    };
    let kept = kept.map(|kept| kept.into_iter().map(DeadLetter::from));
    match (queued, kept) {
        (None, None) => None,
        (queued, kept) => {
            Some(queued.into_iter().flatten().chain(kept.into_iter().flatten()).collect())
        }
    }
}

fn of_opening(error: &OpenError) -> Failure {
    unjudged(error, "make the files that the configuration names readable for this user")
}

fn unjudged(error: &dyn Display, remedy: &str) -> Failure {
    Failure {
        exit: Exit::Data,
        what: format!("there is no verdict: {error}"),
        meaning: "nothing was judged; nothing was changed".to_owned(),
        remedy: remedy.to_owned(),
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
