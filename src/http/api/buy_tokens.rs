//! `POST /api/v1/items/{item}/buy-token` and `GET /api/v1/items/{item}/challenge`: what is dear happens
//! here, before the start, so that a guarded purchase costs no more than another.

use super::example;
use crate::actors::{Gate, KeyOrigin};
use crate::http::address::ClientAddress;
use crate::http::admit;
use crate::http::auth::bearer::Buyer;
use crate::http::buy_token::BuyToken;
use crate::http::challenge::{Demand, Given, Subject};
use crate::http::problem::{Code, Problem};
use crate::http::purchase;
use crate::http::request::extract::OptionalJsonObject;
use crate::http::request::fields::{Body as _, body};
use crate::http::request::idempotency_key::{self, IdempotencyKey};
use crate::http::request::path::Id;
use crate::http::request::rules::Text;
use crate::http::risk::{Moment, Person};
use crate::http::state::Edge;
use crate::http::timestamp;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::risk::Action;
use domain::{Address, ItemId, ItemPhase, Refusal, RequestId, Timestamp, UserId};
use hyper::header::CACHE_CONTROL;
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Required, Schema};
use utoipa::{IntoParams, ToSchema};

/// The longest solution of a challenge in characters: what a provider gives out may be long.
const SOLUTION_LENGTH_MAX: usize = 4_096;

body! {
    /// What a buyer has to show for a buy token.
    pub struct BuyTokenRequest {
        /// The solution of the item's challenge, if it has one: the widget's payload in base64, or what
        /// the provider's script gave out.
        Nullable challenge: Text<SOLUTION_LENGTH_MAX>,
    }
}

/// A buy token: leave to buy one item, once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = BuyToken)]
pub struct BuyTokenView {
    /// Where to buy, instead of at the item's own path.
    pub buy_url: String,
    /// The token, which is the end of `buy_url`.
    pub token: String,
    /// From when it buys: the sale's start, or the buyer's slot behind it.
    #[schema(format = DateTime)]
    pub opens_at: String,
    /// Until when it buys. What it has bought it shows for longer.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

impl BuyTokenView {
    fn of(item_id: ItemId, given: GivenToken) -> Self {
        let GivenToken { text, token } = given;
        Self {
            buy_url: format!("/api/v1/items/{item_id}/buy/{text}"),
            token: text,
            opens_at: timestamp::to_string(token.opens_at),
            expires_at: timestamp::to_string(token.expires_at),
        }
    }

    fn example() -> Self {
        Self {
            buy_url: format!("/api/v1/items/{}/buy/{}", example::ITEM_ID, example::BUY_TOKEN),
            token: example::BUY_TOKEN.to_owned(),
            opens_at: example::STARTS_AT.to_owned(),
            expires_at: example::TOKEN_EXPIRES_AT.to_owned(),
        }
    }
}

/// The token in a purchase's path, as the OpenAPI document shows it.
#[derive(Clone, Copy, Debug)]
pub struct TokenParameter;

impl IntoParams for TokenParameter {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[A-Za-z0-9_-]{48}$".to_owned()));
        vec![
            ParameterBuilder::new()
                .name("buy_token")
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some("The buyer's token for this item"))
                .schema(Some(Schema::Object(schema.build())))
                .example(Some(example::BUY_TOKEN.into()))
                .build(),
        ]
    }
}

