//! The documents: what a version of one is, and all of them together.

use crate::store::catalogue::LogEntry;
use domain::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// The longest page of a history.
pub(super) const HISTORY_MAX: usize = 100;

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

impl SettingChange<'_> {
    /// The version that the change makes.
    pub(super) fn made(&self) -> StoredSetting {
        StoredSetting {
            name: self.name.to_owned(),
            version: self.base + 1,
            content: self.content.clone(),
            actor: self.actor.to_owned(),
            at: self.at,
            reason: self.reason.to_owned(),
        }
    }

    /// What the operators' log says of it.
    pub(super) fn entry(&self) -> LogEntry {
        LogEntry {
            at: self.at,
            actor: self.actor.to_owned(),
            action: format!("settings.{}", self.action),
            subject: format!("settings:{}", self.name),
            detail: json!({
                "version": self.base + 1, "content": self.content, "reason": self.reason,
            }),
        }
    }
}

/// All documents together, as they were after so many changes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Documents {
    /// How often any of them was changed.
    pub version: u64,
    /// The newest version of each document that was ever changed.
    pub by_name: BTreeMap<String, StoredSetting>,
}

impl Documents {
    /// Puts documents together that have no version in common: it is the sum of theirs.
    pub fn of(documents: impl IntoIterator<Item = StoredSetting>) -> Self {
        let named = documents.into_iter().map(|stored| (stored.name.clone(), stored));
        let by_name: BTreeMap<String, StoredSetting> = named.collect();
        Self { version: sum_of(&by_name), by_name }
    }

    /// Returns the version of a document; 0 if it was never changed.
    pub fn version_of(&self, name: &str) -> u64 {
        self.by_name.get(name).map_or(0, |stored| stored.version)
    }
}

/// How often documents were changed, going by the versions of each.
pub(super) fn sum_of(documents: &BTreeMap<String, StoredSetting>) -> u64 {
    documents.values().fold(0, |sum, stored| sum.saturating_add(stored.version))
}

/// Documents that are kept out, because they are not as they may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Which they are: the name and version of the one that is wrong, as far as they can be read.
    pub what: String,
    /// What is wrong, for a person.
    pub why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.what, self.why)
    }
}

/// What was found where the documents are.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found {
    /// Those that count: the newest ones that are as they may be.
    pub documents: Documents,
    /// What is there in their place and does not count.
    pub refused: Option<Refused>,
    /// What the operators' log has yet to be told.
    pub due: Vec<Due>,
    /// The revision that was read, from which on changes are watched; 0 where nothing is watched.
    pub revision: i64,
}

/// An entry that the operators' log has yet to be told.
#[derive(Clone, PartialEq, Debug)]
pub struct Due {
    /// The change, by the version that it made.
    pub version: u64,
    /// What is to be told of it.
    pub entry: LogEntry,
}
