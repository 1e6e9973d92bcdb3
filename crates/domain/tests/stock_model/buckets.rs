//! An item of several buckets: transfers that are lost, doubled and late, against the ledger (I1, I2, I6, I10).

use crate::shard::{OPENING, buying, operate, terms};
use domain::invariants::{Ledger, UnitCounts};
use domain::{
    Buckets, Command, Event, ItemAction, ItemId, ItemTerms, Order, Outcome, Record, Refusal,
    ShardId, Stock, Transfer, UnitsWanted, UserId,
};
use proptest::prelude::*;

const ITEM: ItemId = ItemId(1);

/// What happens next; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Buy {
        user: u64,
        request: u64,
        quantity: u16,
    },
    Pay {
        order: usize,
    },
    Cancel {
        order: usize,
    },
    Ask {
        from: u8,
        to: u8,
        units: u32,
        buyers_wait: bool,
    },
    Arrive {
        message: usize,
        again: bool,
    },
    Lose {
        message: usize,
    },
    /// Every owner repeats what is not settled.
    Repeat,
    Restock {
        units: u32,
    },
    Reduce {
        units: u32,
    },
    /// A bucket's owner dies, and the next one has its state from a checkpoint.
    Die {
        bucket: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any_bucket = || any::<u8>();
    let step = prop_oneof![
        8 => (0..24_u64, 0..60_u64, 1..3_u16)
            .prop_map(|(user, request, quantity)| Step::Buy { user, request, quantity }),
        2 => any::<usize>().prop_map(|order| Step::Pay { order }),
        3 => any::<usize>().prop_map(|order| Step::Cancel { order }),
        5 => (any_bucket(), any_bucket(), 1..5_u32, any::<bool>())
            .prop_map(|(from, to, units, buyers_wait)| Step::Ask { from, to, units, buyers_wait }),
        8 => (any::<usize>(), any::<bool>())
            .prop_map(|(message, again)| Step::Arrive { message, again }),
        1 => any::<usize>().prop_map(|message| Step::Lose { message }),
        2 => Just(Step::Repeat),
        1 => (1..9_u32).prop_map(|units| Step::Restock { units }),
        1 => (1..9_u32).prop_map(|units| Step::Reduce { units }),
        1 => any_bucket().prop_map(|bucket| Step::Die { bucket }),
    ];
    proptest::collection::vec(step, 1..160)
}

/// What is on its way between two owners.
#[derive(Clone, Copy, Debug)]
enum Message {
    Units(Transfer),
    Receipt(Transfer),
}

/// The buckets of one item, each in a shard of its own.
struct Item {
    buckets: Buckets,
    stocks: Vec<Stock>,
    ledger: Ledger,
    messages: Vec<Message>,
    orders: Vec<Order>,
}

fn item_terms(buckets: &Buckets, allotted: u32) -> ItemTerms {
    ItemTerms { buckets: buckets.clone(), ..terms(ITEM.0, allotted, 3, 1_000_000) }
}

impl Item {
    fn new(count: u16, allotted: u32) -> Self {
        let buckets = Buckets::over((0..count).map(|shard| ShardId(shard + 3)).collect());
        let buckets = buckets.expect("distinct shards");
        let stocks = buckets.shards().iter().map(|shard| Stock::new(*shard)).collect();
        let ledger = Ledger::default();
        let mut item = Self { stocks, ledger, messages: Vec::new(), orders: Vec::new(), buckets };
        for bucket in 0..item.count() {
            let terms = item_terms(&item.buckets, allotted);
            assert!(matches!(item.decide(bucket, &Command::Open(terms)), Outcome::Item(_)));
        }
        item
    }

    fn count(&self) -> u8 {
        self.buckets.count()
    }

    fn decide(&mut self, bucket: u8, command: &Command) -> Outcome {
        let stock = &mut self.stocks[usize::from(bucket)];
        let decision = stock.decide(OPENING, command);
        if let Some(event) = decision.event {
            let record = Record { shard: stock.shard(), seq: stock.seq() + 1, at: OPENING, event };
            stock.apply(&record).expect("what was decided follows");
            self.ledger.record(&record);
        }
        decision.outcome
    }

    fn bucket_of(&self, user: u64) -> u8 {
        let shard = self.buckets.shard_of(ITEM, UserId(user)).expect("several buckets");
        self.buckets.number_in(shard).expect("a bucket's shard")
    }

    fn buy(&mut self, user: u64, request: u64, quantity: u16) -> Outcome {
        let outcome = self.decide(self.bucket_of(user), &buying(ITEM.0, user, request, quantity));
        if let Outcome::Placed(order) = outcome {
            self.orders.push(order);
        }
        outcome
    }

