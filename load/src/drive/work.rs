//! What a generator is given and what can be seen of it while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use super::crowd::Crowd;
use super::deciders::Deciders;
use super::entrances::Entrances;
use crate::scenario::{Generator, People};
use crate::schedule::Schedule;

/// Everything a generator needs to know.
#[derive(Debug, Clone)]
pub struct Work {
    /// The addresses on which the server listens: of several nodes, one for each. A connection that is
    /// refused or lost, or hears 503, goes on with the next.
    pub entrances: Entrances,
    /// If given, each request enters at another node than the one that decides it.
    pub deciders: Option<Deciders>,
    /// Who comes, prepared.
    pub crowd: Arc<Crowd>,
    /// In which proportions, and what they do afterwards.
    pub people: People,
    /// How requests are made.
    pub generator: Generator,
    /// When they come. In the closed loop only its duration counts.
    pub schedule: Schedule,
    /// Seed of everything random.
    pub seed: u64,
    /// Only first tries of distinct users, for comparisons.
    pub distinct_only: bool,
    /// How long an order may stay unpaid.
    pub payment_window: Duration,
    /// How many threads the generator has.
    pub threads: u32,
}

/// Counters that can be read while the generator runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Requests that ended.
    pub ended: AtomicU64,
    /// Purchases granted, repeats included.
    pub granted: AtomicU64,
    /// Asks the threads to stop early.
    pub(super) stop: AtomicBool,
}
