//! What operators say of webhooks, and what they are shown of them.

use crate::actors::{
    EventType, ListedWebhook, ListedWebhookDelivery, NewWebhook, WEBHOOK_DESCRIPTION_LENGTH_MAX,
    WebhookDelivery, WebhookState,
};
use crate::http::api::example;
use crate::http::request::fields::body;
use crate::http::request::rules::{Identity, Instant, Rule, Text, string};
use crate::http::timestamp;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// The longest URL of an endpoint.
const URL_LENGTH_MAX: usize = 2_048;
/// The longest identity of an event.
const EVENT_ID_LENGTH_MAX: usize = 128;
/// An endpoint of the examples.
pub const ENDPOINT_ID: &str = "4611686018427387904";
/// An event of the examples.
pub const EVENT_ID: &str = "5f0c6a1e9b3d4f72-3-1041";

body! {
    /// An endpoint: where the shop's events are sent.
    pub struct WebhookRequest {
        /// Where they are sent, with https:// and at port 443 or 8443; private networks only as `webhooks.allow_private`
        /// names them.
        Required url: Text<URL_LENGTH_MAX>,
        /// The types of events that it is told; all if there are none.
        Nullable types: EventTypes,
        /// What it is, for people: at most 200 characters.
        Nullable description: Text<WEBHOOK_DESCRIPTION_LENGTH_MAX>,
    }
}

body! {
    /// What an endpoint is to be told again: either of both.
    pub struct ReplayRequest {
        /// All that has happened since then, as far as the journal has it.
        Nullable from: Instant,
        /// An event by its identity. One that waits or is parked is tried now, with the later ones of its order; one that
        /// has arrived is told again with all that has happened since.
        Nullable event_id: Text<EVENT_ID_LENGTH_MAX>,
    }
}

/// Types of events as a rule of a body's field.
pub struct EventTypes;

impl Rule for EventTypes {
    type Value = Vec<String>;

    fn schema() -> RefOr<Schema> {
        let names = EventType::ALL.iter().map(|kind| kind.name());
        let name = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
        ArrayBuilder::new().items(name).max_items(Some(EventType::ALL.len())).into()
    }

    fn read(value: Value) -> Result<Vec<String>, Cow<'static, str>> {
        let Value::Array(values) = value else { return Err("must be an array".into()) };
        if values.len() > EventType::ALL.len() {
            return Err(format!("must have {} elements at most", EventType::ALL.len()).into());
        }
        let mut names = Vec::with_capacity(values.len());
        for value in values {
            let name = string(value)?;
            if EventType::from_name(&name).is_none() {
                return Err("must be types of events, such as seckill.order.paid".into());
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }
}

impl WebhookRequest {
    /// Returns what is said, once all of it could be read.
    pub fn said(self) -> NewWebhook {
        NewWebhook {
            url: self.url.unwrap_or_default(),
            types: self.types.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
        }
    }
}

/// All endpoints there are.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookList {
    /// The endpoints, the oldest first.
    pub data: Vec<WebhookView>,
}

/// An endpoint of webhooks.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookView {
    /// The endpoint's identity.
    #[schema(value_type = Identity)]
    pub endpoint_id: String,
    /// Where its events are sent.
    pub url: String,
    /// The types of events that it is told; all if there are none.
    pub types: Vec<String>,
    /// What it is, for people.
    pub description: String,
    /// `new` until it has taken a ping, then `live`; `disabled` if it is told nothing.
    pub state: &'static str,
    /// Why the shop has disabled it, if it was the shop.
    pub reason: Option<String>,
    /// Since when nothing has arrived that was sent, if so.
    #[schema(format = DateTime)]
    pub failing_since: Option<String>,
    /// Events that it did not take at once and that are tried again, with those behind them.
    pub waiting: u64,
    /// Events that are not tried any more, because it takes others and not these.
    pub parked: u64,
    /// Until when the secret of before signs beside the present one.
    #[schema(format = DateTime)]
    pub previous_secret_until: Option<String>,
    /// Who changed it last.
    pub actor: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    pub changed_at: String,
}

/// An endpoint whose secret was made. The secret is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookSecret {
    /// The endpoint itself.
    pub webhook: WebhookView,
    /// What its receiver verifies signatures with: `whsec_` and base64.
    pub secret: String,
}

/// A page of the latest attempts of an endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookDeliveries {
    /// The attempts, newest first. The latest 1,000 of an endpoint are kept.
    pub data: Vec<WebhookDeliveryView>,
    /// Whether there are older ones: ask for them with `starting_after` the last one of this page.
    pub has_more: bool,
}

