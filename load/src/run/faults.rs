//! Faults at their moments. Each leaves a mark, with its real beginning and end, on the
//! report's timeline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::drive::Entrances;
use crate::scenario::{Fault, FaultKind};
use crate::stage::{Backends, Engine, Nodes, called};
use crate::{Error, Result};

/// What a node has under way is answered within this time after clients are kept away from it.
const LEAVING: Duration = Duration::from_millis(500);

/// A fault as it happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mark {
    /// What happened, in words.
    pub what: String,
    /// When it began, in milliseconds after the load began.
    pub from_ms: u64,
    /// When everything was back: for a restart, when the server listened again.
    pub to_ms: u64,
    /// For a restarted server: how long its start took, recovery included.
    pub start_ms: Option<u64>,
    /// Whether other nodes had to take over what this one served.
    pub is_of_a_node: bool,
}

/// Applies the faults one after another.
///
/// # Errors
/// The first fault that could not be applied or undone.
pub async fn apply(
    faults: &[Fault],
    start: Instant,
    nodes: &mut Nodes,
    backends: &Arc<Backends>,
    entrances: &Entrances,
) -> Result<Vec<Mark>> {
    let mut marks = Vec::with_capacity(faults.len());
    for fault in faults {
        tokio::time::sleep_until((start + Duration::from_millis(fault.at_ms)).into()).await;
        let lasts = Duration::from_millis(fault.for_ms);
        let words = fault.what.words();
        let mut from_ms = since(start);
        let mut mark = |what: String, start_ms, is_of_a_node| {
            let to_ms = since(start);
            marks.push(Mark { what, from_ms, to_ms, start_ms, is_of_a_node });
            from_ms = to_ms;
        };
        match fault.what {
            FaultKind::RollingRestart => {
                for place in 0..nodes.count() {
                    let took_ms = restart_drained(nodes, place, lasts, entrances).await?;
                    mark(format!("{}: {words}", called(place)), Some(took_ms), false);
                }
            }
            FaultKind::NodeJoins => {
                let node = join(nodes, entrances).await?;
                mark(format!("{node}: {words}"), None, false);
            }
            kind if kind.is_of_server() => {
                let are_several = nodes.are_several();
                let (engine, called) = nodes.busiest().await;
                let start_ms = break_server(kind, lasts, engine).await?;
                mark(format!("{called}: {words}"), start_ms, are_several);
            }
            _ => {
                blocking(backends, fault, Backends::begin).await?;
                tokio::time::sleep(lasts).await;
                blocking(backends, fault, Backends::end).await?;
                mark(words.to_owned(), None, false);
            }
        }
    }
    Ok(marks)
}

/// Returns how long the server took to start again, if it did.
async fn break_server(
    what: FaultKind,
    lasts: Duration,
    engine: &mut Engine,
) -> Result<Option<u64>> {
    match what {
        FaultKind::ServerFrozen => {
            engine.freeze()?;
            tokio::time::sleep(lasts).await;
            engine.thaw()?;
            return Ok(None);
        }
        FaultKind::ServerRestarted => engine.stop().await?,
        _ => engine.kill().await?,
    }
    tokio::time::sleep(lasts).await;
    Ok(Some(milliseconds(engine.start_again().await?)))
}

/// Has a node leave in good order and come back; returns how long its start took, in milliseconds.
async fn restart_drained(
    nodes: &mut Nodes,
    place: usize,
    lasts: Duration,
    entrances: &Entrances,
) -> Result<u64> {
    let node = called(place);
    nodes.steer(&["drain", &node]).await?;
    let engine = nodes.at(place);
    let address = engine.address();
    entrances.close(address);
    tokio::time::sleep(LEAVING).await;
    engine.stop().await?;
    tokio::time::sleep(lasts).await;
    let took = engine.start_again().await?;
    nodes.steer(&["undrain", &node]).await?;
    nodes.wait_for_owners().await?;
    entrances.open(address);
    Ok(milliseconds(took))
}

/// Has one more node take part: clients enter there too, and it gets its share of the shards. Returns what it is
/// called.
async fn join(nodes: &mut Nodes, entrances: &Entrances) -> Result<String> {
    let place = nodes.join().await?;
    entrances.open(nodes.at(place).address());
    nodes.steer(&["rebalance", "--with-sales"]).await?;
    let owners = nodes.owners().await?;
    let shards = owners.iter().filter(|owner| **owner == Some(place)).count();
    let node = called(place);
    if shards == 0 {
        return Err(Error::Server(format!("{node} has joined and serves no shard")));
    }
    Ok(format!("{node}, which then served {shards} shards"))
}

/// Servers are started and stopped by blocking calls.
async fn blocking(
    backends: &Arc<Backends>,
    fault: &Fault,
    step: fn(&Backends, &Fault) -> Result<()>,
) -> Result<()> {
    let (backends, fault) = (Arc::clone(backends), fault.clone());
    tokio::task::spawn_blocking(move || step(&backends, &fault))
        .await
        .map_err(|error| Error::Server(format!("applying a fault failed: {error}")))?
}

fn since(start: Instant) -> u64 {
    milliseconds(Instant::now().saturating_duration_since(start))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
