//! What the engine itself depends on, in words for operators: its journal, its clock, its tasks.
//!
//! What is behind the sale reports of itself (`status`). Must not change anything.

use super::meaning::Meaning;
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
        meaning: if clock.drifts() { Meaning::ClockDrifts(seconds) } else { Meaning::ClockAgrees },
    }
}

/// The journal among the dependencies, in words for operators.
pub(super) fn journal_status(journal: &Journal<Effect>) -> DependencyStatus {
    let trouble = journal.trouble();
    DependencyStatus {
        name: "journal",
        kind: journal.kind(),
        healthy: matches!(trouble, None | Some(Trouble::NearlyFull(_))),
        meaning: match trouble {
            Some(Trouble::Failed) => Meaning::JournalFailed,
            Some(Trouble::Damaged(place)) => Meaning::JournalDamaged(place),
            Some(Trouble::NearlyFull(obstacle)) => Meaning::JournalNearlyFull(obstacle),
            Some(Trouble::Full(obstacle)) => Meaning::JournalFull(obstacle),
            Some(Trouble::Unreachable(why)) => Meaning::JournalUnreachable(why),
            None => Meaning::JournalWorks,
        },
    }
}

/// The background tasks among the dependencies.
pub(super) fn tasks_status(tasks: &Tasks) -> DependencyStatus {
    let ended = tasks.ended();
    DependencyStatus {
        name: "tasks",
        kind: "background",
        healthy: ended.is_empty(),
        meaning: if ended.is_empty() { Meaning::TasksRun } else { Meaning::TasksEnded(ended) },
    }
}
