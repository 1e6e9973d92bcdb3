//! Begins a payment, for every interface that buyers have.

use super::decisions::{self, Start};
use super::provider::{Beginning, PaymentProvider};
use super::sandbox::{self, SandboxPlan};
use crate::actors::KeyOrigin;
use crate::http::api::orders;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use crate::http::timestamp;
use domain::{Order, OrderId, OrderStatus, PaymentAsked, PaymentId, RequestId, UserId};
use std::sync::Arc;

/// What came of the wish to pay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paid {
    /// The order now.
    pub order: Order,
    /// Whether there was nothing left to do, because it had been done before.
    pub is_repeat: bool,
    /// Where the buyer has to go, if the order is paid there.
    pub onward: Option<Onward>,
}

/// Where a buyer goes to pay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Onward {
    /// The payment that has begun.
    pub payment_id: PaymentId,
    /// The provider's page, `https` or `http`.
    pub url: String,
}

/// How payments can be made.
#[derive(Clone, Debug)]
pub enum PaymentMode {
    /// At a provider.
    Provider(Arc<PaymentProvider>),
    /// In the sandbox.
    Sandbox,
    /// Not at all.
    None,
}

/// Returns how payments can be made here.
pub fn mode(edge: &Edge) -> PaymentMode {
    match (&edge.provider, edge.options.sandbox_payments) {
        (Some(provider), _) => PaymentMode::Provider(Arc::clone(provider)),
        (None, true) => PaymentMode::Sandbox,
        (None, false) => PaymentMode::None,
    }
}

/// Pays a buyer's order, or begins to; `key` names the request, whose repeat gets the same payment. `plan` is for the
/// sandbox alone.
///
/// # Errors
/// Returns a `forbidden` problem if no payments can be made, a `payment_failed` one if the payment failed, a
/// `payment_unavailable` one if the provider does not answer, and the problems of a decision.
pub async fn pay(
    edge: Arc<Edge>,
    user_id: UserId,
    order_id: OrderId,
    key: (RequestId, KeyOrigin),
    plan: Option<SandboxPlan>,
) -> Result<Paid, Problem> {
    let mode = mode(&edge);
    match (&mode, plan) {
        (PaymentMode::None, _) => {
            return Err(Problem::new(Code::Forbidden, "sandbox payments are switched off"));
        }
        (PaymentMode::Provider(_), Some(_)) => {
            let detail = "only the sandbox can be told how a payment goes";
            return Err(Problem::field("/payment", detail));
        }
        _ => {}
    }
    let order = orders::find(&edge, order_id, user_id).await?;
    match order.status {
        OrderStatus::Cancelled => return Err(Problem::order_closed(&order)),
        OrderStatus::Paid | OrderStatus::RefundDue => return Ok(repeated(order)),
        OrderStatus::Reserved | OrderStatus::Expired => {}
    }
    match mode {
        PaymentMode::Provider(provider) => at_provider(&edge, &provider, order, key.0).await,
        PaymentMode::Sandbox | PaymentMode::None => {
            let plan = plan.unwrap_or(SandboxPlan::SUCCEED);
            // Money that is under way arrives, whether or not the client is still there to hear of it.
            let paying = tokio::spawn(sandbox::pay(edge, order, key, plan));
            let order = paying.await.unwrap_or_else(|_| Err(Problem::outcome_unknown()))?;
            Ok(Paid { order, is_repeat: false, onward: None })
        }
    }
}

fn repeated(order: Order) -> Paid {
    Paid { order, is_repeat: true, onward: None }
}

async fn at_provider(
    edge: &Edge,
    provider: &PaymentProvider,
    order: Order,
    request_id: RequestId,
) -> Result<Paid, Problem> {
    let Order { order_id, user_id, .. } = order;
    let name = provider.name().clone();
    let asked = PaymentAsked { order_id, user_id, request_id, provider: name };
    let payment = match decisions::start(edge, &order, asked).await? {
        Start::Payment(payment) => payment,
        Start::Settled { order, is_repeat } => return Ok(Paid { order, is_repeat, onward: None }),
    };
    let order = payment.order;
    let beginning = Beginning {
        payment_id: payment.id.to_string(),
        order_id: order_id.to_string(),
        amount: order.amount,
        currency: order.currency.to_string(),
        expires_at: timestamp::to_string(order.expires_at),
        return_url: edge.site.public_url().map(|origin| format!("{origin}/orders/{order_id}")),
    };
    let begun = provider.begin(payment.id, &beginning, edge.clock.token_time()).await;
    let url = match begun {
        Ok(url) => url,
        Err(error) => {
            tracing::warn!(%error, payment = %payment.id, "the payment provider began no payment");
            // It may have told meanwhile that the money came.
            let order = orders::find(edge, order_id, user_id).await?;
            if matches!(order.status, OrderStatus::Paid | OrderStatus::RefundDue) {
                return Ok(repeated(order));
            }
            let detail = "the payment provider does not answer as it should, and the order is not paid: repeat the \
                          request with the same Idempotency-Key";
            return Err(Problem::new(Code::PaymentUnavailable, detail));
        }
    };
    let onward = Some(Onward { payment_id: payment.id, url });
    Ok(Paid { order, is_repeat: payment.is_repeat, onward })
}
