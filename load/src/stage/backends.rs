//! Private redis-server, rabbitmq-server, mariadbd and etcd for one run, and the faults that
//! befall them. Nothing here touches a server that was running before.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{Etcd, EtcdOptions, MariaDb, Proxy, RabbitMq, Redis, Server, Start};

use crate::scenario::{Backend, Fault, FaultKind, Scenario};
use crate::{Error, Result};

const MYSQL_URL: &str = "SECKILL__ORDERS__MYSQL_URL";

/// MariaDB as one runs it for such a table: its own defaults keep 128 MiB of it in memory.
pub const MARIADB_SETTINGS: [&str; 2] =
    ["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M"];

/// The members of the etcd that several nodes share: one may die.
const ETCD_MEMBERS: usize = 3;
/// How docs/cluster.md advises to run it.
const ETCD_SETTINGS: [&str; 3] = [
    "--quota-backend-bytes=8589934592",
    "--auto-compaction-mode=revision",
    "--auto-compaction-retention=1000",
];

/// The backends of one run. Dropping it stops them.
#[derive(Debug, Default)]
pub struct Backends {
    redis: Option<Behind<Redis>>,
    rabbitmq: Option<Behind<RabbitMq>>,
    mariadb: Option<Behind<MariaDb>>,
    etcd: Option<Etcd>,
}

/// A server behind a proxy that can delay what passes.
#[derive(Debug)]
pub struct Behind<T> {
    /// The server itself, reached behind the engine's back.
    pub server: T,
    proxy: Option<Proxy>,
}

impl Backends {
    /// All three, without a proxy in between. Blocks.
    ///
    /// # Errors
    /// Returns an error if [`Backends::start`] does.
    pub fn start_all() -> Result<Self> {
        Self::start_these(&[Backend::Redis, Backend::Rabbitmq, Backend::Mysql], |_| false, "")
    }

    /// These, each behind a proxy that can cut the engine off, with more lines of rabbitmq.conf. Blocks.
    ///
    /// # Errors
    /// Returns an error if [`Backends::start`] does.
    pub fn start_behind_proxies(wanted: &[Backend], broker_settings: &str) -> Result<Self> {
        Self::start_these(wanted, |_| true, broker_settings)
    }

    /// Starts what the scenario asks for; returns when all of it answers. Blocks.
    ///
    /// # Errors
    /// Returns [`Error::Missing`] if a server is not installed, [`Error::Backend`] if it does not
    /// come up.
    pub fn start(scenario: &Scenario) -> Result<Self> {
        // Only a server that is to be slow gets a proxy: it costs time of its own.
        let is_slow = |backend: Backend| {
            let of_it = |fault: &Fault| fault.what.backend() == Some(backend);
            scenario.fault.iter().any(|fault| fault.what.is_slow() && of_it(fault))
        };
        let mut backends = Self::start_these(&scenario.server.backends, is_slow, "")?;
        if scenario.server.nodes > 1 {
            backends.start_etcd()?;
        }
        Ok(backends)
    }

    /// What a cluster needs, without a proxy in between. Blocks.
    ///
    /// # Errors
    /// Returns an error if [`Backends::start`] does.
    pub fn start_for_cluster() -> Result<Self> {
        let mut backends = Self::start_these(&[Backend::Redis, Backend::Mysql], |_| false, "")?;
        backends.start_etcd()?;
        Ok(backends)
    }

    fn start_etcd(&mut self) -> Result<()> {
        let arguments = ETCD_SETTINGS.map(str::to_owned).into();
        let options = EtcdOptions { members: ETCD_MEMBERS, arguments, ..EtcdOptions::default() };
        let etcd = Etcd::start_with(options).map_err(|error| backend_error("etcd", &error))?;
        self.etcd = Some(etcd);
        Ok(())
    }

    fn start_these(
        wanted: &[Backend],
        is_proxied: impl Fn(Backend) -> bool,
        broker_settings: &str,
    ) -> Result<Self> {
        let mut backends = Self::default();
        for backend in wanted {
            let proxied = is_proxied(*backend);
            match backend {
                Backend::Redis => backends.redis = Some(behind("redis", Redis::start(), proxied)?),
                Backend::Rabbitmq => {
                    let server = RabbitMq::start_with(broker_settings);
                    backends.rabbitmq = Some(behind("rabbitmq", server, proxied)?);
                }
                Backend::Mysql => {
                    let server = MariaDb::start_with(&MARIADB_SETTINGS);
                    backends.mariadb = Some(behind("mariadb", server, proxied)?);
                }
            }
        }
        Ok(backends)
    }

