//! Payments beside their orders.

use super::Bench;
use super::rows;
use super::sample::{order, payment, payment_record, record, with_status};
use domain::PaymentState::{Captured, Failed, RefundDue, Refunded, Started};
use domain::{
    Event, Order, OrderId, OrderStatus, Payment, PaymentId, PaymentReference, ProviderName, Record,
    RequestId, SaleId, ShardId,
};
use seckill::store::database::{Database, StoreError};
use seckill::store::orders::{
    Applied, ConflictReason, Conflicts, OrderStore, PaymentFilter, StoredPayment,
};

async fn apply(store: &OrderStore, records: &[Record]) -> Applied {
    store.apply(records, &[], Conflicts::HandedBack).await.expect("the batch is applied")
}

/// All rows, in pages of an odd length.
pub async fn all(store: &OrderStore) -> Vec<StoredPayment> {
    let mut rows: Vec<StoredPayment> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.payment.id);
        let page = store.scan_payments(after, 97).await.expect("a page is read");
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

async fn of_order(store: &OrderStore, order_id: OrderId) -> Vec<Payment> {
    let stored = store.payments_of(order_id).await.expect("they are read");
    stored.into_iter().map(|row| row.payment).collect()
}

async fn status(store: &OrderStore, order_id: OrderId) -> Option<(OrderStatus, u64)> {
    let stored = store.order(order_id).await.expect("the order is read");
    stored.map(|stored| (stored.order.status, stored.version))
}

/// An order that is paid twice, of which the second payment is given back.
fn paid_twice(order: Order) -> Vec<Record> {
    let paid = with_status(order, OrderStatus::Paid);
    let (reserved, is_paid) = (OrderStatus::Reserved, OrderStatus::Paid);
    vec![
        record(1, order),
        payment_record(2, reserved, order, payment(&order, 1, Started)),
        payment_record(3, reserved, order, payment(&order, 2, Started)),
        payment_record(4, reserved, order, payment(&order, 1, Failed)),
        payment_record(5, reserved, paid, payment(&order, 2, Captured)),
        payment_record(6, is_paid, paid, payment(&order, 1, RefundDue)),
        payment_record(7, is_paid, paid, payment(&order, 1, Refunded)),
    ]
}

pub async fn a_payment_is_stored_with_what_it_made_of_its_order(database: Database) {
    let store = OrderStore::new(&database);
    let order = order(1, 0);
    let records = paid_twice(order);
    for (record, (status_then, payments)) in records.iter().zip([
        (OrderStatus::Reserved, vec![]),
        (OrderStatus::Reserved, vec![payment(&order, 1, Started)]),
        (OrderStatus::Reserved, vec![payment(&order, 1, Started), payment(&order, 2, Started)]),
        (OrderStatus::Reserved, vec![payment(&order, 1, Failed), payment(&order, 2, Started)]),
        (OrderStatus::Paid, vec![payment(&order, 1, Failed), payment(&order, 2, Captured)]),
        (OrderStatus::Paid, vec![payment(&order, 1, RefundDue), payment(&order, 2, Captured)]),
        (OrderStatus::Paid, vec![payment(&order, 1, Refunded), payment(&order, 2, Captured)]),
    ]) {
        let applied = apply(&store, std::slice::from_ref(record)).await;
        assert_eq!(applied.payments, usize::from(record.seq > 1));
        // What leaves the order as it was is no version of it.
        let version = if record.seq < 5 { 1 } else { 5 };
        assert_eq!(status(&store, order.order_id).await, Some((status_then, version)));
        assert_eq!(of_order(&store, order.order_id).await, payments, "record {}", record.seq);
    }
    let first = &store.payments_of(order.order_id).await.expect("they are read")[0];
    assert_eq!((first.created_at, first.changed_at), (records[1].at, records[6].at));
    assert_eq!((first.sale_id, first.item_id), (order.sale_id, order.item_id));
    assert_eq!((first.user_id, first.version), (order.user_id, 7));
    assert_eq!(of_order(&store, OrderId(1)).await, []);
}

