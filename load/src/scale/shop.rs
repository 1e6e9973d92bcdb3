//! A shop of one node or several, each capped, with its people and its sales.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::OrderId;
use hyper::Method;
use serde_json::{Value, json};

use super::arguments::ScaleArguments;
use super::cap::Cap;
use crate::drive::Crowd;
use crate::scenario::Sale;
use crate::stage::{Api, Backends, Nodes, Sampler};
use crate::{Error, Result};

/// How long a new sale may take until all nodes sell it.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// From approval to opening.
const OPENS_IN: jiff::SignedDuration = jiff::SignedDuration::from_millis(700);
const PAYMENT_WINDOW_SECONDS: u32 = 3_600;

/// What falls to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Where it listens.
    pub address: SocketAddr,
    /// The items that it decides about.
    pub items: Vec<String>,
}

/// A shop that runs.
pub struct Shop {
    nodes: Nodes,
    backends: Backends,
    /// Behind the nodes, which have to be gone before.
    _caps: Vec<Cap>,
    operator: String,
    approver: String,
    /// Who buys once to see who decides.
    scout: String,
    /// The buyers, in parts that do not meet.
    crowds: Vec<Arc<Crowd>>,
}

impl Shop {
    /// Starts a shop of so many nodes, whose buyers are in so many parts.
    ///
    /// # Errors
    /// Returns an error if something is not installed, does not start, or cannot be capped.
    pub async fn start(
        (binary, home): (&Path, &Path),
        (count, parts): (u32, u32),
        arguments: &ScaleArguments,
    ) -> Result<Self> {
        let backends = tokio::task::spawn_blocking(Backends::start_for_cluster)
            .await
            .map_err(|error| Error::Server(format!("starting backends failed: {error}")))??;
        let nodes = Nodes::start(binary, home, count, &backends.environment()).await?;
        let mut caps = Vec::new();
        for (number, process) in (1..).zip(nodes.processes()) {
            if arguments.percent > 0 {
                let cap = Cap::new(&format!("{count}-{number}"), arguments.percent)?;
                cap.take(process.load(Ordering::Relaxed))?;
                caps.push(cap);
            }
        }
        let options = nodes.options();
        let operator = options.token("--operator", "load-operator").await?;
        let approver = options.token("--approver", "load-approver").await?;
        let users = arguments.users * parts + 1;
        let minted = options.call_well(&["mint", "--users", &users.to_string()]).await?;
        let lines: Vec<&str> = minted.lines().collect();
        let parts = lines.chunks(arguments.users as usize).take(parts as usize);
        let crowds = parts
            .map(|part| Ok(Arc::new(Crowd::new(&part.join("\n"), &[], "localhost", 0)?)))
            .collect::<Result<_>>()?;
        let scout = lines.last().copied().unwrap_or_default();
        let scout = serde_json::from_str::<Value>(scout).ok();
        let scout = scout.as_ref().and_then(|scout| scout["token"].as_str());
        let scout =
            scout.ok_or_else(|| Error::Server("mint printed no token".to_owned()))?.to_owned();
        Ok(Self { nodes, backends, _caps: caps, operator, approver, scout, crowds })
    }

    /// The buyers, in parts that do not meet. Nobody else holds them between two rounds.
    pub fn crowds(&mut self) -> &mut [Arc<Crowd>] {
        &mut self.crowds
    }

    /// Opens a sale, and returns what falls to each node once it is sold there: as many items to each.
    ///
    /// # Errors
    /// Returns an error if it does not open, or nothing falls to one of them.
    pub async fn new_sale(&mut self, arguments: &ScaleArguments) -> Result<Vec<Share>> {
        let sale = Sale {
            items: arguments.items,
            allotted: u64::from(arguments.users * arguments.nodes + 1),
            buckets: 1,
            limit_per_user: 1,
            payment_window_seconds: PAYMENT_WINDOW_SECONDS,
            opens_after_ms: 0,
            guard: None,
        };
        let addresses = self.nodes.addresses();
        let opens_at = jiff::Timestamp::now() + OPENS_IN;
        let mut api = Api::new(addresses[0]);
        let (operator, approver) = (&self.operator, &self.approver);
        let opened = api.open_sale("Scale", &sale, opens_at, operator, approver).await?;
        let owners = self.nodes.owners().await?;
        let empty = |address: &SocketAddr| Share { address: *address, items: Vec::new() };
        let mut shares: Vec<Share> = addresses.iter().map(empty).collect();
        for item in opened.items {
            let order = self.first_order(&item).await?;
            let owner = owners.get(order.shard().index()).copied().flatten();
            let owner = owner.ok_or_else(|| Error::Server(format!("item {item} has no owner")))?;
            shares[owner].items.push(item);
        }
        let each = shares.iter().map(|share| share.items.len()).min().unwrap_or(0);
        if each == 0 {
            return Err(Error::Server(
                "no item fell to one of the nodes; take more --items".into(),
            ));
        }
        shares.iter_mut().for_each(|share| share.items.truncate(each));
        Ok(shares)
    }

    /// Buys an item as soon as every node takes part in its sale.
    async fn first_order(&self, item: &str) -> Result<OrderId> {
        let begun = Instant::now();
        let path = format!("/api/v1/items/{item}/buy");
        let body = json!({ "quantity": 1 });
        let mut order = None;
        for address in self.nodes.addresses() {
            let mut api = Api::new(address);
            while order.is_none() {
                let bought = api.call(Method::POST, &path, Some(&self.scout), Some(&body)).await;
                match bought {
                    Ok(bought) => {
                        let id = bought["order_id"].as_str().and_then(|id| id.parse().ok());
                        order = id.map(OrderId);
                    }
                    Err(error) if begun.elapsed() > OPEN_WAIT_MAX => return Err(error),
                    Err(_) => tokio::time::sleep(LOOK_EVERY).await,
                }
            }
            // The others have to know it too.
            let path = format!("/api/v1/items/{item}");
            while let Err(error) = api.call(Method::GET, &path, None, None).await {
                if begun.elapsed() > OPEN_WAIT_MAX {
                    return Err(error);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        order.ok_or_else(|| Error::Server(format!("nobody sells item {item}")))
    }

    /// Processor seconds that its nodes have used up to now, and what is behind them.
    pub fn processor_seconds(&self) -> (f64, f64) {
        let sampler = Sampler::of_this_process();
        let used = |process: u32| sampler.processor_seconds(process).unwrap_or(0.0);
        let nodes = self.nodes.processes().into_iter();
        let nodes = nodes.map(|process| used(process.load(Ordering::Relaxed))).sum();
        (nodes, self.backends.processes().into_iter().map(used).sum())
    }

    /// Stops the nodes and has the shop audited; whether all is whole.
    ///
    /// # Errors
    /// Returns an error if a node does not end in good order.
    pub async fn audit(&mut self) -> Result<bool> {
        self.nodes.stop().await?;
        let (_, status) = self.nodes.options().call(&["audit", "--json"]).await?;
        Ok(status.success())
    }
}
