//! Applies the settings that are changed while the shop runs, whenever they change.
//!
//! Must not know where changes are kept: the actors follow them.

use super::live::{LiveDocument, NAMES};
use super::state::Edge;

/// Applies the settings whenever they change, until it is dropped.
pub async fn follow(edge: &Edge) {
    let mut changes = edge.settings.changes();
    loop {
        all(edge);
        // The edge holds the other end.
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Applies the newest version of each document. One that is not as it may be, because another version of
/// this program wrote it, changes nothing.
pub fn all(edge: &Edge) {
    for name in NAMES {
        let Some(stored) = edge.settings.document(name) else { continue };
        match edge.settings_rules.read(name, &stored.content) {
            Ok(LiveDocument::Limits(options)) => edge.limits.set(&options),
            Ok(LiveDocument::Risk(options)) => edge.risk.set(&options),
            Ok(LiveDocument::Challenge(options)) => edge.challenges.set(&options),
            Err(refused) => {
                let keys: Vec<&str> = refused.iter().map(|refused| refused.key.as_str()).collect();
                tracing::warn!(
                    name,
                    version = stored.version,
                    keys = keys.join(", "),
                    "settings are not as they may be here, and change nothing"
                );
            }
        }
    }
}
