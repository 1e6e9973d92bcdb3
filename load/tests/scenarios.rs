//! The scenarios in the tree are valid, complete and honest about their names; mistakes in
//! a scenario are refused before anything starts.

use std::path::{Path, PathBuf};

use load::scenario::Scenario;

const NAMES: [&str; 29] = [
    "bots",
    "cancel-wave",
    "cluster-hot-buckets",
    "cluster-hot-item",
    "cluster-join",
    "cluster-mysql-down",
    "cluster-owner-frozen",
    "cluster-owner-killed",
    "cluster-owners-killed",
    "cluster-quorum-lost",
    "cluster-rolling-restart",
    "cluster-spread",
    "cluster-wrong-node",
    "duplicate-clickers",
    "many-items",
    "mysql-slow",
    "one-hot-item",
    "rabbitmq-down",
    "readers",
    "redis-down",
    "restart-mid-sale",
    "smoke",
    "soak",
    "sold-out-storm",
    "spread-open",
    "standing-backlog",
    "sustained",
    "t0-burst",
    "t0-burst-guarded",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

#[test]
fn every_scenario_is_valid_and_named_as_its_file() {
    let files = std::fs::read_dir(folder()).expect("there are scenarios");
    let mut names: Vec<String> = files
        .map(|file| {
            let path = file.expect("readable").path();
            let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(path.file_stem().and_then(|stem| stem.to_str()), Some(&*scenario.name));
            scenario.name
        })
        .collect();
    names.sort_unstable();
    assert_eq!(names, NAMES);
}

/// The smoke scenario with one line changed is refused with this reason.
#[track_caller]
fn check(line: &str, instead: &str, reason: &str) {
    check_in("smoke.toml", line, instead, reason);
}

#[track_caller]
fn check_in(file: &str, line: &str, instead: &str, reason: &str) {
    let path = folder().join(file);
    let text = std::fs::read_to_string(&path).expect("readable");
    assert!(text.contains(line), "{line} is not in {file}");
    let error = Scenario::parse(&text.replacen(line, instead, 1), &path).expect_err(instead);
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn mistakes_of_several_nodes_are_refused_with_their_reason() {
    let check = |line, instead: &str, reason| {
        check_in("cluster-wrong-node.toml", line, instead, reason);
    };
    let fault = |what: &str| format!("[[fault]]\nat_ms = 10\nwhat = \"{what}\"\n[pass]");
    for mover in ["server_killed", "rolling_restart", "node_joins", "quorum_lost"] {
        check("[pass]", &fault(mover), "needs shards that stay");
    }
    check("items = 24", "items = 24\nbuckets = 2", "needs sale.buckets of 1");
    check("wrong_node", "right_node", "unknown variant `right_node`");
    check("nodes = 3", "nodes = 1", "needs server.nodes above 1");
    let joins = |extra: &str| fault("node_joins").replace("at_ms = 10", extra);
    let check = |line, instead: &str, reason| {
        check_in("cluster-spread.toml", line, instead, reason);
    };
    check("[pass]", &joins("at_ms = 10\nfor_ms = 5"), "is for good, and has no for_ms");
    let many = joins("at_ms = 10\ntimes = 7\nevery_ms = 10");
    check("[pass]", &many, "server.nodes and those that join are more than 9");
    check("node_share_min = 0.", "node_share_min = 1.", "it must be 0 to 1");
}

#[test]
fn mistakes_are_refused_with_their_reason() {
    check("items = 5", "item = 5", "unknown field `item`");
    check("items = 5", "items = 0", "sale.items is 0; it must be 1 to 10000");
    check("users = 3_000", "users = 3_000_000", "people.users is 3000000");
    check("rate = 600", "rate = -1", "load[1].rate is -1");
    check("seconds = 5", "seconds = 1e6", "load[1].seconds is 1000000");
    check("pay = 0.6", "pay = 0.95", "pay + cancel + pay_late");
    check("buyer = 80", "buyer = 0", "people.mix.buyer must be above 0");
    check("name = \"smoke\"", "name = \"Smoke\"", "lower-case letters");
    check("unavailable_share_max = 0.0", "unavailable_share_max = 2.0", "it must be 0 to 1");
    check("[sale]", "[server]\nenvironment = { PATH = \"x\" }\n[sale]", "begin with SECKILL__");
    let fault = |what: &str| format!("[[fault]]\nat_ms = 10\nwhat = \"{what}\"\n[pass]");
    check("[pass]", &fault("redis_down"), "needs Redis in server.backends");
    check("[sale]", "[server]\nnodes = 3\n[sale]", "needs redis and mysql in server.backends");
    for of_nodes in ["quorum_lost", "rolling_restart", "node_joins"] {
        check("[pass]", &fault(of_nodes), "needs server.nodes above 1");
    }
    check("[pass]", &fault("meteorite"), "unknown variant `meteorite`");
    let late = fault("server_killed").replace("10", "99_000");
    check("[pass]", &late, "lies after the end of the load (8000 ms)");
    let often = fault("server_killed").replace("at_ms = 10", "at_ms = 10\ntimes = 1_001");
    check("[pass]", &often, "at most 1000 faults");
    let overlapping = "at_ms = 10\nfor_ms = 200\ntimes = 2\nevery_ms = 100";
    let overlapping = fault("server_killed").replace("at_ms = 10", overlapping);
    check("[pass]", &overlapping, "fault[1] begins before the one before it has ended");
    for of_nodes in ["taken_over_median_within_ms = 1", "node_share_min = 0.1"] {
        check("[pass]", &format!("[pass]\n{of_nodes}"), "needs server.nodes above 1");
    }
    check("[pass]", "[pass]\nitem_pause_ms_max = 0", "pass.item_pause_ms_max is 0");
    check("items = 5", "items = 5\nbuckets = 65", "sale.buckets is 65; it must be 1 to 64");
    check("items = 5", "items = 5\nbuckets = 4", "needs server.shards of at least as many");
    let recorded = "shape = \"recorded\"\nfile = \"nowhere.txt\"";
    check("shape = \"constant\"\nrate = 600\nseconds = 5", recorded, "nowhere.txt");
}
