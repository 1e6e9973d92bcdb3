//! Waiting for what happens in another process and does not announce itself.

use std::time::Duration;

/// Longer than anything a test waits for; beyond it the test has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The future's value.
///
/// # Panics
///
/// After two minutes, with what it waited for.
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Looks until `look` gives a value.
///
/// # Panics
///
/// After two minutes, with what it waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
    patiently(what, async {
        loop {
            if let Some(value) = look().await {
                return value;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    })
    .await
}
