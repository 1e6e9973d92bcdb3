//! How far the tables are, what was stored in them, and what is gone.

use super::Bench;
use super::payments;
use super::rows::all;
use super::sample::{grants, history, order, payment, payment_record, random, record, with_status};
use domain::{Event, OrderStatus, PaymentState, Record, ShardId};
use seckill::store::database::{Database, StoreError};
use seckill::store::orders::{
    Applied, ApplyError, Conflicts, Gap, OrderStore, Seal, Sealed, ShardProgress,
};
use std::collections::BTreeMap;

const SHARD: ShardId = ShardId(1);

/// Applies the records and raises their shard's progress to the last of them.
async fn advance(store: &OrderStore, records: &[Record]) -> Result<Applied, ApplyError> {
    let to = records.iter().map(|record| record.seq).max().unwrap_or(0);
    store.apply(records, &[(SHARD, to)], Conflicts::HandedBack).await
}

async fn must_advance(store: &OrderStore, records: &[Record]) {
    let applied = advance(store, records).await.expect("the batch is applied");
    assert_eq!(applied.conflicts, []);
}

/// What is sealed of each shard, and the sum over its rows.
async fn seals(store: &OrderStore) -> BTreeMap<ShardId, (Seal, Seal)> {
    let mut seals: BTreeMap<ShardId, (Seal, Seal)> = BTreeMap::new();
    for ShardProgress { shard, sealed, .. } in store.shard_progress().await.expect("it is read") {
        seals.entry(shard).or_default().0 = sealed.expect("it is sealed").seal;
    }
    let payments = payments::all(store).await;
    for row in all(store).await {
        let own = payments.iter().map(|row| &row.payment);
        let own = own.filter(|payment| payment.id.order_id == row.order.order_id);
        seals.entry(row.order.order_id.shard()).or_default().1 += Seal::of_order(&row.order, own);
    }
    for record in store.item_records().await.expect("they are read") {
        seals.entry(record.shard).or_default().1 += Seal::of_record(&record);
    }
    seals
}

pub async fn a_batch_begins_where_the_tables_are_or_is_refused(bench: &Bench, database: Database) {
    let store = OrderStore::new(&database);
    let records = grants(1, 30);
    let refused = |stored_seq| Err(ApplyError::Gap(Gap { shard: SHARD, stored_seq }));
    assert_eq!(advance(&store, &records[1..]).await, refused(0));
    assert_eq!(all(&store).await, []);
    must_advance(&store, &records[..10]).await;
    // What overlaps is fine, in any order; a gap is not, and nothing of it is stored.
    let mut overlapping = records[5..15].to_vec();
    overlapping.reverse();
    must_advance(&store, &overlapping).await;
    assert_eq!(advance(&store, &records[16..]).await, refused(15));
    let holed = [&records[15..17], &records[18..]].concat();
    assert_eq!(advance(&store, &holed).await, refused(15));
    assert_eq!(all(&store).await.len(), 15);
    assert_eq!(store.progress().await, Ok(vec![(SHARD, 15)]));

    // An older backup is restored behind the program's back.
    bench.execute("UPDATE shard_progress SET applied_seq = 8").await;
    bench.execute("DELETE FROM orders WHERE version > 8").await;
    assert_eq!(advance(&store, &records[15..]).await, refused(8));
    must_advance(&store, &records[8..]).await;
    assert_eq!(all(&store).await.len(), 30);
    assert_eq!(store.progress().await, Ok(vec![(SHARD, 30)]));
    let (sealed, found) = seals(&store).await[&SHARD];
    assert_eq!((sealed, sealed.orders), (found, 30));

    // Of a table that was emptied nothing is believed.
    bench.execute("DELETE FROM shard_progress").await;
    assert_eq!(advance(&store, &records[29..]).await, refused(0));
    must_advance(&store, &records).await;
    let (sealed, found) = seals(&store).await[&SHARD];
    assert_eq!((sealed, sealed.orders), (found, 30));
}

