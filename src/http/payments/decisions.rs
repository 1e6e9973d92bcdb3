//! What the shard of an order decides about it and its payments, as the edge tells it.
//!
//! An order that its shard has released is in the order store, and with its payments it is given along: so the money
//! that comes for it is known too. Must not know who asks, nor any provider.

use crate::actors::Reply;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use domain::{
    Command, Order, OrderStatus, Outcome, PaymentAsked, PaymentId, PaymentNotice, PaymentOutcome,
    PaymentReference, PaymentState, Refusal,
};

/// What came of the wish to begin a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// The payment, begun now or before by the same request; nothing has become of it yet.
    Payment(PaymentOutcome),
    /// There is nothing to be paid: the order was paid before, or costs nothing.
    Settled {
        /// The order now.
        order: Order,
        /// Whether the same request had its money before.
        is_repeat: bool,
    },
}

/// Decides a command about an order that was found, such as its cancellation.
///
/// # Errors
/// Returns a problem if it is refused, was not delivered, or has an unknown outcome.
pub async fn change(edge: &Edge, order: &Order, command: Command) -> Result<Order, Problem> {
    match edge.engine.decide_order(order.order_id, command).await {
        Reply::Decided(
            Outcome::Order(order) | Outcome::Placed(order) | Outcome::Replayed(order),
        ) => Ok(order),
        Reply::Decided(Outcome::Payment(payment)) => Ok(payment.order),
        // It was found a moment ago: in the order store, because its shard has released it.
        Reply::Decided(Outcome::Refused(Refusal::OrderNotFound)) => {
            Err(Problem::order_released(order))
        }
        reply => Err(problem_of(reply)),
    }
}

/// Pays an order that was found in the sandbox, at once.
///
/// # Errors
/// Returns the problems of [`change`].
pub async fn pay_at_once(edge: &Edge, order: &Order) -> Result<Order, Problem> {
    let Order { order_id, user_id, .. } = *order;
    let paid = change(edge, order, Command::Pay { order_id, user_id }).await?;
    count_paid(edge, &paid);
    Ok(paid)
}

/// Counts the payment by which an order was paid in the sandbox, if it cost anything.
pub fn count_paid(edge: &Edge, paid: &Order) {
    match paid.status {
        _ if paid.amount == 0 => {}
        OrderStatus::RefundDue => edge.metrics.payments.came_to(PaymentState::RefundDue),
        _ => edge.metrics.payments.came_to(PaymentState::Captured),
    }
}

/// The problem of a payment that has failed.
pub fn failed() -> Problem {
    let detail = "this payment has failed, and the order is as it was: begin another one, with another Idempotency-Key";
    Problem::new(Code::PaymentFailed, detail)
}

/// Begins a payment of an order that was found.
///
/// # Errors
/// Returns a `payment_failed` problem if the same request began one that has failed, and the problems of [`change`].
pub async fn start(edge: &Edge, order: &Order, asked: PaymentAsked) -> Result<Start, Problem> {
    match edge.engine.decide_order(order.order_id, Command::StartPayment(Box::new(asked))).await {
        Reply::Decided(Outcome::Payment(payment)) => {
            count(edge, &payment);
            match payment.state {
                PaymentState::Started => Ok(Start::Payment(payment)),
                PaymentState::Failed => Err(failed()),
                PaymentState::Captured | PaymentState::RefundDue | PaymentState::Refunded => {
                    Ok(Start::Settled { order: payment.order, is_repeat: true })
                }
            }
        }
        Reply::Decided(Outcome::Order(order)) => Ok(Start::Settled { order, is_repeat: false }),
        Reply::Decided(Outcome::Refused(Refusal::OrderNotFound)) => {
            Err(Problem::order_released(order))
        }
        reply => Err(problem_of(reply)),
    }
}

/// Notes what a provider told of a payment; answers once that is durable.
///
/// # Errors
/// Returns an `order_not_found` problem if the shop has no such order, a `payment_not_found` one if no money came for
/// a payment that it does not know, and a problem with 503 if nothing was noted, or may have been: to be repeated.
pub async fn note(edge: &Edge, mut notice: PaymentNotice) -> Result<PaymentOutcome, Problem> {
    let order_id = notice.id.order_id;
    let told = |notice: &PaymentNotice| Command::NotePayment(Box::new(notice.clone()));
    let mut reply = edge.engine.decide_order(order_id, told(&notice)).await;
    if is_unknown(&reply) {
        let stored = edge.sales.order_payments(order_id).await?.ok_or_else(|| {
            Problem::new(Code::OrderNotFound, "the shop has no order of this payment")
        })?;
        notice.stored = Some(Box::new(stored));
        reply = edge.engine.decide_order(order_id, told(&notice)).await;
        if is_unknown(&reply) {
            // Neither held nor released: a shard that is just being brought up to date knows better soon.
            let detail = "nothing was noted: the order's shard does not know it yet; tell it again";
            return Err(Problem::new(Code::RecordsUnavailable, detail));
        }
    }
    payment_of(edge, reply)
}

/// Notes that an operator has given a payment's money back; answers once that is durable.
///
/// # Errors
/// Returns a `payment_not_found` or a `payment_closed` problem if none is due, and the problems of a decision.
pub async fn refund(
    edge: &Edge,
    id: PaymentId,
    reference: PaymentReference,
) -> Result<PaymentOutcome, Problem> {
    let reply = edge.engine.decide_order(id.order_id, Command::Refund { id, reference }).await;
    if is_unknown(&reply) {
        return Err(Refusal::PaymentNotFound.into());
    }
    payment_of(edge, reply)
}

fn is_unknown(reply: &Reply) -> bool {
    matches!(reply, Reply::Decided(Outcome::Refused(Refusal::OrderNotFound)))
}

fn payment_of(edge: &Edge, reply: Reply) -> Result<PaymentOutcome, Problem> {
    match reply {
        Reply::Decided(Outcome::Payment(payment)) => {
            count(edge, &payment);
            Ok(payment)
        }
        reply => Err(problem_of(reply)),
    }
}

fn count(edge: &Edge, payment: &PaymentOutcome) {
    if !payment.is_repeat {
        edge.metrics.payments.came_to(payment.state);
    }
}

fn problem_of(reply: Reply) -> Problem {
    match reply {
        Reply::Decided(Outcome::Refused(refusal)) => refusal.into(),
        Reply::NotDelivered(reason) => reason.into(),
        // No other outcome belongs to what was asked.
        Reply::Decided(_) | Reply::Unknown => Problem::new(
            Code::OutcomeUnknown,
            "it may or may not have been done: look at the order, or repeat the request",
        ),
    }
}
