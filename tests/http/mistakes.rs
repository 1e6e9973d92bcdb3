//! What is wrong with a request is said in the words in which it was asked, and not without end.

use harness::http::{Answer, Connection};
use seckill::http::Options;
use serde_json::{Value, json};
use support::{Ask, Shop, offer};

/// The pointers of a problem's errors.
fn pointers(answer: &Answer) -> Vec<String> {
    let problem = answer.json();
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{problem}"));
    errors.iter().map(|error| error["pointer"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn a_parameter_that_a_route_does_not_have_is_refused_everywhere() {
    let shop = Shop::open().await;
    let document = shop.get("/openapi.json", None).await.json();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            let mut asked = path.clone();
            while let Some((before, (_, after))) =
                asked.split_once('{').map(|(b, rest)| (b, rest.split_once('}').expect("its end")))
            {
                asked = format!("{before}1{after}");
            }
            let asked = format!("{asked}?starting_afte=1");
            let answer = shop.ask(&method.to_uppercase(), &asked, Ask::default()).await;
            assert_eq!(answer.problem(), (422, "invalid_field".to_owned()), "{method} {asked}");
            assert_eq!(pointers(&answer), ["starting_afte"], "{method} {asked}");
        }
    }
    let twice = shop.get("/api/v1/sales?limit=1&limit=2", None).await;
    assert_eq!(twice.json()["detail"], "limit: is there twice");
}

#[tokio::test]
async fn a_list_of_errors_ends() {
    let shop = Shop::open().await;
    let mut sale = shop.draft(&[]);
    sale["items"] = json!(vec![json!({}); 200_000]);
    let operator = shop.operator("ann");
    let refused = shop.post("/api/v1/admin/sales", &operator, Some(sale.clone())).await;
    assert_eq!(refused.json()["detail"], "/items: must have 1 to 200 elements");

    sale["items"] = json!(vec![json!({ "x": 1 }); 200]);
    let refused = shop.post("/api/v1/admin/sales", &operator, Some(sale)).await;
    // Five fields are missing of each, and one is unknown.
    assert_eq!((pointers(&refused).len(), &refused.json()["more"]), (20, &json!(1_180)));
    assert!(refused.body.len() < 4_096, "{} bytes", refused.body.len());

    // Nobody has a token at a log-in.
    let mut keys: serde_json::Map<String, Value> =
        (0..3_000).map(|key| (key.to_string(), json!(1))).collect();
    keys.insert("k".repeat(10_000), json!(1));
    let ask = Ask { body: Some(Value::Object(keys)), ..Ask::default() };
    let refused = shop.ask("POST", "/api/v1/login", ask).await;
    assert_eq!((pointers(&refused).len(), &refused.json()["more"]), (20, &json!(2_983)));
    assert!(refused.body.len() < 4_096, "{} bytes", refused.body.len());
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_words_in_which_it_was_asked() {
    let shop = Shop::open().await;
    let operator = shop.operator("ann");
    let mut sale = shop.draft(&[offer("pear", 1)]);
    sale["items"][0]["list_price"] = json!(1);
    let price = sale["items"][0]["price"].clone();
    for (change, detail) in [
        (
            ("", Value::Null),
            format!("/items/0/list_price: must be from price, which is {price}, to 1000000000000"),
        ),
        (
            ("ends_at", json!("9999-12-31T23:59:59-00:01")),
            "/ends_at: must be from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59.999Z".to_owned(),
        ),
        (
            ("ends_at", json!("2036-11-21T08:00:00+25:00")),
            "/ends_at: must be an RFC 3339 date and time such as 2026-11-21T12:00:00Z".to_owned(),
        ),
    ] {
        let mut sale = sale.clone();
        if !change.0.is_empty() {
            sale[change.0] = change.1;
        }
        let refused = shop.post("/api/v1/admin/sales", &operator, Some(sale)).await;
        assert_eq!(refused.json()["detail"], detail);
    }
    let refused = shop.post("/api/v1/admin/sales", &operator, Some(json!([]))).await;
    assert_eq!(refused.json()["detail"], "the body must be an object");

    let item = shop.live_item(5).await;
    let path = format!("/api/v1/items/{item}/buy");
    let refused = shop.post(&path, &shop.buyer(1), Some(json!({ "quantity": 2 }))).await;
    assert_eq!(refused.problem(), (409, "limit_reached".to_owned()));
    assert_eq!(refused.json()["detail"], "one buyer may hold 1 of this item, and you asked for 2");
    assert_eq!(shop.buy(&item, 1, "first").await.status, 201);
    let refused = shop.buy(&item, 1, "second").await;
    assert_eq!(
        refused.json()["detail"],
        "one buyer may hold 1 of this item: with 1 more you would hold more than that"
    );
}

#[tokio::test]
async fn methods_that_no_path_has_are_told_so_on_every_path() {
    let shop = Shop::open().await;
    for request in ["TRACE /nothing", "CONNECT shop:443"] {
        let mut connection = Connection::open(shop.address).await;
        connection.send(format!("{request} HTTP/1.1\r\nhost: shop\r\n\r\n").as_bytes()).await;
        let answer = connection.answer().await;
        assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()), "{request}");
        assert!(answer.header("allow").is_some(), "{request}");
    }
    let mut connection = Connection::open(shop.address).await;
    connection.send(b"OPTIONS * HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let answer = connection.answer().await;
    assert_eq!((answer.status, answer.header("allow").is_some()), (204, true));
}

#[tokio::test]
async fn every_code_has_a_page() {
    let shop = Shop::open().await;
    let index = shop.get("/problems", None).await;
    assert_eq!(index.status, 200);
    let pages: Vec<&str> =
        index.text().lines().filter_map(|line| line.rsplit_once(", ")).map(|(_, p)| p).collect();
    assert!(pages.len() >= 30, "{}", index.text());
    for path in pages {
        let page = shop.get(path, None).await;
        let paragraphs = ["\n\nDone: ", "\nNext, for a program: ", "\nNext, for a person: "];
        for paragraph in paragraphs {
            assert!(page.text().contains(paragraph), "{path}: {}", page.text());
        }
    }
    for path in ["/problems/%ff", "/problems/nothing", "/docs/%ff", "/api/v1/items/%ff"] {
        assert_eq!(shop.get(path, None).await.problem().0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_second_caller_is_not_chosen_from() {
    let shop = Shop::open().await;
    let headers = [("authorization", "Bearer other")];
    let token = shop.buyer(1);
    let ask = Ask { token: Some(&token), headers: &headers, ..Ask::default() };
    let answer = shop.ask("GET", "/api/v1/orders", ask).await;
    assert_eq!(answer.problem(), (400, "bad_request".to_owned()));
}

#[tokio::test]
async fn pages_of_allowed_origins_may_use_the_api() {
    let allowed_origins = "https://a.example https://b.example:8443".to_owned();
    let shop = Shop::with(Options { allowed_origins, ..Options::default() }).await;
    let item = shop.live_item(5).await;
    let path = format!("/api/v1/items/{item}/buy");
    for (origin, is_allowed) in [
        ("https://a.example", true),
        ("https://b.example:8443", true),
        ("https://b.example", false),
        ("null", false),
    ] {
        let allowed = is_allowed.then_some(origin);
        let headers = [("origin", origin)];
        let read = Ask { headers: &headers, ..Ask::default() };
        let read = shop.ask("GET", "/api/v1/sales", read).await;
        assert_eq!(read.header("access-control-allow-origin"), allowed, "{origin}");
        assert_eq!(read.header("vary"), Some("origin"));
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let preflight = Ask { headers: &headers, ..Ask::default() };
        let preflight = shop.ask("OPTIONS", &path, preflight).await;
        assert_eq!(preflight.status, 204);
        assert_eq!(preflight.header("access-control-allow-origin"), allowed, "{origin}");
        assert_eq!(preflight.header("access-control-allow-headers").is_some(), is_allowed);
        // A refused purchase can be read too.
        let headers = [("origin", origin)];
        let buy = shop.ask("POST", &path, Ask { headers: &headers, ..Ask::default() }).await;
        assert_eq!((buy.status, buy.header("access-control-allow-origin")), (401, allowed));
    }
    let headers = [("origin", "https://a.example")];
    let shop = Shop::open().await;
    let read = shop.ask("GET", "/api/v1/sales", Ask { headers: &headers, ..Ask::default() }).await;
    assert_eq!((read.header("access-control-allow-origin"), read.header("vary")), (None, None));
}
