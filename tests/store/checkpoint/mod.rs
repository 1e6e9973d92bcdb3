//! What every checkpoint store must keep to, run on each of them: SQLite, and a real Redis.
//!
//! A failing run prints its seed; `SECKILL_SEED=<seed> cargo test` runs it again.

mod foreign;
mod random_shard;
mod redis;
mod sqlite;

use domain::stock::{CHUNK_ENTRIES, Snapshot};
use domain::{Command, OrderId, ShardId, Stock};
use rand::RngExt;
use random_shard::RandomShard;
use seckill::store::checkpoint::{CheckpointError, CheckpointStore, Mark, Written, whole};

const SHARDS: u16 = 64;

/// A store under test and what a hostile world can do to it.
trait World {
    /// Another handle to the same data, as after a restart of the process.
    async fn reopen(&self) -> CheckpointStore;
    /// Forgets everything.
    async fn lose(&self);
    /// Changes one byte of what is kept at this place.
    async fn corrupt(&self, shard: ShardId, part: Part, number: u32);
    /// Takes away what is kept at this place.
    async fn remove(&self, shard: ShardId, part: Part, number: u32);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Header,
    Item,
    Chunk,
    Payments(OrderId),
}

fn assert_same(loaded: &Snapshot, original: &Snapshot) {
    assert_eq!(loaded.seq, original.seq);
    assert_eq!(loaded.at, original.at);
    assert_eq!(loaded.last_order_id, original.last_order_id);
    assert_eq!(loaded.items, original.items);
    assert_eq!(loaded.chunks.len(), original.chunks.len());
    assert!(loaded.chunks == original.chunks, "the chunks differ");
    assert_eq!(loaded.payments.len(), original.payments.len());
    assert!(loaded.payments == original.payments, "the payments differ");
}

async fn assert_loads(store: &CheckpointStore, epoch: u64, stock: &Stock) {
    let (mark, snapshot) =
        store.load(stock.shard()).await.expect("loads").expect("there is a checkpoint");
    assert_eq!(mark, Mark { epoch, seq: stock.seq() });
    assert_same(&snapshot, &stock.snapshot());
    let restored = Stock::restore(stock.shard(), snapshot).expect("a sound checkpoint");
    assert_same(&restored.snapshot(), &stock.snapshot());
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SECKILL_SEED") {
        Ok(seed) => vec![seed.parse().expect("SECKILL_SEED is a number")],
        Err(_) => (0..count).map(|_| rand::random()).collect(),
    }
}

/// Random decisions, random increments, some of which fail to be acknowledged, some restarts.
async fn what_is_written_is_loaded(world: &impl World) {
    for seed in seeds(4) {
        println!("SECKILL_SEED={seed}");
        let mut store = world.reopen().await;
        let mut shop = RandomShard::new(1, seed);
        let mut base = None;
        world.lose().await;
        for round in 1_u64..=30 {
            for _ in 0..shop.random.random_range(0..400) {
                shop.step();
            }
            let changes = shop.stock.take_changes();
            let written = store.write(round, base, &changes).await.expect("a write");
            assert_eq!(written, Written::Stored(shop.mark(round)), "round {round}");
            match shop.random.random_range(0..4) {
                // The answer got lost: the caller does not know that it was stored.
                0 if base.is_some() => shop.stock.put_back(&changes),
                1 => {
                    store = world.reopen().await;
                    let shard = shop.stock.shard();
                    let (mark, snapshot) =
                        store.load(shard).await.expect("loads").expect("there is one");
                    shop.stock = Stock::restore(shard, snapshot).expect("sound");
                    base = Some(mark);
                }
                _ => base = Some(shop.mark(round)),
            }
            assert_loads(&store, round, &shop.stock).await;
        }
    }
}

