//! Servers that are not there when the shop opens: told at once, in few words, and made up for when they
//! come.

use crate::support::{Server, Site, until};
use std::net::TcpListener;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_database_is_named_and_the_demo_comes_when_it_does() {
    let Some(mariadb) = harness::mariadb() else { return };
    let site = Site::new().with("ORDERS__MYSQL_URL", &mariadb.url()).with("DEMO__ENABLED", "true");
    mariadb.kill();
    let server = site.start().await;
    let place = mariadb.address().to_string();
    site.logged(&place).await;
    assert!(!site.log().contains("pool timed out"), "{}", site.log());
    mariadb.restart().expect("it comes back");
    until("the demo", async || {
        let sales = server.get("/api/v1/sales").await;
        (sales.status == 200 && sales.text().contains("Flash sale")).then_some(())
    })
    .await;
    server.stop().await;
    site.audit([]).must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_redis_is_one_line_and_a_first_start_raises_no_alarm() {
    let (Some(redis), Some(rabbitmq)) = (harness::redis(), harness::rabbitmq()) else { return };
    let site = Site::new()
        .with("ENGINE__SHARDS", "64")
        .with("CHECKPOINT__REDIS_URL", &redis.url())
        .with("BROKER__AMQP_URL", &rabbitmq.url())
        .with("DEMO__ENABLED", "true");
    let server = site.start().await;
    until("the demo's items to be stored", async || {
        let now = server.look("/readyz?verbose").await.json();
        (now["status"] == "ready" && now["backlog_records"] == 0).then_some(())
    })
    .await;
    server.stop().await;
    let alarms = |log: &str| {
        let lines = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(alarms(&site.log()), Vec::<String>::new());

    redis.kill();
    let server = site.start().await;
    server.stop().await;
    let lines = alarms(&site.log());
    let about = lines.iter().filter(|line| line.contains("without the checkpoint")).count();
    assert_eq!(about, 1, "{lines:#?}");
}

/// The state of one of the shop's dependencies: whether it is well, and what that means.
async fn state(server: &Server, name: &str) -> Option<(bool, String)> {
    let now = server.look("/readyz?verbose").await.json();
    let found = now["dependencies"].as_array()?.iter().find(|found| found["name"] == name)?.clone();
    Some((found["healthy"] == true, found["meaning"].as_str()?.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_go_are_told_where_nothing_is_sold() {
    let (Some(redis), Some(mariadb)) = (harness::redis(), harness::mariadb()) else { return };
    let site = Site::new()
        .with("CHECKPOINT__REDIS_URL", &redis.url())
        .with("ORDERS__MYSQL_URL", &mariadb.url());
    let server = site.start().await;
    let well = async || {
        until("all to be well", async || {
            (server.get("/readyz").await.text() == "ok\n").then_some(())
        })
        .await;
    };
    well().await;
    mariadb.kill();
    for name in ["catalogue", "order_store"] {
        until(name, async || {
            let (is_well, meaning) = state(&server, name).await?;
            (!is_well && meaning.contains(&mariadb.address().to_string())).then_some(())
        })
        .await;
    }
    mariadb.restart().expect("it comes back");
    well().await;
    mariadb.freeze();
    for name in ["catalogue", "order_store"] {
        until(name, async || {
            let (is_well, meaning) = state(&server, name).await?;
            (!is_well && meaning.contains("no answer")).then_some(())
        })
        .await;
    }
    mariadb.thaw();
    well().await;
    redis.kill();
    until("checkpoint", async || (!state(&server, "checkpoint").await?.0).then_some(())).await;
    redis.restart().expect("it comes back");
    well().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_asked_yet_is_not_called_well() {
    let Some(mariadb) = harness::mariadb() else { return };
    let site = Site::new().with("ORDERS__MYSQL_URL", &mariadb.url());
    site.start().await.stop().await;
    // It takes connections and answers nothing, so that it is still being asked when the shop listens.
    mariadb.kill();
    let silent = TcpListener::bind(mariadb.address()).expect("its address");
    let server = site.start().await;
    for name in ["catalogue", "order_store"] {
        let (is_well, meaning) = state(&server, name).await.expect("it is named");
        assert!(!is_well, "{name}: {meaning}");
    }
    assert_eq!(server.get("/readyz").await.text(), "degraded\n");
    drop(silent);
    server.kill().await;
}
