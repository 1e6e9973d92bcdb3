//! Buyers register and log in.

use super::example;
use crate::http::auth::token::Role;
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::JsonObject;
use crate::http::request::fields::{Body, body};
use crate::http::request::rules::{self, Characters, Identity, Rule};
use crate::http::state::Edge;
use crate::http::timestamp;
use axum::Json;
use axum::extract::State;
use domain::Timestamp;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};

body! {
    /// A buyer's name and password.
    pub struct CredentialsRequest {
        /// The name: 2 to 32 letters of ASCII, digits, `_`, `.` or `-`; unique without regard to case.
        Required user_name: UserName,
        /// The password: 8 to 128 characters.
        Required password: Password,
    }
}

/// The name of a user.
pub struct UserName;

impl UserName {
    const LENGTH_MIN: usize = 2;
    const LENGTH_MAX: usize = 32;
    const CHARACTERS: Characters =
        Characters(&['A'..='Z', 'a'..='z', '0'..='9', '_'..='_', '.'..='.', '-'..='-']);
}

impl Rule for UserName {
    type Value = String;

    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(Self::LENGTH_MIN))
            .max_length(Some(Self::LENGTH_MAX))
            .pattern(Some(Self::CHARACTERS.pattern(Self::LENGTH_MIN, Self::LENGTH_MAX)))
            .into()
    }

    fn read(value: Value) -> Result<String, Cow<'static, str>> {
        let name = rules::string(value)?;
        let lengths = Self::LENGTH_MIN..=Self::LENGTH_MAX;
        if lengths.contains(&name.len())
            && name.chars().all(|character| Self::CHARACTERS.contains(character))
        {
            return Ok(name);
        }
        Err("must have 2 to 32 letters, digits, _, . or -".into())
    }
}

/// The password of a user.
pub struct Password;

impl Password {
    const LENGTH_MIN: usize = 8;
    const LENGTH_MAX: usize = 128;
}

impl Rule for Password {
    type Value = String;

    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
            .min_length(Some(Self::LENGTH_MIN))
            .max_length(Some(Self::LENGTH_MAX))
            .into()
    }

    fn read(value: Value) -> Result<String, Cow<'static, str>> {
        let password = rules::string(value)?;
        if (Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&password.chars().count()) {
            return Ok(password);
        }
        Err("must have 8 to 128 characters".into())
    }
}

/// Name and password, as they were sent. Its debug form shows neither.
struct Credentials {
    user_name: String,
    password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// A registered buyer.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    /// The buyer's identity.
    #[schema(value_type = Identity)]
    pub user_id: String,
    /// The buyer's name.
    pub user_name: String,
}

/// A buyer's token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// The token, to be sent as `Authorization: Bearer` and the token.
    pub token: String,
    /// Until when the token is valid.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// Registers a buyer.
///
/// The name is unique without regard to case. Log in afterwards to get a token.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users",
    request_body(content = CredentialsRequest, content_type = "application/json",
        example = json!(example_credentials())),
    responses(
        (status = 201, description = "The buyer", body = UserView,
            links(("login" = (operation_id = "post_login",
                request_body = "$request.body",
                description = "Logs in with the same name and password."))),
            example = json!(example_user())),
        (status = 409, description = "`user_name_taken`"),
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

/// Logs a buyer in.
///
/// Returns a token for the buyer's other requests.
#[utoipa::path(
    post, path = "/api/v1/login", tag = "users",
    request_body(content = CredentialsRequest, content_type = "application/json",
        example = json!(example_credentials())),
    responses(
        (status = 200, description = "A token", body = TokenView,
            links(
                ("sales" = (operation_id = "get_sales", description = "Lists what is on sale.")),
                ("orders" = (operation_id = "get_orders",
                    description = "Lists your orders, with the token.")),
            ),
            example = json!(example_token())),
        (status = 401, description = "`unauthenticated`: no user has this name and password"),
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
    let now = edge.clock.token_time();
    let lifetime_seconds = edge.options.token_lifetime_seconds;
    // A token's times are whole seconds.
    let expires_at =
        Timestamp(now.0 / 1000 * 1000).plus_milliseconds(lifetime_seconds.saturating_mul(1000));
    Ok(Json(TokenView {
        token: edge.signer.mint(&user_id.to_string(), Role::Buyer, now, lifetime_seconds),
        expires_at: timestamp::to_string(expires_at),
    }))
}

fn read(body: Map<String, Value>) -> Result<Credentials, Problem> {
    // Both are required.
    let CredentialsRequest { user_name, password } = CredentialsRequest::parse(body)?;
    Ok(Credentials {
        user_name: user_name.unwrap_or_default(),
        password: password.unwrap_or_default(),
    })
}

fn example_credentials() -> Value {
    json!({ "user_name": example::USER_NAME, "password": "long jing 1886" })
}

fn example_user() -> UserView {
    UserView { user_id: example::USER_ID.to_owned(), user_name: example::USER_NAME.to_owned() }
}

fn example_token() -> TokenView {
    TokenView {
        token: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                eyJzdWIiOiIxMDAxIiwicm9sZSI6ImJ1eWVyIiwiZXhwIjoxOTIwNTg5MjAwLCJpYXQiOjE5MjA1ODU2MDB9.\
                signature"
            .to_owned(),
        expires_at: "2030-11-11T01:00:00.000Z".to_owned(),
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
            let body = crate::http::request::json::parse_object(body.as_bytes()).unwrap();
            let found: Vec<String> = match read(body) {
                Ok(_) => Vec::new(),
                Err(problem) => {
                    problem.errors.shown.into_iter().map(|error| error.pointer).collect()
                }
            };
            assert_eq!(found, wrong);
        }
    }

    #[test]
    fn the_documents_example_is_accepted() {
        let Value::Object(body) = example_credentials() else { panic!("it is an object") };
        assert!(read(body).is_ok());
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials =
            Credentials { user_name: "ann".to_owned(), password: "secret123".to_owned() };
        assert!(!format!("{credentials:?}").contains("secret123"));
    }
}
