//! A purchase, whatever way it came: the one function that every interface calls.
//!
//! The caller has been authenticated and the request read; what is left is the item's gate, which
//! refuses what needs no decision, and its shard, which decides the rest. Must not know how a request
//! looked, nor how its answer will.

use super::buy_token::NotGood;
use super::problem::{Code, Problem};
use super::state::Edge;
use crate::actors::{Gate, KeyOrigin, NotDelivered, Reply};
use crate::telemetry::traces::TraceContext;
use domain::{Buy, ItemId, Order, Outcome, Refusal, RequestId, UserId};
use std::sync::Arc;

/// Who buys, as authentication found.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The buyer, as the bearer token says.
    pub user_id: UserId,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The item, by its gate.
    pub item: Arc<Gate>,
    /// Units to buy, at least 1.
    pub quantity: u16,
    /// The request's identity within its buyer's requests, and who gave it.
    pub key: (RequestId, KeyOrigin),
    /// The buy token, as it was sent, if one was.
    pub token: Option<&'a str>,
    /// The purchase's span, if it is traced.
    pub trace: Option<&'a TraceContext>,
}

/// A purchase that ended in an order.
#[derive(Clone, Copy, Debug)]
pub struct Bought {
    /// The order that the purchase got.
    pub order: Order,
    /// Whether the same request got this order before.
    pub replayed: bool,
}

/// Returns the item's gate.
///
/// # Errors
/// Returns an `item_not_found` problem if no such item is on sale, or if the path could name none, and an
/// `owner_unavailable` one if another node has it that does not answer, or its shard has not taken it in yet.
pub async fn item(edge: &Edge, item_id: Option<ItemId>) -> Result<Arc<Gate>, Problem> {
    let item_id = item_id.ok_or_else(Problem::item_not_found)?;
    match edge.engine.find_gate(item_id).await? {
        Some(gate) => Ok(gate),
        // Not on the way of a purchase of what there is, whose future is smaller without.
        None => Err(Box::pin(missing(edge, item_id)).await),
    }
}

/// Returns the item's gate, to show the units of all its buckets.
///
/// # Errors
/// Returns a problem as [`item`] does, and an `owner_unavailable` one if the node of a bucket does not answer and its
/// units were never seen.
pub async fn item_with_units(edge: &Edge, item_id: ItemId) -> Result<Arc<Gate>, Problem> {
    match edge.engine.find_units(item_id).await? {
        Some(gate) => Ok(gate),
        None => Err(Box::pin(missing(edge, item_id)).await),
    }
}

/// Says of an item that no shard has why that is. In a cluster an approved one may not have reached its shard, whose
/// node is away.
async fn missing(edge: &Edge, item_id: ItemId) -> Problem {
    if edge.engine.is_one_of_several() && edge.sales.expects(item_id, edge.engine.now()).await {
        return NotDelivered::Moved.into();
    }
    Problem::item_not_found()
}

