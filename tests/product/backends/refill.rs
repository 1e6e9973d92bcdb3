//! The order store loses what it had, beside a shop that runs and one that does not: it is filled again
//! from the journal.

use super::ground::{self, Ground, Servers, caught_up};
use crate::support::{Server, Site, until};

const CATALOGUE: [&str; 2] = ["sales", "sale_items"];
const TABLES: [&str; 4] = ["orders", "item_events", "shard_progress", "shard_seals"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_store_that_loses_rows_beside_a_running_shop_is_filled_again() {
    beside_a_running_shop("refill", Servers::site_without_broker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_store_that_loses_rows_is_filled_again_through_the_broker() {
    beside_a_running_shop("refill through the broker", Servers::site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_store_that_lost_rows_while_the_shop_was_closed_is_filled_again() {
    beside_a_closed_shop("refill at the start", Servers::site_without_broker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_store_that_lost_rows_meanwhile_is_filled_again_through_the_broker() {
    beside_a_closed_shop("refill at the start through the broker", Servers::site).await;
}

async fn beside_a_running_shop(test: &str, site: impl FnOnce(&Servers) -> Site) {
    let Some((mut ground, server)) = ground::open_at(test, site).await else { return };
    ground.trade(&server, 200).await;
    caught_up(&server).await;

    // Dropped, and its tables made anew; nothing is sold until it is whole again.
    keep_catalogue(&ground);
    ground.servers.mariadb.empty().expect("dropped");
    let migrated = ground.site.run(&["migrate"]);
    assert!(migrated.status.success(), "{migrated:?}");
    restore_catalogue(&ground).await;
    whole_again(&ground, &server).await;

    // The same while buyers buy, and without tables.
    let mut crowd = ground.enter(&server);
    crowd.answers(50).await;
    ground.servers.mariadb.empty().expect("dropped");
    crowd.answers(300).await;
    assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", ground.site.log());
    crowd.leave().await;
    restore_catalogue(&ground).await;
    whole_again(&ground, &server).await;

    // One table is emptied, and the progress still says that it is full.
    for table in TABLES {
        sql(&ground, &format!("TRUNCATE TABLE {table}"));
        whole_again(&ground, &server).await;
    }
    sql(&ground, "DELETE FROM orders LIMIT 20");
    whole_again(&ground, &server).await;

    // An older backup is restored while orders are on their way.
    keep(&ground);
    let mut crowd = ground.enter(&server);
    crowd.answers(100).await;
    restore(&ground);
    crowd.answers(200).await;
    assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", ground.site.log());
    crowd.leave().await;
    whole_again(&ground, &server).await;
    let refills = server.figure("seckill_order_store_refills_total").await;
    assert!(refills >= 3, "{refills} refills");
    assert_eq!(server.figure("seckill_order_store_missing{store=\"0\"}").await, 0);
    ground.close(server).await;
}

async fn beside_a_closed_shop(test: &str, site: impl FnOnce(&Servers) -> Site) {
    let Some((mut ground, mut server)) = ground::open_at(test, site).await else { return };
    ground.trade(&server, 200).await;
    caught_up(&server).await;
    keep(&ground);
    keep_catalogue(&ground);
    ground.trade(&server, 100).await;
    caught_up(&server).await;
    let dropped = |ground: &Ground| ground.servers.mariadb.empty().expect("dropped");
    let truncated = |ground: &Ground| sql(ground, "TRUNCATE TABLE orders");
    for lose in [restore, truncated, dropped] {
        server.stop().await;
        lose(&ground);
        server = ground.site.start().await;
        restore_catalogue(&ground).await;
        whole_again(&ground, &server).await;
        ground.trade(&server, 20).await;
    }
    ground.close(server).await;
}

/// Waits until each confirmed order has its row, and audits.
async fn whole_again(ground: &Ground, server: &Server) {
    until("every row", async || {
        // None while the tables are gone.
        let rows = ground.servers.mariadb.execute(
            "SELECT COUNT(*) FROM orders; SELECT COUNT(DISTINCT item_id) FROM item_events; \
             SELECT COUNT(*) - (SELECT COUNT(*) FROM shard_seals) FROM shard_progress",
        );
        let expected = format!("{}\n{}\n0", ground.witness.confirmed(), ground.shop.items.len());
        (rows.ok()? == expected).then_some(())
    })
    .await;
    caught_up(server).await;
    let verdict = ground.site.audit(ground.witness.orders().into_keys());
    verdict.must_balance();
    assert_eq!(verdict.check("I4")["checked"], ground.witness.confirmed(), "{:#}", verdict.report);
}

fn sql(ground: &Ground, statement: &str) {
    ground.servers.mariadb.execute(statement).expect(statement);
}

/// The columns of a table that are not made from others.
fn columns(ground: &Ground, table: &str) -> String {
    let statement = format!(
        "SELECT GROUP_CONCAT(column_name) FROM information_schema.columns \
         WHERE table_schema = DATABASE() AND table_name = '{table}' AND extra NOT LIKE '%GENERATED%'"
    );
    ground.servers.mariadb.execute(&statement).expect("columns")
}

/// Keeps the catalogue in another database. The journal cannot give it back.
fn keep_catalogue(ground: &Ground) {
    let copies =
        CATALOGUE.map(|table| format!("CREATE TABLE kept.{table} AS SELECT * FROM {table}"));
    sql(ground, "DROP DATABASE IF EXISTS kept; CREATE DATABASE kept");
    sql(ground, &copies.join("; "));
}

/// Puts it back once its tables are there again.
async fn restore_catalogue(ground: &Ground) {
    let rows = CATALOGUE
        .map(|table| format!("INSERT IGNORE INTO {table} SELECT * FROM kept.{table}"))
        .join("; ");
    until("the catalogue's tables", async || ground.servers.mariadb.execute(&rows).ok()).await;
}

/// Keeps the tables as they are, for [`restore`].
fn keep(ground: &Ground) {
    let copies = TABLES.map(|table| {
        let columns = columns(ground, table);
        format!("CREATE TABLE kept_{table} AS SELECT {columns} FROM {table}")
    });
    sql(ground, &copies.join("; "));
}

/// Puts back what was kept.
fn restore(ground: &Ground) {
    let mut statements = vec!["START TRANSACTION".to_owned()];
    for table in TABLES {
        let columns = columns(ground, table);
        statements.push(format!("DELETE FROM {table}"));
        statements
            .push(format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM kept_{table}"));
    }
    statements.push("COMMIT".to_owned());
    sql(ground, &statements.join("; "));
}
