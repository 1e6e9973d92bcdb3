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
    /// The machine, the commit and the time of the run.
    pub machine: Machine,
    /// How many threads the generator has.
    pub threads: u32,
    /// What happened while the load ran.
    pub observed: Observed,
    /// What was found after the load.
    pub settled: Settled,
}
