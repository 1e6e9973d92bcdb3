//! The documents as one value of etcd: how they are written, and read again.
//!
//! ```text
//! {"version":7,"change":"9f3c…","documents":{"limits":{"version":3,"content":{"user_per_s":5},
//!  "actor":"ann","at":1790000000000,"reason":"the evening sale"}}}
//! ```
//!
//! People may write it by hand, so that reading it says what is wrong and where. Must not know what a
//! document says.

use super::documents::{Documents, Refused, StoredSetting};
use crate::store::catalogue::LogEntry;
use domain::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The greatest version: more is not a number to every reader of JSON.
const VERSION_MAX: u64 = 1 << 53;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u64,
    /// Tells the changes apart that are tried at the same time.
    #[serde(default)]
    change: String,
    documents: BTreeMap<String, WrittenDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDocument {
    version: u64,
    content: Map<String, Value>,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    at: u64,
    #[serde(default)]
    reason: String,
}

#[derive(Serialize, Deserialize)]
struct WrittenEntry {
    at: u64,
    actor: String,
    action: String,
    subject: String,
    detail: Value,
}

/// Writes documents, as the change of this name makes them.
pub(super) fn write(documents: &Documents, change: &str) -> Vec<u8> {
    let document = |stored: &StoredSetting| WrittenDocument {
        version: stored.version,
        content: stored.content.clone(),
        actor: stored.actor.clone(),
        at: stored.at.0,
        reason: stored.reason.clone(),
    };
    let named = documents.by_name.iter().map(|(name, stored)| (name.clone(), document(stored)));
    let written = Written {
        version: documents.version,
        change: change.to_owned(),
        documents: named.collect(),
    };
    // It has a form as JSON.
    serde_json::to_vec(&written).unwrap_or_default()
}

/// Reads documents.
///
/// # Errors
/// Returns what is wrong if they are not written as they should be.
pub(super) fn read(value: &[u8]) -> Result<Documents, Refused> {
    let refused = |why: String| {
        let what = version_of(value).map(|version| format!("version {version}"));
        Refused { what: what.unwrap_or_else(|| "config/current".to_owned()), why }
    };
    let written: Written =
        serde_json::from_slice(value).map_err(|error| refused(error.to_string()))?;
    let versions = written.documents.values().map(|document| document.version);
    if versions.chain([written.version]).any(|version| version > VERSION_MAX) {
        return Err(refused(format!("a version is {VERSION_MAX} at most")));
    }
    let stored = |(name, document): (String, WrittenDocument)| {
        let WrittenDocument { version, content, actor, at, reason } = document;
        let at = Timestamp(at);
        (name.clone(), StoredSetting { name, version, content, actor, at, reason })
    };
    let by_name = written.documents.into_iter().map(stored).collect();
    Ok(Documents { version: written.version, by_name })
}

/// The version that a value says, whatever else is wrong with it.
pub(super) fn version_of(value: &[u8]) -> Option<u64> {
    let value: Value = serde_json::from_slice(value).ok()?;
    value.get("version")?.as_u64().filter(|version| *version <= VERSION_MAX)
}

/// Whether the value was written by the change of this name.
pub(super) fn is_of(value: &[u8], change: &str) -> bool {
    let value: Option<Value> = serde_json::from_slice(value).ok();
    value.is_some_and(|value| value.get("change").and_then(Value::as_str) == Some(change))
}

/// Writes an entry of the operators' log.
pub(super) fn write_entry(entry: LogEntry) -> Vec<u8> {
    let LogEntry { at, actor, action, subject, detail } = entry;
    let written = WrittenEntry { at: at.0, actor, action, subject, detail };
    // It has a form as JSON.
    serde_json::to_vec(&written).unwrap_or_default()
}

/// Reads an entry of the operators' log; none if it is anything else.
pub(super) fn read_entry(value: &[u8]) -> Option<LogEntry> {
    let WrittenEntry { at, actor, action, subject, detail } = serde_json::from_slice(value).ok()?;
    Some(LogEntry { at: Timestamp(at), actor, action, subject, detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_written_is_read() {
        let Value::Object(content) = json!({ "user_per_s": 5 }) else { unreachable!() };
        let stored = StoredSetting {
            name: "limits".to_owned(),
            version: 3,
            content,
            actor: "安".to_owned(),
            at: Timestamp(1_790_000_000_000),
            reason: "双十一".to_owned(),
        };
        let by_name = BTreeMap::from([("limits".to_owned(), stored)]);
        let documents = Documents { version: 7, by_name };
        let value = write(&documents, "a");
        assert_eq!(read(&value), Ok(documents));
        assert!(is_of(&value, "a") && !is_of(&value, "b") && !is_of(b"{", "a"));
        assert_eq!(version_of(&value), Some(7));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_version_that_can_be_read() {
        for (value, what, why) in [
            ("{", "config/current", "EOF"),
            (r#"{"version":8,"documents":7}"#, "version 8", "invalid type: integer `7`"),
            (r#"{"version":8,"documents":{},"x":1}"#, "version 8", "unknown field `x`"),
            (r#"{"documents":{}}"#, "config/current", "missing field `version`"),
            (
                r#"{"version":9,"documents":{"limits":{"version":1,"content":5}}}"#,
                "version 9",
                "invalid type",
            ),
            (r#"{"version":10000000000000000,"documents":{}}"#, "config/current", "at most"),
        ] {
            let refused = read(value.as_bytes()).expect_err("refused");
            assert_eq!(refused.what, what, "{value}");
            assert!(refused.why.contains(why), "{value}: {refused}");
        }
    }
}
