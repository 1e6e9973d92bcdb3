//! Webhooks: the endpoints that are told the shop's events. Operators and admins see them, admins change
//! them.

use super::webhook_view::{
    ENDPOINT_ID, EVENT_ID, ReplayRequest, WebhookDeliveries, WebhookList, WebhookRequest,
    WebhookSecret, WebhookTest, WebhookView,
};
use crate::actors::{WebhookState, WrittenSecret};
use crate::http::api::example;
use crate::http::auth::bearer::{Admin, Reader};
use crate::http::problem::Problem;
use crate::http::request::extract::{JsonObject, Parameters};
use crate::http::request::fields::Body as _;
use crate::http::request::page::PageQuery;
use crate::http::request::path::Segment;
use crate::http::state::Edge;
use axum::Json;
use axum::extract::State;
use hyper::StatusCode;
use secrecy::ExposeSecret;
use std::sync::Arc;

/// The number of an endpoint in a path.
fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

async fn written(edge: &Edge, written: &WrittenSecret) -> Result<WebhookSecret, Problem> {
    let listed = edge.webhooks.get(written.endpoint.endpoint_id).await?;
    Ok(WebhookSecret {
        webhook: WebhookView::from(&listed),
        secret: written.secret.expose_secret().to_owned(),
    })
}

/// Lists the endpoints.
///
/// All endpoints of webhooks with how they stand, the oldest first; no secrets.
#[utoipa::path(
    get, path = "/api/v1/admin/webhooks", tag = "operators",
    responses((status = 200, description = "All endpoints", body = WebhookList,
        links(("webhook" = (operation_id = "get_admin_webhooks_webhook",
            parameters(("webhook" = "$response.body#/data/0/endpoint_id")),
            description = "Shows the first of these."))),
        example = json!(WebhookList { data: vec![WebhookView::example(WebhookState::Live)] }))),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    _reader: Reader,
) -> Result<Json<WebhookList>, Problem> {
    let listed = edge.webhooks.list().await?;
    Ok(Json(WebhookList { data: listed.iter().map(WebhookView::from).collect() }))
}

/// Makes an endpoint.
///
/// For admins. The secret is shown in this answer and never again: give it to the receiver, then enable the endpoint.
/// Until then it is told nothing.
#[utoipa::path(
    post, path = "/api/v1/admin/webhooks", tag = "operators",
    request_body(content = WebhookRequest, content_type = "application/json", example = json!({
        "url": "https://erp.mall.example/hooks/seckill", "types": ["seckill.order.paid"],
        "description": "仓库",
    })),
    responses(
        (status = 201, description = "The endpoint and its secret", body = WebhookSecret,
            links(("enable" = (operation_id = "post_admin_webhooks_webhook_enable",
                parameters(("webhook" = "$response.body#/webhook/endpoint_id")),
                description = "Has it told the shop's events."))),
            example = json!(WebhookSecret::example())),
        (status = 409, description = "`too_many_webhooks`: there are `webhooks.endpoints_max` of them"),
    ),
    security(("token" = []))
)]
pub async fn create(
    State(edge): State<Arc<Edge>>,
    Admin(operator): Admin,
    JsonObject(body): JsonObject,
) -> Result<(StatusCode, Json<WebhookSecret>), Problem> {
    let said = WebhookRequest::parse(body)?.said();
    let made = edge.webhooks.create(&said, &operator.name).await?;
    Ok((StatusCode::CREATED, Json(written(&edge, &made).await?)))
}

/// Shows an endpoint.
///
/// How it stands, and how much waits for it; no secret.
#[utoipa::path(
    get, path = "/api/v1/admin/webhooks/{webhook}", tag = "operators",
    params(("webhook" = String, Path, description = "The endpoint's identity", example = json!(ENDPOINT_ID))),
    responses((status = 200, description = "The endpoint", body = WebhookView,
        links(("deliveries" = (operation_id = "get_admin_webhooks_webhook_deliveries",
            parameters(("webhook" = "$response.body#/endpoint_id")),
            description = "Shows its latest attempts."))),
        example = json!(WebhookView::example(WebhookState::Live)))),
    security(("token" = []))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    _reader: Reader,
    Segment(webhook): Segment,
) -> Result<Json<WebhookView>, Problem> {
    let listed = edge.webhooks.get(number(&webhook)?).await?;
    Ok(Json(WebhookView::from(&listed)))
}

