//! I9: a shard from a checkpoint and the records behind it, or from the order store, equals the one that
//! never stopped.

use crate::shard::{OPENING, SHARD, Shard, buying, operate, terms};
use domain::stock::{CHUNK_ENTRIES, Changes, ItemState, Snapshot};
use domain::{
    Command, Event, ItemAction, ItemCounters, ItemId, Order, OrderId, OrderPayments, OrderStatus,
    Outcome, Record, Refusal, RequestId, Stock, UserId,
};
use std::collections::HashMap;

/// Puts an increment into a checkpoint, as a store does.
fn keep(kept: &mut Snapshot, changes: &Changes) {
    (kept.seq, kept.at, kept.last_order_id) = (changes.seq, changes.at, changes.last_order_id);
    for (position, item) in &changes.items {
        match kept.items.get_mut(*position as usize) {
            Some(place) => *place = item.clone(),
            None => kept.items.push(item.clone()),
        }
    }
    for (order_id, payments) in &changes.payments {
        let place =
            kept.payments.binary_search_by_key(order_id, |payments| payments.order.order_id);
        match (place, payments) {
            (Ok(place), Some(payments)) => kept.payments[place] = payments.clone(),
            (Err(place), Some(payments)) => kept.payments.insert(place, payments.clone()),
            (Ok(place), None) => drop(kept.payments.remove(place)),
            (Err(_), None) => {}
        }
    }
    for (number, chunk) in &changes.chunks {
        let length = kept.chunks.len().max(*number as usize + 1);
        kept.chunks.resize(length, None);
        kept.chunks[*number as usize] = chunk.clone();
    }
}

fn replay(stock: &mut Stock, records: &[Record]) {
    for record in records.iter().filter(|record| record.seq > stock.seq()).collect::<Vec<_>>() {
        stock.apply(record).expect("its own record");
    }
}

fn assert_same(left: &Stock, right: &Stock, what: &str) {
    let (one, other) = (left.snapshot(), right.snapshot());
    assert_eq!((one.seq, one.at, one.last_order_id), (other.seq, other.at, other.last_order_id));
    assert_eq!(one.items, other.items, "{what}");
    assert_eq!(one.payments, other.payments, "{what}");
    assert!(left.orders().eq(right.orders()), "{what}: orders differ");
    for order in left.orders() {
        assert_eq!(right.order(order.order_id), Some(order), "{what}: not found");
    }
    assert_eq!(left.order_count(), right.order_count(), "{what}");
    let requests = left.orders().map(|order| (order.order_id, order.user_id, order.request_id));
    assert!(requests.eq(in_pages(right, 7)), "{what}: requests differ");
}

/// The requests of all orders, as they are read a page at a time.
fn in_pages(stock: &Stock, page: usize) -> Vec<(OrderId, UserId, RequestId)> {
    let mut all: Vec<(OrderId, UserId, RequestId)> = Vec::new();
    loop {
        let after = all.last().map_or(OrderId(0), |(order_id, ..)| *order_id);
        let found = stock.requests_after(after, page);
        if found.is_empty() {
            return all;
        }
        all.extend(found);
    }
}

/// Both would answer every question of every buyer alike.
fn assert_decides_alike(shop: &Shard, other: &Stock, what: &str) {
    for item in shop.stock.items() {
        for user in 0..9 {
            for (request, quantity) in [(77_777, 1), (77_777, 2)] {
                let command = buying(item.terms.item_id.0, user, request, quantity);
                let expected = shop.stock.decide(shop.now, &command);
                assert_eq!(other.decide(shop.now, &command), expected, "{what}: {command:?}");
            }
        }
    }
    for order in shop.ledger.orders().values() {
        let Order { order_id, user_id, request_id, .. } = *order;
        for command in [
            buying(order.item_id.0, user_id.0, request_id.0, order.quantity),
            Command::Pay { order_id, user_id },
            Command::Cancel { order_id, user_id },
            Command::Expire { order_id },
        ] {
            let expected = shop.stock.decide(shop.now, &command);
            assert_eq!(other.decide(shop.now, &command), expected, "{what}: {command:?}");
        }
    }
}

