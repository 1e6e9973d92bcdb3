//! What a buyer solves before a token is given out.

use harness::http::Answer;
use harness::proof::solve;
use parking_lot::Mutex;
use seckill::actors::{Outbound, OutboundError, OutboundOptions};
use seckill::clock::Clock;
use seckill::http::{Account, ChallengeOptions, Difficulty, External, OnError, Options};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use support::{Ask, Setup, Shop, offer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

async fn shop() -> Shop {
    let difficulty = Difficulty { cost: 1, prefix: "0".to_owned() };
    let challenge = ChallengeOptions { difficulty, ..ChallengeOptions::default() };
    Shop::with(Options { challenge, ..Options::default() }).await
}

async fn guarded(shop: &Shop, challenge: &str) -> Vec<String> {
    let (sale, items) = shop.sale(shop.draft(&[offer("pear", 5), offer("fig", 5)])).await;
    for item in &items {
        let path = format!("/api/v1/admin/sales/{sale}/items/{item}/admission");
        let body = Some(json!({ "buy_token": true, "challenge": challenge }));
        let token = shop.operator("ann");
        let answer =
            shop.ask("PUT", &path, Ask { token: Some(&token), body, ..Ask::default() }).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    items
}

async fn challenge(shop: &Shop, item: &str, user: u64) -> Value {
    let path = format!("/api/v1/items/{item}/challenge");
    let answer = shop.get(&path, Some(&shop.buyer(user))).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    answer.json()
}

async fn ask(shop: &Shop, item: &str, user: u64, solution: Option<&str>) -> Answer {
    let path = format!("/api/v1/items/{item}/buy-token");
    let body = solution.map(|solution| json!({ "challenge": solution }));
    shop.post(&path, &shop.buyer(user), body).await
}

async fn refused(shop: &Shop, item: &str, user: u64, solution: Option<&str>) -> String {
    let answer = ask(shop, item, user, solution).await;
    let (status, code) = answer.problem();
    assert_eq!(status, 403, "{}", answer.text());
    code
}

#[tokio::test]
async fn a_solved_proof_is_a_token_and_the_same_one_each_time() {
    let shop = shop().await;
    let items = guarded(&shop, "proof").await;
    assert_eq!(refused(&shop, &items[0], 1, None).await, "challenge_required");
    let solution = solve(&challenge(&shop, &items[0], 1).await);
    let mut orders = Vec::new();
    for _ in 0..3 {
        let issued = ask(&shop, &items[0], 1, Some(&solution)).await;
        assert_eq!(issued.status, 201, "{}", issued.text());
        let url = issued.json()["buy_url"].as_str().unwrap().to_owned();
        orders.push(shop.post(&url, &shop.buyer(1), None).await.json()["order_id"].clone());
    }
    orders.dedup();
    assert_eq!(orders.len(), 1, "a solution that is sent again gets the order that it got");
    assert_eq!(shop.engine.gates().iter().map(|gate| gate.counters().reserved).sum::<u32>(), 1);
}

#[tokio::test]
async fn a_proof_is_its_buyers_and_its_items() {
    let shop = shop().await;
    let items = guarded(&shop, "proof").await;
    let solution = solve(&challenge(&shop, &items[0], 1).await);
    assert_eq!(refused(&shop, &items[0], 2, Some(&solution)).await, "challenge_failed");
    assert_eq!(refused(&shop, &items[1], 1, Some(&solution)).await, "challenge_failed");
    let mut easier = challenge(&shop, &items[0], 1).await;
    easier["parameters"]["keyPrefix"] = json!("");
    assert_eq!(refused(&shop, &items[0], 1, Some(&solve(&easier))).await, "challenge_failed");
    for text in ["x", "e30=", &"A".repeat(4_096)] {
        assert_eq!(refused(&shop, &items[0], 1, Some(text)).await, "challenge_failed", "{text}");
    }
    let path = format!("/api/v1/items/{}/challenge", items[0]);
    assert_eq!(shop.get(&path, None).await.problem(), (401, "unauthenticated".to_owned()));
}

#[tokio::test]
async fn a_challenge_expires() {
    let difficulty = Difficulty { cost: 1, prefix: "0".to_owned() };
    let lifetime = std::time::Duration::ZERO;
    let challenge_options =
        ChallengeOptions { difficulty, lifetime, ..ChallengeOptions::default() };
    let shop = Shop::with(Options { challenge: challenge_options, ..Options::default() }).await;
    let items = guarded(&shop, "proof").await;
    let solution = solve(&challenge(&shop, &items[0], 1).await);
    let answer = ask(&shop, &items[0], 1, Some(&solution)).await;
    assert_eq!(answer.problem(), (403, "challenge_failed".to_owned()));
    assert!(answer.text().contains("expired"), "{}", answer.text());
}

/// A provider that answers as it is told to.
struct Provider {
    url: String,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Provider {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/siteverify", listener.local_addr().expect("an address"));
        let (answer, asked) =
            (Arc::<Mutex<Vec<u8>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (says, hears) = (Arc::clone(&answer), Arc::clone(&asked));
        let server = tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let mut question = Vec::new();
                // Head and body: the client waits for the answer, so it sends no more.
                while !has_body(&question) {
                    let mut piece = [0; 4_096];
                    match stream.read(&mut piece).await {
                        Ok(length) if length > 0 => question.extend_from_slice(&piece[..length]),
                        _ => break,
                    }
                }
                hears.lock().push(String::from_utf8_lossy(&question).into_owned());
                let answer = says.lock().clone();
                if answer.is_empty() {
                    // Never.
                    tokio::spawn(async move {
                        let _ = stream.read(&mut [0; 1]).await;
                    });
                } else {
                    let _ = stream.write_all(&answer).await;
                }
            }
        });
        Self { url, answer, asked, server }
    }

    fn says(&self, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", body.len());
        *self.answer.lock() = format!("{head}connection: close\r\n\r\n{body}").into_bytes();
    }

    fn answers(&self, answer: &[u8]) {
        *self.answer.lock() = answer.to_vec();
    }

    /// A shop that uses it.
    async fn shop(&self, on_error: OnError) -> Shop {
        let options = OutboundOptions {
            timeout: Duration::from_millis(300),
            in_flight_max: 4,
            failures_max: 1_000,
            pause: Duration::from_secs(5),
        };
        let clock = Clock::start(domain::Timestamp(0));
        let outbound = Outbound::new(&self.url, options, clock).expect("a client");
        let account = Account {
            provider: seckill::http::Provider::Turnstile,
            site_key: "site".to_owned(),
            secret: "hidden".to_owned().into(),
            hostname: "shop.example".to_owned(),
            script_url: String::new(),
        };
        let difficulty = Difficulty { cost: 1, prefix: "0".to_owned() };
        let challenge = ChallengeOptions { difficulty, on_error, ..ChallengeOptions::default() };
        Setup {
            http: Options { challenge, ..Options::default() },
            external: Some(Arc::new(External::new(account, outbound))),
            ..Setup::default()
        }
        .open()
        .await
    }
}

