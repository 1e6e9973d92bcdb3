//! Payments: random ones beside all other commands, and what becomes of money that comes late, twice, in any
//! order, or after its order was let go.

use crate::shard::{Shard, operate, terms};
use domain::payment::PAYMENTS_STARTED_MAX;
use domain::stock::Changes;
use domain::{
    Command, Currency, Event, ItemAction, ItemId, ItemTerms, Order, OrderId, OrderStatus, Outcome,
    Payment, PaymentAsked, PaymentId, PaymentNotice, PaymentOutcome, PaymentRecord,
    PaymentReference, PaymentResult, PaymentState, ProviderName, Record, Refusal, RequestId, Stock,
    UserId,
};
use proptest::prelude::*;

/// What a buyer, a provider or an operator does about a payment of an order.
#[derive(Clone, Debug)]
pub enum PaymentStep {
    /// The buyer begins to pay.
    Start { request: u64, provider: u8, by_owner: bool },
    /// The provider tells that so much more than the price has come, or that nothing will.
    Note { number: u16, provider: u8, reference: u8, surplus: Option<u64>, is_foreign: bool },
    /// An operator has given money back.
    Refund { number: u16, reference: u8 },
}

/// Any of them; numbers are few, so that they meet.
pub fn payment_step() -> impl Strategy<Value = PaymentStep> {
    let surplus = prop_oneof![1 => Just(None), 4 => Just(Some(0)), 1 => Just(Some(7))];
    prop_oneof![
        3 => (0..4_u64, 0..3_u8, 0..8_u8).prop_map(|(request, provider, by)| {
            PaymentStep::Start { request, provider, by_owner: by > 0 }
        }),
        5 => (1..4_u16, 0..3_u8, 0..4_u8, surplus, 0..8_u8).prop_map(
            |(number, provider, reference, surplus, foreign)| {
                let is_foreign = foreign == 0;
                PaymentStep::Note { number, provider, reference, surplus, is_foreign }
            }
        ),
        2 => (1..5_u16, 0..2_u8)
            .prop_map(|(number, reference)| PaymentStep::Refund { number, reference }),
    ]
}

fn provider(number: u8) -> ProviderName {
    match number {
        0 => ProviderName::sandbox(),
        number => ProviderName::parse(&format!("provider-{number}")).expect("a name"),
    }
}

fn reference(text: impl ToString) -> PaymentReference {
    PaymentReference::parse(&text.to_string()).expect("a reference")
}

fn start(order: &Order, request: u64, of: u8) -> Command {
    Command::StartPayment(Box::new(PaymentAsked {
        order_id: order.order_id,
        user_id: order.user_id,
        request_id: RequestId(request),
        provider: provider(of),
    }))
}

fn notice(id: PaymentId, of: u8, named: u8, result: PaymentResult) -> PaymentNotice {
    let (provider, reference) = (provider(of), reference(named));
    PaymentNotice { id, provider, reference, result, stored: None }
}

fn note(notice: &PaymentNotice) -> Command {
    Command::NotePayment(Box::new(notice.clone()))
}

fn captured(order: &Order, number: u16, of: u8, named: u8) -> PaymentNotice {
    let Order { order_id, amount, currency, .. } = *order;
    let result = PaymentResult::Captured { amount, currency };
    notice(PaymentId { order_id, number }, of, named, result)
}

