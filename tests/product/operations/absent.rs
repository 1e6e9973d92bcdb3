//! Servers that are not there when the shop opens: told at once, in few words, and made up for when they
//! come.

use crate::support::{Site, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_database_is_named_and_the_demo_comes_when_it_does() {
    let Some(mariadb) = harness::mariadb() else { return };
    let site = Site::new().with("ORDERS__MYSQL_URL", &mariadb.url()).with("DEMO__ENABLED", "true");
    mariadb.kill();
    let server = site.start().await;
    let place = mariadb.address().to_string();
    assert!(site.log().contains(&place), "{place} is not in\n{}", site.log());
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
