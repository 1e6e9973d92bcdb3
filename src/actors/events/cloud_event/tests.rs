//! What records become, word by word: receivers rely on it.

use super::*;
use domain::{
    Admission, Buckets, Currency, ItemAction, ItemId, OperatorRequest, OrderId, OrderStatus,
    PaymentId, PaymentRecord, PaymentReference, PaymentState, ProviderName, RequestId, SaleId,
    Transfer,
};
use serde_json::{Value, json};
use std::num::NonZeroU64;

const SHARD: ShardId = ShardId(3);
const AT: Timestamp = Timestamp(1_920_585_600_250);

fn maker() -> EventMaker {
    let journal = JournalId(NonZeroU64::new(0x00c0_ffee_0000_0001).expect("a number"));
    EventMaker::new(journal, "https://shop.example")
}

fn record(event: Event) -> Record {
    Record { shard: SHARD, seq: 42, at: AT, event }
}

fn order(status: OrderStatus) -> Order {
    Order {
        order_id: OrderId(908_143_992_242_188_288),
        item_id: ItemId(7),
        sale_id: SaleId(5),
        user_id: UserId(9),
        request_id: RequestId(1),
        attempt: 1,
        quantity: 2,
        amount: 1_980,
        currency: Currency::CNY,
        status,
        expires_at: AT,
    }
}

fn payment(status_before: OrderStatus, status: OrderStatus, state: PaymentState) -> Event {
    let order = order(status);
    let payment = Payment {
        id: PaymentId { order_id: order.order_id, number: 1 },
        request_id: RequestId(1),
        provider: ProviderName::sandbox(),
        amount: 1_980,
        currency: Currency::CNY,
        state,
        reference: PaymentReference::parse("ch_1"),
        refund_reference: None,
    };
    Event::Payment(Box::new(PaymentRecord { payment, order, status_before }))
}

fn terms(buckets: Buckets) -> ItemTerms {
    ItemTerms {
        item_id: ItemId(7),
        sale_id: SaleId(5),
        product_id: "p-1".into(),
        price: 990,
        currency: Currency::CNY,
        allotted: 100,
        limit_per_user: 2,
        payment_window_milliseconds: 600_000,
        starts_at: AT,
        ends_at: AT.plus_milliseconds(1_000),
        admission: Admission::OPEN,
        buckets,
    }
}

fn made(event: Event) -> Option<Value> {
    let made = maker().make(&record(event), None)?;
    Some(serde_json::from_slice(&made.body).expect("JSON"))
}

#[test]
fn an_event_has_every_attribute_and_is_the_same_each_time() {
    let name =
        ExternalName { issuer: "https://login.mall.example".into(), subject: "李四".into() };
    let event = payment(OrderStatus::Reserved, OrderStatus::Paid, PaymentState::Captured);
    let made = maker().make(&record(event.clone()), Some(&name)).expect("an event");
    assert_eq!(made.id, "00c0ffee00000001-3-42");
    assert_eq!(
        (made.kind, made.shard, made.seq, made.at, made.partition_key),
        (EventType::OrderPaid, SHARD, 42, AT, 908_143_992_242_188_288)
    );
    let body: Value = serde_json::from_slice(&made.body).expect("JSON");
    assert_eq!(
        body,
        json!({
            "specversion": "1.0",
            "id": "00c0ffee00000001-3-42",
            "source": "https://shop.example",
            "type": "seckill.order.paid",
            "subject": "orders/908143992242188288",
            "time": "2030-11-11T00:00:00.250Z",
            "datacontenttype": "application/json",
            "partitionkey": "908143992242188288",
            "sequence": "00000000000000000042",
            "data": {
                "order_id": "908143992242188288", "item_id": "7", "sale_id": "5", "quantity": 2,
                "amount": 1980, "currency": "CNY", "status": "paid",
                "created_at": rfc3339::to_string(order(OrderStatus::Paid).created_at()),
                "expires_at": "2030-11-11T00:00:00.250Z",
                "buyer": {
                    "user_id": "9", "issuer": "https://login.mall.example", "subject": "李四",
                },
                "payment": {
                    "payment_id": "908143992242188288-1", "provider": "sandbox", "reference": "ch_1",
                    "amount": 1980, "currency": "CNY", "state": "captured",
                },
            },
        })
    );
    // Another maker, at another time and for another receiver.
    assert_eq!(maker().make(&record(event), Some(&name)), Some(made));
}

#[test]
fn an_orders_present_state_has_the_sequence_of_its_newest_record_and_an_identity_of_its_own() {
    let row = StoredOrder { order: order(OrderStatus::Paid), version: 42, changed_at: AT };
    let current = maker().make_current(&row, None).expect("an event");
    let shard = row.order.order_id.shard();
    assert_eq!(current.id, format!("{}-current", maker().id(shard, 42)));
    assert_eq!((current.kind, current.shard, current.seq), (EventType::OrderCurrent, shard, 42));
    let made = maker().make(&row.record(), None).expect("an event");
    let (mut current, mut made): (Value, Value) = (
        serde_json::from_slice(&current.body).expect("JSON"),
        serde_json::from_slice(&made.body).expect("JSON"),
    );
    assert_eq!(current["type"], "seckill.order.current");
    for differing in ["id", "type"] {
        assert_ne!(current[differing].take(), made[differing].take(), "{differing}");
    }
    assert_eq!(current, made, "all else is as of that record");
}

