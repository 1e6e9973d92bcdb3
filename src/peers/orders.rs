//! Orders and payments as they travel between nodes, and what is wrong with a message that means nothing.
//!
//! Numbers of statuses and states are the domain's own. Must not know who asks what.

use super::proto;
use domain::{
    Currency, ItemId, Order, OrderId, OrderPayments, OrderStatus, Payment, PaymentAsked, PaymentId,
    PaymentNotice, PaymentOutcome, PaymentReference, PaymentResult, PaymentState, ProviderName,
    RequestId, SaleId, Timestamp, UserId,
};

/// A message that means nothing here. The text names what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a message that means nothing here: {0}")]
pub struct Malformed(pub &'static str);

/// A number of a smaller type.
pub(super) fn narrow<T: TryFrom<u32>>(number: u32, what: &'static str) -> Result<T, Malformed> {
    T::try_from(number).map_err(|_| Malformed(what))
}

/// Puts an order into a message.
pub(super) fn encode_order(order: &Order) -> proto::Order {
    proto::Order {
        order: order.order_id.0,
        item: order.item_id.0,
        sale: order.sale_id.0,
        user: order.user_id.0,
        request: order.request_id.0,
        attempt: u32::from(order.attempt),
        quantity: u32::from(order.quantity),
        amount: order.amount,
        currency: order.currency.to_string(),
        status: order.status as u32,
        expires_at: order.expires_at.0,
    }
}

/// Reads an order.
///
/// # Errors
/// Returns [`Malformed`] if it means nothing here.
pub(super) fn decode_order(order: proto::Order) -> Result<Order, Malformed> {
    let status = OrderStatus::from_number(narrow(order.status, "status")?);
    Ok(Order {
        order_id: OrderId(order.order),
        item_id: ItemId(order.item),
        sale_id: SaleId(order.sale),
        user_id: UserId(order.user),
        request_id: RequestId(order.request),
        attempt: narrow(order.attempt, "attempt")?,
        quantity: narrow(order.quantity, "quantity")?,
        amount: order.amount,
        currency: currency(&order.currency)?,
        status: status.ok_or(Malformed("status"))?,
        expires_at: Timestamp(order.expires_at),
    })
}

/// Reads a currency's code.
///
/// # Errors
/// Returns [`Malformed`] if it is none.
pub(super) fn currency(text: &str) -> Result<Currency, Malformed> {
    Currency::parse(text).ok_or(Malformed("currency"))
}

/// Puts what a buyer asks for who begins to pay into a message.
pub(super) fn encode_asked(asked: &PaymentAsked) -> proto::StartPayment {
    proto::StartPayment {
        order: asked.order_id.0,
        user: asked.user_id.0,
        request: asked.request_id.0,
        provider: asked.provider.to_string(),
    }
}

/// Reads what a buyer asks for who begins to pay.
///
/// # Errors
/// Returns [`Malformed`] if it means nothing here.
pub(super) fn decode_asked(asked: &proto::StartPayment) -> Result<PaymentAsked, Malformed> {
    Ok(PaymentAsked {
        order_id: OrderId(asked.order),
        user_id: UserId(asked.user),
        request_id: RequestId(asked.request),
        provider: provider(&asked.provider)?,
    })
}

/// Puts what a provider told into a message.
pub(super) fn encode_notice(notice: &PaymentNotice) -> proto::NotePayment {
    proto::NotePayment {
        id: Some(encode_payment_id(notice.id)),
        provider: notice.provider.to_string(),
        reference: notice.reference.to_string(),
        captured: match notice.result {
            PaymentResult::Captured { amount, currency } => {
                Some(proto::Captured { amount, currency: currency.to_string() })
            }
            PaymentResult::Failed => None,
        },
        stored: notice.stored.as_deref().map(|stored| proto::OrderPayments {
            order: Some(encode_order(&stored.order)),
            payments: stored.payments.iter().map(encode_payment).collect(),
        }),
    }
}

/// Reads what a provider told.
///
/// # Errors
/// Returns [`Malformed`] if it means nothing here.
pub(super) fn decode_notice(notice: proto::NotePayment) -> Result<PaymentNotice, Malformed> {
    let result = match notice.captured {
        Some(proto::Captured { amount, currency: code }) => {
            PaymentResult::Captured { amount, currency: currency(&code)? }
        }
        None => PaymentResult::Failed,
    };
    Ok(PaymentNotice {
        id: decode_payment_id(notice.id)?,
        provider: provider(&notice.provider)?,
        reference: reference(&notice.reference)?,
        result,
        stored: notice.stored.map(decode_payments).transpose()?.map(Box::new),
    })
}

fn decode_payments(payments: proto::OrderPayments) -> Result<OrderPayments, Malformed> {
    let order = decode_order(payments.order.ok_or(Malformed("order"))?)?;
    let payments = payments.payments.iter().map(|payment| decode_payment(order.order_id, payment));
    let payments: Vec<Payment> = payments.collect::<Result<_, _>>()?;
    // They are looked for by their numbers.
    if !payments.is_sorted_by(|one, next| one.id.number < next.id.number) {
        return Err(Malformed("payments out of place"));
    }
    Ok(OrderPayments { order, payments })
}

fn encode_payment(payment: &Payment) -> proto::Payment {
    let text = |reference: &Option<PaymentReference>| {
        reference.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    proto::Payment {
        number: u32::from(payment.id.number),
        request: payment.request_id.0,
        provider: payment.provider.to_string(),
        amount: payment.amount,
        currency: payment.currency.to_string(),
        state: payment.state as u32,
        reference: text(&payment.reference),
        refund_reference: text(&payment.refund_reference),
    }
}

fn decode_payment(order_id: OrderId, payment: &proto::Payment) -> Result<Payment, Malformed> {
    let text = |text: &str| (!text.is_empty()).then(|| reference(text)).transpose();
    Ok(Payment {
        id: PaymentId { order_id, number: narrow(payment.number, "payment's number")? },
        request_id: RequestId(payment.request),
        provider: provider(&payment.provider)?,
        amount: payment.amount,
        currency: currency(&payment.currency)?,
        state: payment_state(payment.state)?,
        reference: text(&payment.reference)?,
        refund_reference: text(&payment.refund_reference)?,
    })
}

/// Puts what a command came to for a payment into a message.
pub(super) fn encode_payment_outcome(outcome: &PaymentOutcome) -> proto::PaymentOutcome {
    proto::PaymentOutcome {
        id: Some(encode_payment_id(outcome.id)),
        state: outcome.state as u32,
        order: Some(encode_order(&outcome.order)),
        is_repeat: outcome.is_repeat,
    }
}

/// Reads what a command came to for a payment.
///
/// # Errors
/// Returns [`Malformed`] if it means nothing here.
pub(super) fn decode_payment_outcome(
    outcome: proto::PaymentOutcome,
) -> Result<PaymentOutcome, Malformed> {
    Ok(PaymentOutcome {
        id: decode_payment_id(outcome.id)?,
        state: payment_state(outcome.state)?,
        order: decode_order(outcome.order.ok_or(Malformed("order"))?)?,
        is_repeat: outcome.is_repeat,
    })
}

/// Puts a payment's identity into a message.
pub(super) fn encode_payment_id(id: PaymentId) -> proto::PaymentId {
    proto::PaymentId { order: id.order_id.0, number: u32::from(id.number) }
}

/// Reads a payment's identity.
///
/// # Errors
/// Returns [`Malformed`] if it means nothing here.
pub(super) fn decode_payment_id(id: Option<proto::PaymentId>) -> Result<PaymentId, Malformed> {
    let id = id.ok_or(Malformed("payment"))?;
    let number = narrow(id.number, "payment's number")?;
    Ok(PaymentId { order_id: OrderId(id.order), number })
}

/// Reads a payment's state.
///
/// # Errors
/// Returns [`Malformed`] if there is none of this number.
pub(super) fn payment_state(number: u32) -> Result<PaymentState, Malformed> {
    let state = PaymentState::from_number(narrow(number, "payment's state")?);
    state.ok_or(Malformed("payment's state"))
}

/// Reads a provider's name for a payment or a refund.
///
/// # Errors
/// Returns [`Malformed`] if it cannot be one.
pub(super) fn reference(text: &str) -> Result<PaymentReference, Malformed> {
    PaymentReference::parse(text).ok_or(Malformed("reference"))
}

fn provider(text: &str) -> Result<ProviderName, Malformed> {
    ProviderName::parse(text).ok_or(Malformed("provider"))
}
