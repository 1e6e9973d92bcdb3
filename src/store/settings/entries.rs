//! The entries of the lists that risk rules look into.

use super::{ENTRIES_MAX, SettingsError, SettingsStore};
use crate::store::catalogue::LogEntry;
use crate::store::catalogue::handle::{InsertedKey as _, reading, writing};
use crate::store::catalogue::log::append;
use crate::store::catalogue::numbers::{number, signed};
use crate::store::database::StoreError;
use crate::store::database::statements::limit_of;
use domain::Timestamp;
use domain::risk::EntryKind;
use serde_json::json;

/// An entry that is to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewEntry {
    /// What it is about.
    pub kind: EntryKind,
    /// Why it is there, for people.
    pub note: String,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

impl NewEntry {
    /// Whether it has ended by itself at `now`.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// An entry that is or was there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedEntry {
    /// The entry's number.
    pub entry_id: u64,
    /// What it says.
    pub entry: NewEntry,
    /// Who made it.
    pub actor: String,
    /// When it was made.
    pub at: Timestamp,
    /// Whether it was removed.
    pub is_removed: bool,
}

/// Up to where changes of entries have been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    change: i64,
    entry_id: i64,
}

/// A part of what was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangedEntries {
    /// The entries as they are now, in the order of their changes.
    pub entries: Vec<ListedEntry>,
    /// Where to go on.
    pub position: Position,
}

/// A row of `risk_entries`, in the order in which its columns are selected.
type EntryRow = (i64, String, String, String, Option<i64>, String, i64, Option<i64>, i64);

/// Begins a change: takes its number, and with it the row that other changes wait for.
macro_rules! begin_change {
    ($connection:expr) => {{
        sqlx::query("UPDATE risk_changes SET change_no = change_no + 1 WHERE one = 1")
            .execute(&mut *$connection)
            .await?;
        let (change,): (i64,) = sqlx::query_as("SELECT change_no FROM risk_changes WHERE one = 1")
            .fetch_one(&mut *$connection)
            .await?;
        change
    }};
}

/// Removes the entry of a number in a change, and returns how many were there: one or none.
macro_rules! remove {
    ($connection:expr, $entry_id:expr, $at:expr, $change:expr) => {{
        let text = "UPDATE risk_entries SET removed_at = ?, change_no = ? \
                    WHERE entry_id = ? AND removed_at IS NULL";
        let updated = sqlx::query(text)
            .bind(signed($at.0))
            .bind($change)
            .bind(signed($entry_id))
            .execute(&mut *$connection)
            .await?;
        updated.rows_affected()
    }};
}

impl SettingsStore {
    /// Adds entries, at most [`ENTRIES_MAX`], and removes those of the numbers `replaced`, with one entry of
    /// the operators' log. Returns their numbers.
    ///
    /// # Errors
    /// Returns [`SettingsError::Store`] if the database does not answer; none was added then.
    pub async fn add_entries(
        &self,
        entries: &[NewEntry],
        replaced: &[u64],
        actor: &str,
        at: Timestamp,
    ) -> Result<Vec<u64>, SettingsError> {
        let entries = &entries[..entries.len().min(ENTRIES_MAX)];
        let text = "INSERT INTO risk_entries (kind, value, note, expires_at, actor, at, change_no) \
                    VALUES (?, ?, ?, ?, ?, ?, ?)";
        writing!(&self.database, SettingsError, |connection| {
            let change = begin_change!(connection);
            for entry_id in replaced {
                remove!(connection, *entry_id, at, change);
            }
            let mut numbers = Vec::with_capacity(entries.len());
            for entry in entries {
                let inserted = sqlx::query(text)
                    .bind(entry.kind.list())
                    .bind(entry.kind.value())
                    .bind(entry.note.as_str())
                    .bind(entry.expires_at.map(|at| signed(at.0)))
                    .bind(actor)
                    .bind(signed(at.0))
                    .bind(change)
                    .execute(&mut *connection)
                    .await?;
                numbers.push(number("risk_entries.entry_id", inserted.inserted_key())?);
            }
            append!(connection, added(entries, &numbers, replaced, actor, at))?;
            Ok(numbers)
        })
    }

