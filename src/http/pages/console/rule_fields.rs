//! Settings that are changed while the shop runs, as the console's pages show them and its forms have them:
//! text in every field, so that whatever was typed can be shown again.
//!
//! Must not know what a setting means, nor what it may be: the rules of the file say so.

use super::sale_fields::Difference;
use super::visit::Visit;
use crate::http::admin::settings;
use crate::http::live::SettingField;
use crate::http::pages::form::{Form, FormErrors};
use crate::http::pages::times::Moment;
use crate::http::pages::words::Words;
use crate::http::problem::Problem;
use crate::http::state::Edge;
use serde_json::{Map, Value};

/// Settings as they are.
pub struct Document {
    /// Their name in paths and in the API.
    pub name: &'static str,
    /// What they are called.
    pub title: String,
    /// How often they were changed; 0 if they are as in the file.
    pub version: u64,
    /// Who changed them last, when, and why.
    pub changed: Option<Said>,
    /// Each of them.
    pub settings: Vec<SettingRow>,
}

/// Who changed settings, when, and why.
pub struct Said {
    /// Who it was.
    pub actor: String,
    /// When it was.
    pub at: Moment,
    /// Why it was.
    pub reason: String,
}

/// One setting of a document.
pub struct SettingRow {
    /// The key within its document.
    pub key: &'static str,
    /// What it is.
    pub about: String,
    /// What it may be, in words.
    pub allowed: String,
    /// The words that it may be, if there are but a few.
    pub choices: Vec<Choice>,
    /// Its value in the file.
    pub file: Value,
    /// Its value now, as text.
    pub now: String,
    /// Its value now, as people read it.
    pub shown: String,
    /// Its value in the file, as people read it.
    pub shown_file: String,
    /// That this is its value in the file, or that the environment has set it.
    pub said_file: String,
    /// The environment variable that has set it.
    pinned: Option<String>,
}

/// A word that a setting may be.
pub struct Choice {
    /// The word as settings have it.
    pub word: &'static str,
    /// What it is called.
    pub title: String,
}

impl SettingRow {
    fn of(words: Words, name: &str, field: SettingField, changed: &Map<String, Value>) -> Self {
        let changed = changed.get(field.key).filter(|_| field.pinned.is_none());
        let now = text(changed.unwrap_or(&field.value));
        let shown_file = shown(words, name, &text(&field.value));
        let allowed = match &field.bounds {
            Some((least, greatest)) => words.setting_number(least, greatest),
            None if !field.choices.is_empty() => words.setting_choice(),
            None => words
                .setting(name, &format!("{}_allowed", field.key))
                .unwrap_or_else(|| field.allowed.clone()),
        };
        Self {
            key: field.key,
            // Where it stands among words that are not of a terminal, its name needs no marks around it.
            about: words.setting(name, field.key).unwrap_or(field.about).replace('`', ""),
            allowed,
            choices: field
                .choices
                .iter()
                .map(|word| Choice { word, title: shown(words, name, word) })
                .collect(),
            shown: shown(words, name, &now),
            said_file: match &field.pinned {
                Some(variable) => words.setting_pinned(variable),
                None => words.setting_file(&shown_file),
            },
            shown_file,
            pinned: field.pinned,
            file: field.value,
            now,
        }
    }

    /// Whether it differs from the file's.
    pub fn is_changed(&self) -> bool {
        self.now != text(&self.file)
    }

    /// The `id` of its field in a form.
    pub fn field(&self) -> String {
        format!("set-{}", self.key)
    }

    /// The value that a text means. What is no number stays text, for the rules to refuse.
    fn value(&self, typed: &str) -> Value {
        let typed = typed.trim();
        let number = || typed.parse::<u64>().ok().filter(|_| self.file.is_number());
        number().map_or_else(|| Value::from(typed), Value::from)
    }
}

/// Returns the settings of this name as they are.
///
/// # Errors
/// Returns a problem if there are none of this name.
pub fn document(edge: &Edge, visit: &Visit, name: &'static str) -> Result<Document, Problem> {
    let fields = edge.settings_rules.fields(name).ok_or_else(Problem::not_found)?;
    let stored = edge.settings.document(name);
    let changed = stored.as_ref().map(|stored| stored.content.clone()).unwrap_or_default();
    Ok(Document {
        name,
        title: title(visit.words, name),
        version: stored.as_ref().map_or(0, |stored| stored.version),
        settings: fields
            .into_iter()
            .map(|field| SettingRow::of(visit.words, name, field, &changed))
            .collect(),
        changed: stored.map(|stored| Said {
            actor: stored.actor,
            at: visit.moment(edge, stored.at),
            reason: stored.reason,
        }),
    })
}

