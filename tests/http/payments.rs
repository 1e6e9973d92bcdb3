//! Payments at a provider: how they begin, what its callbacks do, and what becomes of money that cannot pay its order.

use domain::{OrderId, PaymentState};
use harness::http::Answer;
use harness::{PROVIDER_KEY, PaymentProvider, Random, sign_callback, until};
use proto::v1;
use proto::v1::orders_client::OrdersClient;
use seckill::clock::Clock;
use seckill::http::{self, GrpcOptions, Options, SharedSecret};
use seckill::sales::PaymentFilter;
use seckill::store::outbound::{Outbound, OutboundOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use support::{Ask, DRAIN_MAX, Setup, Shop, offer, wait_until};
use tonic::Request;
use tonic::transport::Endpoint;

const PRICE: u64 = 4_999;

/// A shop that takes money through this provider.
async fn shop_of(provider: &PaymentProvider) -> Shop {
    let options = OutboundOptions {
        timeout: Duration::from_secs(20),
        in_flight_max: 4,
        failures_max: 1_000,
        pause: Duration::from_secs(1),
    };
    let outbound = Outbound::new(&provider.url(), options, Clock::start(domain::Timestamp(0)));
    let name = domain::ProviderName::parse("mall-pay").expect("a name");
    let secret = SharedSecret::new(&PROVIDER_KEY, Some(&[7; 32]));
    let provider = http::PaymentProvider::new(name, outbound.expect("a client"), secret);
    let http = Options {
        sandbox_payments: false,
        grpc: Some(GrpcOptions { reflection: false }),
        public_url: Some("https://shop.example".to_owned()),
        ..Options::default()
    };
    Setup { http, provider: Some(Arc::new(provider)), ..Setup::default() }.open().await
}

async fn bought(shop: &Shop, item: &str, user_id: u64, key: &str) -> String {
    let answer = shop.buy(item, user_id, key).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["order_id"].as_str().expect("an identity").to_owned()
}

/// Pays with this key.
async fn pay(shop: &Shop, order: &str, user_id: u64, key: &str) -> Answer {
    let token = shop.buyer(user_id);
    let ask = Ask { token: Some(&token), headers: &[("idempotency-key", key)], ..Ask::default() };
    shop.ask("POST", &format!("/api/v1/orders/{order}/pay"), ask).await
}

/// Begins a payment: its identity.
async fn begun(shop: &Shop, order: &str, user_id: u64, key: &str) -> String {
    let answer = pay(shop, order, user_id, key).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["payment"]["payment_id"].as_str().expect("an identity").to_owned()
}

fn captured(payment: &str, reference: &str, amount: u64) -> Value {
    json!({
        "payment_id": payment, "result": "captured", "reference": reference, "amount": amount,
        "currency": "EUR", "card": { "last4": "4242" },
    })
}

fn failed(payment: &str) -> Value {
    json!({ "payment_id": payment, "result": "failed", "reference": "none" })
}

/// Calls back as the provider does.
async fn call_back(shop: &Shop, told: &Value) -> Answer {
    let seconds = shop.engine.now().0 / 1000;
    call_back_with(
        shop,
        "mall-pay",
        &sign_callback(&PROVIDER_KEY, seconds, &told.to_string()),
        told,
    )
    .await
}

async fn call_back_with(
    shop: &Shop,
    provider: &str,
    headers: &[(&str, String)],
    told: &Value,
) -> Answer {
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = format!("/api/v1/payments/callbacks/{provider}");
    let ask = Ask { headers: &headers, body: Some(told.clone()), ..Ask::default() };
    shop.ask("POST", &path, ask).await
}

async fn status_of(shop: &Shop, order: &str, user_id: u64) -> Value {
    let answer = shop.get(&format!("/api/v1/orders/{order}"), Some(&shop.buyer(user_id))).await;
    answer.json()["status"].clone()
}

/// The sums of the stored payments by state.
async fn sums(shop: &Shop) -> BTreeMap<&'static str, u64> {
    let all = shop.orders.payments(&PaymentFilter::default(), None, 10_000).await.expect("rows");
    all.iter().fold(BTreeMap::new(), |mut sums, stored| {
        *sums.entry(stored.payment.state.name()).or_default() += stored.payment.amount;
        sums
    })
}

