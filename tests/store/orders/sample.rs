//! Records for the checks.

use domain::{
    Admission, Buckets, Currency, Event, ItemAction, ItemId, ItemTerms, Order, OrderId,
    OrderStatus, Payment, PaymentId, PaymentRecord, PaymentReference, PaymentState, ProviderName,
    Record, RequestId, SaleId, ShardId, Timestamp, UserId,
};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use support::engine::operated;

pub const NOW: Timestamp = Timestamp(1_790_000_000_000);

pub fn currency() -> Currency {
    Currency::parse("CNY").expect("a code")
}

/// The `number`th order of a shard: another buyer each.
pub fn order(shard: u16, number: u64) -> Order {
    let placed_at = NOW.plus_milliseconds(number);
    Order {
        order_id: OrderId::next(OrderId(0), ShardId(shard), placed_at),
        item_id: ItemId(7),
        sale_id: SaleId(3),
        user_id: UserId(number + 1),
        // Half of all request ids have the top bit set.
        request_id: RequestId(u64::MAX - number),
        attempt: 1,
        quantity: 2,
        amount: 19_800,
        currency: currency(),
        status: OrderStatus::Reserved,
        expires_at: placed_at.plus_milliseconds(600_000),
    }
}

pub fn with_status(order: Order, status: OrderStatus) -> Order {
    Order { status, ..order }
}

/// A record of an order in its own shard.
pub fn record(seq: u64, order: Order) -> Record {
    let (shard, at) = (order.order_id.shard(), NOW.plus_milliseconds(1_000 + seq));
    Record { shard, seq, at, event: Event::Order(order) }
}

/// The order's payment of this number, which was asked for, as a provider and an operator have left it.
pub fn payment(order: &Order, number: u16, state: PaymentState) -> Payment {
    let id = PaymentId { order_id: order.order_id, number };
    let reference = |kind: &str| PaymentReference::parse(&format!("{kind}-{id}"));
    Payment {
        id,
        request_id: RequestId(u64::MAX - u64::from(number)),
        provider: ProviderName::parse("provider-1").expect("a name"),
        amount: order.amount,
        currency: order.currency,
        state,
        reference: reference("ch").filter(|_| state != PaymentState::Started),
        refund_reference: reference("re").filter(|_| state == PaymentState::Refunded),
    }
}

/// A record of a payment and of what it made of an order of this status.
pub fn payment_record(seq: u64, from: OrderStatus, order: Order, payment: Payment) -> Record {
    Record { event: paying(from, order, payment), ..record(seq, order) }
}

fn paying(status_before: OrderStatus, order: Order, payment: Payment) -> Event {
    Event::Payment(Box::new(PaymentRecord { payment, order, status_before }))
}

pub fn item_record(shard: u16, seq: u64, event: Event) -> Record {
    Record { shard: ShardId(shard), seq, at: NOW.plus_milliseconds(seq), event }
}

pub fn terms(item: u64) -> ItemTerms {
    ItemTerms {
        item_id: ItemId(item),
        sale_id: SaleId(3),
        product_id: "product-7".into(),
        price: 9_900,
        currency: currency(),
        allotted: 1_000,
        limit_per_user: 2,
        payment_window_milliseconds: 600_000,
        starts_at: NOW,
        ends_at: NOW.plus_milliseconds(3_600_000),
        admission: Admission::OPEN,
        buckets: Buckets::ONE,
    }
}

/// Grants of one shard, from `seq` 1.
pub fn grants(shard: u16, count: u64) -> Vec<Record> {
    (0..count).map(|number| record(number + 1, order(shard, number))).collect()
}

/// The ways of an order's payments: begun, failed, come in time, twice or too late, and given back.
fn payments(random: &mut StdRng, order: Order) -> Vec<Event> {
    use PaymentState::{Captured, Failed, RefundDue, Refunded, Started};
    let paid = with_status(order, OrderStatus::Paid);
    let expired = with_status(order, OrderStatus::Expired);
    let due = with_status(order, OrderStatus::RefundDue);
    let unasked =
        |number, state| Payment { request_id: RequestId(0), ..payment(&order, number, state) };
    let open = |number, state| paying(order.status, order, payment(&order, number, state));
    let pays = |payment| paying(order.status, paid, payment);
    let after = |number, state| paying(OrderStatus::Paid, paid, payment(&order, number, state));
    let mut events = match random.random_range(0..4) {
        0 => vec![pays(unasked(1, Captured))],
        1 => vec![
            open(1, Started),
            open(2, Started),
            open(1, Failed),
            pays(payment(&order, 2, Captured)),
            after(1, RefundDue),
            after(1, Refunded),
        ],
        2 => vec![
            open(1, Started),
            Event::Order(expired),
            paying(OrderStatus::Expired, due, payment(&order, 1, RefundDue)),
            paying(OrderStatus::RefundDue, due, unasked(2, RefundDue)),
            paying(OrderStatus::RefundDue, due, payment(&order, 1, Refunded)),
        ],
        _ => vec![open(1, Started), open(1, Failed), pays(payment(&order, 1, Captured))],
    };
    let left = random.random_range(1..=events.len());
    events.truncate(left);
    events
}

/// The dense logs of a few shards, as a sale with restocks, payments and refunds would write them.
pub fn history(random: &mut StdRng, shards: u16, orders_per_shard: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for shard in 0..shards {
        let item = 100 + u64::from(shard);
        let mut events = vec![Event::ItemOpened(terms(item))];
        let mut open: Vec<Order> = Vec::new();
        for number in 0..orders_per_shard {
            let order = Order { item_id: ItemId(item), ..order(shard, number) };
            events.push(Event::Order(order));
            open.push(order);
            if random.random_bool(0.7) {
                let order = open.swap_remove(random.random_range(0..open.len()));
                let status = match random.random_range(0..4) {
                    0 => OrderStatus::Paid,
                    1 => OrderStatus::Cancelled,
                    2 => OrderStatus::Reserved,
                    _ => OrderStatus::Expired,
                };
                if status == OrderStatus::Reserved {
                    events.extend(payments(random, order));
                } else {
                    events.push(Event::Order(with_status(order, status)));
                }
                if status == OrderStatus::Expired {
                    events.push(Event::Order(with_status(order, OrderStatus::RefundDue)));
                }
            }
            if random.random_bool(0.05) {
                events.push(operated(ItemId(item), ItemAction::Restock(3)));
                events.push(operated(ItemId(item), ItemAction::Pause));
                events.push(operated(ItemId(item), ItemAction::Resume));
            }
        }
        events.push(operated(ItemId(item), ItemAction::End));
        records.extend((1..).zip(events).map(|(seq, event)| match event {
            Event::Order(order) => record(seq, order),
            Event::Payment(paid) => {
                Record { event: Event::Payment(paid.clone()), ..record(seq, paid.order) }
            }
            event => item_record(shard, seq, event),
        }));
    }
    records
}

/// Every record `times` times, shuffled.
pub fn shuffled(random: &mut StdRng, records: &[Record], times: usize) -> Vec<Record> {
    let mut deliveries: Vec<Record> =
        std::iter::repeat_n(records, times).flatten().cloned().collect();
    deliveries.shuffle(random);
    deliveries
}

/// Randomness from `SECKILL_SEED`, or anew; says which, so that a failure can be had again.
pub fn random() -> StdRng {
    let seed = std::env::var("SECKILL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    println!("SECKILL_SEED={seed}");
    StdRng::seed_from_u64(seed)
}
