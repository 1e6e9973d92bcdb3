//! The whole engine, crashed at random moments: what any client was told holds after the restart
//! (I1 to I3, I5 to I7, I9, I10, I14, I15, I17), and then a valid purchase succeeds (I16).

use super::dice::{Dice, Told, seeds};
use super::engine::{House, options};
use crate::seen::Seen;
use domain::invariants::{self, Invariant, Ledger};
use domain::{
    Command, ItemAction, ItemId, Order, Outcome, PaymentId, PaymentNotice, PaymentReference,
    PaymentResult, PaymentState, ProviderName, Record, Refusal, ShardId, Stock,
};
use parking_lot::Mutex;
use seckill::actors::{Engine, Reply};
use seckill::store::journal::file;
use seckill::store::journal::record::each_record;
use simulation::disk::SimulatedDisk;
use std::sync::Arc;
use std::time::Duration;
use support::engine::{SHARDS, guarded, operate};
use support::terms;

const ITEMS: u64 = 5;
const USERS: u64 = 12;

/// One client's doings until the power goes.
async fn client(house: Arc<House>, seen: Arc<Mutex<Seen>>, mut dice: Dice, steps: u64) {
    for _ in 0..steps {
        let item = 1 + dice.below(ITEMS);
        let known: Vec<Order> = seen.lock().orders.values().copied().collect();
        let any = (!known.is_empty()).then(|| known[dice.below(known.len() as u64) as usize]);
        let item_id = ItemId(item);
        let reply = match (dice.below(20), any) {
            (0..8, _) | (_, None) => {
                let user = 1 + dice.below(USERS);
                // A client keeps its key for an item, so some of these are repeats.
                let reply = house.buy(item, user, item * 100 + dice.below(3)).await;
                if let Reply::Decided(Outcome::Refused(Refusal::IdempotencyKeyReused)) = reply {
                    panic!("the key was used for this item only");
                }
                reply
            }
            (8..11, Some(order)) => {
                let (item, user) = (order.item_id.0, order.user_id.0);
                let reply = house.buy(item, user, order.request_id.0).await;
                match reply {
                    Reply::Decided(Outcome::Replayed(again)) => {
                        assert!(again.same_purchase(&order), "a repeat gets the same order");
                    }
                    Reply::Decided(other) => panic!("repeat of {order:?}: {other:?}"),
                    Reply::NotDelivered(_) | Reply::Unknown => {}
                }
                reply
            }
            (11..13, Some(order)) => house.pay(&order).await,
            (13, Some(order)) => {
                // A provider tells again and again, so some of it is money that came before.
                let command = money(&order, dice.below(3));
                house.engine.decide_order(order.order_id, command).await
            }
            (14..16, Some(order)) => house.cancel(&order).await,
            (16, _) => house.operate(item, operate(item_id, ItemAction::Restock(3))).await,
            (18, _) => {
                let admission = guarded(dice.below(3) as u32);
                house.operate(item, operate(item_id, ItemAction::Admit(admission))).await
            }
            (17, _) => house.operate(item, operate(item_id, ItemAction::Pause)).await,
            _ => house.operate(item, operate(item_id, ItemAction::Resume)).await,
        };
        match reply {
            Reply::Decided(
                Outcome::Placed(order)
                | Outcome::Replayed(order)
                | Outcome::Order(order)
                | Outcome::Refused(Refusal::OrderClosed(order)),
            ) => seen.lock().note(&order),
            Reply::Decided(Outcome::Payment(paid)) => seen.lock().note_money(&paid),
            Reply::Decided(_) => {}
            Reply::NotDelivered(_) | Reply::Unknown => return,
        }
    }
}

/// A provider tells that an order's price has come, under the name of this number.
fn money(order: &Order, named: u64) -> Command {
    let Order { order_id, amount, currency, .. } = *order;
    Command::NotePayment(Box::new(PaymentNotice {
        id: PaymentId { order_id, number: 1 },
        provider: ProviderName::sandbox(),
        reference: PaymentReference::parse(&format!("P{named}")).expect("a name"),
        result: PaymentResult::Captured { amount, currency },
        stored: None,
    }))
}

/// What the journal says, judged, against what clients were told.
fn judge(disk: &SimulatedDisk, seen: &Seen) -> Vec<Record> {
    let mut ledger = Ledger::default();
    let mut records = Vec::new();
    let mut epoch = 0;
    file::scan(disk, |_, link, payload| {
        assert!(link.epoch >= epoch, "{}: an older owner's frame", Invariant::I15);
        epoch = link.epoch;
        for found in each_record(payload) {
            let found = found?;
            ledger.record(&found);
            records.push(found);
        }
        Ok(())
    })
    .expect("what is left can be read");
    ledger.judge_money();
    for (rule, finding) in ledger.findings() {
        assert_eq!(finding.first, None, "{rule}");
    }
    for id in &seen.money {
        let on_record = ledger.payments().get(id).map(|payment| payment.state);
        let is_counted = on_record.is_some_and(PaymentState::has_money);
        assert!(
            is_counted,
            "{}: payment {id} was confirmed, on record {on_record:?}",
            Invariant::I3
        );
    }
    let is_on_record = |order_id| ledger.orders().contains_key(&order_id);
    let verdict = invariants::i3_confirmed(seen.orders.keys(), is_on_record);
    assert_eq!(verdict, Ok(()), "{}", Invariant::I3);
    for order in seen.orders.values() {
        let on_record = &ledger.orders()[&order.order_id];
        assert!(on_record.same_purchase(order), "confirmed {order:?}, on record {on_record:?}");
        let moved_on =
            on_record.status == order.status || order.status.may_become(on_record.status);
        assert!(moved_on, "confirmed {order:?}, on record {on_record:?}");
    }
    records
}

