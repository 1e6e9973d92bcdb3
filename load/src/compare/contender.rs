//! The contenders as processes: the engine, the peers and the peers' private backends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use harness::{AppendOnly, MariaDb, Redis, RedisOptions};
use hyper::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::arguments::{CompareArguments, Name};
use super::told::{Listeners, Told};
use crate::drive::Crowd;
use crate::peers::token::Verifier;
use crate::scenario::Sale;
use crate::stage::{
    Api, Backends, Engine, EngineOptions, MARIADB_SETTINGS, Peer, QUIET_LOOK, Sampler,
    TraceCollector, backend_error, find_binary, until_quiet,
};
use crate::wire::Link;
use crate::{Error, Result};

/// Where the engine keeps the secret that signs tokens, seen from its data directory.
const SECRET_FILE: &str = "secrets/token.key";
/// A contender is quiet when it uses less than this share of a processor.
const QUIET_PROCESSORS: f64 = 0.05;
/// From approval to opening.
const OPENS_IN: jiff::SignedDuration = jiff::SignedDuration::from_millis(700);

/// Everything that must live as long as the comparison.
pub struct Stage {
    missing: Vec<String>,
    _scratch: TempDir,
}

/// One contender, running.
pub struct Contender {
    /// The contender's name.
    pub name: Name,
    /// The address on which it listens.
    pub address: SocketAddr,
    kind: Kind,
    /// Processes whose work is this contender's work.
    processes: Vec<u32>,
}

enum Kind {
    Engine(Arc<Mutex<Shop>>),
    Traced { shop: Arc<Mutex<Shop>>, _collector: TraceCollector },
    Told { shop: Arc<Mutex<Shop>>, listeners: Listeners },
    Peer { _peer: Box<Peer>, _backend: Backend },
}

/// The engine with its operators' tokens; in stock and sold out are two sales of one.
struct Shop {
    engine: Engine,
    _backends: Backends,
    operator: String,
    approver: String,
}

#[expect(dead_code, reason = "held so that the server lives as long as its peer")]
enum Backend {
    None,
    Redis(Box<Redis>),
    MariaDb(Box<MariaDb>),
}

impl Stage {
    /// Starts every contender that is installed; the others are named in
    /// [`Stage::missing`]. Returns the users' minted lines as well: all contenders get
    /// the same tokens.
    ///
    /// # Errors
    /// Returns [`Error`] if something is installed and does not start.
    pub async fn set(
        arguments: &CompareArguments,
        names: &[Name],
    ) -> Result<(Self, Vec<Contender>, String)> {
        let scratch = tempfile::Builder::new()
            .prefix("seckill-compare-")
            .tempdir()
            .map_err(Error::io("making a temporary directory"))?;
        let mut missing = Vec::new();
        let mut contenders = Vec::new();
        let secret_file = scratch.path().join("peer-secret");

        let minted = if names.iter().any(|name| name.is_engine()) {
            let home = scratch.path().join("embedded");
            let shop = start_engine(arguments, &home, Backends::default()).await?;
            let users = arguments.users.to_string();
            let minted = shop.engine.options().call_well(&["mint", "--users", &users]).await?;
            let secret_of_engine = shop.engine.options().data.join(SECRET_FILE);
            let secret = signing_secret(&secret_of_engine)?;
            std::fs::write(&secret_file, secret).map_err(Error::io("writing the peers' secret"))?;
            let (address, process) = (shop.engine.address(), shop.engine.process());
            let processes = vec![process.load(Ordering::Relaxed)];
            let shop = Arc::new(Mutex::new(shop));
            for name in names {
                if matches!(name, Name::Engine | Name::EngineSoldOut) {
                    let kind = Kind::Engine(Arc::clone(&shop));
                    let processes = processes.clone();
                    contenders.push(Contender { name: *name, address, kind, processes });
                }
            }
            if let Some(against) = &arguments.against {
                let home = scratch.path().join("against");
                contenders.push(start_against(arguments, against, &home, &secret_of_engine).await?);
            }
            if names.contains(&Name::EngineBackends) {
                let home = scratch.path().join("backends");
                match start_with_backends(arguments, &home, &secret_of_engine).await {
                    Ok(contender) => contenders.push(contender),
                    Err(error) => missing.push(missing_or(Name::EngineBackends, error)?),
                }
            }
            if names.contains(&Name::EngineTraced) {
                let home = scratch.path().join("traced");
                contenders.push(start_traced(arguments, &home, &secret_of_engine).await?);
            }
            if names.contains(&Name::EngineTold) {
                let home = scratch.path().join("told");
                match start_telling(arguments, &home, &secret_of_engine).await {
                    Ok(contender) => contenders.push(contender),
                    Err(error) => missing.push(missing_or(Name::EngineTold, error)?),
                }
            }
            minted
        } else {
            let secret = b"the comparison signs for itself";
            std::fs::write(&secret_file, secret).map_err(Error::io("writing the peers' secret"))?;
            let verifier = Verifier::new(secret);
            (1..=u64::from(arguments.users)).map(|user| verifier.mint(user) + "\n").collect()
        };

        for name in names {
            if name.is_engine() || *name == Name::InProcess {
                continue;
            }
            match start_peer(*name, &secret_file).await {
                Ok(contender) => contenders.push(contender),
                Err(error) => missing.push(missing_or(*name, error)?),
            }
        }
        contenders.sort_by_key(|contender| contender.name as u8);
        Ok((Self { missing, _scratch: scratch }, contenders, minted))
    }

