//! The whole engine when its disk hangs or fails, and when its checkpoints know more than its journal.

use super::dice::Dice;
use super::engine::{House, options};
use domain::{ItemAction, ItemId, OrderStatus, Outcome};
use seckill::actors::{EngineOptions, NotDelivered, RecoveryError, Reply, StartError};
use seckill::store::journal::file::segment_name;
use simulation::disk::SimulatedDisk;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::engine::operate;
use support::terms;

const LIMIT: Duration = Duration::from_secs(10);

/// Looks until it is so, letting others work between two looks: for what does not announce itself.
async fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_sync_hangs_the_engine_sheds_and_confirms_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = SimulatedDisk::default();
    let options =
        EngineOptions { permits: 20, reply_timeout: Duration::from_millis(200), ..options() };
    let house =
        House::start(&disk, directory.path(), 1 << 20, options, false).await.expect("it starts");
    house.engine.open_item(terms(1, 1_000, 600_000)).await;
    let house = Arc::new(house);
    disk.hold_syncs();
    let buyers: Vec<_> = (1..=20)
        .map(|user| {
            let house = Arc::clone(&house);
            tokio::spawn(async move { house.buy(1, user, user).await })
        })
        .collect();
    wait_until(|| house.engine.status().permits_used == 20).await;
    // All permits are out: a caller who comes now is told so at once, without a timer.
    for user in 100..200 {
        let overloaded = Reply::NotDelivered(NotDelivered::Overloaded);
        assert_eq!(house.buy(1, user, user).await, overloaded);
    }
    assert_eq!(house.engine.status().permits_used, 20);
    // After the deadline those that wait learn that nobody knows, and none is confirmed.
    for buyer in buyers {
        assert_eq!(buyer.await.expect("an answer"), Reply::Unknown);
    }
    let counters = house.engine.gate(ItemId(1)).expect("open").counters();
    assert_eq!(
        (counters.available, counters.reserved),
        (1_000, 0),
        "only what is durable is shown"
    );
    assert_eq!(house.engine.status().permits_used, 20, "what waits for the disk is still bounded");
    disk.release_syncs();
    wait_until(|| house.engine.status().permits_used == 0).await;
    // It goes on, and the same requests get their orders.
    for user in 1..=20 {
        let reply = house.buy(1, user, user).await;
        assert!(matches!(reply, Reply::Decided(Outcome::Replayed(_))), "{reply:?}");
    }
    let reply = house.buy(1, 500, 500).await;
    assert!(matches!(reply, Reply::Decided(Outcome::Placed(_))), "{reply:?}");
    assert_eq!(house.failures.load(Ordering::Acquire), 0);
    house.engine.drain(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_the_engine_confirms_nothing_any_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = SimulatedDisk::default();
    let options = EngineOptions { reply_timeout: Duration::from_millis(200), ..options() };
    let house =
        House::start(&disk, directory.path(), 1 << 20, options, false).await.expect("it starts");
    house.engine.open_item(terms(1, 10, 600_000)).await;
    // The next segment is ready, so the next sync is a batch's.
    wait_until(|| disk.has(&segment_name(2))).await;
    disk.fail_sync(1);
    assert_eq!(house.buy(1, 1, 1).await, Reply::Unknown);
    wait_until(|| house.failures.load(Ordering::Acquire) == 1).await;
    let refused = Reply::NotDelivered(NotDelivered::ShuttingDown);
    assert_eq!(house.buy(1, 2, 2).await, refused);
    assert!(!house.engine.status().accepting);
    let after = disk.crash(&mut Dice::new(4));
    house.stop(Duration::from_millis(1)).await;
    let house =
        House::start(&after, directory.path(), 1 << 20, options, false).await.expect("it starts");
    let reply = house.buy(1, 1, 1).await;
    let decided = matches!(reply, Reply::Decided(Outcome::Placed(_) | Outcome::Replayed(_)));
    assert!(decided, "one order or none, and now one: {reply:?}");
    house.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_ahead_of_the_journal_are_refused_and_older_ones_are_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = SimulatedDisk::default();
    let start = |disk: &SimulatedDisk, with_backends| {
        let disk = disk.clone();
        let directory = directory.path().to_owned();
        async move { House::start(&disk, &directory, 1 << 20, options(), with_backends).await }
    };
    let house = start(&disk, false).await.expect("it starts");
    house.engine.open_item(terms(1, 10, 600_000)).await;
    house.stop(LIMIT).await;
    let early = disk.copy();
    // Four lives: checkpoints behind, written by a life that decides nothing, behind again, equal.
    for (user, with_backends) in [(1, false), (0, true), (2, false), (3, true)] {
        let house = start(&disk, with_backends).await.expect("it starts on its own data");
        if user > 0 {
            let reply = house.buy(1, user, user).await;
            assert!(matches!(reply, Reply::Decided(Outcome::Placed(_))), "{reply:?}");
        }
        if with_backends {
            wait_until(|| house.engine.status().checkpoint_age_seconds > 0.0).await;
            let gate = house.engine.gate(ItemId(1)).expect("open");
            assert_eq!(gate.counters().reserved, user as u32 + u32::from(user == 0));
        }
        house.stop(LIMIT).await;
    }
    for (lost, name) in [(early, "an older journal"), (SimulatedDisk::default(), "no journal")] {
        let refused = start(&lost, false).await.err();
        let ahead = Some(StartError::Recovery(RecoveryError::CheckpointAhead {
            shard: Default::default(),
            checkpoint_seq: 0,
            checkpoint_epoch: 0,
            journal_seq: 0,
            journal_epoch: 0,
        }));
        let same = refused.as_ref().map(std::mem::discriminant)
            == ahead.as_ref().map(std::mem::discriminant);
        assert!(same, "{name}: {refused:?}");
        let text = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("the journal has lost records"), "{name}: {text}");
    }
    let house = start(&disk, true).await.expect("its own data");
    house.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_paid_after_its_expiry_is_to_be_refunded_and_its_stock_returned_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = SimulatedDisk::default();
    let house =
        House::start(&disk, directory.path(), 1 << 20, options(), false).await.expect("it starts");
    house.engine.open_item(terms(1, 1, 1)).await;
    let Reply::Decided(Outcome::Placed(order)) = house.buy(1, 1, 1).await else {
        panic!("stock was left");
    };
    let gate = house.engine.gate(ItemId(1)).expect("open");
    wait_until(|| gate.counters().available == 1).await;
    let Reply::Decided(Outcome::Order(late)) = house.pay(&order).await else { panic!("no answer") };
    assert_eq!(late.status, OrderStatus::RefundDue);
    let Reply::Decided(Outcome::Order(again)) = house.pay(&order).await else {
        panic!("no answer")
    };
    assert_eq!(again, late);
    assert_eq!(gate.counters().available, 1, "returned once");
    house.operate(1, operate(ItemId(1), ItemAction::End)).await;
    house.stop(LIMIT).await;
}
