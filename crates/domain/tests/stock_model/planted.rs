//! The checkers are checked: for each rule a record that breaks it, which state machine and ledger
//! name alike.

use crate::shard::{OPENING, SHARD, Shard, buying, operate, operated, requested, terms};
use domain::invariants::{Invariant, Rule};
use domain::{
    Command, Event, ItemAction, ItemId, Order, OrderId, OrderStatus, Outcome, Record, ShardId,
    Timestamp, UserId,
};
use std::fmt::Write;

/// A shop with an item of nine units at 101, limit two: user 1 has order 1 reserved, user 2 has
/// paid one and user 3 has let one expire, so that seven units are left, one of which came back.
fn shop() -> (Shard, [Order; 3]) {
    let mut shop = Shard::with([terms(1, 9, 2, 1_000)]);
    let orders = [1, 2, 3].map(|user| shop.place(1, user, user).expect("stock is left"));
    shop.pay(&orders[1]);
    shop.cancel(&orders[2]);
    let orders = orders.map(|order| shop.stock.order(order.order_id).expect("held"));
    (shop, orders)
}

/// Feeds a record with one bug to state machine and ledger, which must name the same rule and no
/// other; tells what both say.
fn check(bug: &str, plant: impl FnOnce(&mut Shard, &[Order; 3]) -> Record) -> String {
    let (line, refused, named) = feed(bug, plant);
    assert_eq!(named, Vec::from_iter(refused), "{bug}: state machine and ledger differ");
    line
}

/// As [`check`], for a record with several bugs, of which the state machine names the first.
fn check_first(bug: &str, plant: impl FnOnce(&mut Shard, &[Order; 3]) -> Record) -> String {
    let (line, refused, named) = feed(bug, plant);
    assert!(refused.is_some_and(|rule| named.contains(&rule)), "{bug}: the ledger misses it");
    line
}

/// A line for the table, what the state machine named and what the ledger did.
fn feed(
    bug: &str,
    plant: impl FnOnce(&mut Shard, &[Order; 3]) -> Record,
) -> (String, Option<Rule>, Vec<Rule>) {
    let (mut shop, orders) = shop();
    let record = plant(&mut shop, &orders);
    let before = shop.stock.snapshot();
    let refused = shop.stock.apply(&record);
    let after = shop.stock.snapshot();
    assert_eq!((before.seq, &before.items), (after.seq, &after.items), "{bug}: changed the state");
    assert_eq!(before.chunks, after.chunks, "{bug}: changed the orders");
    shop.ledger.record(&record);
    let broken = shop.ledger.findings().iter().filter(|(_, finding)| finding.broken > 0);
    let named: Vec<Rule> = broken.map(|(rule, _)| *rule).collect();
    let violation = refused.err();
    let refused = violation.as_ref().map_or_else(
        || "accepted".to_owned(),
        |violation| format!("{}: {}", violation.rule, violation.detail),
    );
    let names: Vec<String> = named.iter().map(Rule::to_string).collect();
    let line = format!("{bug:32} | {:5} | {refused}\n", names.join(" "));
    (line, violation.map(|violation| violation.rule), named)
}

/// A further order that would be right.
fn next_order(shop: &Shard, user: u64, request: u64) -> Order {
    next_order_of(shop, 1, user, request)
}

/// Ends and settles the item, all of whose orders are closed by then; a further order that would
/// have been right before.
fn settle(shop: &mut Shard) -> Order {
    let order = next_order(shop, 4, 4);
    shop.now = shop.now.plus_milliseconds(2_000);
    shop.expire(9);
    shop.ask(operate(ItemId(1), ItemAction::End));
    shop.ask(Command::Settle { item_id: ItemId(1), stored_seq: shop.stock.seq() });
    order
}

