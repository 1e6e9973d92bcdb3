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
use std::cmp::Ordering;

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

/// Where a page of the log of one of several order stores begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogPlace {
    /// The order store's place among those of the shop.
    pub store: u16,
    /// The number of the entry before which the page is, of whichever store: see [`Catalogue::log_by_time`].
    pub before: Option<u64>,
}

/// Bits of an entry's number in the log of several stores that tell entries of one millisecond and store apart.
const ENTRY_BITS: u32 = 16;
/// Bits of it that name the store.
const STORE_BITS: u32 = 4;

impl LogPlace {
    /// The number of an entry in the log of all stores: its time first, so that numbers grow with time.
    fn number(self, at: u64, entry_id: u64) -> u64 {
        let entry = entry_id & ((1 << ENTRY_BITS) - 1);
        let time_and_store = at << STORE_BITS | u64::from(self.store);
        time_and_store << ENTRY_BITS | entry
    }

    /// Up to which time this store's entries are before the page's place, and at that time up to which of the
    /// entries' own bits, exclusively.
    fn end(self) -> (u64, u64) {
        let Some(before) = self.before else { return (i64::MAX as u64, 0) };
        let at = before >> (STORE_BITS + ENTRY_BITS);
        let store = before >> ENTRY_BITS & ((1 << STORE_BITS) - 1);
        let entry = match u64::from(self.store).cmp(&store) {
            Ordering::Less => 1 << ENTRY_BITS,
            Ordering::Equal => before & ((1 << ENTRY_BITS) - 1),
            Ordering::Greater => 0,
        };
        (at, entry)
    }
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

    /// Returns the log of one of several order stores, newest first, before `place`; at most `limit` and
    /// [`LOG_PAGE_MAX`]. The entries have numbers that no other store's have, and that grow with their time.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn log_by_time(
        &self,
        place: LogPlace,
        limit: usize,
    ) -> Result<Vec<LoggedEntry>, CatalogueError> {
        let (at, entry) = place.end();
        let rows: Result<Vec<EntryRow>, CatalogueError> = reading!(&self.database, |connection| {
            let text = "SELECT entry_id, at, actor, action, subject, detail FROM operator_log \
                        WHERE at < ? OR (at = ? AND entry_id % 65536 < ?) \
                        ORDER BY at DESC, entry_id DESC LIMIT ?";
            Ok(sqlx::query_as(text)
                .bind(signed(at))
                .bind(signed(at))
                .bind(signed(entry))
                .bind(limit_of(limit.min(LOG_PAGE_MAX)))
                .fetch_all(connection)
                .await?)
        });
        let numbered = |row| {
            let LoggedEntry { entry_id, entry } = read(row)?;
            Ok(LoggedEntry { entry_id: place.number(entry.at.0, entry_id), entry })
        };
        rows?.into_iter().map(numbered).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::Database;

    #[tokio::test]
    async fn pages_over_several_stores_miss_no_entry_and_show_none_twice() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut stores = Vec::new();
        for name in ["a", "b", "c"] {
            let database = Database::open_sqlite(&directory.path().join(name)).await;
            let database = database.expect("a database");
            database.migrate().await.expect("tables");
            stores.push(Catalogue::new(database));
        }
        // Several of one millisecond, in one store and in all.
        let times: [&[u64]; 3] = [&[1, 5, 5, 9], &[5, 5, 7], &[2, 5]];
        for (catalogue, times) in stores.iter().zip(times) {
            for at in times {
                catalogue.note_replay(1, "mia", Timestamp(*at)).await.expect("noted");
            }
        }
        for limit in 1..=4 {
            let (mut found, mut before) = (Vec::new(), None);
            loop {
                let mut page = Vec::new();
                for (store, catalogue) in (0..).zip(&stores) {
                    let read = catalogue.log_by_time(LogPlace { store, before }, limit).await;
                    page.extend(read.expect("entries"));
                }
                page.sort_by_key(|entry| std::cmp::Reverse(entry.entry_id));
                page.truncate(limit);
                let Some(last) = page.last() else { break };
                before = Some(last.entry_id);
                found.extend(page.into_iter().map(|entry| (entry.entry_id, entry.entry.at.0)));
            }
            let times: Vec<u64> = found.iter().map(|(_, at)| *at).collect();
            assert_eq!(times, [9, 7, 5, 5, 5, 5, 5, 2, 1], "{limit} a page");
            found.dedup_by_key(|(number, _)| *number);
            assert_eq!(found.len(), 9, "each has a number of its own");
        }
    }
}
