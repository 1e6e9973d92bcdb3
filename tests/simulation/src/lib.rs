//! Seeded simulations of the engine's parts: one number decides everything that happens in a run, so that
//! a run with a finding can be run again.
//!
//! Tests search a few hundred seeds, the load laboratory as many as it is asked for. Bugs can be planted in
//! what a simulation is made of, never in the product: each of them has to be found. Must not know who
//! searches, and reads no clock: time is part of the simulation.

pub mod cluster;
pub mod disk;
mod finding;
pub mod journal;
mod search;

pub use finding::Finding;
pub use search::{Failure, first_failure, search, seed_given};
