//! What a measurement needs of an engine that is called directly.

use std::future::Future;

/// An engine that can be called directly.
pub trait Decider: Send + Sync + 'static {
    /// Buys one unit of the `item`th item for `user`, and answers when the decision is
    /// durable: true if it was granted. No user asks for one item twice.
    fn buy(&self, user: u64, item: u32) -> impl Future<Output = bool> + Send;

    /// Ends it in good order; nothing is asked afterwards.
    fn stop(&self) -> impl Future<Output = ()> + Send;
}
