//! How long a page waits for what is stored: the sale goes on while the catalogue is away, and so do those who
//! run it.

use std::time::Duration;

/// Beyond this a page says that the catalogue does not answer: a reader of the brake's page must not wait for it.
const WAIT: Duration = Duration::from_secs(1);

/// Returns what was read; none if it did not come soon.
pub async fn soon<T>(reading: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(WAIT, reading).await.ok()
}
