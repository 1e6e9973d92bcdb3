//! The provider in this process, for trying the shop out: no money moves, and the request says how a payment goes. It
//! can be late, it can fail, and it can tell of the same money twice and take it twice, as providers do.

use super::decisions::{self, Start};
use crate::actors::KeyOrigin;
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

/// Pays an order that was found, as the plan says. `request_id` names the request, and where its name is from: a repeat
/// of one that the buyer has named gets what came of its payment. One without a name has no repeat, and its money comes
/// with no payment begun before.
///
/// # Errors
/// Returns a `payment_failed` problem if it was to fail or has failed before, a `shutting_down` one if the server
/// stopped before the money arrived, and the problems of a decision.
pub async fn pay(
    edge: Arc<Edge>,
    order: Order,
    (request_id, origin): (RequestId, KeyOrigin),
    plan: SandboxPlan,
) -> Result<Order, Problem> {
    if plan.outcome == SandboxOutcome::Succeed && origin == KeyOrigin::Edge {
        return decisions::pay_at_once(&edge, &order).await;
    }
    let id = match begin(&edge, &order, request_id).await {
        Ok(Start::Payment(payment)) => payment.id,
        Ok(Start::Settled { order, .. }) => return Ok(order),
        // There is nothing to pay any more, which this payment would not have done anyway.
        Err(problem)
            if problem.code == Code::OrderClosed && plan.outcome == SandboxOutcome::Fail =>
        {
            return Err(decisions::failed());
        }
        Err(problem) => return Err(problem),
    };
    match plan.outcome {
        SandboxOutcome::Succeed => {}
        SandboxOutcome::Fail => {
            let told = tell(&edge, id, id.to_string(), PaymentResult::Failed).await?;
            // The same request at the same time may have let it succeed.
            return if told.state == PaymentState::Failed {
                Err(decisions::failed())
            } else {
                Ok(told.order)
            };
        }
        SandboxOutcome::Late => {
            tokio::select! {
                () = tokio::time::sleep(plan.delay) => {}
                () = edge.shutdown.cancelled() => {
                    let detail = "nothing was paid: the server is stopping";
                    return Err(Problem::new(Code::ShuttingDown, detail));
                }
            }
        }
        SandboxOutcome::Twice => {
            capture(&edge, &order, id, id.to_string()).await?;
            capture(&edge, &order, id, id.to_string()).await?;
            return capture(&edge, &order, id, format!("{id}-again")).await.map(|paid| paid.order);
        }
    }
    capture(&edge, &order, id, id.to_string()).await.map(|paid| paid.order)
}

async fn begin(edge: &Edge, order: &Order, request_id: RequestId) -> Result<Start, Problem> {
    let Order { order_id, user_id, .. } = *order;
    let provider = ProviderName::sandbox();
    decisions::start(edge, order, PaymentAsked { order_id, user_id, request_id, provider }).await
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