fn next_order_of(shop: &Shard, item: u64, user: u64, request: u64) -> Order {
    match shop.stock.decide(shop.now, &buying(item, user, request, 1)).outcome {
        Outcome::Placed(order) => order,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_planted_bug_is_named() {
    let order = |shop: &Shard, order: Order| shop.record(Event::Order(order));
    let other_shard = OrderId::next(OrderId(u64::MAX >> 1), ShardId(3), OPENING);
    let earlier = OrderId::next(OrderId(0), SHARD, Timestamp(OPENING.0 - 1));
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
            shop.ask(Command::Open(terms(2, 1, 2, 1_000)));
            let right = next_order_of(shop, 2, 4, 4);
            order(shop, Order { quantity: 2, amount: 204, ..right })
        }),
        check_first("and beyond the limit", |shop, _| {
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
        check("a second order for one request", |shop, orders| {
            let right = next_order(shop, 1, 77);
            order(shop, Order { request_id: orders[0].request_id, ..right })
        }),
        check("an order id that is taken", |shop, orders| {
            let order_id = OrderId(orders[2].order_id.0 - 1);
            order(shop, Order { order_id, ..next_order(shop, 4, 4) })
        }),
        check("an older order id", |shop, _| {
            order(shop, Order { order_id: earlier, ..next_order(shop, 4, 4) })
        }),
        check("an order of another shard", |shop, _| {
            order(shop, Order { order_id: other_shard, ..next_order(shop, 4, 4) })
        }),
        check("an attempt that was left out", |shop, _| {
            order(shop, Order { attempt: 2, ..next_order(shop, 4, 4) })
        }),
        check("an order of a settled item", |shop, _| {
            let right = settle(shop);
            order(shop, right)
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
        check("a change of a settled order", |shop, orders| {
            settle(shop);
            order(shop, Order { status: OrderStatus::RefundDue, ..orders[2] })
        }),
        check("a restock beyond the bound", |shop, _| {
            shop.record(operated(ItemId(1), ItemAction::Restock(u32::MAX)))
        }),
        check("a restock of an unknown item", |shop, _| {
            shop.record(operated(ItemId(8), ItemAction::Restock(1)))
        }),
        check("an operation done twice", |shop, _| {
            let restock = requested(1, ItemAction::Restock(1), 7);
            shop.ask(Command::Operate(restock.clone()));
            shop.record(Event::ItemOperated(restock))
        }),
        check("more units taken back than there are", |shop, _| {
            let available = shop.stock.item(ItemId(1)).expect("an item").counters.available;
            shop.record(operated(ItemId(1), ItemAction::Reduce(available + 1)))
        }),
        check("a pause of an unknown item", |shop, _| {
            shop.record(operated(ItemId(8), ItemAction::Pause))
        }),
        check("an unknown item is settled", |shop, _| shop.record(Event::ItemSettled(ItemId(8)))),
        check("reserved units are settled", |shop, _| shop.record(Event::ItemSettled(ItemId(1)))),
        check("an ended item is paused", |shop, _| {
            shop.ask(operate(ItemId(1), ItemAction::End));
            shop.record(operated(ItemId(1), ItemAction::Pause))
        }),
        check("an ended item is resumed", |shop, _| {
            shop.ask(operate(ItemId(1), ItemAction::End));
            shop.record(operated(ItemId(1), ItemAction::Resume))
        }),
    ] {
        write!(table, "{line}").expect("a string takes it");
    }
    insta::assert_snapshot!(table, @r"
    a gap in the numbers             | I5    | I5: record 8 follows record 6
    a number twice                   | I5    | I5: record 6 follows record 6
    an item opened twice             | form  | form: the item was opened twice
    more units than available        | I2    | I2: available is -1
    and beyond the limit             | I2 I6 | I2: available is -1
    an order of an unknown item      | form  | form: the item was never opened
    beyond the buyer's limit         | I6    | I6: 3 live units, limit 2
    a wrong price                    | I14   | I14: amount 1 for 1 at 101
    an order granted twice           | I7    | I7: one request was granted order 360428286771220480, then 360428286771220480
    a second order for one request   | I7    | I7: one request was granted order 360428286771220480, then 360428286771220483
    an order id that is taken        | form  | form: the order's id does not grow
    an older order id                | form  | form: the order's id does not grow
    an order of another shard        | form  | form: the order is another shard's
    an attempt that was left out     | form  | form: attempts are not dense or too many
    an order of a settled item       | form  | form: the item was settled
    stock returned twice             | I10   | I10: cancelled became expired
    a paid order expires             | I10   | I10: paid became expired
    a cancelled order is paid        | I10   | I10: cancelled became paid
    a change of an unknown order     | form  | form: the order was never granted
    a change of content              | form  | form: the order's content differs
    a change of a settled order      | form  | form: the order was never granted
    a restock beyond the bound       | form  | form: the allotment is out of range
    a restock of an unknown item     | form  | form: the item was never opened
    an operation done twice          | form  | form: the operation was done before
    more units taken back than there are | I2    | I2: available is -1
    a pause of an unknown item       | form  | form: the item was never opened
    an unknown item is settled       | form  | form: the item was never opened
    reserved units are settled       | form  | form: the item was settled with reserved units
    an ended item is paused          | form  | form: the item had ended
    an ended item is resumed         | form  | form: the item had ended
    ");
}

#[test]
fn a_second_order_for_one_request_is_named() {
    let (mut shop, orders) = shop();
    let order = Order { request_id: orders[0].request_id, attempt: 2, ..next_order(&shop, 1, 77) };
    let record = shop.record(Event::Order(order));
    shop.ledger.record(&record);
    assert_eq!(shop.ledger.finding(Invariant::I7).broken, 1);
    assert_eq!(shop.stock.apply(&record).expect_err("refused").rule, Invariant::I7.into());
    // The state machine does not decide it: the repeat is answered with the first order.
    let repeat = shop.stock.decide(shop.now, &buying(1, 1, orders[0].request_id.0, 1));
    assert_eq!((repeat.event, repeat.outcome), (None, Outcome::Replayed(orders[0])));
}

#[test]
fn records_that_contradict_an_item_are_refused() {
    let (mut shop, _) = shop();
    for event in [
        operated(ItemId(1), ItemAction::Restock(u32::MAX)),
        operated(ItemId(8), ItemAction::Restock(1)),
        operated(ItemId(8), ItemAction::Pause),
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
    shop.ask(operate(ItemId(1), ItemAction::End));
    for event in [operated(ItemId(1), ItemAction::Pause), operated(ItemId(1), ItemAction::Resume)] {
        let record = shop.record(event);
        assert!(shop.stock.apply(&record).is_err(), "{record:?}");
    }
    shop.check();
    assert_eq!(shop.stock.shard(), SHARD);
    assert_eq!(shop.stock.order_of_request(UserId(1), domain::RequestId(99)), None);
}
