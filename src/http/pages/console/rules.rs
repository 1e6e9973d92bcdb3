//! Whom the shop lets in: the limits and risk rules as they are, the lists of those who are denied or
//! allowed, and whom the rules have found.
//!
//! The lists are changed by those who run sales, because an attack does not wait for an admin; the rules
//! themselves by an admin (`rule_change`).

use super::rule_fields::{Document, choice_name, document};
use super::sale_fields::instant;
use super::shell::{ConsoleShell, Section};
use super::visit::Visit;
use crate::actors::{ListedEntry, SettingsError};
use crate::http::admin::risk;
use crate::http::live::NAMES;
use crate::http::pages::form::{Form, FormErrors};
use crate::http::pages::times::Moment;
use crate::http::pages::words::Words;
use crate::http::problem::{FieldErrors, Problem};
use crate::http::request::page::{PageQuery, place};
use crate::http::request::path::Segment;
use crate::http::risk::{Match, Moment as RuleMoment};
use crate::http::state::Edge;
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use domain::risk::{EntryKind, Rule};
use domain::{OperatorRole, UserId};
use hyper::StatusCode;
use serde_json::json;
use std::sync::Arc;

/// Entries of one page.
const PAGE: usize = 50;
/// Matches that are shown.
const MATCHES_SHOWN: usize = 20;

#[derive(Template)]
#[template(path = "console/rules.html")]
struct Rules {
    shell: ConsoleShell,
    errors: FormErrors,
    documents: Vec<Document>,
    /// None if the store does not answer.
    entries: Option<Vec<EntryRow>>,
    older: Option<u64>,
    found: Vec<FoundRow>,
    typed: EntryFields,
    lists: Vec<(&'static str, String)>,
    zone: String,
    may_change: bool,
    may_list: bool,
}

struct EntryRow {
    number: u64,
    list: String,
    value: String,
    note: String,
    expires_at: Option<Moment>,
    has_ended: bool,
    actor: String,
}

struct FoundRow {
    at: Moment,
    rule: String,
    mode: String,
    action: String,
    moment: String,
    buyer: String,
    address: String,
}

/// An entry in a form.
#[derive(Default)]
struct EntryFields {
    list: String,
    value: String,
    note: String,
    expires_at: String,
}

/// Shows rules, lists and matches.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    visit.user.require_reader()?;
    let before = place(query.starting_after.as_deref())?;
    let errors = FormErrors::default();
    page(&edge, &visit, StatusCode::OK, before, errors, EntryFields::default()).await
}

async fn page(
    edge: &Edge,
    visit: &Visit,
    status: StatusCode,
    before: Option<u64>,
    errors: FormErrors,
    typed: EntryFields,
) -> Result<Response, Problem> {
    let words = visit.words;
    let documents: Result<Vec<Document>, Problem> =
        NAMES.into_iter().map(|name| document(edge, visit, name)).collect();
    let (entries, older) = match edge.settings.entries(before, PAGE + 1).await {
        Ok(mut entries) => {
            let has_more = entries.len() > PAGE;
            entries.truncate(PAGE);
            let older = entries.last().map(|listed| listed.entry_id).filter(|_| has_more);
            (Some(entries), older)
        }
        Err(SettingsError::Store(_)) => (None, None),
        Err(error) => return Err(error.into()),
    };
    let now = edge.engine.now();
    let row = |listed: ListedEntry| EntryRow {
        number: listed.entry_id,
        list: list_name(words, listed.entry.kind.list()),
        value: listed.entry.kind.value(),
        has_ended: listed.entry.has_ended(now),
        note: listed.entry.note,
        expires_at: listed.entry.expires_at.map(|at| visit.moment(edge, at)),
        actor: listed.actor,
    };
    let found = edge.risk.matches().into_iter().take(MATCHES_SHOWN);
    let page = Rules {
        shell: visit.frame(edge, words.console_rules(), Section::Rules),
        errors,
        documents: documents?,
        entries: entries.map(|entries| entries.into_iter().map(row).collect()),
        older,
        found: found.map(|found| found_row(edge, visit, &found)).collect(),
        typed,
        lists: EntryKind::LISTS.map(|list| (list, list_name(words, list))).into(),
        zone: edge.options.pages.utc_offset.to_string(),
        may_change: visit.user.roles.allow(OperatorRole::Admin),
        may_list: visit.user.roles.allow(OperatorRole::Operator),
    };
    visit.page(edge, status, &page)
}