/// Replaces an endpoint.
///
/// For admins. With another URL it is `new` again and has to be enabled; its secret stays.
#[utoipa::path(
    put, path = "/api/v1/admin/webhooks/{webhook}", tag = "operators",
    params(("webhook" = String, Path, description = "The endpoint's identity", example = json!(ENDPOINT_ID))),
    request_body(content = WebhookRequest, content_type = "application/json", example = json!({
        "url": "https://erp.mall.example/hooks/seckill", "types": [], "description": "仓库",
    })),
    responses((status = 200, description = "The endpoint", body = WebhookView,
        example = json!(WebhookView::example(WebhookState::Live)))),
    security(("token" = []))
)]
pub async fn replace(
    State(edge): State<Arc<Edge>>,
    Admin(operator): Admin,
    Segment(webhook): Segment,
    JsonObject(body): JsonObject,
) -> Result<Json<WebhookView>, Problem> {
    let endpoint_id = number(&webhook)?;
    let said = WebhookRequest::parse(body)?.said();
    let listed = edge.webhooks.replace(endpoint_id, said, &operator.name).await?;
    Ok(Json(WebhookView::from(&listed)))
}

/// Deletes an endpoint.
///
/// For admins. With it goes all that waits for it and the log of its deliveries.
#[utoipa::path(
    delete, path = "/api/v1/admin/webhooks/{webhook}", tag = "operators",
    params(("webhook" = String, Path, description = "The endpoint's identity", example = json!(ENDPOINT_ID))),
    responses((status = 204, description = "It is deleted")),
    security(("token" = []))
)]
pub async fn delete(
    State(edge): State<Arc<Edge>>,
    Admin(operator): Admin,
    Segment(webhook): Segment,
) -> Result<StatusCode, Problem> {
    edge.webhooks.delete(number(&webhook)?, &operator.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives an endpoint another secret.
///
/// For admins. It is shown in this answer and never again. For 24 h all that is sent is signed with both, so that the
/// receiver can be changed meanwhile; a second rotation ends the first secret at once.
#[utoipa::path(
    post, path = "/api/v1/admin/webhooks/{webhook}/rotate", tag = "operators",
    params(("webhook" = String, Path, description = "The endpoint's identity", example = json!(ENDPOINT_ID))),
    responses((status = 200, description = "The endpoint and its new secret", body = WebhookSecret,
        example = json!(WebhookSecret::example()))),
    security(("token" = []))
)]
pub async fn rotate(
    State(edge): State<Arc<Edge>>,
    Admin(operator): Admin,
    Segment(webhook): Segment,
) -> Result<Json<WebhookSecret>, Problem> {
    let made = edge.webhooks.rotate(number(&webhook)?, &operator.name).await?;
    Ok(Json(written(&edge, &made).await?))
}

/// Has an endpoint told the shop's events.
///
/// For admins. It is sent a signed ping first, and is live once it has answered that with 2xx. A new one is told what
/// happens from now on; one that was live before goes on where it was, as far as the journal still has that.
#[utoipa::path(
    post, path = "/api/v1/admin/webhooks/{webhook}/enable", tag = "operators",
    params(("webhook" = String, Path, description = "The endpoint's identity", example = json!(ENDPOINT_ID))),
    responses(
        (status = 200, description = "The endpoint", body = WebhookView,
            links(("test" = (operation_id = "post_admin_webhooks_webhook_test",
                parameters(("webhook" = "$response.body#/endpoint_id")),
                description = "Pings it once more."))),
            example = json!(WebhookView::example(WebhookState::Live))),
        (status = 409, description = "`webhook_ping_failed`: its receiver did not answer the ping with 2xx"),
    ),
    security(("token" = []))
)]
pub async fn enable(
    State(edge): State<Arc<Edge>>,
    Admin(operator): Admin,
    Segment(webhook): Segment,
) -> Result<Json<WebhookView>, Problem> {
    let listed = edge.webhooks.enable(number(&webhook)?, &operator.name).await?;
    Ok(Json(WebhookView::from(&listed)))
}