async fn older_writes_are_refused(world: &impl World) {
    let store = world.reopen().await;
    let mut shop = RandomShard::new(2, 7);
    shop.open(1, 100);
    let early = whole(ShardId(2), shop.stock.snapshot());
    let early_mark = shop.mark(5);
    shop.buy(1, 1);
    let late = whole(ShardId(2), shop.stock.snapshot());
    let stored = shop.mark(5);
    assert_eq!(store.load(ShardId(2)).await.expect("loads").map(|(mark, _)| mark), None);
    assert_eq!(store.write(5, None, &late).await, Ok(Written::Stored(stored)));

    let stale = Ok(Written::Stale { stored });
    assert_eq!(store.write(5, None, &early).await, stale, "an older seq");
    assert_eq!(store.write(5, Some(early_mark), &early).await, stale, "an older increment");
    assert_eq!(store.write(4, None, &late).await, stale, "an older epoch");
    assert_loads(&store, 5, &shop.stock).await;

    // The same again, and by a later owner: both say the same state.
    assert_eq!(store.write(5, Some(stored), &late).await, Ok(Written::Stored(stored)));
    assert_eq!(store.write(6, Some(stored), &late).await, Ok(Written::Stored(shop.mark(6))));
    assert_eq!(
        store.write(5, Some(stored), &late).await,
        Ok(Written::Stale { stored: shop.mark(6) }),
        "the owner before",
    );
    assert_loads(&store, 6, &shop.stock).await;
    let marks = store.marks(SHARDS).await.expect("marks");
    assert!(marks.contains(&(ShardId(2), shop.mark(6))), "{marks:?}");
}

async fn an_increment_needs_its_base(world: &impl World) {
    let store = world.reopen().await;
    let mut shop = RandomShard::new(3, 8);
    shop.open(1, 1_000);
    for user in 0..200 {
        shop.buy(1, user);
    }
    let _ = shop.stock.take_changes();
    let base = shop.mark(1);
    assert_eq!(
        store.write(1, None, &whole(ShardId(3), shop.stock.snapshot())).await,
        Ok(Written::Stored(base))
    );
    world.lose().await;
    let store = world.reopen().await;
    shop.buy(1, 999);
    let changes = shop.stock.take_changes();
    assert_eq!(
        store.write(1, Some(base), &changes).await,
        Ok(Written::BaseMissing { stored: None })
    );
    assert_eq!(store.load(ShardId(3)).await.expect("loads").map(|(mark, _)| mark), None);
    let everything = whole(ShardId(3), shop.stock.snapshot());
    assert_eq!(store.write(1, None, &everything).await, Ok(Written::Stored(shop.mark(1))));
    assert_loads(&store, 1, &shop.stock).await;

    // A store that came back with older content is no base either.
    let ahead = Mark { epoch: 1, seq: shop.stock.seq() + 1 };
    shop.buy(1, 1_000);
    shop.buy(1, 1_001);
    let changes = shop.stock.take_changes();
    let stored = Some(Mark { epoch: 1, seq: ahead.seq - 1 });
    assert_eq!(store.write(1, Some(ahead), &changes).await, Ok(Written::BaseMissing { stored }));
}

async fn chunks_that_were_evicted_stay_gone(world: &impl World) {
    let store = world.reopen().await;
    let mut shop = RandomShard::new(4, 9);
    for item in [1, 2] {
        shop.open(item, 10_000);
        for user in 0..10 * CHUNK_ENTRIES as u64 {
            shop.buy(item, user);
        }
    }
    let changes = shop.stock.take_changes();
    assert_eq!(store.write(1, None, &changes).await, Ok(Written::Stored(shop.mark(1))));
    let base = shop.mark(1);
    shop.end_and_settle(1);
    let changes = shop.stock.take_changes();
    assert!(changes.chunks.iter().any(|(_, chunk)| chunk.is_none()));
    assert_eq!(store.write(1, Some(base), &changes).await, Ok(Written::Stored(shop.mark(1))));
    assert_loads(&store, 1, &shop.stock).await;
    // A whole checkpoint that is smaller than what was there leaves nothing of it behind.
    let mut smaller = RandomShard::new(4, 9);
    smaller.open(1, 10);
    let everything = whole(ShardId(4), smaller.stock.snapshot());
    assert_eq!(store.write(2, None, &everything).await, Ok(Written::Stored(smaller.mark(2))));
    assert_loads(&store, 2, &smaller.stock).await;
}