    fn ask(&mut self, from: u8, to: u8, units: u32, buyers_wait: bool) {
        let wanted = UnitsWanted { item_id: ITEM, to, units, buyers_wait };
        match self.decide(from, &Command::SendUnits(wanted)) {
            Outcome::Transferred(transfer) => self.messages.push(Message::Units(transfer)),
            Outcome::Refused(Refusal::SoldOut | Refusal::PhaseConflict) => {}
            other => panic!("{other:?}"),
        }
    }

    fn arrive(&mut self, message: Message) {
        match message {
            Message::Units(transfer) => {
                match self.decide(transfer.to, &Command::ReceiveUnits(transfer)) {
                    Outcome::Transferred(_) => self.messages.push(Message::Receipt(transfer)),
                    other => panic!("{other:?}"),
                }
            }
            Message::Receipt(transfer) => {
                let settled = self.decide(transfer.from, &Command::SettleTransfer(transfer));
                assert!(matches!(settled, Outcome::Transferred(_)), "{settled:?}");
            }
        }
    }

    fn repeat(&mut self) {
        for stock in &self.stocks {
            let exchange = stock.item(ITEM).and_then(|item| item.exchange.as_ref());
            self.messages.extend(exchange.expect("buckets").open(ITEM).map(Message::Units));
        }
    }

    fn take(&mut self, step: &Step) {
        let count = self.count();
        match *step {
            Step::Buy { user, request, quantity } => {
                self.buy(user, request, quantity);
            }
            Step::Pay { order } | Step::Cancel { order } if !self.orders.is_empty() => {
                let Order { order_id, user_id, .. } = self.orders[order % self.orders.len()];
                let bucket = self.buckets.number_in(order_id.shard()).expect("a bucket");
                let command = match step {
                    Step::Pay { .. } => Command::Pay { order_id, user_id },
                    _ => Command::Cancel { order_id, user_id },
                };
                self.decide(bucket, &command);
            }
            Step::Ask { from, to, units, buyers_wait } => {
                self.ask(from % count, to % count, units, buyers_wait);
            }
            Step::Arrive { message, again } if !self.messages.is_empty() => {
                let place = message % self.messages.len();
                let message = match again {
                    true => self.messages[place],
                    false => self.messages.swap_remove(place),
                };
                self.arrive(message);
            }
            Step::Lose { message } if !self.messages.is_empty() => {
                self.messages.swap_remove(message % self.messages.len());
            }
            Step::Repeat => self.repeat(),
            Step::Restock { units } => {
                self.decide(0, &operate(ITEM, ItemAction::Restock(units)));
            }
            Step::Reduce { units } => {
                self.decide(0, &operate(ITEM, ItemAction::Reduce(units)));
            }
            Step::Die { bucket } => {
                let stock = &mut self.stocks[usize::from(bucket % count)];
                *stock = Stock::restore(stock.shard(), stock.snapshot()).expect("its own state");
            }
            Step::Pay { .. } | Step::Cancel { .. } | Step::Arrive { .. } | Step::Lose { .. } => {}
        }
    }

    /// Nothing is broken, and the ledger has the same units in the same buckets.
    fn check(&mut self) -> i64 {
        self.ledger.judge_transfers();
        for (rule, finding) in self.ledger.findings() {
            assert_eq!(finding.first, None, "{rule}");
        }
        let mut sum = UnitCounts::default();
        for stock in &self.stocks {
            let counters = UnitCounts::from(&stock.item(ITEM).expect("open").counters);
            sum.allotted += counters.allotted;
            sum.available += counters.available;
            sum.reserved += counters.reserved;
            sum.sold += counters.sold;
        }
        assert_eq!(self.ledger.items()[&ITEM].counters(), sum);
        let own = self.stocks[0].item(ITEM).and_then(|item| item.exchange.as_ref());
        let whole = i64::from(own.expect("buckets").allotted);
        let under_way = self.ledger.units_under_way();
        assert_eq!(sum.allotted + under_way, whole);
        under_way
    }

