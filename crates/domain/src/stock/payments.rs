//! Payments of the shard's orders: how they begin, what a provider's notice makes of them, and refunds.
//!
//! A payment and what it does to its order are one record, so that money and order can never be told apart by a
//! crash. When an item is settled its orders' payments are released with them, but for orders of which money is to
//! be given back. Must not know any provider.

use super::decide::Decision;
use super::state::Stock;
use super::violation::Broken;
use crate::command::{Outcome, Refusal};
use crate::event::Event;
use crate::ids::{ItemId, OrderId, RequestId, Timestamp, UserId};
use crate::invariants::{Invariant, i10_ends_once, i17_pays};
use crate::order::{Order, OrderStatus};
use crate::payment::{
    OrderPayments, PAYMENTS_STARTED_MAX, Payment, PaymentAsked, PaymentId, PaymentNotice,
    PaymentOutcome, PaymentRecord, PaymentReference, PaymentResult, PaymentState, ProviderName,
};

impl OrderPayments {
    fn outcome(&self, payment: &Payment, is_repeat: bool) -> Outcome {
        let (id, state) = (payment.id, payment.state);
        Outcome::Payment(PaymentOutcome { id, state, order: self.order, is_repeat })
    }

    fn unchanged(&self, payment: &Payment) -> Decision {
        Decision { event: None, outcome: self.outcome(payment, true) }
    }

    /// The payment is as given from now on, and the order is of this status.
    fn changed(&self, payment: Payment, status: OrderStatus) -> Decision {
        let order = Order { status, ..self.order };
        let outcome = OrderPayments { order, payments: Vec::new() }.outcome(&payment, false);
        let status_before = self.order.status;
        let event = Event::Payment(Box::new(PaymentRecord { payment, order, status_before }));
        Decision { event: Some(event), outcome }
    }
}

impl Stock {
    /// The payments of the order that the shard holds, by ascending number.
    pub fn payments_of(&self, order_id: OrderId) -> &[Payment] {
        self.payments.of(order_id)
    }

    /// All payments that the shard holds, by ascending order.
    pub fn payments(&self) -> Vec<&OrderPayments> {
        let mut all: Vec<&OrderPayments> = self.payments.by_order.values().collect();
        all.sort_unstable_by_key(|kept| kept.order.order_id);
        all
    }

    /// The order as it is now, with its payments.
    fn order_with_payments(&self, order_id: OrderId) -> Option<OrderPayments> {
        let order = self.order(order_id)?;
        Some(OrderPayments { order, payments: self.payments.of(order_id).to_vec() })
    }

    pub(super) fn pay(&self, now: Timestamp, order_id: OrderId, user_id: UserId) -> Decision {
        let Some(order) = self.order_of(order_id, user_id) else {
            return Decision::refused(Refusal::OrderNotFound);
        };
        if matches!(order.status, OrderStatus::Paid | OrderStatus::RefundDue) {
            return Decision::unchanged(order);
        }
        if order.amount == 0 {
            return pay_nothing(now, order);
        }
        let known = OrderPayments { order, payments: self.payments.of(order_id).to_vec() };
        let Some(id) = known.next_id() else {
            return Decision::refused(Refusal::TooManyPayments);
        };
        let payment = Payment {
            id,
            request_id: RequestId(0),
            provider: ProviderName::sandbox(),
            amount: order.amount,
            currency: order.currency,
            state: PaymentState::Captured,
            reference: PaymentReference::parse(&id.to_string()),
            refund_reference: None,
        };
        let decision = capture(now, &known, payment, true);
        match decision.outcome {
            Outcome::Payment(paid) => Decision { outcome: Outcome::Order(paid.order), ..decision },
            _ => decision,
        }
    }

    /// Only the sandbox begins a payment of an order that has expired: to show what becomes of late money.
    pub(super) fn start_payment(&self, now: Timestamp, asked: &PaymentAsked) -> Decision {
        let Some(order) = self.order_of(asked.order_id, asked.user_id) else {
            return Decision::refused(Refusal::OrderNotFound);
        };
        let known = OrderPayments { order, payments: self.payments.of(asked.order_id).to_vec() };
        let earlier = known.payments.iter().find(|known| known.request_id == asked.request_id);
        if let Some(earlier) = earlier.filter(|_| asked.request_id != RequestId(0)) {
            return if earlier.provider == asked.provider {
                known.unchanged(earlier)
            } else {
                Decision::refused(Refusal::IdempotencyKeyReused)
            };
        }
        let is_late = match order.status {
            OrderStatus::Paid | OrderStatus::RefundDue => return Decision::unchanged(order),
            OrderStatus::Cancelled => return Decision::refused(Refusal::OrderClosed(order)),
            OrderStatus::Reserved => now >= order.expires_at,
            OrderStatus::Expired => true,
        };
        if order.amount == 0 {
            return pay_nothing(now, order);
        }
        if is_late && asked.provider != ProviderName::sandbox() {
            let expired = Order { status: OrderStatus::Expired, ..order };
            return Decision::refused(Refusal::OrderClosed(expired));
        }
        let started = known.payments.iter().filter(|known| known.request_id != RequestId(0));
        let Some(id) = known.next_id().filter(|_| started.count() < PAYMENTS_STARTED_MAX) else {
            return Decision::refused(Refusal::TooManyPayments);
        };
        let payment = Payment {
            id,
            request_id: asked.request_id,
            provider: asked.provider.clone(),
            amount: order.amount,
            currency: order.currency,
            state: PaymentState::Started,
            reference: None,
            refund_reference: None,
        };
        known.changed(payment, order.status)
    }

