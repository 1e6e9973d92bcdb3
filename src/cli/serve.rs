//! `seckill serve`: starts the product, says where it is, and drains when told to stop.

use super::banner::{self, Offer, OfferItem};
use super::failure::{Exit, Failure};
use crate::app::{App, AppError};
use crate::config::Config;
use crate::demo;
use crate::http::Role;
use crate::opening::OpenError;
use crate::store::data_dir::DataDirError;
use crate::telemetry;
use domain::{OrderStatus, UserId};
use std::io::{self, Write};
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How far the journal's newest record may be ahead of the wall clock, unless it is accepted: clocks that
/// are kept are not minutes apart.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(300);

/// What `seckill serve` can be told.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct ServeArguments {
    /// Go on at the time of the journal's newest record, however far that is ahead of the wall clock
    #[arg(long)]
    accept_clock: bool,
}

/// Serves until SIGTERM or SIGINT, then drains. A signal during recovery ends the process at once:
/// it may be killed at any instruction anyway.
///
/// # Errors
/// Returns [`Failure`] if the engine cannot start.
pub fn run(
    config: &Config,
    arguments: ServeArguments,
    output: &mut impl Write,
) -> Result<(), Failure> {
    telemetry::log::start(config.log.format, &config.log.filter).map_err(|error| fault(&error))?;
    let metrics = telemetry::metrics::start().map_err(|error| fault(&error))?;
    let threads = match usize::from(config.engine.worker_threads) {
        0 => available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("seckill-sale")
        .enable_all()
        .build()
        .map_err(|error| fault(&error))?;
    runtime.spawn(telemetry::repeats::tell_each_period());
    let outcome = runtime.block_on(async {
        let _xfsz = ignore_file_size_signal().map_err(|error| fault(&error))?;
        let clock_ahead_max = if arguments.accept_clock { Duration::MAX } else { CLOCK_AHEAD_MAX };
        let app = App::start(config, clock_ahead_max, metrics).await?;
        let mut signals = Signals::listen().map_err(|error| fault(&error))?;
        // The output need not be read, so a closed one does not stop the sale.
        let offer = offer(&app, config).await;
        let _ = announce(&app, offer.as_ref(), output);
        signals.received().await;
        app.stop().await;
        Ok(())
    });
    // A sync that hangs holds a thread which cannot be ended: do not wait for it.
    runtime.shutdown_background();
    outcome
}

/// What a newcomer can buy, with a demo user's token. An address outside this machine gets none.
async fn offer(app: &App, config: &Config) -> Option<Offer> {
    const ORDERS_MAX: usize = 100;
    if !config.demo.enabled {
        return None;
    }
    let (engine, now) = (app.engine(), app.engine().now());
    let sale = demo::next_sale(app.sales(), now).await.ok().flatten()?;
    let held = engine.orders_of(DEMO_USER, None, ORDERS_MAX).await.unwrap_or_default();
    let items = sale.items.iter().map(|item| {
        let own = held.iter().filter(|order| order.item_id == item.item_id);
        let live = own.filter(|order| order.status.is_live());
        let units: u32 = live.map(|order| u32::from(order.quantity)).sum();
        OfferItem {
            item_id: item.item_id,
            title: item.offer.title.clone(),
            price: item.offer.price,
            currency: item.offer.currency,
            allotted: item.offer.allotted,
            available: engine
                .gate(item.item_id)
                .map_or(item.offer.allotted, |gate| gate.counters().available),
            may_buy: units < u32::from(item.offer.limit_per_user),
        }
    });
    let reserved = held.iter().find(|order| order.status == OrderStatus::Reserved);
    let token_seconds = config.tokens.ttl_seconds;
    let (subject, made_at) = (DEMO_USER.to_string(), engine.clock().token_time());
    Some(Offer {
        title: sale.title.clone(),
        starts_at: sale.starts_at,
        items: items.collect(),
        token: app.signer().mint(&subject, Role::Buyer, made_at, token_seconds),
        token_seconds,
        reserved: reserved.map(|order| order.order_id),
    })
}

/// The buyer whose token the banner shows.
const DEMO_USER: UserId = UserId(1);

fn announce(app: &App, offer: Option<&Offer>, output: &mut impl Write) -> io::Result<()> {
    output.write_all(banner::listening(app.address(), app.operations_address()).as_bytes())?;
    let banner = banner::banner(app.address(), offer, app.engine().now());
    output.write_all(banner.as_bytes())?;
    output.flush()
}

/// Lets a write beyond the limit of a file's size fail, as on a full disk, instead of ending the
/// process without a word.
fn ignore_file_size_signal() -> io::Result<Signal> {
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn fault(error: &dyn std::error::Error) -> Failure {
    Failure {
        exit: Exit::Fault,
        what: format!("the process cannot be set up: {error}"),
        meaning: "nothing is served, and no data was touched".to_owned(),
        remedy: "see what limits this user's threads and open files, then start again".to_owned(),
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        let shortage = shortage(&error.to_string());
        let (exit, remedy) = match error {
            AppError::Secret(error) => return error.into(),
            AppError::Open(ref error) => remedy_of_opening(error),
            AppError::Listen(_) => (
                Exit::Address,
                "stop what listens there, or give the setting another address (port 0 picks a free \
                 one)",
            ),
            AppError::JournalInUse(_) => (Exit::Data, STOP_THE_OTHER),
            AppError::NewerJournal(_) => (
                Exit::Data,
                "start the version of seckill that wrote it, or a later one; nothing was changed",
            ),
            AppError::Clock(_) => (
                Exit::Data,
                "set this machine's clock right and start again; if it is right, it was ahead when that \
                 record was made: wait until it gets there, or go on at the journal's time with \
                 `seckill serve --accept-clock` (docs/operations.md, \"Clocks\")",
            ),
            AppError::FileSizeLimit { .. } => (
                Exit::Data,
                "raise the limit (`ulimit -f unlimited`, or LimitFSIZE= of its unit), or lower \
                 journal.segment_bytes",
            ),
            AppError::ForeignCheckpoint(_) => (
                Exit::Data,
                "give this shop a Redis database of its own (checkpoint.redis_url); or, if the data \
                 directory is new because its volume was not mounted, bring the old one back; or, \
                 if the other shop is gone for good, delete its keys `seckill::checkpoint::*`",
            ),
            AppError::ForeignOrders(_) => (
                Exit::Data,
                "give this shop a database of its own (orders.mysql_url); or, if the data directory \
                 is an older copy, or new because its volume was not mounted, bring the right one \
                 back; or, if the journal's disk is lost for good, begin a new one with `seckill \
                 recover --from-orders` (docs/operations.md, \"A lost journal\")",
            ),
            AppError::OrdersLost(_) => (
                Exit::Data,
                "bring the order store back, or a backup of it that reaches that record (orders.db \
                 with its -wal in the data directory, or the database of orders.mysql_url)",
            ),
            AppError::Engine(_) | AppError::Journal(_) => (
                Exit::Data,
                "leave the data directory as it is and make a copy of it; `seckill audit` says \
                 what is in it",
            ),
            AppError::Signer(_) => (Exit::Data, "delete the secret; a new one is made"),
            AppError::Threads(_) => {
                (Exit::Fault, "see what limits this user's threads and open files")
            }
        };
        Self {
            exit,
            what: format!("the sale cannot be served: {error}"),
            meaning: "nothing listens and nothing is sold; confirmed orders are where they were"
                .to_owned(),
            remedy: shortage.unwrap_or(remedy).to_owned(),
        }
    }
}

/// What to do where the machine lacks something, whichever part was the first to notice; none if that
/// is not what the error says.
fn shortage(error: &str) -> Option<&'static str> {
    const SHORTAGES: [(&[&str], &str); 3] = [
        (
            &["disk is full", "No space left on device", "Disk quota exceeded"],
            "make room on the disk of the data directory and start again; leave its files as they are",
        ),
        (
            // What SQLite says of a full disk as well.
            &["disk I/O error"],
            "make room on the disk of the data directory if it is full; otherwise the disk fails, and \
             the kernel's log says how; leave the files as they are and start again",
        ),
        (
            // The last is what a thread that cannot be started is told, too.
            &["out of memory", "Cannot allocate memory", "Resource temporarily unavailable"],
            "give the process more memory and threads (`ulimit -v`, `ulimit -u`, or the limits of its \
             container) and start again; leave its files as they are",
        ),
    ];
    let said = |words: &[&str]| words.iter().any(|word| error.contains(word));
    SHORTAGES.iter().find(|(words, _)| said(words)).map(|(_, remedy)| *remedy)
}

const STOP_THE_OTHER: &str = "one process serves a data directory: stop the other, or set data.dir";

/// What the shell is told, and the person, of a store that cannot be opened.
fn remedy_of_opening(error: &OpenError) -> (Exit, &'static str) {
    match error {
        OpenError::DataDir(DataDirError::InUse(_)) => (Exit::Data, STOP_THE_OTHER),
        OpenError::DataDir(DataDirError::FewerShards { .. }) => {
            (Exit::Data, "set engine.shards to at least as many as the directory has")
        }
        OpenError::DataDir(DataDirError::Io { .. }) => {
            (Exit::Data, "make the data directory readable and writable for this user (data.dir)")
        }
        OpenError::DataDir(DataDirError::Malformed { .. }) => (
            Exit::Data,
            "bring the file back from a copy of the data directory; the journal's identity is also in \
             the order store (table `journal`) and in the checkpoints in Redis (field `journal`)",
        ),
        OpenError::Certificate { .. } => (
            Exit::Configuration,
            "make checkpoint.redis_ca_file and broker.amqp_ca_file name readable files",
        ),
        OpenError::ReadCache(_) => {
            (Exit::Configuration, "make checkpoint.redis_url the URL of a Redis")
        }
        OpenError::Checkpoints(_) => (
            Exit::Data,
            "checkpoints only make a start shorter: with their file moved away they are made \
             anew from the journal",
        ),
        OpenError::Orders(_) => (
            Exit::Data,
            "make the order store reachable and writable (orders.mysql_url, or the data \
             directory)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::checkpoint::CheckpointError;

    #[test]
    fn what_the_machine_lacks_is_never_mended_by_moving_files() {
        for (said, words) in [
            ("database or disk is full", "make room on the disk"),
            ("disk I/O error", "make room on the disk"),
            ("out of memory", "more memory"),
            ("Resource temporarily unavailable (os error 11)", "more memory and threads"),
            ("file is not a database", "with their file moved away"),
        ] {
            let error = CheckpointError::Configuration(said.to_owned());
            let failure = Failure::from(AppError::Open(OpenError::Checkpoints(error)));
            assert!(failure.remedy.contains(words), "{said}: {}", failure.remedy);
        }
    }
}
