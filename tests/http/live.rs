//! The live figures: who may see them, what they say, and how they are sent.

use domain::catalogue::Day;
use harness::http::Connection;
use seckill::http::Role;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use support::{Ask, Shop, offer};

/// Opens the stream, as an operator's program does.
async fn stream(shop: &Shop, query: &str, more: &str) -> Connection {
    stream_of(shop, &shop.operator("ann"), query, more).await
}

/// Opens the stream with this token.
async fn stream_of(shop: &Shop, token: &str, query: &str, more: &str) -> Connection {
    let mut connection = Connection::open(shop.address).await;
    let head = format!(
        "GET /console/live{query} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n{more}\r\n"
    );
    connection.send(head.as_bytes()).await;
    let head = connection.head().await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("text/event-stream"), "{head}");
    assert!(head.contains("x-accel-buffering: no"), "a proxy would gather looks: {head}");
    connection
}

/// The events that the next chunks of the stream hold, until one of this name is among them: its identity
/// and data.
async fn event(connection: &mut Connection, name: &str) -> (Option<u64>, Value) {
    let mut text = String::new();
    for _ in 0..30 {
        let chunk = connection.chunk().await.expect("the stream goes on");
        text += std::str::from_utf8(&chunk).expect("text");
        for event in text.split_inclusive("\n\n").filter(|event| event.ends_with("\n\n")) {
            let field = |field: &str| event.lines().find_map(|line| line.strip_prefix(field));
            if field("event: ") == Some(name) {
                let data = serde_json::from_str(field("data: ").expect("data")).expect("JSON");
                return (field("id: ").and_then(|id| id.parse().ok()), data);
            }
        }
    }
    panic!("no {name} in thirty chunks");
}

/// Looks until one says what is asked for.
async fn until(connection: &mut Connection, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..20 {
        let (_, look) = event(connection, "figures").await;
        if is_so(&look) {
            return look;
        }
    }
    panic!("no look in twenty has {what}");
}

#[tokio::test]
async fn a_sale_is_seen_each_second() {
    let shop = Shop::open().await;
    let item = shop.live_item(2).await;
    let mut stream = stream(&shop, "", "").await;
    let (_, history) = event(&mut stream, "history").await;
    assert_eq!((history["step"].clone(), history["series"]["placed"].is_array()), (json!(1), true));
    let (first, _) = event(&mut stream, "figures").await;
    let (second, _) = event(&mut stream, "figures").await;
    assert!(second > first, "{first:?} {second:?}");

    for series in ["tokens", "challenges", "tokens_refused"] {
        assert!(history["series"][series].is_array(), "{series}");
    }
    let look = until(&mut stream, "the item", |look| look["items"][0]["id"] == item.as_str()).await;
    assert_eq!(look["items"][0]["state"], "live");
    for buyer in 1..=3 {
        shop.buy(&item, buyer, "a").await;
    }
    let look = until(&mut stream, "the sold-out", |look| look["totals"]["requests"] == 3).await;
    assert_eq!(
        (look["totals"]["placed"].clone(), look["balances"].clone()),
        (json!(2), json!(true))
    );
    assert!(look["totals"]["admitted"].as_u64().unwrap() >= 2);
    assert_eq!(look["refusals"][0]["code"], "sold_out");
    let item = &look["items"][0];
    assert_eq!((item["available"].clone(), item["reserved"].clone()), (json!(0), json!(2)));
    assert_eq!(
        (item["state"].clone(), item["title"].clone()),
        (json!("sold_out"), json!("A pear"))
    );
    let outcomes = item["outcomes"].as_array().unwrap();
    assert!(outcomes.contains(&json!(["sold_out", 1])), "{look}");
    let journal =
        look["dependencies"].as_array().unwrap().iter().find(|it| it["name"] == "journal");
    assert_eq!(journal.unwrap()["meaning"]["en"], "every confirmation is on disk before it leaves");
    assert!(look["values"]["memory"].is_number() || !cfg!(target_os = "linux"), "{look}");
}

