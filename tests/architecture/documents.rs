//! The documents name what is there, and the design card's parts are.

use super::sources::code_only;
use super::tree::{files, names_crate, root};
use std::fs;

/// The customer's design card: top level and packages.
const CARD_PATHS: &[&str] =
    &["Cargo.toml", "config.toml", "load", "src/actors", "src/http", "src/store", "tests"];
const CARD_PACKAGES: &[&str] =
    &["axum", "dashmap", "lapin", "ractor", "redis", "serde", "sqlx", "tokio", "tracing"];

#[test]
fn the_design_card_is_there() {
    let missing: Vec<_> = CARD_PATHS.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    let code: String = files("src", "rs").values().map(|text| code_only(text)).collect();
    let unused: Vec<_> = CARD_PACKAGES.iter().filter(|name| !names_crate(&code, name)).collect();
    assert!(unused.is_empty(), "packages of the card that no source uses: {unused:?}");
}

#[test]
fn documents_name_files_that_exist() {
    let mut bad = Vec::new();
    let mut documents = files("docs", "md");
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        documents.insert(name.to_owned(), fs::read_to_string(root().join(name)).expect(name));
    }
    for (document, text) in documents {
        // Every other piece between back-quotes is code; fenced blocks come out as commands.
        for quoted in text.split('`').skip(1).step_by(2) {
            let path = quoted.split([':', '#']).next().unwrap_or_default();
            let roots = ["src/", "tests/", "load/", "docs/", ".ci/"];
            let is_path = roots.iter().any(|root| path.starts_with(root))
                && !path.contains([' ', '*', '{', '<', '…', '\n']);
            if is_path && !root().join(path).exists() {
                bad.push(format!("{document} names {path}, which is not there"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Each row of the table of threats names a test, which is there under that name.
#[test]
fn each_threat_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/threats.md")).expect("docs/threats.md");
    let tests = files("tests", "rs");
    let is_there = |named: &str| {
        let (binary, path) = named.split_once(' ')?;
        let (modules, name) = path.rsplit_once("::")?;
        let file = format!("tests/{binary}/{}.rs", modules.replace("::", "/"));
        tests.get(&file)?.contains(&format!("fn {name}(")).then_some(())
    };
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| threat"));
    let mut bad = Vec::new();
    for row in rows {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let named: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        let missing = named.iter().filter(|named| is_there(named).is_none());
        bad.extend(missing.map(|named| format!("{named} is not there")));
        if named.is_empty() {
            bad.push(format!("no test is named: {row}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
