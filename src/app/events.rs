//! The readers of events, as the configuration has them.

use super::background::Background;
use super::error::AppError;
use super::options;
use crate::actors::{Engine, EventReaders};
use crate::config::Config;
use crate::opening;
use crate::store::orders::OrderStore;
use std::time::Duration;

/// How long a stop waits for those who are told at most.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Starts telling what happens, on the background threads.
///
/// # Errors
/// Returns [`AppError`] if a certificate cannot be read.
pub(super) async fn start(
    background: &Background,
    config: &Config,
    engine: &Engine,
    orders: &OrderStore,
) -> Result<EventReaders, AppError> {
    let (engine, orders, options) = (engine.clone(), orders.clone(), options::events(config));
    let address = opening::events_address(config)?;
    let started = async move {
        let readers = EventReaders::new(&engine, &orders, &options);
        if let Some(address) = address {
            readers.announce_at(address);
        }
        readers
    };
    background.run(started).await
}

/// Stops telling, within this time at most. What receivers do not confirm they are told again.
pub(super) async fn stop(readers: &EventReaders, limit: Duration) {
    readers.stop(limit.min(STOP_LIMIT)).await;
}
