//! Which module may name which, and which crates stay behind which module.

use super::sources::{Reference, code_only, references};
use super::tree::{files, names_crate};
use std::collections::BTreeSet;

/// Who may name whom; a row for a folder counts for it in place of its parent's. The crate `domain`
/// is open to all. `app` is the composition root and sees everything but the command line.
const ARROWS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("crash", &[]),
    ("telemetry", &[]),
    ("descriptors", &[]),
    ("plain_file", &[]),
    ("secrets", &[]),
    ("service_manager", &[]),
    ("config", &["plain_file", "telemetry"]),
    ("listening", &["config"]),
    ("opening", &["clock", "config", "plain_file", "store"]),
    ("store", &["clock", "crash", "telemetry"]),
    ("store::broker", &["store::journal", "telemetry"]),
    ("store::catalogue", &["store::database"]),
    (
        "store::checkpoint",
        &["store::journal", "store::lent", "store::redis_connection", "store::sqlite_file"],
    ),
    ("store::database", &["store::lent", "store::sqlite_file"]),
    ("store::etcd", &[]),
    ("store::events", &["store::catalogue", "store::database"]),
    ("store::journal", &["clock", "crash", "store::etcd", "telemetry"]),
    ("store::outbound", &["clock"]),
    ("store::orders", &["store::database", "store::journal"]),
    ("store::registry", &["store::etcd", "store::journal"]),
    ("store::settings", &["store::catalogue", "store::data_dir", "store::database", "store::etcd"]),
    ("store::webhooks", &["store::catalogue", "store::database"]),
    (
        "store::read_cache",
        &["clock", "store::catalogue", "store::database", "store::redis_connection", "telemetry"],
    ),
    ("peers", &["clock", "telemetry"]),
    ("actors", &["clock", "crash", "peers", "store", "telemetry"]),
    (
        "actors::shard",
        &[
            "actors::bloom_filter",
            "actors::gate",
            "actors::lease",
            "actors::tasks",
            "clock",
            "crash",
            "store",
            "telemetry",
        ],
    ),
    ("sales", &["actors", "store"]),
    ("http", &["actors", "clock", "crash", "plain_file", "sales", "telemetry"]),
    ("audit", &["store"]),
    ("demo", &["actors", "sales", "store"]),
    (
        "app",
        &[
            "actors",
            "audit",
            "clock",
            "config",
            "crash",
            "demo",
            "descriptors",
            "http",
            "listening",
            "opening",
            "peers",
            "plain_file",
            "sales",
            "secrets",
            "service_manager",
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
            "http",
            "listening",
            "opening",
            "secrets",
            "service_manager",
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
    ("hyper", &["http", "peers", "store"]),
    ("hyper_rustls", &["store"]),
    ("rustls", &["cli", "http", "store"]),
    ("tokio_rustls", &["http"]),
    ("utoipa", &["http"]),
    ("redis", &["store"]),
    ("lapin", &["store"]),
    ("sqlx", &["store"]),
    ("prost", &["peers", "store", "telemetry"]),
    ("prost_types", &["http"]),
    // The module of that name in `peers` is its own.
    ("proto", &["http", "peers"]),
    ("tonic", &["http", "peers", "store"]),
    ("tonic_health", &["http"]),
    ("tonic_prost", &["peers", "store"]),
    ("tonic_reflection", &["http"]),
    ("tonic_types", &["http"]),
    ("clap", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("listenfd", &["listening"]),
    ("sd_notify", &["service_manager"]),
    ("toml", &["config"]),
    ("tracing_subscriber", &["telemetry"]),
    ("metrics_exporter_prometheus", &["app", "telemetry"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_proto", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("fail", &["actors", "clock", "crash", "main", "store"]),
];

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
    if module[0] == "lib" {
        return Vec::new();
    }
    let is_below = |target: &str, row: &str| {
        target.strip_prefix(row).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let here = module.join("::");
    // The closest row counts.
    let rows = ARROWS.iter().filter(|(from, _)| is_below(&here, from));
    let Some((layer, allowed)) = rows.max_by_key(|(from, _)| from.len()) else {
        return vec![format!("{path}: the module {here} has no row in ARROWS")];
    };
    let mut bad = BTreeSet::new();
    for Reference { line, target } in references(text, &module, "seckill") {
        let target = target.join("::");
        let may = |to: &&str| is_below(&target, to);
        if target.is_empty() {
            bad.insert(format!("{path}:{line}: name a module, not the whole crate"));
        } else if !may(layer) && !allowed.iter().any(may) {
            bad.insert(format!("{path}:{line}: {layer} must not name {target}"));
        }
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
    check("src/telemetry/log/mod.rs", "use crate::store::journal::Journal;", 1);
    check("src/telemetry/log/mod.rs", "use crate::{telemetry::Metric, store::{self, journal}};", 2);
    check("src/telemetry/log/mod.rs", "use super::super::store::journal;", 1);
    check("src/telemetry/log/lines.rs", "use super::super::super::{clock::Clock, store};", 2);
    check("src/telemetry/log/mod.rs", "use super::{super::clock, order};", 1);
    check("src/telemetry/mod.rs", "fn now() -> u64 { crate :: clock\n:: now() }", 1);
    check(
        "src/telemetry/mod.rs",
        "mod tests { mod deeper { use super::super::super::clock; } }",
        1,
    );
    check("src/telemetry/mod.rs", "macro_rules! m { () => { $crate::store::X } }", 1);
    check("src/telemetry/mod.rs", "use crate::r#store;", 1);
    check("src/telemetry/mod.rs", "use crate as engine;", 1);
    check("src/telemetry/mod.rs", "use crate::*;", 1);
    check("src/telemetry/mod.rs", "use super::*;", 1);
    check("src/http/buy.rs", "use crate::store::orders;", 1);
    check("src/main.rs", "fn main() { seckill::app::start() }", 1);
    check("src/gossip.rs", "", 1);
    check("src/actors/shard/ring.rs", "use crate::actors::pipeline::Backends;", 1);
    check("src/store/journal/mod.rs", "use super::orders::OrderStore;", 1);
    check("src/store/broker/format.rs", "use crate::store::journal::record;", 0);

    check("src/telemetry/mod.rs", "pub(crate) fn f() {} mod tests { use super::*; }", 0);
    check("src/telemetry/log/mod.rs", "use super::order::Order; use crate::telemetry::ids;", 0);
    check("src/telemetry/mod.rs", "// crate::store\n/* /* super::store */ crate::store */", 0);
    check(
        "src/telemetry/mod.rs",
        r###"const S: &str = r#"" crate::store"#; const C: char = '"';"###,
        0,
    );
    check("src/telemetry/mod.rs", "fn f<'a>(x: &'a str) -> &'a str { x } // 'crate::store", 0);
    check("src/actors/shard/ring.rs", "pub(in crate::actors) struct Ring;", 0);
    check("src/http/buy.rs", "use crate::{actors::Engine, sales::{Sale, Sales}};", 0);
    check("src/main.rs", "fn main() { seckill::cli::run() }", 0);
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
