//! The OpenAPI document against the running edge: what it says is served is served, and its links
//! lead from a sale that is created to an order that is paid.

use serde_json::Value;
use std::collections::BTreeSet;
use support::{Ask, Shop};

#[tokio::test]
async fn each_documented_path_has_the_documented_methods() {
    let shop = Shop::open().await;
    let document = shop.get("/openapi.json", None).await.json();
    for (path, item) in document["paths"].as_object().unwrap() {
        let mut documented: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        if documented.contains("GET") {
            documented.insert("HEAD".to_owned());
        }
        let concrete = path.replace(['{', '}'], "");
        let options = shop.ask("OPTIONS", &concrete, Ask::default()).await;
        let allow = options.header("allow").unwrap_or_default();
        let served: BTreeSet<String> = allow.split(',').map(str::to_owned).collect();
        assert_eq!((options.status, served), (204, documented), "{path}");
    }
}

#[tokio::test]
async fn the_developers_page_leads_to_everything() {
    let shop = Shop::open().await;
    let page = shop.get("/api", None).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("cache-control").is_some_and(|control| control.contains("max-age")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    for forbidden in ["<script", "<style", " style=", " onclick="] {
        assert!(!page.text().contains(forbidden), "{forbidden}");
    }
    let links: Vec<&str> =
        page.text().split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.contains(&"/docs/") && links.contains(&"/openapi.json"), "{links:?}");
    for link in links {
        assert_eq!(shop.get(link, None).await.status, 200, "{link}");
    }
}

/// An operation of the document.
struct Operation<'a> {
    method: String,
    path: &'a str,
    declared: &'a Value,
}

fn operation<'a>(document: &'a Value, id: &str) -> Operation<'a> {
    let paths = document["paths"].as_object().unwrap();
    let mut all = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, declared)| (path, method, declared))
    });
    let found = all.find(|(_, _, declared)| declared["operationId"] == id);
    let (path, method, declared) = found.unwrap_or_else(|| panic!("{id} is not there"));
    Operation { method: method.to_uppercase(), path, declared }
}

/// Asks an operation with its documented body, and returns the answer with the links of its status.
async fn ask<'a>(
    shop: &Shop,
    operation: &Operation<'a>,
    path: &str,
    token: &str,
) -> (Value, &'a Value) {
    let content = &operation.declared["requestBody"]["content"]["application/json"];
    let body = match &content["example"] {
        Value::Null => content["examples"]["open_now"]["value"].clone(),
        example => example.clone(),
    };
    let ask = Ask { token: Some(token), body: Some(body), ..Ask::default() };
    let answer = shop.ask(&operation.method, path, ask).await;
    assert!(answer.status < 300, "{path}: {}", answer.text());
    (answer.json(), &operation.declared["responses"][answer.status.to_string()]["links"])
}

#[tokio::test]
async fn the_links_and_examples_lead_from_a_sale_to_a_paid_order() {
    let shop = Shop::open().await;
    let document = shop.get("/openapi.json", None).await.json();
    let (ann, bob, buyer) = (shop.operator("ann"), shop.approver("bob"), shop.buyer(1));
    let first = operation(&document, "post_admin_sales");
    let (mut answer, mut links) = ask(&shop, &first, first.path, &ann).await;
    for (link, token) in [("submit", &ann), ("approve", &bob), ("buy", &buyer), ("pay", &buyer)] {
        let link = &links[link];
        let next = operation(&document, link["operationId"].as_str().unwrap());
        let mut path = next.path.to_owned();
        for (name, expression) in link["parameters"].as_object().unwrap() {
            let pointer = expression.as_str().unwrap().strip_prefix("$response.body#").unwrap();
            let value = answer.pointer(pointer).and_then(Value::as_str);
            path = path.replace(&format!("{{{name}}}"), value.expect("the link's value is there"));
        }
        (answer, links) = ask(&shop, &next, &path, token).await;
    }
    assert_eq!(answer["status"], "paid");
}
