//! Reads the sources and holds what ARCHITECTURE.md promises: which module may name which, which
//! crate is used where, and that no file lacks its header or grows past reading.

mod sources;

use sources::{Reference, code_only, references};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Who may name whom. `app` is the composition root and sees everything but the command line.
const ARROWS: &[(&str, &[&str])] = &[
    ("clock", &["domain"]),
    ("crash", &[]),
    ("telemetry", &[]),
    ("secrets", &[]),
    ("config", &["domain", "telemetry"]),
    ("store", &["domain", "clock", "crash", "telemetry"]),
    ("actors", &["store", "domain", "clock", "crash", "telemetry"]),
    ("sales", &["actors", "store", "domain"]),
    ("http", &["actors", "sales", "domain", "clock", "telemetry"]),
    ("audit", &["store", "domain"]),
    ("opening", &["config", "store", "domain", "clock"]),
    ("demo", &["actors", "sales", "store", "domain"]),
    (
        "app",
        &[
            "actors",
            "audit",
            "clock",
            "config",
            "crash",
            "demo",
            "domain",
            "http",
            "opening",
            "sales",
            "secrets",
            "store",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "audit",
            "clock",
            "config",
            "demo",
            "domain",
            "http",
            "opening",
            "secrets",
            "store",
            "telemetry",
        ],
    ),
    ("main", &["cli"]),
];

/// Which crates stay behind which module.
const CONFINED_CRATES: &[(&str, &[&str])] = &[
    ("ractor", &["actors"]),
    ("axum", &["http"]),
    ("hyper", &["http"]),
    ("utoipa", &["http"]),
    ("redis", &["store"]),
    ("lapin", &["store"]),
    ("sqlx", &["store"]),
    ("clap", &["cli"]),
    ("toml", &["config"]),
    ("tracing_subscriber", &["telemetry"]),
    ("metrics_exporter_prometheus", &["app", "telemetry"]),
    ("fail", &["actors", "crash", "main", "store"]),
];

/// What the pure heart never names.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "File",
    "Instant",
    "SystemTime",
    "dashmap",
    "env",
    "fs",
    "io",
    "metrics",
    "net",
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

/// Beyond it a file is to be split.
const LINES_MAX: usize = 600;

/// The customer's design card: top level and packages.
const CARD_PATHS: &[&str] =
    &["Cargo.toml", "config.toml", "load", "src/actors", "src/http", "src/store", "tests"];
