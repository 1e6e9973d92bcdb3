//! Buyers register and log in.

use super::{example, session};
use crate::http::address::ClientAddress;
use crate::http::admit;
use crate::http::auth::bearer::Buyer;
use crate::http::auth::password::Queue;
use crate::http::auth::token::Role;
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::JsonObject;
use crate::http::request::fields::{Body, body};
use crate::http::request::rules::{self, Characters, Identity, Rule};
use crate::http::risk::{Moment, Person};
use crate::http::state::Edge;
use crate::http::timestamp;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{Address, Timestamp, UserId};
use hyper::header::{AUTHORIZATION, SET_COOKIE};
use hyper::{HeaderMap, StatusCode, Uri};
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
        Err("must have 2 to 32 characters, each one of A to Z, a to z, 0 to 9, _, . and -".into())
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
        (status = 403, description = "`forbidden`: the shop's users register elsewhere; `not_admitted`"),
        (status = 409, description = "`user_name_taken`"),
        (status = 429, description = "`rate_limited`: you try more often than you may"),
    )
)]
pub async fn register(
    State(edge): State<Arc<Edge>>,
    ClientAddress(address): ClientAddress,
    JsonObject(body): JsonObject,
) -> Result<(StatusCode, Json<UserView>), Problem> {
    check_registration(&edge)?;
    let Credentials { user_name, password } = read(body)?;
    let user_id = create_user(&edge, address, &user_name, password).await?;
    Ok((StatusCode::CREATED, Json(UserView { user_id: user_id.to_string(), user_name })))
}

/// Checks that buyers may register here.
///
/// # Errors
/// Returns a `forbidden` problem if they may not.
pub fn check_registration(edge: &Edge) -> Result<(), Problem> {
    if edge.options.registration {
        return Ok(());
    }
    let detail = "nobody registers here: log in where you have your account";
    Err(Problem::new(Code::Forbidden, detail))
}

body! {
    /// A buyer's present password, and the one to take its place.
    pub struct PasswordRequest {
        /// The present password.
        Required password: Password,
        /// The new one: 8 to 128 characters.
        Required new_password: Password,
    }
}

/// Changes your password.
///
/// Log in with the new one from now on: it ends the sessions of before, and the tokens that they were given.
/// A browser that sends its session's cookie is given a new one and stays logged in.
#[utoipa::path(
    put, path = "/api/v1/password", tag = "users",
    request_body(content = PasswordRequest, content_type = "application/json",
        example = json!({ "password": "long jing 1886", "new_password": "bi luo chun 1675" })),
    responses(
        (status = 204, description = "The password is changed",
            links(("login" = (operation_id = "post_login",
                description = "Logs in with the new password.")))),
        (status = 403, description = "`forbidden`: the present password is another one"),
        (status = 429, description = "`rate_limited`: you try more often than you may"),
    ),
    security(("token" = []))
)]
pub async fn change_password(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    uri: Uri,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    // Both are required.
    let PasswordRequest { password, new_password } = PasswordRequest::parse(body)?;
    let (from, to) = (password.unwrap_or_default(), new_password.unwrap_or_default());
    let session = replace_password(&edge, (user_id, address), from, to).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if !headers.contains_key(AUTHORIZATION) {
        let place = edge.site.place(&headers, &uri);
        let Session { token, expires_at, seconds, .. } = session;
        for cookie in session::cookies(&headers, place, &token, expires_at, seconds) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    Ok(response)
}

/// Gives a buyer who asks from this address another password, which follows the rules, ends the sessions of
/// before, and returns one to go on with.
///
/// # Errors
/// Returns a `forbidden` problem if the present one is another, or the buyer has none, a `rate_limited` one if
/// passwords are tried too often, as in log-ins, which they count among, an `overloaded` one if too many passwords wait to be hashed, and a `records_unavailable` one if the catalogue does not
/// answer.
pub async fn replace_password(
    edge: &Edge,
    (user_id, address): (UserId, Address),
    from: String,
    to: String,
) -> Result<Session, Problem> {
    let wrong = || Problem::new(Code::Forbidden, "the present password is another one");
    // Nobody changes a password in a hurry, and one account may try many: it waits with the crowd.
    let (name, hash) = edge.sales.user(user_id).await?.unzip();
    // A session that was stolen is no way to guess the password.
    match name {
        Some(name) => count_attempt(edge, &name, address)?,
        None => edge.limits.log_in_from(address, edge.clock.elapsed())?,
    };
    if !edge.passwords.verify(Queue::Crowd, from, hash.clone()).await? {
        return Err(wrong());
    }
    let new_hash = edge.passwords.hash(Queue::Crowd, to).await?;
    let hash = hash.unwrap_or_default();
    // A token's times are whole seconds: those of this one are over with the others, and so is the one that
    // a change within the same second gave.
    let newest = edge.clock.token_time().max(edge.ended_sessions.good_from(user_id));
    let good_from_seconds = newest.0 / 1000 + 1;
    if !edge.sales.change_password(user_id, &hash, &new_hash, good_from_seconds).await? {
        return Err(wrong());
    }
    edge.ended_sessions.end(user_id, good_from_seconds);
    Ok(session_of(edge, user_id))
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
        (status = 403, description = "`not_admitted`"),
        (status = 429, description = "`rate_limited`: you try more often than you may"),
    )
)]
pub async fn log_in(
    State(edge): State<Arc<Edge>>,
    ClientAddress(address): ClientAddress,
    JsonObject(body): JsonObject,
) -> Result<Json<TokenView>, Problem> {
    let Credentials { user_name, password } = read(body)?;
    let session = begin_session(&edge, address, &user_name, &password).await?;
    Ok(Json(TokenView {
        token: session.token,
        expires_at: timestamp::to_string(session.expires_at),
    }))
}