/// One attempt to deliver an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookDeliveryView {
    /// The attempt's identity.
    #[schema(value_type = Identity)]
    pub delivery_id: String,
    /// When it began.
    #[schema(format = DateTime)]
    pub at: String,
    /// The event's identity.
    pub event_id: String,
    /// The event's type.
    pub event_type: String,
    /// The how-many-eth attempt, from 1.
    pub attempt: u32,
    /// The answer's status, if one came.
    pub status: Option<u16>,
    /// Why none came, or why it counts for nothing; null if the event arrived.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// What became of a ping.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookTest {
    /// Whether the receiver has taken it.
    pub arrived: bool,
    /// The answer's status, if one came.
    pub status: Option<u16>,
    /// Why none came, or why it counts for nothing.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// A text, unless there is nothing in it.
fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl From<&ListedWebhook> for WebhookView {
    fn from(ListedWebhook { endpoint, standing }: &ListedWebhook) -> Self {
        let until = endpoint.previous.as_ref().map(|previous| previous.until);
        Self {
            endpoint_id: endpoint.endpoint_id.to_string(),
            url: endpoint.said.url.clone(),
            types: endpoint.said.types.clone(),
            description: endpoint.said.description.clone(),
            state: endpoint.state.name(),
            reason: said(&endpoint.reason),
            failing_since: endpoint.failing_since.map(timestamp::to_string),
            waiting: standing.waiting,
            parked: standing.parked,
            previous_secret_until: until.map(timestamp::to_string),
            actor: endpoint.actor.clone(),
            created_at: timestamp::to_string(endpoint.created_at),
            changed_at: timestamp::to_string(endpoint.changed_at),
        }
    }
}

impl From<&ListedWebhookDelivery> for WebhookDeliveryView {
    fn from(listed: &ListedWebhookDelivery) -> Self {
        let delivery = &listed.delivery;
        Self {
            delivery_id: listed.delivery_id.to_string(),
            at: timestamp::to_string(delivery.at),
            event_id: delivery.event_id.clone(),
            event_type: delivery.event_type.clone(),
            attempt: delivery.attempt,
            status: delivery.status,
            error: said(&delivery.error),
            duration_ms: delivery.duration_ms,
        }
    }
}

impl From<&WebhookDelivery> for WebhookTest {
    fn from(delivery: &WebhookDelivery) -> Self {
        Self {
            arrived: delivery.error.is_empty(),
            status: delivery.status,
            error: said(&delivery.error),
            duration_ms: delivery.duration_ms,
        }
    }
}

impl WebhookView {
    /// An endpoint in this state, for the document.
    pub fn example(state: WebhookState) -> Self {
        Self {
            endpoint_id: ENDPOINT_ID.to_owned(),
            url: "https://erp.mall.example/hooks/seckill".to_owned(),
            types: vec![EventType::OrderPaid.name().to_owned()],
            description: "仓库".to_owned(),
            state: state.name(),
            reason: None,
            failing_since: None,
            waiting: 0,
            parked: 0,
            previous_secret_until: None,
            actor: example::OPERATOR.to_owned(),
            created_at: example::WRITTEN_AT.to_owned(),
            changed_at: example::WRITTEN_AT.to_owned(),
        }
    }
}

impl WebhookSecret {
    /// A new endpoint, for the document.
    pub fn example() -> Self {
        Self {
            webhook: WebhookView::example(WebhookState::New),
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=".to_owned(),
        }
    }
}

impl WebhookDeliveries {
    /// A page of one attempt, for the document.
    pub fn example() -> Self {
        let delivery = WebhookDeliveryView {
            delivery_id: "12".to_owned(),
            at: example::CREATED_AT.to_owned(),
            event_id: EVENT_ID.to_owned(),
            event_type: EventType::OrderPaid.name().to_owned(),
            attempt: 2,
            status: Some(503),
            error: Some("it answered with status 503".to_owned()),
            duration_ms: 41,
        };
        Self { data: vec![delivery], has_more: false }
    }
}

impl WebhookTest {
    /// A ping that was taken, for the document.
    pub fn example() -> Self {
        Self { arrived: true, status: Some(204), error: None, duration_ms: 23 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_are_those_of_events_each_once() {
        let read = |value| EventTypes::read(value).ok();
        let paid = "seckill.order.paid".to_owned();
        assert_eq!(read(json!([])), Some(vec![]));
        assert_eq!(read(json!([paid, paid])), Some(vec![paid.clone()]));
        for wrong in [json!("seckill.order.paid"), json!(["order.paid"]), json!([1]), json!({})] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
        let many = vec![paid; EventType::ALL.len() + 1];
        assert_eq!(read(json!(many)), None);
    }
}