#[tokio::test]
async fn each_figure_is_of_its_own_kind_and_of_its_own_second() {
    let shop = Shop::open().await;
    let item = shop.live_item(2).await;
    let value = |look: &Value, series: &str| look["values"][series].as_f64();
    let begun = shop.engine.now().0 / 1_000;
    let mut stream = stream(&shop, "", "").await;
    let mut orders = Vec::new();
    for buyer in 1..=2 {
        let placed = shop.buy(&item, buyer, "a").await.json();
        orders.push(placed["order_id"].as_str().expect("an order").to_owned());
    }
    let look = until(&mut stream, "the orders", |look| value(look, "placed") > Some(0.0)).await;
    assert!(value(&look, "p99").is_some() && value(&look, "admitted") > Some(0.0), "{look}");
    // Nothing takes orders to the store here.
    until(&mut stream, "what is on its way", |look| value(look, "backlog") >= Some(2.0)).await;
    let at = look["at"].as_u64().expect("a time");
    assert!((begun..=shop.engine.now().0 / 1_000).contains(&at), "{look}");
    // A second in which nothing happens has nothing.
    let quiet = until(&mut stream, "a quiet second", |look| value(look, "placed") == Some(0.0));
    let quiet = quiet.await;
    assert_eq!((value(&quiet, "requests"), value(&quiet, "p99")), (Some(0.0), None), "{quiet}");

    // The gate refuses what is sold out; nobody decides about it.
    assert_eq!(shop.buy(&item, 3, "a").await.problem().1, "sold_out");
    let look = until(&mut stream, "a refusal", |look| value(look, "sold_out") > Some(0.0)).await;
    assert_eq!(
        (value(&look, "placed"), value(&look, "admitted")),
        (Some(0.0), Some(0.0)),
        "{look}"
    );
    let quiet = until(&mut stream, "a quiet second", |look| value(look, "sold_out") == Some(0.0));
    assert_eq!(quiet.await["refusals"][0]["total"], 1, "it is of all time");

    for (order, verb, series, other) in
        [(&orders[0], "pay", "paid", "cancelled"), (&orders[1], "cancel", "cancelled", "paid")]
    {
        let buyer = shop.buyer(if verb == "pay" { 1 } else { 2 });
        let done = shop.post(&format!("/api/v1/orders/{order}/{verb}"), &buyer, None).await;
        assert_eq!(done.status, 200, "{}", done.text());
        let look = until(&mut stream, series, |look| value(look, series) > Some(0.0)).await;
        assert_eq!(value(&look, other), Some(0.0), "{look}");
        until(&mut stream, "a quiet second", |look| value(look, series) == Some(0.0)).await;
    }
}

#[tokio::test]
async fn who_comes_back_is_sent_what_is_missing() {
    let shop = Shop::open().await;
    let mut first = stream(&shop, "?range=5m", "").await;
    let (id, _) = event(&mut first, "figures").await;
    event(&mut first, "figures").await;
    event(&mut first, "figures").await;
    let id = id.expect("an identity");
    let mut again = stream(&shop, "?range=5m", &format!("last-event-id: {id}\r\n")).await;
    let (_, history) = event(&mut again, "history").await;
    assert_eq!(history["from"], id + 1);
    let points = history["series"]["requests"].as_array().unwrap();
    assert!((1..=10).contains(&points.len()), "{history}");
    assert!(points.iter().any(|point| *point == json!(0)), "{history}");
    let mut day = stream(&shop, "?range=24h", &format!("last-event-id: {id}\r\n")).await;
    let (_, history) = event(&mut day, "history").await;
    assert_eq!(history["series"]["requests"].as_array().unwrap().len(), 480);
}