    /// Money is never refused: what cannot pay the order is due for a refund.
    pub(super) fn note_payment(&self, now: Timestamp, notice: &PaymentNotice) -> Decision {
        let PaymentNotice { id, provider, reference, result, stored } = notice;
        let held = self.order_with_payments(id.order_id);
        let is_held = held.is_some();
        let stored = stored.as_deref().filter(|stored| stored.order.order_id == id.order_id);
        let known = held.or_else(|| stored.and_then(|stored| self.released(stored)));
        let Some(known) = known else {
            return Decision::refused(Refusal::OrderNotFound);
        };
        if let Some(done) = known.captured_as(provider, reference) {
            return known.unchanged(done);
        }
        let named = known.get(*id).filter(|payment| payment.provider == *provider);
        match (result.noted(), named) {
            (PaymentResult::Failed, None) => Decision::refused(Refusal::PaymentNotFound),
            // Of an order that was released only money is still recorded.
            (PaymentResult::Failed, Some(named))
                if is_held && named.state == PaymentState::Started =>
            {
                let (state, reference) = (PaymentState::Failed, Some(reference.clone()));
                let order = known.order.status;
                known.changed(Payment { state, reference, ..named.clone() }, order)
            }
            (PaymentResult::Failed, Some(named)) => known.unchanged(named),
            (PaymentResult::Captured { amount, currency }, named) => {
                let open = named.filter(|named| !named.state.has_money());
                // A second capture of one payment is a payment of its own.
                let id = open.map(|open| open.id).or_else(|| known.next_id());
                let Some(id) = id else {
                    return Decision::refused(Refusal::TooManyPayments);
                };
                let payment = Payment {
                    id,
                    request_id: open.map_or(RequestId(0), |open| open.request_id),
                    provider: provider.clone(),
                    amount,
                    currency,
                    state: PaymentState::Captured,
                    reference: Some(reference.clone()),
                    refund_reference: None,
                };
                capture(now, &known, payment, is_held)
            }
        }
    }

    pub(super) fn refund(&self, id: PaymentId, reference: &PaymentReference) -> Decision {
        let known = self.order_with_payments(id.order_id);
        let known = known.or_else(|| self.payments.by_order.get(&id.order_id).cloned());
        let Some((known, payment)) = known.as_ref().and_then(|known| Some((known, known.get(id)?)))
        else {
            return Decision::refused(Refusal::PaymentNotFound);
        };
        match payment.state {
            PaymentState::RefundDue => {
                let refund_reference = Some(reference.clone());
                let state = PaymentState::Refunded;
                let payment = Payment { state, refund_reference, ..payment.clone() };
                known.changed(payment, known.order.status)
            }
            PaymentState::Refunded if payment.refund_reference.as_ref() == Some(reference) => {
                known.unchanged(payment)
            }
            state => Decision::refused(Refusal::PaymentClosed(state)),
        }
    }

    /// An order that was released, with its payments: as the order store has them, and what came since.
    fn released(&self, stored: &OrderPayments) -> Option<OrderPayments> {
        if !self.has_released(&stored.order) {
            return None;
        }
        let mut known = stored.clone();
        if let Some(kept) = self.payments.by_order.get(&stored.order.order_id) {
            known.order = kept.order;
            for payment in &kept.payments {
                known.set(payment.clone());
            }
        }
        Some(known)
    }

    fn has_released(&self, order: &Order) -> bool {
        let is_of_settled = self.item(order.item_id).is_some_and(|item| item.settled);
        let is_of_shard = order.order_id.shard() == self.shard;
        is_of_settled && is_of_shard && order.order_id <= self.last_order_id
    }

    /// Releases the payments of an item's orders that are over and done with, before its orders go.
    pub(super) fn release_payments(&mut self, item_id: ItemId) {
        let of_item = self.payments.by_order.values().filter(|kept| kept.order.item_id == item_id);
        let ids: Vec<OrderId> = of_item.map(|kept| kept.order.order_id).collect();
        for id in ids {
            let order = self.order(id);
            if let Some(kept) = self.payments.by_order.get_mut(&id) {
                kept.order = order.unwrap_or(kept.order);
                if !kept.has_refund_due() {
                    self.payments.by_order.remove(&id);
                }
                self.payments.mark_dirty(id);
            }
        }
    }

