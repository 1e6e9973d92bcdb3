//! The buyer's account: the name, another password, and the way out.

use super::visit::Visit;
use crate::http::address::ClientAddress;
use crate::http::api::session;
use crate::http::api::users::{self, Password, Session};
use crate::http::pages::form::{Form, FormErrors};
use crate::http::pages::headers::{self, add_cookie};
use crate::http::pages::shell::Shell;
use crate::http::problem::{Code, Problem};
use crate::http::request::rules::Rule as _;
use crate::http::state::Edge;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use hyper::StatusCode;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "shop/account.html")]
struct Account {
    shell: Shell,
    errors: FormErrors,
    name: String,
}

/// Shows the account.
pub async fn show(State(edge): State<Arc<Edge>>, visit: Visit) -> Result<Response, Problem> {
    if let Err(log_in) = visit.buyer_or_log_in() {
        return Ok(*log_in);
    }
    page(&edge, &visit, StatusCode::OK, FormErrors::default())
}

fn page(
    edge: &Edge,
    visit: &Visit,
    status: StatusCode,
    errors: FormErrors,
) -> Result<Response, Problem> {
    let shell = visit.shell(edge, visit.words.nav_account(), "/account");
    let name = visit.name(edge).unwrap_or("–").to_owned();
    visit.page(edge, status, &Account { shell, errors, name })
}

/// Changes the password; what is wrong comes back with the form.
pub async fn submit(
    State(edge): State<Arc<Edge>>,
    ClientAddress(address): ClientAddress,
    visit: Visit,
    entered: Form,
) -> Result<Response, Problem> {
    let user_id = match visit.buyer_or_log_in() {
        Ok(user_id) => user_id,
        Err(log_in) => return Ok(*log_in),
    };
    let words = visit.words;
    let (from, to) = (entered.text("password"), entered.text("new_password"));
    let mut errors = FormErrors::default();
    if Password::read(to.into()).is_err() {
        errors.push("new_password", words.password_rule());
    }
    let (mut status, mut refused) = (StatusCode::UNPROCESSABLE_ENTITY, None);
    if errors.is_empty() {
        let (from, to) = (from.to_owned(), to.to_owned());
        match users::replace_password(&edge, (user_id, address), from, to).await {
            Ok(session) => {
                let mut response = visit.lead_to(&edge, "/account", Some("password_changed"));
                let Session { token, expires_at, seconds, .. } = session;
                let place = visit.place(&edge);
                let cookies = session::cookies(&visit.headers, place, &token, expires_at, seconds);
                for cookie in cookies {
                    add_cookie(response.headers_mut(), Some(cookie));
                }
                return Ok(response);
            }
            Err(problem) => match problem.code {
                Code::Forbidden => errors.push("password", words.password_wrong()),
                Code::Overloaded | Code::RateLimited | Code::RecordsUnavailable => {
                    errors.push("password", words.log_in_busy());
                    status = problem.code.status();
                    refused = Some(problem);
                }
                _ => return Err(problem),
            },
        }
    }
    let page = page(&edge, &visit, status, errors)?;
    Ok(match refused {
        Some(problem) => headers::wait(page, &problem),
        None => page,
    })
}
