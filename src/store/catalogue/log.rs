//! The operators' log: who did what to which sale or item, and when. Entries are only appended: by the
//! catalogue in the transaction of a change, and by the order store from the records of items.

use super::error::CatalogueError;
use super::handle::{Catalogue, reading, writing};
use super::limits::LOG_PAGE_MAX;
use super::numbers::{number, signed};
use crate::store::database::StoreError;
use crate::store::database::statements::limit_of;
use domain::Timestamp;
use serde_json::Value;

/// An entry of the operators' log: one thing that an operator did.
#[derive(Clone, PartialEq, Debug)]
pub struct LogEntry {
    /// When it was done.
    pub at: Timestamp,
    /// The name of the operator who did it.
    pub actor: String,
    /// What was done, such as `sale.approve` or `item.restock`.
    pub action: String,
    /// What it was done to, such as `sale:7` or `item:12`.
    pub subject: String,
    /// Further facts, as JSON.
    pub detail: Value,
}

/// An entry with its number in the log.
#[derive(Clone, PartialEq, Debug)]
pub struct LoggedEntry {
    /// The entry's number, which grows with every entry.
    pub entry_id: u64,
    /// What was done.
    pub entry: LogEntry,
}

/// A row of `operator_log`, in the order in which its columns are selected.
type EntryRow = (i64, i64, String, String, String, String);

/// Appends to the log within an open transaction.
macro_rules! append {
    ($connection:expr, $entry:expr) => {
        sqlx::query(
            "INSERT INTO operator_log (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
        )
        .bind($crate::store::catalogue::numbers::signed($entry.at.0))
        .bind($entry.actor.as_str())
        .bind($entry.action.as_str())
        .bind($entry.subject.as_str())
        .bind($entry.detail.to_string())
        .execute(&mut *$connection)
        .await
    };
}
pub(in crate::store) use append;

impl Catalogue {
    /// Notes that `actor` had so many dead letters sent again.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn note_replay(
        &self,
        count: usize,
        actor: &str,
        at: Timestamp,
    ) -> Result<(), CatalogueError> {
        let entry = LogEntry {
            at,
            actor: actor.to_owned(),
            action: "dead_letters.replay".to_owned(),
            subject: "dead_letters".to_owned(),
            detail: serde_json::json!({ "count": count }),
        };
        self.note(&entry).await
    }

    /// Appends an entry whose change is made elsewhere.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn note(&self, entry: &LogEntry) -> Result<(), CatalogueError> {
        writing!(&self.database, |connection| {
            append!(connection, entry)?;
            Ok(())
        })
    }

    /// Returns the log, newest first, beginning before the entry `before` if given; at most `limit` and
    /// [`LOG_PAGE_MAX`].
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn log(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<LoggedEntry>, CatalogueError> {
        let rows: Result<Vec<EntryRow>, CatalogueError> = reading!(&self.database, |connection| {
            let text = "SELECT entry_id, at, actor, action, subject, detail FROM operator_log \
                        WHERE entry_id < ? ORDER BY entry_id DESC LIMIT ?";
            Ok(sqlx::query_as(text)
                .bind(before.map_or(i64::MAX, signed))
                .bind(limit_of(limit.min(LOG_PAGE_MAX)))
                .fetch_all(connection)
                .await?)
        });
        rows?.into_iter().map(read).collect()
    }
}

fn read(row: EntryRow) -> Result<LoggedEntry, CatalogueError> {
    let (entry_id, at, actor, action, subject, detail) = row;
    let detail = serde_json::from_str(&detail).map_err(|_| {
        StoreError::corrupt(format!("log entry {entry_id}: its detail is not JSON"))
    })?;
    let at = Timestamp(number(format_args!("log entry {entry_id}, at"), at)?);
    let entry = LogEntry { at, actor, action, subject, detail };
    Ok(LoggedEntry { entry_id: number("log entry", entry_id)?, entry })
}
