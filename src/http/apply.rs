//! Applies the settings that are changed while the shop runs, whenever they change: over the API, in the centre
//! or in the file.
//!
//! Must not know where changes are kept: the actors follow them.

use super::live::{LiveDocument, NAMES};
use super::state::Edge;
use crate::telemetry;
use serde_json::Map;

/// Applies the settings whenever they change, until it is dropped.
pub async fn follow(edge: &Edge) {
    let (mut changes, mut file) = (edge.settings.changes(), edge.settings_rules.changes());
    loop {
        all(edge);
        // The edge holds the other ends.
        let changed = tokio::select! {
            changed = changes.changed() => changed,
            changed = file.changed() => changed,
        };
        if changed.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Applies the newest version of each document, as far as it changes anything. One that is not as it may be,
/// because another version of this program wrote it, changes nothing.
pub fn all(edge: &Edge) {
    let mut applied = edge.applied.lock();
    let documents = edge.settings.documents();
    let nothing = Map::new();
    for name in NAMES {
        let stored = documents.by_name.get(name);
        let content = stored.map_or(&nothing, |stored| &stored.content);
        match edge.settings_rules.read(name, content) {
            Ok(document) if applied.get(name) == Some(&document) => {}
            Ok(document) => {
                set(edge, &document);
                applied.insert(name, document);
            }
            Err(refused) => {
                let keys: Vec<&str> = refused.iter().map(|refused| refused.key.as_str()).collect();
                tracing::warn!(
                    name,
                    version = documents.version_of(name),
                    keys = keys.join(", "),
                    "settings are not as they may be here, and change nothing"
                );
            }
        }
    }
    edge.settings.note_applied(documents.version);
}

fn set(edge: &Edge, document: &LiveDocument) {
    match document {
        LiveDocument::Limits(options) => edge.limits.set(options),
        LiveDocument::Risk(options) => edge.risk.set(options),
        LiveDocument::Challenge(options) => edge.challenges.set(options),
        LiveDocument::Edge(limits) => {
            edge.live_options.set_limits(limits);
            edge.event_streams.set(limits.event_streams_max, limits.event_streams_per_buyer_max);
        }
        LiveDocument::Permits(permits) => edge.engine.set_permits(*permits),
        LiveDocument::Backlog { records_max, refuses } => {
            edge.engine.set_backlog(*records_max, *refuses);
        }
        LiveDocument::TokenLifetime(seconds) => edge.live_options.set_token_lifetime(*seconds),
        LiveDocument::BuyTokenLifetime(lifetime) => {
            edge.live_options.set_buy_token_lifetime(*lifetime);
        }
        LiveDocument::LogFilter(filter) => {
            if telemetry::log::set_filter(filter) {
                tracing::info!(filter, "the log goes by another filter");
            }
        }
    }
}