/// Gives out a buy token.
///
/// From some time before the start, to buyers who have solved the item's challenge if it has one. It is
/// good for one order. The same solution, or the same `Idempotency-Key`, gets a token of the same order;
/// the buyer's slot is the same for each.
#[utoipa::path(
    post, path = "/api/v1/items/{item}/buy-token", tag = "orders",
    params(Id::<ItemId>, IdempotencyKey),
    request_body(content = Option<BuyTokenRequest>, content_type = "application/json",
        example = json!({ "challenge": null })),
    responses(
        (status = 201, description = "The token", body = BuyTokenView,
            links(
                ("buy" = (operation_id = "post_items_item_buy_buy_token",
                    parameters(("item" = "$request.path.item"),
                        ("buy_token" = "$response.body#/token")),
                    description = "Buys with the token.")),
            ),
            example = json!(BuyTokenView::example())),
        (status = 403, description = "`challenge_required` or `challenge_failed`"),
        (status = 409, description = "`buy_token_not_open` until `opens_at`, or `sale_ended`"),
    ),
    security(("token" = []))
)]
pub async fn issue(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    ClientAddress(address): ClientAddress,
    Id(item_id): Id<ItemId>,
    headers: HeaderMap,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<impl IntoResponse, Problem> {
    let issued = issue_to(&edge, user_id, address, item_id, &headers, body).await;
    edge.metrics.token_asked(issued.is_ok());
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(issued?)))
}

async fn issue_to(
    edge: &Edge,
    user_id: UserId,
    address: Address,
    item_id: ItemId,
    headers: &HeaderMap,
    body: Map<String, Value>,
) -> Result<BuyTokenView, Problem> {
    let unique = edge.unique_number();
    let asked = Asked {
        item_id,
        user_id,
        address,
        key: idempotency_key::idempotency_key(headers, user_id, unique)?,
        solution: BuyTokenRequest::parse(body)?.challenge,
    };
    let given = give(edge, asked).await?;
    Ok(BuyTokenView::of(item_id, given))
}

/// Returns the solution of a challenge that a message has.
///
/// # Errors
/// Returns an `invalid_field` problem if it is too long.
pub fn solution(text: Option<String>) -> Result<Option<String>, Problem> {
    let body = text.map(|text| ("challenge".to_owned(), Value::String(text)));
    Ok(BuyTokenRequest::parse(body.into_iter().collect())?.challenge)
}

/// Who asks for a buy token, and with what.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The item that it is for.
    pub item_id: ItemId,
    /// The buyer who asks.
    pub user_id: UserId,
    /// Where the buyer asks from.
    pub address: Address,
    /// The request's identity within its buyer's requests, and who gave it.
    pub key: (RequestId, KeyOrigin),
    /// The solution of the item's challenge, if one was sent.
    pub solution: Option<String>,
}

/// A buy token that was given out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GivenToken {
    /// What a purchase sends.
    pub text: String,
    /// What it says.
    pub token: BuyToken,
}

/// Gives out a buy token.
///
/// # Errors
/// Returns a problem if the item has none for this buyer now, or the challenge was not solved.
pub async fn give(edge: &Edge, asked: Asked) -> Result<GivenToken, Problem> {
    let Asked { item_id, user_id, address, key: (request_id, origin), solution } = asked;
    let gate = purchase::item(edge, Some(item_id)).await?;
    let now = edge.engine.now();
    check_open(&gate, now)?;
    edge.limits.token_of_user(user_id, edge.clock.elapsed())?;
    let person = Person { user_id: Some(user_id), address };
    let action = admit::admit(edge, Moment::Token, person)?;
    let demand = Demand::of(gate.admission().challenge, action == Action::Harder);
    let subject = Subject { item_id, user_id };
    let solved = edge.challenges.check(demand, subject, solution.as_deref(), now).await;
    let solved = solved.inspect_err(|problem| {
        if problem.code == Code::ChallengeFailed {
            edge.risk.failed_challenge(user_id, edge.clock.elapsed());
        }
    })?;
    let nonce = match (solved, origin) {
        (Some(solution), _) => edge.buy_tokens.nonce("solution", &solution),
        (None, KeyOrigin::Client) => edge.buy_tokens.nonce("key", &request_id.0.to_be_bytes()),
        (None, _) => rand::random(),
    };
    let is_last = action == Action::Last;
    let token = token(edge, &gate, user_id, nonce, is_last, now);
    let text = edge.buy_tokens.issue(now, &token, item_id, user_id);
    Ok(GivenToken { text, token })
}

