//! One function per invariant that can be judged from values alone. Each returns what it found
//! wrong, in words.

use crate::ids::OrderId;
use crate::order::{Order, OrderStatus};
use crate::payment::{Payment, PaymentState};
use crate::sale::ItemCounters;

/// What a check came to: nothing, or what is wrong in words.
pub type Verdict = Result<(), String>;

/// An item's counters as a model or another process has them: signed, so that a wrong one can be
/// told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UnitCounts {
    /// Units put on sale, restocks included.
    pub allotted: i64,
    /// Units that can be bought.
    pub available: i64,
    /// Units bought and not yet paid.
    pub reserved: i64,
    /// Units that were paid.
    pub sold: i64,
}

impl From<&ItemCounters> for UnitCounts {
    fn from(counters: &ItemCounters) -> Self {
        Self {
            allotted: counters.allotted.into(),
            available: counters.available.into(),
            reserved: counters.reserved.into(),
            sold: counters.sold.into(),
        }
    }
}

/// I1: allotted = available + reserved + sold.
///
/// # Errors
/// Returns the four counters if they do not add up.
pub fn i1_balance(counts: impl Into<UnitCounts>) -> Verdict {
    let UnitCounts { allotted, available, reserved, sold } = counts.into();
    let sum = available.checked_add(reserved).and_then(|sum| sum.checked_add(sold));
    if sum == Some(allotted) {
        return Ok(());
    }
    Err(format!("allotted {allotted} ≠ available {available} + reserved {reserved} + sold {sold}"))
}

/// I2: available, and with it every counter that units are taken from, is never below 0.
///
/// # Errors
/// Returns the counter's name and value if it is negative.
pub fn i2_not_below_zero(counter: &str, value: i64) -> Verdict {
    if value >= 0 {
        return Ok(());
    }
    Err(format!("{counter} is {value}"))
}

/// I3: each confirmation that a client saw has exactly one record.
///
/// # Errors
/// Names the first confirmation without a record.
pub fn i3_confirmed<'a>(
    confirmations: impl IntoIterator<Item = &'a OrderId>,
    is_on_record: impl Fn(OrderId) -> bool,
) -> Verdict {
    match confirmations.into_iter().find(|order_id| !is_on_record(**order_id)) {
        None => Ok(()),
        Some(order_id) => Err(format!("order {order_id} was confirmed and is not on record")),
    }
}

/// I4: an order that was granted is in the order store with the content that was granted.
/// `has_same_content` tells what was found of it there: `None` if there is no row.
///
/// # Errors
/// Returns the order's id if its row is missing or differs.
pub fn i4_stored(order_id: OrderId, has_same_content: Option<bool>) -> Verdict {
    match has_same_content {
        Some(true) => Ok(()),
        Some(false) => Err(format!("order {order_id} has other content in the order store")),
        None => Err(format!("order {order_id} is not in the order store")),
    }
}

/// I5: numbers within a shard are dense.
///
/// # Errors
/// Returns both numbers if `next` does not follow `last`.
pub fn i5_dense(last: u64, next: u64) -> Verdict {
    if last.checked_add(1) == Some(next) {
        return Ok(());
    }
    Err(format!("record {next} follows record {last}"))
}

/// I6: no more live units per buyer and item than its limit.
///
/// # Errors
/// Returns both numbers if there are more.
pub fn i6_limit(limit: u32, live_units: u32) -> Verdict {
    if live_units <= limit {
        return Ok(());
    }
    Err(format!("{live_units} live units, limit {limit}"))
}

/// I7: one (user, request) has at most one order. `earlier` is the order that the request was
/// granted before, if it was.
///
/// # Errors
/// Returns both orders if there is an earlier one.
pub fn i7_granted_once(earlier: Option<OrderId>, order_id: OrderId) -> Verdict {
    match earlier {
        None => Ok(()),
        Some(earlier) => Err(format!("one request was granted order {earlier}, then {order_id}")),
    }
}

/// I10: an order ends once.
///
/// # Errors
/// Returns both statuses if an order may not go from `before` to `after`.
pub fn i10_ends_once(before: OrderStatus, after: OrderStatus) -> Verdict {
    if before.may_become(after) {
        return Ok(());
    }
    Err(format!("{} became {}", before.name(), after.name()))
}

/// I11: a checkpoint is never ahead of what is durable.
///
/// # Errors
/// Returns both positions if it is.
pub fn i11_checkpoint(checkpoint_seq: u64, durable_seq: u64) -> Verdict {
    if checkpoint_seq <= durable_seq {
        return Ok(());
    }
    Err(format!("checkpoint at {checkpoint_seq}, durable up to {durable_seq}"))
}

/// I14: an order's amount is the price in force times its quantity.
///
/// # Errors
/// Returns the three numbers if it is not.
pub fn i14_price(price: u64, quantity: u16, amount: u64) -> Verdict {
    if price.checked_mul(u64::from(quantity)) == Some(amount) {
        return Ok(());
    }
    Err(format!("amount {amount} for {quantity} at {price}"))
}

/// Money of a sale in one currency, in its minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MoneyCounts {
    /// What providers have captured.
    pub captured: u128,
    /// What the orders cost that are paid.
    pub paid: u128,
    /// What is to be given back.
    pub refund_due: u128,
    /// What was given back.
    pub refunded: u128,
}

/// I17: captured = orders paid + refunds due + refunded.
///
/// # Errors
/// Returns the four sums if they do not add up.
pub fn i17_balance(counts: MoneyCounts) -> Verdict {
    let MoneyCounts { captured, paid, refund_due, refunded } = counts;
    if captured == paid + refund_due + refunded {
        return Ok(());
    }
    Err(format!(
        "captured {captured} ≠ paid {paid} + refund due {refund_due} + refunded {refunded}"
    ))
}

/// I17, one record: an order that goes from `before` to `after` is paid by a payment that is captured by it and is
/// its price, and such a payment pays it.
///
/// # Errors
/// Names the payment if it is captured and pays nothing, if it pays without being captured, or if it is not the
/// price.
pub fn i17_pays(payment: &Payment, before: &Order, after: &Order) -> Verdict {
    let pays = after.status == OrderStatus::Paid && before.status == OrderStatus::Reserved;
    let is_captured = payment.state == PaymentState::Captured;
    let is_price = (payment.amount, payment.currency) == (after.amount, after.currency);
    let becomes_paid = after.status == OrderStatus::Paid && before.status != OrderStatus::Paid;
    if (is_captured || becomes_paid) && !(pays && is_captured && is_price) {
        return Err(format!(
            "payment {} of {} is {} and its order of {} went from {} to {}",
            payment.id,
            payment.amount,
            payment.state.name(),
            after.amount,
            before.status.name(),
            after.status.name()
        ));
    }
    Ok(())
}
