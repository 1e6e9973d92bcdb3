//! Changing limits and risk rules: a form, then the difference with the question why, then the change. A
//! version of before is set back the same way.
//!
//! Each form names the version that it was made from. If there is another one meanwhile, the difference
//! is shown from that, and nothing is done until it is confirmed again.

use super::rule_fields::{Document, Said, Typed, document, known, text};
use super::sale_fields::Difference;
use super::shell::{ConsoleShell, Section};
use super::visit::Visit;
use crate::actors::{SETTING_REASON_LENGTH_MAX, StoredSetting};
use crate::http::admin::settings::{self, CHANGE, ROLLBACK};
use crate::http::pages::form::{Form, FormErrors};
use crate::http::pages::words::Words;
use crate::http::problem::{Code, Problem};
use crate::http::request::page::{PageQuery, place};
use crate::http::request::path::Segment;
use crate::http::request::rules::{Rule as _, Text};
use crate::http::state::Edge;
use crate::sales::{Base, Change};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use domain::OperatorRole;
use hyper::StatusCode;
use std::sync::Arc;

/// Versions of one page.
const PAGE: usize = 20;

#[derive(Template)]
#[template(path = "console/rule_change.html")]
struct Edit {
    shell: ConsoleShell,
    errors: FormErrors,
    document: Document,
    typed: Typed,
    /// None if the store does not answer.
    history: Option<Vec<Version>>,
    older: Option<u64>,
    may_change: bool,
}

struct Version {
    number: u64,
    said: Said,
    values: String,
    is_present: bool,
}

#[derive(Template)]
#[template(path = "console/rule_confirm.html")]
struct Confirm {
    shell: ConsoleShell,
    errors: FormErrors,
    document: Document,
    typed: Typed,
    heading: String,
    changes: Vec<Difference>,
    /// The version that they are set back to, if they are.
    rollback: Option<u64>,
    /// Who changed them meanwhile; empty if nobody did.
    other: String,
    reason: String,
}

/// Shows the form and what the settings were.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Segment(name): Segment,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    visit.user.require_reader()?;
    let document = document(&edge, &visit, known(&name)?)?;
    let typed = Typed::present(&document);
    let before = place(query.starting_after.as_deref())?;
    let form = (FormErrors::default(), typed);
    edit(&edge, &visit, StatusCode::OK, document, form, before).await
}

async fn edit(
    edge: &Edge,
    visit: &Visit,
    status: StatusCode,
    document: Document,
    (errors, typed): (FormErrors, Typed),
    before: Option<u64>,
) -> Result<Response, Problem> {
    let history = edge.settings.history(document.name, before, PAGE + 1).await;
    let (history, older) = match history {
        Ok(mut stored) => {
            let has_more = stored.len() > PAGE;
            stored.truncate(PAGE);
            let older = stored.last().map(|stored| stored.version).filter(|_| has_more);
            let present = document.version;
            let row = |stored| version(edge, visit, stored, present);
            (Some(stored.into_iter().map(row).collect()), older)
        }
        Err(_) => (None, None),
    };
    let page = Edit {
        shell: visit.frame(edge, document.title.clone(), Section::Rules),
        errors,
        document,
        typed,
        history,
        older,
        may_change: visit.user.roles.allow(OperatorRole::Admin),
    };
    visit.page(edge, status, &page)
}

fn version(edge: &Edge, visit: &Visit, stored: StoredSetting, present: u64) -> Version {
    let value = |(key, value)| format!("{key}: {}", text(value));
    Version {
        number: stored.version,
        values: stored.content.iter().map(value).collect::<Vec<_>>().join(", "),
        is_present: stored.version == present,
        said: Said {
            actor: stored.actor,
            at: visit.moment(edge, stored.at),
            reason: stored.reason,
        },
    }
}

/// Shows what would change, or changes it if that was confirmed with a reason.
pub async fn submit(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Segment(name): Segment,
    entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Admin)?;
    let name = known(&name)?;
    let present = document(&edge, &visit, name)?;
    let rollback = entered.text("rollback").parse::<u64>().ok();
    let typed = match rollback {
        Some(version) => Typed::of(&present, &settings::content_of(&edge, name, version).await?),
        None => Typed::read(&present, &entered),
    };
    let mut errors = typed.errors(&edge, &present);
    if errors.is_empty() && typed.differences(&present, visit.words).is_empty() {
        errors.push("settings", visit.words.rules_same());
    }
    if !errors.is_empty() {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return edit(&edge, &visit, status, present, (errors, typed), None).await;
    }
    let asked = Asked { typed, rollback, reason: entered.text("reason").to_owned() };
    let base = entered.text("version").parse().unwrap_or(u64::MAX);
    if base != present.version {
        return confirm(&edge, &visit, StatusCode::PRECONDITION_FAILED, present, asked, true);
    }
    if !entered.has("confirmed") {
        return confirm(&edge, &visit, StatusCode::OK, present, asked, false);
    }
    let Some(reason) = reason(&asked.reason) else {
        return confirm(&edge, &visit, StatusCode::UNPROCESSABLE_ENTITY, present, asked, false);
    };
    let change =
        Change { base: Base::Revision(base), ..Change::by(&visit.user.name, edge.engine.now()) };
    let action = if rollback.is_some() { ROLLBACK } else { CHANGE };
    let content = asked.typed.content(&present);
    match settings::store(&edge, change, name, &content, &reason, action).await {
        Ok(()) => {
            Ok(visit.lead_to(&edge, &format!("/console/rules/{name}"), Some("rules_changed")))
        }
        // Another node was faster, and is not heard of yet.
        Err(problem) if problem.code == Code::RevisionConflict => {
            edge.settings.look().await;
            let present = document(&edge, &visit, name)?;
            confirm(&edge, &visit, StatusCode::PRECONDITION_FAILED, present, asked, true)
        }
        Err(problem) => Err(problem),
    }
}

/// What an admin asks for.
struct Asked {
    typed: Typed,
    rollback: Option<u64>,
    reason: String,
}

fn reason(typed: &str) -> Option<String> {
    Text::<SETTING_REASON_LENGTH_MAX>::read(typed.trim().into()).ok()
}

fn confirm(
    edge: &Edge,
    visit: &Visit,
    status: StatusCode,
    document: Document,
    asked: Asked,
    is_changed: bool,
) -> Result<Response, Problem> {
    let words: Words = visit.words;
    let mut errors = FormErrors::default();
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        errors.push("reason", words.rules_reason_rule());
    }
    let other = document.changed.as_ref().filter(|_| is_changed);
    let page = Confirm {
        shell: visit.frame(edge, document.title.clone(), Section::Rules),
        errors,
        heading: asked
            .rollback
            .map_or_else(|| words.rules_changes(), |version| words.rules_back_to(version)),
        changes: asked.typed.differences(&document, words),
        other: other.map(|said| said.actor.clone()).unwrap_or_default(),
        document,
        typed: asked.typed,
        rollback: asked.rollback,
        reason: asked.reason,
    };
    visit.page(edge, status, &page)
}
