//! What operators change while the shop runs: where it is kept, followed, and how it stands.
//!
//! Must not know what a setting means.

use super::live::{FileRules, Reread};
use crate::actors::{Engine, LiveSettings, Meaning};
use crate::store::data_dir::DataDir;
use crate::store::settings::{KeptSettings, SettingsStore};
use crate::telemetry::metrics::{CONFIG_RELOADS_TOTAL, SETTINGS_REFUSED, SETTINGS_VERSION};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The name under which readiness shows it.
const NAME: &str = "settings";

/// The settings, and the tasks that follow them and say how they stand.
pub(super) struct Settings {
    pub(super) live: LiveSettings,
    pub(super) rules: Arc<FileRules>,
    tasks: [JoinHandle<()>; 2],
}

impl Settings {
    /// Reads what operators changed while the shop ran, so that it holds for the first request, and follows
    /// it for as long as the engine runs. `kind` is where it is, for readiness.
    pub(super) async fn follow(
        rules: Arc<FileRules>,
        (store, kind): (SettingsStore, &'static str),
        data_dir: &DataDir,
        engine: &Engine,
    ) -> Self {
        /// Longer than it takes to read a million entries, and shorter than anybody waits for a start.
        const FIRST_LOOK: Duration = Duration::from_secs(10);
        let kept = KeptSettings::at(data_dir.settings());
        let live = LiveSettings::new(store, kept, engine.clock());
        if tokio::time::timeout(FIRST_LOOK, live.look()).await.is_err() {
            tracing::warn!("the settings are not read yet; until then those of the last run hold");
        }
        let followed = live.clone();
        let following = engine.tasks().keep_running("settings", move || followed.clone().follow());
        let told = (engine.clone(), live.clone(), Arc::clone(&rules));
        let telling = engine.tasks().keep_running("settings standing", move || {
            let (engine, live, rules) = told.clone();
            tell(engine, live, rules, kind)
        });
        Self { live, rules, tasks: [following, telling] }
    }

    /// Follows them no longer.
    pub(super) fn stop(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Tells readiness and metrics how the settings stand, first as it is now and then whenever that changes.
async fn tell(engine: Engine, live: LiveSettings, rules: Arc<FileRules>, kind: &'static str) {
    let (mut standing, mut file) = (live.standing(), rules.refused());
    loop {
        let now = standing.borrow_and_update().clone();
        let refused_file = file.borrow_and_update().clone();
        let meaning = match (&now.refused, refused_file) {
            (Some(refused), _) => Meaning::SettingsRefused(refused.to_string()),
            (None, Some(why)) => Meaning::SettingsFileRefused(why),
            (None, None) => Meaning::SettingsHold,
        };
        metrics::gauge!(SETTINGS_VERSION).set(now.applied as f64);
        metrics::gauge!(SETTINGS_REFUSED).set(if now.refused.is_some() { 1.0 } else { 0.0 });
        engine.report(NAME, kind, meaning == Meaning::SettingsHold, meaning);
        // The other ends live as long as this does.
        let _ = tokio::select! {
            changed = standing.changed() => changed,
            changed = file.changed() => changed,
        };
    }
}

/// Says in the log and in the metrics what came of reading the file again.
pub(super) fn tell_reread(reread: &Reread) {
    let result = match reread {
        Reread::Same => {
            tracing::info!("the file of settings says what it said before");
            "same"
        }
        Reread::Changed { applied, needs_restart } => {
            tracing::info!(
                applied = applied.join(", "),
                "the file of settings was read again, and counts from now on"
            );
            if !needs_restart.is_empty() {
                tracing::warn!(
                    settings = needs_restart.join(", "),
                    "these settings were changed in the file and need a restart"
                );
            }
            "changed"
        }
        Reread::Refused(error) => {
            tracing::error!(
                error,
                "the file of settings is not as it may be and is kept out; what it said before holds"
            );
            "refused"
        }
    };
    metrics::counter!(CONFIG_RELOADS_TOTAL, "result" => result).increment(1);
}
