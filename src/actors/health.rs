//! How the engine is: what readiness reports and metrics show.

use super::dependencies::{clock_status, journal_status, tasks_status};
use super::engine::Engine;
use super::meaning::Meaning;
use super::shard::{DecisionFigures, MailboxFigures};
use super::status::EngineStatus;
use crate::store::journal::LogStatus;
use crate::telemetry::text::Histogram;

impl Engine {
    /// What readiness reports and metrics show.
    pub fn status(&self) -> EngineStatus {
        let context = self.context();
        let pipeline = self.pipeline_status().look(&context.journal, context.clock.now());
        let quarantined_items = self
            .gates()
            .iter()
            .filter(|gate| gate.is_quarantined())
            .map(|gate| gate.terms().item_id)
            .collect();
        let refusing = self.refusing();
        let mut dependencies = vec![journal_status(&context.journal)];
        dependencies.extend(pipeline.dependencies);
        dependencies.push(clock_status(&context.clock));
        dependencies.push(tasks_status(self.tasks()));
        EngineStatus {
            accepting: refusing.is_none(),
            refusing_because: refusing,
            shards_up: context.router.up(),
            shards_ticking: context.router.ticking(),
            shards: context.router.served().count(),
            quarantined_items,
            permits_used: context.permits.used(),
            permits: context.permits.limit(),
            mailbox_depth: context.router.depth(),
            backlog_records: pipeline.store_backlogs.iter().sum(),
            store_backlogs: pipeline.store_backlogs,
            backlog_age_seconds: pipeline.backlog_age_seconds,
            checkpoint_age_seconds: pipeline.checkpoint_age_seconds,
            journal: context.journal.figures(),
            wall_drift_seconds: context.clock.wall_drift_milliseconds() as f64 / 1e3,
            dependencies,
        }
    }

    /// Sets the state of something that the engine stands on and does not watch by itself.
    pub fn report(&self, name: &'static str, kind: &'static str, healthy: bool, meaning: Meaning) {
        self.pipeline_status().report(name, kind, healthy, meaning);
    }

    /// Counts such a thing as not well until its state is set.
    pub fn expect(&self, name: &'static str, kind: &'static str) {
        self.pipeline_status().expect(name, kind);
    }

    /// What the shards have decided since the start.
    pub fn decisions(&self) -> DecisionFigures {
        DecisionFigures::sum(self.context().figures.iter().map(AsRef::as_ref))
    }

    /// How the mailboxes were emptied since the start.
    pub fn mailboxes(&self) -> &MailboxFigures {
        &self.context().mailbox_figures
    }

    /// How long the order store took for each batch of records since the start.
    pub fn apply_durations(&self) -> &Histogram {
        self.pipeline_status().apply_durations()
    }

    /// The journal's state and figures.
    pub fn journal_status(&self) -> &LogStatus {
        self.context().journal.status()
    }
}
