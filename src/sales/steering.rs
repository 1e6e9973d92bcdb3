//! What operators want of a cluster's nodes, as the operators' log has it. Must not know how it is done.

use super::Sales;
use crate::store::catalogue::{CatalogueError, LogEntry};
use domain::Timestamp;
use serde_json::Value;

impl Sales {
    /// Notes in the operators' log what `actor` wants of the cluster's nodes.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the catalogue does not answer.
    pub async fn note_cluster(
        &self,
        action: &str,
        subject: &str,
        detail: Value,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), CatalogueError> {
        let entry = LogEntry {
            at: now,
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail,
        };
        self.catalogue.note(&entry).await
    }
}
