//! The checkers are checked: for each rule a record that breaks it, which state machine and ledger
//! name alike.

use crate::shard::{OPENING, SHARD, Shard, buying, operate, operated, requested, terms};
use domain::invariants::{Invariant, Ledger, Rule};
use domain::{
    Command, Currency, Event, ItemAction, ItemId, Order, OrderId, OrderStatus, Outcome, Payment,
    PaymentId, PaymentRecord, PaymentReference, PaymentState, ProviderName, Record, RequestId,
    ShardId, Timestamp, UserId,
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
    assert_eq!(before.payments, after.payments, "{bug}: changed the payments");
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

/// The first payment of an order by a provider `psp`, which has this money of it.
fn payment(order: &Order, state: PaymentState) -> Payment {
    let reference = |text| PaymentReference::parse(text);
    Payment {
        id: PaymentId { order_id: order.order_id, number: 1 },
        request_id: RequestId(7),
        provider: ProviderName::parse("psp").expect("a name"),
        amount: order.amount,
        currency: order.currency,
        state,
        reference: reference("P1").filter(|_| state.has_money()),
        refund_reference: reference("R1").filter(|_| state == PaymentState::Refunded),
    }
}

/// The record of a payment that leads its order to this status.
fn paying(shop: &Shard, order: &Order, payment: Payment, status: OrderStatus) -> Record {
    let (status_before, order) = (order.status, Order { status, ..*order });
    shop.record(Event::Payment(Box::new(PaymentRecord { payment, order, status_before })))
}

/// Money of the paid order 2 that came besides, in this state.
fn besides(shop: &mut Shard, order: &Order, state: PaymentState) -> Payment {
    let id = PaymentId { order_id: order.order_id, number: 2 };
    let besides = Payment { id, ..payment(order, PaymentState::RefundDue) };
    let record = paying(shop, order, besides, order.status);
    shop.stock.apply(&record).expect("sound");
    shop.ledger.record(&record);
    Payment { id, ..payment(order, state) }
}

#[test]
fn each_planted_bug_of_money_is_named() {
    use OrderStatus::{Cancelled, Paid, RefundDue, Reserved};
    use PaymentState as State;
    let mut table = String::new();
    for line in [
        check("less than the price pays", |shop, [order, ..]| {
            let less = Payment { amount: 1, ..payment(order, State::Captured) };
            paying(shop, order, less, Paid)
        }),
        check("another currency pays", |shop, [order, ..]| {
            let currency = Currency::parse("JPY").expect("a code");
            paying(shop, order, Payment { currency, ..payment(order, State::Captured) }, Paid)
        }),
        check("money pays nothing", |shop, [order, ..]| {
            paying(shop, order, payment(order, State::Captured), Reserved)
        }),
        check("money that goes back pays", |shop, [order, ..]| {
            paying(shop, order, payment(order, State::RefundDue), Paid)
        }),
        check("an order is paid twice", |shop, [_, paid, _]| {
            let id = PaymentId { order_id: paid.order_id, number: 2 };
            paying(shop, paid, Payment { id, ..payment(paid, State::Captured) }, Paid)
        }),
        check("money is counted twice", |shop, [_, paid, _]| {
            let counted = besides(shop, paid, State::RefundDue);
            let id = PaymentId { number: 3, ..counted.id };
            paying(shop, paid, Payment { id, ..counted }, Paid)
        }),
        check("a paid order is cancelled", |shop, [_, paid, _]| {
            let id = PaymentId { order_id: paid.order_id, number: 2 };
            paying(shop, paid, Payment { id, ..payment(paid, State::RefundDue) }, Cancelled)
        }),
        check("a failed payment that never began", |shop, [order, ..]| {
            paying(shop, order, payment(order, State::Failed), Reserved)
        }),
        check("a refund of nothing", |shop, [order, ..]| {
            paying(shop, order, payment(order, State::Refunded), Reserved)
        }),
        check("a refund of another amount", |shop, [_, paid, _]| {
            let refunded = besides(shop, paid, State::Refunded);
            paying(shop, paid, Payment { amount: 1, ..refunded }, Paid)
        }),
        check("a refund due again", |shop, [_, paid, _]| {
            let refunded = besides(shop, paid, State::Refunded);
            let record = paying(shop, paid, refunded.clone(), Paid);
            shop.stock.apply(&record).expect("sound");
            shop.ledger.record(&record);
            let (state, reference) = (State::RefundDue, PaymentReference::parse("P2"));
            let again = Payment { state, reference, refund_reference: None, ..refunded };
            paying(shop, paid, again, Paid)
        }),
        check("money without a name", |shop, [.., cancelled]| {
            let nameless = Payment { reference: None, ..payment(cancelled, State::RefundDue) };
            paying(shop, cancelled, nameless, RefundDue)
        }),
        check("another provider's", |shop, [_, paid, _]| {
            let refunded = besides(shop, paid, State::Refunded);
            paying(shop, paid, Payment { provider: ProviderName::sandbox(), ..refunded }, Paid)
        }),
        check("another order's payment", |shop, [order, paid, _]| {
            paying(shop, order, payment(paid, State::Started), Reserved)
        }),
        check("a payment of no order", |shop, [order, ..]| {
            let order = Order { order_id: OrderId(7), ..*order };
            paying(shop, &order, payment(&order, State::Started), Reserved)
        }),
        check("an order that was otherwise", |shop, [order, ..]| {
            let paid = Order { status: Paid, ..*order };
            paying(shop, &paid, payment(order, State::Started), Reserved)
        }),
        check("an order of other content", |shop, [order, ..]| {
            let other = Order { user_id: UserId(4), ..*order };
            paying(shop, &other, payment(order, State::Started), Reserved)
        }),
        check("a settled order is changed", |shop, [.., cancelled]| {
            settle(shop);
            paying(shop, cancelled, payment(cancelled, State::RefundDue), RefundDue)
        }),
    ] {
        write!(table, "{line}").expect("a string takes it");
    }
    insta::assert_snapshot!(table, @r"
    less than the price pays         | I17   | I17: payment 360428286771220480-1 of 1 is captured and its order of 101 went from reserved to paid
    another currency pays            | I17   | I17: payment 360428286771220480-1 of 101 is captured and its order of 101 went from reserved to paid
    money pays nothing               | I17   | I17: payment 360428286771220480-1 of 101 is captured and its order of 101 went from reserved to reserved
    money that goes back pays        | I17   | I17: payment 360428286771220480-1 of 101 is refund_due and its order of 101 went from reserved to paid
    an order is paid twice           | I17   | I17: payment 360428286771220481-2 of 101 is captured and its order of 101 went from paid to paid
    money is counted twice           | I17   | I17: payment 360428286771220481-3 counts money that was counted before
    a paid order is cancelled        | I10   | I10: paid became cancelled
    a failed payment that never began | form  | form: payment 360428286771220480-1 became failed
    a refund of nothing              | form  | form: payment 360428286771220480-1 became refunded
    a refund of another amount       | form  | form: payment 360428286771220481-2 changed its content
    a refund due again               | form  | form: payment 360428286771220481-2 became refund_due
    money without a name             | form  | form: payment 360428286771220482-1 changed its content
    another provider's               | form  | form: payment 360428286771220481-2 changed its content
    another order's payment          | form  | form: the payment is another order's
    a payment of no order            | form  | form: the order was never granted
    an order that was otherwise      | form  | form: the order had another status
    an order of other content        | form  | form: the order's content differs
    a settled order is changed       | form  | form: the order was released
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
fn at_several_nodes_a_request_gets_one_order_of_each_item() {
    let mut shop = Shard::with([]);
    shop.ledger = Ledger::of_several_nodes();
    for item in [1, 2] {
        shop.ask(Command::Open(terms(item, 9, 2, 1_000)));
        shop.place(item, 7, 77).expect("stock is left");
    }
    assert_eq!(shop.ledger.reuses(), 1);
    let order = Order { request_id: RequestId(77), ..next_order_of(&shop, 2, 7, 78) };
    let record = shop.record(Event::Order(order));
    shop.ledger.record(&record);
    assert_eq!(shop.ledger.finding(Invariant::I7).broken, 1, "two of one item");
    let mut alone = Ledger::default();
    shop.records.iter().for_each(|record| alone.record(record));
    assert_eq!((alone.finding(Invariant::I7).broken, alone.reuses()), (1, 0), "at one node");
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
