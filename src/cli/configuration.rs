//! `seckill config`: what is in effect, and from where.

use crate::config::{self, Effective, Loaded};
use serde_json::{Value, json};
use std::io::{self, Write};

/// What `seckill config check` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArguments {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Prints the effective configuration, secrets masked.
///
/// # Errors
/// Returns the output's error if it cannot be written.
pub fn check(
    loaded: &Loaded,
    arguments: &CheckArguments,
    output: &mut impl Write,
) -> io::Result<()> {
    let effective = config::effective(loaded);
    if arguments.json {
        let settings: serde_json::Map<String, Value> = effective
            .iter()
            .map(|Effective { key, value, origin }| {
                (key.clone(), json!({ "value": value, "source": origin.to_string() }))
            })
            .collect();
        return writeln!(output, "{:#}", Value::Object(settings));
    }
    let rows: Vec<[String; 3]> = effective
        .iter()
        .map(|Effective { key, value, origin }| {
            let value = value.as_ref().map_or_else(|| "(unset)".to_owned(), ToString::to_string);
            [key.clone(), value, origin.to_string()]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let (keys, values) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
    for [key, value, origin] in &rows {
        writeln!(output, "{key:keys$}  {value:values$}  {origin}")?;
    }
    Ok(())
}
