//! What concerns payments and buckets travels whole, and what means nothing is malformed.

use super::*;
use domain::payment::{OrderPayments, PaymentAsked, PaymentNotice, PaymentOutcome};
use domain::{
    Currency, OrderStatus, Payment, PaymentId, PaymentReference, PaymentResult, PaymentState,
    ProviderName, Refusal,
};

fn order() -> Order {
    Order {
        order_id: OrderId(1 << 12),
        item_id: ItemId(1),
        sale_id: SaleId(1),
        user_id: UserId(7),
        request_id: RequestId(3),
        attempt: 1,
        quantity: 1,
        amount: 990,
        currency: Currency::CNY,
        status: OrderStatus::RefundDue,
        expires_at: Timestamp(5),
    }
}

fn payment(number: u16, state: PaymentState) -> Payment {
    let reference = PaymentReference::parse("P1");
    Payment {
        id: PaymentId { order_id: order().order_id, number },
        request_id: RequestId(9),
        provider: ProviderName::sandbox(),
        amount: 990,
        currency: Currency::CNY,
        state,
        reference: reference.clone().filter(|_| state.has_money()),
        refund_reference: reference.filter(|_| state == PaymentState::Refunded),
    }
}

fn notice(result: PaymentResult, stored: Option<OrderPayments>) -> Ask {
    Ask::Command(Command::NotePayment(Box::new(PaymentNotice {
        id: payment(2, PaymentState::Started).id,
        provider: ProviderName::sandbox(),
        reference: PaymentReference::parse("P2").expect("a reference"),
        result,
        stored: stored.map(Box::new),
    })))
}

fn travels(ask: &Ask) {
    let what = encode_ask(ask).expect("asked of others");
    assert_eq!(decode_ask(Some(what)), Ok(ask.clone()));
}

#[test]
fn what_concerns_payments_arrives_as_it_was_sent() {
    let payments = (1..).zip(PaymentState::ALL).map(|(number, state)| payment(number, state));
    let stored = OrderPayments { order: order(), payments: payments.collect() };
    let captured = PaymentResult::Captured { amount: 5, currency: Currency::CNY };
    travels(&notice(captured, Some(stored.clone())));
    travels(&notice(PaymentResult::Failed, None));
    let Order { order_id, user_id, request_id, .. } = order();
    let provider = ProviderName::sandbox();
    let asked = PaymentAsked { order_id, user_id, request_id, provider };
    travels(&Ask::Command(Command::StartPayment(Box::new(asked))));
    let (id, reference) = (stored.payments[1].id, PaymentReference::parse("R").expect("one"));
    travels(&Ask::Command(Command::Refund { id, reference }));
    for outcome in [
        Outcome::Payment(PaymentOutcome {
            id,
            state: PaymentState::Refunded,
            order: order(),
            is_repeat: true,
        }),
        Outcome::Refused(Refusal::PaymentNotFound),
        Outcome::Refused(Refusal::PaymentClosed(PaymentState::Failed)),
        Outcome::Refused(Refusal::TooManyPayments),
    ] {
        assert_eq!(decode_outcome(encode_outcome(outcome)), Ok(outcome));
    }
}

#[test]
fn payments_that_mean_nothing_are_malformed() {
    let twice = vec![payment(1, PaymentState::Started), payment(1, PaymentState::Started)];
    let stored = OrderPayments { order: order(), payments: twice };
    let what = encode_ask(&notice(PaymentResult::Failed, Some(stored))).expect("asked");
    assert_eq!(decode_ask(Some(what)), Err(Malformed("payments out of place")));
    let refusal = proto::Refusal { kind: refusal::PAYMENT_CLOSED, value: 9, order: None };
    assert_eq!(decode_refusal(refusal), Err(Malformed("payment's state")));
}

fn terms() -> ItemTerms {
    ItemTerms {
        item_id: ItemId(7),
        sale_id: SaleId(2),
        product_id: "pear".into(),
        price: 990,
        currency: Currency::CNY,
        allotted: 30,
        limit_per_user: 2,
        payment_window_milliseconds: 60_000,
        starts_at: Timestamp(1),
        ends_at: Timestamp(9),
        admission: Admission::OPEN,
        buckets: Buckets::over(vec![ShardId(3), ShardId(0), ShardId(9)]).expect("distinct"),
    }
}

fn bucket(peers: Vec<Peer>) -> Item {
    Item {
        terms: terms(),
        phase: ItemPhase::Paused,
        counters: ItemCounters { allotted: 12, available: 2, reserved: 7, sold: 3 },
        admission: Admission::OPEN,
        is_settled: false,
        seq: 41,
        exchange: Some(Box::new(Exchange { bucket: 1, allotted: 30, peers })),
    }
}

#[test]
fn what_moves_units_arrives_as_it_was_sent() {
    let transfer = Transfer { item_id: ItemId(7), from: 1, to: 63, number: u32::MAX, units: 4 };
    let wanted = UnitsWanted { item_id: ItemId(7), to: 63, units: 9, buyers_wait: false };
    for command in [
        Command::SendUnits(wanted),
        Command::ReceiveUnits(transfer),
        Command::SettleTransfer(transfer),
        Command::Open(terms()),
    ] {
        travels(&Ask::Command(command));
    }
    let outcome = Outcome::Transferred(transfer);
    assert_eq!(decode_outcome(encode_outcome(outcome)), Ok(outcome));
    // Whether buyers wait is for the bucket that gives to say.
    let waiting = Ask::Command(Command::SendUnits(UnitsWanted { buyers_wait: true, ..wanted }));
    let what = encode_ask(&waiting).expect("asked of others");
    assert_eq!(decode_ask(Some(what)), Ok(Ask::Command(Command::SendUnits(wanted))));
}

