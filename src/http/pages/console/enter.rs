//! How operators get in and out: log in, accept a one-time link, log out.

use super::shell::ConsoleShell;
use super::visit::Stranger;
use crate::http::address::ClientAddress;
use crate::http::api::users::Password;
use crate::http::auth::operator_name;
use crate::http::auth::password::Queue;
use crate::http::auth::token::Principal;
use crate::http::identity::cookie::{CONSOLE, LANGUAGE};
use crate::http::identity::{link, operators};
use crate::http::pages::form::{Form, FormErrors, own_path};
use crate::http::pages::headers::{self, add_cookie};
use crate::http::pages::language::Language;
use crate::http::pages::problem::too_often;
use crate::http::problem::{Code, Problem};
use crate::http::request::path::Segment;
use crate::http::request::rules::Rule as _;
use crate::http::state::Edge;
use crate::sales::CatalogueError;
use crate::sales::operators::{Acceptance, Found};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use domain::Address;
use hyper::StatusCode;
use secrecy::ExposeSecret;
use serde::Deserialize;
use std::sync::Arc;

/// How long a choice of language is kept: a year.
const CHOICE_SECONDS: u64 = 31_536_000;
/// The fewest characters of an operator's password.
const PASSWORD_LENGTH_MIN: usize = 12;

/// Where to go on to.
#[derive(Debug, Default, Deserialize)]
pub struct Onward {
    #[serde(default)]
    to: String,
}

#[derive(Template)]
#[template(path = "console/log_in.html")]
struct LogIn {
    shell: ConsoleShell,
    errors: FormErrors,
    typed: String,
    to: String,
}

#[derive(Template)]
#[template(path = "console/accept.html")]
struct Accept {
    shell: ConsoleShell,
    errors: FormErrors,
    code: String,
}

/// Shows the form of the log-in.
pub async fn show_log_in(
    State(edge): State<Arc<Edge>>,
    onward: Result<Query<Onward>, axum::extract::rejection::QueryRejection>,
    asked: Stranger,
) -> Result<Response, Problem> {
    let to = onward.map(|Query(Onward { to })| to).unwrap_or_default();
    log_in_form(&edge, &asked, StatusCode::OK, FormErrors::default(), String::new(), to)
}

fn log_in_form(
    edge: &Edge,
    asked: &Stranger,
    status: StatusCode,
    errors: FormErrors,
    typed: String,
    to: String,
) -> Result<Response, Problem> {
    let shell = asked.shell(edge, asked.words.console_log_in_title());
    asked.page(edge, status, &LogIn { shell, errors, typed, to })
}

/// Logs an operator in, by name and password or by a token of `seckill mint`.
pub async fn log_in(
    State(edge): State<Arc<Edge>>,
    ClientAddress(address): ClientAddress,
    asked: Stranger,
    entered: Form,
) -> Result<Response, Problem> {
    let (name, to) = (entered.text("name").trim(), entered.text("to"));
    let begun = if entered.has("token") {
        session_of_token(&edge, entered.text("token").trim()).await
    } else {
        session_of_password(&edge, address, name, entered.text("password")).await
    };
    let session = match begun {
        Ok(session) => session,
        Err(problem) => {
            let words = asked.words;
            let mut errors = FormErrors::default();
            let field = if entered.has("token") { "token" } else { "name" };
            match (problem.code, field) {
                (Code::Unauthenticated, "token") => {
                    errors.push(field, words.console_token_wrong());
                }
                (Code::Unauthenticated, _) => errors.push(field, words.console_log_in_wrong()),
                (Code::RecordsUnavailable, _) => errors.push(field, words.console_log_in_away()),
                (Code::RateLimited, _) => errors.push(field, too_often(words, &problem)),
                (Code::Overloaded, _) => errors.push(field, words.log_in_busy()),
                _ => return Err(problem),
            }
            let status = match problem.code {
                Code::Unauthenticated => StatusCode::UNPROCESSABLE_ENTITY,
                code => code.status(),
            };
            let page = log_in_form(&edge, &asked, status, errors, name.to_owned(), to.to_owned());
            return page.map(|page| headers::wait(page, &problem));
        }
    };
    Ok(enter(&edge, &asked, &session, to, None))
}

async fn session_of_token(edge: &Edge, token: &str) -> Result<String, Problem> {
    let wrong = || Problem::new(Code::Unauthenticated, "the token is not an operator's");
    let now = edge.clock.token_time();
    let principal = edge.signer.verify(token, now).map_err(|_| wrong())?;
    let Principal::Operator { name, issued_at, .. } = principal else { return Err(wrong()) };
    crate::http::auth::bearer::check_not_revoked(edge, &name, issued_at).await?;
    Ok(token.to_owned())
}

