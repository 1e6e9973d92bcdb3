//! Two journals at one Redis: neither reads or changes what the other keeps there.

use super::assert_loads;
use super::random_shard::RandomShard;
use super::redis::{OURS, key, open_as, shop_with_a_large_increment};
use domain::ShardId;
use harness::Redis;
use seckill::store::checkpoint::{CheckpointError, Written, whole};
use seckill::store::journal::JournalId;
use std::num::NonZeroU64;

const THEIRS: JournalId = JournalId(NonZeroU64::MAX);

/// Every key with what it holds.
fn content(redis: &Redis) -> String {
    const SCRIPT: &str = "local keys = redis.call('KEYS', '*')
        table.sort(keys)
        for place, key in ipairs(keys) do
            local content = redis.call('HGETALL', key)
            table.sort(content)
            keys[place] = key .. ' ' .. redis.sha1hex(table.concat(content, ' '))
        end
        return keys";
    redis.cli(&["eval", SCRIPT, "0"]).expect("listed")
}

#[tokio::test]
async fn another_journals_checkpoint_is_neither_read_nor_changed() {
    let Some(redis) = harness::redis() else { return };
    let (ours, theirs) = (open_as(&redis, OURS), open_as(&redis, THEIRS));
    let mut shop = RandomShard::new(0, 1);
    shop.open(1, 10);
    let everything = whole(ShardId(0), shop.stock.snapshot());
    assert_eq!(ours.write(3, None, &everything).await, Ok(Written::Stored(shop.mark(3))));
    let before = content(&redis);

    let foreign = CheckpointError::Foreign { shard: ShardId(0), owner: OURS, ours: THEIRS };
    assert_eq!(theirs.load(ShardId(0)).await.err(), Some(foreign.clone()));
    assert_eq!(theirs.marks(64).await, Err(foreign.clone()));
    // Whatever it writes: less, more, the same; all, or an increment on what it takes for its own.
    let base = shop.mark(3);
    let large = shop_with_a_large_increment(0);
    let mut small = RandomShard::new(0, 2);
    small.open(2, 10);
    small.buy(2, 1);
    for stock in [&small.stock, &large.stock, &shop.stock] {
        let everything = whole(ShardId(0), stock.snapshot());
        for epoch in [1, 3, 9] {
            for base in [None, Some(base)] {
                let written = theirs.write(epoch, base, &everything).await;
                assert_eq!(written, Err(foreign.clone()), "epoch {epoch} base {base:?}");
            }
        }
    }
    assert_eq!(content(&redis), before, "something was changed");
    // Not a mark is needed to be somebody's.
    redis.cli(&["hset", &key(ShardId(0)), "mark", "zebra"]).expect("damaged");
    assert_eq!(theirs.write(1, None, &everything).await, Err(foreign));
    assert_eq!(ours.write(3, None, &everything).await, Ok(Written::Stored(shop.mark(3))));
    assert_loads(&ours, 3, &shop.stock).await;
}

#[tokio::test]
async fn a_large_checkpoint_names_its_journal_as_well() {
    let Some(redis) = harness::redis() else { return };
    let (ours, theirs) = (open_as(&redis, OURS), open_as(&redis, THEIRS));
    let shop = shop_with_a_large_increment(1);
    let everything = whole(ShardId(1), shop.stock.snapshot());
    assert_eq!(ours.write(1, None, &everything).await, Ok(Written::Stored(shop.mark(1))));
    assert_loads(&ours, 1, &shop.stock).await;
    let foreign = CheckpointError::Foreign { shard: ShardId(1), owner: OURS, ours: THEIRS };
    assert_eq!(theirs.write(2, None, &everything).await, Err(foreign.clone()));
    assert_eq!(theirs.load(ShardId(1)).await.err(), Some(foreign));
}

#[tokio::test]
async fn of_two_journals_that_write_at_once_one_has_the_shard() {
    let Some(redis) = harness::redis() else { return };
    let mut shop = RandomShard::new(2, 1);
    shop.open(1, 10);
    let everything = whole(ShardId(2), shop.stock.snapshot());
    for _ in 0..20 {
        redis.empty().expect("emptied");
        let (ours, theirs) = (open_as(&redis, OURS), open_as(&redis, THEIRS));
        let (first, second) =
            tokio::join!(ours.write(1, None, &everything), theirs.write(1, None, &everything));
        let stored = Ok(Written::Stored(shop.mark(1)));
        let shard = ShardId(2);
        match (first == stored, second == stored) {
            (true, false) => {
                let foreign = CheckpointError::Foreign { shard, owner: OURS, ours: THEIRS };
                assert_eq!(second, Err(foreign));
            }
            (false, true) => {
                let foreign = CheckpointError::Foreign { shard, owner: THEIRS, ours: OURS };
                assert_eq!(first, Err(foreign));
            }
            _ => panic!("{first:?} {second:?}"),
        }
    }
}

/// As a version left it that did not name the journal, or as damaged.
#[tokio::test]
async fn a_checkpoint_that_names_no_journal_counts_as_none() {
    let Some(redis) = harness::redis() else { return };
    let store = open_as(&redis, OURS);
    let key = key(ShardId(3));
    let mut shop = RandomShard::new(3, 1);
    shop.open(1, 10);
    let tampered: [&[&str]; 2] = [&["hdel", &key, "journal"], &["hset", &key, "journal", "zebra"]];
    for (tampering, epoch) in tampered.into_iter().zip(2..) {
        let everything = whole(ShardId(3), shop.stock.snapshot());
        assert_eq!(store.write(9, None, &everything).await, Ok(Written::Stored(shop.mark(9))));
        redis.cli(tampering).expect("tampered");
        let error = store.load(ShardId(3)).await.expect_err("not to be relied on");
        assert!(matches!(error, CheckpointError::Corrupt(_)), "{error}");
        assert_eq!(store.marks(64).await, Ok(Vec::new()));
        shop.buy(1, epoch);
        let base = Some(shop.mark(9));
        let changes = shop.stock.take_changes();
        let written = store.write(epoch, base, &changes).await;
        assert_eq!(written, Ok(Written::BaseMissing { stored: None }));
        // Its mark counts for nothing, be it as late as it may.
        let everything = whole(ShardId(3), shop.stock.snapshot());
        let written = store.write(epoch, None, &everything).await;
        assert_eq!(written, Ok(Written::Stored(shop.mark(epoch))));
        assert_loads(&store, epoch, &shop.stock).await;
    }
}
