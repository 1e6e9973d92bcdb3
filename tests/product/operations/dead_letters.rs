//! `seckill dead-letters` on what an order store could not take.

use super::ground::{Ground, Servers, caught_up};
use crate::support::{Site, until};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

/// Runs a statement that no engine would on the embedded order store.
async fn tamper(site: &Site, statement: &str) {
    let url = format!("sqlite://{}", site.data().join("orders.db").display());
    let mut orders = SqliteConnection::connect(&url).await.expect("the order store");
    let done = sqlx::query(statement).execute(&mut orders).await.expect(statement);
    assert_eq!(done.rows_affected(), 1, "{statement}");
    orders.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_listed_found_by_the_audit_mended_and_sent_again() {
    let Some(servers) = Servers::start() else { return };
    let (mut ground, server) = Ground::open("dead letter", servers.site()).await;
    ground.trade(&server, 50).await;
    caught_up(&server).await;
    assert_eq!(ground.run(&["dead-letters", "list"]), "0 dead letters\n");

    // Somebody else's order is stored under the identity of the next one.
    servers.mariadb_proxy.cut();
    let order = ground.buy(&server, "contradicted").await;
    servers.plant(order);
    servers.mariadb_proxy.restore();
    until("an alarm", async || {
        (server.figure("seckill_dead_letters_total").await > 0).then_some(())
    })
    .await;
    ground.buy(&server, "another").await;
    caught_up(&server).await;

    let listed = ground.run(&["dead-letters", "list"]);
    assert!(listed.contains(&format!("order {order} is stored with other content")), "{listed}");
    assert!(listed.contains(&format!("order {order} reserved")), "{listed}");
    let lines = ground.run(&["dead-letters", "list", "--json"]);
    let letter: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    let about = letter["records"].as_array().expect("records");
    assert!(about.iter().any(|record| record["about"] == format!("order {order} reserved")));

    let found = |invariant: &str| {
        let verdict = ground.audit();
        assert_eq!(verdict.broken(), [invariant], "{:#}", verdict.report);
        assert!(verdict.report["dead_letters"].as_u64().is_some_and(|letters| letters > 0));
        verdict.check(invariant)["detail"].as_str().expect("a reason").to_owned()
    };
    assert!(found("I4").contains(&order.to_string()));
    // Sent again before anything was mended, it comes back.
    let letters = listed.lines().filter(|line| line.contains(" bytes  ")).count();
    let sent_again = format!("{letters} messages were sent again\n");
    assert_eq!(ground.run(&["dead-letters", "replay"]), sent_again);
    until("its return", async || {
        let listed = ground.run(&["dead-letters", "list"]);
        listed.contains(&format!("order {order} reserved")).then_some(())
    })
    .await;
    servers.sql(&format!("DELETE FROM orders WHERE order_id = {order}"));
    let detail = found("I4");
    assert!(detail.contains(&format!("order {order} is not in the order store")), "{detail}");
    assert!(detail.contains("dead letter"), "{detail}");
    ground.run(&["dead-letters", "replay"]);
    until("the row", async || {
        let text = format!("SELECT COUNT(*) FROM orders WHERE order_id = {order}");
        (servers.sql(&text) == "1").then_some(())
    })
    .await;
    server.stop().await;
    assert_eq!(ground.run(&["dead-letters", "list"]), "0 dead letters\n");
    let verdict = ground.audit();
    verdict.must_balance();
    assert_eq!(verdict.report["dead_letters"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_the_order_store_keeps_the_dead_letter_itself() {
    let (mut ground, server) = Ground::open("embedded dead letter", Site::new()).await;
    ground.trade(&server, 50).await;
    let order = ground.buy(&server, "contradicted").await;
    caught_up(&server).await;
    assert_eq!(ground.run(&["dead-letters", "list"]), "0 dead letters\n");
    server.stop().await;

    // The order comes once more, and somebody else's has its identity.
    let of_order = format!("WHERE order_id = {order}");
    let before = format!(
        "UPDATE shard_progress SET applied_seq = (SELECT version - 1 FROM orders {of_order}) \
         WHERE shard = (SELECT shard FROM orders {of_order})"
    );
    tamper(&ground.site, &before).await;
    tamper(&ground.site, &format!("UPDATE orders SET amount = amount + 1 {of_order}")).await;
    let server = ground.site.start().await;
    until("an alarm", async || {
        (server.figure("seckill_order_store_conflicts_total").await == 1).then_some(())
    })
    .await;
    ground.buy(&server, "another").await;
    caught_up(&server).await;

    let must_be_listed = || {
        let listed = ground.run(&["dead-letters", "list"]);
        assert!(listed.ends_with("\n1 dead letters\n"), "{listed}");
        assert!(listed.contains(&format!("order {order} is stored with other content")));
        assert!(listed.contains(&format!("order {order} reserved")), "{listed}");
    };
    must_be_listed();
    let lines = ground.run(&["dead-letters", "list", "--json"]);
    let letter: Value = serde_json::from_str(&lines).expect("one JSON object");
    assert_eq!(letter["records"][0]["about"], format!("order {order} reserved"));
    let found = || {
        let verdict = ground.audit();
        assert_eq!(verdict.broken(), ["I4"], "{:#}", verdict.report);
        assert_eq!(verdict.report["dead_letters"], 1);
        verdict.check("I4")["detail"].as_str().expect("a reason").to_owned()
    };
    let detail = found();
    assert!(detail.contains(&format!("order {order} has other content")), "{detail}");

    // Tried again before anything was mended, it stays.
    let sent_again = "1 messages were sent again\n";
    assert_eq!(ground.run(&["dead-letters", "replay"]), sent_again);
    must_be_listed();
    tamper(&ground.site, &format!("DELETE FROM orders {of_order}")).await;
    let detail = found();
    assert!(detail.contains(&format!("order {order} is not in the order store")), "{detail}");
    assert!(detail.contains("dead letter"), "{detail}");
    assert_eq!(ground.run(&["dead-letters", "replay"]), sent_again);
    assert_eq!(ground.run(&["dead-letters", "list"]), "0 dead letters\n");
    server.stop().await;
    let verdict = ground.audit();
    verdict.must_balance();
    assert_eq!(verdict.report["dead_letters"], 0);
}