const CARD_PACKAGES: &[&str] =
    &["axum", "dashmap", "lapin", "ractor", "redis", "serde", "sqlx", "tokio", "tracing"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `directory` with this extension, by its path from the root.
fn files(directory: &str, extension: &str) -> BTreeMap<String, String> {
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
        .collect()
}

fn rust_files() -> BTreeMap<String, String> {
    let mut all = files("src", "rs");
    all.append(&mut files("crates", "rs"));
    all.append(&mut files("load", "rs"));
    all.append(&mut files("tests", "rs"));
    all
}

/// The module path of a file of the package: `src/a/b.rs` is `a`, `b`.
fn module_path(path: &str) -> Vec<String> {
    let path =
        path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")).expect("a source");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// What is wrong with a source file's references, in words.
fn bad_arrows(path: &str, text: &str) -> Vec<String> {
    let module = module_path(path);
    let layer = module[0].as_str();
    if layer == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == layer) else {
        return vec![format!("{path}: the module {layer} has no row in ARROWS")];
    };
    let mut bad = BTreeSet::new();
    for Reference { line, target } in references(text, &module, "seckill") {
        match target.first().map(String::as_str) {
            Some(to) if to == layer || allowed.contains(&to) => false,
            Some(to) => bad.insert(format!("{path}:{line}: {layer} must not name {to}")),
            None => bad.insert(format!("{path}:{line}: name a module, not the whole crate")),
        };
    }
    bad.into_iter().collect()
}

#[test]
fn modules_name_only_those_they_may() {
    let bad: Vec<String> =
        files("src", "rs").iter().flat_map(|(path, text)| bad_arrows(path, text)).collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn a_bad_arrow_is_seen_in_every_spelling() {
    let check = |path: &str, text: &str, expected: usize| {
        assert_eq!(bad_arrows(path, text).len(), expected, "{path}: {text}");
    };
    check("src/domain/stock/mod.rs", "use crate::store::journal::Journal;", 1);
    check("src/domain/stock/mod.rs", "use crate::{domain::Order, store::{self, journal}};", 1);
    check("src/domain/stock/mod.rs", "use super::super::store::journal;", 1);
    check("src/domain/stock/decide.rs", "use super::super::super::{clock::Clock, store};", 2);
    check("src/domain/stock/mod.rs", "use super::{super::clock, order};", 1);
    check("src/domain/mod.rs", "fn now() -> u64 { crate :: clock\n:: now() }", 1);
    check("src/domain/mod.rs", "mod tests { mod deeper { use super::super::super::clock; } }", 1);
    check("src/domain/mod.rs", "macro_rules! m { () => { $crate::store::X } }", 1);
    check("src/domain/mod.rs", "use crate::r#store;", 1);
    check("src/domain/mod.rs", "use crate as engine;", 1);
    check("src/domain/mod.rs", "use crate::*;", 1);
    check("src/domain/mod.rs", "use super::*;", 1);
    check("src/http/buy.rs", "use crate::store::orders;", 1);
    check("src/main.rs", "fn main() { seckill::app::start() }", 1);
    check("src/gossip.rs", "", 1);

    check("src/domain/mod.rs", "pub(crate) fn f() {} mod tests { use super::*; }", 0);
    check("src/domain/stock/mod.rs", "use super::order::Order; use crate::domain::ids;", 0);
    check("src/domain/mod.rs", "// crate::store\n/* /* super::store */ crate::store */", 0);
    check(
        "src/domain/mod.rs",
        r###"const S: &str = r#"" crate::store"#; const C: char = '"';"###,
        0,
    );
    check("src/domain/mod.rs", "fn f<'a>(x: &'a str) -> &'a str { x } // 'crate::store", 0);
    check("src/http/buy.rs", "use crate::{actors::Engine, domain::{Buy, Order}};", 0);
    check("src/main.rs", "fn main() { seckill::cli::run() }", 0);
}

/// Whether a path in the code begins with the crate of this name.
fn names_crate(code: &str, name: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (code[..at].trim_end(), code[at + name.len()..].trim_start());
        let whole = !code[..at].ends_with(is_word) && !code[at + name.len()..].starts_with(is_word);
        let inner = before.strip_suffix("::").is_some_and(|head| head.ends_with(is_word));
        whole && !inner && (after.starts_with("::") || before.ends_with("use"))
    })
}

#[test]
fn crates_stay_behind_their_module() {
    let mut bad = Vec::new();
    for (path, text) in files("src", "rs") {
        let code = code_only(&text);
        let layer = module_path(&path)[0].clone();
        for (name, homes) in CONFINED_CRATES {
            if !homes.contains(&layer.as_str()) && names_crate(&code, name) {
                bad.push(format!("{path} names {name}, which only {} may", homes.join(" and ")));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
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

#[test]
fn every_file_has_a_header_and_can_be_read_in_one_sitting() {
    let mut bad = Vec::new();
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            bad.push(format!("{path} has {lines} lines, more than {LINES_MAX}"));
        }
        if !text.starts_with("//! ") {
            bad.push(format!("{path} does not begin with what it owns (//! …)"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn every_metric_is_in_the_catalogue() {
    let mut bad = Vec::new();
    for (path, text) in files("src", "rs") {
        for call in ["gauge!(", "counter!(", "histogram!("] {
            for rest in text.split(call).skip(1) {
                // A name that is spelled out; the others are the catalogue's constants.
                let Some(name) = rest.trim_start().strip_prefix('"') else { continue };
                let name = name.split('"').next().unwrap_or_default();
                if !seckill::telemetry::metrics::METRICS.iter().any(|metric| metric.name == name) {
                    bad.push(format!("{path} counts {name}, which src/telemetry.rs does not have"));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    // Spelled in parts, so that this file does not find itself.
    let comments = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let code = [
        concat!("todo", "!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("#[al", "low("),
        concat!("#![al", "low("),
    ];
    let mut bad = Vec::new();
    for (path, text) in rust_files() {
        let stripped: String = code_only(&text).split_whitespace().collect();
        let words = comments.iter().filter(|word| text.contains(**word));
        let marks = code.iter().filter(|mark| stripped.contains(**mark));
        bad.extend(words.chain(marks).map(|mark| format!("{path}: {mark}")));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

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
