//! A cluster of three nodes over the fenced log in memory: appends, claims and renewals that are lost, late,
//! doubled and overtaken; nodes that stop, die and are cut off; leases that end wrongly; stores that are
//! away or lose what they had. Time is a number.
//!
//! The product's own are the log in memory, committer, owned shards, replay of what was claimed, stock and
//! records. Membership, mailbox, guard, checkpoints and relay are doubles, as small as they can be, which do
//! what `src/actors` does in the same order; [`Plant`] changes them. The engine itself runs in the tests
//! of `tests/engine/cluster`.
//!
//! `truth` judges every append, claim, checkpoint, trim and answer at its instant; in the end everything
//! comes to rest, and what can be sold is sold (I16).

mod buckets;
mod clients;
mod events;
mod journal;
mod member;
mod membership;
mod message;
mod node;
mod plant;
mod question;
mod registry;
mod serving;
mod shop;
mod stores;
mod takeover;
mod truth;
mod weather;
mod wire;
mod world;

pub use events::Seen;
pub use plant::Plant;
pub use world::run;
