//! What concerns payments travels whole, and what means nothing is malformed.

use super::*;
use domain::payment::{OrderPayments, PaymentAsked, PaymentNotice, PaymentOutcome};
use domain::{
    Currency, OrderStatus, Payment, PaymentId, PaymentReference, PaymentResult, PaymentState,
    ProviderName,
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
