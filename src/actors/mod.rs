//! The actors and the handles to them.
//!
//! In the order of a purchase: `gate` refuses without a decision, `engine` is the handle, `shard`
//! decides and releases answers once they are durable, `pipeline` brings broker, order store and
//! checkpoints up to date behind the sale. `status` says how all of them are,
//! `dependencies` what the engine itself needs, `order_store` how far that store is, and `health` puts it
//! together.

mod bloom_filter;
mod dependencies;
mod engine;
mod gate;
mod health;
mod order_store;
mod pipeline;
mod shard;
mod status;
mod tasks;

pub use engine::{Engine, EngineOptions, KeyOrigin, StartError};
pub use gate::Gate;
pub use pipeline::{BackendOptions, Backends};
pub use shard::{
    ChangesMissed, Lack, NotDelivered, OrderChanges, RecoveryError, Renewal, RenewedShard, Reply,
    Ring, renew,
};
pub use status::{DependencyStatus, EngineStatus};
pub use tasks::Tasks;
