//! `seckill config get`, `set`, `history` and `rollback`: the settings that are changed while the shop runs.
//!
//! They ask the shop that runs on this machine, as an admin does. Must not know what a setting means.

use super::client::ClientError;
use super::failure::{Exit, Failure};
use super::running::RunningShop;
use crate::config::Config;
use crate::http::LIVE_DOCUMENTS;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// The versions that are shown.
const HISTORY: usize = 20;

/// The commands about settings that are changed while the shop runs.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum LiveCommand {
    /// Show what the shop that runs here goes by, for the settings that can be changed while it does
    Get {
        /// Which section of the file; without one, all that can be changed
        #[arg(value_parser = LIVE_DOCUMENTS)]
        section: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Change settings of the shop that runs here, at once, and on all nodes of its cluster
    Set {
        /// The section of the file that they are in
        #[arg(value_parser = LIVE_DOCUMENTS)]
        section: String,
        /// What is to be changed, such as `user_per_s=5`
        #[arg(value_name = "KEY=VALUE", value_parser = assignment, required_unless_present = "unset")]
        changes: Vec<(String, String)>,
        /// A setting that is to be as in the file again; may be repeated
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
        /// Why, for those who read the log
        #[arg(long)]
        reason: String,
    },
    /// Show the last versions of a section, newest first: who changed what, when and why
    History {
        /// Which section of the file
        #[arg(value_parser = LIVE_DOCUMENTS)]
        section: String,
    },
    /// Set a section back to one of its versions, which makes a new one; 0 is what the file says
    Rollback {
        /// Which section of the file
        #[arg(value_parser = LIVE_DOCUMENTS)]
        section: String,
        /// Which version is to count again
        version: u64,
        /// Why, for those who read the log
        #[arg(long)]
        reason: String,
    },
}

/// Reads a change that is written as `KEY=VALUE`.
fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Shows or changes settings of the shop that runs with this configuration.
///
/// # Errors
/// Returns [`Failure`] if no shop answers there, or it refuses.
pub fn run(config: &Config, command: &LiveCommand, output: &mut impl Write) -> Result<(), Failure> {
    let shop = Shop(RunningShop::of(config)?);
    match command {
        LiveCommand::Get { section, json } => {
            let sections = section.as_ref().map_or(&LIVE_DOCUMENTS[..], |_| &[]).iter().copied();
            let views = sections
                .chain(section.as_deref())
                .map(|name| shop.look(name, ""))
                .collect::<Result<Vec<Value>, ClientError>>()?;
            print(&views, *json, output)?;
        }
        LiveCommand::Set { section, changes, unset, reason } => {
            let before = shop.look(section, "")?;
            let values = changed(&before, changes, unset)?;
            let after =
                shop.change("PUT", &before, "", &json!({ "values": values, "reason": reason }))?;
            print_change(&before, &after, output)?;
        }
        LiveCommand::History { section } => {
            let history = shop.look(section, &format!("/history?limit={HISTORY}"))?;
            print_history(&history, output)?;
        }
        LiveCommand::Rollback { section, version, reason } => {
            let before = shop.look(section, "")?;
            let body = json!({ "version": version, "reason": reason });
            let after = shop.change("POST", &before, "/rollback", &body)?;
            print_change(&before, &after, output)?;
        }
    }
    Ok(())
}

/// The shop that answers here.
struct Shop(RunningShop);

impl Shop {
    fn look(&self, section: &str, what: &str) -> Result<Value, ClientError> {
        self.0.ask("GET", &path(section, what), None)
    }

    /// Changes what was looked at, if nobody else has meanwhile.
    fn change(
        &self,
        method: &'static str,
        before: &Value,
        what: &str,
        body: &Value,
    ) -> Result<Value, ClientError> {
        let section = before["name"].as_str().unwrap_or_default();
        let version = before["version"].as_u64().unwrap_or_default();
        self.0.change(method, &path(section, what), version, body)
    }
}

fn path(section: &str, what: &str) -> String {
    format!("/api/v1/admin/settings/{section}{what}")
}

/// What is to differ from the file after these changes.
fn changed(
    before: &Value,
    changes: &[(String, String)],
    unset: &[String],
) -> Result<Map<String, Value>, Failure> {
    let mut values = before["changed"].as_object().cloned().unwrap_or_default();
    let mut keys: Vec<&String> = changes.iter().map(|(key, _)| key).chain(unset).collect();
    keys.sort_unstable();
    if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Failure {
            exit: Exit::CommandLine,
            what: format!("{} is given twice", twice[0]),
            meaning: "nothing was changed".to_owned(),
            remedy: "give each setting once".to_owned(),
        });
    }
    for key in unset {
        if before["values"].get(key).is_none() {
            return Err(unknown(before, key));
        }
        values.remove(key);
    }
    for (key, text) in changes {
        let present = before["values"].get(key).ok_or_else(|| unknown(before, key))?;
        values.insert(key.clone(), value(present, text));
    }
    Ok(values)
}

