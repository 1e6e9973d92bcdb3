//! Redis dies, forgets, is slow, and holds what is older, newer or damaged.

use super::ground::{self, Ground, caught_up, degraded};
use crate::support::until;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_dies_forgets_and_is_slow_and_no_purchase_notices() {
    let Some((mut ground, server)) = ground::open("redis").await else { return };
    let servers = ground.servers;
    ground.trade(&server, 100).await;
    servers.redis.kill();
    ground.trade(&server, 300).await;
    degraded(&server, "checkpoint").await;
    servers.redis.restart().expect("it comes back");
    caught_up(&server).await;

    // What an increment builds on is gone: all is written once more.
    servers.redis.empty().expect("emptied");
    ground.trade(&server, 100).await;
    checkpoint_of_every_item(&ground).await;
    server.stop().await;
    servers.redis.empty().expect("emptied");
    let server = ground.site.start().await;
    ground.witness.verify(&server, &ground.shop).await;

    // There and back.
    servers.redis_proxy.delay(Duration::from_millis(2_500));
    ground.trade(&server, 500).await;
    servers.redis_proxy.restore();
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_checkpoint_is_caught_up_with_and_a_damaged_one_does_without() {
    let Some((mut ground, server)) = ground::open("old checkpoint").await else { return };
    let servers = ground.servers;
    ground.trade(&server, 200).await;
    checkpoint_of_every_item(&ground).await;
    server.stop().await;
    for key in keys(&ground) {
        servers.redis.cli(&["copy", &key, &key, "db", "1"]).expect("copied");
    }
    let older = marks(&ground);

    let server = ground.site.start().await;
    ground.trade(&server, 200).await;
    moved_on(&ground, &older).await;
    server.stop().await;
    servers.redis.cli(&["swapdb", "0", "1"]).expect("swapped");
    assert_eq!(marks(&ground), older, "what a restart finds");
    let server = ground.site.start().await;
    ground.witness.verify(&server, &ground.shop).await;
    ground.trade(&server, 100).await;
    moved_on(&ground, &older).await;
    server.stop().await;

    for key in checkpoint_keys(&ground) {
        servers.redis.cli(&["hset", &key, "header", "no header"]).expect("damaged");
    }
    let server = ground.site.start().await;
    ground.site.logged("recovering without the checkpoint").await;
    ground.witness.verify(&server, &ground.shop).await;
    ground.trade(&server, 100).await;
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_ahead_of_the_journal_keeps_the_shop_closed() {
    let Some((mut ground, server)) = ground::open("new checkpoint").await else { return };
    ground.trade(&server, 200).await;
    checkpoint_of_every_item(&ground).await;
    server.stop().await;
    let data = ground.site.data().to_owned();
    let (older, newer) = (ground.site.path("older"), ground.site.path("newer"));
    copy(&data, &older);
    let before = marks(&ground);
    let server = ground.site.start().await;
    ground.trade(&server, 200).await;
    moved_on(&ground, &before).await;
    server.stop().await;

    // The data directory comes from an older copy: it lacks what was confirmed since.
    std::fs::rename(&data, &newer).expect("set aside");
    std::fs::rename(&older, &data).expect("put in its place");
    let logged = ground.site.log().len();
    ground.site.fail_to_start().await;
    let complaint = ground.site.log().split_off(logged);
    assert!(complaint.contains("the checkpoint of shard"), "{complaint}");
    assert!(complaint.contains("the journal has lost records"), "{complaint}");

    std::fs::remove_dir_all(&data).expect("removed");
    std::fs::rename(&newer, &data).expect("put back");
    let server = ground.site.start().await;
    ground.trade(&server, 100).await;
    ground.close(server).await;
}

/// Waits until each shard that sells has a checkpoint.
pub async fn checkpoint_of_every_item(ground: &Ground) {
    until("checkpoints", async || (!marks(ground).is_empty()).then_some(())).await;
}

/// Waits until a checkpoint is newer than these.
async fn moved_on(ground: &Ground, marks_before: &[String]) {
    until("newer checkpoints", async || (marks(ground) != marks_before).then_some(())).await;
}

fn keys(ground: &Ground) -> Vec<String> {
    let keys = ground.servers.redis.cli(&["keys", "seckill::*"]).expect("keys");
    let mut keys: Vec<String> = keys.lines().map(str::to_owned).collect();
    keys.sort();
    keys
}

/// The keys of the checkpoints.
pub fn checkpoint_keys(ground: &Ground) -> Vec<String> {
    keys(ground).into_iter().filter(|key| key.starts_with("seckill::checkpoint")).collect()
}

/// How far each shard's checkpoint reaches.
fn marks(ground: &Ground) -> Vec<String> {
    let mark = |key: String| ground.servers.redis.cli(&["hget", &key, "mark"]).expect("a mark");
    checkpoint_keys(ground).into_iter().map(mark).collect()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().expect("it runs");
    assert!(status.success(), "{status}");
}
