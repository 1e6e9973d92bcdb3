//! Callers are held to their rates, whatever address they claim; and a flood keeps nobody else out.

use harness::http::{Answer, Connection};
use seckill::http::{
    ClientAddressOptions, ClientAddressSource, ConnectionsMax, LimitOptions, Options,
};
use serde_json::json;
use support::{Ask, Shop};
use tokio::task::JoinSet;

/// The edge behind a proxy on this machine that says for whom it asks.
fn behind_proxy(source: ClientAddressSource, limits: LimitOptions) -> Options {
    let trusted = vec!["127.0.0.0/8".parse().expect("a network")];
    Options {
        client_address: ClientAddressOptions { source, trusted },
        limits,
        ..Options::default()
    }
}

async fn log_in(shop: &Shop, path: &str, name: &str, password: &str, from: &str) -> Answer {
    let ask = Ask {
        headers: &[("x-forwarded-for", from)],
        body: Some(json!({ "user_name": name, "password": password })),
        ..Ask::default()
    };
    shop.ask("POST", path, ask).await
}

#[tokio::test]
async fn a_buyer_who_asks_too_often_is_told_when_to_come_back() {
    // So slow that nothing comes back while the test runs.
    let limits = LimitOptions { login_name_per_minute: 0, ..LimitOptions::NONE };
    let limits = LimitOptions { user_per_second: 1, user_burst: 5, ..limits };
    let shop = Shop::with(Options { limits, ..Options::default() }).await;
    let item = shop.live_item(10).await;
    let mut refused = None;
    for attempt in 0..200 {
        let answer = shop.buy(&item, 1, "same").await;
        if answer.status == 429 {
            refused = Some((attempt, answer));
            break;
        }
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    }
    let (attempts, answer) = refused.expect("it has an end");
    assert!(attempts >= 5, "{attempts} were admitted");
    assert_eq!(answer.problem().1, "rate_limited");
    assert_eq!(answer.json()["violated-policies"], json!(["user"]));
    assert_eq!(answer.header("ratelimit-policy"), Some("\"user\";q=5;w=5"));
    assert_eq!(answer.header("ratelimit"), Some("\"user\";r=0;t=1"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    // Another buyer is not concerned, and hears nothing of limits as long as plenty is left.
    let other = shop.buy(&item, 2, "another").await;
    assert_eq!((other.status, other.header("ratelimit")), (201, None));
    assert!(shop.shows("seckill_purchases_total{outcome=\"rate_limited\"} 1").await);
}

#[tokio::test]
async fn an_item_lets_in_no_more_than_its_rate() {
    let limits = LimitOptions { item_per_second: 1, ..LimitOptions::NONE };
    let shop = Shop::with(Options { limits, ..Options::default() }).await;
    let item = shop.live_item(1).await;
    assert_eq!(shop.buy(&item, 1, "a").await.status, 201);
    let mut answers = Vec::new();
    for buyer in 2..200 {
        answers.push(shop.buy(&item, buyer, "a").await);
        // Sold out needs no decision, so it is always said.
        assert!(matches!(answers[answers.len() - 1].problem().0, 409 | 503));
    }
    assert!(answers.iter().any(|answer| answer.problem().1 == "sold_out"));
}

#[tokio::test]
async fn a_forged_address_is_of_no_use() {
    let limits = LimitOptions { address_per_second: 1, address_burst: 3, ..LimitOptions::NONE };
    let shop = Shop::with(behind_proxy(ClientAddressSource::XForwardedFor, limits)).await;
    let item = shop.live_item(1).await;
    let path = format!("/api/v1/items/{item}/buy");
    let mut admitted = 0;
    for forged in 0..100 {
        let line = format!("10.1.2.{forged}, 198.51.100.7");
        let ask = Ask { headers: &[("x-forwarded-for", &line)], ..Ask::default() };
        let answer = shop.ask("POST", &path, ask).await;
        // Without a token: the address counts before it.
        match answer.status {
            401 => admitted += 1,
            status => assert_eq!(status, 429, "{}", answer.text()),
        }
        if status_is_limited(&answer) {
            assert_eq!(answer.json()["violated-policies"], json!(["address"]));
        }
    }
    assert!((3..30).contains(&admitted), "{admitted} of 100 were admitted");
    let ask = Ask { headers: &[("x-forwarded-for", "198.51.100.8")], ..Ask::default() };
    assert_eq!(shop.ask("POST", &path, ask).await.status, 401, "the neighbour");
}

/// The edge behind proxies, none of which is this machine: who connects is a stranger, whatever it says.
fn behind_other_proxies(source: ClientAddressSource) -> Options {
    let limits = LimitOptions { address_per_second: 1, address_burst: 3, ..LimitOptions::NONE };
    let trusted = vec!["10.0.0.0/8".parse().expect("a network")];
    let client_address = ClientAddressOptions { source, trusted };
    Options { client_address, ..behind_proxy(source, limits) }
}

#[tokio::test]
async fn a_strangers_forwarded_address_counts_for_nothing() {
    let shop = Shop::with(behind_other_proxies(ClientAddressSource::XForwardedFor)).await;
    let item = shop.live_item(1).await;
    let path = format!("/api/v1/items/{item}/buy");
    let mut limited = 0;
    for forged in 0..100 {
        // The last entry is the one that a proxy would have added.
        let line = format!("10.0.0.1, 198.51.100.{forged}");
        let ask = Ask { headers: &[("x-forwarded-for", &line)], ..Ask::default() };
        limited += u32::from(status_is_limited(&shop.ask("POST", &path, ask).await));
    }
    assert!(limited > 60, "{limited} of 100 were limited");
}

#[tokio::test]
async fn a_strangers_proxy_header_is_no_http_and_not_believed() {
    let shop = Shop::with(behind_other_proxies(ClientAddressSource::ProxyProtocol)).await;
    let buy = b"POST /api/v1/items/7/buy HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\n\r\n";
    let mut version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    version_2.extend([198, 51, 100, 7, 192, 0, 2, 1, 0x12, 0x67, 1, 0xBB]);
    for header in [&b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n"[..], &version_2] {
        let mut stranger = Connection::open(shop.address).await;
        stranger.send(&[header, buy].concat()).await;
        let said = String::from_utf8_lossy(header);
        assert_eq!(stranger.answer().await.problem(), (400, "bad_request".to_owned()), "{said}");
    }
    // It is served as who it is, and held to that address's limit.
    let mut statuses = Vec::new();
    for _ in 0..30 {
        let mut stranger = Connection::open(shop.address).await;
        stranger.send(buy).await;
        statuses.push(stranger.answer().await.status);
    }
    assert!(statuses[..3] == [401; 3] && statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn nobody_is_locked_out_by_who_tries_his_name_elsewhere() {
    let limits = LimitOptions { login_name_per_minute: 3, ..LimitOptions::NONE };
    let shop = Shop::with(behind_proxy(ClientAddressSource::XForwardedFor, limits)).await;
    let made = log_in(&shop, "/api/v1/users", "ann", "right horse", "192.0.2.1").await;
    assert_eq!(made.status, 201, "{}", made.text());
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses
            .push(log_in(&shop, "/api/v1/login", "ann", "wrong horse", "203.0.113.9").await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
    let home = log_in(&shop, "/api/v1/login", "ann", "right horse", "192.0.2.1").await;
    assert_eq!(home.status, 200, "{}", home.text());
    // From there, the other names are not concerned.
    let other = log_in(&shop, "/api/v1/login", "bob", "wrong horse", "203.0.113.9").await;
    assert_eq!(other.status, 401);
}

#[tokio::test]
async fn a_session_is_no_way_to_guess_the_password() {
    let limits = LimitOptions { login_name_per_minute: 3, ..LimitOptions::NONE };
    let shop = Shop::with(Options { limits, ..Options::default() }).await;
    let made = log_in(&shop, "/api/v1/users", "Ann", "right horse", "").await;
    assert_eq!(made.status, 201, "{}", made.text());
    let token = log_in(&shop, "/api/v1/login", "ann", "right horse", "").await.json();
    let token = token["token"].as_str().expect("a token");
    let guess = async || {
        let body = json!({ "password": "wrong horse", "new_password": "another horse" });
        let ask = Ask { token: Some(token), body: Some(body), ..Ask::default() };
        shop.ask("PUT", "/api/v1/password", ask).await
    };
    assert_eq!(guess().await.problem(), (403, "forbidden".to_owned()));
    let limited = guess().await;
    assert_eq!(limited.problem(), (429, "rate_limited".to_owned()));
    assert_eq!(limited.json()["violated-policies"], json!(["login-name"]));
    assert!(limited.header("retry-after").is_some());
    let cookie = format!("seckill={token}");
    let headers = [("accept", "text/html"), ("origin", "http://shop"), ("cookie", &cookie)];
    for (path, form) in [
        ("/en/account", "password=wrong+horse&new_password=another+horse"),
        ("/en/login", "user_name=ann&password=wrong+horse"),
    ] {
        let answer = shop.submit(path, form, &headers).await;
        assert_eq!(answer.status, 429, "{path}: {}", answer.text());
        assert!(
            answer.header("retry-after").is_some() && answer.text().contains("<form"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_form_without_scripts_is_held_to_the_same_rate() {
    let limits = LimitOptions { user_per_second: 1, user_burst: 2, ..LimitOptions::NONE };
    let shop = Shop::with(Options { limits, ..Options::default() }).await;
    let item = shop.live_item(10).await;
    let cookie = format!("seckill={}", shop.buyer(1));
    let headers = [("accept", "text/html"), ("origin", "http://shop"), ("cookie", &cookie)];
    let path = format!("/en/items/{item}/buy");
    let mut limited = None;
    for attempt in 0..50 {
        let answer = shop.submit(&path, "quantity=1&key=same", &headers).await;
        if answer.status != 303 {
            limited = Some((attempt, answer));
            break;
        }
    }
    let (attempts, answer) = limited.expect("it has an end");
    assert!(attempts >= 2, "{attempts} were admitted");
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
    assert!(answer.text().contains("<form"), "{}", answer.text());
    assert_eq!(shop.engine.gates()[0].counters().reserved, 1);
}

fn status_is_limited(answer: &Answer) -> bool {
    answer.status == 429
}

#[tokio::test]
async fn the_proxy_protocol_says_whose_connection_it_is() {
    let limits = LimitOptions { address_per_second: 1, address_burst: 2, ..LimitOptions::NONE };
    let options = Options {
        connections_max: ConnectionsMax { all: 100, of_address: 2 },
        ..behind_proxy(ClientAddressSource::ProxyProtocol, limits)
    };
    let shop = Shop::with(options).await;
    let of_client =
        |client: &str| format!("PROXY TCP4 {client} 192.0.2.1 4711 443\r\n").into_bytes();
    let mut local = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    local.extend([0x20, 0, 0, 0]);
    let look = b"GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n";

    // Two connections of a client, and not a third; the proxy's own are as many as it likes.
    let mut open = Vec::new();
    for (header, expected) in [
        (of_client("198.51.100.7"), 200),
        (of_client("198.51.100.7"), 200),
        (of_client("198.51.100.7"), 503),
        (of_client("198.51.100.8"), 200),
        (local.clone(), 200),
        (local.clone(), 200),
        (local, 200),
    ] {
        let mut connection = Connection::open(shop.address).await;
        connection.send(&[&header[..], look].concat()).await;
        assert_eq!(connection.answer().await.status, expected);
        open.push(connection);
    }
    // One that the proxy did not introduce is refused.
    let mut bare = Connection::open(shop.address).await;
    bare.send(look).await;
    assert_eq!(bare.answer().await.problem(), (503, "overloaded".to_owned()));
    let refusal = "seckill_http_connections_refused_total{reason=\"no_proxy_header\"} 1";
    assert!(shop.shows(refusal).await);

    // What it said is the address that limits count.
    let buy = b"POST /api/v1/items/7/buy HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\n\r\n";
    let mut statuses = Vec::new();
    for _ in 0..30 {
        open[0].send(buy).await;
        statuses.push(open[0].answer().await.status);
    }
    assert!(statuses[..2] == [401, 401] && statuses.contains(&429), "{statuses:?}");
    open[3].send(buy).await;
    assert_eq!(open[3].answer().await.status, 401);
}

/// Logs in 18 people while a hundred clients, all from `flood_from`, try wrong passwords without a pause;
/// each tries the name that `name` gives it for each attempt.
async fn flooded(
    flood_from: &'static str,
    name: fn(usize, usize) -> String,
    honest_from: fn(usize) -> String,
) {
    let limits = LimitOptions {
        login_address_per_minute: 60,
        login_name_per_minute: 10,
        ..LimitOptions::NONE
    };
    let shop = Shop::with(behind_proxy(ClientAddressSource::XForwardedFor, limits)).await;
    let shop: &'static Shop = Box::leak(Box::new(shop));
    for person in 0..18 {
        let from = format!("192.0.2.{person}");
        let name = format!("person-{person}");
        let made = log_in(shop, "/api/v1/users", &name, "right horse", &from).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let mut flood = JoinSet::new();
    for client in 0..100 {
        flood.spawn(async move {
            for attempt in 0.. {
                let name = name(client, attempt);
                log_in(shop, "/api/v1/login", &name, "wrong horse", flood_from).await;
            }
        });
    }
    // Once the flood has used up what it may.
    shop.until_shown_above("seckill_http_problems_total{code=\"rate_limited\"}", 100).await;
    let mut honest = JoinSet::new();
    for person in 0..18 {
        let from = honest_from(person);
        honest.spawn(async move {
            let name = format!("person-{person}");
            log_in(shop, "/api/v1/login", &name, "right horse", &from).await.status
        });
    }
    let statuses = honest.join_all().await;
    assert_eq!(statuses, [200; 18]);
    flood.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_wrong_passwords_for_any_names_keeps_no_other_address_out() {
    let any = |client: usize, attempt: usize| format!("guess-{client}-{attempt}");
    flooded("203.0.113.9", any, |person| format!("192.0.2.{person}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_wrong_passwords_for_one_name_keeps_no_neighbour_out() {
    flooded("203.0.113.9", |_, _| "victim".to_owned(), |_| "203.0.113.9".to_owned()).await;
}
