//! What makes several nodes one shop: which of them should own which shard, and how it comes to that.

mod member;
mod plan;
mod steering;
mod takeover;

pub use member::{Member, MemberOptions};
pub use plan::{Plan, plan};
pub use steering::{NodeStanding, Rebalance, ShardStanding, Standing, Steering, SteeringError};
pub use takeover::{Takeover, TakeoverError};
