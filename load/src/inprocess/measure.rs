//! How many durable decisions a second an engine makes for many callers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::decider::Decider;
#[cfg(feature = "in-process")]
use super::engine::InProcessEngine;
use crate::spread::Spread;
use crate::{Error, Result};

/// Callers at once, as the goals name them.
pub const CALLERS: [u32; 3] = [64, 1_024, 8_192];
/// One hot item, and many.
pub const ITEMS: [u32; 2] = [1, 64];

/// The engine without HTTP.
#[derive(Debug, Clone, Serialize)]
pub struct InProcessRow {
    /// How many callers there were at once.
    pub callers: u32,
    /// How many items they bought.
    pub items: u32,
    /// Durable decisions a second.
    pub rate: Spread,
}

/// Lets `callers` tasks buy for `duration`, each its next unit when it has the last.
/// Returns granted decisions a second.
///
/// # Errors
/// Returns [`Error::Server`] if more than one in a thousand was not granted: then the figure
/// would say how fast the engine refuses.
pub async fn measure<D: Decider>(
    engine: &Arc<D>,
    callers: u32,
    items: u32,
    duration: Duration,
) -> Result<f64> {
    let granted = Arc::new(AtomicU64::new(0));
    let refused = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let (engine, granted, refused) = (Arc::clone(engine), granted.clone(), refused.clone());
        tasks.spawn(async move {
            let mut user = u64::from(caller) + 1;
            while begun.elapsed() < duration {
                let item = caller % items;
                let counter = if engine.buy(user, item).await { &granted } else { &refused };
                counter.fetch_add(1, Ordering::Relaxed);
                user += u64::from(callers);
            }
        });
    }
    tasks.join_all().await;
    let seconds = begun.elapsed().as_secs_f64();
    let (granted, refused) = (granted.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    if refused * 1_000 > granted {
        return Err(Error::Server(format!("{refused} refused, {granted} granted in the process")));
    }
    Ok(granted as f64 / seconds)
}

/// Every combination of [`CALLERS`] and [`ITEMS`], `rounds` times, each with a fresh engine
/// from `make` (given the number of items): one that can grant as much as is asked for.
///
/// # Errors
/// Returns an error if [`measure`] or `make` does.
pub async fn measure_all<D: Decider>(
    make: impl AsyncFn(u32) -> Result<D>,
    rounds: u32,
    duration: Duration,
) -> Result<Vec<InProcessRow>> {
    let mut rows = Vec::new();
    for items in ITEMS {
        for callers in CALLERS {
            let mut rates = Vec::new();
            for _ in 0..rounds {
                let engine = Arc::new(make(items).await?);
                let rate = measure(&engine, callers, items, duration).await;
                engine.stop().await;
                rates.push(rate?);
            }
            rows.extend(Spread::of(rates).map(|rate| InProcessRow { callers, items, rate }));
        }
    }
    Ok(rows)
}

/// Measures this engine, with a worker thread for each processor. `None` if this program
/// was built without the feature `in-process`.
///
/// # Errors
/// Returns an error if [`measure_all`] does.
#[cfg(feature = "in-process")]
pub fn measure_engine(rounds: u32, duration: Duration) -> Result<Option<Vec<InProcessRow>>> {
    /// No machine this runs on decides more in a second.
    const DECISIONS_PER_SECOND_MAX: f64 = 4e6;
    let units = (DECISIONS_PER_SECOND_MAX * duration.as_secs_f64()) as u32;
    let make = async |items| InProcessEngine::start(items, units / items + 1).await;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting the runtime"))?;
    runtime.block_on(measure_all(make, rounds, duration)).map(Some)
}

/// Measures nothing: this program was built without the feature `in-process`.
///
/// # Errors
/// Returns none; the other build does.
#[cfg(not(feature = "in-process"))]
pub fn measure_engine(_: u32, _: Duration) -> Result<Option<Vec<InProcessRow>>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grants at once, or never.
    struct Constant(bool);

    impl Decider for Constant {
        async fn buy(&self, _: u64, _: u32) -> bool {
            tokio::task::yield_now().await;
            self.0
        }

        async fn stop(&self) {}
    }

    #[tokio::test]
    async fn grants_are_counted_and_refusals_are_no_figure() {
        let duration = Duration::from_millis(20);
        let rate = measure(&Arc::new(Constant(true)), 4, 2, duration).await;
        assert!(rate.is_ok_and(|rate| rate > 0.0));
        let rows = measure_all(async |_| Ok(Constant(true)), 1, duration).await;
        assert_eq!(rows.map(|rows| rows.len()).ok(), Some(CALLERS.len() * ITEMS.len()));
        assert!(measure(&Arc::new(Constant(false)), 4, 2, duration).await.is_err());
    }
}
