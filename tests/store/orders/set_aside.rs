//! Records that contradict the tables and are kept there.

use super::Bench;
use super::rows::all;
use super::sample::{grants, item_record, order, record};
use domain::{Event, ItemAction, ItemId, Order, OrderId, Record, ShardId, UserId};
use seckill::store::database::Database;
use seckill::store::orders::{Applied, Conflicts, OrderStore, SetAside};
use support::engine::operated;

async fn apply(store: &OrderStore, records: &[Record], conflicts: Conflicts) -> Applied {
    store.apply(records, &[], conflicts).await.expect("the batch is applied")
}

async fn set_aside(store: &OrderStore) -> Vec<SetAside> {
    store.set_aside(usize::MAX).await.expect("they are read")
}

async fn records_set_aside(store: &OrderStore) -> Vec<Record> {
    set_aside(store).await.into_iter().map(|kept| kept.record).collect()
}

fn order_of(record: &Record) -> Order {
    match record.event {
        Event::Order(order) => order,
        _ => unreachable!("grants are orders"),
    }
}

/// Stores, under the identity of each, an order that nobody placed.
async fn contradict<'a>(store: &OrderStore, grants: impl IntoIterator<Item = &'a Record>) {
    let planted = |grant: &Record| {
        let order = order_of(grant);
        let user_id = UserId(order.user_id.0 + 1_000_000);
        record(grant.seq, Order { user_id, amount: 1, ..order })
    };
    let planted: Vec<Record> = grants.into_iter().map(planted).collect();
    let applied = apply(store, &planted, Conflicts::HandedBack).await;
    assert_eq!(applied.inserted, planted.len());
}

pub async fn a_conflict_is_kept_once_and_only_where_it_is_to_be(database: Database) {
    let store = OrderStore::new(&database);
    let records = grants(1, 3);
    contradict(&store, &records).await;
    let applied = apply(&store, &records, Conflicts::HandedBack).await;
    assert_eq!(applied.conflicts.len(), 3);
    assert_eq!(set_aside(&store).await, []);

    let kept_of = |record: &Record| SetAside {
        record: record.clone(),
        reason: format!("order {} is stored with other content", order_of(record).order_id),
    };
    let kept: Vec<SetAside> = records.iter().map(kept_of).collect();
    for _ in 0..3 {
        let twice = [&records[..], &records[..]].concat();
        let applied = apply(&store, &twice, Conflicts::Kept).await;
        assert!(applied.conflicts.len() >= 3);
        assert_eq!(set_aside(&store).await, kept);
    }
    assert_eq!(store.set_aside(2).await.as_deref(), Ok(&kept[..2]));

    // So are records of items, and those that can never be stored.
    let paused = item_record(2, 5, operated(ItemId(7), ItemAction::Pause));
    apply(&store, &[paused], Conflicts::Kept).await;
    let ended = item_record(2, 5, operated(ItemId(7), ItemAction::End));
    let misplaced = Record { shard: ShardId(3), ..record(u64::MAX >> 1, order(1, 9)) };
    apply(&store, &[misplaced.clone(), ended.clone()], Conflicts::Kept).await;
    assert_eq!(records_set_aside(&store).await[3..], [ended, misplaced]);
}

/// Many grants may take two ways into the tables.
pub async fn the_conflicts_of_a_large_batch_are_all_kept(database: Database) {
    let store = OrderStore::new(&database);
    let records = grants(1, 4_000);
    let wrong = [&records[100], &records[3_900]];
    contradict(&store, wrong).await;
    let progress = [(ShardId(1), 4_000)];
    for _ in 0..2 {
        let applied = store.apply(&records, &progress, Conflicts::Kept).await;
        assert_eq!(applied.expect("the batch is applied").conflicts.len(), 2);
        assert!(records_set_aside(&store).await.iter().eq(wrong));
        assert_eq!(store.progress().await, Ok(progress.to_vec()));
    }
}

pub async fn conflicts_are_kept_with_their_batch_or_not_at_all(bench: &Bench, database: Database) {
    let store = OrderStore::new(&database);
    let records = grants(1, 4_000);
    let wrong = [&records[100], &records[3_900]];
    contradict(&store, wrong).await;
    let progress = [(ShardId(1), 4_000)];

    // Where it cannot be kept, progress does not pass it.
    bench.execute("ALTER TABLE dead_letters RENAME TO elsewhere").await;
    store.apply(&records, &progress, Conflicts::Kept).await.expect_err("nowhere to keep it");
    assert_eq!(store.progress().await, Ok(vec![]));
    bench.execute("ALTER TABLE elsewhere RENAME TO dead_letters").await;

    // Where progress cannot pass, nothing is kept.
    bench.execute("ALTER TABLE shard_progress RENAME TO elsewhere").await;
    let batch = &records[..200];
    store.apply(batch, &progress, Conflicts::Kept).await.expect_err("no progress");
    assert_eq!(set_aside(&store).await, []);
    bench.execute("ALTER TABLE elsewhere RENAME TO shard_progress").await;

    store.apply(&records, &progress, Conflicts::Kept).await.expect("the batch is applied");
    assert!(records_set_aside(&store).await.iter().eq(wrong));
    assert_eq!(store.progress().await, Ok(progress.to_vec()));
}

pub async fn what_is_set_aside_stays_until_it_goes_in(bench: &Bench, database: Database) {
    let store = OrderStore::new(&database);
    let records = grants(1, 5);
    let (wrong, right) = records.split_at(3);
    contradict(&store, wrong).await;
    apply(&store, &records, Conflicts::Kept).await;
    let kept = set_aside(&store).await;
    assert_eq!(kept.len(), 3);
    assert_eq!(store.replay(usize::MAX).await, Ok(3));
    assert_eq!(set_aside(&store).await, kept);

    // The first and the second row are mended; the buyer's attempt of the second is taken since.
    let [first, second] = [order_of(&wrong[0]), order_of(&wrong[1])];
    for order in [first, second] {
        bench.execute(&format!("DELETE FROM orders WHERE order_id = {}", order.order_id)).await;
    }
    let thief = Order { order_id: OrderId(second.order_id.0 + 1), ..second };
    apply(&store, &[record(90, thief)], Conflicts::HandedBack).await;
    assert_eq!(store.replay(1).await, Ok(1));
    assert!(records_set_aside(&store).await.iter().eq(&wrong[1..]));
    let stored = store.order(first.order_id).await.expect("the order is read");
    assert_eq!(stored.map(|stored| stored.record()).as_ref(), Some(&wrong[0]));
    assert_eq!(store.replay(usize::MAX).await, Ok(2));
    let reason = format!("the buyer's attempt for this item is order {}", thief.order_id);
    let expected = [SetAside { record: wrong[1].clone(), reason }, kept[2].clone()];
    assert_eq!(set_aside(&store).await, expected);

    bench.execute("DELETE FROM orders WHERE amount = 1").await;
    bench.execute(&format!("DELETE FROM orders WHERE order_id = {}", thief.order_id)).await;
    assert_eq!(store.replay(usize::MAX).await, Ok(2));
    assert_eq!(store.replay(usize::MAX).await, Ok(0));
    assert_eq!(set_aside(&store).await, []);
    let rows: Vec<Record> = all(&store).await.iter().map(|row| row.record()).collect();
    assert_eq!(rows, [wrong, right].concat());
}