    /// Contenders that could not take part, and why.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }
}

/// What is not installed is named; everything else is an error.
fn missing_or(name: Name, error: Error) -> Result<String> {
    match error {
        Error::Missing { what, .. } => Ok(format!("{} ({what})", name.text())),
        error => Err(error),
    }
}

/// An engine with all three servers behind it, which takes the tokens of the embedded one.
async fn start_with_backends(
    arguments: &CompareArguments,
    home: &Path,
    secret_file: &Path,
) -> Result<Contender> {
    let backends = tokio::task::block_in_place(Backends::start_all)?;
    copy_secret(secret_file, home)?;
    let mut processes = backends.processes();
    let shop = start_engine(arguments, home, backends).await?;
    processes.push(shop.engine.process().load(Ordering::Relaxed));
    Ok(Contender {
        name: Name::EngineBackends,
        address: shop.engine.address(),
        kind: Kind::Engine(Arc::new(Mutex::new(shop))),
        processes,
    })
}

/// Another build of the engine, which takes the tokens of this one.
async fn start_against(
    arguments: &CompareArguments,
    binary: &Path,
    home: &Path,
    secret_file: &Path,
) -> Result<Contender> {
    copy_secret(secret_file, home)?;
    let arguments = CompareArguments { server_bin: Some(binary.to_owned()), ..arguments.clone() };
    let shop = start_engine(&arguments, home, Backends::default()).await?;
    Ok(Contender {
        name: Name::EngineAgainst,
        address: shop.engine.address(),
        processes: vec![shop.engine.process().load(Ordering::Relaxed)],
        kind: Kind::Engine(Arc::new(Mutex::new(shop))),
    })
}

/// An engine whose traces are taken by a collector, and which takes the tokens of the embedded one.
async fn start_traced(
    arguments: &CompareArguments,
    home: &Path,
    secret_file: &Path,
) -> Result<Contender> {
    copy_secret(secret_file, home)?;
    let collector = TraceCollector::open().await?;
    let environment = [("SECKILL__TRACES__OTLP_ENDPOINT".to_owned(), collector.url())];
    let shop = start_engine_with(arguments, home, Backends::default(), environment).await?;
    Ok(Contender {
        name: Name::EngineTraced,
        address: shop.engine.address(),
        processes: vec![shop.engine.process().load(Ordering::Relaxed)],
        kind: Kind::Traced { shop: Arc::new(Mutex::new(shop)), _collector: collector },
    })
}

/// An engine that tells of each order, and which takes the tokens of the embedded one.
async fn start_telling(
    arguments: &CompareArguments,
    home: &Path,
    secret_file: &Path,
) -> Result<Contender> {
    copy_secret(secret_file, home)?;
    let mut listeners = Listeners::open().await?;
    let environment = listeners.environment();
    let shop = start_engine_with(arguments, home, Backends::default(), environment).await?;
    let address = shop.engine.address();
    let admin = shop.engine.options().token("--admin", "load-admin").await?;
    listeners.enter(address, &admin).await?;
    let mut processes: Vec<u32> = listeners.process().into_iter().collect();
    processes.push(shop.engine.process().load(Ordering::Relaxed));
    let kind = Kind::Told { shop: Arc::new(Mutex::new(shop)), listeners };
    Ok(Contender { name: Name::EngineTold, address, kind, processes })
}

