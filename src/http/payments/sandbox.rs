//! The provider in this process, for trying the shop out: no money moves, and the request says how a payment goes. It
//! can be late, it can fail, and it can tell of the same money twice and take it twice, as providers do.

use super::decisions::{self, Start};
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use domain::{
    Order, PaymentAsked, PaymentId, PaymentNotice, PaymentOutcome, PaymentReference, PaymentResult,
    PaymentState, ProviderName, RequestId,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How a sandbox payment ends: with `succeed` the money arrives at once, with `late` it arrives after
/// `delay_ms`, with `twice` it is taken twice, and the second time is due for a refund. With `fail` it does not arrive:
/// 402 `payment_failed`, and the order stays as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxOutcome {
    /// The money arrives at once.
    Succeed,
    /// The money does not arrive.
    Fail,
    /// The money arrives after `delay_ms`.
    Late,
    /// The money is told of twice, and then taken once more.
    Twice,
}

/// How a payment in the sandbox goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SandboxPlan {
    /// How it ends.
    pub outcome: SandboxOutcome,
    /// With [`SandboxOutcome::Late`]: after how long the money arrives.
    pub delay: Duration,
}

impl SandboxPlan {
    /// The money arrives at once.
    pub const SUCCEED: Self = Self { outcome: SandboxOutcome::Succeed, delay: Duration::ZERO };
}

/// Pays an order that was found, as the plan says; `request_id` names the request.
///
/// # Errors
/// Returns a `payment_failed` problem if it was to fail, a `shutting_down` one if the server stopped before the money
/// arrived, and the problems of a decision.
pub async fn pay(
    edge: Arc<Edge>,
    order: Order,
    request_id: RequestId,
    plan: SandboxPlan,
) -> Result<Order, Problem> {
    match plan.outcome {
        SandboxOutcome::Succeed => decisions::pay_at_once(&edge, &order).await,
        SandboxOutcome::Fail => fail(&edge, &order, request_id).await,
        SandboxOutcome::Late => {
            let id = match begin(&edge, &order, request_id).await? {
                Start::Payment(payment) => payment.id,
                Start::Settled(order) => return Ok(order),
            };
            tokio::select! {
                () = tokio::time::sleep(plan.delay) => {}
                () = edge.shutdown.cancelled() => {
                    let detail = "nothing was paid: the server is stopping";
                    return Err(Problem::new(Code::ShuttingDown, detail));
                }
            }
            capture(&edge, &order, id, id.to_string()).await.map(|paid| paid.order)
        }
        SandboxOutcome::Twice => {
            let id = match begin(&edge, &order, request_id).await? {
                Start::Payment(payment) => payment.id,
                Start::Settled(order) => return Ok(order),
            };
            capture(&edge, &order, id, id.to_string()).await?;
            capture(&edge, &order, id, id.to_string()).await?;
            capture(&edge, &order, id, format!("{id}-again")).await.map(|paid| paid.order)
        }
    }
}

async fn begin(edge: &Edge, order: &Order, request_id: RequestId) -> Result<Start, Problem> {
    let Order { order_id, user_id, .. } = *order;
    let provider = ProviderName::sandbox();
    decisions::start(edge, order, PaymentAsked { order_id, user_id, request_id, provider }).await
}

async fn fail(edge: &Edge, order: &Order, request_id: RequestId) -> Result<Order, Problem> {
    match begin(edge, order, request_id).await {
        Ok(Start::Payment(payment)) if payment.state == PaymentState::Started => {
            tell(edge, payment.id, payment.id.to_string(), PaymentResult::Failed).await?;
        }
        Ok(Start::Payment(_)) => {}
        Ok(Start::Settled(order)) => return Ok(order),
        // There is nothing to pay any more, which this payment would not have done anyway.
        Err(problem) if problem.code == Code::OrderClosed => {}
        Err(problem) => return Err(problem),
    }
    let detail = "the sandbox was told to let it fail: the order is as it was";
    Err(Problem::new(Code::PaymentFailed, detail))
}

async fn capture(
    edge: &Edge,
    order: &Order,
    id: PaymentId,
    reference: String,
) -> Result<PaymentOutcome, Problem> {
    let Order { amount, currency, .. } = *order;
    tell(edge, id, reference, PaymentResult::Captured { amount, currency }).await
}

/// Tells the shop what became of a payment, as a provider's callback does.
async fn tell(
    edge: &Edge,
    id: PaymentId,
    reference: String,
    result: PaymentResult,
) -> Result<PaymentOutcome, Problem> {
    let provider = ProviderName::sandbox();
    // Two numbers and a word are short enough.
    let reference = PaymentReference::parse(&reference).ok_or_else(Problem::outcome_unknown)?;
    decisions::note(edge, PaymentNotice { id, provider, reference, result, stored: None }).await
}
