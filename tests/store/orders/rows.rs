//! Orders, items and progress.

use super::Bench;
use super::sample::{NOW, grants, item_record, order, record, terms, with_status};
use domain::order::Cursor;
use domain::{
    Event, ItemAction, ItemId, ItemPhase, ItemTerms, Operation, OperatorRequest, Order, OrderId,
    OrderStatus, Record, RequestId, SaleId, ShardId, UserId,
};
use seckill::store::catalogue::Catalogue;
use seckill::store::database::Database;
use seckill::store::orders::{
    Applied, ConflictReason, Conflicts, OrderFilter, OrderStore, StoredOrder,
};
use support::engine::{guarded, operated};

async fn apply(store: &OrderStore, records: &[Record]) -> Applied {
    store.apply(records, &[], Conflicts::HandedBack).await.expect("the batch is applied")
}

/// Inserted, updated, duplicates, conflicts.
fn counts(applied: &Applied) -> (usize, usize, usize, usize) {
    (applied.inserted, applied.updated, applied.duplicates, applied.conflicts.len())
}

async fn status(store: &OrderStore, order_id: OrderId) -> Option<(OrderStatus, u64)> {
    let stored = store.order(order_id).await.expect("the order is read");
    stored.map(|stored| (stored.order.status, stored.version))
}

