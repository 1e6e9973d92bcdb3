//! Register: a name and a password, and the new buyer is logged in.

use super::login;
use super::root::Onward;
use super::visit::Visit;
use crate::http::address::ClientAddress;
use crate::http::api::users::{self, Password, UserName};
use crate::http::pages::flash;
use crate::http::pages::form::{Form, FormErrors};
use crate::http::pages::headers;
use crate::http::pages::problem::too_often;
use crate::http::pages::shell::Shell;
use crate::http::problem::{Code, Problem};
use crate::http::request::rules::Rule as _;
use crate::http::state::Edge;
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use hyper::StatusCode;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "shop/register.html")]
struct Register {
    shell: Shell,
    errors: FormErrors,
    user_name: String,
    to: String,
}

/// Shows the form.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    onward: Result<Query<Onward>, axum::extract::rejection::QueryRejection>,
    visit: Visit,
) -> Result<Response, Problem> {
    users::check_registration(&edge)?;
    let to = onward.map(|Query(Onward { to })| to).unwrap_or_default();
    form(&edge, &visit, StatusCode::OK, FormErrors::default(), "", &to)
}

fn form(
    edge: &Edge,
    visit: &Visit,
    status: StatusCode,
    errors: FormErrors,
    user_name: &str,
    to: &str,
) -> Result<Response, Problem> {
    let shell = visit.shell(edge, visit.words.register(), "/register");
    let (user_name, to) = (user_name.to_owned(), to.to_owned());
    visit.page(edge, status, &Register { shell, errors, user_name, to })
}

/// Registers the visitor, logs in and leads on; what is wrong comes back with the form.
pub async fn submit(
    State(edge): State<Arc<Edge>>,
    ClientAddress(address): ClientAddress,
    visit: Visit,
    entered: Form,
) -> Result<Response, Problem> {
    users::check_registration(&edge)?;
    let (name, to) = (entered.text("user_name").trim(), entered.text("to"));
    let password = entered.text("password");
    let words = visit.words;
    let mut errors = FormErrors::default();
    if UserName::read(name.into()).is_err() {
        errors.push("user_name", words.user_name_rule());
    }
    if Password::read(password.into()).is_err() {
        errors.push("password", words.password_rule());
    }
    if errors.is_empty() {
        match users::create_user(&edge, address, name, password.to_owned()).await {
            Ok(user_id) => {
                let session = users::session_of(&edge, user_id);
                let mut response = login::enter(&edge, &visit, &session, name, to);
                flash::set(response.headers_mut(), visit.place(&edge), "registered");
                return Ok(response);
            }
            Err(problem) => match problem.code {
                Code::UserNameTaken => errors.push("user_name", words.user_name_taken()),
                Code::RateLimited | Code::Overloaded | Code::RecordsUnavailable => {
                    errors.push(
                        "user_name",
                        match problem.code {
                            Code::RateLimited => too_often(words, &problem),
                            _ => words.log_in_busy(),
                        },
                    );
                    let page = form(&edge, &visit, problem.code.status(), errors, name, to);
                    return page.map(|page| headers::wait(page, &problem));
                }
                _ => return Err(problem),
            },
        }
    }
    form(&edge, &visit, StatusCode::UNPROCESSABLE_ENTITY, errors, name, to)
}
