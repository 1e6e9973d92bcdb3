//! A change of the catalogue: who makes it, by which request, and which revision they mean.

use super::content::Content;
use super::error::CatalogueError;
use domain::catalogue::Sale;
use domain::{RequestId, Timestamp};

/// A change of a sale, as an operator or the engine asks for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change<'a> {
    /// The name of the operator, as the log has it.
    pub operator: &'a str,
    /// When it is made.
    pub at: Timestamp,
    /// Which revision of the sale is meant.
    pub base: Base,
    /// The request's id, by which a repeat is recognised; none if it cannot be repeated.
    pub request_id: Option<RequestId>,
}

/// Which revision of a sale a change was made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// Whatever revision there is: for the engine's own steps.
    Any,
    /// The revision of this number.
    Revision(u64),
    /// The caller does not say: clear only while the sale's content was never changed.
    Unsaid,
}

impl<'a> Change<'a> {
    /// A change of whatever revision there is, which is not repeated.
    pub fn by(operator: &'a str, at: Timestamp) -> Self {
        Self { operator, at, base: Base::Any, request_id: None }
    }

    /// Checks that the change was made from the sale as it is.
    pub(super) fn check_base(&self, sale: &Sale) -> Result<(), CatalogueError> {
        let present = sale.revision;
        match self.base {
            Base::Revision(revision) if revision != present => {
                Err(CatalogueError::OtherRevision { present })
            }
            Base::Unsaid if sale.edits > 0 => Err(CatalogueError::RevisionUnsaid { present }),
            Base::Any | Base::Revision(_) | Base::Unsaid => Ok(()),
        }
    }
}

/// What an earlier request with the same id did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Earlier {
    pub(super) action: String,
    pub(super) subject: String,
    pub(super) content: i64,
}

impl Earlier {
    /// Checks that the request is a repeat of this one, and no other request with the same key. The
    /// subject is not compared if it is only made by the request.
    pub(super) fn check(
        &self,
        action: &str,
        subject: Option<&str>,
        content: Content,
    ) -> Result<(), CatalogueError> {
        let is_same = self.action == action
            && subject.is_none_or(|subject| self.subject == subject)
            && content.is_noted_as(self.content);
        if is_same { Ok(()) } else { Err(CatalogueError::KeyReused) }
    }
}

/// Looks up what the change's request did before, within an open transaction.
macro_rules! earlier {
    ($connection:expr, $change:expr) => {
        match $change.request_id {
            None => None,
            Some(request_id) => {
                let text =
                    "SELECT action, subject, content FROM operator_requests WHERE request_id = ?";
                let row: Option<(String, String, i64)> = sqlx::query_as(text)
                    .bind(request_id.0.cast_signed())
                    .fetch_optional(&mut *$connection)
                    .await?;
                row.map(|(action, subject, content)| $crate::store::catalogue::change::Earlier {
                    action,
                    subject,
                    content,
                })
            }
        }
    };
}

/// Notes what the change's request did, within the transaction that does it.
macro_rules! note_request {
    ($connection:expr, $change:expr, $action:expr, $subject:expr, $content:expr) => {
        if let Some(request_id) = $change.request_id {
            let text = "INSERT INTO operator_requests (request_id, action, subject, content) \
                        VALUES (?, ?, ?, ?)";
            sqlx::query(text)
                .bind(request_id.0.cast_signed())
                .bind($action)
                .bind($subject)
                .bind($content.to_note())
                .execute(&mut *$connection)
                .await?;
        }
    };
}

pub(super) use {earlier, note_request};
