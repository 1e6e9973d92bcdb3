//! What the service manager is told while the shop recovers.

use crate::service_manager::ServiceManager;
use crate::store::journal::file::ReadProgress;
use std::pin::pin;
use std::time::Duration;

/// The time between two messages.
const PERIOD: Duration = Duration::from_secs(1);

/// Waits for the recovery, and says each second how far the journal is read, and at the end how much that was.
pub(super) async fn told<T, E>(
    manager: &ServiceManager,
    read: &ReadProgress,
    recovery: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let mut recovery = pin!(recovery);
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            biased;
            recovered = &mut recovery => {
                if recovered.is_ok() {
                    manager.status(&format!("recovered {} records of the journal", read.records()));
                }
                return recovered;
            }
            _ = ticks.tick() => manager.status(&words(read)),
        }
    }
}

fn words(read: &ReadProgress) -> String {
    let (records, segment, segments) = (read.records(), read.segment(), read.segments());
    format!(
        "recovering: {records} records of the journal read, in {segment} of {segments} segments"
    )
}