/// All rows, in pages of an odd length.
pub async fn all(store: &OrderStore) -> Vec<StoredOrder> {
    let mut rows: Vec<StoredOrder> = Vec::new();
    loop {
        let after = rows.last().map_or(OrderId(0), |row| row.order.order_id);
        let page = store.scan(after, 97).await.expect("a page is read");
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

fn ids(rows: &[StoredOrder]) -> Vec<OrderId> {
    rows.iter().map(|row| row.order.order_id).collect()
}

pub async fn a_batch_is_stored_and_read_back(database: Database) {
    let store = OrderStore::new(&database);
    let records = grants(1023, 1_000);
    let applied = apply(&store, &records).await;
    assert_eq!(counts(&applied), (1_000, 0, 0, 0));
    for (row, record) in all(&store).await.iter().zip(&records) {
        assert_eq!(row.record(), *record);
    }
    let extreme = Order {
        user_id: UserId(u64::MAX >> 1),
        amount: u64::MAX >> 1,
        attempt: u16::MAX,
        quantity: u16::MAX,
        ..order(5, 0)
    };
    apply(&store, &[record(u64::MAX >> 1, extreme)]).await;
    let stored = store.order(extreme.order_id).await.expect("the order is read");
    assert_eq!(stored.map(|stored| stored.order), Some(extreme));
    assert_eq!(store.order(OrderId(1)).await, Ok(None));
    assert_eq!(apply(&store, &[]).await, Applied::default());
}

pub async fn repeats_change_nothing(database: Database) {
    let store = OrderStore::new(&database);
    let records = grants(1, 600);
    apply(&store, &records[..300]).await;
    let before = all(&store).await;
    assert_eq!(counts(&apply(&store, &records[..300]).await), (0, 0, 300, 0));
    assert_eq!(all(&store).await, before);
    // Half known, half new, and each twice in the batch.
    let twice = [&records[..], &records[..]].concat();
    assert_eq!(counts(&apply(&store, &twice).await), (300, 0, 900, 0));
}

/// Many grants may take two ways into the tables.
pub async fn a_large_batch_is_one(database: Database) {
    let store = OrderStore::new(&database);
    let records = grants(1, 5_000);
    let twice = [&records[..], &records[1_000..2_000]].concat();
    let progress = [(ShardId(1), 5_000)];
    let applied =
        store.apply(&twice, &progress, Conflicts::HandedBack).await.expect("the batch is applied");
    assert_eq!(counts(&applied), (5_000, 0, 1_000, 0));
    assert_eq!(all(&store).await.len(), 5_000);
    assert_eq!(store.progress().await, Ok(progress.to_vec()));
    let again = store
        .apply(&records, &progress, Conflicts::HandedBack)
        .await
        .expect("the batch is applied");
    assert_eq!(counts(&again), (0, 0, 5_000, 0));
}

pub async fn a_later_version_never_loses_to_an_older_one(database: Database) {
    let store = OrderStore::new(&database);
    let order = order(1, 0);
    let granted = record(1, order);
    let expired = record(5, with_status(order, OrderStatus::Expired));
    let refund = record(9, with_status(order, OrderStatus::RefundDue));
    let id = order.order_id;

    assert_eq!(counts(&apply(&store, std::slice::from_ref(&expired)).await), (1, 0, 0, 0));
    assert_eq!(counts(&apply(&store, std::slice::from_ref(&granted)).await), (0, 0, 1, 0));
    assert_eq!(status(&store, id).await, Some((OrderStatus::Expired, 5)));
    let both = [refund.clone(), granted.clone(), expired.clone()];
    assert_eq!(counts(&apply(&store, &both).await), (0, 1, 2, 0));
    assert_eq!(status(&store, id).await, Some((OrderStatus::RefundDue, 9)));
    assert_eq!(counts(&apply(&store, &both[1..]).await), (0, 0, 2, 0));
    assert_eq!(status(&store, id).await, Some((OrderStatus::RefundDue, 9)));
    let stored = store.order(id).await.expect("the order is read").expect("it is stored");
    assert_eq!(stored.record(), refund);
}

pub async fn contradictions_are_handed_back_and_the_rest_is_kept(database: Database) {
    let store = OrderStore::new(&database);
    let known = order(1, 0);
    apply(&store, &[record(5, known)]).await;
    let other_amount = record(6, Order { amount: 1, status: OrderStatus::Paid, ..known });
    let other_status = record(5, with_status(known, OrderStatus::Paid));
    let misplaced = Record { shard: ShardId(2), ..record(7, order(1, 3)) };
    let no_identity = record(8, Order { order_id: OrderId(u64::MAX), ..known });
    let batch = [
        other_amount.clone(),
        record(9, order(1, 1)),
        other_status.clone(),
        misplaced.clone(),
        no_identity.clone(),
        record(10, order(1, 2)),
    ];
    let applied = apply(&store, &batch).await;
    assert_eq!(counts(&applied), (2, 0, 0, 4));
    let reason_of = |record: &Record| {
        let conflict = applied.conflicts.iter().find(|conflict| conflict.record == *record);
        conflict.map(|conflict| conflict.reason)
    };
    let other_purchase = ConflictReason::OtherPurchase { stored: known };
    assert_eq!(reason_of(&other_amount), Some(other_purchase));
    let other_status_reason = ConflictReason::OtherStatus { stored: OrderStatus::Reserved };
    assert_eq!(reason_of(&other_status), Some(other_status_reason));
    assert_eq!(reason_of(&misplaced), Some(ConflictReason::Misplaced));
    assert_eq!(reason_of(&no_identity), Some(ConflictReason::Misplaced));
    let stored = store.order(known.order_id).await.expect("the order is read");
    assert_eq!(stored.map(|stored| stored.record()), Some(record(5, known)));
}

pub async fn an_attempt_belongs_to_one_order(database: Database) {
    let store = OrderStore::new(&database);
    let holder = order(1, 400);
    apply(&store, &[record(1, holder)]).await;
    let before = all(&store).await;
    // Another identity for the same buyer's attempt, in the midst of a full statement, as a grant
    // and as a change.
    for status in [OrderStatus::Reserved, OrderStatus::Paid] {
        let thief = Order { order_id: order(2, 0).order_id, status, ..holder };
        let mut batch = grants(2, 600);
        batch.retain(|record| !matches!(record.event, Event::Order(order) if order.order_id == thief.order_id || order.user_id == holder.user_id));
        batch.push(record(700, thief));
        let applied = apply(&store, &batch).await;
        assert_eq!(applied.conflicts.len(), 1);
        assert_eq!(applied.conflicts[0].record, record(700, thief));
        let reason = ConflictReason::AttemptTaken { holder: holder.order_id };
        assert_eq!(applied.conflicts[0].reason, reason);
        assert_eq!(store.order(thief.order_id).await, Ok(None));
        let kept = store.order(holder.order_id).await.expect("the order is read");
        assert_eq!(kept.as_ref(), before.first());
    }
    assert_eq!(all(&store).await.len(), 599);
    // The next attempt is another order.
    let next = Order { order_id: order(1, 401).order_id, attempt: 2, ..holder };
    assert_eq!(counts(&apply(&store, &[record(2, next)]).await), (1, 0, 0, 0));
}

pub async fn contradictions_within_a_batch_are_found(database: Database) {
    let store = OrderStore::new(&database);
    let (first, second) = (order(1, 0), order(1, 1));
    let same_attempt = Order { order_id: second.order_id, ..first };
    let paid = record(4, with_status(first, OrderStatus::Paid));
    let cancelled = record(4, with_status(first, OrderStatus::Cancelled));
    let applied =
        apply(&store, &[record(2, first), record(3, same_attempt), paid, cancelled.clone()]).await;
    assert_eq!(counts(&applied), (1, 0, 1, 2));
    let mut reasons: Vec<_> = applied.conflicts.iter().map(|conflict| conflict.reason).collect();
    reasons.sort_by_key(|reason| matches!(reason, ConflictReason::OtherStatus { .. }));
    let taken = ConflictReason::AttemptTaken { holder: first.order_id };
    assert_eq!(reasons, [taken, ConflictReason::OtherStatus { stored: OrderStatus::Paid }]);
    assert_eq!(status(&store, first.order_id).await, Some((OrderStatus::Paid, 4)));

    // Which of two contents is right, the stored row decides, not the order of arrival.
    let wrong = Order { amount: 1, ..first };
    let refused = apply(&store, &[record(5, wrong), record(6, first)]).await;
    assert_eq!(refused.conflicts.len(), 1);
    assert_eq!(refused.conflicts[0].record, record(5, wrong));
    assert_eq!(status(&store, first.order_id).await, Some((OrderStatus::Reserved, 6)));
}

pub async fn a_buyers_orders_come_newest_first_in_pages(database: Database) {
    let store = OrderStore::new(&database);
    let user_id = UserId(42);
    let own = (0..5).map(|number| Order {
        user_id,
        attempt: 1 + number as u16,
        ..order(number as u16, number)
    });
    let own: Vec<Order> = own.collect();
    let mut records: Vec<Record> = own.iter().map(|order| record(1_000, *order)).collect();
    records.extend(grants(9, 30));
    apply(&store, &records).await;
    let mut expected: Vec<OrderId> = own.iter().map(|order| order.order_id).collect();
    expected.reverse();
    let page = |before, limit| {
        let store = store.clone();
        async move { ids(&store.orders_of(user_id, before, limit).await.expect("a page is read")) }
    };
    assert_eq!(page(None, 10).await, expected);
    assert_eq!(page(None, 2).await, expected[..2]);
    assert_eq!(page(Some(expected[1]), 2).await, expected[2..4]);
    assert_eq!(page(Some(expected[4]), 2).await, []);
    assert_eq!(store.orders_of(UserId(41_000), None, 10).await, Ok(vec![]));
}

pub async fn a_sales_orders_come_in_both_directions(database: Database) {
    let store = OrderStore::new(&database);
    let mut records = grants(1, 700);
    let other_item = Order { item_id: ItemId(8), ..order(2, 10) };
    let other_sale = Order { sale_id: SaleId(4), ..order(3, 11) };
    records.extend([record(1, other_item), record(1, other_sale)]);
    apply(&store, &records).await;
    let sale = async |item_id, cursor, limit| {
        let filter = OrderFilter { sale_id: Some(SaleId(3)), item_id, ..OrderFilter::default() };
        ids(&store.search(&filter, cursor, limit).await.expect("a page is read").rows)
    };
    let mut export: Vec<OrderId> = Vec::new();
    loop {
        let after = export.last().copied().unwrap_or_default();
        let page = sale(None, Cursor::After(after), 1_000).await;
        assert!(page.len() <= 500, "pages are bounded");
        if page.is_empty() {
            break;
        }
        export.extend(page);
    }
    let mut expected: Vec<OrderId> = all(&store)
        .await
        .iter()
        .filter(|row| row.order.sale_id == SaleId(3))
        .map(|row| row.order.order_id)
        .collect();
    assert_eq!(export, expected);
    assert_eq!(export.len(), 701);
    expected.reverse();
    assert_eq!(sale(None, Cursor::Before(None), 3).await, expected[..3]);
    assert_eq!(sale(None, Cursor::Before(Some(expected[2])), 3).await, expected[3..6]);
    let item = Some(ItemId(8));
    assert_eq!(sale(item, Cursor::Before(None), 3).await, [other_item.order_id]);
    assert_eq!(sale(item, Cursor::After(OrderId(0)), 3).await, [other_item.order_id]);
}

pub async fn orders_are_found_by_what_is_known_of_them(database: Database) {
    let store = OrderStore::new(&database);
    // More than one window, so that a rare order is looked for in several.
    let mut records = grants(1, 4_500);
    let paid = Order { item_id: ItemId(8), status: OrderStatus::Paid, ..order(2, 10) };
    let other_sale = Order { sale_id: SaleId(4), user_id: paid.user_id, ..order(3, 11) };
    records.extend([record(1, paid), record(1, other_sale)]);
    apply(&store, &records).await;
    let rows = all(&store).await;
    let any = OrderFilter::default();
    let status = Some(OrderStatus::Paid);
    let (user_id, sale_id) = (Some(paid.user_id), Some(SaleId(4)));
    let (from, to) = (Some(rows[20].order.created_at()), Some(rows[40].order.created_at()));
    for filter in [
        any,
        OrderFilter { status, ..any },
        OrderFilter { sale_id, ..any },
        OrderFilter { user_id, ..any },
        OrderFilter { user_id, sale_id, ..any },
        OrderFilter { user_id, status, ..any },
        OrderFilter { status: Some(OrderStatus::Expired), ..any },
        OrderFilter { from, to, ..any },
        OrderFilter { from, to, status, ..any },
        OrderFilter { item_id: Some(ItemId(99)), ..any },
    ] {
        let mut expected: Vec<OrderId> = rows
            .iter()
            .map(|row| &row.order)
            .filter(|order| filter.user_id.is_none_or(|user_id| user_id == order.user_id))
            .filter(|order| filter.sale_id.is_none_or(|sale_id| sale_id == order.sale_id))
            .filter(|order| filter.item_id.is_none_or(|item_id| item_id == order.item_id))
            .filter(|order| filter.status.is_none_or(|status| status == order.status))
            .filter(|order| filter.from.is_none_or(|from| from <= order.created_at()))
            .filter(|order| filter.to.is_none_or(|to| order.created_at() < to))
            .map(|order| order.order_id)
            .collect();
        let page = async |cursor| {
            let found = store.search(&filter, cursor, 400).await.expect("it is read");
            (ids(&found.rows), found.next)
        };
        let (mut oldest, mut next) = page(Cursor::After(OrderId(0))).await;
        while let Some(after) = next {
            let (more, further) = page(Cursor::After(after)).await;
            oldest.extend(more);
            next = further;
        }
        assert_eq!(oldest, expected, "{filter:?}");
        expected.reverse();
        let (mut newest, mut next) = page(Cursor::Before(None)).await;
        while let Some(before) = next {
            let (more, further) = page(Cursor::Before(Some(before))).await;
            newest.extend(more);
            next = further;
        }
        assert_eq!(newest, expected, "{filter:?}");
    }
}

pub async fn a_scan_sees_every_order_once(database: Database) {
    let store = OrderStore::new(&database);
    let mut records = grants(1, 500);
    // The same buyers in another sale and shard.
    let others = (0..500).map(|number| Order { sale_id: SaleId(4), ..order(900, number) });
    records.extend((1..).zip(others).map(|(seq, order)| record(seq, order)));
    apply(&store, &records).await;
    let rows = all(&store).await;
    assert_eq!(rows.len(), 1_000);
    assert!(rows.is_sorted_by_key(|row| row.order.order_id));
    let last = rows[999].order.order_id;
    assert_eq!(store.scan(last, 10).await, Ok(vec![]));
}

pub async fn items_are_the_fold_of_their_records(database: Database) {
    let store = OrderStore::new(&database);
    let item_id = ItemId(7);
    let records = [
        item_record(1, 1, Event::ItemOpened(terms(7))),
        item_record(1, 2, Event::ItemOpened(ItemTerms { admission: guarded(9), ..terms(5) })),
        item_record(1, 3, operated(item_id, ItemAction::Restock(30))),
        item_record(1, 4, operated(item_id, ItemAction::Pause)),
        item_record(1, 6, operated(item_id, ItemAction::Resume)),
        item_record(1, 7, operated(item_id, ItemAction::Admit(guarded(500)))),
        item_record(1, 8, operated(item_id, ItemAction::Restock(4))),
        item_record(1, 9, operated(item_id, ItemAction::End)),
        item_record(1, 12, Event::ItemSettled(item_id)),
    ];
    let mut backwards = records.to_vec();
    backwards.reverse();
    assert_eq!(apply(&store, &backwards[..3]).await.item_events, 3);
    assert_eq!(store.items().await, Ok(vec![]), "nothing is known of an item before its preheat");
    assert_eq!(apply(&store, &backwards).await.item_events, 6);
    assert_eq!(apply(&store, &records).await.item_events, 0);
    let items = store.items().await.expect("items are read");
    let known: Vec<(u64, u64)> =
        items.iter().map(|item| (item.terms.item_id.0, item.opened_seq)).collect();
    assert_eq!(known, [(7, 1), (5, 2)]);
    let item = &items[0];
    assert_eq!((item.shard, item.phase, item.settled), (ShardId(1), ItemPhase::Ended, true));
    assert_eq!((item.allotted, item.last_seq), (1_034, 12));
    assert_eq!(item.last_at, NOW.plus_milliseconds(12));
    assert_eq!(item.terms, terms(7));
    assert_eq!((item.admission, items[1].admission), (guarded(500), guarded(9)));

    let other = item_record(1, 3, operated(item_id, ItemAction::Restock(31)));
    let applied = apply(&store, std::slice::from_ref(&other)).await;
    assert_eq!(applied.conflicts.len(), 1);
    assert_eq!(applied.conflicts[0].record, other);
    assert_eq!(applied.conflicts[0].reason, ConflictReason::OtherItemEvent);
    assert_eq!(store.items().await.expect("items are read")[0].allotted, 1_034);
}

/// What [`is_filled`] finds again.
pub async fn fill(database: &Database) {
    let store = OrderStore::new(database);
    let mut records = grants(1, 20);
    records.push(item_record(1, 21, Event::ItemOpened(terms(7))));
    store
        .apply(&records, &[(ShardId(1), 21)], Conflicts::HandedBack)
        .await
        .expect("the batch is applied");
}

pub async fn is_filled(database: &Database) {
    let store = OrderStore::new(database);
    let rows = all(&store).await;
    let records: Vec<Record> = rows.iter().map(StoredOrder::record).collect();
    assert_eq!(records, grants(1, 20));
    assert_eq!(store.items().await.map(|items| items.len()), Ok(1));
    assert_eq!(store.progress().await, Ok(vec![(ShardId(1), 21)]));
}

pub async fn what_was_committed_survives_reopening(bench: &Bench, database: Database) {
    fill(&database).await;
    database.close().await;
    let database = bench.open().await;
    database.ping().await.expect("it answers");
    is_filled(&database).await;
    database.close().await;
}

/// Once, however often they are delivered.
pub async fn operations_fill_the_operators_log(database: Database) {
    let store = OrderStore::new(&database);
    let operation = |action, operator: Option<&str>| {
        let request = operator.map(|operator| OperatorRequest {
            operator: operator.into(),
            request_id: Some(RequestId(1)),
        });
        Event::ItemOperated(Operation { item_id: ItemId(7), action, request })
    };
    let records = [
        item_record(1, 1, Event::ItemOpened(terms(7))),
        item_record(1, 2, operation(ItemAction::Restock(30), Some("安娜"))),
        item_record(1, 3, operation(ItemAction::Pause, Some("bob"))),
        item_record(1, 4, operation(ItemAction::Resume, None)),
        item_record(1, 5, operation(ItemAction::Admit(guarded(500)), Some("bob"))),
    ];
    apply(&store, &records[..3]).await;
    apply(&store, &records).await;
    apply(&store, &records[1..2]).await;
    let log = Catalogue::new(database).log(None, 10).await.expect("the log is read");
    let shown: Vec<(String, String, String, u64)> = log
        .into_iter()
        .map(|logged| logged.entry)
        .map(|entry| (entry.actor, entry.action, entry.detail.to_string(), entry.at.0))
        .collect();
    let [first, second, third] = [2, 3, 5].map(|seq| NOW.plus_milliseconds(seq).0);
    let guard = "{\"buy_token\":true,\"challenge\":\"proof\",\"lead_seconds\":60,\
                 \"spread_milliseconds\":500}";
    let text = |text: &str| text.to_owned();
    assert_eq!(
        shown,
        [
            (text("bob"), text("item.admit"), text(guard), third),
            (text("bob"), text("item.pause"), text("{}"), second),
            (text("安娜"), text("item.restock"), text("{\"units\":30}"), first),
        ]
    );
}

/// The order that a request got, for a repeat that comes after the shard has released it.
pub async fn an_order_is_found_by_its_request(database: Database) {
    let store = OrderStore::new(&database);
    let records = grants(1, 20);
    apply(&store, &records).await;
    for record in &records {
        let Event::Order(order) = &record.event else { panic!("an order") };
        let item = (order.sale_id, order.item_id);
        let found = store.order_of_request(item, order.user_id, order.request_id).await;
        assert_eq!(found.expect("it answers").map(|row| row.order), Some(*order));
        let other = RequestId(order.request_id.0 ^ 1 << 63);
        assert_eq!(store.order_of_request(item, order.user_id, other).await, Ok(None));
    }
}
