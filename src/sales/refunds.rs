//! Refunds in the operators' log: who said that money went back, and by what it can be found.

use super::{CatalogueError, LogEntry, Sales};
use domain::{PaymentId, PaymentReference, Timestamp};

/// That an operator said that a refund was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefundMade<'a> {
    /// The payment whose money went back.
    pub id: PaymentId,
    /// By what the refund can be found again.
    pub reference: &'a PaymentReference,
    /// Whether it had been said before.
    pub is_repeat: bool,
}

impl Sales {
    /// Notes in the operators' log that `actor` said that a refund was made.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn note_refund(
        &self,
        made: RefundMade<'_>,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), CatalogueError> {
        let entry = LogEntry {
            at: now,
            actor: actor.to_owned(),
            action: "payment.refund".to_owned(),
            subject: format!("payment:{}", made.id),
            detail: serde_json::json!({
                "reference": made.reference.as_str(),
                "repeat": made.is_repeat,
            }),
        };
        self.catalogue.note(&entry).await
    }
}