async fn session_of_password(
    edge: &Edge,
    address: Address,
    name: &str,
    password: &str,
) -> Result<String, Problem> {
    let name = operator_name::canonical(name).unwrap_or_default();
    // Before anything dear is done for it. No buyer's name begins like this.
    let is_crowd = edge.limits.log_in(
        &format!("console {}", name.to_lowercase()),
        address,
        edge.clock.elapsed(),
    )?;
    let queue = if is_crowd { Queue::Crowd } else { Queue::Own };
    let found = match name.as_str() {
        "" => Found::Nobody,
        name => edge.sales.operator(name, edge.engine.now()).await,
    };
    let account = match found {
        Found::Account(account) | Found::LastKnown(account) => Some(account),
        Found::Nobody => None,
        Found::Unknown => {
            return Err(Problem::new(Code::RecordsUnavailable, "accounts cannot be read"));
        }
    };
    let hash = account.as_ref().and_then(|account| account.password_hash.as_ref());
    let hash = hash.map(|hash| hash.expose_secret().to_owned());
    let is_right = edge.operator_passwords.verify(queue, password.to_owned(), hash).await?;
    match account {
        Some(account) if is_right && !account.is_disabled => {
            Ok(operators::begin(&edge.signer, &account, edge.clock.token_time()))
        }
        _ => Err(Problem::new(Code::Unauthenticated, "no account has this name and password")),
    }
}

/// Gives the browser the session, and leads to where the operator wanted to go.
fn enter(edge: &Edge, asked: &Stranger, session: &str, to: &str, flash: Option<&str>) -> Response {
    let to = own_path(to).filter(|path| path.starts_with("/console")).unwrap_or("/console");
    let mut response = asked.lead_to(edge, to, flash);
    let cookie = CONSOLE.set(asked.place(edge), session, operators::SESSION_SECONDS);
    add_cookie(response.headers_mut(), cookie);
    response
}

/// Shows the form that accepts a link. Its code stands in the fragment, which is not sent: asking for this
/// page does nothing, however often and by whomever.
pub async fn show_accept(
    State(edge): State<Arc<Edge>>,
    asked: Stranger,
) -> Result<Response, Problem> {
    accept_form(&edge, &asked, StatusCode::OK, FormErrors::default(), String::new())
}

fn accept_form(
    edge: &Edge,
    asked: &Stranger,
    status: StatusCode,
    errors: FormErrors,
    code: String,
) -> Result<Response, Problem> {
    let shell = asked.shell(edge, asked.words.console_accept_title());
    asked.page(edge, status, &Accept { shell, errors, code })
}

/// Accepts a link: gives its account a password and its roles, and logs the operator in.
pub async fn accept(
    State(edge): State<Arc<Edge>>,
    asked: Stranger,
    entered: Form,
) -> Result<Response, Problem> {
    let words = asked.words;
    let (code, password) = (entered.text("code"), entered.text("password"));
    let mut errors = FormErrors::default();
    let invitation = link::read(&edge.signer, code, edge.clock.token_time());
    match invitation {
        Err(link::LinkError::Invalid) => errors.push("code", words.console_code_wrong()),
        Err(link::LinkError::Expired) => errors.push("code", words.console_code_expired()),
        Ok(_) => {}
    }
    let is_long = password.chars().count() >= PASSWORD_LENGTH_MIN;
    if !is_long || Password::read(password.into()).is_err() {
        errors.push("password", words.console_password_rule());
    }
    let Ok(link::Invitation { name, roles, issued_at }) = invitation else {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return accept_form(&edge, &asked, status, errors, code.to_owned());
    };
    if !errors.is_empty() {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return accept_form(&edge, &asked, status, errors, code.to_owned());
    }
    let password_hash = edge.operator_passwords.hash(Queue::Own, password.to_owned()).await?;
    let now = edge.engine.now();
    let password_hash = password_hash.as_str();
    let acceptance = Acceptance { name: &name, roles, issued_at, password_hash, now };
    let account = match edge.sales.accept_operator(acceptance).await {
        Ok(account) => account,
        Err(error) => {
            let message = match error {
                CatalogueError::LinkUsed | CatalogueError::ChangedMeanwhile => {
                    words.console_code_used()
                }
                CatalogueError::OperatorDisabled => words.console_account_disabled(),
                CatalogueError::TooManyOperators => words.console_accounts_full(),
                error => return Err(error.into()),
            };
            errors.push("code", message);
            return accept_form(&edge, &asked, StatusCode::CONFLICT, errors, String::new());
        }
    };
    let session = operators::begin(&edge.signer, &account, edge.clock.token_time());
    Ok(enter(&edge, &asked, &session, "", Some("welcome")))
}

/// Takes the session away.
pub async fn log_out(State(edge): State<Arc<Edge>>, asked: Stranger, _entered: Form) -> Response {
    let mut response = asked.lead_to(&edge, "/console/log-in", Some("console_logged_out"));
    add_cookie(response.headers_mut(), CONSOLE.clear(asked.place(&edge)));
    response
}

/// Keeps the choice of language, and leads back to the page that it was made on.
pub async fn choose_language(
    State(edge): State<Arc<Edge>>,
    Segment(name): Segment,
    onward: Result<Query<Onward>, axum::extract::rejection::QueryRejection>,
    asked: Stranger,
) -> Result<Response, Problem> {
    let language = Language::from_name(&name).ok_or_else(Problem::not_found)?;
    let to = onward.map(|Query(Onward { to })| to).unwrap_or_default();
    let to = own_path(&to).filter(|path| path.starts_with("/console")).unwrap_or("/console");
    let mut response = asked.lead_to(&edge, to, None);
    let cookie = LANGUAGE.set(asked.place(&edge), language.name(), CHOICE_SECONDS);
    add_cookie(response.headers_mut(), cookie);
    Ok(response)
}
