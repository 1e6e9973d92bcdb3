//! Metric names are spelled in the catalogue alone, and each of them is used.

use super::names::without_tests;
use super::sources::{Token, code_only, tokens};
use super::tree::files;
use std::collections::BTreeSet;

/// Where the names are declared.
const CATALOGUE: &str = "src/telemetry/metrics.rs";

/// What every metric's name begins with.
const NAMESPACE: &str = "seckill_";

/// The constants of the catalogue: upper-case words before a name in quotes.
fn constants(catalogue: &str) -> Vec<&str> {
    let declared = catalogue.lines().map(str::trim).filter_map(|line| line.split_once(", "));
    let rows = declared.filter(|(_, rest)| rest.contains(&format!(": \"{NAMESPACE}")));
    rows.map(|(constant, _)| constant).collect()
}

/// The names that a text quotes: alone, as code that counts would, or before labels and a value, as an
/// example of what is rendered.
fn quoted(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    text.split('"').skip(1).filter(|piece| piece.starts_with(NAMESPACE)).map(move |piece| {
        let length = piece.find(|letter| !is_name(letter)).unwrap_or(piece.len());
        (&piece[..length], length == piece.len())
    })
}

#[test]
fn every_metric_is_in_the_catalogue() {
    let mut sources = files("src", "rs");
    let catalogue = sources.remove(CATALOGUE).expect("the catalogue");
    let declared: BTreeSet<&str> = quoted(&catalogue).map(|(name, _)| name).collect();
    let mut bad = Vec::new();
    for (path, text) in &sources {
        // What tests expect of the rendered text is no declaration.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (name, is_alone) in quoted(text) {
            if is_alone {
                bad.push(format!("{path} spells {name}: use its constant of {CATALOGUE}"));
            } else if !declared.contains(name) {
                bad.push(format!("{path} shows {name}, which {CATALOGUE} does not have"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn every_metric_of_the_catalogue_is_used() {
    let mut sources = files("src", "rs");
    let catalogue = sources.remove(CATALOGUE).expect("the catalogue");
    let used: BTreeSet<String> = sources
        .values()
        .flat_map(|text| without_tests(tokens(&code_only(text))))
        .filter_map(|(_, token)| match token {
            Token::Word(word) => Some(word),
            _ => None,
        })
        .collect();
    let constants = constants(&catalogue);
    assert!(constants.len() > 20, "the catalogue is not read as it is written: {constants:?}");
    let unused: Vec<&&str> = constants.iter().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "nothing counts {unused:?}");
}
