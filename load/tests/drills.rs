//! The drills judge: an honest engine passes them, and each lie of the toy engine turns the page red, though
//! the toy's own audit says that all is well. And the table of drills is whole, names tests that exist, and is
//! what `docs/drills.md` shows.

mod toy;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use load::drills::{Carried, Ending, FURTHER, Page, Setting, TABLE, carry_out, chosen, document};

/// Drills for which an engine need not outlive its process.
const MORTAL: &str = "35,37";

async fn carried_out(plant: &str, only: &str) -> Page {
    let plant = ("SECKILL__TOY__PLANT".to_owned(), plant.to_owned());
    let setting = Setting {
        binary: toy::program(),
        program: "a toy".to_owned(),
        keep: None,
        failpoints: None,
        quick: true,
        seed: 7,
        environment: BTreeMap::from([plant]),
    };
    let only: Vec<String> = only.split(',').map(str::to_owned).collect();
    carry_out(&setting, &chosen(&only).expect("there are such drills"), true).await
}

/// What did not hold, over all drills.
fn broken(page: &Page) -> Vec<&'static str> {
    let criteria = page.rows.iter().flat_map(|row| &row.criteria);
    criteria.filter(|judged| !judged.holds).map(|judged| judged.what).collect()
}

#[track_caller]
fn check_red(page: &Page, expected: &str) {
    assert!(!page.passed, "{}", page.table());
    assert!(broken(page).contains(&expected), "{expected} holds:\n{}", page.table());
    assert!(page.html().contains("class=\"headline failed\""), "the page is not red");
}

#[tokio::test]
async fn an_honest_engine_passes() {
    let page = carried_out("none", MORTAL).await;
    assert!(page.passed, "{}", page.table());
    assert_eq!(page.count(Ending::Passed), 2, "{}", page.table());
    let html = page.html();
    assert!(!html.contains("headline failed") && !html.contains("<script"), "{html}");
    assert!(!html.contains("src=") && !html.contains("href="), "it asks for something");
    assert!(html.contains("prefers-color-scheme: dark"), "it is not made for the dark");
}

#[tokio::test]
async fn a_planted_oversell_turns_the_page_red() {
    check_red(&carried_out("oversell", "35").await, "nothing oversold");
}

#[tokio::test]
async fn a_planted_lost_order_turns_the_page_red() {
    check_red(&carried_out("lose", "35").await, "confirmations on record");
}

#[tokio::test]
async fn a_planted_double_turns_the_page_red() {
    check_red(&carried_out("double", "37").await, "nothing doubled");
}

/// Clients saw nothing wrong: the engine's own audit alone knows.
#[tokio::test]
async fn an_audit_that_complains_turns_the_page_red() {
    let page = carried_out("complain", "37").await;
    check_red(&page, "the engine's own audit passes");
    assert!(!broken(&page).contains(&"clients, counters and order store agree"));
}

/// Every criterion of the drill's own holds, and the shop has shut for good.
#[tokio::test]
async fn a_shop_that_never_sells_again_turns_the_page_red() {
    let page = carried_out("shut", "37").await;
    assert_eq!(broken(&page), ["sells again"], "{}", page.table());
    assert_eq!(page.rows[0].sells_again(), "never");
    check_red(&page, "sells again");
}

/// The toy has everything in memory: a kill forgets it.
#[tokio::test]
async fn an_engine_that_forgets_when_it_is_killed_turns_the_page_red() {
    let page = carried_out("none", "kills").await;
    assert!(!page.passed, "{}", page.table());
}

#[test]
fn every_number_is_there_once_and_in_order() {
    let numbers: Vec<u32> = TABLE.iter().filter_map(|drill| drill.id.parse().ok()).collect();
    assert_eq!(numbers, (1..50).collect::<Vec<_>>());
    for drill in TABLE {
        assert!(!drill.name.is_empty() && !drill.passes.is_empty(), "{drill:?}");
        let is_test = matches!(drill.carried, Carried::Test);
        assert!(!is_test || !drill.tests.is_empty(), "{} is carried out by nothing", drill.id);
        assert!(!is_test || !drill.is_quick(), "{} cannot be part of --quick", drill.id);
    }
}

#[test]
fn each_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let numbered = TABLE.iter().flat_map(|drill| drill.tests);
    let all = numbered.chain(FURTHER.iter().flat_map(|further| further.tests));
    let missing: Vec<_> = all.map(|(test, _)| *test).filter(|test| !exists(root, test)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for invented in [
        "product drills::kills::no_such_test",
        "product drills::no_such_module",
        "engine drills::kills",
        "kills",
    ] {
        assert!(!exists(root, invented), "{invented} is said to be there");
    }
}

/// Whether `BINARY MODULES` or `BINARY MODULES::NAME` is there.
fn exists(root: &Path, test: &str) -> bool {
    let Some((binary, path)) = test.split_once(' ') else { return false };
    let folder = match binary {
        "domain" => root.join("crates/domain/tests"),
        binary => root.join("tests").join(binary),
    };
    let file = |modules: &str| -> Option<PathBuf> {
        let path = folder.join(modules.replace("::", "/"));
        [path.with_extension("rs"), path.join("mod.rs")].into_iter().find(|file| file.is_file())
    };
    if file(path).is_some() {
        return true;
    }
    let Some((modules, name)) = path.rsplit_once("::") else { return false };
    let text = file(modules).and_then(|file| std::fs::read_to_string(file).ok());
    text.is_some_and(|text| text.contains(&format!("fn {name}(")))
}

#[test]
fn the_document_is_printed_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/drills.md");
    let printed = std::fs::read_to_string(path).expect("docs/drills.md");
    assert!(printed == document(), "print it anew: cargo run -p load -- drills --table");
}

#[test]
fn what_is_no_drill_is_refused() {
    let refused = chosen(&["13".to_owned(), "50".to_owned()]).expect_err("there is no 50");
    assert!(refused.to_string().contains("drill 50 is missing"), "{refused}");
    assert_eq!(chosen(&["13".to_owned()]).expect("there is").len(), 1);
}