impl PaymentStep {
    /// Takes it, and checks that money which has come is never refused nor counted again.
    pub fn take(&self, shop: &mut Shard, order: &Order) {
        let order_id = order.order_id;
        match *self {
            Self::Start { request, provider: of, by_owner } => {
                let command = match start(order, request, of) {
                    Command::StartPayment(asked) if !by_owner => {
                        let user_id = UserId(999);
                        Command::StartPayment(Box::new(PaymentAsked { user_id, ..*asked }))
                    }
                    command => command,
                };
                let is_known = by_owner && shop.stock.order(order_id).is_some();
                match shop.ask(command.clone()) {
                    Outcome::Payment(PaymentOutcome { id, order: after, .. }) if request > 0 => {
                        assert!(is_known && after.same_purchase(order));
                        let Outcome::Payment(again) = shop.ask(command) else {
                            panic!("a repeat gets the same payment");
                        };
                        assert!(again.is_repeat && again.id == id);
                    }
                    Outcome::Refused(Refusal::OrderNotFound) => assert!(!is_known),
                    _ => assert!(is_known),
                }
            }
            Self::Note { number, provider: of, reference, surplus, is_foreign } => {
                let id = PaymentId { order_id, number };
                let currency =
                    if is_foreign { Currency::parse("JPY") } else { Some(order.currency) };
                let result = match (surplus, currency) {
                    (Some(surplus), Some(currency)) => {
                        PaymentResult::Captured { amount: order.amount + surplus, currency }
                    }
                    _ => PaymentResult::Failed,
                };
                let mut notice = notice(id, of, reference, result);
                if shop.stock.order(order_id).is_none() {
                    assert_eq!(shop.ask(note(&notice)), Outcome::Refused(Refusal::OrderNotFound));
                    notice.stored = Some(Box::new(shop.stored(order_id)));
                }
                match (result, shop.ask(note(&notice))) {
                    (PaymentResult::Captured { .. }, Outcome::Payment(noted)) => {
                        assert!(noted.state.has_money());
                        let seq = shop.stock.seq();
                        notice.stored = Some(Box::new(shop.stored(order_id)));
                        let Outcome::Payment(again) = shop.ask(note(&notice)) else {
                            panic!("money is not refused");
                        };
                        assert!(again.is_repeat && again.id == noted.id);
                        assert_eq!(shop.stock.seq(), seq, "a repeat is no fact");
                    }
                    (PaymentResult::Failed, Outcome::Payment(noted)) => {
                        let is_held = shop.stock.order(order_id).is_some();
                        assert!(!is_held || noted.state != PaymentState::Started);
                    }
                    (PaymentResult::Failed, Outcome::Refused(Refusal::PaymentNotFound)) => {}
                    other => panic!("{other:?}"),
                }
            }
            Self::Refund { number, reference: named } => {
                let id = PaymentId { order_id, number };
                let before = shop.stock.payments_of(order_id).iter().find(|known| known.id == id);
                let before = before.map(|before| before.state);
                let command = Command::Refund { id, reference: reference(named) };
                match (before, shop.ask(command)) {
                    (None, Outcome::Refused(Refusal::PaymentNotFound)) => {}
                    (Some(state), Outcome::Refused(Refusal::PaymentClosed(told))) => {
                        assert!(state == told && state != PaymentState::RefundDue);
                    }
                    (Some(state), Outcome::Payment(after)) => {
                        assert_eq!(after.is_repeat, state == PaymentState::Refunded);
                        assert_eq!(after.state, PaymentState::Refunded);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// An item of nine units, a payment window of a second, and an order of user 1.
fn shop() -> (Shard, Order) {
    let mut shop = Shard::with([terms(1, 9, 2, 1_000)]);
    let order = shop.place(1, 1, 1).expect("stock is left");
    (shop, order)
}

fn paid(outcome: Outcome) -> (PaymentState, OrderStatus, bool) {
    match outcome {
        Outcome::Payment(paid) => (paid.state, paid.order.status, paid.is_repeat),
        other => panic!("{other:?}"),
    }
}

/// Ends the item and lets its orders go.
fn settle(shop: &mut Shard) {
    shop.now = shop.now.plus_milliseconds(2_000);
    shop.expire(9);
    shop.ask(operate(ItemId(1), ItemAction::End));
    shop.ask(Command::Settle { item_id: ItemId(1), stored_seq: shop.stock.seq() });
    assert!(shop.stock.item(ItemId(1)).is_some_and(|item| item.settled));
}

#[test]
fn a_payment_is_started_once_for_a_request_and_pays_once() {
    let (mut shop, order) = shop();
    let started = (PaymentState::Started, OrderStatus::Reserved);
    assert_eq!(paid(shop.ask(start(&order, 7, 1))), (started.0, started.1, false));
    assert_eq!(paid(shop.ask(start(&order, 7, 1))), (started.0, started.1, true));
    let reused = Outcome::Refused(Refusal::IdempotencyKeyReused);
    assert_eq!(shop.ask(start(&order, 7, 2)), reused);
    let money = captured(&order, 1, 1, 41);
    let captured_now = (PaymentState::Captured, OrderStatus::Paid, false);
    assert_eq!(paid(shop.ask(note(&money))), captured_now);
    let again = (PaymentState::Captured, OrderStatus::Paid, true);
    assert_eq!(paid(shop.ask(note(&money))), again);
    // The order is paid: money that comes besides goes back, and nothing begins any more.
    let more = captured(&order, 1, 1, 42);
    let due = (PaymentState::RefundDue, OrderStatus::Paid, false);
    assert_eq!(paid(shop.ask(note(&more))), due);
    let Outcome::Order(known) = shop.ask(start(&order, 8, 1)) else { panic!("it is paid") };
    assert_eq!(known.status, OrderStatus::Paid);
    assert_eq!(shop.stock.payments_of(order.order_id).len(), 2);
    shop.check_money();
}

#[test]
fn a_capture_of_nothing_is_no_money() {
    let (mut shop, order) = shop();
    let id = PaymentId { order_id: order.order_id, number: 1 };
    let nothing = PaymentResult::Captured { amount: 0, currency: order.currency };
    let seq = shop.stock.seq();
    // Nobody had asked for it, and nothing has come of it.
    let unknown = Outcome::Refused(Refusal::PaymentNotFound);
    assert_eq!(shop.ask(note(&notice(id, 1, 41, nothing))), unknown);
    assert_eq!(shop.stock.seq(), seq);
    shop.ask(start(&order, 7, 1));
    let failed = (PaymentState::Failed, OrderStatus::Reserved);
    assert_eq!(paid(shop.ask(note(&notice(id, 1, 41, nothing)))), (failed.0, failed.1, false));
    assert_eq!(paid(shop.ask(note(&notice(id, 1, 41, nothing)))), (failed.0, failed.1, true));
    shop.check_money();
    // The money comes after all, by the same name.
    let captured_now = (PaymentState::Captured, OrderStatus::Paid, false);
    assert_eq!(paid(shop.ask(note(&captured(&order, 1, 1, 41)))), captured_now);
    // Besides, nothing is still nothing.
    let as_it_was = (PaymentState::Captured, OrderStatus::Paid, true);
    assert_eq!(paid(shop.ask(note(&notice(id, 1, 42, nothing)))), as_it_was);
    assert_eq!(shop.stock.payments_of(order.order_id).len(), 1);
    shop.check_money();
}

#[test]
fn a_payment_that_fails_after_its_order_was_let_go_leaves_it_as_it_is() {
    let (mut shop, order) = shop();
    shop.ask(start(&order, 7, 1));
    settle(&mut shop);
    let id = PaymentId { order_id: order.order_id, number: 1 };
    let mut failed = notice(id, 1, 41, PaymentResult::Failed);
    failed.stored = Some(Box::new(shop.stored(order.order_id)));
    let seq = shop.stock.seq();
    let as_it_was = (PaymentState::Started, OrderStatus::Expired, true);
    assert_eq!(paid(shop.ask(note(&failed))), as_it_was);
    let nothing = PaymentResult::Captured { amount: 0, currency: order.currency };
    failed.result = nothing;
    assert_eq!(paid(shop.ask(note(&failed))), as_it_was);
    assert_eq!(shop.stock.seq(), seq, "nothing is recorded");
}

#[test]
fn a_record_of_nothing_due_for_a_refund_is_still_read() {
    let (mut shop, order) = shop();
    shop.ask(start(&order, 7, 1));
    let payment = Payment {
        amount: 0,
        state: PaymentState::RefundDue,
        reference: Some(reference(41)),
        ..shop.stock.payments_of(order.order_id)[0].clone()
    };
    let record = PaymentRecord { payment, order, status_before: order.status };
    let seq = shop.stock.seq() + 1;
    let (shard, at, event) = (shop.stock.shard(), shop.now, Event::Payment(Box::new(record)));
    shop.stock.apply(&Record { shard, seq, at, event }).expect("older versions wrote such");
    let kept = &shop.stock.payments_of(order.order_id)[0];
    assert_eq!((kept.state, kept.amount), (PaymentState::RefundDue, 0));
}

#[test]
fn an_order_has_so_many_payments_and_money_beyond_them() {
    let (mut shop, order) = shop();
    for request in 1..=PAYMENTS_STARTED_MAX as u64 {
        paid(shop.ask(start(&order, request, 1)));
    }
    let refused = Outcome::Refused(Refusal::TooManyPayments);
    assert_eq!(shop.ask(start(&order, 99, 1)), refused);
    let (mut first, mut others) = (0, 0);
    for named in 1..=40 {
        match paid(shop.ask(note(&captured(&order, 1, 1, named)))).0 {
            PaymentState::Captured => first += 1,
            _ => others += 1,
        }
    }
    assert_eq!((first, others), (1, 39));
    shop.check_money();
}

#[test]
fn late_money_is_due_for_a_refund_before_and_after_the_order_is_let_go() {
    let (mut shop, order) = shop();
    shop.ask(start(&order, 7, 1));
    shop.now = order.expires_at;
    let late = captured(&order, 1, 1, 1);
    let due = (PaymentState::RefundDue, OrderStatus::RefundDue, false);
    assert_eq!(paid(shop.ask(note(&late))), due, "though the expiry is not on record");
    settle(&mut shop);
    assert_eq!(shop.stock.order(order.order_id), None);
    assert_eq!(shop.stock.payments_of(order.order_id).len(), 1, "money is to be given back");
    // What else comes is judged by what the order store has; without that, nothing is decided.
    let mut later = captured(&order, 1, 1, 2);
    assert_eq!(shop.ask(note(&later)), Outcome::Refused(Refusal::OrderNotFound));
    later.stored = Some(Box::new(shop.stored(order.order_id)));
    assert_eq!(paid(shop.ask(note(&later))), due);
    assert_eq!(paid(shop.ask(note(&later))), (due.0, due.1, true));
    shop.check_money();
    let id = |number| PaymentId { order_id: order.order_id, number };
    for (number, is_repeat) in [(1, false), (1, true), (2, false)] {
        let command = Command::Refund { id: id(number), reference: reference("R1") };
        let refunded = (PaymentState::Refunded, OrderStatus::RefundDue, is_repeat);
        assert_eq!(paid(shop.ask(command)), refunded);
    }
    let other = Command::Refund { id: id(1), reference: reference("R2") };
    let closed = Outcome::Refused(Refusal::PaymentClosed(PaymentState::Refunded));
    assert_eq!(shop.ask(other), closed);
    shop.check_money();
    crate::round_trips::check(&mut shop);
}

#[test]
fn payments_that_are_over_go_with_their_orders_and_leave_the_checkpoint() {
    let (mut shop, order) = shop();
    shop.pay(&order);
    let Changes { payments, payment_count, .. } = shop.stock.take_changes();
    assert_eq!((payments.len(), payment_count), (1, 1));
    assert!(payments[0].1.as_ref().is_some_and(|kept| kept.payments.len() == 1));
    settle(&mut shop);
    let Changes { payments, payment_count, .. } = shop.stock.take_changes();
    assert_eq!((payments, payment_count), (vec![(order.order_id, None)], 0));
    assert!(shop.stock.payments().is_empty());
    shop.check_money();
}

#[test]
fn what_costs_nothing_is_paid_without_a_payment() {
    let mut shop = Shard::with([ItemTerms { price: 0, ..terms(1, 9, 2, 1_000) }]);
    let order = shop.place(1, 1, 1).expect("stock is left");
    let Outcome::Order(given) = shop.pay(&order) else { panic!("it was given") };
    assert_eq!(given.status, OrderStatus::Paid);
    let other = shop.place(1, 2, 2).expect("stock is left");
    let Outcome::Order(given) = shop.ask(start(&other, 7, 1)) else { panic!("it was given") };
    assert_eq!(given.status, OrderStatus::Paid);
    assert!(shop.stock.payments().is_empty());
    shop.check_money();
}

#[test]
fn a_state_without_room_for_its_payments_is_not_restored() {
    let (mut shop, order) = shop();
    shop.pay(&order);
    let sound = shop.stock.snapshot();
    assert!(Stock::restore(shop.stock.shard(), sound.clone()).is_ok());
    let mut unknown = sound.clone();
    unknown.payments[0].order.order_id = OrderId(order.order_id.0 + (1 << 10));
    assert!(Stock::restore(shop.stock.shard(), unknown).is_err(), "an order that is not there");
    let mut doubled = sound;
    doubled.payments.push(doubled.payments[0].clone());
    assert!(Stock::restore(shop.stock.shard(), doubled).is_err(), "one order twice");
}

/// What a provider tells of one order: that payment 1 failed, that its price came under two names, and that
/// something else came.
fn told(order: &Order) -> Vec<PaymentNotice> {
    let Order { order_id, amount, currency, .. } = *order;
    let id = PaymentId { order_id, number: 1 };
    let wrong = PaymentResult::Captured { amount: amount - 1, currency };
    vec![
        notice(id, 1, 9, PaymentResult::Failed),
        captured(order, 1, 1, 1),
        captured(order, 1, 1, 2),
        notice(id, 1, 3, wrong),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_provider_tells_ends_in_the_same_sums_in_any_order(
        heard in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let (mut shop, order) = shop();
        shop.ask(start(&order, 7, 1));
        let told = told(&order);
        for place in heard {
            shop.ask(note(&told[place % told.len()]));
        }
        let sum = |state| {
            let kept = shop.stock.payments_of(order.order_id).iter();
            kept.filter(|payment| payment.state == state).map(|payment| payment.amount).sum::<u64>()
        };
        prop_assert_eq!(sum(PaymentState::Captured), order.amount);
        prop_assert_eq!(sum(PaymentState::RefundDue), 2 * order.amount - 1);
        let captured = sum(PaymentState::Captured) + sum(PaymentState::RefundDue);
        prop_assert_eq!(captured, 3 * order.amount - 1);
        shop.check_money();
    }
}
