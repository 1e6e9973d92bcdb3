//! What every drill needs: a site with its process, a client, a shop with its witness, a verdict.

mod books;
mod client;
mod load;
mod seed;
mod server;
mod shop;
mod site;
mod witness;

pub use books::Verdict;
pub use client::Client;
pub use load::{Crowd, must_sell, sell};
pub use seed::Random;
pub use server::Server;
pub use shop::{Offer, Shop};
pub use site::Site;
pub use witness::{Attempt, Witness, must_be_unavailable};

use std::future::Future;
use std::time::Duration;

/// Longer than anything a drill waits for; beyond it the drill has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The future's value, or a failed drill that says what it waited for.
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Looks until `look` gives a value: for what does not announce itself.
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
