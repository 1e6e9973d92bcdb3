//! The accounts of operators: who may log in, one-time links for new ones, and the switch that ends one.

use super::shell::{ConsoleShell, Section, role_name};
use super::visit::Visit;
use crate::http::auth::operator_name;
use crate::http::identity::link;
use crate::http::pages::form::{Form, FormErrors};
use crate::http::pages::times::Moment;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::{OperatorRole, OperatorRoles};
use hyper::StatusCode;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "console/operators.html")]
struct Operators {
    shell: ConsoleShell,
    errors: FormErrors,
    accounts: Vec<AccountRow>,
    typed: String,
    choices: Vec<RoleChoice>,
}

struct AccountRow {
    name: String,
    roles: String,
    is_disabled: bool,
    changed_at: Moment,
    /// Whether it is the operator's own.
    is_own: bool,
}

struct RoleChoice {
    name: &'static str,
    title: String,
    explanation: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "console/link.html")]
struct NewLink {
    shell: ConsoleShell,
    name: String,
    roles: String,
    url: String,
    minutes: u64,
}

/// Shows all accounts, and the form for a new link.
pub async fn show(State(edge): State<Arc<Edge>>, visit: Visit) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Admin)?;
    let roles = OperatorRole::Operator.into();
    page(&edge, &visit, StatusCode::OK, FormErrors::default(), String::new(), roles).await
}

async fn page(
    edge: &Edge,
    visit: &Visit,
    status: StatusCode,
    errors: FormErrors,
    typed: String,
    chosen: OperatorRoles,
) -> Result<Response, Problem> {
    let words = visit.words;
    let names = |roles: OperatorRoles| {
        let names: Vec<String> = roles.iter().map(|role| role_name(words, role)).collect();
        names.join(", ")
    };
    let accounts = edge.sales.operators().await?.into_iter().map(|account| AccountRow {
        roles: names(account.roles),
        is_disabled: account.is_disabled,
        changed_at: visit.moment(edge, account.changed_at),
        is_own: account.name == visit.user.name,
        name: account.name,
    });
    let choice = |role: OperatorRole| RoleChoice {
        name: role.name(),
        title: role_name(words, role),
        explanation: match role {
            OperatorRole::Viewer => words.role_viewer_may(),
            OperatorRole::Operator => words.role_operator_may(),
            OperatorRole::Approver => words.role_approver_may(),
            OperatorRole::Admin => words.role_admin_may(),
        },
        is_chosen: chosen.iter().any(|chosen| chosen == role),
    };
    let page = Operators {
        shell: visit.frame(edge, words.console_operators(), Section::Operators),
        errors,
        accounts: accounts.collect(),
        typed,
        choices: OperatorRole::ALL.map(choice).into(),
    };
    visit.page(edge, status, &page)
}

/// Makes a link and shows it once.
pub async fn make_link(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Admin)?;
    let typed = entered.text("name");
    let roles: OperatorRoles = OperatorRole::ALL
        .into_iter()
        .filter(|role| entered.has(&format!("role-{}", role.name())))
        .collect();
    let mut errors = FormErrors::default();
    let name = operator_name::of_person(typed);
    if name.is_err() {
        errors.push("name", visit.words.operator_name_rule());
    }
    if roles.is_empty() {
        errors.push("role-viewer", visit.words.operator_role_rule());
    }
    let Some(name) = name.ok().filter(|_| errors.is_empty()) else {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return page(&edge, &visit, status, errors, typed.to_owned(), roles).await;
    };
    let place = visit.place(&edge);
    let scheme = if place.is_secure { "https" } else { "http" };
    let base = format!("{scheme}://{}", place.authority);
    edge.sales.note_operator_link(&name, roles, &visit.user.name, edge.engine.now()).await?;
    let code = link::code(&edge.signer, &name, roles, edge.engine.now());
    let names: Vec<String> = roles.iter().map(|role| role_name(visit.words, role)).collect();
    let page = NewLink {
        shell: visit.frame(&edge, visit.words.link_title(), Section::Operators),
        name,
        roles: names.join(", "),
        url: link::url(&base, &code),
        minutes: link::LIFETIME_MILLISECONDS / 60_000,
    };
    visit.page(&edge, StatusCode::OK, &page)
}

/// Disables an account or, with the button for it, lets it be used again.
pub async fn switch(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Admin)?;
    let is_disabled = !entered.has("enable");
    let name = operator_name::canonical(entered.text("name"))
        .map_err(|error| Problem::new(Code::NotFound, error.to_string()))?;
    let now = edge.engine.now();
    edge.sales.disable_operator(&name, is_disabled, &visit.user.name, now).await?;
    let flash = if is_disabled { "disabled" } else { "enabled" };
    Ok(visit.lead_to(&edge, "/console/operators", Some(flash)))
}
