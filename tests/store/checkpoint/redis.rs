//! The contract on a real Redis, and what only a server can do: be emptied, be slow, die, ask for
//! a password, speak TLS.

use super::random_shard::RandomShard;
use super::{Part, World, assert_loads, contract};
use domain::{Command, ShardId};
use harness::certificates;
use harness::{Redis, RedisOptions};
use seckill::store::checkpoint::{
    CheckpointError, CheckpointStore, Mark, SCRIPT_BYTES_MAX, Written, whole,
};
use seckill::store::journal::JournalId;
use seckill::store::redis_connection::RedisAddress;
use secrecy::SecretString;
use std::num::NonZeroU64;

/// The journal whose checkpoints these are.
pub const OURS: JournalId = JournalId(NonZeroU64::MIN);

fn open(redis: &Redis) -> CheckpointStore {
    open_as(redis, OURS)
}

pub fn open_as(redis: &Redis, journal: JournalId) -> CheckpointStore {
    CheckpointStore::open_redis(&SecretString::from(redis.url()), journal).expect("a Redis URL")
}

pub fn key(shard: ShardId) -> String {
    format!("seckill::checkpoint::{{shard-{shard}}}")
}

fn field(part: Part, number: u32) -> String {
    match part {
        Part::Header => "header".to_owned(),
        Part::Item => format!("i{number}"),
        Part::Chunk => format!("c{number}"),
        Part::Payments(order_id) => format!("p{order_id}"),
    }
}

impl World for Redis {
    async fn reopen(&self) -> CheckpointStore {
        open(self)
    }

    async fn lose(&self) {
        self.empty().expect("emptied");
    }

    async fn corrupt(&self, shard: ShardId, part: Part, number: u32) {
        const SCRIPT: &str = "local v = redis.call('HGET', KEYS[1], ARGV[1])
            return redis.call('HSET', KEYS[1], ARGV[1], v:sub(1, 9) .. 'Z' .. v:sub(11))";
        self.cli(&["eval", SCRIPT, "1", &key(shard), &field(part, number)]).expect("changed");
    }

    async fn remove(&self, shard: ShardId, part: Part, number: u32) {
        self.cli(&["hdel", &key(shard), &field(part, number)]).expect("removed");
    }
}

contract!(harness::redis());

/// A shard with so many orders that its increment does not fit one script.
pub fn shop_with_a_large_increment(shard: u16) -> RandomShard {
    let mut shop = RandomShard::new(shard, 1);
    shop.open(1, 1_000_000);
    for user in 0..=SCRIPT_BYTES_MAX as u64 / 40 {
        shop.buy(1, user);
    }
    shop
}