#[tokio::test]
async fn a_payment_begins_at_the_provider_and_its_callback_pays_the_order() {
    let provider = PaymentProvider::open().await;
    let shop = shop_of(&provider).await;
    let item = shop.live_item(3).await;
    let order = bought(&shop, &item, 1, "k").await;
    let answer = pay(&shop, &order, 1, "p").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let shown = answer.json();
    assert_eq!(shown["status"], "reserved");
    let payment = format!("{order}-1");
    let expected = json!({ "payment_id": payment, "state": "started", "url": provider.page() });
    assert_eq!(shown["payment"], expected);
    // The same key gets the same payment, and another one another.
    let again = pay(&shop, &order, 1, "p").await;
    assert_eq!((again.status, &again.json()["payment"]), (202, &expected));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(begun(&shop, &order, 1, "q").await, format!("{order}-2"));
    let asked = provider.asked();
    assert_eq!(asked.len(), 3);
    let (head, body) = asked[0].split_once("\r\n\r\n").expect("a body");
    assert!(head.contains(&format!("webhook-id: {payment}\r\n")), "{head}");
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((&body["amount"], &body["currency"]), (&json!(PRICE), &json!("EUR")));
    assert_eq!(body["return_url"], format!("https://shop.example/orders/{order}"));
    let back = shop.get(&format!("/orders/{order}"), None).await;
    assert_eq!(back.header("location"), Some(format!("/en/orders/{order}").as_str()));

    let told = captured(&payment, "ch_1", PRICE);
    let noted = call_back(&shop, &told).await;
    let expected = json!({ "payment_id": payment, "state": "captured", "repeated": false });
    assert_eq!((noted.status, noted.json()), (200, expected));
    assert_eq!(status_of(&shop, &order, 1).await, "paid");
    let repeated = call_back(&shop, &told).await.json();
    assert_eq!((&repeated["state"], &repeated["repeated"]), (&json!("captured"), &json!(true)));
    // Paid once is enough: nothing more is begun, and other money goes back.
    let after = pay(&shop, &order, 1, "r").await;
    assert_eq!((after.status, after.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(provider.asked().len(), 3);
    let second = call_back(&shop, &captured(&format!("{order}-2"), "ch_2", PRICE)).await.json();
    assert_eq!(second["state"], "refund_due");
    assert_eq!(status_of(&shop, &order, 1).await, "paid");
    for line in [
        "seckill_payments_total{state=\"started\"} 2",
        "seckill_payments_total{state=\"captured\"} 1",
        "seckill_payments_total{state=\"refund_due\"} 1",
        "seckill_payment_callbacks_total{answer=\"noted\"} 2",
        "seckill_payment_callbacks_total{answer=\"repeated\"} 1",
    ] {
        assert!(shop.shows(line).await, "{line}");
    }
}

#[tokio::test]
async fn nobody_but_the_provider_is_believed() {
    let provider = PaymentProvider::open().await;
    let shop = shop_of(&provider).await;
    let item = shop.live_item(3).await;
    let order = bought(&shop, &item, 1, "k").await;
    let told = captured(&begun(&shop, &order, 1, "p").await, "ch_1", PRICE);
    let text = told.to_string();
    let now = shop.engine.now().0 / 1000;
    let signed = |key: &[u8], seconds: u64| sign_callback(key, seconds, &text);
    let other = captured(&format!("{order}-1"), "ch_1", PRICE + 1).to_string();
    for (headers, why) in [
        (vec![], "needed"),
        (signed(&PROVIDER_KEY, now)[..2].to_vec(), "needed"),
        (signed(&[8; 32], now).to_vec(), "secret"),
        (sign_callback(&PROVIDER_KEY, now, &other).to_vec(), "secret"),
        (signed(&PROVIDER_KEY, now - 400).to_vec(), "five minutes"),
        (signed(&PROVIDER_KEY, now + 400).to_vec(), "five minutes"),
    ] {
        let refused = call_back_with(&shop, "mall-pay", &headers, &told).await;
        assert_eq!(refused.problem(), (401, "signature_invalid".to_owned()), "{headers:?}");
        let detail = refused.json()["detail"].as_str().expect("words").to_owned();
        assert!(detail.contains(why), "{detail}");
    }
    let signed_now = signed(&PROVIDER_KEY, now);
    for name in ["sandbox", "mall", "mall-pay2"] {
        let refused = call_back_with(&shop, name, &signed_now, &told).await;
        assert_eq!(refused.problem(), (404, "not_found".to_owned()), "{name}");
    }
    assert_eq!(status_of(&shop, &order, 1).await, "reserved");
    assert!(shop.shows("seckill_payment_callbacks_total{answer=\"signature_invalid\"} 6").await);
    // What is signed and says nothing of use is told so.
    let wrong = call_back(&shop, &json!({ "payment_id": "x", "result": "captured" })).await;
    assert_eq!(wrong.problem(), (422, "invalid_field".to_owned()));
    for (told, code) in [
        (captured("1-1", "ch_1", PRICE), "order_not_found"),
        (failed(&format!("{order}-9")), "payment_not_found"),
    ] {
        assert_eq!(call_back(&shop, &told).await.problem(), (404, code.to_owned()));
    }
    let long = json!({ "payment_id": "x".repeat(17 * 1024) });
    assert_eq!(call_back(&shop, &long).await.problem().0, 413);
    // The secret of before is still believed.
    let old = call_back_with(&shop, "mall-pay", &signed(&[7; 32], now), &told).await;
    assert_eq!(old.json()["state"], "captured", "{}", old.text());
}

#[tokio::test]
async fn a_capture_of_nothing_is_a_payment_that_failed() {
    let provider = PaymentProvider::open().await;
    let shop = shop_of(&provider).await;
    let item = shop.live_item(3).await;
    let order = bought(&shop, &item, 1, "k").await;
    let payment = begun(&shop, &order, 1, "p").await;
    for repeated in [false, true] {
        let noted = call_back(&shop, &captured(&payment, "ch_1", 0)).await;
        let expected = json!({ "payment_id": payment, "state": "failed", "repeated": repeated });
        assert_eq!((noted.status, noted.json()), (200, expected));
    }
    let unasked = call_back(&shop, &captured(&format!("{order}-7"), "ch_2", 0)).await;
    assert_eq!(unasked.problem(), (404, "payment_not_found".to_owned()));
    assert_eq!(status_of(&shop, &order, 1).await, "reserved");
    assert!(shop.shows("seckill_payments_total{state=\"refund_due\"} 0").await);
    let money = call_back(&shop, &captured(&payment, "ch_1", PRICE)).await;
    assert_eq!(money.json()["state"], "captured");
    assert_eq!(status_of(&shop, &order, 1).await, "paid");
}

#[tokio::test]
async fn over_grpc_a_payment_begins_on_the_same_page() {
    let provider = PaymentProvider::open().await;
    let shop = shop_of(&provider).await;
    let item = shop.live_item(3).await;
    let order = bought(&shop, &item, 1, "k").await;
    let order_id = order.parse().expect("a number");
    let channel = Endpoint::from_shared(format!("http://{}", shop.address)).expect("an address");
    let mut orders = OrdersClient::new(channel.connect().await.expect("a connection"));
    let mut wish = Request::new(v1::PayRequest { order_id, idempotency_key: "p".to_owned() });
    let bearer = format!("Bearer {}", shop.buyer(1)).parse().expect("a token");
    wish.metadata_mut().insert("authorization", bearer);
    let answer = orders.pay(wish).await.expect("it begins").into_inner();
    assert_eq!(answer.status(), v1::OrderStatus::Reserved);
    assert_eq!(answer.payment_url.as_deref(), Some(provider.page().as_str()));
    // The key is the buyer's, however it comes.
    assert_eq!(begun(&shop, &order, 1, "p").await, format!("{order}-1"));
}

#[tokio::test]
async fn a_provider_that_does_not_answer_costs_a_repeat() {
    let provider = PaymentProvider::open().await;
    let shop = shop_of(&provider).await;
    let item = shop.live_item(3).await;
    let order = bought(&shop, &item, 1, "k").await;
    for (status, body) in [
        (500, "{}"),
        (404, "{}"),
        (200, "no JSON"),
        (200, "{\"url\":\"javascript:alert(1)\"}"),
        (200, "{\"url\":7}"),
    ] {
        provider.says(status, body);
        let refused = pay(&shop, &order, 1, "p").await;
        assert_eq!(refused.problem(), (503, "payment_unavailable".to_owned()), "{status} {body}");
        assert!(refused.header("retry-after").is_some());
    }
    let ready = shop.look("/readyz?verbose").await.json();
    let dependencies = ready["dependencies"].as_array().expect("a list").iter();
    let payments: Vec<_> = dependencies.filter(|one| one["name"] == "payments").collect();
    assert_eq!(payments[0]["healthy"], false);
    provider.says(201, "{\"url\":\"https://pay.example/p/1\"}");
    assert_eq!(begun(&shop, &order, 1, "p").await, format!("{order}-1"), "it is the same payment");
    // One that failed is over, and its key with it.
    assert_eq!(call_back(&shop, &failed(&format!("{order}-1"))).await.json()["state"], "failed");
    assert_eq!(pay(&shop, &order, 1, "p").await.problem(), (402, "payment_failed".to_owned()));
    assert_eq!(begun(&shop, &order, 1, "q").await, format!("{order}-2"));
    // What a payment at a provider comes to is not for the buyer to say.
    let token = shop.buyer(1);
    let body = Some(json!({ "payment": { "outcome": "succeed" } }));
    let told = shop.post(&format!("/api/v1/orders/{order}/pay"), &token, body).await;
    assert_eq!(told.problem(), (422, "invalid_field".to_owned()));
    for number in 2..32 {
        begun(&shop, &order, 1, &format!("more-{number}")).await;
    }
    let refused = pay(&shop, &order, 1, "one-too-many").await;
    assert_eq!(refused.problem(), (409, "too_many_payments".to_owned()));
    assert_eq!(status_of(&shop, &order, 1).await, "reserved");
}

/// Whatever a provider tells, and in whatever order, the money is counted once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_ten_times_and_shuffled_come_to_the_same_sums() {
    const ORDERS: u64 = 6;
    let mut random = Random::of("shuffled callbacks");
    for _ in 0..3 {
        let provider = PaymentProvider::open().await;
        let shop = shop_of(&provider).await;
        let backends = shop.start_backends().await;
        let item = shop.live_item(20).await;
        let mut told = Vec::new();
        let mut orders = Vec::new();
        for user_id in 1..=ORDERS {
            let order = bought(&shop, &item, user_id, "k").await;
            let payment = begun(&shop, &order, user_id, "p").await;
            told.push(failed(&payment));
            told.push(captured(&payment, &format!("a-{order}"), PRICE));
            told.push(captured(&payment, &format!("b-{order}"), PRICE));
            // Money that nobody had asked for, and that is not the price.
            told.push(captured(&format!("{order}-7"), &format!("c-{order}"), PRICE + 1));
            orders.push((order, user_id));
        }
        let mut calls: Vec<Value> = (0..10).flat_map(|_| told.clone()).collect();
        for place in (1..calls.len()).rev() {
            let other = random.below(place as u64 + 1);
            calls.swap(place, usize::try_from(other).expect("a place"));
        }
        for some in calls.chunks(8) {
            let answers = some.iter().map(|told| call_back(&shop, told));
            for answer in futures_util::future::join_all(answers).await {
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        }
        for (order, user_id) in &orders {
            assert_eq!(status_of(&shop, order, *user_id).await, "paid");
        }
        let expected = BTreeMap::from([
            ("captured", ORDERS * PRICE),
            ("refund_due", ORDERS * (PRICE + PRICE + 1)),
        ]);
        until("every payment in the order store", async || {
            (sums(&shop).await == expected).then_some(())
        })
        .await;
        let payments = shop.orders.payments(&PaymentFilter::default(), None, 1_000).await;
        assert_eq!(payments.expect("rows").len() as u64, 3 * ORDERS);
        backends.stop(&shop.engine, DRAIN_MAX).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_for_an_order_that_was_released_is_a_refund() {
    let provider = PaymentProvider::open().await;
    let shop = shop_of(&provider).await;
    let mut pear = offer("pear", 5);
    pear["payment_window_seconds"] = json!(1);
    let now = shop.engine.now();
    let short = shop.draft_between(now, now.plus_milliseconds(2_000), &[pear]);
    let (_, items) = shop.sale(short).await;
    let order = bought(&shop, &items[0], 1, "k").await;
    let payment = begun(&shop, &order, 1, "p").await;
    let backends = shop.start_backends().await;
    let gate = shop.engine.gate(items[0].parse().expect("a number")).expect("a gate");
    harness::patiently("settling", wait_until(|| gate.is_settled())).await;
    let refused = pay(&shop, &order, 1, "q").await;
    assert_eq!(refused.problem(), (409, "order_closed".to_owned()));
    // That no money comes is nothing any more, and stops nobody from buying.
    for told in [failed(&payment), captured(&payment, "ch_0", 0)] {
        let noted = call_back(&shop, &told).await;
        let expected = json!({ "payment_id": payment, "state": "started", "repeated": true });
        assert_eq!((noted.status, noted.json()), (200, expected));
    }
    for is_repeat in [false, true] {
        let noted = call_back(&shop, &captured(&payment, "ch_1", PRICE)).await;
        assert_eq!(noted.status, 200, "{}", noted.text());
        let expected =
            json!({ "payment_id": payment, "state": "refund_due", "repeated": is_repeat });
        assert_eq!(noted.json(), expected);
    }
    let due = BTreeMap::from([("refund_due", PRICE)]);
    until("the refund in the order store", async || (sums(&shop).await == due).then_some(())).await;
    let path = format!("/api/v1/admin/refunds/{payment}");
    let body = Some(json!({ "reference": "re_1" }));
    let settled = shop.post(&path, &shop.operator("ann"), body).await;
    assert_eq!((settled.status, &settled.json()["state"]), (200, &json!("refunded")));
    let made = BTreeMap::from([("refunded", PRICE)]);
    until("the refund as made", async || (sums(&shop).await == made).then_some(())).await;
    let late = call_back(&shop, &captured(&payment, "ch_1", PRICE)).await.json();
    assert_eq!((&late["state"], &late["repeated"]), (&json!("refunded"), &json!(true)));
    backends.stop(&shop.engine, DRAIN_MAX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_are_listed_marked_once_and_sent_as_a_file() {
    let shop = Shop::open().await;
    let backends = shop.start_backends().await;
    let (sale, items) = shop.sale(shop.draft(&[offer("pear", 20)])).await;
    let twice = json!({ "payment": { "outcome": "twice" } });
    let mut orders = Vec::new();
    for user_id in 1..=3 {
        let order = bought(&shop, &items[0], user_id, "k").await;
        let pay = format!("/api/v1/orders/{order}/pay");
        let paid = shop.post(&pay, &shop.buyer(user_id), Some(twice.clone())).await;
        assert_eq!((paid.status, &paid.json()["status"]), (200, &json!("paid")));
        orders.push(order);
    }
    let ann = shop.operator("ann");
    let list = async |query: &str| {
        let page = shop.get(&format!("/api/v1/admin/refunds{query}"), Some(&ann)).await;
        assert_eq!(page.status, 200, "{query}: {}", page.text());
        page
    };
    let ids = |page: &Answer| -> Vec<String> {
        let page = page.json();
        let rows = page["data"].as_array().expect("rows").iter();
        rows.map(|row| row["payment_id"].as_str().expect("an identity").to_owned()).collect()
    };
    let expected: Vec<String> = orders.iter().map(|order| format!("{order}-2")).collect();
    until("the refunds", async || (ids(&list("").await) == expected).then_some(())).await;
    let first = list("?limit=2").await;
    assert_eq!((ids(&first), &first.json()["has_more"]), (expected[..2].to_vec(), &json!(true)));
    let row = first.json()["data"][0].clone();
    assert_eq!((&row["provider"], &row["amount"]), (&json!("sandbox"), &json!(PRICE)));
    assert_eq!((&row["state"], &row["refund_reference"]), (&json!("refund_due"), &Value::Null));
    let rest = list(&format!("?limit=2&starting_after={}", expected[1])).await;
    assert_eq!((ids(&rest), &rest.json()["has_more"]), (expected[2..].to_vec(), &json!(false)));
    assert_eq!(ids(&list(&format!("?sale={sale}&provider=sandbox")).await), expected);
    for nothing in ["?sale=999999", "?provider=mall-pay", "?state=refunded"] {
        assert!(ids(&list(nothing).await).is_empty(), "{nothing}");
    }

    let path = format!("/api/v1/admin/refunds/{}", expected[0]);
    let mark = async |token: &str, body: Value| shop.post(&path, token, Some(body)).await;
    assert_eq!(mark(&shop.buyer(1), json!({ "reference": "re_1" })).await.problem().0, 403);
    for wrong in [json!({}), json!({ "reference": "a b" }), json!({ "reference": "" })] {
        assert_eq!(mark(&ann, wrong).await.problem(), (422, "invalid_field".to_owned()));
    }
    for is_repeat in [false, true] {
        let marked = mark(&ann, json!({ "reference": "re_1" })).await;
        assert_eq!(marked.status, 200, "{}", marked.text());
        assert_eq!(marked.json()["refund_reference"], "re_1");
        assert_eq!(marked.json()["order"]["status"], "paid");
        assert_eq!(marked.header("idempotent-replayed").is_some(), is_repeat);
    }
    let other = mark(&ann, json!({ "reference": "re_2" })).await;
    assert_eq!(other.problem(), (409, "payment_closed".to_owned()));
    for id in [format!("{}-1", orders[0]), format!("{}-9", orders[0]), "1-1".into(), "x".into()] {
        let path = format!("/api/v1/admin/refunds/{id}");
        let refused = shop.post(&path, &ann, Some(json!({ "reference": "re_1" }))).await;
        assert!(matches!(refused.problem().0, 404 | 409), "{id}: {}", refused.text());
    }
    let log = shop.get("/api/v1/admin/audit-log?limit=2", Some(&ann)).await.json();
    assert_eq!(log["data"][1]["action"], "payment.refund");
    assert_eq!(log["data"][1]["subject"], format!("payment:{}", expected[0]));
    assert_eq!(log["data"][1]["detail"], json!({ "reference": "re_1", "repeat": false }));

    let made = async || {
        let made = list("?state=refunded").await;
        (ids(&made) == expected[..1]).then_some(made)
    };
    let made = until("the refund as made", made).await;
    assert_eq!(made.json()["data"][0]["refund_reference"], "re_1");
    assert_eq!(ids(&list("").await), expected[1..]);
    let file = list("?format=csv").await;
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"refunds.csv\""));
    let lines: Vec<&str> = file.text().lines().collect();
    assert!(lines[0].starts_with("payment_id,order_id,"), "{}", lines[0]);
    assert!(lines[1].starts_with(&format!("{},{}", expected[1], orders[1])), "{}", lines[1]);
    assert_eq!(lines.len(), 3);
    let excel = list("?format=csv&excel=true&state=refunded").await;
    assert!(excel.text().starts_with('\u{FEFF}') && excel.text().contains("\"=\"\""));
    backends.stop(&shop.engine, DRAIN_MAX).await;
}

/// As at a provider: a request's repeat gets what came of its payment, and an order has 32 of them at most.
#[tokio::test]
async fn a_key_names_one_payment_of_the_sandbox() {
    let shop = Shop::open().await;
    let item = shop.live_item(9).await;
    let order = bought(&shop, &item, 1, "k").await;
    let path = format!("/api/v1/orders/{order}/pay");
    let token = shop.buyer(1);
    for number in 1..=32 {
        let key = format!("key-{number}");
        let ask = Ask {
            token: Some(&token),
            headers: &[("idempotency-key", &key)],
            body: Some(json!({ "payment": { "outcome": "fail" } })),
        };
        let refused = shop.ask("POST", &path, ask).await;
        assert_eq!(refused.problem(), (402, "payment_failed".to_owned()), "{key}");
    }
    // With no body it would succeed.
    let repeated = pay(&shop, &order, 1, "key-1").await;
    assert_eq!(repeated.problem(), (402, "payment_failed".to_owned()));
    let refused = pay(&shop, &order, 1, "one-too-many").await;
    assert_eq!(refused.problem(), (409, "too_many_payments".to_owned()));
    assert_eq!(status_of(&shop, &order, 1).await, "reserved");
}

#[tokio::test]
async fn the_sandbox_fails_is_late_and_takes_money_twice_on_record() {
    let shop = Shop::open().await;
    let backends = shop.start_backends().await;
    let item = shop.live_item(9).await;
    let told = |outcome: &str| Some(json!({ "payment": { "outcome": outcome } }));
    for (user_id, outcome, status, states) in [
        (1, "succeed", "paid", &[PaymentState::Captured][..]),
        (2, "fail", "reserved", &[PaymentState::Failed]),
        (3, "late", "paid", &[PaymentState::Captured]),
        (4, "twice", "paid", &[PaymentState::Captured, PaymentState::RefundDue]),
    ] {
        let order = bought(&shop, &item, user_id, "k").await;
        let path = format!("/api/v1/orders/{order}/pay");
        shop.post(&path, &shop.buyer(user_id), told(outcome)).await;
        assert_eq!(status_of(&shop, &order, user_id).await, status, "{outcome}");
        let order_id: OrderId = order.parse().expect("an identity");
        until("the payments in the order store", async || {
            let stored = shop.orders.payments_of(order_id).await.expect("rows");
            let found: Vec<_> = stored.iter().map(|stored| stored.payment.state).collect();
            (found == states).then_some(())
        })
        .await;
    }
    // In a shop without provider there is nobody to call back.
    let told = captured("1-1", "ch_1", PRICE);
    assert_eq!(call_back(&shop, &told).await.problem(), (404, "not_found".to_owned()));
    backends.stop(&shop.engine, DRAIN_MAX).await;
}
