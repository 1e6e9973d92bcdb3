//! Journal and engine on a simulated disk that loses what was not synced, tears, fails, fills up,
//! hangs and lies.
//!
//! Seeds are printed when they fail; `SECKILL_SEED=number` runs one again.

mod cluster_seeds;
mod dice;
mod engine;
mod engine_crash;
mod engine_faults;
mod fenced;
mod journal_contract;
mod journal_copy;
mod journal_crash;
mod journal_damage;
mod journal_faults;
mod journal_owner;
mod journal_segments;
mod memory;

pub use dice::{Dice, Told, seeds};
