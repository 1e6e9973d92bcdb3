//! `POST /orderservice/order/pay`, as clients of the older order service send it.

use domain::{ItemId, UserId};
use harness::http::{Answer, Connection};
use seckill::http::{CompatOptions, LimitOptions, Options, Settle};
use serde_json::Value;
use std::collections::BTreeMap;
use support::{Ask, Shop, offer};

/// A shop whose first item the older clients buy.
async fn shop(change: impl FnOnce(&mut CompatOptions)) -> Shop {
    limited_shop(LimitOptions::NONE, change).await
}

async fn limited_shop(limits: LimitOptions, change: impl FnOnce(&mut CompatOptions)) -> Shop {
    let users =
        BTreeMap::from([("zhangsan".to_owned(), UserId(1)), ("李四".to_owned(), UserId(2))]);
    let mut compat =
        CompatOptions { item_id: ItemId(1), users, trusts_user_names: true, settle: Settle::Paid };
    change(&mut compat);
    Shop::with(Options { compat: Some(compat), limits, ..Options::default() }).await
}

async fn send(shop: &Shop, request: &[u8]) -> Answer {
    let mut connection = Connection::open(shop.address).await;
    connection.send(request).await;
    connection.answer().await
}

/// Orders with this token and body, in the bytes that the older service's own client sends.
async fn pay(shop: &Shop, user_token: &str, body: &str) -> Answer {
    let request = format!(
        "POST /orderservice/order/pay HTTP/1.1\r\nContent-Type: application/json\r\n\
         userToken: {user_token}\r\nUser-Agent: Apache-HttpClient/4.5.7 (Java/1.8.0_201)\r\n\
         Host: www.buba.com\r\nConnection: Keep-Alive\r\nAccept-Encoding: gzip,deflate\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    send(shop, request.as_bytes()).await
}

/// The code and status of a refusal, which has everything that a refusal must have, in its order.
fn refusal(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    let text = answer.text();
    let rest = text.strip_prefix("{\"code\":\"").expect(text);
    let (code, rest) = rest.split_once("\",\"msg\":\"").expect(text);
    let (message, rest) = rest.split_once("\",\"timestamp\":").expect(text);
    let timestamp = rest.strip_suffix(",\"data\":null}").expect(text);
    assert!(!message.is_empty() && timestamp.len() == 13, "{text}");
    assert!(timestamp.parse::<u64>().is_ok(), "{text}");
    (answer.status, code.to_owned())
}

/// The order's id and user of an answer that is one, byte for byte but for what differs each time.
fn order(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    let text = answer.text();
    let rest = text.strip_prefix(r#"{"code":"0","msg":"下单成功","timestamp":"#).expect(text);
    let (timestamp, rest) = rest.split_once(r#","data":{"id":""#).expect(text);
    let (id, rest) = rest.split_once(r#"","userid":""#).expect(text);
    let user = rest.strip_suffix(r#""}}"#).expect(text);
    assert!(timestamp.len() == 13 && timestamp.parse::<u64>().is_ok(), "{text}");
    let is_digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    assert!(id.len() == 32 && id.bytes().all(is_digit), "{text}");
    (id.to_owned(), user.to_owned())
}

/// The order as its buyer sees it.
async fn shown(shop: &Shop, id: &str, user_id: u64) -> Value {
    let number = u128::from_str_radix(id, 16).expect("hexadecimal");
    let shown = shop.get(&format!("/api/v1/orders/{number}"), Some(&shop.buyer(user_id))).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    shown.json()
}

#[tokio::test]
async fn the_older_clients_bytes_get_the_older_services_answer() {
    let shop = shop(|_| {}).await;
    let item = shop.live_item(3).await;
    let first = pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await;
    let (id, user) = order(&first);
    assert_eq!(user, "1");
    let shown = shown(&shop, &id, 1).await;
    assert_eq!((&shown["status"], &shown["item_id"]), (&"paid".into(), &item.into()));
    // Repeating it gives that order, and no second one.
    let again = pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await;
    assert_eq!(order(&again), (id, user));
    let (_, other) = order(&pay(&shop, "李四", r#"{"userName":"李四"}"#).await);
    assert_eq!(other, "2");
    let item = shop.get("/api/v1/items/1", None).await.json();
    assert_eq!((&item["counters"]["sold"], &item["counters"]["available"]), (&2.into(), &1.into()));
    shop.until_shown("seckill_purchases_total{outcome=\"placed\"} 2").await;
    assert!(shop.shows("seckill_purchases_total{outcome=\"replayed\"} 1").await);
    assert!(shop.shows("seckill_http_request_duration_seconds_count{route=\"buy\"} 3").await);
}

#[tokio::test]
async fn a_name_is_no_token_unless_names_are_trusted() {
    let shop = shop(|compat| compat.trusts_user_names = false).await;
    shop.live_item(3).await;
    let body = r#"{"userName":"zhangsan"}"#;
    let refused = pay(&shop, "zhangsan", body).await;
    assert_eq!(refusal(&refused), (401, "1001".to_owned()));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    let (_, user) = order(&pay(&shop, &shop.buyer(1), body).await);
    assert_eq!(user, "1");
    // Whose name is not known may be called anything but another's.
    let (_, user) = order(&pay(&shop, &shop.buyer(7), r#"{"userName":"wangwu"}"#).await);
    assert_eq!(user, "7");
    let another = pay(&shop, &shop.buyer(7), body).await;
    assert_eq!(refusal(&another), (200, "1002".to_owned()));
    for token in [shop.operator("ann"), format!("{}A", shop.buyer(1)), "\u{7f}".to_owned()] {
        let refused = pay(&shop, &token, body).await;
        if token != "\u{7f}" {
            assert_eq!(refusal(&refused), (401, "1001".to_owned()), "{token}");
        }
    }
}

#[tokio::test]
async fn every_refusal_is_an_envelope() {
    let shop = shop(|_| {}).await;
    let body = r#"{"userName":"zhangsan"}"#;
    let check = async |token: &str, body: &str, status: u16, code: &str| {
        let answer = pay(&shop, token, body).await;
        assert_eq!(refusal(&answer), (status, code.to_owned()), "{token} {body}");
    };
    // Nothing is on sale yet.
    check("zhangsan", body, 200, "2003").await;
    let now = shop.engine.now();
    let (later, end) = (now.plus_milliseconds(60_000), now.plus_milliseconds(120_000));
    shop.sale(shop.draft_between(later, end, &[offer("pear", 1)])).await;
    check("zhangsan", body, 200, "2003").await;
    check("nobody", r#"{"userName":"nobody"}"#, 401, "1001").await;
    check("zhangsan", r#"{"userName":"李四"}"#, 200, "1002").await;
    check("zhangsan", r#"{"userName":7}"#, 200, "2006").await;
    check("zhangsan", "{", 200, "2006").await;
    check("zhangsan", "", 200, "2006").await;
    check("zhangsan", &format!(r#"{{"userName":"{}"}}"#, "x".repeat(2_000)), 200, "2006").await;
    for (head, code) in [
        ("Host: shop\r\nContent-Type: text/plain\r\nuserToken: zhangsan\r\n", "2006"),
        ("Host: shop\r\nContent-Type: application/json\r\n", "1001"),
        ("Host: shop\r\nContent-Type: application/json\r\nuserToken:\r\n", "1001"),
        ("Host: shop\r\nuserToken: zhangsan\r\nuserToken: lisi\r\n", "2006"),
        ("Host: shop\r\nHost: shop\r\nuserToken: zhangsan\r\n", "2006"),
    ] {
        let request = format!(
            "POST /orderservice/order/pay HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(refusal(&send(&shop, request.as_bytes()).await).1, code, "{head}");
    }
}

#[tokio::test]
async fn what_is_gone_and_paused_and_unsure_has_its_code() {
    let shop = shop(|_| {}).await;
    shop.live_item(1).await;
    let item = "/api/v1/admin/sales/1";
    let ann = shop.operator("ann");
    assert_eq!(shop.post(&format!("{item}/pause"), &ann, None).await.status, 200);
    let paused = pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await;
    assert_eq!(refusal(&paused), (200, "2005".to_owned()));
    assert_eq!(shop.post(&format!("{item}/resume"), &ann, None).await.status, 200);
    order(&pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await);
    let gone = pay(&shop, "李四", r#"{"userName":"李四"}"#).await;
    assert_eq!(refusal(&gone), (200, "2001".to_owned()));
    assert_eq!(shop.post(&format!("{item}/end"), &ann, None).await.status, 200);
    let ended = pay(&shop, "李四", r#"{"userName":"李四"}"#).await;
    assert_eq!(refusal(&ended), (200, "2004".to_owned()));
    // Its holder has it for good.
    order(&pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await);
}

/// These clients know no buy token, so a guarded item is not theirs to buy; what they bought before is.
#[tokio::test]
async fn a_guarded_item_is_refused() {
    let shop = shop(|_| {}).await;
    shop.live_item(5).await;
    order(&pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await);
    let path = "/api/v1/admin/sales/1/items/1/admission";
    let token = shop.operator("ann");
    let body = Some(serde_json::json!({ "buy_token": true }));
    let guarded = shop.ask("PUT", path, Ask { token: Some(&token), body, ..Ask::default() }).await;
    assert_eq!(guarded.status, 200, "{}", guarded.text());
    let refused = pay(&shop, "李四", r#"{"userName":"李四"}"#).await;
    assert_eq!(refusal(&refused), (200, "2007".to_owned()));
    order(&pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await);
}

#[tokio::test]
async fn who_is_to_come_back_is_told_when() {
    let shop = shop(|_| {}).await;
    shop.live_item(1).await;
    shop.engine.drain(support::DRAIN_MAX).await;
    let stopping = pay(&shop, "李四", r#"{"userName":"李四"}"#).await;
    assert_eq!(refusal(&stopping), (503, "5030".to_owned()));
    assert!(stopping.header("retry-after").is_some());
}

#[tokio::test]
async fn who_orders_too_often_is_told_when_to_come_back() {
    let limits = LimitOptions { user_per_second: 1, user_burst: 2, ..LimitOptions::NONE };
    let shop = limited_shop(limits, |_| {}).await;
    shop.live_item(9).await;
    let mut limited = None;
    for attempt in 0..50 {
        let answer = pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await;
        if answer.status == 429 {
            limited = Some((attempt, answer));
            break;
        }
        order(&answer);
    }
    let (attempts, answer) = limited.expect("it has an end");
    assert!(attempts >= 2, "{attempts} were admitted");
    assert_eq!(refusal(&answer), (429, "4290".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("ratelimit"), Some("\"user\";r=0;t=1"));
    order(&pay(&shop, "李四", r#"{"userName":"李四"}"#).await);
}

#[tokio::test]
async fn an_order_by_another_way_is_a_second_one() {
    let shop = shop(|_| {}).await;
    let item = shop.live_item(3).await;
    assert_eq!(shop.buy(&item, 1, "k").await.status, 201);
    let second = pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await;
    assert_eq!(refusal(&second), (200, "2002".to_owned()));
}

#[tokio::test]
async fn a_dead_order_makes_room_for_another() {
    let shop = shop(|compat| compat.settle = Settle::Reserved).await;
    shop.live_item(1).await;
    let mut before = String::new();
    for _ in 0..3 {
        let (id, _) = order(&pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await);
        assert_ne!(id, before);
        let shown = shown(&shop, &id, 1).await;
        assert_eq!(shown["status"], "reserved");
        // The repeat of a later attempt is one, too.
        let (again, _) = order(&pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await);
        assert_eq!(again, id);
        let number = shown["order_id"].as_str().expect("an id");
        let path = format!("/api/v1/orders/{number}/cancel");
        assert_eq!(shop.post(&path, &shop.buyer(1), None).await.status, 200);
        before = id;
    }
}

#[tokio::test]
async fn buyers_who_give_up_again_and_again_come_to_an_end() {
    let shop = shop(|compat| compat.settle = Settle::Reserved).await;
    shop.live_item(1).await;
    let mut orders = 0;
    loop {
        let answer = pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await;
        if answer.json()["code"] != "0" {
            assert_eq!(refusal(&answer), (200, "2002".to_owned()));
            break;
        }
        let number = u128::from_str_radix(&order(&answer).0, 16).expect("hexadecimal");
        let path = format!("/api/v1/orders/{number}/cancel");
        assert_eq!(shop.post(&path, &shop.buyer(1), None).await.status, 200);
        orders += 1;
    }
    assert_eq!(orders, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_repeats_is_one_order() {
    let shop = std::sync::Arc::new(shop(|_| {}).await);
    shop.live_item(10).await;
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let shop = std::sync::Arc::clone(&shop);
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..16 {
                    ids.push(order(&pay(&shop, "zhangsan", r#"{"userName":"zhangsan"}"#).await).0);
                }
                ids
            })
        })
        .collect();
    let mut ids = Vec::new();
    for caller in callers {
        ids.extend(caller.await.expect("the caller lives"));
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    let item = shop.get("/api/v1/items/1", None).await.json();
    assert_eq!((&item["counters"]["sold"], &item["counters"]["reserved"]), (&1.into(), &0.into()));
}

#[tokio::test]
async fn without_the_setting_there_is_no_such_path() {
    let shop = Shop::open().await;
    let headers = [("usertoken", "zhangsan")];
    let body = Some(serde_json::json!({ "userName": "zhangsan" }));
    let ask = Ask { headers: &headers, body, ..Ask::default() };
    let answer = shop.ask("POST", "/orderservice/order/pay", ask).await;
    assert_eq!(answer.problem(), (404, "not_found".to_owned()));
}
