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

#[test]
fn every_metric_is_in_the_catalogue() {
    let quoted = format!("\"{NAMESPACE}");
    let mut bad = Vec::new();
    for (path, text) in files("src", "rs") {
        // What tests expect of the rendered text is no declaration.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        if path != CATALOGUE && text.contains(&quoted) {
            bad.push(path);
        }
    }
    assert!(bad.is_empty(), "a metric's name is spelled outside {CATALOGUE}: {bad:?}");
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
