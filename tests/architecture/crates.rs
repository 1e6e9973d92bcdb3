//! The crates of the workspace and what each may depend on, the purity of the domain, and how many
//! crates there are in all.

use super::sources::code_only;
use super::tree::{SOURCES, files, names_crate, root};
use std::collections::BTreeSet;
use std::fs;

/// Each crate of the workspace, and which of the others it may depend on. Tests may depend on more.
const MEMBERS: &[(&str, &[&str])] = &[
    ("", &["domain", "proto"]),
    ("crates/domain", &[]),
    ("crates/proto", &[]),
    ("load", &["domain", "harness", "proto", "seckill", "simulation"]),
    ("tests", &["domain", "harness", "proto", "seckill"]),
    ("tests/harness", &[]),
    ("tests/simulation", &["domain", "harness", "seckill"]),
];

/// All that the domain depends on: tables, their hashes, and error types.
const DOMAIN_DEPENDENCIES: &[&str] = &["foldhash", "hashbrown", "thiserror"];

/// Where alone the laboratory names the engine's code.
const LABORATORY_NAMES_ENGINE: &str = "load/src/inprocess";

/// The most crates in the tree, `Cargo.lock` with the workspace's own. Each costs time in every cold
/// build, and this one is the first that a stranger waits for: raise it for what earns that.
const CRATES_MAX: usize = 580;

/// What the pure heart never names.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "File",
    "Instant",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "ToSocketAddrs",
    "UdpSocket",
    "dashmap",
    "env",
    "fs",
    "io",
    "metrics",
    "parking_lot",
    "process",
    "rand",
    "rustix",
    "serde",
    "thread",
    "tokio",
    "tracing",
    "unsafe",
];

/// The names in a section of a manifest.
fn dependencies(manifest: &str, section: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| *line != format!("[{section}]")).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn manifest(member: &str) -> String {
    fs::read_to_string(root().join(member).join("Cargo.toml")).expect("a manifest")
}

#[test]
fn crates_depend_on_those_they_may() {
    let own: BTreeSet<&str> = SOURCES.iter().map(|sources| sources.crate_name).collect();
    for (member, allowed) in MEMBERS {
        let found = dependencies(&manifest(member), "dependencies");
        let bad: Vec<&String> = found
            .iter()
            .filter(|name| own.contains(name.as_str()) && !allowed.contains(&name.as_str()))
            .collect();
        assert!(bad.is_empty(), "{member} must not depend on {bad:?}");
    }
    let workspace = manifest("");
    let members = workspace.lines().find(|line| line.starts_with("members = ")).expect("members");
    assert_eq!(members.matches('"').count() / 2, MEMBERS.len(), "a row for each of {members}");
}

#[test]
fn the_laboratory_knows_the_engine_as_a_program() {
    let bad: Vec<String> = files("load/src", "rs")
        .into_iter()
        .filter(|(path, text)| {
            !path.starts_with(LABORATORY_NAMES_ENGINE) && names_crate(&code_only(text), "seckill")
        })
        .map(|(path, _)| path)
        .collect();
    assert!(bad.is_empty(), "only {LABORATORY_NAMES_ENGINE} may name its code: {bad:?}");
}

#[test]
fn the_domain_depends_on_nearly_nothing() {
    let found = dependencies(&manifest("crates/domain"), "dependencies");
    let allowed = DOMAIN_DEPENDENCIES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, allowed);
}

#[test]
fn the_tree_has_few_crates() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("a lock file");
    let count = lock.lines().filter(|line| *line == "[[package]]").count();
    assert!(count <= CRATES_MAX, "{count} crates in Cargo.lock, more than {CRATES_MAX}");
}

#[test]
fn the_domain_is_pure() {
    let mut bad = Vec::new();
    for (path, text) in files("crates/domain/src", "rs") {
        let code = code_only(&text);
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        let words: BTreeSet<&str> =
            code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
        bad.extend(
            IMPURE
                .iter()
                .filter(|word| words.contains(*word))
                .map(|word| format!("{path}: {word}")),
        );
    }
    assert!(bad.is_empty(), "the domain does no IO and reads no clock:\n{}", bad.join("\n"));
}
