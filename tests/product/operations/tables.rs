//! Tables and columns that are gone: made anew, or named.

use super::ground::{Ground, caught_up};
use crate::support::{Site, until};
use sqlx::{Connection, SqliteConnection};

const FAULT: i32 = 6;

async fn sqlite(site: &Site, statement: &str) {
    let url = format!("sqlite://{}", site.data().join("orders.db").display());
    let mut orders = SqliteConnection::connect(&url).await.expect("the order store");
    sqlx::query(statement).execute(&mut orders).await.expect(statement);
    orders.close().await.expect("closed");
}

/// `seckill migrate` makes these tables anew.
fn made_anew(site: &Site, tables: &[&str]) {
    let output = site.run(&["migrate"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for table in tables {
        let line = format!("table {table} was gone and was made anew");
        assert!(printed.contains(&line), "{line:?} is not in {printed}");
    }
    assert!(printed.contains("the order store is up to date"), "{printed}");
}

/// `seckill migrate` does not succeed, and names the column.
fn named(site: &Site, column: &str) {
    let output = site.run(&["migrate"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(FAULT), "{output:?}");
    assert!(said.contains(&format!("the database lacks column {column}")), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_table_is_made_anew_and_a_dropped_column_is_named() {
    let (mut ground, server) = Ground::open("tables", Site::new()).await;
    ground.trade(&server, 50).await;
    caught_up(&server).await;
    server.stop().await;
    sqlite(&ground.site, "DROP TABLE orders").await;
    made_anew(&ground.site, &["orders"]);
    let server = ground.site.start().await;
    filled_again(&ground).await;
    caught_up(&server).await;
    server.stop().await;
    ground.audit().must_balance();
    sqlite(&ground.site, "ALTER TABLE dead_letters DROP COLUMN reason").await;
    named(&ground.site, "dead_letters.reason");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_table_on_a_server_comes_back_also_beside_a_running_shop() {
    let Some(mariadb) = harness::mariadb() else { return };
    let site = Site::new().with("ORDERS__MYSQL_URL", &mariadb.url());
    let (mut ground, server) = Ground::open("tables on a server", site).await;
    ground.trade(&server, 50).await;
    caught_up(&server).await;
    let sql = |statement: &str| mariadb.execute(statement).expect(statement);
    sql("DROP TABLE orders; DROP TABLE item_events");
    let mut crowd = ground.enter(&server);
    crowd.answers(100).await;
    assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", ground.site.log());
    crowd.leave().await;
    filled_again(&ground).await;
    caught_up(&server).await;
    server.stop().await;
    ground.audit().must_balance();
    sql("DROP TABLE orders; DROP TABLE users");
    made_anew(&ground.site, &["orders", "users"]);
    made_anew(&ground.site, &[]);
    sql("ALTER TABLE orders DROP COLUMN changed_at");
    named(&ground.site, "orders.changed_at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_that_names_the_journal_comes_back_beside_a_running_shop() {
    let Some(mariadb) = harness::mariadb() else { return };
    let site = Site::new().with("ORDERS__MYSQL_URL", &mariadb.url());
    let (mut ground, server) = Ground::open("the journal's table", site).await;
    ground.trade(&server, 50).await;
    caught_up(&server).await;
    let sql = |statement: &str| mariadb.execute(statement).expect(statement);
    // While nothing is sold, and with all that was stored.
    sql("DROP TABLE journal");
    until("the table", async || {
        (mariadb.execute("SELECT identity FROM journal").ok()?.trim().len() == 16).then_some(())
    })
    .await;
    sql("DROP TABLE journal; DELETE FROM orders");
    filled_again(&ground).await;
    until("all to be well", async || server.is_whole().await.then_some(())).await;
    ground.trade(&server, 50).await;
    caught_up(&server).await;
    server.stop().await;
    ground.audit().must_balance();
}

/// Waits until each confirmed order has its row again.
async fn filled_again(ground: &Ground) {
    until("every row", async || {
        let verdict = ground.audit();
        let checked = verdict.report["checks"].as_array()?;
        let i4 = checked.iter().find(|check| check["invariant"] == "I4")?;
        let all = i4["checked"] == ground.witness.confirmed();
        (verdict.broken().is_empty() && all).then_some(())
    })
    .await;
}