    /// Whatever was lost: what owners repeat until it is answered arrives.
    fn finish_transfers(&mut self) {
        self.messages.clear();
        for _ in 0..2 {
            self.repeat();
            while let Some(message) = self.messages.pop() {
                self.arrive(message);
            }
        }
        assert_eq!(self.check(), 0, "nothing is under way");
        let exchanges = self.stocks.iter().filter_map(|stock| stock.item(ITEM)?.exchange.as_ref());
        assert!(exchanges.into_iter().all(|exchange| !exchange.has_open()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn units_between_buckets_are_neither_lost_nor_doubled(
        count in 2..6_u16,
        allotted in 0..40_u32,
        steps in steps(),
    ) {
        let mut item = Item::new(count, allotted);
        for step in &steps {
            item.take(step);
            item.check();
        }
        item.finish_transfers();
        // Nothing is stranded: a buyer of any bucket gets what is left in all of them.
        for user in 1_000..1_200 {
            if item.buy(user, 1, 1) == Outcome::Refused(Refusal::SoldOut) {
                let own = item.bucket_of(user);
                for from in (0..item.count()).filter(|from| *from != own) {
                    item.ask(from, own, 1, false);
                    item.finish_transfers();
                }
                item.buy(user, 1, 1);
            }
        }
        let whole = item.ledger.items()[&ITEM].counters();
        prop_assert_eq!(whole.available, 0);
        prop_assert_eq!(whole.reserved + whole.sold, whole.allotted);
    }
}

#[test]
fn a_bucket_whose_buyers_wait_gives_to_lower_numbers_only_and_half_of_much() {
    let mut item = Item::new(3, 30);
    item.ask(1, 2, 1, true);
    assert!(item.messages.is_empty());
    item.ask(1, 0, 1, true);
    assert!(matches!(item.messages[..], [Message::Units(Transfer { number: 1, units: 5, .. })]));
    item.ask(1, 0, 1, true);
    assert_eq!(item.messages.len(), 2, "the transfer that is open, once more");
    item.finish_transfers();
    item.ask(1, 0, 4, false);
    assert!(matches!(item.messages[..], [Message::Units(Transfer { number: 2, units: 4, .. })]));
    item.finish_transfers();
    item.ask(1, 0, 4, false);
    assert!(matches!(item.messages[..], [Message::Units(Transfer { number: 3, units: 1, .. })]));
    item.finish_transfers();
    item.ask(1, 0, 4, false);
    assert!(item.messages.is_empty(), "there is nothing left");
    item.ask(1, 1, 4, false);
    item.ask(1, 9, 4, false);
    assert!(item.messages.is_empty(), "to itself, or to nobody");
}

#[test]
fn a_bucket_has_its_share_and_buyers_of_its_own() {
    let mut item = Item::new(3, 10);
    let shares: Vec<u32> =
        item.stocks.iter().map(|stock| stock.item(ITEM).expect("open").counters.allotted).collect();
    assert_eq!(shares, [4, 3, 3]);
    let other = (item.bucket_of(7) + 1) % 3;
    let refused = item.decide(other, &buying(ITEM.0, 7, 1, 1));
    assert_eq!(refused, Outcome::Refused(Refusal::ItemNotFound));
    let terms = item_terms(&item.buckets, 10);
    let elsewhere = Stock::new(ShardId(90)).decide(OPENING, &Command::Open(terms));
    assert_eq!(elsewhere.outcome, Outcome::Refused(Refusal::PhaseConflict));
    let restocked = item.decide(1, &operate(ITEM, ItemAction::Restock(1)));
    assert_eq!(restocked, Outcome::Refused(Refusal::PhaseConflict), "bucket 0 has the whole");
}

#[test]
fn an_item_of_buckets_settles_when_nothing_is_under_way() {
    let mut item = Item::new(2, 10);
    item.ask(0, 1, 2, false);
    for bucket in 0..2 {
        item.decide(bucket, &operate(ITEM, ItemAction::End));
    }
    let settle = |item: &mut Item, bucket: u8| {
        let stored_seq = item.stocks[usize::from(bucket)].seq();
        item.decide(bucket, &Command::Settle { item_id: ITEM, stored_seq })
    };
    assert_eq!(settle(&mut item, 0), Outcome::Refused(Refusal::PhaseConflict));
    let wanted = UnitsWanted { item_id: ITEM, to: 0, units: 1, buyers_wait: false };
    let refused = item.decide(1, &Command::SendUnits(wanted));
    assert_eq!(refused, Outcome::Refused(Refusal::SaleEnded), "nothing new begins");
    assert!(matches!(settle(&mut item, 1), Outcome::Item(_)));
    // What was sent before arrives after the end.
    item.finish_transfers();
    assert!(matches!(settle(&mut item, 0), Outcome::Item(_)));
    item.check();
}

#[test]
fn each_broken_transfer_is_named() {
    let sent = |number, units| Transfer { item_id: ITEM, from: 0, to: 1, number, units };
    for (bucket, event, named) in [
        (0, Event::UnitsSent(sent(2, 1)), "record"),
        (1, Event::UnitsSent(sent(1, 1)), "record"),
        (0, Event::UnitsSent(sent(1, 6)), "record"),
        (1, Event::UnitsReceived(sent(2, 1)), "record"),
        (0, Event::TransferSettled(sent(1, 1)), "record"),
        (1, Event::UnitsReceived(sent(1, 1)), "buckets"),
    ] {
        let mut item = Item::new(2, 10);
        let stock = &mut item.stocks[bucket];
        let (shard, seq) = (stock.shard(), stock.seq() + 1);
        let record = Record { shard, seq, at: OPENING, event };
        // Of a transfer's other end a shard alone knows nothing.
        assert_eq!(stock.apply(&record).is_err(), named == "record", "{record:?}");
        item.ledger.record(&record);
        item.ledger.judge_transfers();
        let found = item.ledger.findings().values().any(|finding| finding.broken > 0);
        assert!(found, "{record:?}");
    }
}
