//! What operators do: making, judging and running sales, and what is written down of it.

use seckill::store::orders::Conflicts;
use serde_json::{Value, json};
use support::{Ask, DRAIN_MAX, Shop, offer};

#[tokio::test]
async fn a_sale_is_made_edited_and_frozen() {
    let shop = Shop::open().await;
    let ann = shop.operator("ann");
    let draft = shop.draft(&[offer("pear", 1), offer("fig", 2)]);
    let created = shop.post("/api/v1/admin/sales", &ann, Some(draft.clone())).await;
    assert_eq!(created.status, 201);
    let location = created.header("location").unwrap().to_owned();
    let created = created.json();
    assert_eq!(created["status"], "draft");
    assert_eq!(created["items"][1]["product_id"], "fig");
    assert_eq!(location, format!("/api/v1/admin/sales/{}", created["sale_id"].as_str().unwrap()));

    let mut edited = draft;
    edited["title"] = json!("Evening");
    edited["items"] = json!([offer("fig", 3)]);
    let put = |body: Value, revision: &'static str| {
        let (ann, location, shop) = (ann.clone(), location.clone(), &shop);
        async move {
            let headers = &[("if-match", revision)];
            let ask = Ask { token: Some(&ann), body: Some(body), headers };
            shop.ask("PUT", &location, ask).await
        }
    };
    let answer = put(edited.clone(), "\"1\"").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("etag"), Some("\"2\""));
    let shown = shop.get(&location, Some(&ann)).await.json();
    assert_eq!(shown["title"], "Evening");
    assert_eq!(shown["items"][0]["item_id"], created["items"][1]["item_id"]);

    let ask = |headers| Ask { token: Some(&ann), headers, ..Ask::default() };
    let submit = format!("{location}/submit");
    let submitted = shop.ask("POST", &submit, ask(&[("if-match", "\"2\"")])).await;
    assert_eq!(submitted.status, 200, "{}", submitted.text());
    assert_eq!(put(edited, "\"3\"").await.problem(), (409, "state_conflict".to_owned()));
    let any = &[("if-match", "*")];
    let answer = shop.ask("DELETE", &location, ask(any)).await;
    assert_eq!(answer.problem(), (409, "state_conflict".to_owned()));
    let withdrawn = shop.ask("POST", &format!("{location}/withdraw"), ask(any)).await;
    assert_eq!(withdrawn.status, 200);
    assert_eq!(shop.ask("DELETE", &location, ask(any)).await.status, 204);
    let gone = shop.get(&location, Some(&ann)).await;
    assert_eq!(gone.problem(), (404, "sale_not_found".to_owned()));
}

#[tokio::test]
async fn nobody_judges_their_own_sale() {
    let shop = Shop::open().await;
    let ann = shop.approver("ann");
    let draft = shop.draft(&[offer("pear", 1)]);
    let created = shop.post("/api/v1/admin/sales", &ann, Some(draft)).await.json();
    let path = format!("/api/v1/admin/sales/{}", created["sale_id"].as_str().unwrap());
    let (approve, reject) = (format!("{path}/approve"), format!("{path}/reject"));
    let bob = shop.approver("bob");
    let early = shop.post(&approve, &bob, None).await;
    assert_eq!(early.problem(), (409, "state_conflict".to_owned()));
    assert_eq!(shop.post(&format!("{path}/submit"), &ann, None).await.status, 200);
    for token in [&ann, &shop.operator("cem"), &shop.buyer(1)] {
        assert_eq!(shop.post(&approve, token, None).await.problem(), (403, "forbidden".to_owned()));
        assert_eq!(shop.post(&reject, token, None).await.problem(), (403, "forbidden".to_owned()));
    }
    let note = json!({ "note": "the price is wrong" });
    let rejected = shop.post(&reject, &bob, Some(note)).await;
    assert_eq!(rejected.json()["status"], "rejected");
    assert_eq!(shop.post(&format!("{path}/revise"), &ann, None).await.json()["status"], "draft");
    assert_eq!(shop.post(&format!("{path}/submit"), &ann, None).await.status, 200);
    // Approving twice is approving once.
    for _ in 0..2 {
        let approved = shop.post(&approve, &bob, None).await;
        assert_eq!(approved.json()["status"], "live", "{}", approved.text());
    }
    let list = shop.get(&format!("{path}/preheat"), Some(&ann)).await.json();
    assert_eq!(
        (list["complete"].clone(), list["items"][0]["loaded"].clone()),
        (json!(true), json!(true))
    );
}

