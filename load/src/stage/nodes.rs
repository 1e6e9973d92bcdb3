//! The engine's processes of a run: one that is a shop by itself, or several that are nodes of one shop.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;

use super::backlog::figure;
use super::{Api, Engine, EngineOptions};
use crate::{Error, Result};

/// Nodes that have started take over what is free within this time.
const READY_WAIT_MAX: Duration = Duration::from_secs(60);
/// Set where nodes are to be a cluster.
const ENDPOINTS: &str = "SECKILL__CLUSTER__ENDPOINTS";
/// Where nodes listen for each other.
const ANY_PORT: &str = "127.0.0.1:0";
/// What was approved is with its owner within this time.
const OWNERS_WAIT_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A node that is down, frozen or busy is not waited for.
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(500);

/// The engine's processes.
#[derive(Debug)]
pub struct Nodes {
    engines: Vec<Engine>,
    /// Those that join later, in their order.
    later: Vec<Engine>,
    pattern: Pattern,
}

/// What is the same for all of them.
#[derive(Debug)]
struct Pattern {
    binary: PathBuf,
    home: PathBuf,
    environment: BTreeMap<String, String>,
    /// The secret of their tokens, if they are a cluster.
    secret: Option<String>,
}

impl Pattern {
    /// How the one with this number is started, counted from 1, in a directory of its own.
    fn options(&self, number: u32) -> Result<EngineOptions> {
        let mut environment = self.environment.clone();
        let (data, log) = match &self.secret {
            None => ("data".to_owned(), "server.log".to_owned()),
            Some(secret) => {
                environment.insert("SECKILL__CLUSTER__NODE".to_owned(), name(number));
                environment.insert("SECKILL__CLUSTER__LISTEN".to_owned(), ANY_PORT.to_owned());
                environment.insert("SECKILL__TOKENS__SECRET".to_owned(), secret.clone());
                (name(number), format!("{}.log", name(number)))
            }
        };
        let data = self.home.join(data);
        std::fs::create_dir_all(&data).map_err(Error::io("making the data directory"))?;
        let binary = self.binary.clone();
        Ok(EngineOptions { binary, data, environment, log: self.home.join(log) })
    }
}

impl Nodes {
    /// Starts so many processes of the program, each with a directory below `home`, and waits until every
    /// shard is served, by all of them. Several of them need [`super::Backends`] with etcd in `environment`, and with
    /// them one alone is a node too.
    ///
    /// # Errors
    /// Returns an error if [`Engine::start`] does, and [`Error::Server`] if they do not become a shop.
    pub async fn start(
        binary: &Path,
        home: &Path,
        count: u32,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let is_cluster = count > 1 || environment.contains_key(ENDPOINTS);
        let pattern = Pattern {
            binary: binary.to_owned(),
            home: home.to_owned(),
            environment: environment.clone(),
            secret: is_cluster.then(secret),
        };
        let mut nodes = Self { engines: Vec::new(), later: Vec::new(), pattern };
        for number in 1..=count {
            let options = nodes.pattern.options(number)?;
            nodes.engines.push(Engine::start(options).await?);
        }
        if is_cluster {
            nodes.wait_for_owners().await?;
        }
        if count > 1 {
            // The first took every shard before there was another.
            nodes.steer(&["rebalance"]).await?;
            nodes.wait_for_owners().await?;
        }
        Ok(nodes)
    }

    /// Has so many more ready to join, which have their addresses already.
    ///
    /// # Errors
    /// Returns an error if [`Engine::later`] does.
    pub async fn expect(&mut self, count: u32) -> Result<()> {
        for _ in 0..count {
            let number = self.engines.len() + self.later.len() + 1;
            let options = self.pattern.options(u32::try_from(number).unwrap_or(u32::MAX))?;
            self.later.push(Engine::later(options).await?);
        }
        Ok(())
    }

    /// Starts the next one that was expected, and waits until it knows all shards served; returns its place.
    ///
    /// # Errors
    /// Returns an error if none was expected, and if [`Nodes::start`] does.
    pub async fn join(&mut self) -> Result<usize> {
        if self.later.is_empty() {
            return Err(Error::Server("no node is to join".to_owned()));
        }
        let mut engine = self.later.remove(0);
        engine.start_again().await?;
        self.engines.push(engine);
        self.wait_for_owners().await?;
        Ok(self.engines.len() - 1)
    }

    /// `seckill cluster` with these arguments, which waits until the nodes have done it.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if they do not.
    pub async fn steer(&self, arguments: &[&str]) -> Result<()> {
        let line = [&["cluster"], arguments].concat();
        self.options().call_well(&line).await.map(drop)
    }

    /// Waits until each of them knows every shard served.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if that does not come, or one of them ended.
    pub async fn wait_for_owners(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < READY_WAIT_MAX {
            let mut whole = 0;
            for engine in &self.engines {
                whole += usize::from(says_that_all_is_served(engine.operations()).await);
            }
            if whole == self.engines.len() {
                return Ok(());
            }
            if let Some(error) = self.exit_error() {
                return Err(error);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let seconds = READY_WAIT_MAX.as_secs();
        Err(Error::Server(format!("the nodes do not serve all shards after {seconds} s")))
    }

    /// Whether it is more than one.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.engines.len() > 1
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.engines.len()
    }

    /// The one at this place, counted from 0.
    pub fn at(&mut self, place: usize) -> &mut Engine {
        &mut self.engines[place]
    }

    /// The first, which is the only one of a shop by itself.
    pub fn first(&mut self) -> &mut Engine {
        &mut self.engines[0]
    }

    /// How the first was started. For subcommands that look at what all of them share.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        self.engines[0].options()
    }

