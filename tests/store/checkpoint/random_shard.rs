//! A shard that makes random decisions, for tests of what keeps its state.

use domain::{
    Admission, Buckets, Buy, Command, Currency, Event, ItemAction, ItemId, ItemTerms, OrderId,
    PaymentId, PaymentNotice, PaymentReference, PaymentResult, ProviderName, Record, RequestId,
    SaleId, ShardId, Stock, Timestamp, UserId,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use seckill::store::checkpoint::Mark;
use support::engine::{guarded, operate};

const START: Timestamp = Timestamp(1_790_000_000_000);
const DAY_MILLISECONDS: u64 = 24 * 3600 * 1000;

fn reference(named: u32) -> PaymentReference {
    PaymentReference::parse(&format!("P{named}")).expect("a reference")
}

/// A shard that makes random decisions.
pub struct RandomShard {
    pub stock: Stock,
    pub random: StdRng,
    now: Timestamp,
    pub orders: Vec<(OrderId, UserId)>,
}

impl RandomShard {
    pub fn new(shard: u16, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let stock = Stock::new(ShardId(shard));
        Self { stock, random, now: START, orders: Vec::new() }
    }

    pub fn decide(&mut self, command: &Command) {
        let decision = self.stock.decide(self.now, command);
        let Some(event) = decision.event else { return };
        if let Event::Order(order) = &event {
            self.orders.push((order.order_id, order.user_id));
        }
        let (shard, seq) = (self.stock.shard(), self.stock.seq() + 1);
        let record = Record { shard, seq, at: self.now.max(self.stock.at()), event };
        self.stock.apply(&record).expect("what was decided applies");
    }

    pub fn open(&mut self, item: u64, allotted: u32) {
        self.decide(&Command::Open(ItemTerms {
            item_id: ItemId(item),
            sale_id: SaleId(1),
            product_id: format!("product-{item}").into(),
            price: 100 + item,
            currency: Currency::parse("CNY").expect("a code"),
            allotted,
            limit_per_user: 3,
            payment_window_milliseconds: 60_000,
            starts_at: START,
            ends_at: START.plus_milliseconds(DAY_MILLISECONDS),
            admission: Admission::OPEN,
            buckets: Buckets::ONE,
        }));
    }

    pub fn buy(&mut self, item: u64, user: u64) {
        let request_id = RequestId(self.random.random());
        let (item_id, user_id) = (ItemId(item), UserId(user));
        self.decide(&Command::Buy(Buy { item_id, user_id, request_id, quantity: 1 }));
    }

    pub fn pay(&mut self, (order_id, user_id): (OrderId, UserId)) {
        self.decide(&Command::Pay { order_id, user_id });
    }

    /// A provider tells that the order's price has come, under the name of this number.
    pub fn note_money(&mut self, order_id: OrderId, named: u32) {
        let Some(order) = self.stock.order(order_id) else { return };
        let result = PaymentResult::Captured { amount: order.amount, currency: order.currency };
        self.decide(&Command::NotePayment(Box::new(PaymentNotice {
            id: PaymentId { order_id, number: 1 },
            provider: ProviderName::sandbox(),
            reference: reference(named),
            result,
            stored: None,
        })));
    }

    pub fn step(&mut self) {
        self.now = self.now.plus_milliseconds(self.random.random_range(0..500));
        let item = self.random.random_range(1..=8);
        let order = match self.orders.len() {
            0 => (OrderId(0), UserId(0)),
            count => self.orders[self.random.random_range(0..count)],
        };
        match self.random.random_range(0..100) {
            0..70 => {
                let user = self.random.random_range(1..5_000);
                self.buy(item, user);
            }
            70..74 => self.pay(order),
            74..78 => {
                let named = self.random.random_range(0..4);
                self.note_money(order.0, named);
            }
            78..80 => {
                let id = PaymentId { order_id: order.0, number: self.random.random_range(1..4) };
                self.decide(&Command::Refund { id, reference: reference(9) });
            }
            80..88 => self.decide(&Command::Cancel { order_id: order.0, user_id: order.1 }),
            88 => {
                let spread_milliseconds = self.random.random_range(0..3);
                let action = ItemAction::Admit(guarded(spread_milliseconds));
                self.decide(&operate(ItemId(item), action));
            }
            89..92 => {
                for order_id in self.stock.due(self.now, 20) {
                    self.decide(&Command::Expire { order_id });
                }
            }
            92..94 => self.open(item, 3_000),
            94..96 => self.decide(&operate(ItemId(item), ItemAction::Restock(5))),
            96 => self.decide(&operate(ItemId(item), ItemAction::Pause)),
            97..99 => self.decide(&operate(ItemId(item), ItemAction::Resume)),
            _ if self.random.random_bool(0.2) => self.end_and_settle(item),
            _ => {}
        }
    }

    pub fn end_and_settle(&mut self, item: u64) {
        self.decide(&operate(ItemId(item), ItemAction::End));
        self.now = self.now.plus_milliseconds(61_000);
        loop {
            let due = self.stock.due(self.now, 1_000);
            if due.is_empty() {
                break;
            }
            for order_id in due {
                self.decide(&Command::Expire { order_id });
            }
        }
        let stored_seq = self.stock.seq();
        self.decide(&Command::Settle { item_id: ItemId(item), stored_seq });
    }

    pub fn mark(&self, epoch: u64) -> Mark {
        Mark { epoch, seq: self.stock.seq() }
    }
}