/// Registers a buyer who asks from this address.
///
/// # Errors
/// Returns a `rate_limited` or `not_admitted` problem if the caller may not register now, a
/// `user_name_taken` one if another has the name, an `overloaded` one if too many register at the moment,
/// and a `records_unavailable` one if the catalogue does not answer.
pub async fn create_user(
    edge: &Edge,
    address: Address,
    user_name: &str,
    password: String,
) -> Result<UserId, Problem> {
    let queue = begin(edge, Moment::Registration, user_name, address)?;
    let hash = edge.passwords.hash(queue, password).await?;
    let user_id = edge.sales.create_user(user_name, &hash, edge.engine.now()).await?;
    edge.risk.registered(Person { user_id: Some(user_id), address }, edge.clock.elapsed());
    Ok(user_id)
}

/// What a buyer who logged in goes on with.
pub struct Session {
    /// The buyer who logged in.
    pub user_id: UserId,
    /// The token that names the buyer.
    pub token: String,
    /// From when it is no longer good.
    pub expires_at: Timestamp,
    /// For how long it is good.
    pub seconds: u64,
}

/// Logs a buyer in who asks from this address, by name and password.
///
/// # Errors
/// Returns a `rate_limited` or `not_admitted` problem if the caller may not log in now, an
/// `unauthenticated` one if no user has these, an `overloaded` one if too many log in at the moment, and a
/// `records_unavailable` one if the catalogue does not answer.
pub async fn begin_session(
    edge: &Edge,
    address: Address,
    user_name: &str,
    password: &str,
) -> Result<Session, Problem> {
    let queue = begin(edge, Moment::LogIn, user_name, address)?;
    let user = edge.sales.user_by_name(user_name).await?;
    let (user_id, hash) = user.unzip();
    let is_right = edge.passwords.verify(queue, password.to_owned(), hash).await?;
    let Some(user_id) = user_id.filter(|_| is_right) else {
        return Err(Problem::new(Code::Unauthenticated, "no user has this name and password"));
    };
    admit::admit(edge, Moment::LogIn, Person { user_id: Some(user_id), address })?;
    Ok(session_of(edge, user_id))
}

/// Returns a new session of a buyer whose password was checked.
pub fn session_of(edge: &Edge, user_id: UserId) -> Session {
    // Who changed the password a moment ago goes on with a token of the second after.
    let now = edge.clock.token_time().max(edge.ended_sessions.good_from(user_id));
    let seconds = edge.live_options.token_lifetime_seconds();
    // A token's times are whole seconds.
    let expires_at = Timestamp(now.0 / 1000 * 1000).plus_milliseconds(seconds.saturating_mul(1000));
    let token = edge.signer.mint(&user_id.to_string(), Role::Buyer, now, seconds);
    Session { user_id, token, expires_at, seconds }
}

/// Counts the attempt, before anything dear is done for it, and returns the queue that it may wait in.
/// Who has logged in is judged once more, as a user.
fn begin(edge: &Edge, moment: Moment, user_name: &str, address: Address) -> Result<Queue, Problem> {
    let person = Person { user_id: None, address };
    match moment {
        Moment::Registration => admit::admit(edge, moment, person).map(drop)?,
        _ => admit::check_lists(edge, person)?,
    }
    let is_crowd = count_attempt(edge, user_name, address)?;
    Ok(if is_crowd { Queue::Crowd } else { Queue::Own })
}

/// Counts an attempt with this name from this address. Returns whether the address has had so many that it
/// waits with others like it. Names that are one to the catalogue are one here.
fn count_attempt(edge: &Edge, user_name: &str, address: Address) -> Result<bool, Problem> {
    let name = user_name.to_ascii_lowercase();
    Ok(edge.limits.log_in(&name, address, edge.clock.elapsed())?)
}

/// Returns a name and a password that follow the rules.
///
/// # Errors
/// Returns an `invalid_field` problem if they do not.
pub fn check_credentials(user_name: String, password: String) -> Result<(String, String), Problem> {
    let fields = [("user_name", user_name), ("password", password)];
    let body = fields.map(|(name, value)| (name.to_owned(), Value::String(value)));
    read(body.into_iter().collect())
        .map(|Credentials { user_name, password }| (user_name, password))
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

pub(super) fn example_token() -> TokenView {
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