/// Decides a purchase.
///
/// # Errors
/// Returns a problem if the purchase is refused, was not delivered, or has an unknown outcome.
pub async fn run(edge: &Edge, caller: Caller, asked: Asked<'_>) -> Result<Bought, Problem> {
    let Asked { item: gate, quantity, key, token, trace } = asked;
    let (user_id, item_id) = (caller.user_id, gate.terms().item_id);
    let refusal = gate.refusal(edge.engine.now(), user_id);
    // Who comes in vain hears so first: it is the cheapest answer. But of a settled item the gate knows no
    // buyer, so any of them may be repeating a purchase; and a token has a slot of its own, which is told.
    let goes_on = match refusal {
        Some(Refusal::SaleEnded) => gate.is_settled(),
        Some(Refusal::SaleNotStarted { .. }) => token.is_some(),
        _ => false,
    };
    if let Some(refusal) = refusal.filter(|_| !goes_on) {
        return Err(refusal.into());
    }
    let ((request_id, origin), barred) = admit(edge, &gate, user_id, key, token)?;
    let buy = Buy { item_id, user_id, request_id, quantity };
    if let Some(problem) = barred.or_else(|| refusal.map(Problem::from)) {
        return Box::pin(repeat(edge, &gate, &buy, origin, problem)).await;
    }
    edge.limits.decision_of_item(gate.rate_cell(), edge.clock.elapsed())?;
    match edge.engine.buy_traced(&gate, buy, origin, trace).await {
        Reply::Decided(Outcome::Refused(Refusal::SaleEnded)) if gate.is_settled() => {
            Box::pin(repeat(edge, &gate, &buy, origin, Refusal::SaleEnded.into())).await
        }
        Reply::Decided(Outcome::Placed(order)) => Ok(Bought { order, replayed: false }),
        Reply::Decided(Outcome::Replayed(order)) => Ok(Bought { order, replayed: true }),
        Reply::Decided(Outcome::Refused(Refusal::LimitReached)) => {
            Err(Problem::limit_reached(gate.terms().limit_per_user, quantity))
        }
        Reply::Decided(Outcome::Refused(refusal)) => Err(refusal.into()),
        Reply::NotDelivered(reason) => Err(reason.into()),
        // No other outcome belongs to a purchase.
        Reply::Decided(
            Outcome::Order(_)
            | Outcome::Payment(_)
            | Outcome::Item(_)
            | Outcome::ItemReplayed(_)
            | Outcome::Transferred(_),
        )
        | Reply::Unknown => Err(Problem::outcome_unknown()),
    }
}

/// Returns the purchase's identity, and why it may get no new order, if it may not: the buy token names
/// the purchase if there is one.
///
/// # Errors
/// Returns a problem if not even a repeat can come of it.
fn admit(
    edge: &Edge,
    gate: &Gate,
    user_id: UserId,
    key: (RequestId, KeyOrigin),
    token: Option<&str>,
) -> Result<((RequestId, KeyOrigin), Option<Problem>), Problem> {
    let Some(token) = token else {
        if !gate.needs_token() {
            return Ok((key, None));
        }
        let problem = Problem::new(
            Code::BuyTokenRequired,
            "this item is sold at the buy_url that POST to its buy-token path answers with",
        );
        // Who bought before the item was guarded may be repeating that.
        return Ok((key, Some(problem)));
    };
    let now = edge.engine.now();
    let token =
        edge.buy_tokens.verify(now, token, gate.terms().item_id, user_id).map_err(|NotGood| {
            Problem::new(Code::BuyTokenInvalid, "this token is not yours for this item, or too old")
        })?;
    if now < token.opens_at {
        return Err(Refusal::SaleNotStarted { starts_at: token.opens_at }.into());
    }
    let expired = (now >= token.expires_at)
        .then(|| Problem::new(Code::BuyTokenInvalid, "the token has expired: get a new one"));
    Ok(((token.request_id(user_id), KeyOrigin::Token), expired))
}

/// Answers a purchase that can get no new order: a repeat gets the order of the same request, from its
/// shard, or from the order store once the shard has released it. Anything else gets `problem`.
async fn repeat(
    edge: &Edge,
    gate: &Gate,
    buy: &Buy,
    origin: KeyOrigin,
    problem: Problem,
) -> Result<Bought, Problem> {
    let Buy { user_id, request_id, .. } = *buy;
    let order = if origin == KeyOrigin::Edge || !gate.may_have_bought(user_id) {
        None
    } else if gate.is_settled() {
        edge.sales.order_of_request(gate, user_id, request_id).await?
    } else {
        edge.engine.order_of(gate, user_id, request_id).await?
    };
    match order {
        None => Err(problem),
        Some(order) if order.quantity != buy.quantity => Err(Refusal::IdempotencyKeyReused.into()),
        Some(order) => Ok(Bought { order, replayed: true }),
    }
}
