//! The documents in a table of the database: a row a version.

use super::documents::{Documents, HISTORY_MAX, SettingChange, StoredSetting};
use super::error::SettingsError;
use crate::store::catalogue::LogEntry;
use crate::store::catalogue::handle::{reading, writing};
use crate::store::catalogue::log::append;
use crate::store::catalogue::numbers::{number, signed};
use crate::store::database::statements::limit_of;
use crate::store::database::{Database, StoreError};
use domain::Timestamp;
use serde_json::Value;

/// The documents in the table `settings`.
#[derive(Clone, Debug)]
pub(super) struct Table(pub(super) Database);

/// A row of `settings`, in the order in which its columns are selected.
type SettingRow = (String, i64, String, String, i64, String);

const CURRENT: &str = "SELECT s.name, s.version, s.json, s.actor, s.at, s.reason FROM settings s \
     JOIN (SELECT name, MAX(version) AS version FROM settings GROUP BY name) newest \
     ON s.name = newest.name AND s.version = newest.version";

impl Table {
    /// Returns the newest version of each document that was ever changed.
    pub(super) async fn current(&self) -> Result<Documents, SettingsError> {
        let rows: Result<Vec<SettingRow>, SettingsError> =
            reading!(&self.0, |connection| Ok(sqlx::query_as(CURRENT)
                .fetch_all(connection)
                .await?));
        let documents: Result<Vec<StoredSetting>, _> = rows?.into_iter().map(read).collect();
        Ok(Documents::of(documents?))
    }

    /// Makes the next version of a document, and the entry of the operators' log with it.
    pub(super) async fn change(
        &self,
        change: &SettingChange<'_>,
    ) -> Result<StoredSetting, SettingsError> {
        let stored = change.made();
        let (version, entry) = (stored.version, change.entry());
        let json = Value::Object(change.content.clone()).to_string();
        writing!(&self.0, SettingsError, |connection| {
            let text = "SELECT MAX(version) FROM settings WHERE name = ?";
            let (present,): (Option<i64>,) =
                sqlx::query_as(text).bind(change.name).fetch_one(&mut *connection).await?;
            let present = number("settings.version", present.unwrap_or_default())?;
            if present != change.base {
                return Err(SettingsError::OtherVersion { present });
            }
            let text = "INSERT INTO settings (name, version, json, actor, at, reason) \
                        VALUES (?, ?, ?, ?, ?, ?)";
            let inserted = sqlx::query(text)
                .bind(change.name)
                .bind(signed(version))
                .bind(json.as_str())
                .bind(change.actor)
                .bind(signed(change.at.0))
                .bind(change.reason)
                .execute(&mut *connection)
                .await;
            match inserted {
                Ok(_) => {}
                // Another node changed it at the same moment.
                Err(sqlx::Error::Database(refusal)) if refusal.is_unique_violation() => {
                    return Err(SettingsError::OtherVersion { present: version });
                }
                Err(error) => return Err(error.into()),
            }
            append!(connection, entry)?;
            Ok(stored.clone())
        })
    }

    /// Returns the versions of a document, newest first, beginning before the version `before` if
    /// given; at most `limit`, and 100.
    pub(super) async fn history(
        &self,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredSetting>, SettingsError> {
        let text = "SELECT name, version, json, actor, at, reason FROM settings \
                    WHERE name = ? AND version < ? ORDER BY version DESC LIMIT ?";
        let rows: Result<Vec<SettingRow>, SettingsError> =
            reading!(&self.0, |connection| Ok(sqlx::query_as(text)
                .bind(name)
                .bind(before.map_or(i64::MAX, signed))
                .bind(limit_of(limit.min(HISTORY_MAX)))
                .fetch_all(connection)
                .await?));
        rows?.into_iter().map(read).collect()
    }

    /// Appends to the operators' log what was changed elsewhere, unless it is there.
    pub(super) async fn note_once(&self, entry: &LogEntry) -> Result<(), SettingsError> {
        writing!(&self.0, SettingsError, |connection| {
            let text = "SELECT COUNT(*) FROM operator_log \
                        WHERE at = ? AND actor = ? AND action = ? AND subject = ? AND detail = ?";
            let (known,): (i64,) = sqlx::query_as(text)
                .bind(signed(entry.at.0))
                .bind(entry.actor.as_str())
                .bind(entry.action.as_str())
                .bind(entry.subject.as_str())
                .bind(entry.detail.to_string())
                .fetch_one(&mut *connection)
                .await?;
            if known == 0 {
                append!(connection, entry)?;
            }
            Ok(())
        })
    }
}

fn read(row: SettingRow) -> Result<StoredSetting, SettingsError> {
    let (name, version, json, actor, at, reason) = row;
    let Ok(Value::Object(content)) = serde_json::from_str(&json) else {
        return Err(StoreError::corrupt(format!("settings {name}: not an object")).into());
    };
    let version = number(format_args!("settings {name}, version"), version)?;
    let at = Timestamp(number(format_args!("settings {name}, at"), at)?);
    Ok(StoredSetting { name, version, content, actor, at, reason })
}