#[tokio::test]
async fn the_counters_are_readable_as_the_course_has_them() {
    let Some(redis) = harness::redis() else { return };
    let store = open(&redis);
    let counters = |item: u64| {
        let key = format!("seckill::product::product-{item}");
        let fields = ["sale_stock_amount", "locked_stock_amount", "saled_stock_amount", "item_id"];
        let values = redis.cli(&[&["hmget", &key], &fields[..]].concat()).expect("a hash");
        values.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut shop = RandomShard::new(0, 1);
    shop.open(1, 10);
    shop.open(2, 10);
    for user in 0..4 {
        shop.buy(1, user);
    }
    let order = shop.orders[0];
    shop.decide(&Command::Pay { order_id: order.0, user_id: order.1 });
    let changes = shop.stock.take_changes();
    assert_eq!(store.write(1, None, &changes).await, Ok(Written::Stored(shop.mark(1))));
    assert_eq!(counters(1), ["6", "3", "1", "1"]);
    assert_eq!(counters(2), ["10", "0", "0", "2"]);

    // In an increment too large for one script as well.
    let mut shop = shop_with_a_large_increment(1);
    shop.open(3, 7);
    let everything = whole(ShardId(1), shop.stock.snapshot());
    assert_eq!(store.write(1, None, &everything).await, Ok(Written::Stored(shop.mark(1))));
    assert_eq!(counters(3), ["7", "0", "0", "3"]);
}

#[tokio::test]
async fn a_large_increment_that_was_cut_off_is_read_and_finished() {
    let Some(redis) = harness::redis() else { return };
    let store = open(&redis);
    let mut shop = shop_with_a_large_increment(2);
    let everything = whole(ShardId(2), shop.stock.snapshot());
    assert_eq!(store.write(1, None, &everything).await, Ok(Written::Stored(shop.mark(1))));

    // As left by a writer that died before it folded: some fields are in the overlay alone.
    const UNFOLD: &str = "for number = 0, 999 do
            local field = 'c' .. number
            redis.call('HSET', KEYS[2], field, redis.call('HGET', KEYS[1], field))
            redis.call('HSET', KEYS[1], field, 'older')
        end
        return redis.call('HSET', KEYS[1], 'overlay', '1')";
    let overlay = format!("{}::overlay", key(ShardId(2)));
    let unfold = || redis.cli(&["eval", UNFOLD, "2", &key(ShardId(2)), &overlay]).expect("runs");
    unfold();
    assert_loads(&store, 1, &shop.stock).await;

    let _ = shop.stock.take_changes();
    let base = Some(shop.mark(1));
    shop.buy(1, 1 << 40);
    let changes = shop.stock.take_changes();
    assert_eq!(store.write(1, base, &changes).await, Ok(Written::Stored(shop.mark(1))));
    assert_eq!(redis.cli(&["exists", &overlay]).expect("asked"), "0", "folded");
    assert_loads(&store, 1, &shop.stock).await;

    // The overlay evicted: noticed by readers, and by the next increment.
    unfold();
    redis.cli(&["del", &overlay]).expect("deleted");
    let error = store.load(ShardId(2)).await.expect_err("must be noticed");
    assert!(matches!(error, CheckpointError::Corrupt(_)), "{error}");
    let base = shop.mark(1);
    shop.buy(1, 1 << 41);
    let changes = shop.stock.take_changes();
    assert_eq!(
        store.write(1, Some(base), &changes).await,
        Ok(Written::BaseMissing { stored: Some(base) })
    );
    let everything = whole(ShardId(2), shop.stock.snapshot());
    assert_eq!(store.write(1, None, &everything).await, Ok(Written::Stored(shop.mark(1))));
    assert_loads(&store, 1, &shop.stock).await;
    let staged = redis.cli(&["keys", "*staging*"]).expect("keys");
    assert_eq!(staged, "", "nothing is left behind");
}

#[tokio::test]
async fn a_mark_that_is_none_counts_as_no_checkpoint() {
    let Some(redis) = harness::redis() else { return };
    let store = open(&redis);
    let mut shop = RandomShard::new(3, 1);
    shop.open(1, 10);
    let everything = whole(ShardId(3), shop.stock.snapshot());
    redis.cli(&["hset", &key(ShardId(3)), "mark", "zebra"]).expect("set");
    let base = Some(Mark { epoch: 1, seq: 1 });
    assert_eq!(store.write(1, base, &everything).await, Ok(Written::BaseMissing { stored: None }));
    assert_eq!(store.write(1, None, &everything).await, Ok(Written::Stored(shop.mark(1))));
    assert_loads(&store, 1, &shop.stock).await;
}

#[tokio::test]
async fn a_redis_that_dies_is_unavailable_until_it_is_back() {
    let Some(redis) = harness::redis() else { return };
    let store = open(&redis);
    let mut shop = RandomShard::new(4, 1);
    shop.open(1, 10);
    let changes = shop.stock.take_changes();
    assert_eq!(store.write(1, None, &changes).await, Ok(Written::Stored(shop.mark(1))));
    let base = shop.mark(1);
    redis.kill();
    shop.buy(1, 1);
    let changes = shop.stock.take_changes();
    let error = store.write(1, Some(base), &changes).await.expect_err("it is dead");
    assert!(matches!(error, CheckpointError::Unavailable(_)), "{error}");
    assert!(store.load(ShardId(4)).await.is_err());
    redis.restart().expect("restarts");
    // The first call after the outage succeeds. This Redis keeps nothing, so it is empty.
    assert_eq!(
        store.write(1, Some(base), &changes).await,
        Ok(Written::BaseMissing { stored: None })
    );
    let everything = whole(ShardId(4), shop.stock.snapshot());
    assert_eq!(store.write(1, None, &everything).await, Ok(Written::Stored(shop.mark(1))));
}

#[tokio::test]
async fn a_write_waits_for_a_slow_redis() {
    let Some(redis) = harness::redis() else { return };
    let store = open(&redis);
    let mut shop = RandomShard::new(5, 1);
    shop.open(1, 10);
    let changes = shop.stock.take_changes();
    assert_eq!(store.marks(64).await, Ok(Vec::new()));
    redis.cli(&["client", "pause", "2000"]).expect("paused");
    assert_eq!(store.write(1, None, &changes).await, Ok(Written::Stored(shop.mark(1))));
}

#[tokio::test]
async fn a_password_is_needed_and_never_shown() {
    let options = RedisOptions { password: Some("hunter2".to_owned()), ..RedisOptions::default() };
    let Some(redis) = harness::required(Redis::start_with(options)) else { return };
    assert_eq!(open(&redis).marks(64).await, Ok(Vec::new()));
    let wrong = redis.url().replace("hunter2", "hunter3");
    let store = CheckpointStore::open_redis(&SecretString::from(wrong), OURS).expect("a Redis URL");
    let error = store.marks(64).await.expect_err("the wrong password");
    assert!(matches!(error, CheckpointError::Refused(_)), "{error}");
    assert!(!format!("{error} {error:?} {store:?}").contains("hunter"), "{error:?}");
}

#[tokio::test]
async fn tls_needs_a_certificate_that_is_trusted() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let (authority, key, certificate) = (path("ca.pem"), path("key.pem"), path("leaf.pem"));
    if !certificates::make(&path("ca-key.pem"), &authority, &key, &certificate) {
        println!("skipped: openssl is not installed");
        return;
    }
    let Some(redis) = harness::redis() else { return };
    // A second port, for TLS, beside the one that the harness speaks to.
    for (setting, value) in [
        ("tls-cert-file", certificate.as_str()),
        ("tls-key-file", &key),
        ("tls-ca-cert-file", &authority),
        ("tls-auth-clients", "no"),
    ] {
        redis.cli(&["config", "set", setting, value]).expect("set");
    }
    // Free as soon as the listener is dropped, at the end of the statement.
    let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = address.expect("a free port").port();
    redis.cli(&["config", "set", "tls-port", &port.to_string()]).expect("a TLS port");
    let url = SecretString::from(format!("rediss://127.0.0.1:{port}"));
    let trusting = RedisAddress {
        url: url.clone(),
        root_certificate: Some(std::fs::read(&authority).expect("the certificate")),
    };
    let store = CheckpointStore::open_redis(trusting, OURS).expect("a Redis URL");
    assert_eq!(store.marks(64).await, Ok(Vec::new()));
    let store = CheckpointStore::open_redis(&url, OURS).expect("a Redis URL");
    store.marks(64).await.expect_err("nobody vouches for the server");
}

#[tokio::test]
async fn a_key_that_holds_something_else_is_told_with_what_to_do() {
    let Some(redis) = harness::redis() else { return };
    let store = open(&redis);
    let mut shop = RandomShard::new(6, 1);
    shop.open(7, 100);
    redis.cli(&["set", &key(ShardId(6)), "garbage"]).expect("set");
    let changes = shop.stock.take_changes();
    let written = store.write(1, None, &changes).await.expect_err("it holds something else");
    let loaded = store.load(ShardId(6)).await.expect_err("it holds something else");
    for error in [written, loaded] {
        let told = error.to_string();
        assert!(told.contains("delete those that `redis-cli --scan"), "{told}");
    }
}