    /// The engine's settings that point at them.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        let mut set = |key: &str, url: Option<String>| {
            if let Some(url) = url {
                environment.insert(key.to_owned(), url);
            }
        };
        set("SECKILL__CHECKPOINT__REDIS_URL", self.redis.as_ref().map(url));
        set("SECKILL__BROKER__AMQP_URL", self.rabbitmq.as_ref().map(url));
        set(MYSQL_URL, self.mariadb.as_ref().map(url));
        let endpoints = self.etcd.as_ref().map(|etcd| etcd.endpoints().join(" "));
        set("SECKILL__CLUSTER__ENDPOINTS", endpoints);
        environment
    }

    /// The process ids of all that run.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let redis = self.redis.as_ref().and_then(|behind| behind.server.process_id());
        let rabbitmq = self.rabbitmq.as_ref().and_then(|behind| behind.server.process_id());
        let mariadb = self.mariadb.as_ref().and_then(|behind| behind.server.process_id());
        let members = self.etcd.iter().flat_map(Etcd::members).map(Server::process_id);
        [redis, rabbitmq, mariadb].into_iter().chain(members).flatten().collect()
    }

    /// The URL of the order store, if it is not the embedded one: the private server of this run, or
    /// the one in the environment, which the engine's process inherits.
    #[must_use]
    pub fn mysql_url(&self) -> Option<String> {
        self.mariadb.as_ref().map(url).or_else(|| std::env::var(MYSQL_URL).ok())
    }

    /// Begins a backend's fault. Blocks until it has taken effect.
    ///
    /// # Errors
    /// Returns [`Error::Backend`] if the server does not obey.
    pub fn begin(&self, fault: &Fault) -> Result<()> {
        let delay = Duration::from_millis(fault.delay_ms);
        match fault.what {
            FaultKind::RedisDown => self.redis()?.server.kill(),
            FaultKind::RedisEmptied => empty("redis", &self.redis()?.server)?,
            FaultKind::RedisSlow => self.redis()?.proxy("redis")?.delay(delay),
            FaultKind::RabbitmqDown => self.rabbitmq()?.server.kill(),
            FaultKind::MysqlDown => self.mariadb()?.server.kill(),
            FaultKind::MysqlSlow => self.mariadb()?.proxy("mariadb")?.delay(delay),
            FaultKind::QuorumLost => self.majority()?.iter().for_each(Server::kill),
            FaultKind::ServerKilled
            | FaultKind::ServerRestarted
            | FaultKind::ServerFrozen
            | FaultKind::RollingRestart
            | FaultKind::NodeJoins => {}
        }
        Ok(())
    }

    /// Ends a backend's fault. Blocks until the server answers again.
    ///
    /// # Errors
    /// Returns [`Error::Backend`] if the server does not come back.
    pub fn end(&self, fault: &Fault) -> Result<()> {
        match fault.what {
            FaultKind::RedisDown => restart("redis", &self.redis()?.server),
            FaultKind::RabbitmqDown => restart("rabbitmq", &self.rabbitmq()?.server),
            FaultKind::MysqlDown => restart("mariadb", &self.mariadb()?.server),
            FaultKind::QuorumLost => restart_all("etcd", self.majority()?),
            FaultKind::RedisSlow => {
                self.redis()?.proxy("redis")?.restore();
                Ok(())
            }
            FaultKind::MysqlSlow => {
                self.mariadb()?.proxy("mariadb")?.restore();
                Ok(())
            }
            FaultKind::RedisEmptied
            | FaultKind::ServerKilled
            | FaultKind::ServerRestarted
            | FaultKind::ServerFrozen
            | FaultKind::RollingRestart
            | FaultKind::NodeJoins => Ok(()),
        }
    }

    /// All of etcd's members but the first.
    fn majority(&self) -> Result<&[Server]> {
        self.etcd.as_ref().map(|etcd| &etcd.members()[1..]).ok_or_else(|| absent("etcd"))
    }

    /// The private Redis.
    ///
    /// # Errors
    /// Returns [`Error::Backend`] if it is not part of this run.
    pub fn redis(&self) -> Result<&Behind<Redis>> {
        self.redis.as_ref().ok_or_else(|| absent("redis"))
    }

    /// The private RabbitMq.
    ///
    /// # Errors
    /// Returns [`Error::Backend`] if it is not part of this run.
    pub fn rabbitmq(&self) -> Result<&Behind<RabbitMq>> {
        self.rabbitmq.as_ref().ok_or_else(|| absent("rabbitmq"))
    }

    /// The private MariaDb.
    ///
    /// # Errors
    /// Returns [`Error::Backend`] if it is not part of this run.
    pub fn mariadb(&self) -> Result<&Behind<MariaDb>> {
        self.mariadb.as_ref().ok_or_else(|| absent("mariadb"))
    }
}

impl<T> Behind<T> {
    /// What lies between it and the engine.
    ///
    /// # Errors
    /// Returns [`Error::Backend`] if nothing does.
    pub fn proxy(&self, name: &'static str) -> Result<&Proxy> {
        self.proxy.as_ref().ok_or_else(|| absent(name))
    }
}

fn behind<T: std::ops::Deref<Target = Server>>(
    name: &'static str,
    started: std::result::Result<T, harness::Error>,
    proxied: bool,
) -> Result<Behind<T>> {
    let server = started.map_err(|error| backend_error(name, &error))?;
    let proxy = proxied.then(|| Proxy::to(server.address()));
    Ok(Behind { server, proxy })
}

fn url<T: std::ops::Deref<Target = Server>>(behind: &Behind<T>) -> String {
    let direct = behind.server.url();
    behind.proxy.as_ref().map_or(direct.clone(), |proxy| proxy.url_for(&direct))
}

fn restart(name: &'static str, server: &Server) -> Result<()> {
    server.restart().map_err(|error| backend_error(name, &error))
}

/// Starts them at once: none is ready before most of them are.
fn restart_all(name: &'static str, servers: &[Server]) -> Result<()> {
    std::thread::scope(|scope| {
        let starting: Vec<_> =
            servers.iter().map(|server| scope.spawn(move || restart(name, server))).collect();
        let panicked = || Error::Backend { name, reason: "starting it panicked".to_owned() };
        starting
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(panicked())))
    })
}

fn empty(name: &'static str, server: &Server) -> Result<()> {
    server.empty().map_err(|error| backend_error(name, &error))
}

fn absent(name: &'static str) -> Error {
    Error::Backend { name, reason: "not part of this run".to_owned() }
}

/// The harness's error in the laboratory's terms.
pub fn backend_error(name: &'static str, error: &harness::Error) -> Error {
    match error {
        harness::Error::Missing { .. } => {
            let remedy = "install it, or leave out what needs it".to_owned();
            Error::Missing { what: error.to_string(), remedy }
        }
        _ => Error::Backend { name, reason: error.to_string() },
    }
}
