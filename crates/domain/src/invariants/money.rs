//! The ledger's view of money: each payment, and what has come of each sale.

use super::checks::{MoneyCounts, Verdict};
use crate::ids::{OrderId, SaleId, ShardId};
use crate::order::{Order, OrderStatus};
use crate::payment::{Payment, PaymentId, PaymentReference, PaymentState, ProviderName};
use crate::sale::Currency;
use std::collections::{BTreeMap, HashMap, HashSet};

/// All payments, and what was captured by their records.
#[derive(Debug, Default)]
pub(super) struct Money {
    payments: HashMap<PaymentId, Payment>,
    /// What was counted, by the names that providers gave it.
    captured: HashMap<(OrderId, ProviderName, PaymentReference), u64>,
    /// Of each order the sale, in whose currency its money is counted.
    sales: HashMap<OrderId, SaleId>,
    /// Shards that have recorded a payment: from then on they record each.
    shards: HashSet<ShardId>,
    /// Orders that were paid by a payment.
    paid: HashSet<OrderId>,
    /// Orders that were paid without one, though their shard records payments.
    given_away: HashSet<OrderId>,
}

impl Money {
    pub(super) fn payments(&self) -> &HashMap<PaymentId, Payment> {
        &self.payments
    }

    /// I17: the money of a payment was not counted before.
    pub(super) fn counted_once(&self, payment: &Payment) -> Verdict {
        let comes = matches!(payment.state, PaymentState::Captured | PaymentState::RefundDue);
        let Some(reference) = payment.reference.clone().filter(|_| comes) else { return Ok(()) };
        let name = (payment.id.order_id, payment.provider.clone(), reference);
        match self.captured.get(&name) {
            Some(_) => Err(format!("payment {} counts money that was counted before", payment.id)),
            None => Ok(()),
        }
    }

    /// Whether a payment can follow what there is of it; if so, it does.
    pub(super) fn enter(&mut self, shard: ShardId, payment: &Payment, order: &Order) -> Verdict {
        let id = payment.id;
        if id.order_id != order.order_id {
            return Err(format!("payment {id} is of order {}", order.order_id));
        }
        let before = self.payments.get(&id);
        let state_before = before.map(|before| before.state);
        if !payment.state.may_follow(state_before) {
            return Err(format!("payment {id} became {}", payment.state.name()));
        }
        if before.is_some_and(|before| {
            (&before.provider, before.request_id) != (&payment.provider, payment.request_id)
        }) {
            return Err(format!("payment {id} changed its content"));
        }
        if payment.state.has_money() {
            let Some(reference) = payment.reference.clone() else {
                return Err(format!("payment {id} has money and no reference"));
            };
            let name = (id.order_id, payment.provider.clone(), reference);
            match self.captured.get(&name) {
                None if payment.state == PaymentState::Refunded => {
                    return Err(format!("payment {id} was refunded and never captured"));
                }
                Some(amount) if *amount != payment.amount => {
                    return Err(format!("payment {id} of {amount} became {}", payment.amount));
                }
                _ => self.captured.insert(name, payment.amount),
            };
        }
        self.shards.insert(shard);
        self.keep(payment.clone(), order);
        Ok(())
    }

    pub(super) fn assume(&mut self, payment: Payment, order: &Order) {
        if let Some(reference) = payment.reference.clone().filter(|_| payment.state.has_money()) {
            let name = (order.order_id, payment.provider.clone(), reference);
            self.captured.insert(name, payment.amount);
        }
        self.keep(payment, order);
    }

    /// Once a shard records payments, it records each: an order that is paid without one was given away.
    pub(super) fn order_changed(&mut self, shard: ShardId, order: &Order) {
        if order.status == OrderStatus::Paid && self.shards.contains(&shard) {
            self.given_away.insert(order.order_id);
        }
    }

    /// What has come of each sale and where it is, each with its place in words. An order that an older version
    /// paid without a record counts as paid by its price.
    pub(super) fn counts<'a>(
        &self,
        orders: impl Iterator<Item = &'a Order>,
    ) -> Vec<(String, MoneyCounts)> {
        let mut sums: BTreeMap<(SaleId, String), MoneyCounts> = BTreeMap::new();
        let place = |sale: SaleId, currency: Currency| (sale, currency.as_str().to_owned());
        for order in orders {
            let counts = sums.entry(place(order.sale_id, order.currency)).or_default();
            if order.status != OrderStatus::Paid {
                continue;
            }
            counts.paid += u128::from(order.amount);
            let has_record = self.paid.contains(&order.order_id);
            if !has_record && !self.given_away.contains(&order.order_id) {
                counts.captured += u128::from(order.amount);
            }
        }
        for payment in self.payments.values().filter(|payment| payment.state.has_money()) {
            let Some(sale) = self.sales.get(&payment.id.order_id) else { continue };
            let counts = sums.entry(place(*sale, payment.currency)).or_default();
            match payment.state {
                PaymentState::RefundDue => counts.refund_due += u128::from(payment.amount),
                PaymentState::Refunded => counts.refunded += u128::from(payment.amount),
                _ => {}
            }
            if let Some(reference) = payment.reference.clone() {
                let name = (payment.id.order_id, payment.provider.clone(), reference);
                counts.captured += u128::from(self.captured.get(&name).copied().unwrap_or(0));
            }
        }
        sums.into_iter()
            .map(|((sale, currency), counts)| (format!("sale {sale} in {currency}"), counts))
            .collect()
    }

    fn keep(&mut self, payment: Payment, order: &Order) {
        self.sales.insert(order.order_id, order.sale_id);
        if payment.state == PaymentState::Captured {
            self.paid.insert(order.order_id);
        }
        self.payments.insert(payment.id, payment);
    }
}
