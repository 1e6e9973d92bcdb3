//! The embedded order store loses what it had, or has it changed by hand, beside a journal that has
//! deleted its oldest records.

use super::cut_journal;
use crate::support::{Crowd, Offer, OpenSale, Random, Server, Site, Verdict, Witness, until};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use std::sync::Arc;

const OFFER: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 86_400 };
const DATA: i32 = 4;

/// A shop of which the journal has deleted the oldest records.
struct Ground {
    site: Site,
    shop: Arc<OpenSale>,
    witness: Arc<Witness>,
    random: Random,
}

impl Ground {
    async fn open(test: &str) -> (Self, Server) {
        let site = Site::new();
        cut_journal::copy_to(site.data()).await;
        let (server, shop) = site.open_shop(160, &[OFFER]).await;
        let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
        let mut ground = Self { site, shop, witness, random: Random::of(test) };
        ground.trade(&server, 100).await;
        (ground, server)
    }

    /// Orders that there are.
    fn orders(&self) -> u64 {
        cut_journal::ORDERS + self.witness.confirmed() as u64
    }

    async fn trade(&mut self, server: &Server, answers: u32) {
        let mut crowd = Crowd::enter(server, &self.shop, &self.witness, &mut self.random);
        crowd.answers(answers).await;
        assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", self.site.log());
        crowd.leave().await;
    }

    fn audit(&self) -> Verdict {
        self.site.audit(self.witness.orders().into_keys())
    }

    /// Runs statements on the order store that no engine would; all or none.
    async fn sql(&self, statements: &str) {
        let url = format!("sqlite://{}", self.site.data().join("orders.db").display());
        let mut orders = SqliteConnection::connect(&url).await.expect("the order store");
        let whole = format!("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE; {statements}; COMMIT");
        sqlx::raw_sql(&whole).execute(&mut orders).await.expect(statements);
        orders.close().await.expect("closed");
    }

    /// Waits until each confirmed order has its row, and nothing is amiss.
    async fn whole_again(&self, server: &Server) {
        until("every row", async || server.is_whole().await.then_some(())).await;
        let verdict = self.audit();
        verdict.must_balance();
        assert_eq!(verdict.check("I4")["checked"], self.orders(), "{:#}", verdict.report);
    }
}

async fn readiness(server: &Server) -> Value {
    server.look("/readyz?verbose").await.json()
}

/// What readiness says of the order store.
fn order_store(readiness: &Value) -> &Value {
    let mut found = readiness["dependencies"].as_array().expect("a list").iter();
    found.find(|found| found["name"] == "order_store").unwrap_or(&Value::Null)
}

/// What the state of the order store means, once that contains these words.
async fn told(server: &Server, words: &str) {
    until(words, async || {
        let now = readiness(server).await;
        let store = order_store(&now);
        let meaning = store["meaning"].as_str().unwrap_or_default();
        (store["healthy"] == false && meaning.contains(words)).then_some(())
    })
    .await;
}

