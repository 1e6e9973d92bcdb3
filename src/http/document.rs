//! The OpenAPI document: what holds for the whole API, added to what `routes.rs` collects from the
//! handlers' own declarations.
//!
//! Must not know the handlers.

use super::illustration::illustrate;
use super::options::Options;
use super::problem::{Code, ProblemView};
use std::collections::HashMap;
use utoipa::openapi::example::Example;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, ContentBuilder, Object, Ref, RefOr, Response, Schema};
use utoipa::{OpenApi, openapi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "seckill",
        description = "A flash-sale engine. Identities are decimal strings, money is an integer \
            in minor units of its currency, times are RFC 3339 in UTC. What goes wrong is told as \
            `application/problem+json` with a `code`; a 503 says with `Retry-After` when to try \
            again. Buyers get their token from `POST /api/v1/login`, operators from `seckill mint`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemView)),
    tags(
        (name = "orders", description = "Buying, and what becomes of orders"),
        (name = "payments", description = "Providers tell what became of payments"),
        (name = "sales", description = "What is on sale, and when"),
        (name = "users", description = "Buyers register and log in"),
        (name = "operators", description = "Making and running sales"),
        (name = "operations", description = "Health, and what codes mean"),
    )
)]
struct Document;

/// Returns the document without any operation.
pub fn begin() -> openapi::OpenApi {
    Document::openapi()
}

/// Completes the document: adds the security scheme, each operation's identity and its problems, and
/// the limits that are settings.
pub fn complete(document: &mut openapi::OpenApi, options: &Options) {
    let components = document.components.get_or_insert_default();
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.bearer_format = Some("JWT".to_owned());
    bearer.description = Some("From `POST /api/v1/login`, or `seckill mint`".to_owned());
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    if let Some(delay) = components
        .schemas
        .get_mut("SandboxPayment")
        .and_then(|schema| property_mut(schema, "delay_ms"))
    {
        let delay_ms_max = usize::try_from(options.sandbox_delay_max.as_millis());
        delay.maximum = delay_ms_max.ok().map(Into::into);
    }
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations_mut(item) {
            operation.operation_id = Some(operation_id(method, path));
            state_optional_body(operation);
            state_problems(operation);
        }
    }
    complete_links(document);
    illustrate(document);
}

/// Gives each link that names an operation alone what is the same for all of them: the operation's own
/// summary, and of each identity in its path the one that the response's body shows.
fn complete_links(document: &mut openapi::OpenApi) {
    let mut targets = HashMap::new();
    for (path, item) in &mut document.paths.paths {
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let names: Vec<String> = names.map(str::to_owned).collect();
        for (_, operation) in operations_mut(item) {
            let id = operation.operation_id.clone().unwrap_or_default();
            targets.insert(id, (operation.summary.clone().unwrap_or_default(), names.clone()));
        }
    }
    let operations = document.paths.paths.values_mut().flat_map(operations_mut);
    let responses =
        operations.flat_map(|(_, operation)| operation.responses.responses.values_mut());
    let links = responses.filter_map(present).flat_map(|response| response.links.values_mut());
    for link in links.filter_map(present) {
        let Some((summary, names)) = targets.get(&link.operation_id) else { continue };
        if link.description.is_empty() {
            link.description.clone_from(summary);
        }
        if link.parameters.is_empty() {
            let shown = |name: &String| format!("$response.body#/{name}_id").into();
            link.parameters = names.iter().map(|name| (name.clone(), shown(name))).collect();
        }
    }
}

/// Returns what is here, and not a reference to it.
fn present<T>(entry: &mut RefOr<T>) -> Option<&mut T> {
    match entry {
        RefOr::T(here) => Some(here),
        RefOr::Ref(_) => None,
    }
}

fn property_mut<'a>(schema: &'a mut RefOr<Schema>, name: &str) -> Option<&'a mut Object> {
    let RefOr::T(Schema::Object(object)) = schema else { return None };
    match object.properties.get_mut(name)? {
        RefOr::T(Schema::Object(property)) => Some(property),
        _ => None,
    }
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    [("get", get), ("put", put), ("post", post), ("delete", delete)]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Returns an operation's identity: `post_items_item_buy` for `POST /api/v1/items/{item}/buy`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path
        .split('/')
        .map(|word| word.trim_matches(['{', '}']).replace(['-', '.'], "_"))
        .filter(|word| !matches!(word.as_str(), "" | "api" | "v1"));
    [method.to_owned()].into_iter().chain(words).collect::<Vec<_>>().join("_")
}

/// Gives a body that may be left out its own schema: it is declared as one that may be `null`, which
/// it may not be.
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

/// Adds the problems that every operation of its kind may answer with, and gives each problem its
/// body, with an example for each code that its description names.
fn state_problems(operation: &mut Operation) {
    let mut statuses = vec![("default", "Any other problem")];
    if operation.security.is_some() {
        statuses.push(("401", "`unauthenticated`: there is no token, or it is not accepted"));
        statuses.push(("403", "`forbidden`: the token does not allow this"));
        statuses
            .push(("503", "`overloaded`, `outcome_unknown`, `shutting_down`: see `Retry-After`"));
    }
    if operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty()) {
        statuses.push(("404", "Nothing has this identity"));
        statuses.push(("422", "`invalid_field`: a parameter, header or field is not valid"));
    }
    if operation.request_body.is_some() {
        statuses.push(("400", "`malformed_json`: the body is not JSON"));
        statuses.push(("413", "`body_too_large`"));
        statuses.push(("415", "`unsupported_media_type`: send plain `application/json`"));
        statuses.push(("422", "`invalid_field`: a parameter, header or field is not valid"));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in statuses {
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Response::new(description)));
    }
    for (status, response) in responses {
        let RefOr::T(response) = response else { continue };
        let is_problem = !status.starts_with(['1', '2', '3']);
        if is_problem && response.content.is_empty() {
            let problem = problem_content(&response.description);
            response.content.insert("application/problem+json".to_owned(), RefOr::T(problem));
        }
    }
}

fn problem_content(description: &str) -> Content {
    let mut content =
        ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name("Problem")))).build();
    // Every other piece between back-quotes is code.
    for code in description.split('`').skip(1).step_by(2).filter_map(Code::from_name) {
        let mut example = Example::new();
        code.title().clone_into(&mut example.summary);
        example.value = Some(ProblemView::example(code));
        content.examples.insert(code.name().to_owned(), RefOr::T(example));
    }
    content
}
