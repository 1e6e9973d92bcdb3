//! Faults at their moments. Each leaves a mark, with its real beginning and end, on the
//! report's timeline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::scenario::{Fault, FaultKind};
use crate::stage::{Backends, Engine, Nodes};
use crate::{Error, Result};

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
) -> Result<Vec<Mark>> {
    let mut marks = Vec::with_capacity(faults.len());
    for fault in faults {
        tokio::time::sleep_until((start + Duration::from_millis(fault.at_ms)).into()).await;
        let from_ms = since(start);
        let lasts = Duration::from_millis(fault.for_ms);
        let mut start_ms = None;
        let mut is_of_a_node = false;
        let what = if fault.what.is_of_server() {
            is_of_a_node = nodes.are_several();
            let (engine, called) = nodes.busiest().await;
            start_ms = break_server(fault.what, lasts, engine).await?;
            format!("{called}: {}", fault.what.words())
        } else {
            blocking(backends, fault, Backends::begin).await?;
            tokio::time::sleep(lasts).await;
            blocking(backends, fault, Backends::end).await?;
            fault.what.words().to_owned()
        };
        marks.push(Mark { what, from_ms, to_ms: since(start), start_ms, is_of_a_node });
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
