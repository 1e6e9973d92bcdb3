//! The contenders as processes: the engine, the peers and the peers' private backends.

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
use super::beside::{Beside, Found, Place};
use super::told::Listeners;
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
    Engine { shop: Arc<Mutex<Shop>>, beside: Beside },
    Peer { _peer: Box<Peer>, _backend: Backend },
}

/// The engine with its operators' tokens; in stock, sold out, by gRPC, watched and read are sales of one.
struct Shop {
    engine: Engine,
    _backends: Backends,
    operator: String,
    approver: String,
    /// What its audit came to, once it was made.
    is_whole: Option<bool>,
}

impl Shop {
    /// Where things go on beside its purchases.
    fn place(&self, address: SocketAddr) -> Place<'_> {
        Place { address, operations: self.engine.operations(), operator: &self.operator }
    }
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
            let (shop, minted) = start_embedded(arguments, names, &home).await?;
            let secret_of_engine = shop.engine.options().data.join(SECRET_FILE);
            let secret = signing_secret(&secret_of_engine)?;
            std::fs::write(&secret_file, secret).map_err(Error::io("writing the peers' secret"))?;
            contenders.extend(of_one_shop(arguments, names, shop));
            for name in names {
                let (home, secret) = (scratch.path().join(name.text()), &secret_of_engine);
                let started = match name {
                    Name::EngineAgainst => start_against(arguments, &home, secret).await,
                    Name::EngineBackends => start_with_backends(arguments, &home, secret).await,
                    Name::EngineTraced => start_traced(arguments, &home, secret).await,
                    Name::EngineTold => start_telling(arguments, &home, secret).await,
                    _ => continue,
                };
                match started {
                    Ok(contender) => contenders.push(contender),
                    Err(error) => missing.push(missing_or(*name, error)?),
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

/// The engine of which several contenders are sales, and the users' minted lines.
async fn start_embedded(
    arguments: &CompareArguments,
    names: &[Name],
    home: &Path,
) -> Result<(Shop, String)> {
    let grpc = names.contains(&Name::EngineGrpc);
    let grpc = grpc.then(|| ("SECKILL__GRPC__ENABLED".to_owned(), "true".to_owned()));
    let shop = start_engine_with(arguments, home, Backends::default(), grpc).await?;
    let users = arguments.users.to_string();
    let minted = shop.engine.options().call_well(&["mint", "--users", &users]).await?;
    Ok((shop, minted))
}

/// The contenders that are sales of one engine.
fn of_one_shop(arguments: &CompareArguments, names: &[Name], shop: Shop) -> Vec<Contender> {
    let address = shop.engine.address();
    let processes = vec![shop.engine.process().load(Ordering::Relaxed)];
    let shop = Arc::new(Mutex::new(shop));
    let contender = |name: &Name| {
        let beside = match name {
            Name::Engine | Name::EngineGrpc | Name::EngineSoldOut => Beside::Nothing,
            Name::EngineWatched => Beside::Viewers(None),
            Name::EngineRead => Beside::Readers { rate: arguments.views, reading: None },
            _ => return None,
        };
        let kind = Kind::Engine { shop: Arc::clone(&shop), beside };
        Some(Contender { name: *name, address, kind, processes: processes.clone() })
    };
    names.iter().filter_map(contender).collect()
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
        kind: Kind::Engine { shop: Arc::new(Mutex::new(shop)), beside: Beside::Nothing },
        processes,
    })
}

/// Another build of the engine, which takes the tokens of this one.
async fn start_against(
    arguments: &CompareArguments,
    home: &Path,
    secret_file: &Path,
) -> Result<Contender> {
    copy_secret(secret_file, home)?;
    let arguments = CompareArguments { server_bin: arguments.against.clone(), ..arguments.clone() };
    let shop = start_engine(&arguments, home, Backends::default()).await?;
    Ok(Contender {
        name: Name::EngineAgainst,
        address: shop.engine.address(),
        processes: vec![shop.engine.process().load(Ordering::Relaxed)],
        kind: Kind::Engine { shop: Arc::new(Mutex::new(shop)), beside: Beside::Nothing },
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
        kind: Kind::Engine {
            shop: Arc::new(Mutex::new(shop)),
            beside: Beside::Traces { _collector: collector },
        },
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
    let beside = Beside::Listeners(Box::new(listeners));
    let kind = Kind::Engine { shop: Arc::new(Mutex::new(shop)), beside };
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
    Ok(Shop { engine, _backends: backends, operator, approver, is_whole: None })
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
        | Name::EngineGrpc
        | Name::EngineWatched
        | Name::EngineRead
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
            Kind::Engine { shop, .. } => {
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

    /// Begins what this one has beside the purchases of a round, whose clock starts then.
    ///
    /// # Errors
    /// Returns an error if it shows neither figures nor pages.
    pub async fn begin(&mut self, crowd: &Arc<Crowd>, start: Instant) -> Result<()> {
        let Kind::Engine { shop, beside } = &mut self.kind else { return Ok(()) };
        let shop = shop.lock().await;
        beside.begin(&shop.place(self.address), crowd, start).await
    }

    /// Ends it after a round that sold so many, in a load that began and ended then.
    ///
    /// # Errors
    /// Returns an error if it tells nobody, or shows nothing to who watches.
    pub async fn end(&mut self, orders: u64, load: (Instant, Instant)) -> Result<Found> {
        let Kind::Engine { shop, beside } = &mut self.kind else { return Ok(Found::default()) };
        let shop = shop.lock().await;
        beside.end(&shop.place(self.address), orders, load).await
    }

    /// Stops an engine, if it runs, and has it audit itself; whether nothing is broken. True of all others.
    ///
    /// # Errors
    /// Returns an error if it does not end in good order.
    pub async fn audit(&self) -> Result<bool> {
        let Kind::Engine { shop, .. } = &self.kind else { return Ok(true) };
        let mut shop = shop.lock().await;
        if let Some(is_whole) = shop.is_whole {
            return Ok(is_whole);
        }
        shop.engine.stop().await?;
        let (_, status) = shop.engine.options().call(&["audit", "--json"]).await?;
        shop.is_whole = Some(status.success());
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
