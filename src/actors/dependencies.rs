//! What the engine itself depends on, in words for operators: its journal, its clock, its tasks.
//!
//! What is behind the sale reports of itself (`status`). Must not change anything.

use super::shard::effects::Effect;
use super::status::DependencyStatus;
use super::tasks::Tasks;
use crate::clock::Clock;
use crate::store::journal::{Journal, Trouble};

/// The clock among the dependencies, in words for operators.
pub(super) fn clock_status(clock: &Clock) -> DependencyStatus {
    let seconds = clock.wall_drift_milliseconds() / 1_000;
    DependencyStatus {
        name: "clock",
        kind: "monotonic",
        healthy: !clock.drifts(),
        meaning: if clock.drifts() {
            format!(
                "the wall clock is {} s {} the sale's, which goes on undisturbed: sales begin and end by \
                 GET /api/v1/time; see \"Clocks\" in docs/operations.md",
                seconds.unsigned_abs(),
                if seconds < 0 { "behind" } else { "ahead of" }
            )
        } else {
            "the wall clock and the sale's agree".to_owned()
        },
    }
}

/// The journal among the dependencies, in words for operators.
pub(super) fn journal_status(journal: &Journal<Effect>) -> DependencyStatus {
    let trouble = journal.trouble();
    DependencyStatus {
        name: "journal",
        kind: journal.kind(),
        healthy: !matches!(trouble, Some(Trouble::Failed | Trouble::Damaged(_) | Trouble::Full(_))),
        meaning: match trouble {
            Some(Trouble::Failed) => {
                "a write failed: nothing is confirmed any more, the process stops".to_owned()
            }
            Some(Trouble::Damaged(place)) => format!(
                "{place}: purchases are refused, and the state in memory goes to the checkpoints; \
                 leave everything as it is and see \"A damaged journal\" in docs/operations.md"
            ),
            Some(Trouble::NearlyFull(obstacle)) => format!(
                "no room for the next segment ({obstacle}): the sale goes on until this one is full"
            ),
            Some(Trouble::Full(obstacle)) => {
                format!("no room ({obstacle}): purchases are refused")
            }
            None => "every confirmation is on disk before it leaves".to_owned(),
        },
    }
}

/// The background tasks among the dependencies.
pub(super) fn tasks_status(tasks: &Tasks) -> DependencyStatus {
    let trouble = tasks.trouble();
    DependencyStatus {
        name: "tasks",
        kind: "background",
        healthy: trouble.is_none(),
        meaning: trouble.unwrap_or_else(|| "what runs beside the purchases runs".to_owned()),
    }
}