#[tokio::test]
async fn all_mistakes_in_a_sale_are_told_at_once() {
    let shop = Shop::open().await;
    let ann = shop.operator("ann");
    let mut draft = shop.draft(&[offer("pear", 0)]);
    draft["items"][0]["price"] = json!(-1);
    draft["ends_at"] = json!("2020-01-01T00:00:00Z");
    draft["colour"] = json!("red");
    let answer = shop.post("/api/v1/admin/sales", &ann, Some(draft)).await;
    assert_eq!(answer.problem(), (422, "invalid_field".to_owned()));
    let found: Vec<_> = answer.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, ["/ends_at", "/colour", "/items/0/price", "/items/0/allotted"]);
}

#[tokio::test]
async fn a_sale_is_paused_resumed_restocked_and_ended() {
    let shop = Shop::open().await;
    let ann = shop.operator("ann");
    let (sale, items) = shop.sale(shop.draft(&[offer("pear", 1), offer("fig", 1)])).await;
    let path = format!("/api/v1/admin/sales/{sale}");
    let paused = shop.post(&format!("{path}/pause"), &ann, None).await;
    assert_eq!(paused.status, 200, "{}", paused.text());
    assert_eq!(paused.json()["items"][1]["state"], "paused");
    assert_eq!(shop.buy(&items[0], 1, "a").await.problem(), (409, "sale_paused".to_owned()));
    assert_eq!(shop.post(&format!("{path}/resume"), &ann, None).await.status, 200);
    assert_eq!(shop.buy(&items[0], 1, "b").await.status, 201);
    assert_eq!(shop.buy(&items[0], 2, "c").await.problem(), (409, "sold_out".to_owned()));

    let restock = format!("{path}/items/{}/restock", items[0]);
    for units in [json!(0), json!(-1), json!(1.5), json!("1"), json!(1_000_000_001)] {
        let answer = shop.post(&restock, &ann, Some(json!({ "units": units }))).await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned()), "{units}");
    }
    let beyond = shop.post(&restock, &ann, Some(json!({ "units": 1_000_000_000 }))).await;
    assert_eq!(beyond.problem(), (422, "invalid_field".to_owned()));
    let stocked = shop.post(&restock, &ann, Some(json!({ "units": 2 }))).await;
    assert_eq!(stocked.json()["counters"]["allotted"], 3, "{}", stocked.text());
    assert_eq!(shop.buy(&items[0], 2, "d").await.status, 201);
    let foreign = format!("/api/v1/admin/sales/999/items/{}/restock", items[0]);
    let answer = shop.post(&foreign, &ann, Some(json!({ "units": 2 }))).await;
    assert_eq!(answer.problem(), (404, "item_not_found".to_owned()));

    let end = format!("{path}/end");
    let ended = shop.post(&end, &ann, None).await;
    assert_eq!(ended.json()["items"][0]["state"], "ended", "{}", ended.text());
    assert_eq!(shop.post(&end, &ann, None).await.status, 200);
    assert_eq!(shop.buy(&items[0], 3, "e").await.problem(), (409, "sale_ended".to_owned()));
    let late = shop.post(&format!("{path}/resume"), &ann, None).await;
    assert_eq!(late.problem(), (409, "state_conflict".to_owned()));
    let shown = shop.get(&format!("/api/v1/sales/{sale}"), None).await.json();
    assert_eq!(shown["status"], "ended");

    // What the shards decided reaches the log behind the sale.
    let backends = shop.start_backends().await;
    backends.stop(&shop.engine, DRAIN_MAX).await;
    let log = shop.get("/api/v1/admin/audit-log?limit=100", Some(&ann)).await.json();
    let actions: Vec<_> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|entry| entry["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        actions,
        [
            "sale.create",
            "sale.submit",
            "sale.approve",
            "sale.preheat",
            "sale.end",
            "item.pause",
            "item.pause",
            "item.resume",
            "item.resume",
            "item.restock",
            "item.end",
            "item.end",
        ]
    );
    for entry in &log["data"].as_array().unwrap()[..7] {
        assert_eq!(entry["actor"], "ann", "{entry}");
    }
    let page = shop.get("/api/v1/admin/audit-log?limit=3", Some(&ann)).await.json();
    assert_eq!(
        (page["data"].as_array().unwrap().len(), page["has_more"].clone()),
        (3, json!(true))
    );
}