    /// The addresses on which they listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.engines.iter().map(Engine::address).collect()
    }

    /// The addresses on which they show their figures, those that join later included.
    #[must_use]
    pub fn operations(&self) -> Vec<SocketAddr> {
        self.engines.iter().chain(&self.later).map(Engine::operations).collect()
    }

    /// The place among them of each shard's owner; none of a shard that nobody has.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if they are no cluster, or do not say.
    pub async fn owners(&self) -> Result<Vec<Option<usize>>> {
        let printed = self.options().call_well(&["cluster", "status", "--format", "json"]).await?;
        let shown: Value = serde_json::from_str(&printed)
            .map_err(|error| Error::Server(format!("the cluster's status: {error}")))?;
        let names: Vec<String> = (0..self.count()).map(called).collect();
        let shards = shown["shards"].as_array().into_iter().flatten();
        let place = |owner: &str| names.iter().position(|name| name == owner);
        Ok(shards.map(|shard| shard["owner"].as_str().and_then(place)).collect())
    }

    /// The place among them of each item's owner, by what they show of their own items.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if nobody has one of them.
    pub async fn owners_of(&self, items: &[String]) -> Result<Vec<usize>> {
        let begun = Instant::now();
        loop {
            let mut shown = Vec::with_capacity(self.count());
            for engine in &self.engines {
                shown.push(metrics(engine.operations()).await.unwrap_or_default());
            }
            let owner = |item: &String| {
                let series = format!("seckill_item_units{{item=\"{item}\",");
                shown.iter().position(|text| text.contains(&series))
            };
            if let Some(owners) = items.iter().map(owner).collect() {
                return Ok(owners);
            }
            if begun.elapsed() > OWNERS_WAIT_MAX {
                return Err(Error::Server("no node shows the units of some item".to_owned()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How many calls other nodes have answered them, those of their own included, since they started.
    pub async fn handed_on(&self) -> u64 {
        let mut all = 0;
        for engine in &self.engines {
            let text = metrics(engine.operations()).await.unwrap_or_default();
            all += figure(&text, "seckill_peer_calls_total{outcome=\"answered\"}").unwrap_or(0);
        }
        all
    }

    /// The ids of the processes, 0 for one that is not there; they follow restarts.
    #[must_use]
    pub fn processes(&self) -> Vec<Arc<AtomicU32>> {
        self.engines.iter().chain(&self.later).map(Engine::process).collect()
    }

    /// Why one of them no longer runs, if it ended by itself.
    pub fn exit_error(&mut self) -> Option<Error> {
        self.engines.iter_mut().find_map(Engine::exit_error)
    }

    /// The one that serves the most shards, and what it is called.
    pub async fn busiest(&mut self) -> (&mut Engine, String) {
        let mut most = (0, 0);
        for (place, engine) in self.engines.iter().enumerate() {
            let shards = shards(engine.operations()).await;
            if shards > most.1 {
                most = (place, shards);
            }
        }
        let several = self.are_several();
        let (place, shards) = most;
        let called = if several {
            format!("{}, which served {shards} shards", called(place))
        } else {
            "server".to_owned()
        };
        (&mut self.engines[place], called)
    }

    /// Stops all of them in good order.
    ///
    /// # Errors
    /// Returns an error if [`Engine::stop`] does.
    pub async fn stop(&mut self) -> Result<()> {
        for engine in &mut self.engines {
            engine.stop().await?;
        }
        Ok(())
    }

    /// Says on standard error where they are, if they are several.
    pub fn announce(&self) {
        if self.are_several() {
            for (number, engine) in (1..).zip(&self.engines) {
                let (address, operations) = (engine.address(), engine.operations());
                eprintln!("{}: http://{address}, operations on http://{operations}", name(number));
            }
        }
    }
}

fn name(number: u32) -> String {
    format!("node-{number}")
}

/// The name of the node at this place, counted from 0.
#[must_use]
pub fn called(place: usize) -> String {
    name(u32::try_from(place + 1).unwrap_or(u32::MAX))
}

/// A secret for the tokens of one run's nodes: 32 bytes in hexadecimal digits.
fn secret() -> String {
    (0..4).map(|_| format!("{:016x}", RandomState::new().hash_one("tokens"))).collect()
}

/// Whether the node knows that each shard is served by somebody.
async fn says_that_all_is_served(operations: SocketAddr) -> bool {
    let mut api = Api::with_timeout(operations, ANSWER_WAIT_MAX);
    // One that serves none itself says so with another status.
    let _ = api.order(Method::GET, "/readyz?verbose", None, None).await;
    let Ok(view) = serde_json::from_slice::<Value>(api.body()) else { return false };
    let dependencies = view.get("dependencies").and_then(Value::as_array);
    let mut cluster = dependencies
        .into_iter()
        .flatten()
        .filter(|dependency| dependency.get("name").and_then(Value::as_str) == Some("cluster"));
    cluster.any(|cluster| cluster.get("healthy") == Some(&Value::Bool(true)))
}

async fn shards(operations: SocketAddr) -> u64 {
    let text = metrics(operations).await.unwrap_or_default();
    figure(&text, "seckill_shards").unwrap_or(0)
}

/// What a node shows of itself; nothing of one that does not answer.
async fn metrics(operations: SocketAddr) -> Option<String> {
    let mut api = Api::with_timeout(operations, ANSWER_WAIT_MAX);
    api.order(Method::GET, "/metrics", None, None).await.ok()?;
    Some(String::from_utf8_lossy(api.body()).into_owned())
}