/// Checkpoints the shop's history at several places, with writes that fail between, and rebuilds.
pub fn check(shop: &mut Shard) {
    let mut kept = Snapshot::default();
    let mut live = Stock::new(SHARD);
    for (number, record) in shop.records.iter().enumerate() {
        live.apply(record).expect("its own record");
        if number % 7 == 3 {
            let changes = live.take_changes();
            match number % 2 {
                // The write failed: the next one has it all.
                0 => live.put_back(&changes),
                _ => keep(&mut kept, &changes),
            }
        }
        if number % 23 == 20 {
            let mut restored = Stock::restore(SHARD, kept.clone()).expect("a checkpoint");
            replay(&mut restored, &shop.records[..=number]);
            assert_same(&restored, &live, "checkpoint and tail");
        }
    }
    keep(&mut kept, &live.take_changes());
    assert!(live.take_changes().chunks.is_empty(), "nothing changed since");
    let restored = Stock::restore(SHARD, kept).expect("a checkpoint");
    let whole = Stock::restore(SHARD, shop.stock.snapshot()).expect("a snapshot");
    for (other, what) in
        [(live, "replay of all"), (restored, "the last checkpoint"), (whole, "a whole checkpoint")]
    {
        assert_same(&other, &shop.stock, what);
        assert_decides_alike(shop, &other, what);
    }
    let restored = from_order_store(shop);
    assert_eq!(restored.items(), shop.stock.items(), "order store");
    assert!(restored.orders().eq(shop.stock.orders()), "order store");
    assert_decides_alike(shop, &restored, "order store");
}

/// What an order store holds of the shop, and a shard made of it.
fn from_order_store(shop: &Shard) -> Stock {
    let mut versions = HashMap::new();
    let mut opened = HashMap::new();
    for record in &shop.records {
        match &record.event {
            Event::Order(order) => versions.insert(order.order_id, record.seq),
            Event::Payment(paid) => versions.insert(paid.order.order_id, record.seq),
            event => opened.insert(event.item_id(), record.seq),
        };
    }
    let items = shop.stock.items().iter().map(|item| ItemState {
        counters: ItemCounters {
            allotted: item.counters.allotted,
            available: item.counters.allotted,
            reserved: 0,
            sold: 0,
        },
        last_seq: opened[&item.terms.item_id],
        ..item.clone()
    });
    let mut orders: Vec<(Order, u64)> =
        shop.ledger.orders().values().map(|order| (*order, versions[&order.order_id])).collect();
    orders.sort_unstable_by_key(|(order, _)| order.order_id);
    let payments: Vec<(OrderPayments, u64)> = shop
        .stock
        .snapshot()
        .payments
        .into_iter()
        .map(|stored| {
            let version = versions[&stored.order.order_id];
            (stored, version)
        })
        .collect();
    let (seq, at) = (shop.stock.seq(), shop.stock.at());
    Stock::from_order_store(SHARD, seq, at, items.collect(), orders, payments)
        .expect("an order store that agrees")
}

#[test]
fn many_chunks_round_trip_with_gaps_of_settled_items() {
    let mut shop = Shard::with([terms(1, 500, 1, 1_000), terms(2, 500, 1, 2_000)]);
    for user in 0..400 {
        // Runs of either item, so that whole chunks are let go.
        shop.place(1 + user / 100 % 2, user, user).expect("stock is left");
    }
    let orders: Vec<Order> = shop.stock.orders().collect();
    for order in &orders {
        if order.order_id.0 % 3 == 0 {
            shop.pay(order);
        } else {
            shop.cancel(order);
        }
    }
    shop.ask(operate(ItemId(1), ItemAction::End));
    let stored_seq = shop.stock.seq();
    let memory = shop.stock.memory_bytes();
    let settled = shop.ask(Command::Settle { item_id: ItemId(1), stored_seq });
    assert!(matches!(settled, Outcome::Item(_)), "{settled:?}");
    assert_eq!(shop.stock.order_count(), 200);
    assert!(shop.stock.memory_bytes() < memory, "chunks and buyers are let go");
    for user in 1_000..1_100 {
        shop.place(2, user, user).expect("stock is left");
    }
    shop.check_orders();
    check(&mut shop);
}

#[test]
fn an_item_is_settled_only_when_ended_closed_and_stored() {
    let mut shop = Shard::with([terms(1, 5, 1, 1_000)]);
    let order = shop.place(1, 1, 1).expect("stock is left");
    let refused = Outcome::Refused(Refusal::PhaseConflict);
    let settle =
        |shop: &mut Shard, stored_seq| shop.ask(Command::Settle { item_id: ItemId(1), stored_seq });
    assert_eq!(settle(&mut shop, u64::MAX), refused, "not ended");
    shop.ask(operate(ItemId(1), ItemAction::End));
    assert_eq!(settle(&mut shop, u64::MAX), refused, "an order is open");
    shop.cancel(&order);
    let seq = shop.stock.seq();
    assert_eq!(settle(&mut shop, seq - 1), refused, "the last record is not stored");
    assert!(matches!(settle(&mut shop, seq), Outcome::Item(_)));
    assert_eq!(shop.stock.order(order.order_id), None);
    assert_eq!(shop.stock.orders_of(UserId(1), None, 10), []);
    assert_eq!(shop.pay(&order), Outcome::Refused(Refusal::OrderNotFound));
    check(&mut shop);
}

