//! Settings that are changed while the shop runs: which there are, and what they may be.
//!
//! What a setting may be is declared once, for the file; who knows the declarations is handed in. Must
//! not know where changes are kept, nor how they are applied.

use super::challenge::ChallengeOptions;
use super::limits::LimitOptions;
use super::live_options::EdgeLimits;
use super::risk::RiskOptions;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::sync::watch;

/// A setting of a document.
#[derive(Clone, PartialEq, Debug)]
pub struct SettingField {
    /// The setting's key.
    pub key: &'static str,
    /// What it is, in sentences.
    pub about: String,
    /// What it may be, in words that complete "allowed is …".
    pub allowed: String,
    /// The words that it may be, if there are but a few.
    pub choices: &'static [&'static str],
    /// The least and the greatest number that it may be, if it is one.
    pub bounds: Option<(String, String)>,
    /// Its value in the file, in the environment, or by default.
    pub value: Value,
    /// The environment variable that has set it, and that counts before any change.
    pub pinned: Option<String>,
}

/// A document as what it sets.
#[derive(Clone, PartialEq, Debug)]
pub enum LiveDocument {
    /// The rates that callers are held to.
    Limits(LimitOptions),
    /// The risk rules.
    Risk(RiskOptions),
    /// How buyers are challenged.
    Challenge(ChallengeOptions),
    /// How large requests may be, and how many event streams are open.
    Edge(EdgeLimits),
    /// How many requests may be in the engine.
    Permits(usize),
    /// When the backlog is beyond its threshold, and whether purchases are refused then.
    Backlog {
        /// How many records there may be.
        records_max: u64,
        /// Whether purchases are refused beyond that.
        refuses: bool,
    },
    /// How long a token is good after a log-in, in seconds.
    TokenLifetime(u64),
    /// How long a buy token buys.
    BuyTokenLifetime(Duration),
    /// What is logged.
    LogFilter(String),
}

/// A key of a document that is not as it may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAllowed {
    /// The setting's key.
    pub key: String,
    /// What it may be, for a person.
    pub detail: String,
}

/// What the documents may say.
pub trait SettingsRules: Send + Sync {
    /// Returns the settings of a document, with their values in the file; none if there is no such
    /// document.
    fn fields(&self, name: &str) -> Option<Vec<SettingField>>;

    /// Reads a document: what it leaves out, and what the environment has set, is as in the file.
    ///
    /// # Errors
    /// Returns every key that is not as it may be.
    fn read(
        &self,
        name: &str,
        content: &Map<String, Value>,
    ) -> Result<LiveDocument, Vec<NotAllowed>>;

    /// Returns a receiver that is told whenever the file says something else.
    fn changes(&self) -> watch::Receiver<()>;

    /// Checks a document that is to take the place of the `present` one.
    ///
    /// # Errors
    /// Returns every key that is not as it may be, or that the environment has set and the change would set
    /// otherwise.
    fn check(
        &self,
        name: &str,
        content: &Map<String, Value>,
        present: &Map<String, Value>,
    ) -> Result<(), Vec<NotAllowed>> {
        let mut refused = self.read(name, content).err().unwrap_or_default();
        for field in self.fields(name).unwrap_or_default() {
            let wanted = content.get(field.key).filter(|wanted| **wanted != field.value);
            let is_changed = wanted.is_some() && wanted != present.get(field.key);
            if let Some(variable) = field.pinned.filter(|_| is_changed) {
                let detail =
                    format!("is set in the environment, by {variable}, which counts before");
                refused.push(NotAllowed { key: field.key.to_owned(), detail });
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }
}

/// The documents' names.
pub const NAMES: [&str; 9] =
    ["limits", "risk", "challenge", "http", "engine", "backlog", "tokens", "buy_token", "log"];
