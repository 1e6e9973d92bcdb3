//! Two shops at one server: the second stays closed, or waits, and the first notices nothing.

use super::ground::{self, Ground, caught_up, degraded, meaning};
use super::redis::{checkpoint_keys, checkpoint_of_every_item};
use crate::support::{Offer, Site, until};
use harness::Redis;

const OFFER: Offer = Offer { allotted: 100_000, limit: 10_000, window_seconds: 600 };
/// Exit code of what cannot be used as it is.
const DATA: i32 = 4;
/// A journal that no test has.
const ANOTHER: &str = "00000000000000ff";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_shops_checkpoint_keeps_a_second_shop_closed() {
    let Some((mut ground, server)) = ground::open("two shops, one redis").await else { return };
    let redis = &ground.servers.redis;
    ground.trade(&server, 100).await;
    checkpoint_of_every_item(&ground).await;
    server.stop().await;
    let before = checkpoints(redis);

    let mut second = Site::new().with("CHECKPOINT__REDIS_URL", &redis.url());
    refused(
        &second,
        &[
            "was made from journal",
            &identity(&ground.site),
            "means: nothing listens and nothing is sold",
            "to do: give this shop a Redis database of its own",
            "delete its keys `seckill::checkpoint::*`",
        ],
    )
    .await;
    assert_eq!(checkpoints(redis), before, "the first shop's checkpoints");
    second.set("CHECKPOINT__REDIS_URL", &format!("{}1", redis.url()));
    let (server, _) = second.open_shop(1, &[OFFER]).await;
    server.stop().await;
    second.audit([]).must_balance();
    assert_eq!(checkpoints(redis), before, "the first shop's checkpoints");

    let server = ground.site.start().await;
    ground.trade(&server, 100).await;
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_shops_checkpoint_during_a_sale_is_told_and_left_alone() {
    let Some((mut ground, server)) = ground::open("a foreign checkpoint").await else { return };
    server.stop().await;
    // Every now and then a shard dies, and is rebuilt beside what is not its own.
    let server = ground.site.start_with("shard-handle=0.1%return").await;
    let redis = &ground.servers.redis;
    checkpoint_of_every_item(&ground).await;
    for key in checkpoint_keys(&ground) {
        redis.cli(&["hset", &key, "journal", ANOTHER]).expect("given away");
    }
    ground.trade(&server, 50).await;
    degraded(&server, "checkpoint").await;
    let told = meaning(&server, "checkpoint").await;
    for words in ["the sale goes on", "a restart is refused", ANOTHER] {
        assert!(told.contains(words), "{words:?} is not in {told:?}");
    }
    let before = foreign(redis);
    let mut crowd = ground.enter(&server);
    ground.site.logged("recovering without the checkpoint").await;
    crowd.answers(100).await;
    assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", ground.site.log());
    crowd.leave().await;
    assert_eq!(foreign(redis), before, "the other shop's checkpoints");
    assert!(!before.is_empty());

    // The other shop is gone for good.
    for key in checkpoint_keys(&ground) {
        redis.cli(&["del", &key]).expect("deleted");
    }
    ground.trade(&server, 50).await;
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_shops_orders_keep_a_second_shop_closed() {
    let Some((mut ground, server)) = ground::open("two shops, one mariadb").await else { return };
    let servers = ground.servers;
    ground.trade(&server, 100).await;
    caught_up(&server).await;
    server.stop().await;
    let before = rows(&ground);

    // As when the volume with the data directory was not mounted.
    let mut second = Site::new().with("ORDERS__MYSQL_URL", &servers.mariadb.url());
    let words = [
        "the order store was filled from journal",
        &identity(&ground.site),
        "means: nothing listens and nothing is sold",
        "to do: give this shop a database of its own (orders.mysql_url)",
    ];
    refused(&second, &words).await;
    assert_eq!(rows(&ground), before, "the first shop's orders");
    let audited = second.run(&["audit"]);
    assert_eq!(audited.status.code(), Some(DATA));
    let audited = String::from_utf8_lossy(&audited.stderr).into_owned();
    assert!(audited.contains("the order store was filled from journal"), "{audited}");

    // Filled by a version that did not say whose it is, but with more than this journal has.
    servers.mariadb.execute("DELETE FROM journal").expect("unsaid");
    refused(&second, &["but the journal ends at record 0"]).await;
    second.set("ORDERS__MYSQL_URL", &servers.mariadb_proxy.url_for(&servers.mariadb.url()));
    let server = ground.site.start().await;
    assert_eq!(rows(&ground), before, "its own journal takes it");
    ground.trade(&server, 100).await;
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_shops_orders_that_come_back_during_a_sale_are_left_alone() {
    let Some((mut ground, server)) = ground::open("a foreign order store").await else { return };
    let servers = ground.servers;
    ground.trade(&server, 100).await;
    caught_up(&server).await;
    let own = identity(&ground.site);
    assert_eq!(servers.mariadb.execute("SELECT identity FROM journal").expect("read"), own);
    server.stop().await;

    // Away at the start, and somebody else's when it is back.
    servers.mariadb_proxy.cut();
    servers.mariadb.execute(&format!("UPDATE journal SET identity = '{ANOTHER}'")).expect("given");
    let before = rows(&ground);
    let server = ground.site.start().await;
    ground.trade(&server, 100).await;
    servers.mariadb_proxy.restore();
    until("the order store to be told apart", async || {
        let told = meaning(&server, "order_store").await;
        (told.contains("orders wait in the journal") && told.contains(ANOTHER)).then_some(())
    })
    .await;
    ground.trade(&server, 100).await;
    assert!(server.figure("seckill_backlog_records").await > 0);
    assert_eq!(rows(&ground), before, "the other shop's orders");

    // As a version left it that did not say whose it is: it is taken, without a restart.
    servers.mariadb.execute("DELETE FROM journal").expect("unsaid");
    caught_up(&server).await;
    assert_eq!(servers.mariadb.execute("SELECT identity FROM journal").expect("read"), own);
    ground.close(server).await;
}

/// Starts it, which must not go well, and looks for these words in what it says.
async fn refused(site: &Site, words: &[&str]) {
    let status = site.fail_to_start().await;
    let log = site.log();
    assert_eq!(status.code(), Some(DATA), "{log}");
    for words in words {
        assert!(log.contains(words), "{words:?} is not in\n{log}");
    }
}

/// What its data directory says which journal it is.
fn identity(site: &Site) -> String {
    let text = std::fs::read_to_string(site.data().join("identity")).expect("an identity");
    text.trim().to_owned()
}

/// The checkpoints in the first database of the server, with what they hold.
fn checkpoints(redis: &Redis) -> Vec<String> {
    const SCRIPT: &str = "local keys = redis.call('KEYS', 'seckill::checkpoint::*')
        table.sort(keys)
        for place, key in ipairs(keys) do
            local content = redis.call('HGETALL', key)
            table.sort(content)
            local owner = redis.call('HGET', key, 'journal')
            keys[place] = owner .. ' ' .. key .. redis.sha1hex(table.concat(content, ' '))
        end
        return keys";
    let found = redis.cli(&["eval", SCRIPT, "0"]).expect("listed");
    found.lines().map(str::to_owned).collect()
}

/// Those of the other shop.
fn foreign(redis: &Redis) -> Vec<String> {
    checkpoints(redis).into_iter().filter(|found| found.starts_with(ANOTHER)).collect()
}

/// What the order store says of orders and of how far it has come.
fn rows(ground: &Ground) -> [String; 3] {
    [
        "SELECT * FROM orders ORDER BY order_id",
        "SELECT * FROM shard_progress ORDER BY shard",
        "SELECT * FROM item_events ORDER BY shard, seq",
    ]
    .map(|statement| ground.servers.mariadb.execute(statement).expect("read"))
}
