//! How old what waits is, where the figures matter most: with the stores away since the start.

use super::ground::{Ground, caught_up};
use crate::support::{Server, Site, until};
use harness::Proxy;

/// Waits until this age has passed a second.
async fn grows(server: &Server, age: &str) {
    until(age, async || {
        let now = server.look("/readyz?verbose").await.json();
        (now[age].as_f64()? > 1.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ages_grow_while_the_stores_are_away_since_the_start() {
    let (Some(mariadb), Some(redis)) = (harness::mariadb(), harness::redis()) else { return };
    let (mariadb_proxy, redis_proxy) = (Proxy::to(mariadb.address()), Proxy::to(redis.address()));
    let site = Site::new()
        .with("ORDERS__MYSQL_URL", &mariadb_proxy.url_for(&mariadb.url()))
        .with("CHECKPOINT__REDIS_URL", &redis_proxy.url_for(&redis.url()))
        .with("ENGINE__DRAIN_TIMEOUT_MS", "100");
    let (ground, server) = Ground::open("ages", site).await;
    ground.buy(&server, "stored").await;
    caught_up(&server).await;
    mariadb_proxy.cut();
    redis_proxy.cut();
    ground.buy(&server, "waiting").await;
    server.stop().await;

    let server = ground.site.start().await;
    grows(&server, "backlog_age_seconds").await;
    grows(&server, "checkpoint_age_seconds").await;
    mariadb_proxy.restore();
    redis_proxy.restore();
    caught_up(&server).await;
    until("no age", async || {
        let now = server.look("/readyz?verbose").await.json();
        let age = |name: &str| now[name].as_f64();
        (age("backlog_age_seconds")? == 0.0 && age("checkpoint_age_seconds")? < 1.0).then_some(())
    })
    .await;
    server.stop().await;
    ground.audit().must_balance();
}