/// Tells an endpoint nothing more.
///
/// For admins. What happens meanwhile is kept for it only as far as the journal is kept anyway.
#[utoipa::path(
    post, path = "/api/v1/admin/webhooks/{webhook}/disable", tag = "operators",
    params(("webhook" = String, Path, description = "The endpoint's identity", example = json!(ENDPOINT_ID))),
    responses((status = 200, description = "The endpoint", body = WebhookView,
        links(("enable" = (operation_id = "post_admin_webhooks_webhook_enable",
            parameters(("webhook" = "$response.body#/endpoint_id")),
            description = "Has it told again."))),
        example = json!(WebhookView::example(WebhookState::Disabled)))),
    security(("token" = []))
)]
pub async fn disable(
    State(edge): State<Arc<Edge>>,
    Admin(operator): Admin,
    Segment(webhook): Segment,
) -> Result<Json<WebhookView>, Problem> {
    let listed = edge.webhooks.disable(number(&webhook)?, &operator.name).await?;
    Ok(Json(WebhookView::from(&listed)))
}

/// Pings an endpoint.
///
/// For admins. It is sent a signed event of type `seckill.webhook.ping`, whatever its state, and the answer says what
/// became of that. If it has arrived, all that waits for the endpoint is tried at once.
#[utoipa::path(
    post, path = "/api/v1/admin/webhooks/{webhook}/test", tag = "operators",
    params(("webhook" = String, Path, description = "The endpoint's identity", example = json!(ENDPOINT_ID))),
    responses((status = 200, description = "What became of the ping", body = WebhookTest,
        example = json!(WebhookTest::example()))),
    security(("token" = []))
)]
pub async fn test(
    State(edge): State<Arc<Edge>>,
    _admin: Admin,
    Segment(webhook): Segment,
) -> Result<Json<WebhookTest>, Problem> {
    let delivery = edge.webhooks.test(number(&webhook)?).await?;
    Ok(Json(WebhookTest::from(&delivery)))
}

/// Lists the latest attempts of an endpoint.
///
/// Those that arrived and those that did not, those that were noted last first, a page at a time; the latest 1,000 are kept.
#[utoipa::path(
    get, path = "/api/v1/admin/webhooks/{webhook}/deliveries", tag = "operators",
    params(
        ("webhook" = String, Path, description = "The endpoint's identity", example = json!(ENDPOINT_ID)),
        PageQuery,
    ),
    responses((status = 200, description = "A page of attempts", body = WebhookDeliveries,
        example = json!(WebhookDeliveries::example()))),
    security(("token" = []))
)]
pub async fn deliveries(
    State(edge): State<Arc<Edge>>,
    _reader: Reader,
    Segment(webhook): Segment,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<WebhookDeliveries>, Problem> {
    let (limit, before) = query.read::<u64>()?;
    let found = edge.webhooks.deliveries(number(&webhook)?, before, limit + 1).await?;
    let has_more = found.len() > limit;
    let data = found.iter().take(limit).map(Into::into).collect();
    Ok(Json(WebhookDeliveries { data, has_more }))
}

/// Tells an endpoint again.
///
/// For admins. With `from` all that has happened since, as far as the journal has it, and all that waits for it or is
/// parked is tried now. With `event_id` one event that waits or is parked, and the later ones of its order; if it has
/// arrived, all that has happened since. A receiver knows by an event's id and sequence what it had.
#[utoipa::path(
    post, path = "/api/v1/admin/webhooks/{webhook}/replay", tag = "operators",
    params(("webhook" = String, Path, description = "The endpoint's identity", example = json!(ENDPOINT_ID))),
    request_body(content = ReplayRequest, content_type = "application/json", examples(
        ("since a time" = (value = json!({ "from": example::STARTS_AT }))),
        ("one event" = (value = json!({ "event_id": EVENT_ID }))),
    )),
    responses(
        (status = 202, description = "It is told again", body = WebhookView,
            example = json!(WebhookView::example(WebhookState::Live))),
        (status = 404, description = "`not_found`: there is no such endpoint, or no such event"),
    ),
    security(("token" = []))
)]
pub async fn replay(
    State(edge): State<Arc<Edge>>,
    Admin(operator): Admin,
    Segment(webhook): Segment,
    JsonObject(body): JsonObject,
) -> Result<(StatusCode, Json<WebhookView>), Problem> {
    let endpoint_id = number(&webhook)?;
    let ReplayRequest { from, event_id } = ReplayRequest::parse(body)?;
    match (from, event_id) {
        (Some(from), None) => edge.webhooks.replay_from(endpoint_id, from, &operator.name).await?,
        (None, Some(event_id)) => {
            edge.webhooks.replay_event(endpoint_id, &event_id, &operator.name).await?;
        }
        _ => return Err(Problem::field("/from", "must be there, or event_id, and not both")),
    }
    let listed = edge.webhooks.get(endpoint_id).await?;
    Ok((StatusCode::ACCEPTED, Json(WebhookView::from(&listed))))
}
