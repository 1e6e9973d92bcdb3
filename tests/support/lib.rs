//! What the tests in the process share: one way to start an engine, one shop around it, and one way
//! to wait.
//!
//! Clients, servers and random numbers, which know nothing of the engine's code, are in `harness`.

pub mod engine;
mod shop;

pub use engine::{Purchases, placed, terms};
pub use shop::{Ask, DRAIN_MAX, Setup, Shop, offer};

/// Lets other tasks run until `is_so`, for what does not announce itself.
pub async fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}
