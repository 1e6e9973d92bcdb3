//! What everyone may see: sales, items, the time, health, metrics, the document; and how paths and
//! methods that are not there are told.

use domain::Timestamp;
use serde_json::json;
use support::{Ask, Shop, offer};

#[tokio::test]
async fn an_item_shows_its_three_counters() {
    let shop = Shop::open().await;
    let item = shop.live_item(3).await;
    assert_eq!(shop.buy(&item, 1, "k").await.status, 201);
    let second = shop.buy(&item, 2, "k").await.json();
    let pay = format!("/api/v1/orders/{}/pay", second["order_id"].as_str().unwrap());
    assert_eq!(shop.post(&pay, &shop.buyer(2), None).await.status, 200);
    let shown = shop.get(&format!("/api/v1/items/{item}"), None).await.json();
    let counters = json!({ "allotted": 3, "available": 1, "reserved": 1, "sold": 1 });
    assert_eq!(shown["counters"], counters);
    assert_eq!((shown["state"].clone(), shown["title"].clone()), (json!("live"), json!("A pear")));
    assert_eq!(shop.buy(&item, 3, "k").await.status, 201);
    let shown = shop.get(&format!("/api/v1/items/{item}"), None).await.json();
    assert_eq!(shown["state"], "sold_out");
    for path in ["/api/v1/items/999", "/api/v1/items/-1", "/api/v1/items/%00"] {
        let answer = shop.get(path, None).await;
        assert_eq!(answer.problem(), (404, "item_not_found".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn buyers_see_only_sales_that_were_approved() {
    let shop = Shop::open().await;
    let ann = shop.operator("ann");
    let draft = shop.draft(&[offer("pear", 1)]);
    let created = shop.post("/api/v1/admin/sales", &ann, Some(draft.clone())).await.json();
    let hidden = format!("/api/v1/sales/{}", created["sale_id"].as_str().unwrap());
    assert_eq!(shop.get(&hidden, None).await.problem(), (404, "sale_not_found".to_owned()));
    let (live, items) = shop.sale(draft).await;
    let now = shop.engine.now();
    let later = now.plus_milliseconds(3_600_000);
    let upcoming = shop.draft_between(later, later.plus_milliseconds(1), &[offer("fig", 1)]);
    let (upcoming, _) = shop.sale(upcoming).await;

    let shown = shop.get(&format!("/api/v1/sales/{live}"), None).await.json();
    assert_eq!((shown["status"].clone(), shown["title"].clone()), (json!("live"), json!("Noon")));
    assert_eq!(shown["items"][0]["item_id"], items[0]);
    assert_eq!(shown["items"][0]["state"], "live");
    let shown = shop.get(&format!("/api/v1/sales/{upcoming}"), None).await.json();
    assert_eq!(shown["status"], "preheated");
    assert_eq!(shown["items"][0]["state"], "upcoming");

    let page = shop.get("/api/v1/sales", None).await.json();
    let shown: Vec<_> = page["data"].as_array().unwrap().iter().map(|s| &s["sale_id"]).collect();
    assert_eq!(shown, [&json!(upcoming), &json!(live)]);
    let page = shop.get("/api/v1/sales?limit=1", None).await.json();
    assert_eq!(page["has_more"], true);
    let rest = format!("/api/v1/sales?limit=1&starting_after={upcoming}");
    let page = shop.get(&rest, None).await.json();
    assert_eq!(
        (page["data"][0]["sale_id"].clone(), page["has_more"].clone()),
        (json!(live), json!(false))
    );
}

#[tokio::test]
async fn the_time_is_the_engines() {
    let shop = Shop::open().await;
    let before = shop.engine.now();
    let shown = shop.get("/api/v1/time", None).await;
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let shown = shown.json();
    let at = Timestamp(shown["unix_ms"].as_u64().unwrap());
    assert!(before <= at && at <= shop.engine.now());
    assert_eq!(shown["now"], seckill::http::timestamp::to_string(at));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let shop = Shop::open().await;
    for (method, path, status, code, allow) in [
        ("GET", "/nothing", 404, "not_found", None),
        ("GET", "/metrics", 404, "not_found", None),
        ("GET", "/api/v1/admin/nothing", 404, "not_found", None),
        ("GET", "/api/v1/sales/", 404, "not_found", None),
        ("GET", "/api/v1/items/1/buy", 405, "method_not_allowed", Some("POST")),
        ("DELETE", "/api/v1/orders", 405, "method_not_allowed", Some("GET,HEAD")),
        ("PATCH", "/api/v1/admin/sales/1", 405, "method_not_allowed", Some("GET,HEAD,PUT,DELETE")),
        ("TRACE", "/livez", 405, "method_not_allowed", Some("GET,HEAD")),
        ("BREW", "/api/v1/time", 405, "method_not_allowed", Some("GET,HEAD")),
    ] {
        let answer = shop.ask(method, path, Ask::default()).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{method} {path}");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
    let options = shop.ask("OPTIONS", "/api/v1/orders", Ask::default()).await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET,HEAD")));
}

#[tokio::test]
async fn health_metrics_and_document_are_there() {
    let shop = Shop::open().await;
    let item = shop.live_item(1).await;
    assert_eq!(shop.buy(&item, 1, "k").await.status, 201);
    assert_eq!(shop.buy(&item, 2, "k").await.status, 409);
    assert_eq!(shop.get("/livez", None).await.status, 200);
    assert_eq!(shop.get("/readyz", None).await.status, 200);
    let ready = shop.look("/readyz?verbose").await.json();
    let journal = ready["dependencies"].as_array().unwrap().iter().find(|d| d["name"] == "journal");
    assert!(journal.is_some_and(|journal| journal["meaning"].is_string()), "{ready}");

    let metrics = shop.look("/metrics").await;
    for line in [
        "seckill_purchases_total{outcome=\"placed\"} 1",
        "seckill_purchases_total{outcome=\"sold_out\"} 1",
        "seckill_http_requests_in_flight 0",
        "seckill_test_metric 1",
    ] {
        assert!(metrics.text().lines().any(|shown| shown == line), "{line}\n{}", metrics.text());
    }

    let document = shop.get("/openapi.json", None).await.json();
    assert!(document["paths"]["/api/v1/items/{item}/buy"]["post"].is_object());
    let redirect = shop.get("/docs", None).await;
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("/docs/")));
    let page = shop.get("/docs/", None).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
    let explained = shop.get("/problems/sold_out", None).await;
    assert!(explained.text().starts_with("409 sold_out: Sold out\n"), "{}", explained.text());
    assert_eq!(shop.get("/problems/nothing", None).await.status, 404);
}

#[tokio::test]
async fn a_sale_may_be_longer_than_other_requests() {
    let shop = Shop::open().await;
    let mut offers: Vec<_> =
        (0..200).map(|number| offer(&format!("product-{number}"), 10)).collect();
    for offer in &mut offers {
        offer["title"] = json!("苹".repeat(200));
    }
    let draft = shop.draft(&offers);
    assert!(draft.to_string().len() > 65_536);
    let path = "/api/v1/admin/sales";
    let refused = shop.post(path, &shop.buyer(1), Some(draft.clone())).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    let created = shop.post(path, &shop.operator("ann"), Some(draft.clone())).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let elsewhere = shop.post("/api/v1/login", &shop.buyer(1), Some(draft)).await;
    assert_eq!(elsewhere.problem(), (413, "body_too_large".to_owned()));
}
