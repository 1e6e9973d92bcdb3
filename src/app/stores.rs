//! The stores beside the journal: where orders and checkpoints are kept.
//!
//! Must not know what is written to them.

use crate::config::Config;
use crate::opening::{self, OpenError};
use crate::store::checkpoint::CheckpointStore;
use crate::store::data_dir::DataDir;
use crate::store::journal::JournalId;
use crate::store::orders::OrderStore;
use std::sync::Arc;
use std::time::Duration;

/// The opened stores that engine and backends share.
pub(super) struct Stores {
    pub(super) orders: OrderStore,
    /// Those of the order stores that answered, whose tables are up to date.
    pub(super) migrated: Vec<OrderStore>,
    pub(super) checkpoints: CheckpointStore,
}

impl Stores {
    /// Opens the stores. To be run on the background threads, because a connection's thread inherits
    /// the priority of the thread that opened it.
    pub(super) async fn open(
        config: Config,
        data_dir: Arc<DataDir>,
        journal_id: JournalId,
    ) -> Result<Self, OpenError> {
        let orders = opening::orders(&config, &data_dir).await?;
        let checkpoints = opening::checkpoints(&config, &data_dir, journal_id).await?;
        let mut migrated = Vec::new();
        for store in orders.each() {
            match store.migrate().await {
                Ok(_) => migrated.push(store),
                Err(error) if error.is_transient() => {
                    tracing::warn!(
                        %error,
                        store = store.place().place,
                        "the order store is not there yet; orders wait in the journal"
                    );
                }
                Err(error) => return Err(opening::orders_error(&config, &data_dir, error)),
            }
        }
        Ok(Self { orders, migrated, checkpoints })
    }
}

/// Closes the stores. A file that was closed is whole by itself.
pub(super) async fn close(orders: &OrderStore, checkpoints: &CheckpointStore, limit: Duration) {
    let closed = async {
        tokio::join!(orders.close(), checkpoints.close());
    };
    if tokio::time::timeout(limit, closed).await.is_err() {
        tracing::warn!("the stores did not close in time");
    }
}
