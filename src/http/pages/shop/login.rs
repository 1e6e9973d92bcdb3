//! Log in and log out.

use super::root::Onward;
use super::visit::Visit;
use crate::http::address::ClientAddress;
use crate::http::api::users::{self, Session};
use crate::http::identity::cookie::{SESSION, WHO};
use crate::http::pages::form::{Form, FormErrors, own_path};
use crate::http::pages::headers::{self, add_cookie};
use crate::http::pages::problem::too_often;
use crate::http::pages::shell::Shell;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use hyper::StatusCode;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "shop/login.html")]
struct Login {
    shell: Shell,
    errors: FormErrors,
    user_name: String,
    /// Where to go on to; empty for the home page.
    to: String,
    /// Whether a visitor without an account can make one here.
    may_register: bool,
}

/// Shows the form.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    onward: Result<Query<Onward>, axum::extract::rejection::QueryRejection>,
    visit: Visit,
) -> Result<Response, Problem> {
    let to = onward.map(|Query(Onward { to })| to).unwrap_or_default();
    form(&edge, &visit, StatusCode::OK, FormErrors::default(), String::new(), to)
}

fn form(
    edge: &Edge,
    visit: &Visit,
    status: StatusCode,
    errors: FormErrors,
    user_name: String,
    to: String,
) -> Result<Response, Problem> {
    let shell = visit.shell(edge, visit.words.log_in(), "/login");
    let may_register = edge.options.registration;
    visit.page(edge, status, &Login { shell, errors, user_name, to, may_register })
}

/// Logs the visitor in and leads on; what is wrong comes back with the form.
pub async fn submit(
    State(edge): State<Arc<Edge>>,
    ClientAddress(address): ClientAddress,
    visit: Visit,
    entered: Form,
) -> Result<Response, Problem> {
    let (user_name, to) = (entered.text("user_name").trim(), entered.text("to"));
    let password = entered.text("password");
    let session = users::begin_session(&edge, address, user_name, password).await;
    let session = match session {
        Ok(session) => session,
        Err(problem) => {
            let words = visit.words;
            let mut errors = FormErrors::default();
            match problem.code {
                Code::Unauthenticated => errors.push("user_name", words.log_in_wrong()),
                Code::RateLimited => errors.push("user_name", too_often(words, &problem)),
                Code::Overloaded | Code::RecordsUnavailable => {
                    errors.push("user_name", words.log_in_busy());
                }
                _ => return Err(problem),
            }
            let status = match problem.code {
                Code::Unauthenticated => StatusCode::UNPROCESSABLE_ENTITY,
                code => code.status(),
            };
            let page = form(&edge, &visit, status, errors, user_name.to_owned(), to.to_owned());
            return page.map(|page| headers::wait(page, &problem));
        }
    };
    Ok(enter(&edge, &visit, &session, user_name, to))
}

/// Gives the visitor the session, and leads to where the visitor wanted to go.
pub fn enter(edge: &Edge, visit: &Visit, session: &Session, name: &str, to: &str) -> Response {
    let home = visit.href("/");
    let mut response = Redirect::to(own_path(to).unwrap_or(&home)).into_response();
    let (headers, place) = (response.headers_mut(), visit.place(edge));
    let who = format!("{name}.{}.{}", session.user_id, session.expires_at.0 / 1000);
    add_cookie(headers, SESSION.set(place, &session.token, session.seconds));
    add_cookie(headers, WHO.set(place, &who, session.seconds));
    response
}

/// Takes the session away.
pub async fn log_out(State(edge): State<Arc<Edge>>, visit: Visit, _entered: Form) -> Response {
    let mut response = visit.lead_to(&edge, "/login", Some("logged_out"));
    let (headers, place) = (response.headers_mut(), visit.place(&edge));
    add_cookie(headers, SESSION.clear(place));
    add_cookie(headers, WHO.clear(place));
    response
}
