//! What happened while the load ran.

use super::faults::Mark;
use crate::drive::Record;
use crate::stage::{Backlog, Sample};

/// What happened while the load ran.
#[derive(Debug)]
pub struct Observed {
    /// What the generator recorded.
    pub record: Record,
    /// The server, second by second; empty if it is not ours.
    pub server: Vec<Sample>,
    /// The generator, second by second.
    pub generator: Vec<Sample>,
    /// How far the order store was behind, second by second, as the server says.
    pub backlog: Vec<Backlog>,
    /// The place among several nodes of each shard's owner when the load began.
    pub owners: Vec<Option<usize>>,
    /// Faults as they happened.
    pub marks: Vec<Mark>,
}
