//! Whatever the broker does with the messages, the rows come out the same.

use super::payments;
use super::rows::all;
use super::sample::{history, random, shuffled};
use domain::{Record, ShardId};
use rand::RngExt as _;
use seckill::store::database::Database;
use seckill::store::orders::{
    ApplyError, Conflicts, OrderStore, StoredItem, StoredOrder, StoredPayment,
};
use std::collections::BTreeMap;

type Tables = (Vec<StoredOrder>, Vec<StoredPayment>, Vec<StoredItem>);

async fn tables(store: &OrderStore) -> Tables {
    let items = store.items().await.expect("items are read");
    (all(store).await, payments::all(store).await, items)
}

/// What the tables hold after the records, by the plainest means: the last word on each order.
fn expected_orders(records: &[Record]) -> Vec<StoredOrder> {
    let mut orders: BTreeMap<_, StoredOrder> = BTreeMap::new();
    for record in records {
        if let Some(order) = record.event.changed_order().copied() {
            let row = StoredOrder { order, version: record.seq, changed_at: record.at };
            let stored = orders.entry(order.order_id).or_insert(row);
            if stored.version < row.version {
                *stored = row;
            }
        }
    }
    orders.into_values().collect()
}

/// The same of the payments, each since its first record.
fn expected_payments(records: &[Record]) -> Vec<StoredPayment> {
    let mut payments: BTreeMap<_, StoredPayment> = BTreeMap::new();
    for record in records {
        let domain::Event::Payment(paid) = &record.event else { continue };
        let row = StoredPayment {
            payment: paid.payment.clone(),
            sale_id: paid.order.sale_id,
            item_id: paid.order.item_id,
            user_id: paid.order.user_id,
            created_at: record.at,
            changed_at: record.at,
            version: record.seq,
        };
        let first = payments.get(&paid.payment.id).map_or(record.at, |first| first.created_at);
        payments.insert(paid.payment.id, StoredPayment { created_at: first, ..row });
    }
    payments.into_values().collect()
}

pub async fn any_delivery_ends_in_the_same_rows(database: Database) {
    let store = OrderStore::new(&database);
    let mut random = random();
    let records = history(&mut random, 3, 150);
    let deliveries = shuffled(&mut random, &records, 10);
    let mut rest = deliveries.as_slice();
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(random.random_range(1..=700).min(rest.len()));
        let applied =
            store.apply(batch, &[], Conflicts::HandedBack).await.expect("the batch is applied");
        assert_eq!(applied.conflicts, []);
        rest = later;
    }
    let (orders, payments, items) = tables(&store).await;
    assert_eq!(orders, expected_orders(&records));
    assert_eq!(payments, expected_payments(&records));
    assert_eq!(items.len(), 3);

    // Once more from the front, in order: nothing is left to do.
    let applied =
        store.apply(&records, &[], Conflicts::HandedBack).await.expect("the batch is applied");
    assert_eq!((applied.inserted, applied.updated, applied.item_events), (0, 0, 0));
    assert_eq!(applied.payments, 0);
    assert_eq!(tables(&store).await, (orders, payments, items));
}

pub async fn several_consumers_at_once_end_in_the_same_rows(database: Database) {
    let store = OrderStore::new(&database);
    let mut random = random();
    let records = history(&mut random, 2, 200);
    let mut consumers: Vec<_> = (0..2)
        .map(|_| {
            let deliveries = shuffled(&mut random, &records, 1);
            tokio::spawn(consume(store.clone(), deliveries, false))
        })
        .collect();
    // Two more that raise the progress, which only takes what follows.
    consumers.extend((0..2).map(|_| tokio::spawn(consume(store.clone(), records.clone(), true))));
    for consumer in consumers {
        consumer.await.expect("the consumer ends");
    }
    assert_eq!(all(&store).await, expected_orders(&records));
    assert_eq!(payments::all(&store).await, expected_payments(&records));
    let progress = store.progress().await.expect("progress is read");
    assert_eq!(progress, last_of_each(&records));
}

fn last_of_each(records: &[Record]) -> Vec<(ShardId, u64)> {
    let seqs: BTreeMap<ShardId, u64> =
        records.iter().map(|record| (record.shard, record.seq)).collect();
    seqs.into_iter().collect()
}

/// A consumer as the engine has it: what fails for the moment is tried again.
async fn consume(store: OrderStore, deliveries: Vec<Record>, in_order: bool) {
    const ATTEMPTS_MAX: usize = 100;
    for batch in deliveries.chunks(100) {
        let progress = if in_order { last_of_each(batch) } else { Vec::new() };
        let mut attempts = 0;
        loop {
            match store.apply(batch, &progress, Conflicts::HandedBack).await {
                Ok(applied) => {
                    assert_eq!(applied.conflicts, []);
                    break;
                }
                Err(ApplyError::Store(error)) => assert!(error.is_transient(), "{error}"),
                Err(gap) => panic!("{gap}"),
            }
            attempts += 1;
            assert!(attempts < ATTEMPTS_MAX, "no end of contention");
        }
    }
}
