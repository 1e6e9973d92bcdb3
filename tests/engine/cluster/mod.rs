//! Several engines on one log that they share, in one process.

mod buckets;
mod crowd;
mod etcd;
mod going_round;
mod keys;
mod linked;
mod looks;
mod member;
mod moving;
mod node;

pub use node::{Node, Stores};