/// What stands in a form: the text of each setting, in their order.
pub struct Typed(Vec<String>);

impl Typed {
    /// The settings as they are.
    pub fn present(document: &Document) -> Self {
        Self(document.settings.iter().map(|row| row.now.clone()).collect())
    }

    /// What was typed.
    pub fn read(document: &Document, form: &Form) -> Self {
        Self(document.settings.iter().map(|row| form.text(&row.field()).to_owned()).collect())
    }

    /// The settings of a version, of which `content` is what differed from the file's.
    pub fn of(document: &Document, content: &Map<String, Value>) -> Self {
        let value = |row: &SettingRow| text(content.get(row.key).unwrap_or(&row.file));
        Self(document.settings.iter().map(value).collect())
    }

    /// What was typed into the field at this place.
    pub fn at(&self, place: &usize) -> &str {
        self.0.get(*place).map_or("", String::as_str)
    }

    /// What differs from the file's.
    pub fn content(&self, document: &Document) -> Map<String, Value> {
        let values = document.settings.iter().zip(&self.0);
        let values = values.map(|(row, typed)| (row.key, row.value(typed), &row.file));
        let changed = values.filter(|(_, value, file)| value != *file);
        changed.map(|(key, value, _)| (key.to_owned(), value)).collect()
    }

    /// What differs from the settings as they are.
    pub fn differences(&self, document: &Document, words: Words) -> Vec<Difference> {
        let pairs = document.settings.iter().zip(&self.0);
        let differing = pairs.filter(|(row, typed)| row.now != typed.trim());
        differing
            .map(|(row, typed)| Difference {
                label: row.about.clone(),
                before: row.shown.clone(),
                after: shown(words, document.name, typed.trim()),
            })
            .collect()
    }

    /// What is wrong with it, by the rules that the file's have.
    pub fn errors(&self, edge: &Edge, document: &Document) -> FormErrors {
        let mut errors = FormErrors::default();
        let present = edge.settings.document(document.name);
        let present = present.map(|stored| stored.content).unwrap_or_default();
        let content = self.content(document);
        let Err(refused) = edge.settings_rules.check(document.name, &content, &present) else {
            return errors;
        };
        for row in &document.settings {
            if refused.iter().any(|refused| refused.key == row.key) {
                let pinned = row.pinned.is_some().then(|| row.said_file.clone());
                errors.push(row.field(), pinned.unwrap_or_else(|| row.allowed.clone()));
            }
        }
        errors
    }
}

/// Returns what the settings of this name are called.
pub fn title(words: Words, name: &str) -> String {
    match name {
        "risk" => words.rules_risk(),
        "challenge" => words.rules_challenge(),
        "http" => words.rules_http(),
        "engine" => words.rules_engine(),
        "backlog" => words.rules_backlog(),
        "tokens" => words.rules_tokens(),
        "buy_token" => words.rules_buy_token(),
        "log" => words.rules_log(),
        _ => words.rules_limits(),
    }
}

/// Returns a value of a document as people read it.
fn shown(words: Words, document: &str, word: &str) -> String {
    match (document, word) {
        ("backlog", "alarm") => words.backlog_alarm(),
        ("backlog", "refuse") => words.backlog_refuse(),
        _ => choice_name(words, word),
    }
}

/// Returns what a word that a setting may be is called; a number is itself.
pub fn choice_name(words: Words, word: &str) -> String {
    match word {
        "off" => words.mode_off(),
        "shadow" => words.mode_shadow(),
        "enforce" => words.mode_enforce(),
        "observe" => words.action_observe(),
        "harder" => words.action_harder(),
        "last" => words.action_last(),
        "deny" => words.action_deny(),
        "proof" => words.otherwise_proof(),
        "refuse" => words.otherwise_refuse(),
        "allow" => words.otherwise_allow(),
        other => other.to_owned(),
    }
}

/// The name of settings in a path.
///
/// # Errors
/// Returns a problem if there are none of this name.
pub fn known(name: &str) -> Result<&'static str, Problem> {
    settings::known(name)
}

/// Returns a value as a form has it.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
