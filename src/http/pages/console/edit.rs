//! Writing a sale: a new one, or another version of a draft.
//!
//! A form carries the version that it was made from. Saving over another one shows what has changed since,
//! and does nothing until it is saved again.

use super::sale_fields::{Difference, SaleFields, errors_of, guards};
use super::shell::{ConsoleShell, Section};
use super::visit::Visit;
use crate::http::admin::{draft, media};
use crate::http::pages::form::{Form, FormErrors};
use crate::http::problem::{Code, Problem};
use crate::http::request::idempotency_key::{form_key, named_key};
use crate::http::request::path::Id;
use crate::http::state::Edge;
use crate::sales::{Base, Change};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::catalogue::{ITEMS_PER_SALE_MAX, Sale};
use domain::{OperatorRole, SaleId, SaleStatus};
use hyper::StatusCode;
use std::sync::Arc;

/// Pictures that are made small for one form: each may take a second.
const PICTURES_MAX: usize = 8;

/// The page with the form.
#[derive(Template)]
#[template(path = "console/edit.html")]
struct Edit {
    shell: ConsoleShell,
    errors: FormErrors,
    fields: SaleFields,
    /// The sale that is edited; none for a new one.
    sale: Option<u64>,
    /// The revision that the form was made from.
    revision: u64,
    /// The version that the form was made from, as JSON.
    seen: String,
    /// The form's own name, by which a repeat is recognised.
    key: String,
    conflict: Option<Conflict>,
    zone: String,
    may_add: bool,
    guards: Vec<(&'static str, String)>,
    /// Millions of bytes that pictures may have together.
    megabytes: u64,
    /// The same in bytes, for the script that looks before they are sent.
    picture_bytes_max: usize,
}

impl Edit {
    /// What the item at this place is called, counted from 1.
    fn number(&self, place: &usize) -> String {
        self.shell.words.offer_number(*place as u64 + 1)
    }

    /// What the button says that removes it.
    fn removal(&self, place: &usize) -> String {
        self.shell.words.offer_remove(*place as u64 + 1)
    }
}

/// What somebody else changed since the form was made.
struct Conflict {
    by: String,
    changes: Vec<Difference>,
}

/// Returns how many millions of bytes pictures may have together.
fn megabytes(edge: &Edge) -> u64 {
    edge.live_options.picture_bytes_max() as u64 / 1_000_000
}

/// Shows an empty form.
pub async fn create(State(edge): State<Arc<Edge>>, visit: Visit) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let form = Filled { fields: SaleFields::blank(), ..Filled::new(None) };
    show(&edge, &visit, StatusCode::OK, form)
}

/// Shows the form with a draft in it.
pub async fn edit(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let sale = edge.sales.sale(sale_id).await?;
    if sale.status != SaleStatus::Draft {
        return Ok(visit.lead_to(&edge, &format!("/console/sales/{sale_id}"), None));
    }
    show(&edge, &visit, StatusCode::OK, Filled::of(&edge, &sale))
}

/// What the page's form is filled with.
struct Filled {
    sale: Option<u64>,
    fields: SaleFields,
    revision: u64,
    seen: String,
    errors: FormErrors,
    conflict: Option<Conflict>,
}

impl Filled {
    fn new(sale: Option<u64>) -> Self {
        Self {
            sale,
            fields: SaleFields::default(),
            revision: 0,
            seen: String::new(),
            errors: FormErrors::default(),
            conflict: None,
        }
    }

    fn of(edge: &Edge, sale: &Sale) -> Self {
        let fields = SaleFields::of(sale, edge.options.pages.utc_offset);
        let seen = serde_json::to_string(&fields).unwrap_or_default();
        Self { fields, seen, revision: sale.revision, ..Self::new(Some(sale.sale_id.0)) }
    }

    /// What was sent.
    fn sent(form: &Form, sale: Option<u64>) -> Self {
        Self {
            fields: SaleFields::read(form),
            seen: form.text("seen").to_owned(),
            revision: form.text("revision").parse().unwrap_or(0),
            ..Self::new(sale)
        }
    }
}

fn show(edge: &Edge, visit: &Visit, status: StatusCode, form: Filled) -> Result<Response, Problem> {
    let words = visit.words;
    let title = match form.sale {
        None => words.sale_new(),
        Some(_) => words.sale_edit(),
    };
    let may_add = form.fields.items.len() < ITEMS_PER_SALE_MAX;
    let page = Edit {
        shell: visit.frame(edge, title, Section::Sales),
        errors: form.errors,
        fields: form.fields,
        sale: form.sale,
        revision: form.revision,
        seen: form.seen,
        key: form_key(),
        conflict: form.conflict,
        zone: edge.options.pages.utc_offset.to_string(),
        may_add,
        guards: guards(words),
        megabytes: megabytes(edge),
        picture_bytes_max: edge.live_options.picture_bytes_max(),
    };
    visit.page(edge, status, &page)
}

