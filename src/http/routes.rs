//! The table of routes. Each is declared once, with its path and method at its handler: the router
//! and the OpenAPI document are both made of this table.
//!
//! A purchase is in it for the document and for `Allow`; the service answers it before it gets here.

use super::edge::sliced::SharedBytes;
use super::options::Options;
use super::pages::{console, docs, files, media, shop};
use super::problem::{Code, Problem};
use super::request::query::Declared;
use super::state::{Edge, OnOperations};
use super::{admin, api, document, operations};
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::{Method, StatusCode, Uri};
use std::sync::Arc;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Makes the router over all routes.
pub fn router(edge: Arc<Edge>) -> Router {
    let (router, document) = documented(&edge.options);
    let declared = Declared::of(&document);
    let document = Bytes::from(document.to_json().unwrap_or_default());
    router
        .route_layer(from_fn(move |request, next| declared.clone().check(request, next)))
        .merge(pages(document))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Bodies are limited where they are read.
        .layer(DefaultBodyLimit::disable())
        .with_state(edge)
}

/// Makes the router of the operations listener.
pub fn operations_router(edge: Arc<Edge>) -> Router {
    Router::new()
        .route("/livez", get(api::health::live))
        .route("/readyz", get(operations::ready))
        .route("/metrics", get(operations::metrics))
        .merge(console::routes())
        .route("/assets/{build}/{name}", get(files::asset))
        // The console shows pictures of items.
        .route("/media/{picture}", get(media::show))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Bodies are limited where they are read.
        .layer(DefaultBodyLimit::disable())
        .layer(Extension(OnOperations))
        .with_state(edge)
}

/// Returns the routes of the API, and the document that they make.
fn documented(options: &Options) -> (Router<Arc<Edge>>, OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(document::begin())
        .merge(buyers())
        .merge(operators())
        .merge(changeable())
        .merge(operation())
        .split_for_parts();
    document::complete(&mut document, options);
    (router, document)
}

fn buyers() -> OpenApiRouter<Arc<Edge>> {
    use api::{
        buy, buy_tokens, exchange, items, order_events, orders, pay, payment_callbacks, sales,
        session, time, users, visits,
    };
    OpenApiRouter::default()
        .routes(routes!(items::show))
        .routes(routes!(buy::handle))
        .routes(routes!(buy::handle_with_token))
        .routes(routes!(buy_tokens::issue))
        .routes(routes!(buy_tokens::challenge))
        .routes(routes!(orders::list))
        .routes(routes!(orders::show))
        .routes(routes!(pay::pay))
        .routes(routes!(orders::cancel))
        .routes(routes!(payment_callbacks::note))
        .routes(routes!(order_events::watch))
        .routes(routes!(sales::list))
        .routes(routes!(sales::show))
        .routes(routes!(time::show))
        .routes(routes!(users::register))
        .routes(routes!(users::log_in))
        .routes(routes!(visits::count))
        .routes(routes!(exchange::exchange))
        .routes(routes!(session::renew))
        .routes(routes!(users::change_password))
}

fn operators() -> OpenApiRouter<Arc<Edge>> {
    use admin::{
        admission, approval, cluster, dead_letters, log, media, operations, operators, orders,
        preheat, refunds, sales,
    };
    OpenApiRouter::default()
        .routes(routes!(sales::list, sales::create))
        .routes(routes!(sales::show, sales::replace, sales::delete))
        .routes(routes!(approval::submit))
        .routes(routes!(approval::withdraw))
        .routes(routes!(approval::approve))
        .routes(routes!(approval::reject))
        .routes(routes!(approval::revise))
        .routes(routes!(preheat::show))
        .routes(routes!(operations::pause))
        .routes(routes!(operations::resume))
        .routes(routes!(operations::end))
        .routes(routes!(operations::restock))
        .routes(routes!(operations::reduce))
        .routes(routes!(orders::list_of_sale))
        .routes(routes!(admission::set))
        .routes(routes!(orders::list))
        .routes(routes!(cluster::show))
        .routes(routes!(cluster::drain))
        .routes(routes!(cluster::undrain))
        .routes(routes!(cluster::move_shard))
        .routes(routes!(cluster::rebalance))
        .routes(routes!(refunds::list))
        .routes(routes!(refunds::settle))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::show))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(operators::list))
        .routes(routes!(operators::disable))
        .routes(routes!(operators::enable))
        .routes(routes!(log::list))
        .routes(routes!(media::add))
}

