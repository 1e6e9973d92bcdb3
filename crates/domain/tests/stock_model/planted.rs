//! A checker is checked: for each invariant a record that breaks it, and who names it.

use crate::shop::{SHARD, Shop, buying, terms};
use domain::{
    Command, Event, ItemId, Order, OrderId, OrderStatus, Outcome, Record, RequestId, ShardId,
    UserId,
};
use std::fmt::Write;

/// A shop with an item of nine units at 101, limit two: user 1 has order 1 reserved, user 2 has
/// paid one and user 3 has let one expire, so that seven units are left, one of which came back.
fn shop() -> (Shop, [Order; 3]) {
    let mut shop = Shop::with([terms(1, 9, 2, 1_000)]);
    let orders = [1, 2, 3].map(|user| shop.place(1, user, user).expect("stock is left"));
    shop.pay(&orders[1]);
    shop.cancel(&orders[2]);
    let orders = orders.map(|order| shop.stock.order(order.order_id).expect("held"));
    (shop, orders)
}

/// Feeds a wrong record to state machine and ledger and says what each names.
fn check(bug: &str, plant: impl FnOnce(&Shop, &[Order; 3]) -> Record) -> String {
    let (mut shop, orders) = shop();
    let record = plant(&shop, &orders);
    let before = shop.stock.snapshot();
    let refused = shop.stock.apply(&record);
    let after = shop.stock.snapshot();
    assert_eq!((before.seq, &before.items), (after.seq, &after.items), "{bug}: changed the state");
    assert_eq!(before.chunks, after.chunks, "{bug}: changed the orders");
    shop.ledger.record(&record);
    let named: Vec<String> = shop
        .ledger
        .findings()
        .iter()
        .filter(|(_, finding)| finding.broken > 0)
        .map(|(invariant, _)| (*invariant).to_owned())
        .collect();
    let refused = refused.map_or_else(
        |violation| format!("{}: {}", violation.invariant, violation.detail),
        |()| "accepted".to_owned(),
    );
    format!("{bug:32} | {:8} | {refused}\n", named.join(" "))
}

/// A further order that would be right.
fn next_order(shop: &Shop, user: u64, request: u64) -> Order {
    match shop.stock.decide(shop.now, &buying(1, user, request, 1)).outcome {
        Outcome::Placed(order) => order,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_planted_bug_is_named() {
    let order = |shop: &Shop, order: Order| shop.record(Event::Order(order));
    let mut table = String::new();
    for line in [
        check("a gap in the numbers", |shop, _| {
            let right = order(shop, next_order(shop, 4, 4));
            Record { seq: right.seq + 1, ..right }
        }),
        check("a number twice", |shop, _| {
            let right = order(shop, next_order(shop, 4, 4));
            Record { seq: right.seq - 1, ..right }
        }),
        check("an item opened twice", |shop, _| {
            shop.record(Event::ItemOpened(terms(1, 9, 2, 1_000)))
        }),
        check("more units than available", |shop, _| {
            let right = next_order(shop, 4, 4);
            order(shop, Order { quantity: 8, amount: 808, ..right })
        }),
        check("an order of an unknown item", |shop, _| {
            order(shop, Order { item_id: ItemId(8), ..next_order(shop, 4, 4) })
        }),
        check("beyond the buyer's limit", |shop, _| {
            let right = next_order(shop, 4, 4);
            order(shop, Order { quantity: 3, amount: 303, ..right })
        }),
        check("a wrong price", |shop, _| {
            order(shop, Order { amount: 1, ..next_order(shop, 4, 4) })
        }),
        check("an order granted twice", |shop, orders| {
            order(shop, Order { status: OrderStatus::Reserved, ..orders[0] })
        }),
        check("an older order id", |shop, orders| {
            let order_id = OrderId(orders[2].order_id.0 - 1);
            order(shop, Order { order_id, ..next_order(shop, 4, 4) })
        }),
        check("stock returned twice", |shop, orders| {
            order(shop, Order { status: OrderStatus::Expired, ..orders[2] })
        }),
        check("a paid order expires", |shop, orders| {
            order(shop, Order { status: OrderStatus::Expired, ..orders[1] })
        }),
        check("a cancelled order is paid", |shop, orders| {
            order(shop, Order { status: OrderStatus::Paid, ..orders[2] })
        }),
        check("a change of an unknown order", |shop, orders| {
            let order_id = OrderId(7);
            order(shop, Order { order_id, status: OrderStatus::Paid, ..orders[0] })
        }),
        check("a change of content", |shop, orders| {
            let user_id = UserId(4);
            order(shop, Order { user_id, status: OrderStatus::Paid, ..orders[0] })
        }),
    ] {
        write!(table, "{line}").expect("a string takes it");
    }
    insta::assert_snapshot!(table, @r"
    a gap in the numbers             | I5       | I5: record 8 follows record 6
    a number twice                   | I5       | I5: record 6 follows record 6
    an item opened twice             | I1       | I1: item opened twice
    more units than available        | I1 I2 I6 | I2: oversold
    an order of an unknown item      | I1       | I4: unknown item
    beyond the buyer's limit         | I6       | I6: 3 live units, limit 2
    a wrong price                    | I14      | I14: amount 1 for 1 at 101
    an order granted twice           | I7       | I7: order id does not grow
    an older order id                | I7       | I7: order id does not grow
    stock returned twice             | I10      | I10: cancelled became expired
    a paid order expires             | I10      | I10: paid became expired
    a cancelled order is paid        | I10      | I10: cancelled became paid
    a change of an unknown order     | I10      | I4: unknown order
    a change of content              | I10      | I4: the order's content differs
    ");
}

#[test]
fn a_second_order_for_one_request_is_named() {
    let (mut shop, orders) = shop();
    let order = Order { request_id: orders[0].request_id, attempt: 2, ..next_order(&shop, 1, 77) };
    let record = shop.record(Event::Order(order));
    shop.ledger.record(&record);
    assert_eq!(shop.ledger.findings()["I7"].broken, 1);
    // The state machine has no way to it: the repeat is answered with the first order.
    let repeat = shop.stock.decide(shop.now, &buying(1, 1, orders[0].request_id.0, 1));
    assert_eq!((repeat.event, repeat.outcome), (None, Outcome::Replayed(orders[0])));
}

#[test]
fn records_that_contradict_an_item_are_refused() {
    let (mut shop, _) = shop();
    for event in [
        Event::ItemRestocked { item_id: ItemId(1), units: u32::MAX },
        Event::ItemRestocked { item_id: ItemId(8), units: 1 },
        Event::ItemPaused(ItemId(8)),
        Event::ItemSettled(ItemId(8)),
        Event::ItemSettled(ItemId(1)),
        Event::Order(Order {
            order_id: OrderId::next(OrderId(u64::MAX >> 1), ShardId(3), shop.now),
            ..next_order(&shop, 4, 4)
        }),
    ] {
        let record = shop.record(event);
        assert!(shop.stock.apply(&record).is_err(), "{record:?}");
    }
    shop.ask(Command::End(ItemId(1)));
    for event in [Event::ItemPaused(ItemId(1)), Event::ItemResumed(ItemId(1))] {
        let record = shop.record(event);
        assert!(shop.stock.apply(&record).is_err(), "{record:?}");
    }
    shop.check();
    assert_eq!(shop.stock.shard(), SHARD);
    assert_eq!(shop.stock.order_of_request(UserId(1), RequestId(99)), None);
}
