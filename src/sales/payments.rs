//! Payments as the edge reads them from the order store.

use super::{RecordsUnavailable, Sales, unavailable};
use crate::store::orders::{PaymentFilter, StoredPayment};
use domain::{Order, OrderId, OrderPayments, OrderStatus, PaymentId, PaymentState};
use std::collections::HashSet;

impl Sales {
    /// Returns the payments of an order that have reached the order store, by ascending number.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn payments_of(
        &self,
        order_id: OrderId,
    ) -> Result<Vec<StoredPayment>, RecordsUnavailable> {
        self.orders.payments_of(order_id).await.map_err(unavailable)
    }

    /// Returns which of these orders got money that came too late and have had all of it given back, as far as that has
    /// reached the order store. Such an order stays `refund_due` for good: its payments say what became of the money.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn refunded_of(
        &self,
        orders: &[Order],
    ) -> Result<HashSet<OrderId>, RecordsUnavailable> {
        let mut refunded = HashSet::new();
        for order in orders.iter().filter(|order| order.status == OrderStatus::RefundDue) {
            let payments = self.payments_of(order.order_id).await?;
            let states = payments.iter().map(|stored| stored.payment.state);
            let mut of_money = states.filter(|state| state.has_money()).peekable();
            if of_money.peek().is_some() && of_money.all(|state| state == PaymentState::Refunded) {
                refunded.insert(order.order_id);
            }
        }
        Ok(refunded)
    }

    /// Returns the order with its payments, as far as they have reached the order store; none if the order has not.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn order_payments(
        &self,
        order_id: OrderId,
    ) -> Result<Option<OrderPayments>, RecordsUnavailable> {
        // The payments first: an order that is read after them is not behind them.
        let payments = self.payments_of(order_id).await?;
        let payments = payments.into_iter().map(|stored| stored.payment).collect();
        let order = self.order(order_id).await?;
        Ok(order.map(|order| OrderPayments { order, payments }))
    }

    /// Returns the payments that the filter takes and that have reached the order store, by ascending identity and
    /// behind `after` if given; at most `limit`.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn payments(
        &self,
        filter: &PaymentFilter,
        after: Option<PaymentId>,
        limit: usize,
    ) -> Result<Vec<StoredPayment>, RecordsUnavailable> {
        self.orders.payments(filter, after, limit).await.map_err(unavailable)
    }
}
