//! Killed between a provider's callback and its answer: the money is neither lost nor counted twice.

use crate::support::{Client, Offer, OpenSale, Server, Site};
use harness::http::Answer;
use harness::{PROVIDER_KEY, PaymentProvider, sign_callback};
use seckill::clock::wall_now;
use serde_json::json;
use std::os::unix::process::ExitStatusExt;

const OFFERS: &[Offer] = &[Offer { allotted: 100, limit: 100, window_seconds: 600 }];
/// After the callback is durable, and before it is.
const POINTS: &[&str] = &["payment-noted", "journal-before-release", "journal-before-write"];

async fn begun(client: &mut Client, shop: &OpenSale, order: u64) -> String {
    let path = format!("/api/v1/orders/{order}/pay");
    let key = [("idempotency-key", "p")];
    let answer = client.send("POST", &path, &shop.tokens[0], &key, "").await.expect("it answers");
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["payment"]["payment_id"].as_str().expect("an identity").to_owned()
}

async fn call_back(client: &mut Client, payment: &str, reference: &str) -> std::io::Result<Answer> {
    let told = json!({
        "payment_id": payment, "result": "captured", "reference": reference, "amount": 100,
        "currency": "EUR",
    });
    let body = told.to_string();
    let headers = sign_callback(&PROVIDER_KEY, wall_now().0 / 1000, &body);
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    client.send("POST", "/api/v1/payments/callbacks/mall-pay", "", &headers, &body).await
}

/// A server that dies when a callback passes the point: some pass it before they listen, and for the order and the
/// payment before it.
async fn dying_at(site: &Site, point: &str, passes: u32) -> Option<Server> {
    let failpoints = match passes {
        0 => format!("{point}=return"),
        _ => format!("{point}={passes}*off->return"),
    };
    let server = site.launch(&failpoints);
    server.listens().await.is_ok().then_some(server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_told_of_before_a_crash_counts_once_after_it() {
    let provider = PaymentProvider::open().await;
    let mut site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    server.stop().await;
    site.set("PAYMENTS__SANDBOX", "false");
    site.set("PAYMENTS__PROVIDER", "mall-pay");
    site.set("PAYMENTS__URL", &provider.url());
    site.set("PAYMENTS__SECRET", &PaymentProvider::secret());
    let mut orders = Vec::new();
    for point in POINTS {
        // The order and its payment, by a server that lives.
        let server = site.start().await;
        let mut client = server.client().await;
        let key = format!("k{}", orders.len());
        let bought = shop.buy(&mut client, shop.items[0], 0, &key).await.expect("it answers");
        let order = bought.id("order_id");
        let payment = begun(&mut client, &shop, order).await;
        server.stop().await;

        let mut server = None;
        for passes in 0..32 {
            server = dying_at(&site, point, passes).await;
            if server.is_some() {
                break;
            }
        }
        let server = server.expect("it listens before the point is passed so often");
        let answer = call_back(&mut server.client().await, &payment, "ch_1").await;
        assert!(answer.is_err(), "{point}: the answer was lost: {answer:?}");
        let status = server.ended().await;
        assert_eq!(status.signal(), Some(9), "{point}: {status}");

        let server = site.start().await;
        let mut client = server.client().await;
        let noted = call_back(&mut client, &payment, "ch_1").await.expect("it answers").json();
        assert_eq!(noted["state"], "captured", "{point}: {noted}");
        if *point == "payment-noted" {
            assert_eq!(noted["repeated"], true, "it was durable: {noted}");
        }
        let twice = call_back(&mut client, &payment, "ch_1").await.expect("it answers").json();
        assert_eq!((&twice["state"], &twice["repeated"]), (&json!("captured"), &json!(true)));
        let other = call_back(&mut client, &payment, "ch_2").await.expect("it answers").json();
        assert_eq!(other["state"], "refund_due", "{point}: {other}");
        let shown = shop.order(&mut client, order, 0).await.expect("it answers").json();
        assert_eq!(shown["status"], "paid", "{point}: {shown}");
        orders.push(order);
        server.stop().await;
    }
    assert_eq!(provider.asked().len(), POINTS.len());
    site.audit(orders).must_balance();
}