/// Makes the token that the buyer gets at `now`; one that a risk rule puts last has the end of the spread for
/// a slot.
fn token(
    edge: &Edge,
    gate: &Gate,
    user_id: UserId,
    nonce: u64,
    is_last: bool,
    now: Timestamp,
) -> BuyToken {
    let terms = gate.terms();
    let spread = gate.admission().spread_milliseconds;
    let slot = if is_last {
        u64::from(spread)
    } else {
        edge.buy_tokens.slot_milliseconds(terms.item_id, user_id, spread)
    };
    let opens_at = terms.starts_at.plus_milliseconds(slot);
    let lifetime = edge.live_options.buy_token_lifetime_milliseconds();
    let expires_at = now.max(opens_at).plus_milliseconds(lifetime);
    // A token has whole seconds.
    let expires_at = Timestamp(expires_at.0.next_multiple_of(1000));
    BuyToken { nonce, opens_at, expires_at }
}

/// Refuses a token that nobody could buy with, or that is asked for too early.
fn check_open(gate: &Gate, now: Timestamp) -> Result<(), Problem> {
    let terms = gate.terms();
    if now >= terms.ends_at || gate.phase() == ItemPhase::Ended {
        return Err(Refusal::SaleEnded.into());
    }
    let opens_at = gate.admission().opens_at(terms.starts_at);
    if now < opens_at { Err(Problem::buy_token_not_open(opens_at)) } else { Ok(()) }
}

/// Gives out a challenge.
///
/// To be solved for a buy token of this item by this buyer, once and soon. A proof of work has the form of the
/// ALTCHA widget: find a counter with which the key, derived from nonce and counter, begins with `keyPrefix`.
/// Where a provider shows the challenge, the answer names it: `provider`, `site_key` and `action`.
#[utoipa::path(
    get, path = "/api/v1/items/{item}/challenge", tag = "orders",
    params(Id::<ItemId>),
    responses((status = 200, description = "The challenge", body = Object,
        links(("token" = (operation_id = "post_items_item_buy_token",
            parameters(("item" = "$request.path.item"))))),
        example = json!(example_of_challenge()))),
    security(("token" = []))
)]
pub async fn challenge(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    ClientAddress(address): ClientAddress,
    Id(item_id): Id<ItemId>,
) -> Result<Response, Problem> {
    let given = challenge_for(&edge, user_id, address, item_id).await;
    edge.metrics.challenged(given.is_ok());
    Ok(([(CACHE_CONTROL, "no-store")], Json(given?)).into_response())
}

/// Returns the challenge of an item for a buyer.
///
/// # Errors
/// Returns a problem if the sale is over, or a risk rule does not admit the buyer.
pub async fn challenge_for(
    edge: &Edge,
    user_id: UserId,
    address: Address,
    item_id: ItemId,
) -> Result<Given<'_>, Problem> {
    let gate = purchase::item(edge, Some(item_id)).await?;
    let now = edge.engine.now();
    if now >= gate.terms().ends_at || gate.phase() == ItemPhase::Ended {
        return Err(Refusal::SaleEnded.into());
    }
    let person = Person { user_id: Some(user_id), address };
    let action = admit::admit(edge, Moment::Challenge, person)?;
    let demand = Demand::of(gate.admission().challenge, action == Action::Harder);
    Ok(edge.challenges.give(demand, Subject { item_id, user_id }, now))
}

/// Returns a challenge as the document shows it.
fn example_of_challenge() -> Value {
    json!({
        "parameters": {
            "algorithm": "PBKDF2/SHA-256",
            "cost": 1000,
            "data": { "item": example::ITEM_ID, "user": example::USER_ID },
            "expiresAt": 1_920_585_840,
            "keyLength": 32,
            "keyPrefix": "00",
            "nonce": "9f86d081884c7d659a2feaa0c55ad015",
            "salt": "a3bf4f1b2b0b822cd15d6c15b0f00a08",
        },
        "signature": "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
    })
}
