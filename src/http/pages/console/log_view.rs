//! Entries of the operators' log as pages show them.

use super::visit::Visit;
use crate::http::pages::times::Moment;
use crate::http::state::Edge;
use crate::sales::LoggedEntry;
use serde_json::Value;

/// An entry as pages show it.
pub struct LogRow {
    /// When it was done.
    pub at: Moment,
    /// Who did it.
    pub actor: String,
    /// What was done, such as `sale.approve`.
    pub action: String,
    /// What it was done to, such as `sale 7`.
    pub subject: String,
    /// The page of what it was done to; empty if it has none.
    pub path: String,
    /// Further facts, as `name: value`.
    pub detail: String,
}

/// Returns the entries as pages show them.
pub fn rows(edge: &Edge, visit: &Visit, entries: Vec<LoggedEntry>) -> Vec<LogRow> {
    let row = |logged: LoggedEntry| {
        let entry = logged.entry;
        let sale = entry.subject.strip_prefix("sale:");
        LogRow {
            at: visit.moment(edge, entry.at),
            path: sale.map(|sale| format!("/console/sales/{sale}")).unwrap_or_default(),
            subject: entry.subject.replacen(':', " ", 1),
            actor: entry.actor,
            action: entry.action,
            detail: detail(&entry.detail),
        }
    };
    entries.into_iter().map(row).collect()
}

fn detail(facts: &Value) -> String {
    let Value::Object(facts) = facts else { return String::new() };
    let fact = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name}: {text}"),
        value => format!("{name}: {value}"),
    };
    facts.iter().map(fact).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_are_named() {
        assert_eq!(detail(&json!({})), "");
        assert_eq!(
            detail(&json!({ "note": "价格已核对", "units": 5 })),
            "note: 价格已核对, units: 5"
        );
    }
}
