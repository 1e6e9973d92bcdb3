//! The readers of events, as the configuration has them.

use super::background::Background;
use super::error::AppError;
use super::options;
use crate::actors::{Engine, EventReaders};
use crate::config::Config;
use crate::opening;
use crate::store::orders::OrderStore;

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
