//! What is encoded is decoded, whatever it is; and no bytes panic.

use super::*;
use domain::Challenge;
use proptest::prelude::*;

fn order() -> impl Strategy<Value = Order> {
    (any::<[u64; 7]>(), any::<[u16; 2]>(), 1_u8..=5).prop_map(|(long, short, status)| Order {
        order_id: OrderId(long[0]),
        item_id: ItemId(long[1]),
        sale_id: SaleId(long[2]),
        user_id: UserId(long[3]),
        request_id: RequestId(long[4]),
        attempt: short[0],
        quantity: short[1],
        amount: long[5],
        currency: Currency::parse("CNY").expect("a code"),
        status: OrderStatus::from_number(status).expect("in range"),
        expires_at: Timestamp(long[6]),
    })
}

fn admission() -> impl Strategy<Value = Admission> {
    let guarded = (0..3_usize, 0..=86_400_u32, 0..=600_000_u32).prop_map(
        |(challenge, lead_seconds, spread_milliseconds)| Admission {
            buy_token: true,
            challenge: Challenge::ALL[challenge],
            lead_seconds,
            spread_milliseconds,
        },
    );
    prop_oneof![Just(Admission::OPEN), guarded]
}

fn buckets() -> impl Strategy<Value = Buckets> {
    let over = |shards| Buckets::over(shards).expect("distinct, and few enough");
    (0..960_u16, 1..=64_u16)
        .prop_map(move |(first, count)| over((first..first + count).map(ShardId).collect()))
}

fn transfer() -> impl Strategy<Value = Transfer> {
    (any::<u64>(), any::<[u8; 2]>(), any::<[u32; 2]>()).prop_map(
        |(id, [from, to], [number, units])| Transfer {
            item_id: ItemId(id),
            from,
            to,
            number,
            units,
        },
    )
}

fn terms() -> impl Strategy<Value = ItemTerms> {
    let places = (admission(), buckets());
    (any::<[u64; 6]>(), any::<u32>(), any::<u16>(), "[a-z0-9_-]{1,64}", places).prop_map(
        |(long, allotted, limit_per_user, product_id, (admission, buckets))| ItemTerms {
            item_id: ItemId(long[0]),
            sale_id: SaleId(long[1]),
            product_id: product_id.into(),
            price: long[2],
            currency: Currency::parse("EUR").expect("a code"),
            allotted,
            limit_per_user,
            payment_window_milliseconds: long[3],
            starts_at: Timestamp(long[4]),
            ends_at: Timestamp(long[5]),
            admission,
            buckets,
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    let action = (1_u8..=5, 1..u64::from(u32::MAX)).prop_map(|(number, units)| {
        let with_units = ItemAction::from_number(number, units);
        with_units.or(ItemAction::from_number(number, 0)).expect("in range")
    });
    let action = prop_oneof![action, admission().prop_map(ItemAction::Admit)];
    let id = proptest::option::of((1..u64::MAX).prop_map(RequestId));
    let request =
        proptest::option::of(("[a-z0-9]{1,64}", id).prop_map(|(operator, request_id)| {
            OperatorRequest { operator: operator.into(), request_id }
        }));
    (any::<u64>(), action, request).prop_map(|(id, action, request)| Operation {
        item_id: ItemId(id),
        action,
        request,
    })
}

fn payment() -> impl Strategy<Value = PaymentRecord> {
    let reference = || {
        let parse = |text: String| PaymentReference::parse(&text).expect("fit");
        proptest::option::of("[!-~]{1,64}".prop_map(parse))
    };
    let texts = ("[a-z0-9_-]{1,16}", reference(), reference());
    (order(), any::<u16>(), any::<[u64; 2]>(), [1_u8..=5, 1..=5], texts).prop_map(
        |(order, number, [request, amount], [state, status], texts)| {
            let (provider, reference, refund_reference) = texts;
            let payment = Payment {
                id: PaymentId { order_id: order.order_id, number },
                request_id: RequestId(request),
                provider: ProviderName::parse(&provider).expect("fit"),
                amount,
                currency: Currency::parse("JPY").expect("a code"),
                state: PaymentState::from_number(state).expect("in range"),
                reference,
                refund_reference,
            };
            let status_before = OrderStatus::from_number(status).expect("in range");
            PaymentRecord { payment, order, status_before }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        order().prop_map(Event::Order),
        payment().prop_map(|record| Event::Payment(Box::new(record))),
        terms().prop_map(Event::ItemOpened),
        operation().prop_map(Event::ItemOperated),
        any::<u64>().prop_map(|id| Event::ItemSettled(ItemId(id))),
        transfer().prop_map(Event::UnitsSent),
        transfer().prop_map(Event::UnitsReceived),
        transfer().prop_map(Event::TransferSettled),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(shard: u16, seq: u64, at: u64, event in event()) {
        let record = Record { shard: ShardId(shard), seq, at: Timestamp(at), event };
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        prop_assert!(bytes.len() <= RECORD_LENGTH_MAX);
        let mut rest = bytes.as_slice();
        prop_assert_eq!(decode(&mut rest), Ok(record.clone()));
        prop_assert!(rest.is_empty());
        for length in 0..bytes.len() {
            prop_assert!(decode(&mut &bytes[..length]).is_err());
        }
        let twice = [bytes.as_slice(), &bytes, &[0]].concat();
        let decoded: Vec<_> = each_record(&twice).collect();
        let cut_short = Err(MalformedRecord("cut short"));
        prop_assert_eq!(decoded, [Ok(record.clone()), Ok(record), cut_short]);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = decode(&mut bytes.as_slice());
    }
}