/// What operators change while the shop runs.
fn changeable() -> OpenApiRouter<Arc<Edge>> {
    use admin::{risk, settings, webhooks};
    OpenApiRouter::default()
        .routes(routes!(settings::show, settings::replace))
        .routes(routes!(settings::history))
        .routes(routes!(settings::rollback))
        .routes(routes!(settings::show_rules, settings::replace_rules))
        .routes(routes!(risk::list, risk::add))
        .routes(routes!(risk::remove))
        .routes(routes!(risk::matches))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::show, webhooks::replace, webhooks::delete))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::enable))
        .routes(routes!(webhooks::disable))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::replay))
}

fn operation() -> OpenApiRouter<Arc<Edge>> {
    use api::{health, problems};
    OpenApiRouter::default()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(problems::list))
        .routes(routes!(problems::show))
}

/// Returns the routes that the document leaves out, because they are for browsers: pages, and the
/// document itself.
fn pages(document: Bytes) -> Router<Arc<Edge>> {
    let show_document = move || {
        let document = document.clone();
        async move { (Extension(SharedBytes), [(CONTENT_TYPE, "application/json")], document) }
    };
    Router::new()
        .merge(shop::routes())
        .merge(console::routes())
        .route("/media/{picture}", get(media::show))
        .route("/docs", get(docs::redirect))
        .route("/docs/", get(docs::index))
        .route("/docs/{*file}", get(docs::file))
        .route(docs::DOCUMENT, get(show_document))
}

/// Answers what has no route: `OPTIONS *`, which asks about the server as a whole, and the methods that no
/// path has.
async fn not_found(method: Method, uri: Uri) -> Response {
    /// The methods that some path has.
    const METHODS: &str = "GET,HEAD,POST,PUT,DELETE,OPTIONS";
    match method {
        Method::OPTIONS if uri.path() == "*" => {
            (StatusCode::NO_CONTENT, [(ALLOW, METHODS)]).into_response()
        }
        Method::CONNECT | Method::TRACE => {
            let problem = Problem::new(Code::MethodNotAllowed, "no path has this method");
            ([(ALLOW, METHODS)], problem).into_response()
        }
        _ => Problem::not_found().into_response(),
    }
}