fn found_row(edge: &Edge, visit: &Visit, found: &Match) -> FoundRow {
    let words = visit.words;
    FoundRow {
        at: visit.moment(edge, found.at),
        rule: rule_name(words, found.rule),
        mode: choice_name(words, found.mode.name()),
        action: choice_name(words, found.action.name()),
        moment: match found.moment {
            RuleMoment::Purchase => words.moment_purchase(),
            RuleMoment::Challenge => words.moment_challenge(),
            RuleMoment::Token => words.moment_token(),
            RuleMoment::LogIn => words.moment_log_in(),
            RuleMoment::Registration => words.moment_registration(),
        },
        buyer: found.person.user_id.as_ref().map(UserId::to_string).unwrap_or_default(),
        address: found.person.address.to_string(),
    }
}

fn rule_name(words: Words, rule: Rule) -> String {
    match rule {
        Rule::DenyUser => words.rule_deny_user(),
        Rule::DenyAddress => words.rule_deny_address(),
        Rule::AccountsPerAddress => words.rule_accounts_per_address(),
        Rule::TokensPerUser => words.rule_tokens_per_user(),
        Rule::FailedChallenges => words.rule_failed_challenges(),
        Rule::AccountAge => words.rule_account_age(),
    }
}

fn list_name(words: Words, list: &str) -> String {
    match list {
        "deny_user" => words.list_deny_user(),
        "deny_address" => words.list_deny_address(),
        _ => words.list_allow_address(),
    }
}

/// Adds an entry, or says what is wrong with it.
pub async fn add(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let typed = |name: &str| entered.text(name).trim().to_owned();
    let fields = EntryFields {
        list: typed("list"),
        value: typed("value"),
        note: typed("note"),
        expires_at: typed("expires_at"),
    };
    let mut body = json!({ "list": fields.list, "value": fields.value });
    if !fields.note.is_empty() {
        body["note"] = json!(fields.note);
    }
    if !fields.expires_at.is_empty() {
        body["expires_at"] = json!(instant(edge.options.pages.utc_offset, &fields.expires_at));
    }
    let mut problems = FieldErrors::default();
    let now = edge.engine.now();
    let entry = risk::read(body, "", now, &mut problems);
    let mut errors = FormErrors::default();
    for problem in &problems.shown {
        let (field, words) = (problem.pointer.trim_start_matches('/'), visit.words);
        let message = match field {
            "value" if fields.list == EntryKind::LISTS[0] => words.entry_user_rule(),
            "value" => words.entry_address_rule(),
            "note" => words.entry_note_rule(),
            "expires_at" => words.entry_expires_rule(),
            _ => words.entry_list_rule(),
        };
        errors.push(field, message);
    }
    let Some(entry) = entry.filter(|_| errors.is_empty()) else {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return page(&edge, &visit, status, None, errors, fields).await;
    };
    edge.settings.add_entries(&[entry], &visit.user.name, now).await?;
    Ok(visit.lead_to(&edge, "/console/rules", Some("entry_added")))
}

/// Removes an entry.
pub async fn remove(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Segment(entry): Segment,
    _entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let entry_id = entry.parse().map_err(|_| Problem::not_found())?;
    edge.settings.remove_entry(entry_id, &visit.user.name, edge.engine.now()).await?;
    Ok(visit.lead_to(&edge, "/console/rules", Some("entry_removed")))
}