#[test]
fn orders_are_found_by_id_buyer_and_request() {
    let mut shop = Shard::with([terms(1, 300, 5, 1_000), terms(2, 300, 5, 1_000)]);
    let mut placed = Vec::new();
    for round in 0..200 {
        placed.push(shop.place(1 + round % 2, round % 50, round).expect("stock is left"));
    }
    for order in &placed {
        assert_eq!(shop.stock.order(order.order_id), Some(*order));
        let by_request = shop.stock.order_of_request(order.user_id, order.request_id);
        assert_eq!(by_request, Some(*order));
        assert_eq!(shop.stock.order_of_request(order.user_id, RequestId(9_999)), None);
    }
    for user in 0..50 {
        let mut expected: Vec<Order> =
            placed.iter().filter(|order| order.user_id.0 == user).copied().collect();
        expected.reverse();
        let user_id = UserId(user);
        assert_eq!(shop.stock.orders_of(user_id, None, 100), expected);
        assert_eq!(shop.stock.orders_of(user_id, None, 2), expected[..2]);
        let rest = shop.stock.orders_of(user_id, Some(expected[1].order_id), 100);
        assert_eq!(rest, expected[2..]);
    }
    for gap in [0, placed[0].order_id.0 - 1, placed[199].order_id.0 + 1] {
        assert_eq!(shop.stock.order(domain::OrderId(gap)), None);
    }
}

#[test]
fn due_finds_what_is_due_across_payment_windows_and_restores() {
    let mut shop =
        Shard::with([terms(1, 900, 1, 300), terms(2, 900, 1, 100), terms(3, 900, 1, 200)]);
    for user in 0..600 {
        shop.now = OPENING.plus_milliseconds(user);
        shop.place(1 + user % 3, user, user).expect("stock is left");
        if user % 5 == 0 {
            let order = shop.stock.orders().last().expect("placed");
            shop.pay(&order);
        }
        if user == 300 {
            shop.stock = Stock::restore(SHARD, shop.stock.snapshot()).expect("a snapshot");
        }
        if user % 11 == 0 {
            let due = shop.ledger.orders().values().filter(|order| {
                order.status == OrderStatus::Reserved && order.expires_at <= shop.now
            });
            let due = due.count();
            assert_eq!(shop.expire(usize::MAX).len(), due, "at {user}");
        }
    }
    // Opened late, an item with a window in use joins its cursor, one with a new window brings one.
    shop.ask(Command::Open(terms(4, 10, 1, 100)));
    shop.ask(Command::Open(terms(5, 10, 1, 50)));
    shop.place(4, 1, 10_001).expect("stock is left");
    shop.place(5, 1, 10_002).expect("stock is left");
    shop.now = shop.now.plus_milliseconds(10_000);
    shop.expire(usize::MAX);
    assert!(shop.stock.orders().all(|order| order.status != OrderStatus::Reserved));
    shop.check_orders();
}

#[test]
fn limit_and_attempts_hold() {
    let mut shop = Shard::with([terms(1, 1_000, 2, 1_000)]);
    let refused = Outcome::Refused(Refusal::LimitReached);
    let first = shop.place(1, 7, 1).expect("stock is left");
    shop.place(1, 7, 2).expect("stock is left");
    assert_eq!(shop.ask(buying(1, 7, 3, 1)), refused);
    assert_eq!(shop.ask(buying(1, 8, 3, 3)), refused, "at once");
    shop.cancel(&first);
    let mut live = shop.place(1, 7, 3).expect("a cancelled order counts no more");
    // Each cancelled one is an attempt, of which there is an end.
    let mut placed = 3;
    for request in 4.. {
        shop.cancel(&live);
        match shop.place(1, 7, request) {
            Some(order) => live = order,
            None => break,
        }
        placed += 1;
    }
    assert_eq!(placed, 2 + domain::sale::SPARE_ATTEMPTS);
    let refused = Outcome::Refused(Refusal::AttemptsExhausted);
    assert_eq!(shop.ask(buying(1, 7, 10_000, 1)), refused);
    check(&mut shop);
}

#[test]
fn orders_before_a_chunk_that_was_let_go_are_found_after_a_restart() {
    let mut shop = Shard::with([terms(1, 500, 1, 1_000), terms(2, 500, 1, 2_000)]);
    // A chunk of item 2, two of item 1, and another one of item 2.
    for user in 0..4 * CHUNK_ENTRIES as u64 {
        let item = if matches!(user / CHUNK_ENTRIES as u64, 1 | 2) { 1 } else { 2 };
        let order = shop.place(item, user, user).expect("stock is left");
        shop.pay(&order);
    }
    shop.ask(operate(ItemId(1), ItemAction::End));
    shop.ask(Command::Settle { item_id: ItemId(1), stored_seq: shop.stock.seq() });
    assert_eq!(shop.stock.order_count(), 2 * CHUNK_ENTRIES);
    check(&mut shop);
}
