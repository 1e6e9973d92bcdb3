//! The operator's threshold on what waits for the order store, and what is to happen beyond it.

use super::ground::{Ground, caught_up};
use crate::support::Site;
use harness::{MariaDb, Proxy};

const MAX: u64 = 20;
const ALARM: &str = "the backlog is beyond its threshold";
const BELOW: &str = "the backlog is below its threshold again";

fn site(mariadb: &MariaDb, proxy: &Proxy, choice: &str) -> Site {
    Site::new()
        .with("ORDERS__MYSQL_URL", &proxy.url_for(&mariadb.url()))
        .with("BACKLOG__RECORDS_MAX", &MAX.to_string())
        .with("BACKLOG__WHEN_EXCEEDED", choice)
}

async fn logged(ground: &Ground, line: &str) {
    ground.site.logged(line).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_says_so_and_the_sale_goes_on() {
    let Some(mariadb) = harness::mariadb() else { return };
    let proxy = Proxy::to(mariadb.address());
    let (ground, server) = Ground::open("alarm", site(&mariadb, &proxy, "alarm")).await;
    caught_up(&server).await;
    assert!(!ground.site.log().contains(ALARM));
    proxy.cut();
    for number in 0..=MAX {
        ground.buy(&server, &format!("before-{number}")).await;
    }
    logged(&ground, ALARM).await;
    assert!(server.figure("seckill_backlog_records").await > MAX);
    for number in 0..5 {
        ground.buy(&server, &format!("beyond-{number}")).await;
    }
    proxy.restore();
    caught_up(&server).await;
    logged(&ground, BELOW).await;
    server.stop().await;
    ground.audit().must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusing_holds_new_purchases_back_until_the_order_store_has_caught_up() {
    let Some(mariadb) = harness::mariadb() else { return };
    let proxy = Proxy::to(mariadb.address());
    let (ground, server) = Ground::open("refuse", site(&mariadb, &proxy, "refuse")).await;
    caught_up(&server).await;
    proxy.cut();
    let mut orders = Vec::new();
    for number in 0..=MAX {
        orders.push(ground.buy(&server, &format!("before-{number}")).await);
    }
    logged(&ground, ALARM).await;
    assert_eq!(server.get("/readyz").await.status, 503);
    let operations = server.operations().to_string();
    let mut health = ground.site.command(&["health"]);
    let health = health.env("SECKILL__OPERATIONS__LISTEN", operations).output().expect("it runs");
    assert_eq!(health.status.code(), Some(1), "{}", String::from_utf8_lossy(&health.stderr));
    let mut client = server.client().await;
    let refused = ground.shop.buy(&mut client, ground.shop.items[0], 0, "beyond").await;
    let refused = refused.expect("an answer");
    assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.text().contains("the order store is behind"), "{}", refused.text());
    // What was bought before can be looked at and paid.
    let shown = ground.shop.order(&mut client, orders[0], 0).await.expect("an answer");
    assert_eq!(shown.status, 200, "{}", shown.text());
    let paid = ground.shop.step(&mut client, orders[0], 0, "pay").await.expect("an answer");
    assert_eq!(paid.status, 200, "{}", paid.text());

    proxy.restore();
    caught_up(&server).await;
    logged(&ground, BELOW).await;
    assert_eq!(server.get("/readyz").await.status, 200);
    ground.buy(&server, "beyond").await;
    server.stop().await;
    ground.audit().must_balance();
}
