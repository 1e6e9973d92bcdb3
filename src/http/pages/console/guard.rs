//! Guarding an item that is on sale, or letting everybody buy it again.

use super::live::{refuse, requester};
use super::sale_fields::{GuardFields, guards};
use super::shell::{ConsoleShell, Section};
use super::visit::Visit;
use crate::http::admin::guard;
use crate::http::admin::operations::{gate_of, operate_item};
use crate::http::pages::form::{Form, FormErrors};
use crate::http::problem::{FieldErrors, Problem};
use crate::http::request::idempotency_key::form_key;
use crate::http::request::path::SaleAndItem;
use crate::http::state::Edge;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::{ItemAction, OperatorRole};
use hyper::StatusCode;
use serde_json::{Map, Value};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "console/guard.html")]
struct Guard {
    shell: ConsoleShell,
    errors: FormErrors,
    sale: u64,
    item: u64,
    title: String,
    fields: GuardFields,
    guards: Vec<(&'static str, String)>,
    key: String,
}

/// Shows how the item is guarded, as a form.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    path: SaleAndItem,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let gate = gate_of(&edge, path.0, path.1).await?;
    let fields = GuardFields::of(gate.admission());
    page(&edge, &visit, StatusCode::OK, path, fields, FormErrors::default()).await
}

async fn page(
    edge: &Edge,
    visit: &Visit,
    status: StatusCode,
    SaleAndItem(sale_id, item_id): SaleAndItem,
    fields: GuardFields,
    errors: FormErrors,
) -> Result<Response, Problem> {
    let gate = gate_of(edge, sale_id, item_id).await?;
    let title = edge.titles.title(&edge.sales, &gate).await;
    let product = gate.terms().product_id.to_string();
    let page = Guard {
        shell: visit.frame(edge, visit.words.guard_title(), Section::Sales),
        errors,
        sale: sale_id.0,
        item: item_id.0,
        title: title.map_or(product, |title| title.title.to_string()),
        fields,
        guards: guards(visit.words),
        key: form_key(),
    };
    visit.page(edge, status, &page)
}

/// Guards it, or says what is wrong.
pub async fn submit(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    path: SaleAndItem,
    entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let gate = gate_of(&edge, path.0, path.1).await?;
    let fields = GuardFields {
        guard: entered.text("challenge").to_owned(),
        lead_seconds: entered.text("lead_seconds").to_owned(),
        spread_milliseconds: entered.text("spread_milliseconds").to_owned(),
    };
    let body = match fields.body() {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    let mut problems = FieldErrors::default();
    let admission = guard::read(body, "", gate.terms().window_milliseconds(), &mut problems);
    let mut errors = FormErrors::default();
    for problem in &problems.shown {
        let field = problem.pointer.trim_start_matches('/');
        let message = match field {
            "lead_seconds" => visit.words.rule_lead(),
            "spread_milliseconds" => visit.words.rule_spread(),
            _ => visit.words.rule_guard(),
        };
        errors.push(field, message);
    }
    if !errors.is_empty() {
        return page(&edge, &visit, StatusCode::UNPROCESSABLE_ENTITY, path, fields, errors).await;
    }
    let sale_id = path.0;
    let action = ItemAction::Admit(admission);
    match operate_item(&edge, &requester(&visit, &entered), path, action).await {
        Ok(_) => {
            let path = format!("/console/sales/{sale_id}/live");
            Ok(visit.lead_to(&edge, &path, Some("guarded")))
        }
        Err(problem) => refuse(&edge, &visit, sale_id, problem).await,
    }
}
