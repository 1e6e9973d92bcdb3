//! `POST /api/v1/session`: a token of the mall's issuer for one of this shop.

use super::users::TokenView;
use crate::http::address::ClientAddress;
use crate::http::auth::bearer::{self, BearerToken};
use crate::http::auth::token::{Principal, Role};
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use crate::http::timestamp;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{OperatorRole, Timestamp};
use hyper::header::{CACHE_CONTROL, HeaderValue};
use std::sync::Arc;

/// Exchanges a token.
///
/// Send the token that the mall's issuer made in `Authorization`, and no body. The answer's token names the
/// same user, is good for as long as one from a log-in, though no longer than the one that it was got for,
/// and is verified in a fraction of the time: get it before the sale begins. The issuer's own token is
/// accepted in every other request, too.
#[utoipa::path(
    post, path = "/api/v1/session", tag = "users",
    responses(
        (status = 200, description = "A token of this shop", body = TokenView,
            links(
                ("sales" = (operation_id = "get_sales", description = "Lists what is on sale.")),
                ("orders" = (operation_id = "get_orders",
                    description = "Lists your orders, with the token.")),
            ),
            example = json!(super::users::example_token())),
        (status = 401, description = "`unauthenticated`: the token is not accepted, or no issuer is set up"),
        (status = 429, description = "`rate_limited`: tokens are exchanged as often as people may log in"),
        (status = 503, description = "`issuer_unavailable`, `records_unavailable`"),
    ),
    security(("token" = []))
)]
pub async fn exchange(
    State(edge): State<Arc<Edge>>,
    ClientAddress(address): ClientAddress,
    BearerToken(token): BearerToken,
) -> Result<Response, Problem> {
    let refused = |detail: &'static str| Problem::new(Code::Unauthenticated, detail);
    let oidc = edge.oidc.as_ref().ok_or_else(|| refused("this shop accepts no issuer's tokens"))?;
    // A log-in is what it is. Whose it is shows only once the token was verified, which is the dear part.
    edge.limits.log_in_from(address, edge.clock.elapsed())?;
    let now = edge.clock.token_time();
    let found = oidc.bearer(&token, now, &edge.sales).await?;
    let seconds = found.expires_at_seconds.saturating_sub(now.0 / 1000);
    let lifetime_seconds = edge.live_options.token_lifetime_seconds().min(seconds);
    if lifetime_seconds == 0 {
        return Err(refused("the token has expired"));
    }
    let (subject, role) = match found.principal {
        Principal::Buyer(user_id) => (user_id.to_string(), Role::Buyer),
        Principal::Operator { name, roles, issued_at } => {
            // A new token must not outlive what was taken back since the old one was made.
            bearer::check_not_revoked(&edge, &name, issued_at).await?;
            let may_approve = roles.allow(OperatorRole::Approver);
            (name, if may_approve { Role::Approver } else { Role::Operator })
        }
    };
    edge.limits.log_in_as(&subject, address, edge.clock.elapsed())?;
    let ends_at_seconds = found.expires_at_seconds;
    let token = edge.signer.mint_within(&subject, role, now, lifetime_seconds, ends_at_seconds);
    // A token's times are whole seconds.
    let expires_at = Timestamp((now.0 / 1000 + lifetime_seconds) * 1000);
    let view = TokenView { token, expires_at: timestamp::to_string(expires_at) };
    let mut response = Json(view).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