/// The running shards are what the records say (I9).
async fn compare(engine: &Engine, records: &[Record]) {
    let mut stocks: Vec<Stock> = (0..SHARDS).map(|shard| Stock::new(ShardId(shard))).collect();
    for found in records {
        stocks[found.shard.index()].apply(found).expect("a record that follows");
    }
    for stock in &stocks {
        for item in stock.items() {
            let gate = engine.gate(item.terms.item_id).expect("recovered");
            assert_eq!(gate.counters(), item.counters);
            assert_eq!((gate.phase(), gate.shard()), (item.phase, stock.shard()));
        }
    }
}

async fn run(seed: u64, plant: fn(&SimulatedDisk)) {
    let _told = Told(seed);
    let mut dice = Dice::new(seed);
    let directory = tempfile::tempdir().expect("a directory");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut disk = SimulatedDisk::default();
    let with_backends = dice.once_in(3);
    // With backends old segments go, and with them what the judge reads: so their segments are large.
    let segment_bytes = if with_backends { 1 << 17 } else { 2_048 << dice.below(4) };
    for life in 0..2 + dice.below(2) {
        plant(&disk);
        let house = House::start(&disk, directory.path(), segment_bytes, options(), with_backends)
            .await
            .unwrap_or_else(|error| panic!("life {life}: {error}"));
        if life > 0 {
            let records = judge(&disk, &seen.lock());
            // Expiries are on their way already, so only where nothing can be due.
            if !with_backends && dice.once_in(2) && house.engine.status().journal.records == 0 {
                compare(&house.engine, &records).await;
            }
        }
        for item in 1..=ITEMS {
            // Windows that end at once, soon, and never within the test.
            let window = [1, 60, 600_000][(item % 3) as usize];
            house.engine.open_item(terms(item, 6, window)).await;
        }
        let house = Arc::new(house);
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let dice = Dice::new(dice.any());
                tokio::spawn(client(Arc::clone(&house), Arc::clone(&seen), dice, 30))
            })
            .collect();
        let crash_after = dice.below(60);
        while house.engine.status().journal.syncs < crash_after
            && clients.iter().any(|client| !client.is_finished())
        {
            tokio::task::yield_now().await;
        }
        let after = disk.crash(&mut dice);
        house.engine.drain(Duration::from_millis(1)).await;
        for client in clients {
            client.abort();
            if let Err(error) = client.await {
                assert!(error.is_cancelled(), "{error}");
            }
        }
        if let Ok(house) = Arc::try_unwrap(house) {
            house.stop(Duration::from_millis(1)).await;
        }
        disk = after;
        judge(&disk, &seen.lock());
    }
    let house = House::start(&disk, directory.path(), segment_bytes, options(), false)
        .await
        .expect("the engine starts");
    // A last sale that nobody has touched: with stock left a valid purchase succeeds.
    house.engine.open_item(terms(ITEMS + 1, 1, 600_000)).await;
    let reply = house.buy(ITEMS + 1, 1, 9_999).await;
    let is_placed = matches!(reply, Reply::Decided(Outcome::Placed(_)));
    assert!(is_placed, "{}: {reply:?}", Invariant::I16);
    let confirmed: Vec<Order> = seen.lock().orders.values().copied().collect();
    for order in &confirmed {
        let reply = house.buy(order.item_id.0, order.user_id.0, order.request_id.0).await;
        let Reply::Decided(Outcome::Replayed(again)) = reply else {
            panic!("{order:?}: {reply:?}")
        };
        assert!(again.same_purchase(order), "{again:?} for {order:?}");
    }
    house.stop(Duration::from_secs(5)).await;
    judge(&disk, &seen.lock());
}

/// Runs the seeds, eight houses at once, for each waits for its own timers now and then; says how
/// many had a finding.
fn findings(seeds: &[u64], plant: fn(&SimulatedDisk)) -> usize {
    let mut found = 0;
    for some in seeds.chunks(8) {
        // What a crashed house has left behind ends with its runtime.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let houses: Vec<_> = some.iter().map(|seed| tokio::spawn(run(*seed, plant))).collect();
            for house in houses {
                found += usize::from(house.await.is_err());
            }
        });
    }
    found
}

#[test]
fn the_engine_survives_crashes_at_any_moment() {
    assert_eq!(findings(&seeds(200), |_| {}), 0, "runs with a finding; their seeds are above");
}

#[test]
fn the_simulation_finds_a_disk_that_does_not_sync() {
    let found = findings(&seeds(8), SimulatedDisk::skip_data_syncs);
    assert!(found > 0, "a disk that never syncs lost no confirmation");
}
