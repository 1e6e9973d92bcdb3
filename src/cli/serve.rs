//! `seckill serve`: starts the product, says where it is, and drains when told to stop.

use super::banner::{self, Console, Offer, OfferItem, Place};
use super::failure::{Exit, Failure};
use super::process_limits;
use super::refused_start;
use crate::app::{App, AppError, StartOptions};
use crate::config::{Config, Source};
use crate::demo;
use crate::http::{Role, operator_link};
use crate::listening::PassedSockets;
use crate::secrets::SIGNING_SECRET_FILE;
use crate::service_manager::ServiceManager;
use crate::telemetry;
use domain::{Admission, ItemPhase, OrderStatus, UserId};
use parking_lot::Mutex;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

/// How far the journal's newest record may be ahead of the wall clock, unless it is accepted: clocks that
/// are kept are not minutes apart.
pub(super) const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(300);

/// How often the file of settings is looked at. Seen twice, a change counts: after two of these at most.
const FILE_LOOK: Duration = Duration::from_secs(1);

/// What `seckill serve` can be told.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct ServeArguments {
    /// Go on at the time of the journal's newest record, however far that is ahead of the wall clock
    #[arg(long)]
    accept_clock: bool,
}

/// Serves until SIGTERM or SIGINT, then drains. Meanwhile the settings of the file are read again at SIGHUP, and
/// whenever the file says something else. A signal during recovery ends the process at once: it may be killed at
/// any instruction anyway.
///
/// # Errors
/// Returns [`Failure`] if the configuration is refused or the engine cannot start.
pub fn run(
    mut source: Source,
    arguments: ServeArguments,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let loaded = source.load()?;
    let config = &loaded.config;
    process_limits::check_address_space()?;
    process_limits::check_open_files()?;
    telemetry::log::start(config.log.format, &config.log.filter).map_err(|error| fault(&error))?;
    let metrics = telemetry::metrics::start().map_err(|error| fault(&error))?;
    // Before this process opens sockets of its own.
    let sockets = PassedSockets::from_environment().map_err(AppError::Listen)?;
    let service_manager = ServiceManager::from_environment().map_err(|error| fault(&error))?;
    let runtime = sale_threads(config).map_err(|error| fault(&error))?;
    runtime.spawn(telemetry::repeats::tell_each_period());
    runtime.spawn(service_manager.clone().keep_watchdog());
    let outcome = runtime.block_on(async {
        let _xfsz = ignore_file_size_signal().map_err(|error| fault(&error))?;
        let clock_ahead_max = if arguments.accept_clock { Duration::MAX } else { CLOCK_AHEAD_MAX };
        // From here on it does not end the process, whatever a terminal or a habit of reloading sends.
        let hangup = signal(SignalKind::hangup()).map_err(|error| fault(&error))?;
        let options = StartOptions {
            clock_ahead_max,
            metrics,
            sockets,
            service_manager: service_manager.clone(),
        };
        let app = App::start(&loaded, options).await;
        let app = app.map_err(|error| refused_start::refused(error, config))?;
        let mut signals = Signals::listen(hangup).map_err(|error| fault(&error))?;
        let scheme = if app.speaks_tls() { "https" } else { "http" };
        service_manager.ready(&format!("serving on {scheme}://{}", app.address()));
        let offer = offer(&app, config).await;
        let console = console(&app, config).await;
        // Nobody has to read it, so an output that takes nothing does not stop the sale.
        if let Err(error) = announce(&app, config, offer.as_ref(), &console, output) {
            tracing::warn!(
                %error,
                "standard output takes nothing, so the banner is missing; the sale goes on"
            );
        }
        tell_of_new_secret(&app);
        signals.received(source, &app).await;
        service_manager
            .stopping("answering what was admitted, and bringing the order store up to date");
        app.stop().await;
        Ok(())
    });
    // A sync that hangs holds a thread which cannot be ended: do not wait for it.
    runtime.shutdown_background();
    outcome
}

