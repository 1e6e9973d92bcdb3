//! Several order stores: pages over all of them are those of one store that has everything.

use super::{rows, sample};
use domain::order::Cursor;
use domain::{OrderId, OrderStatus, PaymentId, PaymentState, Record, RequestId, ShardId, UserId};
use rand::RngExt as _;
use seckill::store::database::Database;
use seckill::store::orders::{
    Conflicts, OrderFilter, OrderStore, PaymentFilter, StoredOrder, StoredPayment,
};
use std::collections::BTreeMap;
use tempfile::TempDir;

const SHARDS: u16 = 7;

/// Three stores and one, all filled with the same records.
struct Both {
    several: OrderStore,
    one: OrderStore,
    _directory: TempDir,
}

impl Both {
    async fn filled(records: &[Record]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut databases = Vec::new();
        for name in ["0", "1", "2", "all"] {
            let database = Database::open_sqlite(&directory.path().join(name)).await;
            databases.push(database.expect("a database"));
        }
        let several = OrderStore::over(&databases[..3]).expect("a few");
        let one = OrderStore::new(&databases[3]);
        let mut progress: BTreeMap<ShardId, u64> = BTreeMap::new();
        for record in records {
            progress
                .entry(record.shard)
                .and_modify(|seq| *seq = record.seq.max(*seq))
                .or_insert(record.seq);
        }
        let progress: Vec<(ShardId, u64)> = progress.into_iter().collect();
        for store in [&several, &one] {
            store.migrate().await.expect("tables");
            let applied = store.apply(records, &progress, Conflicts::HandedBack).await;
            assert_eq!(applied.expect("applied").conflicts, []);
        }
        Self { several, one, _directory: directory }
    }
}

/// Orders of all shards at times that cross, of a few buyers, some of them paid for.
fn records() -> Vec<Record> {
    let mut random = sample::random();
    let mut records = Vec::new();
    for shard in 0..SHARDS {
        let mut seq = 0;
        for number in 0..40 {
            let mut order = sample::order(shard, number * 7 + u64::from(shard % 3));
            order.user_id = UserId(1 + random.random_range(0..3));
            let unique = shard * 100 + u16::try_from(number).expect("few");
            order.attempt = unique;
            order.request_id = RequestId(u64::from(unique) + 1);
            seq += 1;
            records.push(sample::record(seq, order));
            if random.random_bool(0.4) {
                let paid = sample::with_status(order, OrderStatus::Paid);
                let payment = sample::payment(&order, 1, PaymentState::Captured);
                seq += 1;
                records.push(sample::payment_record(seq, OrderStatus::Reserved, paid, payment));
            }
        }
    }
    records
}

#[tokio::test]
async fn pages_over_several_stores_are_those_of_one() {
    let both = Both::filled(&records()).await;
    assert_eq!(both.several.progress().await, both.one.progress().await);
    assert_eq!(both.several.census().await, both.one.census().await);
    assert_eq!(rows::all(&both.several).await, rows::all(&both.one).await);
    assert_eq!(payments(&both.several).await, payments(&both.one).await);
    for limit in [1, 2, 3, 10, 200, 500] {
        for buyer in 1..=4 {
            let user_id = UserId(buyer);
            let (several, one) = (
                bought(&both.several, user_id, limit).await,
                bought(&both.one, user_id, limit).await,
            );
            assert_eq!(several, one, "buyer {buyer}, {limit} a page");
        }
        for filter in [
            OrderFilter::default(),
            OrderFilter { status: Some(OrderStatus::Paid), ..OrderFilter::default() },
            OrderFilter { user_id: Some(UserId(2)), ..OrderFilter::default() },
        ] {
            for cursor in [Cursor::Before(None), Cursor::After(OrderId(0))] {
                let several = found(&both.several, &filter, cursor, limit).await;
                let one = found(&both.one, &filter, cursor, limit).await;
                assert_eq!(several, one, "{filter:?} {cursor:?}, {limit} a page");
                assert!(!one.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn an_order_is_in_one_store_alone_and_what_is_asked_of_others_is_refused() {
    let records = records();
    let both = Both::filled(&records).await;
    let all = rows::all(&both.one).await;
    let mut held = 0;
    for store in both.several.each() {
        let own = rows::all(&store).await;
        assert!(own.iter().all(|row| store.holds(row.order.order_id.shard())));
        held += own.len();
        let foreign = records.iter().find(|record| !store.holds(record.shard)).expect("one");
        let applied = store.apply(std::slice::from_ref(foreign), &[], Conflicts::HandedBack).await;
        applied.expect_err("it is another store's");
    }
    assert_eq!(held, all.len());
    for row in &all {
        let order_id = row.order.order_id;
        assert_eq!(both.several.order(order_id).await, Ok(Some(*row)));
        assert_eq!(both.several.payments_of(order_id).await, both.one.payments_of(order_id).await);
        let shard = [order_id.shard()];
        let holding = both.several.holding(&shard);
        assert_eq!(holding.each().count(), 1);
        assert_eq!(holding.order(order_id).await, Ok(Some(*row)));
    }
}

async fn payments(store: &OrderStore) -> Vec<StoredPayment> {
    let mut scanned: Vec<StoredPayment> = Vec::new();
    let mut listed: Vec<StoredPayment> = Vec::new();
    let last =
        |rows: &[StoredPayment]| -> Option<PaymentId> { rows.last().map(|row| row.payment.id) };
    loop {
        let page = store.scan_payments(last(&scanned), 5).await.expect("a page");
        if page.is_empty() {
            break;
        }
        scanned.extend(page);
    }
    loop {
        let page = store.payments(&PaymentFilter::default(), last(&listed), 5).await;
        let page = page.expect("a page");
        listed.extend(page.clone());
        if page.len() < 5 {
            break;
        }
    }
    assert_eq!(scanned, listed);
    assert!(!scanned.is_empty());
    scanned
}

async fn bought(store: &OrderStore, user_id: UserId, limit: usize) -> Vec<StoredOrder> {
    let mut all: Vec<StoredOrder> = Vec::new();
    loop {
        let before = all.last().map(|row| row.order.order_id);
        let page = store.orders_of(user_id, before, limit).await.expect("a page");
        let is_last = page.len() < limit;
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

async fn found(
    store: &OrderStore,
    filter: &OrderFilter,
    mut cursor: Cursor,
    limit: usize,
) -> Vec<StoredOrder> {
    let mut all = Vec::new();
    loop {
        let search = store.search(filter, cursor, limit).await.expect("a page");
        assert!(search.rows.len() <= limit);
        all.extend(search.rows);
        let Some(next) = search.next else { return all };
        cursor = match cursor {
            Cursor::Before(_) => Cursor::Before(Some(next)),
            Cursor::After(_) => Cursor::After(next),
        };
    }
}