pub async fn the_last_word_on_a_payment_stays_and_the_time_of_the_first(database: Database) {
    let store = OrderStore::new(&database);
    let order = order(1, 0);
    let records = paid_twice(order);
    apply(&store, &records[4..]).await;
    let late = all(&store).await;
    assert_eq!((late[0].created_at, late[1].created_at), (records[5].at, records[4].at));
    assert_eq!(apply(&store, &records[..4]).await.payments, 2);
    let rows = all(&store).await;
    assert_eq!((rows[0].created_at, rows[1].created_at), (records[1].at, records[2].at));
    for (row, late) in rows.iter().zip(&late) {
        assert_eq!((&row.payment, row.version), (&late.payment, late.version));
    }
    let again = apply(&store, &records).await;
    assert_eq!((again.payments, again.updated, again.conflicts.len()), (0, 0, 0));
    assert_eq!(all(&store).await, rows);
    assert_eq!(status(&store, order.order_id).await, Some((OrderStatus::Paid, 5)));
}

/// Grants and payments of many orders, which may take two ways into the tables.
pub async fn payments_of_a_large_batch_are_all_stored(database: Database) {
    let store = OrderStore::new(&database);
    let mut records = Vec::new();
    for number in 0..2_000 {
        let order = order(1, number);
        let paid = with_status(order, OrderStatus::Paid);
        let seq = 2 * number + 1;
        records.push(record(seq, order));
        records.push(payment_record(seq + 1, order.status, paid, payment(&order, 1, Captured)));
    }
    let progress = [(ShardId(1), 4_000)];
    for payments in [2_000, 0] {
        let applied = store.apply(&records, &progress, Conflicts::HandedBack).await;
        let applied = applied.expect("the batch is applied");
        assert_eq!((applied.payments, applied.conflicts.len()), (payments, 0));
    }
    let rows = all(&store).await;
    assert_eq!(rows.len(), 2_000);
    assert!(rows.iter().all(|row| row.payment.state == Captured));
    assert!(rows::all(&store).await.iter().all(|row| row.order.status == OrderStatus::Paid));
}

pub async fn payments_that_contradict_are_set_aside_whole(database: Database) {
    let store = OrderStore::new(&database);
    let order = order(1, 0);
    apply(&store, &paid_twice(order)).await;
    let before = all(&store).await;
    let captured = payment(&order, 2, Captured);
    let paid = with_status(order, OrderStatus::Paid);
    let other = |payment: Payment| payment_record(9, paid.status, paid, payment);
    let provider = ProviderName::parse("another").expect("a name");
    let reference = PaymentReference::parse("another");
    for wrong in [
        other(Payment { provider, ..captured.clone() }),
        other(Payment { request_id: RequestId(9), ..captured.clone() }),
        other(Payment { amount: 1, ..captured.clone() }),
        other(Payment { reference, ..captured.clone() }),
        payment_record(5, paid.status, paid, payment(&order, 2, Failed)),
    ] {
        let applied = apply(&store, std::slice::from_ref(&wrong)).await;
        let found: Vec<_> =
            applied.conflicts.iter().map(|found| (&found.record, found.reason)).collect();
        assert_eq!(found, [(&wrong, ConflictReason::OtherPayment)], "{wrong:?}");
        assert_eq!(all(&store).await, before);
    }
    // Two of one batch that cannot both be true: the earlier one is stored.
    let third = [(10, 19_800), (11, 1)].map(|(seq, amount)| {
        let third = Payment { amount, ..payment(&order, 3, RefundDue) };
        payment_record(seq, paid.status, paid, third)
    });
    let applied = apply(&store, &third).await;
    assert_eq!(applied.conflicts.len(), 1);
    assert_eq!(applied.conflicts[0].record, third[1]);
    assert_eq!(of_order(&store, order.order_id).await[2].amount, 19_800);

    // Where the order contradicts, its payment goes with it into the dead letters, and comes back with it.
    let misread = Order { amount: 1, ..super::sample::order(1, 5) };
    let good = super::sample::order(1, 5);
    apply(&store, &[record(20, misread)]).await;
    let longest = Payment {
        provider: ProviderName::parse("a-long-providers").expect("a name"),
        reference: PaymentReference::parse(&"x".repeat(64)),
        refund_reference: PaymentReference::parse(&"y".repeat(64)),
        ..payment(&good, u16::MAX, Refunded)
    };
    let due = with_status(good, OrderStatus::RefundDue);
    let lost = payment_record(21, OrderStatus::Expired, due, longest);
    for _ in 0..2 {
        let applied = store.apply(std::slice::from_ref(&lost), &[], Conflicts::Kept).await;
        let applied = applied.expect("the batch is applied");
        assert_eq!(applied.conflicts.len(), 1);
        assert_eq!(applied.conflicts[0].record, lost);
        let kept = store.set_aside(usize::MAX).await.expect("they are read");
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].record, lost);
    }
    let misplaced = Record { shard: ShardId(2), ..lost.clone() };
    let foreign = {
        let Event::Payment(paid) = lost.event else { unreachable!("it is a payment's") };
        payment_record(22, order.status, order, paid.payment)
    };
    for wrong in [misplaced, foreign] {
        let applied = apply(&store, std::slice::from_ref(&wrong)).await;
        assert_eq!(applied.conflicts[0].reason, ConflictReason::Misplaced);
    }
}