#[test]
fn no_two_records_have_one_id() {
    let ids: std::collections::HashSet<String> = (0..20)
        .flat_map(|shard| (1..200).map(move |seq| maker().id(ShardId(shard), seq)))
        .collect();
    assert_eq!(ids.len(), 20 * 199);
}

#[test]
fn every_record_is_the_event_that_it_should_be() {
    use OrderStatus::{Cancelled, Expired, Paid, RefundDue, Reserved};
    use PaymentState::{Captured, Failed, Refunded, Started};
    let operated = |action| Event::ItemOperated(Operation::unattributed(ItemId(7), action));
    let transfer = Transfer { item_id: ItemId(7), from: 0, to: 1, number: 1, units: 1 };
    let buckets = |shards: [u16; 2]| {
        Buckets::over(shards.into_iter().map(ShardId).collect()).expect("buckets")
    };
    #[rustfmt::skip]
    let table = [
        (Event::Order(order(Reserved)),                       Some("seckill.order.reserved")),
        (Event::Order(order(Paid)),                           Some("seckill.order.paid")),
        (Event::Order(order(Cancelled)),                      Some("seckill.order.cancelled")),
        (Event::Order(order(Expired)),                        Some("seckill.order.expired")),
        (payment(Reserved, Reserved, Started),                None),
        (payment(Reserved, Reserved, Failed),                 None),
        (payment(Reserved, Paid, Captured),                   Some("seckill.order.paid")),
        (payment(Expired, RefundDue, PaymentState::RefundDue), Some("seckill.order.refund_due")),
        (payment(Paid, Paid, PaymentState::RefundDue),        Some("seckill.payment.refund_due")),
        (payment(RefundDue, RefundDue, Refunded),             Some("seckill.order.refunded")),
        (payment(Paid, Paid, Refunded),                       Some("seckill.payment.refunded")),
        (Event::ItemOpened(terms(Buckets::ONE)),              Some("seckill.item.opened")),
        (Event::ItemOpened(terms(buckets([3, 1]))),           Some("seckill.item.opened")),
        (Event::ItemOpened(terms(buckets([1, 3]))),           None),
        (operated(ItemAction::Restock(5)),                    Some("seckill.item.restocked")),
        (operated(ItemAction::Reduce(5)),                     Some("seckill.item.reduced")),
        (operated(ItemAction::Pause),                         Some("seckill.item.paused")),
        (operated(ItemAction::Resume),                        Some("seckill.item.resumed")),
        (operated(ItemAction::End),                           Some("seckill.item.ended")),
        (operated(ItemAction::Admit(Admission::OPEN)),        None),
        (Event::ItemSettled(ItemId(7)),                       Some("seckill.item.settled")),
        (Event::UnitsSent(transfer),                          None),
        (Event::UnitsReceived(transfer),                      None),
        (Event::TransferSettled(transfer),                    None),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (event, kind) in table {
        let body = made(event.clone());
        let found = body.as_ref().and_then(|body| body["type"].as_str());
        assert_eq!(found, kind, "{event:?}");
        seen.extend(kind.and_then(EventType::from_name));
    }
    // No record is this one: it is what the order store has.
    assert!(seen.insert(EventType::OrderCurrent));
    let all: std::collections::BTreeSet<EventType> = EventType::ALL.iter().copied().collect();
    assert_eq!(seen, all, "each type is somebody's");
}

#[test]
fn items_are_told_of_by_their_own_names() {
    let opened = made(Event::ItemOpened(terms(Buckets::ONE))).expect("an event");
    assert_eq!(opened["subject"], "items/7");
    assert_eq!(opened["partitionkey"], "7");
    assert_eq!(
        opened["data"],
        json!({
            "item_id": "7", "sale_id": "5", "product_id": "p-1", "price": 990, "currency": "CNY",
            "allotted": 100, "limit_per_user": 2, "payment_window_seconds": 600,
            "starts_at": "2030-11-11T00:00:00.250Z", "ends_at": "2030-11-11T00:00:01.250Z",
        })
    );
    let request = OperatorRequest { operator: "ann".into(), request_id: None };
    let operation =
        Operation { item_id: ItemId(7), action: ItemAction::Restock(5), request: Some(request) };
    let restocked = made(Event::ItemOperated(operation)).expect("an event");
    assert_eq!(restocked["data"], json!({ "item_id": "7", "units": 5, "operator": "ann" }));
    let settled = made(Event::ItemSettled(ItemId(7))).expect("an event");
    assert_eq!(settled["data"], json!({ "item_id": "7" }));
}
