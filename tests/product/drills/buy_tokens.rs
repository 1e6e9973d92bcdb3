//! Killed between a guarded purchase's order and its answer: the token finds the order again.

use crate::support::{Client, Offer, OpenSale, Server, Site};
use std::os::unix::process::ExitStatusExt;

const OFFERS: &[Offer] = &[Offer { allotted: 100, limit: 100, window_seconds: 600 }];
const POINTS: &[&str] = &["journal-after-sync", "journal-before-release"];

/// Guards the shop's item. The API is asked once, so the sale is found by its item.
async fn guard(client: &mut Client, shop: &OpenSale) {
    let item = format!("/api/v1/items/{}", shop.items[0]);
    let shown = client.send("GET", &item, "", &[], "").await.expect("it answers").json();
    let sale = shown["sale_id"].as_str().expect("an identity").to_owned();
    let path = format!("/api/v1/admin/sales/{sale}/items/{}/admission", shop.items[0]);
    let body = r#"{"buy_token":true}"#;
    let answer = client.send("PUT", &path, &shop.operator, &[], body).await.expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn buy_url(client: &mut Client, shop: &OpenSale) -> String {
    let path = format!("/api/v1/items/{}/buy-token", shop.items[0]);
    let answer = client.send("POST", &path, &shop.tokens[0], &[], "").await.expect("it answers");
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["buy_url"].as_str().expect("a path").to_owned()
}

/// Uses the token on as many connections at once: the orders that it gets, none of which is new.
async fn replayed_at_once(server: &Server, url: &str, token: &str) -> Vec<u64> {
    const REPLAYS: usize = 64;
    let mut clients = Vec::new();
    for _ in 0..REPLAYS {
        clients.push(server.client().await);
    }
    let uses = clients.iter_mut().map(async |client| {
        let answer = client.send("POST", url, token, &[], "").await.expect("it answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.id("order_id")
    });
    futures_util::future::join_all(uses).await
}

/// A server that dies when it has passed the point once more with a purchase under way: some pass it
/// before they listen.
async fn dying_at(site: &Site, point: &str) -> Server {
    for passes in 0..16 {
        let failpoints = match passes {
            0 => format!("{point}=return"),
            _ => format!("{point}={passes}*off->return"),
        };
        let server = site.launch(&failpoints);
        if server.listens().await.is_ok() {
            return server;
        }
    }
    panic!("{point} is passed too often before it listens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_finds_the_order_whose_answer_was_lost() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    guard(&mut server.client().await, &shop).await;
    server.stop().await;
    let mut orders = Vec::new();
    for point in POINTS {
        let server = dying_at(&site, point).await;
        let mut client = server.client().await;
        let url = buy_url(&mut client, &shop).await;
        let answer = client.send("POST", &url, &shop.tokens[0], &[], "").await;
        assert!(answer.is_err(), "{point}: the answer was lost: {answer:?}");
        let status = server.ended().await;
        assert_eq!(status.signal(), Some(9), "{point}: {status}");

        let server = site.start().await;
        let mut client = server.client().await;
        let plain = shop.buy(&mut client, shop.items[0], 0, "plain").await.expect("it answers");
        assert_eq!(plain.problem(), (403, "buy_token_required".to_owned()));
        let mut found = replayed_at_once(&server, &url, &shop.tokens[0]).await;
        found.dedup();
        assert_eq!(found.len(), 1, "{point}: one order");
        orders.append(&mut found);
        assert_eq!(shop.counters(&mut client, shop.items[0]).await[2], orders.len() as u64);
        server.stop().await;
    }
    site.audit(orders).must_balance();
}
