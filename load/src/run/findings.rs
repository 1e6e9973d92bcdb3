//! What a run found, as data: a report is built from it.

use super::observed::Observed;
use super::settle::Settled;
use crate::scenario::Scenario;
use crate::stage::Machine;

/// Everything that was found in a run.
#[derive(Debug)]
pub struct Findings {
    /// The scenario, as it was run.
    pub scenario: Scenario,
    /// Where, of which commit, when.
    pub machine: Machine,
    /// Generator threads.
    pub threads: u32,
    /// What happened while the load ran.
    pub observed: Observed,
    /// What was found after the load.
    pub settled: Settled,
}