#[tokio::test]
async fn operations_are_for_operators_and_for_sales_that_sell() {
    let shop = Shop::open().await;
    let (ann, buyer) = (shop.operator("ann"), shop.buyer(1));
    let draft = shop.draft(&[offer("pear", 1)]);
    let created = shop.post("/api/v1/admin/sales", &ann, Some(draft)).await.json();
    let path = format!("/api/v1/admin/sales/{}", created["sale_id"].as_str().unwrap());
    for operation in ["pause", "resume", "end"] {
        let path = format!("{path}/{operation}");
        assert_eq!(shop.post(&path, &buyer, None).await.problem(), (403, "forbidden".to_owned()));
        let anonymous = shop.ask("POST", &path, Ask::default()).await;
        assert_eq!(anonymous.problem(), (401, "unauthenticated".to_owned()));
        let answer = shop.post(&path, &ann, None).await;
        assert_eq!(answer.problem(), (409, "state_conflict".to_owned()));
        let unknown = format!("/api/v1/admin/sales/999/{operation}");
        let answer = shop.post(&unknown, &ann, None).await;
        assert_eq!(answer.problem(), (404, "sale_not_found".to_owned()));
    }
}

#[tokio::test]
async fn a_sales_orders_are_paged_and_exported() {
    let shop = Shop::open().await;
    let ann = shop.operator("ann");
    let (sale, items) = shop.sale(shop.draft(&[offer("pear", 2_000)])).await;
    let mut records = Vec::new();
    for user_id in 1..=3 {
        let order = shop.buy(&items[0], user_id, "k").await.json();
        let order_id = order["order_id"].as_str().unwrap().parse().unwrap();
        let order = shop.engine.order(order_id).await.unwrap().unwrap();
        records.push(domain::Record {
            shard: order_id.shard(),
            seq: user_id,
            at: order.created_at(),
            event: domain::Event::Order(order),
        });
    }
    shop.orders
        .apply(&records, &[], Conflicts::HandedBack)
        .await
        .expect("the order store takes them");
    let path = format!("/api/v1/admin/sales/{sale}/orders");
    let page = shop.get(&format!("{path}?limit=2"), Some(&ann)).await.json();
    assert_eq!(
        (page["data"][0]["user_id"].clone(), page["has_more"].clone()),
        (json!("3"), json!(true))
    );
    let last = page["data"][1]["order_id"].as_str().unwrap();
    let page = shop.get(&format!("{path}?limit=2&starting_after={last}"), Some(&ann)).await.json();
    assert_eq!(
        (page["data"][0]["user_id"].clone(), page["has_more"].clone()),
        (json!("1"), json!(false))
    );

    let export = shop.get(&format!("{path}?format=csv"), Some(&ann)).await;
    assert_eq!(export.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let lines: Vec<_> = export.text().lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("order_id,item_id,sale_id,user_id,"), "{}", lines[0]);
    let fields: Vec<_> = lines[1].split(',').collect();
    assert_eq!(
        (fields[1], fields[3], fields[6], fields[8]),
        (items[0].as_str(), "1", "4999", "reserved")
    );
    let answer = shop.get(&format!("{path}?format=xml"), Some(&ann)).await;
    assert_eq!(answer.problem(), (422, "invalid_field".to_owned()));
    let answer = shop.get(&path, Some(&shop.buyer(1))).await;
    assert_eq!(answer.problem(), (403, "forbidden".to_owned()));
}

/// Two editors and an approver who looked at another version than the one that is there.
#[tokio::test]
async fn only_the_revision_that_was_looked_at_is_changed() {
    let shop = Shop::open().await;
    let (ann, bob) = (shop.operator("ann"), shop.approver("bob"));
    let draft = shop.draft(&[offer("pear", 1)]);
    let created = shop.post("/api/v1/admin/sales", &ann, Some(draft.clone())).await;
    assert_eq!(
        (created.header("etag"), created.json()["revision"].clone()),
        (Some("\"1\""), json!(1))
    );
    let path = format!("/api/v1/admin/sales/{}", created.json()["sale_id"].as_str().unwrap());
    let step = async |token: &str, step: &str, revision: &str| {
        let headers = [("if-match", revision)];
        let headers = if revision.is_empty() { &headers[1..] } else { &headers[..] };
        let ask = Ask { token: Some(token), headers, ..Ask::default() };
        shop.ask("POST", &format!("{path}/{step}"), ask).await
    };
    assert_eq!(step(&ann, "submit", "\"1\"").await.header("etag"), Some("\"2\""));
    // The approver looks at the sale of 2, and meanwhile its price is changed.
    assert_eq!(step(&ann, "withdraw", "\"2\"").await.status, 200);
    let mut dearer = draft;
    dearer["items"][0]["price"] = json!(999_900);
    let put = async |revision| {
        let headers: &[_] = &[("if-match", revision)];
        let ask = Ask { token: Some(&ann), headers, body: Some(dearer.clone()) };
        shop.ask("PUT", &path, ask).await
    };
    assert_eq!(put("\"3\"").await.status, 200);
    let overwritten = put("\"3\"").await;
    assert_eq!(overwritten.problem(), (412, "revision_conflict".to_owned()));
    assert_eq!(overwritten.json()["revision"], 4);
    assert_eq!(put("3").await.problem(), (422, "invalid_field".to_owned()));
    assert_eq!(step(&ann, "submit", "\"4\"").await.status, 200);
    for (token, name) in [(&bob, "approve"), (&bob, "reject"), (&ann, "withdraw")] {
        let stale = step(token, name, "\"2\"").await;
        assert_eq!(stale.problem(), (412, "revision_conflict".to_owned()), "{name}");
        let unsaid = step(token, name, "").await;
        assert_eq!(unsaid.problem(), (428, "revision_required".to_owned()), "{name}");
    }
    let approved = step(&bob, "approve", "\"5\"").await;
    assert_eq!(approved.status, 200, "{}", approved.text());
    assert_eq!(approved.json()["items"][0]["price"], 999_900);
}

