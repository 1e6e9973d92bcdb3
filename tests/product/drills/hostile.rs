//! Clients that are slow, large or talk nonsense, while others buy.

use crate::support::{
    Attempt, Client, Crowd, Offer, OpenSale, Random, Server, Site, Witness, must_sell, patiently,
    until,
};
use harness::hostile;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const OFFER: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };
/// Hostile clients of one kind at the same time.
const HOSTILE: usize = 100;
/// What a hundred of them may cost in memory, with buffers and an allocator's generosity.
const MEMORY_BYTES_MAX: u64 = 64 << 20;

/// A server that is short of patience, and a shop in it.
async fn impatient() -> (Site, Server, Arc<OpenSale>, Arc<Witness>) {
    let site = Site::new()
        .with("ENGINE__REPLY_TIMEOUT_MS", "60000")
        .with("HTTP__HEADER_TIMEOUT_MS", "300")
        .with("HTTP__BODY_TIMEOUT_MS", "300")
        .with("HTTP__WRITE_TIMEOUT_MS", "300")
        .with("HTTP__IDLE_TIMEOUT_MS", "1000");
    let (server, shop) = site.open_shop(160, &[OFFER]).await;
    (site, server, Arc::new(shop), Arc::new(Witness::default()))
}

/// The server is as it was: it sells, passes the audit and has not grown.
async fn must_be_healthy(
    (site, server, shop, witness): (Site, Server, Arc<OpenSale>, Arc<Witness>),
    memory_before: u64,
) {
    let attempt = Attempt { item: shop.items[0], buyer: 0, key: "after-all".to_owned() };
    must_sell(&server, &shop, &witness, attempt).await;
    let grown = server.memory_bytes().saturating_sub(memory_before);
    assert!(grown < MEMORY_BYTES_MAX, "grown by {grown} bytes");
    until("readiness", async || (server.get("/readyz").await.text() == "ok\n").then_some(())).await;
    server.stop().await;
    assert!(!site.log().contains("panicked at"), "{}", site.log());
    witness.close(&site, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_slow_bodies_and_slow_readers_are_closed_while_others_buy() {
    let mut random = Random::of("slow clients");
    let (site, server, shop, witness) = impatient().await;
    let address = server.address();
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(100).await;
    let memory = server.memory_bytes();
    let buy = format!("/api/v1/items/{}/buy", shop.items[0]);
    let slow = hostile::slow_requests(&buy, &shop.tokens[0]);
    let mut hostile = JoinSet::new();
    for number in 0..3 * HOSTILE {
        let words = slow[number % 3].clone();
        hostile.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            // A client that does not listen may be cut off while still talking.
            let _ = stream.write_all(words.as_bytes()).await;
            if number % 3 == 2 {
                // Reads nothing until the server is done with it.
                return Some(stream);
            }
            let answer = until_closed(&mut stream).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
            None
        });
    }
    let mut deaf = Vec::new();
    while let Some(stream) = patiently("hostile clients", hostile.join_next()).await {
        deaf.extend(stream.expect("no client saw anything wrong"));
    }
    crowd.answers(200).await;
    assert_eq!(crowd.unavailable(), 0, "others are served");
    crowd.leave().await;
    // All are gone, those that do not read too; who asks does so elsewhere.
    until("connections to be closed", async || {
        (server.figure("seckill_http_connections").await == 0).then_some(())
    })
    .await;
    drop(deaf);
    must_be_healthy((site, server, shop, witness), memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_in_little_memory() {
    let (site, server, shop, witness) = impatient().await;
    let memory = server.memory_bytes();
    let buy = format!("/api/v1/items/{}/buy", shop.items[0]);
    let mut hostile = JoinSet::new();
    for (bytes, statuses) in hostile::oversized_requests(&buy, &shop.tokens[0]) {
        for _ in 0..HOSTILE / 10 {
            let (bytes, address) = (bytes.clone(), server.address());
            hostile.spawn(async move { must_hear(address, &bytes, statuses).await });
        }
    }
    while let Some(heard) = patiently("hostile clients", hostile.join_next()).await {
        heard.expect("no client heard anything wrong");
    }
    must_be_healthy((site, server, shop, witness), memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_and_changes_nothing() {
    let (site, server, shop, witness) = impatient().await;
    let mut client = server.client().await;
    let memory = server.memory_bytes();
    let item = shop.items[0];
    let before = shop.counters(&mut client, item).await;
    let buy = format!("/api/v1/items/{item}/buy");
    let impossible = hostile::IMPOSSIBLE_QUANTITIES;
    let impossible = impossible.map(|body| (body.as_bytes().to_vec(), "invalid_field"));
    for (body, code) in hostile::nonsense_bodies().into_iter().chain(impossible) {
        let bytes = hostile::purchase(&buy, &shop.tokens[0], &body);
        let answer = client.exchange(&bytes).await.expect("an answer");
        let shown = String::from_utf8_lossy(&body);
        assert!((400..500).contains(&answer.status), "{shown}: {answer:?}");
        assert_eq!(answer.code(), code, "{shown}: {}", answer.text());
    }
    for body in hostile::impossible_sales() {
        let path = "/api/v1/admin/sales";
        let answer = client.send("POST", path, &shop.operator, &[], &body).await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_field"), "{body}");
    }
    for bytes in hostile::MALFORMED_HEADS {
        must_hear(server.address(), bytes, &["400", "405", "505"]).await;
    }
    assert_eq!(shop.counters(&mut client, item).await, before);
    must_be_healthy((site, server, shop, witness), memory).await;
}

/// Sends these bytes: the answer is one of these, or the connection is closed without one.
async fn must_hear(address: SocketAddr, bytes: &[u8], statuses: &[&str]) {
    let mut client = Client::open(address).await.expect("it listens");
    let answer = patiently("an answer or a closed connection", client.exchange(bytes)).await;
    if let Ok(answer) = answer {
        let status = answer.status.to_string();
        assert!(statuses.contains(&status.as_str()), "{answer:?}");
    }
}

/// All that the server says until it closes.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is a closed connection too.
    let _ = patiently("a closed connection", stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}
