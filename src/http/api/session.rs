//! `POST /api/v1/session/renew`: lets a buyer who waits for a sale stay logged in.

use crate::http::auth::bearer::{self, Carried};
use crate::http::auth::token::Renewed;
use crate::http::identity::cookie::{SESSION, WHO};
use crate::http::identity::site::Place;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use crate::http::timestamp;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use domain::Timestamp;
use hyper::HeaderMap;
use hyper::header::{CACHE_CONTROL, HeaderValue, SET_COOKIE};
use hyper::http::request::Parts;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A buyer's session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionView {
    /// The token to go on with. Absent if the session is a cookie's, which is renewed in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Until when the session lasts.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// A buyer's request to go on with a session.
#[derive(Debug)]
pub struct Renewal {
    session: Renewed,
    /// The cookies to set, if the session is a cookie's.
    cookies: Option<Vec<HeaderValue>>,
}

impl FromRequestParts<Arc<Edge>> for Renewal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let carried = bearer::carried(edge, parts)?;
        // One that was ended is not renewed.
        bearer::read(edge, carried.token())?;
        let now = edge.clock.token_time();
        let lifetime = edge.live_options.token_lifetime_seconds();
        let session = edge
            .signer
            .renew(carried.token(), now, lifetime)
            .map_err(|error| Problem::new(Code::Unauthenticated, error.to_string()))?;
        let cookies = match carried {
            Carried::Header(_) => None,
            Carried::Cookie(_) => {
                let place = edge.site.place(&parts.headers, &parts.uri);
                let seconds = session.expires_at.0.saturating_sub(now.0) / 1000;
                let Renewed { token, expires_at } = &session;
                Some(cookies(&parts.headers, place, token, *expires_at, seconds).collect())
            }
        };
        Ok(Self { session, cookies })
    }
}

/// Returns the cookies with which a browser goes on with another token, whose bearer is who it was.
pub fn cookies(
    headers: &HeaderMap,
    place: Place<'_>,
    token: &str,
    expires_at: Timestamp,
    seconds: u64,
) -> impl Iterator<Item = HeaderValue> {
    let who = WHO.read(headers, place).and_then(|who| who.rsplit_once('.'));
    let end = expires_at.0 / 1000;
    let who = who.and_then(|(whose, _)| WHO.set(place, &format!("{whose}.{end}"), seconds));
    SESSION.set(place, token, seconds).into_iter().chain(who)
}

/// Renews a session.
///
/// Returns a token that is good for as long as one from a log-in, though never beyond twelve hours from
/// when the password was given; a token of which more than half its time is left is returned as it is. Send
/// no body. A browser's session cookie is renewed in place.
#[utoipa::path(
    post, path = "/api/v1/session/renew", tag = "users",
    responses(
        (status = 200, description = "The session", body = SessionView,
            links(("orders" = (operation_id = "get_orders",
                description = "Lists your orders, with the token."))),
            example = json!(SessionView {
                token: Some("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.claims.signature".to_owned()),
                expires_at: "2030-11-11T01:00:00.000Z".to_owned(),
            })),
        (status = 401, description = "`unauthenticated`: the session is over"),
    ),
    security(("token" = []))
)]
pub async fn renew(State(_): State<Arc<Edge>>, renewal: Renewal) -> Response {
    let Renewal { session, cookies } = renewal;
    let view = SessionView {
        token: cookies.is_none().then_some(session.token),
        expires_at: timestamp::to_string(session.expires_at),
    };
    let mut response = Json(view).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies.into_iter().flatten() {
        headers.append(SET_COOKIE, cookie);
    }
    response
}