/// Payments stay for as long as money is to be given back, and the others go with their orders: in increments
/// that a Redis takes at once, and in larger ones.
async fn payments_stay_as_long_as_they_must(world: &impl World) {
    for (epoch, orders) in [(1, 50), (2, 20_000)] {
        let store = world.reopen().await;
        let mut shop = RandomShard::new(7, 12);
        shop.open(1, orders);
        let everything = whole(ShardId(7), shop.stock.snapshot());
        let _ = shop.stock.take_changes();
        let mark = shop.mark(epoch);
        assert_eq!(store.write(epoch, None, &everything).await, Ok(Written::Stored(mark)));
        for user in 0..u64::from(orders) {
            shop.buy(1, user);
        }
        let placed = shop.orders.clone();
        for order in &placed {
            shop.pay(*order);
        }
        // What comes besides has to go back.
        for (order_id, _) in &placed[3..5] {
            shop.note_money(*order_id, 1);
        }
        let (base, changes) = (mark, shop.stock.take_changes());
        let mark = shop.mark(epoch);
        assert_eq!(store.write(epoch, Some(base), &changes).await, Ok(Written::Stored(mark)));
        assert_loads(&store, epoch, &shop.stock).await;
        shop.end_and_settle(1);
        assert_eq!(shop.stock.payments().len(), 2);
        let (base, changes) = (mark, shop.stock.take_changes());
        assert_eq!(changes.payments.len(), orders as usize);
        let mark = shop.mark(epoch);
        assert_eq!(store.write(epoch, Some(base), &changes).await, Ok(Written::Stored(mark)));
        assert_loads(&store, epoch, &shop.stock).await;
    }
}

async fn what_is_corrupt_is_recognised(world: &impl World) {
    let store = world.reopen().await;
    let mut shop = RandomShard::new(5, 10);
    for item in 1..=3 {
        shop.open(item, 1_000);
    }
    for user in 0..300 {
        shop.buy(2, user);
    }
    for place in [0, 7] {
        shop.pay(shop.orders[place]);
    }
    let everything = whole(ShardId(5), shop.stock.snapshot());
    let places = [
        (Part::Header, 0),
        (Part::Item, 1),
        (Part::Chunk, 2),
        (Part::Chunk, 4),
        (Part::Payments(shop.orders[7].0), 0),
    ];
    for (round, (part, number)) in (1..).zip(places) {
        for (epoch, remove) in [(round * 2, false), (round * 2 + 1, true)] {
            let written = store.write(epoch, None, &everything).await;
            assert_eq!(written, Ok(Written::Stored(shop.mark(epoch))), "heals by writing all");
            assert_loads(&store, epoch, &shop.stock).await;
            if remove {
                world.remove(ShardId(5), part, number).await;
            } else {
                world.corrupt(ShardId(5), part, number).await;
            }
            let error = store.load(ShardId(5)).await.expect_err("must be noticed");
            assert!(
                matches!(error, CheckpointError::Corrupt(_)),
                "{part:?} {number} {remove}: {error}"
            );
        }
    }
}

/// An increment of some ten megabytes, as after a long outage; then small ones go on.
async fn a_large_increment_is_stored_whole(world: &impl World) {
    const BUYERS: u64 = 250_000;
    let store = world.reopen().await;
    let mut shop = RandomShard::new(6, 11);
    shop.open(1, 1_000_000);
    shop.buy(1, BUYERS);
    let changes = shop.stock.take_changes();
    assert_eq!(store.write(1, None, &changes).await, Ok(Written::Stored(shop.mark(1))));
    let base = shop.mark(1);
    for user in 0..BUYERS {
        shop.buy(1, user);
    }
    let changes = shop.stock.take_changes();
    assert_eq!(store.write(1, Some(base), &changes).await, Ok(Written::Stored(shop.mark(1))));
    assert_loads(&store, 1, &shop.stock).await;
    let stale = Written::Stale { stored: shop.mark(1) };
    assert_eq!(store.write(0, None, &changes).await, Ok(stale), "an older large one");
    let base = shop.mark(1);
    shop.buy(1, BUYERS + 1);
    let order = shop.orders[0];
    shop.decide(&Command::Pay { order_id: order.0, user_id: order.1 });
    let changes = shop.stock.take_changes();
    assert_eq!(store.write(1, Some(base), &changes).await, Ok(Written::Stored(shop.mark(1))));
    assert_loads(&store, 1, &shop.stock).await;
    let everything = whole(ShardId(6), shop.stock.snapshot());
    assert_eq!(store.write(2, None, &everything).await, Ok(Written::Stored(shop.mark(2))));
    assert_loads(&world.reopen().await, 2, &shop.stock).await;
    store.harden().await.expect("hardens");
}

/// Makes each check of the contract a test of its own in this world, which may be none.
macro_rules! contract {
    ($world:expr => $($check:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $check() {
            let Some(world) = $world else { return };
            super::$check(&world).await;
        }
    )*};
    ($world:expr) => {
        contract!($world =>
            what_is_written_is_loaded,
            older_writes_are_refused,
            an_increment_needs_its_base,
            chunks_that_were_evicted_stay_gone,
            payments_stay_as_long_as_they_must,
            what_is_corrupt_is_recognised,
            a_large_increment_is_stored_whole,
        );
    };
}
use contract;
