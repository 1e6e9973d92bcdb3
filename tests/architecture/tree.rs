//! The files of the workspace, and whether one names a crate.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A crate of the workspace.
pub struct Sources {
    /// Where its sources are, from the root.
    pub directory: &'static str,
    /// What code calls it.
    pub crate_name: &'static str,
}

/// Every crate of the workspace.
pub const SOURCES: &[Sources] = &[
    Sources { directory: "src", crate_name: "seckill" },
    Sources { directory: "crates/domain/src", crate_name: "domain" },
    Sources { directory: "crates/proto/src", crate_name: "proto" },
    Sources { directory: "load/src", crate_name: "load" },
    Sources { directory: "tests/harness/src", crate_name: "harness" },
    Sources { directory: "tests/simulation/src", crate_name: "simulation" },
    Sources { directory: "tests/support", crate_name: "support" },
];

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What begins a file that a generator has written. Such files are nobody's style.
const GENERATED: &str = "// This file is @generated";

/// Every file below `directory` with this extension that people have written, by its path from the root.
pub fn files(directory: &str, extension: &str) -> BTreeMap<String, String> {
    fn walk(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        let entries = fs::read_dir(directory).expect("a directory that can be read");
        for entry in entries.map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                walk(&entry, extension, found);
            } else if entry.extension().is_some_and(|found| found == extension) {
                found.push(entry);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(directory), extension, &mut found);
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("UTF-8");
            let path = path.strip_prefix(root()).expect("below the root");
            (path.to_str().expect("UTF-8").to_owned(), text)
        })
        .filter(|(_, text)| !text.starts_with(GENERATED))
        .collect()
}

/// Every Rust file of the workspace, tests included.
pub fn rust_files() -> BTreeMap<String, String> {
    let mut all = files("src", "rs");
    all.append(&mut files("crates", "rs"));
    all.append(&mut files("load", "rs"));
    all.append(&mut files("tests", "rs"));
    all
}

/// Whether a path in the code begins with the crate of this name.
pub fn names_crate(code: &str, name: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (code[..at].trim_end(), code[at + name.len()..].trim_start());
        let whole = !code[..at].ends_with(is_word) && !code[at + name.len()..].starts_with(is_word);
        let inner = before.strip_suffix("::").is_some_and(|head| head.ends_with(is_word));
        whole && !inner && (after.starts_with("::") || before.ends_with("use"))
    })
}
