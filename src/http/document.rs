//! The API's document: OpenAPI 3.1 from the handlers' own declarations, a page to read it with, and
//! a page for each code of a problem.

use super::error::{Code, Problem};
use super::{admin, buy, document, events, health, items, orders, sales, time, users};
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use serde::Serialize;
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, ContentBuilder, Ref, RefOr, ResponseBuilder, Schema};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_swagger_ui::Config;

/// The page's own address; its files are below it.
pub const DOCS: &str = "/docs";
const DOCUMENT: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "seckill",
        description = "A flash-sale engine. Identities are decimal strings, money is an integer \
            in minor units, times are RFC 3339 in UTC. What goes wrong is `application/problem+json` \
            with a `code`; a 503 says with `Retry-After` when to come back.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        buy::handle,
        orders::list, orders::show, orders::pay, orders::cancel, events::watch,
        items::show, sales::list, sales::show, time::show,
        users::register, users::log_in,
        admin::sales::create, admin::sales::list, admin::sales::show, admin::sales::replace,
        admin::sales::delete, admin::sales::submit, admin::sales::withdraw,
        admin::sales::approve, admin::sales::reject, admin::sales::revise,
        admin::sales::check_preheat,
        admin::operations::pause, admin::operations::resume, admin::operations::end,
        admin::operations::restock,
        admin::orders::list, admin::log::list,
        health::live, health::ready, health::metrics, document::problem,
    ),
    components(schemas(ProblemView)),
    modifiers(&Whole),
    tags(
        (name = "orders", description = "Buying, and what became of it"),
        (name = "sales", description = "What is on sale, and when"),
        (name = "users", description = "Buyers register and log in"),
        (name = "operators", description = "Making and running sales"),
        (name = "operations", description = "Health, metrics, codes"),
    )
)]
struct Document;

/// What holds for every operation.
struct Whole;

impl Modify for Whole {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.bearer_format = Some("JWT".to_owned());
        bearer.description = Some("From `POST /api/v1/login`, or `seckill mint`".to_owned());
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                operation.operation_id = Some(operation_id(method, path));
                state_optional_body(operation);
                add_problems(operation);
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    [("get", get), ("put", put), ("post", post), ("delete", delete)]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn operation_id(method: &str, path: &str) -> String {
    let words = path
        .split('/')
        .map(|word| word.trim_matches(['{', '}']).replace(['-', '.'], "_"))
        .filter(|word| !matches!(word.as_str(), "" | "api" | "v1"));
    [method.to_owned()].into_iter().chain(words).collect::<Vec<_>>().join("_")
}

/// A body that may be left out is written as one that may be `null`, which it may not.
fn state_optional_body(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        let RefOr::T(Content { schema, .. }) = content else { continue };
        if let Some(RefOr::T(Schema::OneOf(alternatives))) = schema {
            let body = alternatives.items.iter().find(|item| matches!(item, RefOr::Ref(_)));
            *schema = body.cloned();
        }
    }
}

fn add_problems(operation: &mut Operation) {
    let problem = |description: &str| {
        let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
        RefOr::T(
            ResponseBuilder::new()
                .description(description)
                .content(
                    "application/problem+json",
                    ContentBuilder::new().schema(Some(schema)).build(),
                )
                .build(),
        )
    };
    let mut statuses = vec![("default", "Any other problem")];
    if operation.security.is_some() {
        statuses.push(("401", "`unauthenticated`: no token, or not a good one"));
        statuses.push(("403", "`forbidden`: the token's bearer may not do this"));
        statuses.push(("503", "Try again after `Retry-After` seconds"));
    }
    if operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty()) {
        statuses.push(("404", "There is none of this identity"));
        statuses.push(("422", "`invalid_field`: a parameter, header or field is not valid"));
    }
    if operation.request_body.is_some() {
        statuses.push(("400", "`malformed_json`: the body is not JSON"));
        statuses.push(("413", "`body_too_large`"));
        statuses.push(("415", "`unsupported_media_type`: send plain `application/json`"));
        statuses.push(("422", "`invalid_field`: a parameter, header or field is not valid"));
    }
    for (status, description) in statuses {
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_owned()).or_insert_with(|| problem(description));
    }
}

static RENDERED: LazyLock<Bytes> =
    LazyLock::new(|| Document::openapi().to_json().unwrap_or_default().into());

static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::new([DOCUMENT]).try_it_out_enabled(true)));

/// The document.
pub async fn show() -> Response {
    ([(CONTENT_TYPE, "application/json")], RENDERED.clone()).into_response()
}

/// The page without its trailing slash.
pub async fn redirect() -> Redirect {
    Redirect::permanent("/docs/")
}

/// The page itself.
pub async fn index() -> Result<Response, Problem> {
    page("")
}

/// A file of the page.
pub async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    page(&name)
}

fn page(name: &str) -> Result<Response, Problem> {
    let file = utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)).ok().flatten();
    let file = file.ok_or_else(Problem::not_found)?;
    let bytes = match file.bytes {
        // Not copied: a copy for each client that reads slowly would add up to gigabytes.
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Ok(([(CONTENT_TYPE, file.content_type)], bytes).into_response())
}

/// A problem as it is documented; `error.rs` renders the same fields.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView {
    /// Where the code is explained.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The status again.
    pub status: u16,
    /// What went wrong, for programs.
    pub code: String,
    /// What went wrong, for people.
    pub detail: String,
    /// When the sale starts; with `sale_not_started`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub starts_at: Option<String>,
    /// The fields that are wrong; with `invalid_field`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<FieldErrorView>>,
    /// The request's identity, as in `X-Request-Id`.
    pub request_id: String,
}

/// A field that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub struct FieldErrorView {
    /// JSON Pointer into the body, or the name of a parameter or header.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What a code means: where a problem's `type` leads.
#[utoipa::path(
    get, path = "/problems/{code}", tag = "operations",
    params(("code" = String, Path, description = "A problem's code")),
    responses((status = 200, description = "The code in words", body = String,
        content_type = "text/plain"))
)]
pub async fn problem(Path(name): Path<String>) -> Result<String, Problem> {
    let code = Code::from_name(&name).ok_or_else(Problem::not_found)?;
    Ok(format!(
        "{} {}\n{}.\n{}\n",
        code.status().as_u16(),
        code.name(),
        code.title(),
        code.meaning()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::HashSet;

    fn document() -> Value {
        serde_json::from_slice(&RENDERED).unwrap()
    }

    #[test]
    fn it_is_openapi_3_1_and_every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(object) => {
                    for (key, value) in object {
                        match value.as_str() {
                            Some(target) if key == "$ref" => found.push(target.to_owned()),
                            _ => references(value, found),
                        }
                    }
                }
                Value::Array(array) => array.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
        }
    }

    #[test]
    fn every_operation_has_its_own_name_and_says_how_it_fails() {
        let document = document();
        let mut names = HashSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                assert!(names.insert(name.clone()), "{name} is there twice");
                assert!(operation["responses"]["default"].is_object(), "{method} {path}");
            }
        }
        assert!(names.contains("post_items_item_buy"), "{names:?}");
    }

    #[test]
    fn the_page_and_its_files_are_built_in() {
        for name in ["", "swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
            assert!(page(name).is_ok(), "{name:?}");
        }
        assert!(page("nothing.js").is_err());
    }
}
