//! Settings in a real etcd: what the table keeps to, what is written by hand, hints, and what the operators' log
//! has yet to be told.

use super::etcd::{PATIENCE, client};
use crate::settings_contract::{self as contract, change, change_of, content};
use domain::Timestamp;
use seckill::store::catalogue::Catalogue;
use seckill::store::database::Database;
use seckill::store::orders::OrderStore;
use seckill::store::settings::{
    Centre, Documents, Hints, Judge, SettingsError, SettingsStore, StoredSetting,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;

const PREFIX: &str = "/seckill/settings/";
const CURRENT: &str = "/seckill/settings/config/current";

/// An etcd, and a database for the operators' log.
struct Place {
    server: harness::Etcd,
    database: Database,
    _directory: TempDir,
}

impl Place {
    async fn open() -> Option<Self> {
        let server = harness::etcd(1)?;
        let directory = tempfile::tempdir().expect("a directory");
        let orders = OrderStore::open_sqlite(&directory.path().join("orders.db")).await;
        let orders = orders.expect("an order store");
        orders.migrate().await.expect("tables");
        let database = orders.database();
        Some(Self { server, database, _directory: directory })
    }

    /// A node that knows nothing yet. It allows all but 700.
    fn node(&self) -> SettingsStore {
        let judge: Judge = Arc::new(|stored: &StoredSetting| {
            let is_bad = stored.content.values().any(|value| *value == json!(700));
            if is_bad { Err("限流 must not be 700".to_owned()) } else { Ok(()) }
        });
        let centre = Centre::new(client(self.server.endpoints(), PATIENCE), PREFIX, judge);
        SettingsStore::with_centre(self.database.clone(), centre)
    }

    fn put(&self, value: &str) {
        self.server.cli(&["put", CURRENT, value]).expect("etcdctl");
    }

    fn stored(&self) -> Value {
        let value = self.server.cli(&["get", "--print-value-only", CURRENT]).expect("etcdctl");
        serde_json::from_str(&value).expect("JSON")
    }

    async fn log(&self) -> Vec<u64> {
        let log = Catalogue::new(self.database.clone()).log(None, 100).await.expect("the log");
        log.iter().filter_map(|logged| logged.entry.detail["version"].as_u64()).collect()
    }
}

/// What counts, and why what is there does not.
async fn look(store: &SettingsStore) -> (Documents, Option<String>) {
    let found = store.current().await.expect("it answers");
    (found.documents, found.refused.map(|refused| refused.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_in_etcd_have_versions_and_a_history() {
    let Some(place) = Place::open().await else { return };
    contract::versions_and_a_history(&place.node(), place.database.clone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_in_etcd_at_once_one_is_made() {
    let Some(place) = Place::open().await else { return };
    contract::one_of_two_at_once(&place.node()).await;
    // Two who change different documents are not in each other's way.
    let node = place.node();
    for round in 0..10 {
        let value = content(round);
        let (one, other) = tokio::join!(
            change(&node, 10 + round, &value),
            change_of(&node, "risk", round, &value)
        );
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    }
    assert_eq!(look(&node).await.0.version, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_it_may_be_does_not_count_and_the_next_change_takes_its_place() {
    let Some(place) = Place::open().await else { return };
    let node = place.node();
    change(&node, 0, &content(1)).await.expect("made");
    change(&node, 1, &content(2)).await.expect("made");
    let (good, _) = look(&node).await;
    let mut wrong = place.stored();
    wrong["version"] = json!(3);
    wrong["documents"]["limits"]["version"] = json!(3);
    wrong["documents"]["limits"]["content"] = json!({ "限流": 700 });
    for (value, why) in [
        (wrong.to_string(), "limits, version 3: 限流 must not be 700"),
        ("{".to_owned(), "config/current: EOF"),
        (r#"{"version":9,"documents":[]}"#.to_owned(), "version 9: invalid"),
    ] {
        place.put(&value);
        // Also for a node that knows nothing yet, at its first look.
        for store in [&node, &place.node()] {
            for _ in 0..2 {
                let (documents, refused) = look(store).await;
                assert_eq!(documents, good, "{value}");
                let refused = refused.expect("it is refused");
                assert!(refused.starts_with(why), "{refused}");
            }
        }
    }
    place.server.cli(&["del", CURRENT]).expect("etcdctl");
    let (documents, refused) = look(&place.node()).await;
    assert_eq!(
        (documents, refused.as_deref()),
        (good, Some("config/current: it is gone from etcd"))
    );
    // The versions that nobody has seen count for nothing, but none is given twice.
    place.put(&wrong.to_string());
    let late = change(&node, 3, &content(4)).await;
    assert_eq!(late, Err(SettingsError::OtherVersion { present: 2 }));
    let made = change(&node, 2, &content(4)).await.expect("made");
    let (documents, refused) = look(&place.node()).await;
    assert_eq!((documents.version, &documents.by_name["limits"], refused), (4, &made, None));
    // What is good counts, also if it was written by hand.
    let mut right = place.stored();
    right["version"] = json!(5);
    right["documents"]["limits"] = json!({ "version": 4, "content": { "限流": 5 } });
    place.put(&right.to_string());
    let (documents, refused) = look(&node).await;
    assert_eq!((documents.version, documents.by_name["limits"].version, refused), (5, 4, None));
    // That node holds it when something worse follows, although the history does not have it.
    place.put("{");
    assert_eq!(look(&node).await.0, documents);
    let restarted = place.node();
    restarted.hold(&documents);
    assert_eq!(look(&restarted).await.0, documents);
    assert!(look(&restarted).await.1.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_bounded_and_so_is_what_is_written() {
    let Some(place) = Place::open().await else { return };
    let node = place.node();
    for round in 0..104 {
        change(&node, round, &content(round * 8)).await.expect("made");
    }
    let kept = place.server.cli(&["get", "--prefix", "--keys-only", "/seckill/settings/config/h"]);
    let kept = kept.expect("etcdctl");
    assert_eq!(kept.lines().filter(|line| !line.is_empty()).count(), 100);
    let history = node.history("limits", None, 1_000).await.expect("it answers");
    let versions: Vec<u64> = history.iter().map(|stored| stored.version).collect();
    assert_eq!(versions, (5..=104).rev().collect::<Vec<_>>());
    let huge = serde_json::Map::from_iter([("x".to_owned(), json!("x".repeat(300 << 10)))]);
    let refused = change(&node, 104, &huge).await;
    assert!(matches!(refused, Err(SettingsError::TooLarge { .. })), "{refused:?}");
    assert_eq!(look(&node).await.0.version, 104);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_hinted_and_a_revision_that_is_compacted_away_is_read_again() {
    let Some(place) = Place::open().await else { return };
    let (node, other) = (place.node(), place.node());
    let revision = node.current().await.expect("it answers").revision;
    let mut hints = Hints::default();
    let hint = async {
        node.hint(&mut hints, revision).await;
    };
    let changing = async { change(&other, 0, &content(1)).await.expect("made") };
    harness::patiently("a hint", async { tokio::join!(hint, changing) }).await;
    assert_eq!(look(&node).await.0.version, 1);
    // A watch from a revision that is no more gives none: the time leads to reading again.
    change(&other, 1, &content(2)).await.expect("made");
    let newest = place.node().current().await.expect("it answers").revision;
    client(place.server.endpoints(), PATIENCE).compact(newest).await.expect("compacted");
    let mut hints = Hints::default();
    let waited = tokio::time::timeout(std::time::Duration::from_millis(300), async {
        node.hint(&mut hints, revision).await;
    });
    assert!(waited.await.is_err(), "nothing can be told from there");
    assert_eq!(look(&node).await.0.version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_log_is_told_later_where_it_does_not_answer_and_once() {
    let Some(place) = Place::open().await else { return };
    let node = place.node();
    change(&node, 0, &content(1)).await.expect("made");
    assert_eq!(place.log().await, [1]);
    assert_eq!(node.current().await.expect("it answers").due, []);
    let directory = tempfile::tempdir().expect("a directory");
    let away = OrderStore::open_sqlite(&directory.path().join("away.db")).await.expect("it opens");
    away.database().close().await;
    let judge: Judge = Arc::new(|_: &StoredSetting| Ok(()));
    let centre = Centre::new(client(place.server.endpoints(), PATIENCE), PREFIX, judge);
    let alone = SettingsStore::with_centre(away.database(), centre);
    change(&alone, 1, &content(2)).await.expect("made, although the log does not answer");
    assert_eq!(place.log().await, [1]);
    let due = node.current().await.expect("it answers").due;
    assert_eq!((due.len(), due[0].version, due[0].entry.at), (1, 2, Timestamp(1_790_000_000_000)));
    for _ in 0..2 {
        node.tell(&due[0]).await.expect("told");
    }
    assert_eq!(place.log().await, [2, 1]);
    assert_eq!(node.current().await.expect("it answers").due, []);
}