#[tokio::test]
async fn it_is_for_operators_and_for_so_many() {
    let shop = Shop::open().await;
    let answer = shop.get("/console/dashboard", None).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let answer = shop.get("/console/live", None).await;
    assert_eq!(answer.problem(), (401, "unauthenticated".to_owned()));
    for path in ["/console/live", "/console/dashboard"] {
        let answer = shop.get(path, Some(&shop.buyer(1))).await;
        assert_eq!(answer.problem(), (403, "forbidden".to_owned()), "{path}");
    }
    let ann = shop.operator("ann");
    let answer = shop.get("/console/live?range=7d", Some(&ann)).await;
    assert_eq!(answer.problem(), (422, "invalid_field".to_owned()));
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(stream(&shop, "", "").await);
    }
    let answer = shop.get("/console/live", Some(&ann)).await;
    assert_eq!(answer.problem(), (503, "overloaded".to_owned()));
    drop(streams);
    harness::until("a place is free", async || {
        (shop.get("/console/live?range=x", Some(&ann)).await.status == 422).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_page_is_whole_without_a_script() {
    let shop = Shop::open().await;
    let item = shop.live_item(7).await;
    let mut stream = stream(&shop, "", "").await;
    until(&mut stream, "a title", |look| look["items"][0]["title"] == "A pear").await;
    let page = async |headers: &[(&str, &str)], path: &str| {
        let ask = Ask { token: Some(&shop.operator("ann")), headers, body: None };
        let answer = shop.ask("GET", path, ask).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.text().to_owned()
    };
    let english = page(&[("accept-language", "en")], "/console/dashboard").await;
    for part in
        ["Selling one item. All is well.", "A pear", "add up", "every confirmation is on disk"]
    {
        assert!(english.contains(part), "{part} is not in {english}");
    }
    let chinese = page(&[("accept-language", "zh")], "/console/dashboard?wall").await;
    for part in ["1 件商品销售中", "每秒订单", "每个确认都在落盘之后才发出"]
    {
        assert!(chinese.contains(part), "{part} is not in {chinese}");
    }
    assert!(!chinese.contains("A pear"), "the wall has no items");
    shop.buy(&item, 1, "k").await;
}

#[tokio::test]
async fn a_hostile_title_stays_text() {
    let shop = Shop::open().await;
    let mut hostile = offer("pear", 1);
    hostile["title"] = json!("</script><img src=x onerror=alert(1)>");
    shop.sale(shop.draft(&[hostile])).await;
    let mut stream = stream(&shop, "", "").await;
    until(&mut stream, "the title", |look| {
        look["items"][0]["title"].as_str().is_some_and(|title| title.starts_with("</script>"))
    })
    .await;
    let page = shop.get("/console/dashboard", Some(&shop.operator("ann"))).await;
    assert!(!page.text().contains("</script><img"), "{}", page.text());
}

/// The counters agree with themselves; the order store is the second witness.
#[tokio::test]
async fn the_order_store_is_asked_as_well() {
    let shop = Shop::open().await;
    let item = shop.live_item(3).await;
    assert_eq!(shop.buy(&item, 1, "a").await.status, 201);
    let backends = shop.start_backends().await;
    let mut stream = stream(&shop, "", "").await;
    let mut witness = Value::Null;
    for _ in 0..60 {
        let (_, look) = event(&mut stream, "figures").await;
        witness = look["items"][0]["witness"].clone();
        if witness == "agrees" {
            break;
        }
    }
    assert_eq!(witness, "agrees");
    backends.stop(&shop.engine, support::DRAIN_MAX).await;
}

#[tokio::test]
async fn views_are_counted_and_forgotten() {
    let shop = Shop::open().await;
    let item = shop.live_item(1).await;
    let tell = async |headers: &[(&str, &str)], body: Value| {
        shop.ask("POST", "/api/v1/visits", Ask { headers, body: Some(body), token: None }).await
    };
    let first = tell(&[], json!({ "item": item })).await;
    assert_eq!((first.status, first.body.len()), (204, 0));
    let visitor = first.header("visitor").expect("a number").to_owned();
    assert_eq!(visitor.len(), 16);
    let again = tell(&[], json!({ "item": item, "visitor": visitor })).await;
    assert_eq!((again.status, again.header("visitor")), (204, None));
    for header in [("sec-gpc", "1"), ("dnt", "1")] {
        assert_eq!(tell(&[header], json!({})).await.header("visitor"), None, "{header:?}");
    }
    // One that is not on sale is a view all the same.
    assert_eq!(tell(&[], json!({ "item": "999" })).await.status, 204);
    for body in [json!({ "item": "x" }), json!({ "visitor": "abc" }), json!({ "who": "me" })] {
        let answer = tell(&[], body.clone()).await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned()), "{body}");
    }
    let long = json!({ "item": "1".repeat(300) });
    assert_eq!(tell(&[], long).await.problem(), (413, "body_too_large".to_owned()));
    shop.until_shown("seckill_page_views_total 5").await;
    let mut stream = stream(&shop, "", "").await;
    let look = until(&mut stream, "the visitors", |look| look["values"]["visitors"] == 3).await;
    assert_eq!(look["totals"]["views"], 5);

    // Over a restart nobody is lost: three different visitors come back, and one who is new.
    let shop = shop.reopen().await;
    let ask = Ask { body: Some(json!({ "visitor": visitor })), ..Ask::default() };
    assert_eq!(shop.ask("POST", "/api/v1/visits", ask).await.status, 204);
    let mut stream = self::stream(&shop, "", "").await;
    until(&mut stream, "the visitors of before", |look| look["values"]["visitors"] == 3).await;
    let path = shop.directory.path().join("orders.db");
    let mut stored =
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.expect("it opens");
    let text = "SELECT views FROM visits WHERE subject LIKE 'item:%'";
    let views: Vec<i64> = sqlx::query_scalar(text).fetch_all(&mut stored).await.expect("rows");
    assert_eq!(views, [2], "only what is on sale has views of its own");
}

