//! The actors and the handles to them.
//!
//! In the order of a purchase: `gate` (refusals without a decision), `engine` (the handle), `permits`
//! and `claims` (the bounds in front), `router` and `ring`, `mailbox`, `shard` and `desk` (the
//! decision), `reply` (what is let go once it is durable). Around them `supervisor`, `quarantine` and
//! `recovery`; behind them `relay`, `outlet`, `inlet`, `consumer`, `progress`, `ownership`,
//! `checkpointer`, `pipeline` and `backends`. `books`, `preheat` and `closing` are a sale's way through
//! the catalogue.

mod backends;
pub mod books;
mod checkpointer;
mod claims;
pub mod closing;
mod consumer;
mod context;
mod desk;
mod engine;
mod filter;
mod gate;
mod inlet;
mod mailbox;
mod outlet;
mod ownership;
mod permits;
mod pipeline;
pub mod preheat;
mod progress;
mod quarantine;
mod recovery;
mod relay;
mod reply;
mod ring;
mod router;
mod shard;
mod supervisor;

pub use backends::{BackendOptions, Backends};
pub use books::{Books, BooksUnavailable};
pub use engine::{DependencyStatus, Engine, EngineOptions, EngineStatus, KeyOrigin, StartError};
pub use gate::Gate;
pub use ownership::OwnershipError;
pub use recovery::RecoveryError;
pub use reply::{NotDelivered, Reply};
pub use ring::Ring;
