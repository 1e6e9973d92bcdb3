//! `load instructions`: how many instructions the engine executes for one purchase, and in which stage.
//!
//! Instructions do not depend on what else the machine does, and hardly on which machine it is: callgrind counts
//! them in a simulated processor. What the system's kernel does for the engine is not among them.

mod profile;
mod rounds;
mod stages;

pub use profile::{Counts, ProfileError};
pub use rounds::{InstructionArguments, instructions};
pub use stages::{STAGES, Stage, stage_of};
