//! Refusals, whose kinds travel by number.

use super::super::orders::{Malformed, decode_order, encode_order, payment_state};
use super::super::proto;
use domain::{Refusal, Timestamp};

const ITEM_NOT_FOUND: u32 = 1;
const ORDER_NOT_FOUND: u32 = 2;
const SALE_NOT_STARTED: u32 = 3;
const SALE_ENDED: u32 = 4;
const SALE_PAUSED: u32 = 5;
const SOLD_OUT: u32 = 6;
const LIMIT_REACHED: u32 = 7;
const ATTEMPTS_EXHAUSTED: u32 = 8;
const IDEMPOTENCY_KEY_REUSED: u32 = 9;
const ORDER_CLOSED: u32 = 10;
const PHASE_CONFLICT: u32 = 11;
const FEWER_AVAILABLE: u32 = 12;
const OUT_OF_RANGE: u32 = 13;
const PAYMENT_NOT_FOUND: u32 = 20;
pub(super) const PAYMENT_CLOSED: u32 = 21;
const TOO_MANY_PAYMENTS: u32 = 22;

/// Puts a refusal into a message.
pub(super) fn encode_refusal(refused: Refusal) -> proto::Refusal {
    let (kind, value, order) = match refused {
        Refusal::ItemNotFound => (ITEM_NOT_FOUND, 0, None),
        Refusal::OrderNotFound => (ORDER_NOT_FOUND, 0, None),
        Refusal::SaleNotStarted { starts_at } => (SALE_NOT_STARTED, starts_at.0, None),
        Refusal::SaleEnded => (SALE_ENDED, 0, None),
        Refusal::SalePaused => (SALE_PAUSED, 0, None),
        Refusal::SoldOut => (SOLD_OUT, 0, None),
        Refusal::LimitReached => (LIMIT_REACHED, 0, None),
        Refusal::AttemptsExhausted => (ATTEMPTS_EXHAUSTED, 0, None),
        Refusal::IdempotencyKeyReused => (IDEMPOTENCY_KEY_REUSED, 0, None),
        Refusal::OrderClosed(order) => (ORDER_CLOSED, 0, Some(encode_order(&order))),
        Refusal::PaymentNotFound => (PAYMENT_NOT_FOUND, 0, None),
        Refusal::PaymentClosed(state) => (PAYMENT_CLOSED, state as u64, None),
        Refusal::TooManyPayments => (TOO_MANY_PAYMENTS, 0, None),
        Refusal::PhaseConflict => (PHASE_CONFLICT, 0, None),
        Refusal::FewerAvailable { available } => (FEWER_AVAILABLE, u64::from(available), None),
        Refusal::OutOfRange => (OUT_OF_RANGE, 0, None),
    };
    proto::Refusal { kind, value, order }
}

/// Reads a refusal.
///
/// # Errors
/// Returns [`Malformed`] if it means nothing here.
pub(super) fn decode_refusal(refused: proto::Refusal) -> Result<Refusal, Malformed> {
    Ok(match refused.kind {
        ITEM_NOT_FOUND => Refusal::ItemNotFound,
        ORDER_NOT_FOUND => Refusal::OrderNotFound,
        SALE_NOT_STARTED => Refusal::SaleNotStarted { starts_at: Timestamp(refused.value) },
        SALE_ENDED => Refusal::SaleEnded,
        SALE_PAUSED => Refusal::SalePaused,
        SOLD_OUT => Refusal::SoldOut,
        LIMIT_REACHED => Refusal::LimitReached,
        ATTEMPTS_EXHAUSTED => Refusal::AttemptsExhausted,
        IDEMPOTENCY_KEY_REUSED => Refusal::IdempotencyKeyReused,
        ORDER_CLOSED => {
            Refusal::OrderClosed(decode_order(refused.order.ok_or(Malformed("order"))?)?)
        }
        PAYMENT_NOT_FOUND => Refusal::PaymentNotFound,
        PAYMENT_CLOSED => {
            let state = u32::try_from(refused.value).map_err(|_| Malformed("payment's state"))?;
            Refusal::PaymentClosed(payment_state(state)?)
        }
        TOO_MANY_PAYMENTS => Refusal::TooManyPayments,
        PHASE_CONFLICT => Refusal::PhaseConflict,
        FEWER_AVAILABLE => {
            let available = u32::try_from(refused.value).map_err(|_| Malformed("available"))?;
            Refusal::FewerAvailable { available }
        }
        OUT_OF_RANGE => Refusal::OutOfRange,
        _ => return Err(Malformed("refusal")),
    })
}