/// Counts a view of the shop by a visitor of this number, whose browser may say so, and waits until the
/// shop's own figures show as many visitors.
async fn visit(shop: &Shop, visitor: u64, seen: u64) {
    let body = Some(json!({ "visitor": format!("{visitor:016x}") }));
    let answer = shop.ask("POST", "/api/v1/visits", Ask { body, ..Ask::default() }).await;
    assert_eq!(answer.status, 204);
    let mut stream = stream(shop, "", "").await;
    until(&mut stream, "the visitors", |look| look["values"]["visitors"] == seen).await;
}

#[tokio::test]
async fn two_shops_at_one_redis_count_their_visitors_together_and_go_on_without_it() {
    let Some(redis) = harness::redis() else { return };
    let (one, other) = (Shop::open_with_redis(&redis).await, Shop::open_with_redis(&redis).await);
    visit(&one, 1, 1).await;
    visit(&one, 2, 2).await;
    // One whom the other shop knows, and one whom nobody does.
    visit(&other, 2, 2).await;
    visit(&other, 3, 3).await;
    visit(&one, 1, 3).await;
    let day = format!("seckill::visitors::day:{}", Day::of(one.engine.now()));
    let count = || redis.cli(&["pfcount", &day]).expect("an answer");
    assert_eq!(count(), "3");

    // Without it nobody waits, and the number does not fall back to the shop's own.
    redis.kill();
    visit(&one, 1, 3).await;
    let mut stream = stream(&one, "", "").await;
    for _ in 0..3 {
        let (_, look) = event(&mut stream, "figures").await;
        assert_eq!(look["values"]["visitors"], 3, "{look}");
    }
    visit(&one, 4, 3).await;
    visit(&one, 5, 4).await;
    one.until_shown("seckill_page_views_total 6").await;
    // It comes back empty, and is told of those who came meanwhile.
    redis.restart().expect("it starts again");
    harness::until("redis to be told", async || {
        visit(&one, 1, 4).await;
        (count() == "3").then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_may_not_watch_any_more_is_told_and_let_go() {
    let shop = Shop::open().await;
    let admin = shop.signer.mint("root", Role::Admin, shop.engine.now(), 3_600);
    let mut revoked = stream(&shop, "", "").await;
    event(&mut revoked, "figures").await;
    let path = "/api/v1/admin/operators/ann/disable";
    assert_eq!(shop.post(path, &admin, None).await.status, 200);
    let (_, end) = event(&mut revoked, "end").await;
    assert_eq!(end["code"], "unauthenticated");
    assert!(end["detail"].as_str().is_some_and(|why| why.contains("is disabled")), "{end}");
    assert_eq!(revoked.chunk().await, None);

    let token = shop.signer.mint("eva", Role::Operator, shop.engine.now(), 2);
    let mut expiring = stream_of(&shop, &token, "", "").await;
    let (_, end) = event(&mut expiring, "end").await;
    assert_eq!(end["detail"], "the token has expired");
    assert_eq!(expiring.chunk().await, None);
}