/// Lets the engine that is to start there sign with the same secret.
fn copy_secret(secret_file: &Path, home: &Path) -> Result<()> {
    let own_secret = home.join("data").join(SECRET_FILE);
    let made = own_secret.parent().map_or(Ok(()), std::fs::create_dir_all);
    let copied = made.and_then(|()| std::fs::copy(secret_file, &own_secret));
    copied.map(|_| ()).map_err(Error::io("copying the signing secret"))
}

async fn start_engine(
    arguments: &CompareArguments,
    home: &Path,
    backends: Backends,
) -> Result<Shop> {
    start_engine_with(arguments, home, backends, []).await
}

/// Starts the engine with these variables besides those of its backends.
async fn start_engine_with(
    arguments: &CompareArguments,
    home: &Path,
    backends: Backends,
    more: impl IntoIterator<Item = (String, String)>,
) -> Result<Shop> {
    let binary = find_binary(arguments.server_bin.as_deref()).await?;
    let data = home.join("data");
    std::fs::create_dir_all(&data).map_err(Error::io("making the data directory"))?;
    let mut environment = backends.environment();
    environment.extend(more);
    if let Some(shards) = arguments.shards {
        environment.insert("SECKILL__ENGINE__SHARDS".to_owned(), shards.to_string());
    }
    let log = home.join("server.log");
    let engine = Engine::start(EngineOptions { binary, data, environment, log }).await?;
    let operator = engine.options().token("--operator", "load-operator").await?;
    let approver = engine.options().token("--approver", "load-approver").await?;
    Ok(Shop { engine, _backends: backends, operator, approver })
}

async fn start_peer(name: Name, secret_file: &Path) -> Result<Contender> {
    let redis = |append_only| -> Result<(Backend, u32, Vec<String>)> {
        let options = RedisOptions {
            append_only,
            // Rewrites of the file would fall into another contender's round.
            arguments: vec!["--auto-aof-rewrite-percentage".to_owned(), "0".to_owned()],
            ..RedisOptions::default()
        };
        let server = Redis::start_with(options).map_err(|error| backend_error("redis", &error))?;
        let process = server.process_id().unwrap_or(0);
        let arguments = ["redis", "--redis-url", &server.url()].map(str::to_owned).to_vec();
        Ok((Backend::Redis(Box::new(server)), process, arguments))
    };
    // Servers are started by blocking calls; nothing else runs meanwhile.
    let (backend, process, mut arguments) = tokio::task::block_in_place(|| match name {
        Name::RedisOff => redis(AppendOnly::Off),
        Name::RedisEverysec => redis(AppendOnly::EverySecond),
        Name::RedisAlways => redis(AppendOnly::Always),
        Name::Mariadb => {
            let server = MariaDb::start_with(&MARIADB_SETTINGS)
                .map_err(|error| backend_error("mariadb", &error))?;
            let process = server.process_id().unwrap_or(0);
            let arguments = ["mariadb", "--mysql-url", &server.url()].map(str::to_owned).to_vec();
            Ok((Backend::MariaDb(Box::new(server)), process, arguments))
        }
        Name::Floor
        | Name::Engine
        | Name::EngineAgainst
        | Name::EngineBackends
        | Name::EngineTraced
        | Name::EngineTold
        | Name::EngineSoldOut
        | Name::InProcess => Ok((Backend::None, 0, vec!["floor".to_owned()])),
    })?;
    arguments.extend(["--secret-file".to_owned(), secret_file.to_string_lossy().into_owned()]);
    let peer = Peer::start(&arguments).await?;
    let processes = [peer.process(), process].into_iter().filter(|id| *id != 0).collect();
    let address = peer.address();
    Ok(Contender {
        name,
        address,
        kind: Kind::Peer { _peer: Box::new(peer), _backend: backend },
        processes,
    })
}

impl Contender {
    /// Waits until what the last round left to do in the background is done, so that the
    /// next contender does not pay for it.
    pub async fn settle(&self) {
        until_quiet(|| self.processor_seconds(), QUIET_PROCESSORS).await;
    }