#[test]
fn buckets_arrive_as_their_shards_have_them() {
    travels(&Ask::ReadBuckets((1..=READ_MAX as u64).map(ItemId).collect()));
    let peers = vec![
        Peer { bucket: 0, sent: 5, open_units: 3, received: 0 },
        Peer { bucket: 2, sent: 0, open_units: 0, received: 8 },
    ];
    for item in [bucket(peers), bucket(Vec::new())] {
        for answer in [Answer::Item(Some(item.clone())), Answer::Buckets(vec![item.clone(), item])]
        {
            assert_eq!(decode_answer(Some(encode_answer(answer.clone()))), Ok(answer));
        }
    }
    let none = Answer::Buckets(Vec::new());
    assert_eq!(decode_answer(Some(encode_answer(none.clone()))), Ok(none));
}

#[test]
fn buckets_that_mean_nothing_are_malformed() {
    let many = Ask::ReadBuckets((0..=READ_MAX as u64).map(ItemId).collect());
    let what = encode_ask(&many).expect("asked of others");
    assert_eq!(decode_ask(Some(what)), Err(Malformed("too many items")));
    let twice = vec![Peer { bucket: 2, ..Peer::default() }; 2];
    let what = encode_answer(Answer::Buckets(vec![bucket(twice)]));
    assert_eq!(decode_answer(Some(what)), Err(Malformed("buckets out of place")));
    let far = proto::Transfer { item: 7, from: 256, to: 0, number: 1, units: 1 };
    let what = call::What::ReceiveUnits(far);
    assert_eq!(decode_ask(Some(what)), Err(Malformed("bucket")));
    let mut item = encode_item(&bucket(Vec::new()));
    if let Some(terms) = &mut item.terms {
        terms.buckets = vec![1, 1];
    }
    assert_eq!(decode_item(item), Err(Malformed("buckets")));
}

#[test]
fn the_nodes_own_calls_have_room_beside_those_of_buyers() {
    let wanted = UnitsWanted { item_id: ItemId(7), to: 1, units: 9, buyers_wait: false };
    let own = encode_ask(&Ask::Command(Command::SendUnits(wanted))).expect("asked of others");
    let buy = Buy { item_id: ItemId(7), user_id: UserId(1), request_id: RequestId(1), quantity: 1 };
    let buyers = encode_ask(&Ask::Buy { buy, origin: 1, trace: None }).expect("asked of others");
    assert_eq!((room(&own), room(&buyers)), (Room::Upkeep, Room::Buyers));
}

#[test]
fn a_purchases_trace_travels_and_what_is_no_trace_is_none() {
    let (item_id, user_id) = (ItemId(1), UserId(7));
    let buy = Buy { item_id, user_id, request_id: RequestId(3), quantity: 1 };
    let trace = Some(TraceContext { trace_id: u128::MAX - 1, span_id: 5 });
    for trace in [None, trace] {
        travels(&Ask::Buy { buy, origin: 1, trace });
    }
    for traceparent in ["x".repeat(1 << 20), "00-no-trace-01".to_owned()] {
        let Ok(call::What::Buy(message)) = encode_ask(&Ask::Buy { buy, origin: 1, trace }) else {
            panic!("a purchase");
        };
        let garbled = call::What::Buy(proto::Buy { traceparent, ..message });
        assert_eq!(decode_ask(Some(garbled)), Ok(Ask::Buy { buy, origin: 1, trace: None }));
    }
}

#[test]
fn a_wait_for_a_change_arrives_as_it_was_sent() {
    for known in OrderStatus::ALL {
        let wait = Duration::from_millis(1_500);
        travels(&Ask::AwaitChange { order_id: OrderId(9 << 12), known, wait });
    }
    let asked = proto::AwaitChange { order: 1, status: 0, wait_ms: 1 };
    assert!(decode_ask(Some(call::What::AwaitChange(asked))).is_err(), "no status has this number");
}

#[test]
fn keys_arrive_as_they_were_told() {
    let key = |number| (UserId(number), RequestId(u64::MAX - number));
    let keys = |count: u64| Ask::NoteKeys((0..count).map(key).collect());
    travels(&keys(0));
    travels(&keys(KEYS_MAX as u64));
    let what = encode_ask(&keys(KEYS_MAX as u64 + 1)).expect("asked of others");
    assert_eq!(decode_ask(Some(what)), Err(Malformed("too many keys")));
    let half = call::What::NoteKeys(proto::Keys { keys: vec![1, 2, 3] });
    assert_eq!(room(&half), Room::Upkeep, "it takes no buyer's place");
    assert_eq!(decode_ask(Some(half)), Err(Malformed("half a key")));
    let (user_id, request_id) = key(7);
    travels(&Ask::FindReuse { user_id, request_id, item_id: ItemId(9) });
    assert_eq!(decode_answer(Some(encode_answer(Answer::Noted))), Ok(Answer::Noted));
    travels(&Ask::ReadClock);
    let clock = Answer::Clock(Timestamp(7));
    assert_eq!(decode_answer(Some(encode_answer(clock.clone()))), Ok(clock));
}