pub async fn payments_are_found_by_what_is_known_of_them(database: Database) {
    let store = OrderStore::new(&database);
    let mut records = Vec::new();
    for number in 0..1_300_u64 {
        let sale_id = SaleId(3 + number % 3);
        let order = Order { sale_id, ..order(1 + (number % 4) as u16, number) };
        let state = if number % 7 == 0 { RefundDue } else { Captured };
        let name = if number % 5 == 0 { "provider-2" } else { "provider-1" };
        let provider = ProviderName::parse(name).expect("a name");
        for payment_number in 1..=1 + (number % 2) as u16 {
            let provider = provider.clone();
            let payment = Payment { provider, ..payment(&order, payment_number, state) };
            let seq = 10 * number + u64::from(payment_number);
            let paid = with_status(order, OrderStatus::Paid);
            records.push(payment_record(seq, order.status, paid, payment));
        }
    }
    apply(&store, &records).await;
    let rows = all(&store).await;
    assert_eq!(rows.len(), records.len());
    assert!(rows.is_sorted_by_key(|row| row.payment.id));
    let states = [None, Some(RefundDue), Some(Started)];
    for state in states {
        for sale_id in [None, Some(SaleId(4)), Some(SaleId(99))] {
            for provider in [None, ProviderName::parse("provider-2")] {
                let filter = PaymentFilter { state, sale_id, provider };
                let expected: Vec<PaymentId> = rows
                    .iter()
                    .filter(|row| filter.state.is_none_or(|state| state == row.payment.state))
                    .filter(|row| filter.sale_id.is_none_or(|sale_id| sale_id == row.sale_id))
                    .filter(|row| {
                        let provider = filter.provider.as_ref();
                        provider.is_none_or(|provider| *provider == row.payment.provider)
                    })
                    .map(|row| row.payment.id)
                    .collect();
                let mut found: Vec<PaymentId> = Vec::new();
                loop {
                    let page = store.payments(&filter, found.last().copied(), 1_000).await;
                    let page = page.expect("a page is read");
                    assert!(page.len() <= 500, "pages are bounded");
                    if page.is_empty() {
                        break;
                    }
                    found.extend(page.iter().map(|row| row.payment.id));
                }
                assert_eq!(found, expected, "{filter:?}");
            }
        }
    }
}

pub async fn a_payments_row_with_an_impossible_value_is_an_error_that_names_it(
    bench: &Bench,
    database: Database,
) {
    let store = OrderStore::new(&database);
    let order = order(1, 0);
    apply(&store, &paid_twice(order)).await;
    let id = payment(&order, 1, Refunded).id;
    for (column, value, back, words) in [
        ("state", "9", "5", "there is no state 9"),
        ("currency", "'yua'", "'CNY'", "\"yua\" is not a currency code"),
        ("provider", "'Nobody'", "'provider-1'", "\"Nobody\" is not a provider's name"),
        ("reference", "'two words'", "'one'", "\"two words\" is not a reference"),
        ("refund_reference", "''", "'one'", "\"\" is not a reference"),
    ] {
        let set = |value: &str| format!("UPDATE payments SET {column} = {value} WHERE number = 1");
        bench.execute(&set(value)).await;
        let expected = Err(StoreError::Corrupt(format!("payment {id}: {words}")));
        assert_eq!(store.payments_of(order.order_id).await, expected);
        bench.execute(&set(back)).await;
        store.payments_of(order.order_id).await.expect("they are read");
    }
}

/// Who only reads does not change the tables.
pub async fn tables_of_a_version_without_payments_have_none(bench: &Bench, database: Database) {
    let store = OrderStore::new(&database);
    apply(&store, &paid_twice(order(1, 0))).await;
    bench.execute("DROP TABLE payments").await;
    assert_eq!(store.scan_payments(None, 10).await, Ok(vec![]));
    database.migrate().await.expect("the table is made anew");
    apply(&store, &paid_twice(order(1, 0))).await;
    assert_eq!(all(&store).await.len(), 2);
}