#[tokio::test]
async fn an_operators_request_is_done_once_for_each_key() {
    let shop = Shop::open().await;
    let ann = shop.operator("ann");
    let post = async |path: &str, key: &str, body: Option<Value>| {
        let headers: &[_] = &[("idempotency-key", key)];
        shop.ask("POST", path, Ask { token: Some(&ann), headers, body }).await
    };
    let draft = shop.draft(&[offer("pear", 5)]);
    let made = post("/api/v1/admin/sales", "make", Some(draft.clone())).await;
    let again = post("/api/v1/admin/sales", "make", Some(draft.clone())).await;
    assert_eq!((made.status, again.status), (201, 200));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["sale_id"], made.json()["sale_id"]);
    let other = shop.draft(&[offer("fig", 5)]);
    let reused = post("/api/v1/admin/sales", "make", Some(other)).await;
    assert_eq!(reused.problem(), (409, "idempotency_key_reused".to_owned()));

    let (sale, items) = shop.sale(draft).await;
    let path = format!("/api/v1/admin/sales/{sale}");
    let restock = format!("{path}/items/{}/restock", items[0]);
    for replayed in [None, Some("true")] {
        let answer = post(&restock, "more", Some(json!({ "units": 2 }))).await;
        assert_eq!(answer.json()["counters"]["allotted"], 7, "{}", answer.text());
        assert_eq!(answer.header("idempotent-replayed"), replayed);
    }
    let reused = post(&restock, "more", Some(json!({ "units": 3 }))).await;
    assert_eq!(reused.problem(), (409, "idempotency_key_reused".to_owned()));
    // A pause that comes again late does not undo the resumption.
    assert_eq!(post(&format!("{path}/pause"), "stop", None).await.status, 200);
    assert_eq!(post(&format!("{path}/resume"), "go", None).await.status, 200);
    let late = post(&format!("{path}/pause"), "stop", None).await;
    assert_eq!(late.header("idempotent-replayed"), Some("true"));
    assert_eq!(shop.buy(&items[0], 1, "k").await.status, 201);
}

#[tokio::test]
async fn units_are_taken_back_and_nothing_follows_the_end() {
    let shop = Shop::open().await;
    let ann = shop.operator("ann");
    let now = shop.engine.now();
    let draft = shop.draft_between(now, now.plus_milliseconds(1_500), &[offer("pear", 5)]);
    let (sale, items) = shop.sale(draft).await;
    let path = format!("/api/v1/admin/sales/{sale}");
    assert_eq!(shop.buy(&items[0], 1, "k").await.status, 201);
    let reduce = format!("{path}/items/{}/reduce", items[0]);
    let refused = shop.post(&reduce, &ann, Some(json!({ "units": 5 }))).await;
    assert_eq!(refused.problem(), (409, "state_conflict".to_owned()));
    assert!(refused.json()["detail"].as_str().unwrap().contains("only 4 units"));
    let reduced = shop.post(&reduce, &ann, Some(json!({ "units": 3 }))).await;
    let counters = reduced.json()["counters"].clone();
    assert_eq!((&counters["allotted"], &counters["available"]), (&json!(2), &json!(1)));

    while shop.engine.now() < now.plus_milliseconds(1_500) {
        tokio::task::yield_now().await;
    }
    let units = Some(json!({ "units": 1 }));
    for (path, body) in [
        (reduce, units.clone()),
        (format!("{path}/items/{}/restock", items[0]), units),
        (format!("{path}/pause"), None),
        (format!("{path}/resume"), None),
    ] {
        let answer = shop.post(&path, &ann, body).await;
        assert_eq!(answer.problem(), (409, "state_conflict".to_owned()), "{path}");
    }
}