/// The threads that the sale runs on.
fn sale_threads(config: &Config) -> io::Result<Runtime> {
    let threads = match usize::from(config.engine.worker_threads) {
        0 => available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("seckill-sale")
        .enable_all()
        .build()
}

/// What a newcomer can buy, with a demo user's token. An address outside this machine gets none.
async fn offer(app: &App, config: &Config) -> Option<Offer> {
    const ORDERS_MAX: usize = 100;
    if !has_demo(config) {
        return None;
    }
    let (engine, now) = (app.engine(), app.engine().now());
    let sale = demo::next_sale(app.sales(), now).await.ok().flatten()?;
    let held = engine.orders_of(DEMO_USER, None, ORDERS_MAX).await.unwrap_or_default();
    let items = sale.items.iter().map(|item| {
        let own = held.iter().filter(|order| order.item_id == item.item_id);
        let live = own.filter(|order| order.status.is_live());
        let units: u32 = live.map(|order| u32::from(order.quantity)).sum();
        let gate = engine.gate(item.item_id);
        let is_open = gate.as_ref().is_none_or(|gate| gate.phase() == ItemPhase::Open)
            && item.offer.admission == Admission::OPEN;
        OfferItem {
            item_id: item.item_id,
            title: item.offer.title.clone(),
            price: item.offer.price,
            currency: item.offer.currency,
            allotted: item.offer.allotted,
            available: gate.map_or(item.offer.allotted, |gate| gate.counters().available),
            may_buy: is_open && units < u32::from(item.offer.limit_per_user),
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
pub(super) const DEMO_USER: UserId = UserId(1);

/// Links for the first people who open the console: the demo's two, or a shop's first admin. None where others
/// than this machine's users may read them, or where somebody has an account already.
async fn console(app: &App, config: &Config) -> Console {
    let is_first = app.sales().operators().await.is_ok_and(|accounts| accounts.is_empty());
    if !app.address().ip().is_loopback() || !is_first {
        return Console::default();
    }
    let people: &[(&str, &str, &str)] = if has_demo(config) {
        &[
            ("eva", "operator admin", "eva, who writes and runs sales and gives accounts"),
            ("bo", "approver", "bo, who approves what eva wrote"),
        ]
    } else {
        &[("admin", "approver admin", "admin, who gives accounts to the others")]
    };
    let base = match &config.http.public_url {
        Some(url) => url.clone(),
        None => format!("http://{}", banner::reachable(app.address())),
    };
    let now = app.engine().now();
    let link = |(name, roles, whose): &(&str, &str, &str)| {
        let roles = roles.parse().ok()?;
        let code = operator_link::code(app.signer(), name, roles, now);
        Some(((*whose).to_owned(), operator_link::url(&base, &code)))
    };
    Console { links: people.iter().filter_map(link).collect() }
}

/// Whether there is a sale for trying the product out: several nodes have none.
fn has_demo(config: &Config) -> bool {
    config.demo.enabled && !config.cluster.is_set()
}

fn announce(
    app: &App,
    config: &Config,
    offer: Option<&Offer>,
    console: &Console,
    output: &mut impl Write,
) -> io::Result<()> {
    let (address, operations) = (app.address(), app.operations_address());
    let listening = banner::listening(app.speaks_tls(), address, operations);
    output.write_all(listening.as_bytes())?;
    if app.has_new_secret() {
        output.write_all(format!("\n  {}\n", banner::NEW_SECRET).as_bytes())?;
    }
    let place = match &config.http.public_url {
        // The certificate is good for that name alone.
        Some(url) if app.speaks_tls() => Place::at(url),
        _ => Place::of(address),
    };
    let banner = banner::banner(&place, offer, console, app.engine().now());
    output.write_all(banner.as_bytes())?;
    output.flush()
}

/// Lets a write beyond the limit of a file's size fail, as on a full disk, instead of ending the
/// process without a word.
fn ignore_file_size_signal() -> io::Result<Signal> {
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))
}

/// Tells that nobody's token is good any more, if that is so.
fn tell_of_new_secret(app: &App) {
    if app.has_new_secret() {
        tracing::warn!(file = SIGNING_SECRET_FILE, "{}", banner::NEW_SECRET);
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen(hangup: Signal) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
        })
    }

    /// Waits until the process is told to stop. Meanwhile each SIGHUP has the certificate and the file of settings
    /// read again, and the file is looked at each second: beside the wait, because a file may keep its reader.
    async fn received(&mut self, source: Source, app: &App) {
        let source = Arc::new(Mutex::new(source));
        let reread = async {
            let mut looks = tokio::time::interval(FILE_LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let is_told = tokio::select! {
                    _ = self.hangup.recv() => true,
                    _ = looks.tick() => false,
                };
                if is_told {
                    app.reread_certificate();
                }
                let source = Arc::clone(&source);
                let read = tokio::task::spawn_blocking(move || {
                    let mut source = source.lock();
                    (is_told || source.has_changed()).then(|| source.load())
                });
                if let Ok(Some(loaded)) = read.await {
                    app.reread(loaded);
                }
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = reread => {}
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