/// Makes the draft, or says what is wrong.
pub async fn submit_new(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    entered: Form,
) -> Result<Response, Problem> {
    save(&edge, &visit, &entered, None).await
}

/// Saves the draft, or says what is wrong or what changed meanwhile.
pub async fn submit_edit(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    Id(sale_id): Id<SaleId>,
    entered: Form,
) -> Result<Response, Problem> {
    save(&edge, &visit, &entered, Some(sale_id)).await
}

async fn save(
    edge: &Edge,
    visit: &Visit,
    entered: &Form,
    sale_id: Option<SaleId>,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let mut form = Filled::sent(entered, sale_id.map(|sale_id| sale_id.0));
    keep_pictures(edge, visit, entered, &mut form).await?;
    if !form.errors.is_empty() {
        return show(edge, visit, StatusCode::UNPROCESSABLE_ENTITY, form);
    }
    if ["add", "remove", "upload"].iter().any(|button| entered.has(button)) {
        return show(edge, visit, StatusCode::OK, form);
    }
    let now = edge.engine.now();
    let body = form.fields.body(edge.options.pages.utc_offset);
    let read = draft::read(body, now, edge.engine.buckets_max());
    let draft = match read {
        Ok(draft) => draft,
        Err(problem) if problem.code == Code::InvalidField => {
            form.errors = errors_of(visit.words, &problem.errors);
            return show(edge, visit, StatusCode::UNPROCESSABLE_ENTITY, form);
        }
        Err(problem) => return Err(problem),
    };
    let operator = visit.user.name.as_str();
    let request_id = named_key(entered.text("key"), operator);
    let base = if sale_id.is_some() { Base::Revision(form.revision) } else { Base::Any };
    let change = Change { operator, at: now, base, request_id };
    let saved = match sale_id {
        None => edge.sales.create_sale(&edge.engine, &draft, change).await,
        Some(sale_id) => edge.sales.replace_sale(&edge.engine, sale_id, &draft, change).await,
    };
    match (saved.map_err(Problem::from), sale_id) {
        (Ok(changed), _) => {
            let path = format!("/console/sales/{}", changed.sale.sale_id);
            Ok(visit.lead_to(edge, &path, Some("saved")))
        }
        (Err(problem), Some(sale_id)) if problem.code == Code::RevisionConflict => {
            let present = edge.sales.sale(sale_id).await?;
            collide(edge, visit, form, &present)
        }
        (Err(problem), _) => Err(problem),
    }
}

/// Keeps the pictures that were chosen and puts their names into the form, or what is wrong with them.
async fn keep_pictures(
    edge: &Edge,
    visit: &Visit,
    entered: &Form,
    form: &mut Filled,
) -> Result<(), Problem> {
    let words = visit.words;
    let mut bytes_sum = 0;
    for (count, (field, bytes)) in entered.files().enumerate() {
        let Some(place) = SaleFields::place_of_file(entered, field) else { continue };
        let Some(offer) = form.fields.items.get_mut(place) else { continue };
        bytes_sum += bytes.len();
        let kept = if bytes_sum > edge.live_options.picture_bytes_max() {
            Err(Problem::new(Code::BodyTooLarge, "too many bytes of pictures at once"))
        } else if count >= PICTURES_MAX {
            Err(Problem::new(Code::Overloaded, "too many pictures at once"))
        } else {
            media::keep(edge, &visit.user.name, bytes.clone()).await
        };
        let message = match kept {
            Ok(kept) => {
                offer.picture = kept.picture;
                continue;
            }
            Err(problem) => match problem.code {
                Code::BodyTooLarge => words.rule_pictures_large(megabytes(edge)),
                Code::InvalidField => words.rule_picture_file(),
                Code::Overloaded => words.rule_pictures_wait(),
                Code::StateConflict => words.rule_pictures_full(),
                _ => return Err(problem),
            },
        };
        let message = words.rule_of_item(place as u64 + 1, &message);
        form.errors.push(format!("items-{place}-picture"), message);
    }
    Ok(())
}

/// Shows the form again, beside what was changed since it was made. Saved once more, it replaces that.
fn collide(edge: &Edge, visit: &Visit, form: Filled, present: &Sale) -> Result<Response, Problem> {
    let theirs = Filled::of(edge, present);
    let seen: SaleFields = serde_json::from_str(&form.seen).unwrap_or_default();
    let changes = seen.differences(&theirs.fields, visit.words);
    let conflict = Conflict { by: present.edited_by.clone(), changes };
    let form = Filled { conflict: Some(conflict), fields: form.fields, ..theirs };
    show(edge, visit, StatusCode::PRECONDITION_FAILED, form)
}