    /// Removes an entry, with an entry of the operators' log.
    ///
    /// # Errors
    /// Returns [`SettingsError::NotFound`] if there is no such entry or it was removed,
    /// [`SettingsError::Store`] if the database does not answer.
    pub async fn remove_entry(
        &self,
        entry_id: u64,
        actor: &str,
        at: Timestamp,
    ) -> Result<(), SettingsError> {
        let entry = LogEntry {
            at,
            actor: actor.to_owned(),
            action: "risk.remove".to_owned(),
            subject: format!("risk_entry:{entry_id}"),
            detail: json!({}),
        };
        writing!(&self.database, SettingsError, |connection| {
            let change = begin_change!(connection);
            if remove!(connection, entry_id, at, change) == 0 {
                return Err(SettingsError::NotFound);
            }
            append!(connection, entry)?;
            Ok(())
        })
    }

    /// Returns entries that were changed behind `position`, at most `limit`. Fewer are all there are.
    ///
    /// # Errors
    /// Returns [`SettingsError::Store`] if the database does not answer.
    pub async fn changed_entries(
        &self,
        position: Position,
        limit: usize,
    ) -> Result<ChangedEntries, SettingsError> {
        let text = "SELECT entry_id, kind, value, note, expires_at, actor, at, removed_at, change_no \
                    FROM risk_entries WHERE change_no >= ? AND (change_no, entry_id) > (?, ?) \
                    ORDER BY change_no, entry_id LIMIT ?";
        let rows: Result<Vec<EntryRow>, SettingsError> =
            reading!(&self.database, |connection| Ok(sqlx::query_as(text)
                .bind(position.change)
                .bind(position.change)
                .bind(position.entry_id)
                .bind(limit_of(limit))
                .fetch_all(connection)
                .await?));
        let rows = rows?;
        let last = rows.last().map(|row| Position { change: row.8, entry_id: row.0 });
        let entries = rows.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(ChangedEntries { entries, position: last.unwrap_or(position) })
    }

    /// Returns a page of the entries that are there, newest first, beginning before the entry `before`
    /// if given; at most `limit`.
    ///
    /// # Errors
    /// Returns [`SettingsError::Store`] if the database does not answer.
    pub async fn entries(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ListedEntry>, SettingsError> {
        let text = "SELECT entry_id, kind, value, note, expires_at, actor, at, removed_at, change_no \
                    FROM risk_entries WHERE entry_id < ? AND removed_at IS NULL \
                    ORDER BY entry_id DESC LIMIT ?";
        let rows: Result<Vec<EntryRow>, SettingsError> =
            reading!(&self.database, |connection| Ok(sqlx::query_as(text)
                .bind(before.map_or(i64::MAX, signed))
                .bind(limit_of(limit.min(ENTRIES_MAX)))
                .fetch_all(connection)
                .await?));
        rows?.into_iter().map(read).collect()
    }
}

/// What the log says of entries that were added: a few of them in full, and how many there were, and how many
/// others they replace.
fn added(
    entries: &[NewEntry],
    numbers: &[u64],
    replaced: &[u64],
    actor: &str,
    at: Timestamp,
) -> LogEntry {
    const SHOWN: usize = 10;
    let shown = entries.iter().zip(numbers).take(SHOWN).map(|(entry, entry_id)| {
        json!({
            "entry_id": entry_id.to_string(), "list": entry.kind.list(),
            "value": entry.kind.value(), "note": entry.note,
        })
    });
    LogEntry {
        at,
        actor: actor.to_owned(),
        action: "risk.add".to_owned(),
        subject: format!("risk_entry:{}", numbers.first().copied().unwrap_or_default()),
        detail: json!({
            "count": entries.len(),
            "replaced": replaced.len(),
            "entries": shown.collect::<Vec<_>>(),
        }),
    }
}

fn read(row: EntryRow) -> Result<ListedEntry, SettingsError> {
    let (entry_id, list, value, note, expires_at, actor, at, removed_at, _) = row;
    let place = |column: &'static str| format!("risk entry {entry_id}, {column}");
    let kind = EntryKind::read(&list, &value)
        .map_err(|_| StoreError::corrupt(format!("{}: {list} {value:?}", place("value"))))?;
    let expires_at = expires_at.map(|at| number(place("expires_at"), at)).transpose()?;
    Ok(ListedEntry {
        entry_id: number(place("entry_id"), entry_id)?,
        entry: NewEntry { kind, note, expires_at: expires_at.map(Timestamp) },
        actor,
        at: Timestamp(number(place("at"), at)?),
        is_removed: removed_at.is_some(),
    })
}
