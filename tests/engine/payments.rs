//! Payments through mailbox, shard and journal: who hears of them, what is counted, and what is known of them
//! after a restart.

use domain::{
    Command, ItemId, ItemTerms, Order, OrderStatus, Outcome, PaymentAsked, PaymentId,
    PaymentNotice, PaymentOutcome, PaymentReference, PaymentResult, PaymentState, ProviderName,
    RequestId,
};
use futures_util::FutureExt as _;
use seckill::actors::{KeyOrigin, Reply};
use support::{Purchases, Shop, placed, terms};

const HOUR: u64 = 3_600_000;

fn provider() -> ProviderName {
    ProviderName::parse("psp").expect("a name")
}

fn reference(text: &str) -> PaymentReference {
    PaymentReference::parse(text).expect("a reference")
}

/// The buyer begins to pay, by request 7.
fn start(order: &Order) -> Command {
    let Order { order_id, user_id, .. } = *order;
    let (request_id, provider) = (RequestId(7), provider());
    Command::StartPayment(Box::new(PaymentAsked { order_id, user_id, request_id, provider }))
}

/// The order's price has come by its first payment, under this name.
fn money(order: &Order, name: &str) -> Command {
    let Order { order_id, amount, currency, .. } = *order;
    Command::NotePayment(Box::new(PaymentNotice {
        id: PaymentId { order_id, number: 1 },
        provider: provider(),
        reference: reference(name),
        result: PaymentResult::Captured { amount, currency },
        stored: None,
    }))
}

fn refund(order: &Order, number: u16) -> Command {
    let id = PaymentId { order_id: order.order_id, number };
    Command::Refund { id, reference: reference("R1") }
}

async fn decided(shop: &Shop, order: &Order, command: Command) -> PaymentOutcome {
    match shop.engine.decide_order(order.order_id, command).await {
        Reply::Decided(Outcome::Payment(outcome)) => outcome,
        other => panic!("{other:?}"),
    }
}

async fn buy(shop: &Shop) -> Order {
    placed(shop.engine.purchase(1, 1, 1, KeyOrigin::Client).await).expect("stock is left")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_hear_of_a_payment_if_it_changes_its_order() {
    let shop = Shop::open().await;
    shop.engine.open_item(terms(1, 2, HOUR)).await;
    let order = buy(&shop).await;
    let mut changes = shop.engine.watch_order(order.order_id);
    assert_eq!(decided(&shop, &order, start(&order)).await.state, PaymentState::Started);
    assert_eq!(changes.next().now_or_never(), None, "the order is as it was");
    let paid = decided(&shop, &order, money(&order, "P1")).await;
    assert_eq!((paid.state, paid.order.status), (PaymentState::Captured, OrderStatus::Paid));
    let heard = changes.next().now_or_never().expect("before the answer");
    assert_eq!(heard, Ok(Some(Order { status: OrderStatus::Paid, ..order })));
    let besides = decided(&shop, &order, money(&order, "P2")).await;
    assert_eq!((besides.id.number, besides.state), (2, PaymentState::RefundDue));
    let refunded = decided(&shop, &order, refund(&order, 2)).await;
    assert_eq!(refunded.state, PaymentState::Refunded);
    assert_eq!(changes.next().now_or_never(), None, "the order is as it was");
    let counters = shop.engine.gate(ItemId(1)).expect("open").counters();
    assert_eq!((counters.reserved, counters.sold), (0, 1));
    let figures = shop.engine.decisions();
    assert_eq!(figures.payments, [1, 1, 0, 1, 1]);
    let orders = [OrderStatus::Reserved, OrderStatus::Paid, OrderStatus::RefundDue];
    assert_eq!(orders.map(|status| figures.orders(status)), [1, 1, 0], "each change once");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_costs_nothing_is_paid_as_it_is_placed() {
    let shop = Shop::open().await;
    shop.engine.open_item(ItemTerms { price: 0, ..terms(1, 2, HOUR) }).await;
    let order = buy(&shop).await;
    assert_eq!((order.amount, order.status), (0, OrderStatus::Paid));
    let counters = shop.engine.gate(ItemId(1)).expect("open").counters();
    assert_eq!((counters.available, counters.reserved, counters.sold), (1, 0, 1));
    let again = shop.engine.purchase(1, 1, 1, KeyOrigin::Client).await;
    assert_eq!(again, Reply::Decided(Outcome::Replayed(order)));
    assert_eq!(shop.engine.pay(&order).await, Reply::Decided(Outcome::Order(order)));
    let shop = shop.reopen().await;
    assert_eq!(shop.engine.order(order.order_id).await, Ok(Some(order)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_money_is_known_as_before() {
    let mut shop = Shop::open().await;
    shop.engine.open_item(terms(1, 2, HOUR)).await;
    let order = buy(&shop).await;
    decided(&shop, &order, start(&order)).await;
    shop = shop.reopen().await;
    assert!(decided(&shop, &order, start(&order)).await.is_repeat);
    let noted = decided(&shop, &order, money(&order, "P1")).await;
    assert_eq!((noted.state, noted.is_repeat), (PaymentState::Captured, false));
    shop = shop.reopen().await;
    let noted = decided(&shop, &order, money(&order, "P1")).await;
    assert_eq!((noted.state, noted.is_repeat), (PaymentState::Captured, true));
    let besides = decided(&shop, &order, money(&order, "P2")).await;
    assert_eq!(besides.state, PaymentState::RefundDue);
    shop = shop.reopen().await;
    assert!(!decided(&shop, &order, refund(&order, 2)).await.is_repeat);
    shop = shop.reopen().await;
    assert!(decided(&shop, &order, refund(&order, 2)).await.is_repeat);
    shop.close().await;
}
