//! What is wrong with a record, a checkpoint or a row that contradicts the state.

use crate::ids::ShardId;
use crate::invariants::{Invariant, Rule};

/// A record that contradicts the state it is applied to, or a checkpoint or rows that contradict
/// themselves: a bug, or data that is not the shard's. The state is as it was before.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("shard {shard} {} at record {seq}: {detail}", breach(*rule))]
pub struct Violation {
    /// The shard whose state it is.
    pub shard: ShardId,
    /// The record's number; of a checkpoint or of rows, the last one that they know.
    pub seq: u64,
    /// The rule that is broken.
    pub rule: Rule,
    /// What was found, in words.
    pub detail: String,
}

fn breach(rule: Rule) -> String {
    match rule {
        Rule::Form => "is malformed".to_owned(),
        Rule::Invariant(invariant) => format!("breaks {invariant}"),
    }
}

/// The broken rule and what was found; where, its caller adds.
#[derive(Debug)]
pub(super) struct Broken {
    rule: Rule,
    detail: String,
}

impl Broken {
    /// It does not follow from what is there.
    pub(super) fn form(detail: impl Into<String>) -> Self {
        Self { rule: Rule::Form, detail: detail.into() }
    }

    /// What an invariant's function found.
    pub(super) fn invariant(invariant: Invariant) -> impl FnOnce(String) -> Self {
        move |detail| Self { rule: invariant.into(), detail }
    }

    /// Tells where it was found.
    pub(super) fn at(self, shard: ShardId, seq: u64) -> Violation {
        Violation { shard, seq, rule: self.rule, detail: self.detail }
    }
}