/// What a text means for a setting that is like this one at present.
fn value(present: &Value, text: &str) -> Value {
    if present.is_string() {
        return Value::from(text);
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn unknown(view: &Value, key: &str) -> Failure {
    let name = view["name"].as_str().unwrap_or_default();
    let known: Vec<&str> =
        view["values"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    Failure {
        exit: Exit::CommandLine,
        what: format!("{name}.{key} is no setting that can be changed while the shop runs"),
        meaning: "nothing was changed".to_owned(),
        remedy: format!(
            "those of {name} are {}; others are set in the file and need a restart",
            known.join(", ")
        ),
    }
}

fn print(views: &[Value], json: bool, output: &mut impl Write) -> io::Result<()> {
    if json {
        let sections = views.iter().map(|view| {
            let name = view["name"].as_str().unwrap_or_default().to_owned();
            (name, json!({ "version": view["version"], "values": view["values"] }))
        });
        return writeln!(output, "{:#}", Value::Object(sections.collect()));
    }
    let rows: Vec<[String; 3]> = views.iter().flat_map(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let (keys, values) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
    for [key, value, origin] in &rows {
        writeln!(output, "{key:keys$}  {value:values$}  {origin}")?;
    }
    Ok(())
}

/// Each setting of a section with its value and where that comes from.
fn rows(view: &Value) -> Vec<[String; 3]> {
    let name = view["name"].as_str().unwrap_or_default();
    let fields = view["fields"].as_array().into_iter().flatten();
    let row = |field: &Value| {
        let key = field["key"].as_str()?;
        let origin = match field["pinned"].as_str() {
            Some(variable) => variable.to_owned(),
            None if view["changed"].get(key).is_some() => {
                format!("version {} (the file says {})", view["version"], field["file"])
            }
            None => "as in the file".to_owned(),
        };
        Some([format!("{name}.{key}"), view["values"][key].to_string(), origin])
    };
    fields.filter_map(row).collect()
}

fn print_change(before: &Value, after: &Value, output: &mut impl Write) -> io::Result<()> {
    let name = after["name"].as_str().unwrap_or_default();
    writeln!(output, "{name} is at version {}", after["version"])?;
    for (key, value) in after["values"].as_object().into_iter().flatten() {
        let former = &before["values"][key];
        if former != value {
            writeln!(output, "{name}.{key} is {value}, and was {former}")?;
        }
    }
    Ok(())
}

fn print_history(history: &Value, output: &mut impl Write) -> io::Result<()> {
    let versions = history["data"].as_array().map_or(&[][..], Vec::as_slice);
    for version in versions {
        let text = |key: &str| version[key].as_str().unwrap_or_default();
        writeln!(
            output,
            "{:>4}  {}  {}  {}  {}",
            version["version"].to_string(),
            text("at"),
            text("actor"),
            version["changed"],
            text("reason"),
        )?;
    }
    match (versions, history["has_more"] == true) {
        ([], _) => writeln!(output, "it was never changed: it is as in the file"),
        (_, true) => writeln!(output, "and older ones"),
        (_, false) => writeln!(output, "   0  what the file says"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> Value {
        json!({
            "name": "limits", "version": 3,
            "values": { "user_per_s": 5, "user_burst": 20, "prefix": "00" },
            "changed": { "user_per_s": 5 },
            "fields": [
                { "key": "user_per_s", "file": 10 },
                { "key": "user_burst", "file": 20, "pinned": "SECKILL__LIMITS__USER_BURST" },
                { "key": "prefix", "file": "00" },
            ],
        })
    }

    #[test]
    fn what_is_changed_stays_beside_what_is_changed_now() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let changes = [pair("user_burst", "30"), pair("prefix", "0")];
        let values = changed(&view(), &changes, &[]).expect("settings");
        assert_eq!(
            Value::Object(values),
            json!({ "user_per_s": 5, "user_burst": 30, "prefix": "0" })
        );
        let values = changed(&view(), &[], &["user_per_s".to_owned()]).expect("a setting");
        assert!(values.is_empty());
        let failure = changed(&view(), &[pair("user", "1")], &[]).expect_err("refused");
        assert!(failure.remedy.contains("user_per_s"), "{failure}");
        assert_eq!(assignment("a = b=c"), Ok(pair("a", "b=c")));
        assert!(assignment("a").is_err());
    }

    #[test]
    fn a_setting_is_a_line_with_where_it_comes_from() {
        let mut output = Vec::new();
        print(&[view()], false, &mut output).expect("a vector takes all");
        let expected = "\
limits.user_per_s  5     version 3 (the file says 10)
limits.user_burst  20    SECKILL__LIMITS__USER_BURST
limits.prefix      \"00\"  as in the file
";
        assert_eq!(String::from_utf8(output).expect("UTF-8"), expected);
    }
}
