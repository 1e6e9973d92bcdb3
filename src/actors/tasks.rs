//! Tasks that are to run for as long as the engine does: one that ends is run again.
//!
//! A task may only end by a defect, and a sale must not lose its relay or its clock to one. How often
//! that happened is in the engine's status, so that the operator hears of it. Must not know what the
//! tasks do.

use crate::clock::Clock;
use crate::telemetry::metrics::TASK_RESTARTS_TOTAL;
use domain::Timestamp;
use futures_util::FutureExt;
use parking_lot::Mutex;
use ractor::ActorCell;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The pause before a task is run again, doubled each time it ends.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// For so long after it ended a task counts as unsound, and its next end as one of a series.
const UNSOUND_MILLISECONDS: u64 = 60_000;

/// The tasks of an engine. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    clock: Clock,
    tasks: Arc<Mutex<Vec<Task>>>,
}

/// What is known of one task.
#[derive(Clone, Copy, Debug)]
struct Task {
    name: &'static str,
    restarts: u32,
    ended_at: Option<Timestamp>,
}

impl Tasks {
    /// No tasks yet, seen by this clock.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, tasks: Arc::default() }
    }

    /// Runs what `make` makes on the current runtime, again whenever it returns or panics, until the
    /// returned task is aborted.
    pub fn keep_running<F>(
        &self,
        name: &'static str,
        mut make: impl FnMut() -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        {
            // Some come and go while the engine runs.
            let mut tasks = self.tasks.lock();
            if tasks.iter().all(|task| task.name != name) {
                tasks.push(Task { name, restarts: 0, ended_at: None });
            }
        }
        metrics::counter!(TASK_RESTARTS_TOTAL, "task" => name).increment(0);
        let tasks = self.clone();
        tokio::spawn(async move {
            let mut pause = PAUSE_FIRST;
            loop {
                let panicked = AssertUnwindSafe(make()).catch_unwind().await.is_err();
                if tasks.note_end(name) {
                    pause = PAUSE_FIRST;
                }
                metrics::counter!(TASK_RESTARTS_TOTAL, "task" => name).increment(1);
                tracing::error!(
                    task = name,
                    panicked,
                    pause_milliseconds = pause.as_millis(),
                    "a background task ended and is run again; what it does waits meanwhile and \
                     nothing is lost"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        })
    }

    /// Notes that the task ended; true if it had run for long before.
    fn note_end(&self, name: &'static str) -> bool {
        let now = self.clock.now();
        let mut tasks = self.tasks.lock();
        let Some(task) = tasks.iter_mut().find(|task| task.name == name) else { return true };
        task.restarts += 1;
        let before = task.ended_at.replace(now);
        before.is_none_or(|before| now.0.saturating_sub(before.0) > UNSOUND_MILLISECONDS)
    }

    /// The tasks that ended within the last minute, each with how often it was run again.
    pub(super) fn ended(&self) -> Vec<(&'static str, u32)> {
        let now = self.clock.now();
        let tasks = self.tasks.lock();
        let is_unsound = |task: &&Task| {
            task.ended_at.is_some_and(|at| now.0.saturating_sub(at.0) <= UNSOUND_MILLISECONDS)
        };
        tasks.iter().filter(is_unsound).map(|task| (task.name, task.restarts)).collect()
    }
}

/// An actor that is killed when its task is dropped.
pub(super) struct KilledOnDrop(pub(super) ActorCell);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        self.0.kill();
    }
}