    /// Opens a fresh sale in which every user can buy every item, or none can.
    pub async fn new_sale(
        &mut self,
        arguments: &CompareArguments,
        crowd: &Crowd,
    ) -> Result<Vec<String>> {
        let allotted = if self.name == Name::EngineSoldOut { 1 } else { crowd.users().into() };
        match &self.kind {
            Kind::Engine(shop) | Kind::Traced { shop, .. } | Kind::Told { shop, .. } => {
                let sale = Sale {
                    items: arguments.items,
                    allotted,
                    buckets: 1,
                    limit_per_user: 1,
                    payment_window_seconds: 3_600,
                    opens_after_ms: 0,
                    guard: None,
                };
                let shop = shop.lock().await;
                let opens_at = jiff::Timestamp::now() + OPENS_IN;
                let (operator, approver) = (&shop.operator, &shop.approver);
                let mut api = Api::new(self.address);
                let opened =
                    api.open_sale("Comparison", &sale, opens_at, operator, approver).await?;
                tokio::time::sleep(OPENS_IN.unsigned_abs() + QUIET_LOOK).await;
                Ok(opened.items)
            }
            Kind::Peer { .. } => {
                let items: Vec<u32> = (1..=arguments.items).collect();
                let body = json!({ "items": items, "allotted": allotted });
                Api::new(self.address).order(Method::POST, "/peer/sale", None, Some(&body)).await?;
                Ok(items.iter().map(u32::to_string).collect())
            }
        }
    }

    /// Notes how much was told before a round, if this one tells.
    ///
    /// # Errors
    /// Returns an error if it does not show its figures.
    pub async fn begin(&mut self) -> Result<()> {
        let Kind::Told { shop, listeners } = &mut self.kind else { return Ok(()) };
        let operations = shop.lock().await.engine.operations();
        listeners.begin(operations).await
    }

    /// Waits until a round's orders are told, if this one tells; the round's load began and ended then.
    ///
    /// # Errors
    /// Returns an error if it tells nobody, or does not show its figures.
    pub async fn told(
        &self,
        orders: u64,
        load: (Instant, Instant),
    ) -> Result<BTreeMap<String, Told>> {
        let Kind::Told { shop, listeners } = &self.kind else { return Ok(BTreeMap::new()) };
        let operations = shop.lock().await.engine.operations();
        listeners.told(operations, orders, load).await
    }

    /// Stops one that tells and has it audit itself; whether nothing is broken. True of all others.
    ///
    /// # Errors
    /// Returns an error if it does not end in good order.
    pub async fn audit(&self) -> Result<bool> {
        let Kind::Told { shop, .. } = &self.kind else { return Ok(true) };
        let mut shop = shop.lock().await;
        shop.engine.stop().await?;
        let (_, status) = shop.engine.options().call(&["audit", "--json"]).await?;
        Ok(status.success())
    }

    /// Takes the one unit of each item, so that all that follows is refused.
    pub async fn buy_the_last_unit(&self, crowd: &Crowd) -> Result<()> {
        let mut link = Link::new(self.address, Duration::from_secs(10));
        for item in 0..u32::try_from(crowd.item_ids().len()).unwrap_or(0) {
            let request = crowd.buy(0, item, u64::MAX >> 16);
            let status = link.send(request).await.map(|head| head.status).unwrap_or(0);
            if status != 201 {
                let body = String::from_utf8_lossy(link.body()).into_owned();
                let request = "buying the last unit".to_owned();
                return Err(Error::Answer { request, status, body });
            }
        }
        Ok(())
    }

    /// Processor seconds used so far by the contender's processes.
    pub fn processor_seconds(&self) -> f64 {
        let sampler = Sampler::of_this_process();
        self.processes.iter().filter_map(|id| sampler.processor_seconds(*id)).sum()
    }
}

/// The engine's signing secret, hexadecimal in this file: the peers verify the same tokens
/// as the engine.
fn signing_secret(path: &Path) -> Result<Vec<u8>> {
    let text = std::fs::read(path).map_err(Error::io(format!("reading {}", path.display())))?;
    unhex(&text).ok_or_else(|| Error::Server(format!("{} is not hexadecimal", path.display())))
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}
