//! A shard with the ledger beside it: every decision is applied to one and recorded in the other.

use domain::invariants::{Ledger, UnitCounts};
use domain::{
    Admission, Buckets, Buy, Challenge, Command, Currency, Event, ItemAction, ItemId, ItemTerms,
    Operation, OperatorRequest, Order, OrderId, OrderPayments, Outcome, Payment, PaymentState,
    Record, RequestId, SaleId, ShardId, Stock, Timestamp, UserId,
};

/// When the sale begins.
pub const OPENING: Timestamp = Timestamp(1_790_000_000_000);
/// The shard's number.
pub const SHARD: ShardId = ShardId(5);

/// A state machine and its model, fed with the same records.
pub struct Shard {
    /// The state machine.
    pub stock: Stock,
    /// The model of the shard.
    pub ledger: Ledger,
    /// All records so far.
    pub records: Vec<Record>,
    /// The time now.
    pub now: Timestamp,
}

/// Terms of an item that opens at once and closes never.
pub fn terms(item: u64, allotted: u32, limit: u16, window_milliseconds: u64) -> ItemTerms {
    ItemTerms {
        item_id: ItemId(item),
        sale_id: SaleId(9),
        product_id: format!("product-{item}").into(),
        price: 100 + item,
        currency: Currency::CNY,
        allotted,
        limit_per_user: limit,
        payment_window_milliseconds: window_milliseconds,
        starts_at: Timestamp(0),
        ends_at: Timestamp::MAX,
        admission: Admission::OPEN,
        buckets: Buckets::ONE,
    }
}

/// How an item is guarded with this spread; not at all with a spread of 0.
pub fn guarded(spread_milliseconds: u32) -> Admission {
    match spread_milliseconds {
        0 => Admission::OPEN,
        _ => Admission {
            buy_token: true,
            challenge: Challenge::Proof,
            lead_seconds: 60,
            spread_milliseconds,
        },
    }
}

/// The command of a purchase.
pub fn buying(item: u64, user: u64, request: u64, quantity: u16) -> Command {
    Command::Buy(Buy {
        item_id: ItemId(item),
        user_id: UserId(user),
        request_id: RequestId(request),
        quantity,
    })
}

/// The command of an operation of which no request is known.
pub fn operate(item_id: ItemId, action: ItemAction) -> Command {
    Command::Operate(Operation::unattributed(item_id, action))
}

/// The command of an operation that this request asks for.
pub fn requested(item: u64, action: ItemAction, request: u64) -> Operation {
    let request = OperatorRequest { operator: "otto".into(), request_id: Some(RequestId(request)) };
    Operation { item_id: ItemId(item), action, request: Some(request) }
}

/// The fact of an operation of which no request is known.
pub fn operated(item_id: ItemId, action: ItemAction) -> Event {
    Event::ItemOperated(Operation::unattributed(item_id, action))
}

impl Shard {
    /// An empty shard.
    pub fn new() -> Self {
        Self {
            stock: Stock::new(SHARD),
            ledger: Ledger::default(),
            records: Vec::new(),
            now: OPENING,
        }
    }

    /// A shard with these items.
    pub fn with(items: impl IntoIterator<Item = ItemTerms>) -> Self {
        let mut shop = Self::new();
        for terms in items {
            shop.ask(Command::Open(terms));
        }
        shop
    }

    /// Decides, applies and records; both must agree.
    pub fn ask(&mut self, command: Command) -> Outcome {
        let unseen = self.stock.decide(self.now, &command);
        // A shard looks ahead at what it is about to decide, which changes nothing.
        std::hint::black_box(self.stock.warm(&command));
        let decision = self.stock.decide(self.now, &command);
        assert_eq!(decision, unseen, "{command:?}");
        if let Some(event) = decision.event {
            let at = self.now.max(self.stock.at());
            let record = Record { shard: SHARD, seq: self.stock.seq() + 1, at, event };
            if let Err(violation) = self.stock.apply(&record) {
                panic!("{command:?} was decided and is refused: {violation}");
            }
            self.ledger.record(&record);
            self.records.push(record);
            self.check();
        }
        decision.outcome
    }

    /// Buys; the order if there is a new one.
    pub fn place(&mut self, item: u64, user: u64, request: u64) -> Option<Order> {
        match self.ask(buying(item, user, request, 1)) {
            Outcome::Placed(order) => Some(order),
            _ => None,
        }
    }

    /// Pays as the order's buyer.
    pub fn pay(&mut self, order: &Order) -> Outcome {
        self.ask(Command::Pay { order_id: order.order_id, user_id: order.user_id })
    }

    /// Cancels as the order's buyer.
    pub fn cancel(&mut self, order: &Order) -> Outcome {
        self.ask(Command::Cancel { order_id: order.order_id, user_id: order.user_id })
    }

    /// Expires what is due, at most `limit` orders; says which.
    pub fn expire(&mut self, limit: usize) -> Vec<OrderId> {
        let due = self.stock.due(self.now, limit);
        for order_id in &due {
            self.ask(Command::Expire { order_id: *order_id });
        }
        due
    }

    /// The next record's number, decided now, with this event.
    pub fn record(&self, event: Event) -> Record {
        Record { shard: SHARD, seq: self.stock.seq() + 1, at: self.now, event }
    }

    /// State machine and model tell the same story.
    pub fn check(&self) {
        for (rule, finding) in self.ledger.findings() {
            assert_eq!(finding.first, None, "{rule}");
        }
        assert_eq!(self.stock.items().len(), self.ledger.items().len());
        for item in self.stock.items() {
            let modelled = &self.ledger.items()[&item.terms.item_id];
            let counters = UnitCounts::from(&item.counters);
            assert_eq!(counters, modelled.counters(), "item {}", item.terms.item_id);
        }
    }

    /// Money is where it came to (I17), and each payment that the shard holds is as the model has it; those of
    /// orders that it has let go are held while money is to be given back.
    pub fn check_money(&mut self) {
        self.ledger.judge_money();
        self.check();
        for (id, payment) in self.ledger.payments() {
            let held = self.stock.payments_of(id.order_id).iter().find(|held| held.id == *id);
            let must_be_held =
                self.stock.order(id.order_id).is_some() || payment.state == PaymentState::RefundDue;
            assert!(held == Some(payment) || (held.is_none() && !must_be_held), "payment {id}");
        }
        let held: usize = self.stock.payments().iter().map(|held| held.payments.len()).sum();
        assert!(held <= self.ledger.payments().len());
    }

    /// The order with its payments, as an order store would have them.
    pub fn stored(&self, order_id: OrderId) -> OrderPayments {
        let of_order =
            self.ledger.payments().values().filter(|known| known.id.order_id == order_id);
        let mut payments: Vec<Payment> = of_order.cloned().collect();
        payments.sort_unstable_by_key(|payment| payment.id);
        OrderPayments { order: self.ledger.orders()[&order_id], payments }
    }

    /// Every order the shard holds is as the model has it, and none is missing but those let go.
    pub fn check_orders(&self) {
        let mut held = 0;
        for (order_id, order) in self.ledger.orders() {
            let item = self.stock.item(order.item_id).expect("the order's item");
            let expected = (!item.settled).then_some(*order);
            assert_eq!(self.stock.order(*order_id), expected, "order {order_id}");
            held += usize::from(expected.is_some());
        }
        assert_eq!(self.stock.order_count(), held);
        assert_eq!(self.stock.orders().count(), held);
    }
}