/// Answers a method that the path does not have; axum adds the path's methods in `Allow`.
async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(Code::MethodNotAllowed, "see Allow for the methods of this path").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::buy;
    use serde_json::{Map, Value, json};
    use std::collections::{BTreeMap, BTreeSet};

    fn document() -> Value {
        serde_json::to_value(documented(&Options::default()).1).unwrap()
    }

    /// Every operation of the document, by its identity, with its method and path.
    fn operations(document: &Value) -> BTreeMap<String, (String, String, Value)> {
        let mut found = BTreeMap::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                let place = (method.to_uppercase(), path.clone(), operation.clone());
                assert!(found.insert(id.clone(), place).is_none(), "{id} is there twice");
            }
        }
        found
    }

    fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
        static NOTHING: std::sync::LazyLock<Map<String, Value>> =
            std::sync::LazyLock::new(Map::new);
        value.as_object().unwrap_or(&NOTHING).iter()
    }

    /// The links of an operation's successful responses.
    fn links(operation: &Value) -> impl Iterator<Item = (&String, &Value)> {
        object(&operation["responses"])
            .filter(|(status, _)| status.starts_with('2'))
            .flat_map(|(_, response)| object(&response["links"]))
    }

    /// The paths of a router, which it tells only in its debug form, without those of its fallback.
    fn paths(router: &Router<Arc<Edge>>) -> BTreeSet<String> {
        let all = |router: &Router<Arc<Edge>>| {
            let text = format!("{router:?}");
            let quoted = text.split('"').skip(1).step_by(2);
            quoted.filter(|text| text.starts_with('/')).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut paths = all(router);
        for path in all(&Router::new()) {
            let place = paths.iter().position(|found| *found == path);
            paths.swap_remove(place.expect("every router has a fallback"));
        }
        paths.into_iter().collect()
    }

    #[test]
    fn what_is_served_is_in_the_document_but_for_pages() {
        let (router, document) = documented(&Options::default());
        let shown: BTreeSet<String> = document.paths.paths.keys().cloned().collect();
        assert_eq!(paths(&router), shown);
        assert!(shown.contains("/api/v1/items/{item}/buy"));
        let pages = paths(&pages(Bytes::new()));
        assert!(
            ["/", "/zh/", "/en/", "/docs", "/openapi.json"].map(|path| pages.contains(path))
                == [true; 5]
        );
        assert!(pages.is_disjoint(&shown), "pages are for browsers, the document is for programs");
    }

    #[test]
    fn the_purchase_of_the_document_is_the_one_that_goes_past_the_router() {
        let document = document();
        for id in ["post_items_item_buy", "post_items_item_buy_buy_token"] {
            let (method, path, _) = &operations(&document)[id];
            let request = hyper::Request::builder()
                .method(method.as_str())
                .uri(path.replace("{item}", "21"))
                .body(())
                .unwrap();
            let named = buy::named(&request).unwrap();
            assert_eq!(named.item_id, Some(domain::ItemId(21)), "{id}");
        }
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
    fn every_operation_is_explained_and_has_examples() {
        let has_example =
            |content: &Value| !content["example"].is_null() || content["examples"].is_object();
        for (id, (_, _, operation)) in operations(&document()) {
            for text in ["summary", "description"] {
                let text = operation[text].as_str().unwrap_or_default();
                assert!(text.len() > 10 && text.ends_with('.'), "{id}: {text:?}");
            }
            for (kind, content) in object(&operation["requestBody"]["content"]) {
                assert!(has_example(content), "{id}: its {kind} body has no example");
            }
            assert!(operation["responses"]["default"].is_object(), "{id} never fails");
            for (status, response) in object(&operation["responses"]) {
                for (kind, content) in object(&response["content"]) {
                    let is_success = status.starts_with('2');
                    assert!(!is_success || has_example(content), "{id}: {status} {kind}");
                }
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{id}: {parameter}");
                assert!(!parameter["example"].is_null(), "{id}: {parameter}");
            }
        }
    }

    #[test]
    fn examples_have_the_fields_of_their_schemas() {
        let document = document();
        for (id, (_, _, operation)) in operations(&document) {
            let bodies = std::iter::once(&operation["requestBody"])
                .chain(object(&operation["responses"]).map(|(_, response)| response));
            for content in bodies.flat_map(|body| object(&body["content"])).map(|(_, c)| c) {
                let named = object(&content["examples"]).map(|(_, example)| &example["value"]);
                for example in std::iter::once(&content["example"]).chain(named) {
                    if !example.is_null() {
                        check(&document, &content["schema"], example, &id);
                    }
                }
            }
        }
    }

    #[test]
    fn every_component_has_an_example_that_it_allows() {
        let document = document();
        for (name, component) in object(&document["components"]["schemas"]) {
            let example = &component["examples"][0];
            assert!(!example.is_null(), "{name} has no example");
            check(&document, component, example, name);
        }
        let sale = &document["components"]["schemas"]["SaleRequest"]["examples"][0];
        assert_eq!(sale["title"], "双十一");
        assert_eq!(document["components"]["schemas"]["CurrencyCode"]["examples"], json!(["CNY"]));
    }

    /// Checks types, fields and bounds of an example; patterns are checked where they are declared.
    fn check(document: &Value, schema: &Value, example: &Value, place: &str) {
        if let Some(target) = schema["$ref"].as_str() {
            let target = document.pointer(target.strip_prefix('#').unwrap()).unwrap();
            return check(document, target, example, place);
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            check(document, part, example, place);
        }
        if let Some(alternatives) = schema["oneOf"].as_array() {
            let alternative = alternatives
                .iter()
                .find(|alternative| (alternative["type"] == "null") == example.is_null())
                .unwrap_or_else(|| panic!("{place}: no alternative for {example}"));
            return check(document, alternative, example, place);
        }
        let kind = match example {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let kinds = &schema["type"];
        let is_kind = |name: &str| name == kind || (name == "number" && kind == "integer");
        let is_right = match kinds {
            Value::Null => true,
            Value::Array(kinds) => kinds.iter().any(|name| is_kind(name.as_str().unwrap())),
            name => is_kind(name.as_str().unwrap()),
        };
        assert!(is_right, "{place}: {example} is not of the type {kinds}");
        if let (Some(number), Some(maximum)) = (example.as_f64(), schema["maximum"].as_f64()) {
            assert!(number <= maximum, "{place}: {example}");
        }
        for element in example.as_array().into_iter().flatten() {
            check(document, &schema["items"], element, place);
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(!example[name.as_str().unwrap()].is_null(), "{place}: {name} is missing");
        }
        for (name, value) in object(example) {
            let property = &schema["properties"][name];
            let may_be_any = schema["additionalProperties"] != false && property.is_null();
            assert!(may_be_any || !property.is_null(), "{place}: {name} is unknown");
            check(document, property, value, &format!("{place}/{name}"));
        }
    }

    #[test]
    fn links_lead_to_operations_with_their_parameters() {
        let operations = operations(&document());
        for (id, (_, _, operation)) in &operations {
            for (name, link) in links(operation) {
                let target = link["operationId"].as_str().unwrap();
                let Some((_, path, operation)) = operations.get(target) else {
                    panic!("{id}: the link {name} leads to {target}, which is not there");
                };
                assert!(link["description"].is_string(), "{id}: {name}");
                let given: BTreeSet<&String> =
                    object(&link["parameters"]).map(|(n, _)| n).collect();
                let needed = operation["parameters"].as_array().into_iter().flatten();
                let needed: BTreeSet<&str> = needed
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| parameter["name"].as_str().unwrap())
                    .collect();
                assert_eq!(
                    given.iter().map(|n| n.as_str()).collect::<BTreeSet<_>>(),
                    needed,
                    "{path}"
                );
            }
        }
    }

    /// The value of a runtime expression, of an example instead of a response.
    fn evaluate<'a>(expression: &str, example: &'a Value) -> Option<&'a Value> {
        static ITSELF: Value = Value::String(String::new());
        // What the request's own path had is known to its sender.
        if expression.starts_with("$request.path.") {
            return Some(&ITSELF);
        }
        example.pointer(expression.strip_prefix("$response.body#")?)
    }

    #[test]
    fn links_find_their_values_in_the_examples() {
        for (id, (_, _, operation)) in operations(&document()) {
            for (status, response) in object(&operation["responses"]) {
                let example = &response["content"]["application/json"]["example"];
                for (name, link) in object(&response["links"]) {
                    for (parameter, expression) in object(&link["parameters"]) {
                        let found = evaluate(expression.as_str().unwrap(), example);
                        assert!(
                            found.is_some_and(Value::is_string),
                            "{id} {status} {name}: no {parameter} in {example}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn links_lead_from_a_sale_to_a_paid_order() {
        let operations = operations(&document());
        let way = [
            "post_admin_sales",
            "post_admin_sales_sale_submit",
            "post_admin_sales_sale_approve",
            "post_items_item_buy",
            "post_orders_order_pay",
        ];
        for pair in way.windows(2) {
            let mut links = links(&operations[pair[0]].2);
            assert!(links.any(|(_, link)| link["operationId"] == pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn limits_that_are_settings_are_in_the_document() {
        let options = Options {
            sandbox_delay_max: std::time::Duration::from_millis(1_500),
            ..Options::default()
        };
        let document = serde_json::to_value(documented(&options).1).unwrap();
        let delay = &document["components"]["schemas"]["SandboxPayment"]["properties"]["delay_ms"];
        assert_eq!(delay["maximum"], json!(1_500));
        let title = &document["components"]["schemas"]["SaleRequest"]["properties"]["title"];
        assert_eq!(title["maxLength"], json!(200));
    }
}