pub async fn a_lock_that_is_held_for_too_long_costs_that_transaction_alone(
    bench: &Bench,
    database: Database,
) {
    let store = OrderStore::new(&database);
    let records = grants(1, 30);
    must_advance(&store, &records[..10]).await;
    let holder = bench.lock().await;
    let refused = advance(&store, &records[10..20]).await;
    assert!(matches!(refused, Err(ApplyError::Store(StoreError::Contention(_)))), "{refused:?}");
    holder.release().await;
    // Every connection goes on, the one that was refused as well.
    for end in 11..=30 {
        must_advance(&store, &records[10..end]).await;
    }
    assert_eq!(all(&store).await.len(), 30);
    assert_eq!(store.progress().await, Ok(vec![(SHARD, 30)]));
}

pub async fn every_shard_has_its_own_progress(database: Database) {
    let store = OrderStore::new(&database);
    assert_eq!(store.progress().await, Ok(vec![]));
    let everyone: Vec<Record> =
        (0..1024).map(|shard| record(1, order(shard, 1_024 + u64::from(shard)))).collect();
    let progress: Vec<(ShardId, u64)> = (0..1024).map(|shard| (ShardId(shard), 1)).collect();
    for _ in 0..2 {
        store.apply(&everyone, &progress, Conflicts::HandedBack).await.expect("applied");
        assert_eq!(store.progress().await, Ok(progress.clone()));
    }
}

pub async fn what_is_sealed_is_what_the_rows_add_up_to(database: Database) {
    let store = OrderStore::new(&database);
    let records = history(&mut random(), 3, 120);
    let mut rest = records.as_slice();
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(97.min(rest.len()));
        let progress: BTreeMap<ShardId, u64> =
            batch.iter().map(|record| (record.shard, record.seq)).collect();
        let progress: Vec<(ShardId, u64)> = progress.into_iter().collect();
        for _ in 0..2 {
            store.apply(batch, &progress, Conflicts::HandedBack).await.expect("applied");
        }
        rest = later;
    }
    let seals = seals(&store).await;
    assert_eq!(seals.len(), 3);
    for (shard, (sealed, found)) in seals {
        assert_eq!(sealed, found, "shard {shard}");
        assert_eq!(sealed.orders, 120);
    }
    assert_eq!(store.census().await.map(|census| census.missing()), Ok(0));
}

