//! The documents: each version of each, and who made it.

use super::{SettingsError, SettingsStore};
use crate::store::catalogue::LogEntry;
use crate::store::catalogue::handle::{reading, writing};
use crate::store::catalogue::log::append;
use crate::store::catalogue::numbers::{number, signed};
use crate::store::database::StoreError;
use crate::store::database::statements::limit_of;
use domain::Timestamp;
use serde_json::{Map, Value, json};

/// The longest page of a history.
const HISTORY_MAX: usize = 100;

/// A version of a document.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredSetting {
    /// The document's name.
    pub name: String,
    /// Its version, from 1.
    pub version: u64,
    /// What it says.
    pub content: Map<String, Value>,
    /// Who made this version.
    pub actor: String,
    /// When it was made.
    pub at: Timestamp,
    /// Why it was made.
    pub reason: String,
}

/// A change of a document, as an operator asks for it.
#[derive(Clone, Copy, Debug)]
pub struct SettingChange<'a> {
    /// The document's name.
    pub name: &'a str,
    /// The version that it was made from; 0 if there is none yet.
    pub base: u64,
    /// What it shall say.
    pub content: &'a Map<String, Value>,
    /// Who makes it.
    pub actor: &'a str,
    /// When it is made.
    pub at: Timestamp,
    /// Why it is made.
    pub reason: &'a str,
    /// What is done, for the operators' log: `change`, or `rollback`.
    pub action: &'static str,
}

/// A row of `settings`, in the order in which its columns are selected.
type SettingRow = (String, i64, String, String, i64, String);

const CURRENT: &str = "SELECT s.name, s.version, s.json, s.actor, s.at, s.reason FROM settings s \
     JOIN (SELECT name, MAX(version) AS version FROM settings GROUP BY name) newest \
     ON s.name = newest.name AND s.version = newest.version";

impl SettingsStore {
    /// Returns the newest version of each document that was ever changed.
    ///
    /// # Errors
    /// Returns [`SettingsError::Store`] if the database does not answer.
    pub async fn current(&self) -> Result<Vec<StoredSetting>, SettingsError> {
        let rows: Result<Vec<SettingRow>, SettingsError> =
            reading!(&self.database, |connection| Ok(sqlx::query_as(CURRENT)
                .fetch_all(connection)
                .await?));
        rows?.into_iter().map(read).collect()
    }

    /// Makes the next version of a document, and the entry of the operators' log with it.
    ///
    /// # Errors
    /// Returns [`SettingsError::OtherVersion`] if the change was made from another version,
    /// [`SettingsError::Store`] if the database does not answer.
    pub async fn change(&self, change: SettingChange<'_>) -> Result<StoredSetting, SettingsError> {
        let version = change.base + 1;
        let stored = StoredSetting {
            name: change.name.to_owned(),
            version,
            content: change.content.clone(),
            actor: change.actor.to_owned(),
            at: change.at,
            reason: change.reason.to_owned(),
        };
        let entry = LogEntry {
            at: change.at,
            actor: change.actor.to_owned(),
            action: format!("settings.{}", change.action),
            subject: format!("settings:{}", change.name),
            detail: json!({
                "version": version, "content": change.content, "reason": change.reason,
            }),
        };
        let json = Value::Object(change.content.clone()).to_string();
        writing!(&self.database, SettingsError, |connection| {
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
    ///
    /// # Errors
    /// Returns [`SettingsError::Store`] if the database does not answer.
    pub async fn history(
        &self,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredSetting>, SettingsError> {
        let text = "SELECT name, version, json, actor, at, reason FROM settings \
                    WHERE name = ? AND version < ? ORDER BY version DESC LIMIT ?";
        let rows: Result<Vec<SettingRow>, SettingsError> =
            reading!(&self.database, |connection| Ok(sqlx::query_as(text)
                .bind(name)
                .bind(before.map_or(i64::MAX, signed))
                .bind(limit_of(limit.min(HISTORY_MAX)))
                .fetch_all(connection)
                .await?));
        rows?.into_iter().map(read).collect()
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
