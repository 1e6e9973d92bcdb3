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
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A node that is down, frozen or busy is not waited for.
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(500);

/// The engine's processes.
#[derive(Debug)]
pub struct Nodes(Vec<Engine>);

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
        let secret = secret();
        let is_cluster = count > 1 || environment.contains_key(ENDPOINTS);
        let mut nodes = Self(Vec::new());
        for number in 1..=count {
            let mut environment = environment.clone();
            let (data, log) = if !is_cluster {
                ("data".to_owned(), "server.log".to_owned())
            } else {
                environment.insert("SECKILL__CLUSTER__NODE".to_owned(), name(number));
                environment.insert("SECKILL__CLUSTER__LISTEN".to_owned(), ANY_PORT.to_owned());
                environment.insert("SECKILL__TOKENS__SECRET".to_owned(), secret.clone());
                (name(number), format!("{}.log", name(number)))
            };
            let data: PathBuf = home.join(data);
            std::fs::create_dir_all(&data).map_err(Error::io("making the data directory"))?;
            let binary = binary.to_owned();
            let options = EngineOptions { binary, data, environment, log: home.join(log) };
            nodes.0.push(Engine::start(options).await?);
        }
        if is_cluster {
            nodes.wait_for_owners().await?;
        }
        if count > 1 {
            // The first took every shard before there was another.
            nodes.options().call_well(&["cluster", "rebalance"]).await?;
            nodes.wait_for_owners().await?;
        }
        Ok(nodes)
    }

    async fn wait_for_owners(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < READY_WAIT_MAX {
            let mut whole = 0;
            for engine in &self.0 {
                whole += usize::from(says_that_all_is_served(engine.operations()).await);
            }
            if whole == self.0.len() {
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
        self.0.len() > 1
    }

    /// The first, which is the only one of a shop by itself.
    pub fn first(&mut self) -> &mut Engine {
        &mut self.0[0]
    }

    /// How the first was started. For subcommands that look at what all of them share.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        self.0[0].options()
    }

    /// The addresses on which they listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(Engine::address).collect()
    }

    /// The addresses on which they show their figures.
    #[must_use]
    pub fn operations(&self) -> Vec<SocketAddr> {
        self.0.iter().map(Engine::operations).collect()
    }

    /// The place among them of each shard's owner; none of a shard that nobody has.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if they are no cluster, or do not say.
    pub async fn owners(&self) -> Result<Vec<Option<usize>>> {
        let printed = self.options().call_well(&["cluster", "status", "--format", "json"]).await?;
        let shown: Value = serde_json::from_str(&printed)
            .map_err(|error| Error::Server(format!("the cluster's status: {error}")))?;
        let names: Vec<String> = (1..).take(self.0.len()).map(name).collect();
        let shards = shown["shards"].as_array().into_iter().flatten();
        let place = |owner: &str| names.iter().position(|name| name == owner);
        Ok(shards.map(|shard| shard["owner"].as_str().and_then(place)).collect())
    }

    /// The ids of the processes, 0 for one that is not there; they follow restarts.
    #[must_use]
    pub fn processes(&self) -> Vec<Arc<AtomicU32>> {
        self.0.iter().map(Engine::process).collect()
    }

    /// Why one of them no longer runs, if it ended by itself.
    pub fn exit_error(&mut self) -> Option<Error> {
        self.0.iter_mut().find_map(Engine::exit_error)
    }

    /// The one that serves the most shards, and what it is called.
    pub async fn busiest(&mut self) -> (&mut Engine, String) {
        let mut most = (0, 0);
        for (place, engine) in self.0.iter().enumerate() {
            let shards = shards(engine.operations()).await;
            if shards > most.1 {
                most = (place, shards);
            }
        }
        let several = self.are_several();
        let (place, shards) = most;
        let number = u32::try_from(place + 1).unwrap_or(u32::MAX);
        let called = if several {
            format!("{}, which served {shards} shards", name(number))
        } else {
            "server".to_owned()
        };
        (&mut self.0[place], called)
    }

    /// Stops all of them in good order.
    ///
    /// # Errors
    /// Returns an error if [`Engine::stop`] does.
    pub async fn stop(&mut self) -> Result<()> {
        for engine in &mut self.0 {
            engine.stop().await?;
        }
        Ok(())
    }

    /// Says on standard error where they are, if they are several.
    pub fn announce(&self) {
        if self.are_several() {
            for (number, engine) in (1..).zip(&self.0) {
                let (address, operations) = (engine.address(), engine.operations());
                eprintln!("{}: http://{address}, operations on http://{operations}", name(number));
            }
        }
    }
}

fn name(number: u32) -> String {
    format!("node-{number}")
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
    let mut api = Api::with_timeout(operations, ANSWER_WAIT_MAX);
    match api.order(Method::GET, "/metrics", None, None).await {
        Ok(_) => figure(&String::from_utf8_lossy(api.body()), "seckill_shards").unwrap_or(0),
        Err(_) => 0,
    }
}