fn has_body(question: &[u8]) -> bool {
    let text = String::from_utf8_lossy(question);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
}

const PASSED: &str = r#"{"success":true,"hostname":"shop.example","action":"buy"}"#;

#[tokio::test]
async fn what_a_provider_judges_is_a_token() {
    let provider = Provider::open().await;
    let shop = provider.shop(OnError::Refuse).await;
    let items = guarded(&shop, "external").await;
    let shown = challenge(&shop, &items[0], 1).await;
    let expected = json!({ "provider": "turnstile", "site_key": "site", "action": "buy" });
    assert_eq!(shown, expected, "and no secret");
    provider.says(PASSED);
    let issued = ask(&shop, &items[0], 1, Some("solution&x=1")).await;
    assert_eq!(issued.status, 201, "{}", issued.text());
    let asked = provider.asked.lock().clone();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("POST /siteverify HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].contains("secret=hidden&response=solution%26x%3D1"), "{}", asked[0]);
    for lie in [
        r#"{"success":true,"hostname":"evil.example","action":"buy"}"#,
        r#"{"success":true,"hostname":"shop.example","action":"login"}"#,
        r#"{"success":false,"error-codes":["timeout-or-duplicate"]}"#,
    ] {
        provider.says(lie);
        assert_eq!(refused(&shop, &items[0], 1, Some("x")).await, "challenge_failed", "{lie}");
    }
    provider.server.abort();
}

#[tokio::test]
async fn a_provider_that_gives_no_verdict_is_refused_replaced_or_passed() {
    let provider = Provider::open().await;
    let (refuses, replaces, allows) = (
        provider.shop(OnError::Refuse).await,
        provider.shop(OnError::Proof).await,
        provider.shop(OnError::Allow).await,
    );
    let too_long =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n{}", " ".repeat(200_000));
    for answer in [
        &b""[..],
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>",
        b"nonsense\r\n\r\n",
        too_long.as_bytes(),
    ] {
        provider.answers(answer);
        let items = guarded(&refuses, "external").await;
        let answer = ask(&refuses, &items[0], 1, Some("x")).await;
        assert_eq!(answer.problem(), (503, "challenge_unavailable".to_owned()));
        assert!(answer.header("retry-after").is_some());

        let items = guarded(&allows, "external").await;
        assert_eq!(ask(&allows, &items[0], 1, Some("x")).await.status, 201);

        let items = guarded(&replaces, "external").await;
        assert_eq!(refused(&replaces, &items[0], 1, Some("x")).await, "challenge_required");
        let proof = solve(&challenge(&replaces, &items[0], 1).await);
        let issued = ask(&replaces, &items[0], 1, Some(&proof)).await;
        assert_eq!(issued.status, 201, "{}", issued.text());
        let health = replaces.look("/readyz?verbose").await.json();
        let shown = health["dependencies"].as_array().expect("a list").iter();
        let own: Vec<_> = shown.filter(|shown| shown["name"] == "challenge").collect();
        assert_eq!((&own[0]["healthy"], &health["status"]), (&json!(false), &json!("degraded")));
        assert!(own[0]["meaning"].as_str().expect("text").contains("proof of work instead"));
    }
    // Back again, it judges what is its own; what was given out in its place counts as well.
    provider.says(PASSED);
    let items = guarded(&replaces, "external").await;
    assert_eq!(ask(&replaces, &items[0], 1, Some("x")).await.status, 201);
    let proof = solve(&challenge(&replaces, &items[0], 1).await);
    assert_eq!(ask(&replaces, &items[0], 1, Some(&proof)).await.status, 201);
    provider.server.abort();
}

#[tokio::test]
async fn a_dead_provider_is_not_asked_again_for_a_while() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let options = OutboundOptions {
        timeout: Duration::from_secs(2),
        in_flight_max: 1,
        failures_max: 2,
        pause: Duration::from_secs(3_600),
    };
    let outbound =
        Outbound::new(&url, options, Clock::start(domain::Timestamp(0))).expect("a client");
    let post = async || outbound.post("text/plain", String::new()).await;
    for _ in 0..2 {
        assert!(matches!(post().await, Err(OutboundError::Broken(_))));
    }
    assert_eq!(post().await, Err(OutboundError::Paused));
    assert!(outbound.failed_ago().is_some());
    for url in ["", "ftp://x/", "/path", "http://"] {
        assert!(Outbound::new(url, options, Clock::start(domain::Timestamp(0))).is_err(), "{url}");
    }
}