    pub(super) fn enter_payment(&mut self, seq: u64, record: &PaymentRecord) -> Result<(), Broken> {
        let PaymentRecord { payment, order, status_before } = record;
        let order_id = order.order_id;
        if payment.id.order_id != order_id {
            return Err(Broken::form("the payment is another order's"));
        }
        self.check_payment(payment)?;
        let Some(before) = self.order(order_id) else {
            let kept = self.payments.by_order.get(&order_id);
            let goes_back =
                matches!(payment.state, PaymentState::RefundDue | PaymentState::Refunded);
            if !self.has_released(order) || kept.is_some_and(|kept| kept.order != *order) {
                return Err(Broken::form("the order was never granted"));
            }
            if !goes_back || *status_before != order.status {
                return Err(Broken::form("the order was released"));
            }
            let position = self.known(order.item_id)?;
            let counters = self.items[position as usize].counters;
            self.payments.set(record);
            self.touch_item(position, seq, counters);
            return Ok(());
        };
        if !before.same_purchase(order) {
            return Err(Broken::form("the order's content differs"));
        }
        if before.status != *status_before {
            return Err(Broken::form("the order had another status"));
        }
        i17_pays(payment, &before, order).map_err(Broken::invariant(Invariant::I17))?;
        if before.status == order.status {
            let position = self.known(order.item_id)?;
            let counters = self.items[position as usize].counters;
            self.touch_item(position, seq, counters);
        } else {
            i10_ends_once(before.status, order.status)
                .map_err(Broken::invariant(Invariant::I10))?;
            self.change(seq, order)?;
        }
        self.payments.set(record);
        Ok(())
    }

    /// Whether the payment can follow what the shard has of it.
    fn check_payment(&self, payment: &Payment) -> Result<(), Broken> {
        let known = self.payments.of(payment.id.order_id);
        let before = known.iter().find(|known| known.id == payment.id);
        if !payment.state.may_follow(before.map(|before| before.state)) {
            return Err(Broken::form(format!(
                "payment {} became {}",
                payment.id,
                payment.state.name()
            )));
        }
        let is_same = before.is_none_or(|before| {
            let is_same_money = !before.state.has_money()
                || (before.amount, before.currency, &before.reference)
                    == (payment.amount, payment.currency, &payment.reference);
            before.provider == payment.provider
                && before.request_id == payment.request_id
                && is_same_money
        });
        let is_whole = payment.state.has_money() <= payment.reference.is_some()
            && (payment.state == PaymentState::Refunded) == payment.refund_reference.is_some();
        if !is_same || !is_whole {
            return Err(Broken::form(format!("payment {} changed its content", payment.id)));
        }
        let is_doubled = payment.state.has_money()
            && known.iter().any(|known| {
                known.id != payment.id
                    && known.state.has_money()
                    && known.provider == payment.provider
                    && known.reference == payment.reference
            });
        if is_doubled {
            return Err(Broken::invariant(Invariant::I17)(format!(
                "payment {} counts money that was counted before",
                payment.id
            )));
        }
        Ok(())
    }

    /// Takes the payments of an order as a checkpoint or the order store has them.
    pub(super) fn insert_payments(&mut self, payments: OrderPayments) -> Result<(), Broken> {
        let order_id = payments.order.order_id;
        let is_in_place = order_id.shard() == self.shard
            && payments.payments.is_sorted_by(|left, right| left.id.number < right.id.number)
            && payments.payments.iter().all(|payment| payment.id.order_id == order_id)
            && (self.order(order_id).is_some() || self.has_released(&payments.order));
        let is_new = self.payments.by_order.insert(order_id, payments).is_none();
        if !is_in_place || !is_new {
            return Err(Broken::form(format!("the payments of order {order_id} are out of place")));
        }
        Ok(())
    }
}

/// What money that has come makes of an order; `may_pay` unless the order was released.
fn capture(now: Timestamp, known: &OrderPayments, came: Payment, may_pay: bool) -> Decision {
    let order = &known.order;
    let is_price = (came.amount, came.currency) == (order.amount, order.currency);
    let (state, status) = match order.status {
        status if !may_pay => (PaymentState::RefundDue, status),
        status @ (OrderStatus::Paid | OrderStatus::RefundDue) => (PaymentState::RefundDue, status),
        OrderStatus::Reserved if now < order.expires_at && is_price => {
            (PaymentState::Captured, OrderStatus::Paid)
        }
        OrderStatus::Reserved if now < order.expires_at => {
            (PaymentState::RefundDue, OrderStatus::Reserved)
        }
        // Too late, whether or not the expiry has been journalled yet.
        OrderStatus::Reserved | OrderStatus::Cancelled | OrderStatus::Expired => {
            (PaymentState::RefundDue, OrderStatus::RefundDue)
        }
    };
    known.changed(Payment { state, ..came }, status)
}

/// An order that costs nothing is paid without a payment.
fn pay_nothing(now: Timestamp, order: Order) -> Decision {
    if order.status == OrderStatus::Reserved && now < order.expires_at {
        return Decision::changed(order, OrderStatus::Paid);
    }
    Decision::refused(Refusal::OrderClosed(order))
}