fn must_be_broken(verdict: &Verdict, invariants: &[&str], words: &str) {
    assert_eq!(verdict.broken(), invariants, "{words}: {:#}\n{}", verdict.report, verdict.errors);
    let detail = |invariant: &&str| verdict.check(invariant)["detail"].to_string();
    let details: Vec<String> = invariants.iter().map(detail).collect();
    assert!(details.iter().any(|detail| detail.contains(words)), "{words:?} is not in {details:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_go_beside_a_running_shop_come_back_from_the_journal_or_are_told() {
    let (mut ground, server) = Ground::open("rows that go").await;
    ground.whole_again(&server).await;
    // What the journal still has.
    let newest = "SELECT order_id FROM orders ORDER BY order_id DESC LIMIT 30";
    let refills = "seckill_order_store_refills_total";
    for lost in [
        format!("DELETE FROM orders WHERE order_id IN ({newest})"),
        format!(
            "UPDATE shard_progress SET applied_seq = applied_seq - 20; \
             DELETE FROM orders WHERE order_id IN ({newest})"
        ),
    ] {
        let before = server.figure(refills).await;
        ground.sql(&lost).await;
        until(&lost, async || (server.figure(refills).await > before).then_some(())).await;
        ground.whole_again(&server).await;
    }
    // What it has no longer.
    let oldest = "SELECT order_id FROM orders ORDER BY order_id LIMIT 10";
    ground
        .sql(&format!(
            "CREATE TABLE kept AS SELECT * FROM orders WHERE order_id IN ({oldest}); \
             DELETE FROM orders WHERE order_id IN ({oldest})"
        ))
        .await;
    told(&server, "10 rows are gone from it that the journal has no longer").await;
    assert_eq!(server.figure("seckill_order_store_missing{store=\"0\"}").await, 10);
    ground.trade(&server, 100).await;
    must_be_broken(&ground.audit(), &["I4"], "is not in the order store");
    let columns = "order_id, sale_id, item_id, user_id, request_id, attempt, quantity, amount, \
                   currency, status, expires_at, changed_at, version";
    ground.sql(&format!("INSERT INTO orders ({columns}) SELECT {columns} FROM kept")).await;
    ground.whole_again(&server).await;
    assert_eq!(server.figure("seckill_order_store_missing{store=\"0\"}").await, 0);
    server.stop().await;
    ground.audit().must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_store_that_is_gone_beside_a_cut_journal_keeps_the_shop_closed() {
    let (ground, server) = Ground::open("orders gone").await;
    ground.whole_again(&server).await;
    server.stop().await;
    let moved = |from: &str, to: &str| {
        for end in ["", "-wal", "-shm"] {
            let path = |name: &str| ground.site.data().join(format!("{name}{end}"));
            let _ = std::fs::rename(path(from), path(to));
        }
    };
    moved("orders.db", "kept.db");
    let status = ground.site.fail_to_start().await;
    let log = ground.site.log();
    assert_eq!(status.code(), Some(DATA), "{log}");
    for words in [
        "the order store holds shard",
        "and it is in neither now",
        "to do: bring the order store back, or a backup of it",
    ] {
        assert!(log.contains(words), "{words:?} is not in\n{log}");
    }
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(ground.site.data().join(format!("orders.db{end}")));
    }
    moved("kept.db", "orders.db");
    let server = ground.site.start().await;
    ground.whole_again(&server).await;
    server.stop().await;
    ground.audit().must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_older_than_the_journal_that_was_changed_by_hand_is_found() {
    let (ground, server) = Ground::open("older rows").await;
    ground.whole_again(&server).await;
    server.stop().await;
    let verdict = ground.audit();
    verdict.must_balance();
    assert_eq!(verdict.check("I4")["checked"], ground.orders());
    let oldest = |status: u8| {
        format!("WHERE order_id = (SELECT min(order_id) FROM orders WHERE status = {status})")
    };
    let (paid, reserved) = (oldest(2), oldest(1));
    // What is broken where there are checkpoints; and without any, where the seals do not tell of which row, but money
    // may not add up.
    let (alone, both) = (&["I4"][..], &["I4", "I17"][..]);
    let changes = [
        (format!("UPDATE orders SET amount = amount + 1 {paid}"), both, both, "has other content"),
        (
            format!("UPDATE orders SET status = 3 {paid}"),
            both,
            both,
            "is paid in the checkpoint and cancelled",
        ),
        (
            format!("UPDATE orders SET status = 2 {reserved}"),
            alone,
            alone,
            "is reserved in the checkpoint and paid",
        ),
        (format!("DELETE FROM orders {paid}"), alone, alone, "is not in the order store"),
        (
            format!("UPDATE payments SET state = 4 {paid}"),
            both,
            alone,
            "is captured in the checkpoint and refund_due",
        ),
        (format!("UPDATE payments SET reference = 'x' {paid}"), both, alone, "has other content"),
        (format!("DELETE FROM payments {paid}"), both, alone, "is not in the order store"),
    ];
    let path = |name: &str| ground.site.data().join(name);
    std::fs::copy(path("orders.db"), path("kept.db")).expect("copied");
    let restore = || {
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(path(&format!("orders.db{end}")));
        }
        std::fs::copy(path("kept.db"), path("orders.db")).expect("restored");
    };
    for (change, broken, _, words) in &changes {
        ground.sql(change).await;
        must_be_broken(&ground.audit(), broken, words);
        restore();
    }
    // Without checkpoints the seals tell, though not of which row.
    std::fs::remove_file(path("checkpoints.db")).expect("gone");
    for (change, _, broken, _) in &changes {
        ground.sql(change).await;
        let words = "the order store does not hold what was stored of shard";
        must_be_broken(&ground.audit(), broken, words);
        restore();
    }
    ground.audit().must_balance();
    // Where there is neither, the audit claims nothing but what money says.
    ground.sql("DELETE FROM shard_seals").await;
    ground.sql(&changes[0].0).await;
    must_be_broken(&ground.audit(), &["I17"], "captured");
    restore();
    ground.sql("DELETE FROM shard_seals").await;
    ground.sql(&changes[2].0).await;
    let verdict = ground.audit();
    verdict.must_balance();
    let i4 = verdict.check("I4");
    let detail = i4["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("older than the journal") && detail.contains("not judged"), "{i4}");
    assert!(i4["checked"].as_u64() < Some(ground.orders()), "{i4}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_goes_beneath_a_running_shop_is_told_and_comes_back_or_is_made_anew() {
    let site = Site::new();
    let (server, shop) = site.open_shop(160, &[OFFER]).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut ground = Ground { site, shop, witness, random: Random::of("a file that goes") };
    let whole = async |server: &Server| {
        until("every row", async || server.is_whole().await.then_some(())).await;
    };
    let (file, away) = (ground.site.data().join("orders.db"), ground.site.path("away.db"));
    ground.trade(&server, 100).await;
    whole(&server).await;

    std::fs::rename(&file, &away).expect("moved away");
    ground.trade(&server, 100).await;
    told(&server, "orders.db was deleted or moved beneath this process").await;
    let body = r#"{"user_name":"mia","password":"a long password"}"#;
    let mut client = server.client().await;
    let refused = client.send("POST", "/api/v1/users", "", &[], body).await.expect("an answer");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("records_unavailable"), "{}", refused.text());
    assert!(!file.exists(), "something was written in its place");
    std::fs::rename(&away, &file).expect("moved back");
    whole(&server).await;
    ground.audit().must_balance();

    // Now for good, and the next start fills another one from the journal.
    std::fs::remove_file(&file).expect("deleted");
    ground.trade(&server, 100).await;
    told(&server, "orders.db was deleted or moved beneath this process").await;
    server.stop().await;
    assert!(!file.exists(), "something was written in its place");
    let server = ground.site.start().await;
    whole(&server).await;
    let verdict = ground.audit();
    assert_eq!(verdict.broken(), Vec::<&str>::new(), "{:#}", verdict.report);
    assert_eq!(verdict.check("I4")["checked"], ground.witness.confirmed() as u64);
    server.stop().await;
}