pub async fn what_is_gone_or_changed_by_hand_shows(bench: &Bench, database: Database) {
    let store = OrderStore::new(&database);
    let mut records = grants(1, 20);
    let Event::Order(first) = records[0].event else { unreachable!("grants are orders") };
    let Event::Order(second) = records[1].event else { unreachable!("grants are orders") };
    records.push(record(21, with_status(first, OrderStatus::Paid)));
    let due = with_status(second, OrderStatus::RefundDue);
    for (seq, from, order, state) in [
        (22, OrderStatus::Reserved, second, PaymentState::Started),
        (23, OrderStatus::Reserved, due, PaymentState::RefundDue),
        (24, OrderStatus::RefundDue, due, PaymentState::Refunded),
    ] {
        records.push(payment_record(seq, from, order, payment(&second, 1, state)));
    }
    must_advance(&store, &records).await;
    let missing = async || store.census().await.expect("they are counted").missing();
    assert_eq!(missing().await, 0);
    let untouched = seals(&store).await;
    for (change, back) in [
        ("UPDATE orders SET amount = amount + 1", "UPDATE orders SET amount = amount - 1"),
        ("UPDATE orders SET status = 3", "UPDATE orders SET status = 2"),
        ("UPDATE orders SET quantity = 3", "UPDATE orders SET quantity = 2"),
    ] {
        let of_first = format!("WHERE order_id = {}", first.order_id);
        bench.execute(&format!("{change} {of_first}")).await;
        let (sealed, found) = seals(&store).await[&SHARD];
        assert_ne!(sealed, found, "{change}");
        assert_eq!(missing().await, 0);
        bench.execute(&format!("{back} {of_first}")).await;
        assert_eq!(seals(&store).await, untouched, "{back}");
    }
    for (change, back) in [
        ("amount = amount + 1", "amount = amount - 1"),
        ("state = 4", "state = 5"),
        ("number = 2", "number = 1"),
    ] {
        bench.execute(&format!("UPDATE payments SET {change}")).await;
        let (sealed, found) = seals(&store).await[&SHARD];
        assert_ne!(sealed, found, "{change}");
        bench.execute(&format!("UPDATE payments SET {back}")).await;
        assert_eq!(seals(&store).await, untouched, "{back}");
    }
    bench.execute("DELETE FROM payments").await;
    bench.execute("DELETE FROM orders WHERE version < 8").await;
    assert_eq!(missing().await, 5);
    store.set_back(&[(SHARD, 5), (ShardId(2), 3)]).await.expect("set back");
    assert_eq!(store.progress().await, Ok(vec![(SHARD, 5)]));
    store.set_back(&[(SHARD, 9)]).await.expect("not set forward");
    assert_eq!(store.progress().await, Ok(vec![(SHARD, 5)]));
    store.set_back(&[(SHARD, 0)]).await.expect("set back");
    must_advance(&store, &records).await;
    assert_eq!(missing().await, 0);
    assert_eq!(seals(&store).await, untouched);
}

pub async fn a_record_that_contradicts_a_row_is_not_missed(database: Database) {
    let store = OrderStore::new(&database);
    let records = grants(1, 3);
    let Event::Order(second) = records[1].event else { unreachable!("grants are orders") };
    // The buyer's attempt is stored as another order.
    let other = domain::Order { order_id: domain::OrderId(second.order_id.0 + 1), ..second };
    store.apply(&[record(90, other)], &[], Conflicts::HandedBack).await.expect("applied");
    let applied = advance(&store, &records).await.expect("applied");
    assert_eq!(applied.conflicts.len(), 1);
    assert_eq!(store.census().await.map(|census| census.missing()), Ok(0));
}

pub async fn tables_of_a_version_without_seals_are_sealed(bench: &Bench, database: Database) {
    let store = OrderStore::new(&database);
    let records = history(&mut random(), 1, 50);
    let shard = ShardId(0);
    let all = [(shard, records.len() as u64)];
    store.apply(&records, &all, Conflicts::HandedBack).await.expect("applied");
    let sealed = store.shard_progress().await.expect("it is read");
    bench.execute("DELETE FROM shard_seals").await;
    let unsealed = ShardProgress { sealed: None, ..sealed[0] };
    assert_eq!(store.shard_progress().await, Ok(vec![unsealed]));
    // What is stored meanwhile goes on as before.
    store.apply(&records[40..], &all, Conflicts::HandedBack).await.expect("applied");
    assert_eq!(store.shard_progress().await, Ok(vec![unsealed]));
    store.seal_what_is_stored().await.expect("sealed");
    assert_eq!(store.shard_progress().await, Ok(sealed.clone()));
    // Rows beyond the progress cannot be told apart.
    bench.execute("DELETE FROM shard_seals").await;
    bench.execute("UPDATE shard_progress SET applied_seq = applied_seq - 30").await;
    store.seal_what_is_stored().await.expect("left alone");
    assert!(store.shard_progress().await.is_ok_and(|progress| progress[0].sealed.is_none()));
    let fresh = store.apply(&grants(2, 1), &[(ShardId(2), 1)], Conflicts::HandedBack).await;
    fresh.expect("applied");
    let progress = store.shard_progress().await.expect("it is read");
    assert!(matches!(progress[1].sealed, Some(Sealed { seq: 1, .. })), "{progress:?}");
}
