//! Settings that are changed while the shop runs: which there are, and what they may be.
//!
//! What a setting may be is declared once, for the file; who knows the declarations is handed in. Must
//! not know where changes are kept, nor how they are applied.

use super::challenge::ChallengeOptions;
use super::limits::LimitOptions;
use super::risk::RiskOptions;
use serde_json::{Map, Value};

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
    /// Its value in the file, or by default.
    pub value: Value,
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

    /// Reads a document: what it leaves out is as in the file.
    ///
    /// # Errors
    /// Returns every key that is not as it may be.
    fn read(
        &self,
        name: &str,
        content: &Map<String, Value>,
    ) -> Result<LiveDocument, Vec<NotAllowed>>;
}

/// The documents' names.
pub const NAMES: [&str; 3] = ["limits", "risk", "challenge"];
