//! Buyers register and log in.

use super::body::Fields;
use super::edge::Edge;
use super::error::{Code, Problem};
use super::extract::JsonObject;
use super::timestamp;
use super::token::Role;
use axum::Json;
use axum::extract::State;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;

const NAME_CHARACTERS_MIN: usize = 2;
const NAME_CHARACTERS_MAX: usize = 32;
const PASSWORD_CHARACTERS_MIN: usize = 8;
const PASSWORD_CHARACTERS_MAX: usize = 128;

/// Name and password.
#[derive(Serialize, ToSchema)]
#[schema(as = Credentials)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// 2 to 32 letters, digits, `_`, `.` or `-`; unique without regard to case.
    #[schema(min_length = 2, max_length = 32, pattern = "^[A-Za-z0-9_.-]{2,32}$")]
    pub user_name: String,
    /// 8 to 128 characters.
    #[schema(min_length = 8, max_length = 128, format = Password)]
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// A registered buyer.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    /// Its identity.
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub user_id: String,
    /// Its name.
    pub user_name: String,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// For `Authorization: Bearer`.
    pub token: String,
    /// Until when it is good.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// Registers a buyer.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users",
    request_body = Credentials,
    responses(
        (status = 201, description = "The buyer", body = UserView),
        (status = 409, description = "`user_name_taken`",
            body = super::document::ProblemView, content_type = "application/problem+json"),
    )
)]
pub async fn register(
    State(edge): State<Arc<Edge>>,
    JsonObject(body): JsonObject,
) -> Result<(StatusCode, Json<UserView>), Problem> {
    let Credentials { user_name, password } = read(body)?;
    let hash = edge.passwords.hash(password).await?;
    let user_id = edge.sales.create_user(&user_name, &hash, edge.engine.now()).await?;
    Ok((StatusCode::CREATED, Json(UserView { user_id: user_id.to_string(), user_name })))
}

/// Gives a buyer a token.
#[utoipa::path(
    post, path = "/api/v1/login", tag = "users",
    request_body = Credentials,
    responses(
        (status = 200, description = "A token", body = TokenView),
        (status = 401, description = "`unauthenticated`: no user has this name and password",
            body = super::document::ProblemView, content_type = "application/problem+json"),
    )
)]
pub async fn log_in(
    State(edge): State<Arc<Edge>>,
    JsonObject(body): JsonObject,
) -> Result<Json<TokenView>, Problem> {
    let Credentials { user_name, password } = read(body)?;
    let user = edge.sales.user_by_name(&user_name).await?;
    let (user_id, hash) = user.unzip();
    let is_right = edge.passwords.verify(password, hash).await?;
    let Some(user_id) = user_id.filter(|_| is_right) else {
        return Err(Problem::new(Code::Unauthenticated, "no user has this name and password"));
    };
    let now = edge.engine.now();
    let lifetime_seconds = edge.options.token_lifetime_seconds;
    // A token's times are whole seconds.
    let expires_at = domain::Timestamp(now.0 / 1000 * 1000)
        .plus_milliseconds(lifetime_seconds.saturating_mul(1000));
    Ok(Json(TokenView {
        token: edge.signer.mint(&user_id.to_string(), Role::Buyer, now, lifetime_seconds),
        expires_at: timestamp::to_string(expires_at),
    }))
}

fn read(body: Map<String, Value>) -> Result<Credentials, Problem> {
    let mut errors = Vec::new();
    let mut fields = Fields::new(body, "", &mut errors);
    let user_name = fields.text("user_name", NAME_CHARACTERS_MAX);
    if let Some(name) = &user_name {
        let allowed =
            |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
        if name.len() < NAME_CHARACTERS_MIN || !name.chars().all(allowed) {
            fields.wrong("user_name", "must have 2 to 32 letters, digits, _, . or -");
        }
    }
    let password = match fields.take_required("password") {
        Some(Value::String(password)) => {
            let characters = password.chars().count();
            if !(PASSWORD_CHARACTERS_MIN..=PASSWORD_CHARACTERS_MAX).contains(&characters) {
                fields.wrong("password", "must have 8 to 128 characters");
            }
            Some(password)
        }
        Some(_) => {
            fields.wrong("password", "must be a string");
            None
        }
        None => None,
    };
    fields.finish();
    match (user_name, password) {
        (Some(user_name), Some(password)) if errors.is_empty() => {
            Ok(Credentials { user_name, password })
        }
        _ => Err(Problem::fields(errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_have_rules() {
        for (body, wrong) in [
            (r#"{"user_name":"ann.b-c_1","password":"12345678"}"#, &[][..]),
            (r#"{"user_name":"a","password":"1234567"}"#, &["/user_name", "/password"]),
            (r#"{"user_name":"a b","password":"12345678"}"#, &["/user_name"]),
            (r#"{"user_name":1,"password":null}"#, &["/user_name", "/password"]),
            (r#"{"admin":true}"#, &["/user_name", "/password", "/admin"]),
        ] {
            let body = crate::http::body::parse_object(body.as_bytes()).unwrap();
            let found: Vec<String> = match read(body) {
                Ok(_) => Vec::new(),
                Err(problem) => problem.errors.into_iter().map(|error| error.pointer).collect(),
            };
            assert_eq!(found, wrong);
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials =
            Credentials { user_name: "ann".to_owned(), password: "secret123".to_owned() };
        assert!(!format!("{credentials:?}").contains("secret123"));
    }
}
