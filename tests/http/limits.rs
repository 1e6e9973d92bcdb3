//! What is slow, large or too much is closed or refused, and the rest is served.

use harness::http::Connection;
use seckill::http::Options;
use std::time::Duration;
use support::Shop;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_head_that_does_not_end_is_closed() {
    let shop = Shop::with(Options { header_timeout: SHORT, ..Options::default() }).await;
    let mut slow = Connection::open(shop.address).await;
    slow.send(b"GET /livez HTTP/1.1\r\nhost: sh").await;
    assert_eq!(slow.closed().await, 0);
    assert_eq!(shop.get("/livez", None).await.status, 200);
    let metrics = shop.get("/metrics", None).await;
    let line = "seckill_http_connections_refused_total{reason=\"slow_head\"} 1";
    assert!(metrics.text().lines().any(|shown| shown == line), "{}", metrics.text());
}

#[tokio::test]
async fn a_body_that_does_not_come_is_timed_out() {
    let shop = Shop::with(Options { body_timeout: SHORT, ..Options::default() }).await;
    let item = shop.live_item(1).await;
    let token = shop.buyer(1);
    for path in [format!("/api/v1/items/{item}/buy"), "/api/v1/login".to_owned()] {
        let mut slow = Connection::open(shop.address).await;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: 14\r\n\r\n{{\"quantity\""
        );
        slow.send(request.as_bytes()).await;
        assert_eq!(slow.answer().await.problem(), (408, "request_timeout".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let shop = Shop::with(Options { idle_timeout: SHORT, ..Options::default() }).await;
    let mut idle = Connection::open(shop.address).await;
    assert_eq!(idle.closed().await, 0);
    let mut kept = Connection::open(shop.address).await;
    kept.send(b"GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    assert_eq!(kept.answer().await.status, 200);
    assert_eq!(kept.closed().await, 0);
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_closed() {
    let shop = Shop::with(Options { write_timeout: SHORT, ..Options::default() }).await;
    let mut deaf = Connection::open(shop.address).await;
    // Answers pile up until no socket holds more of them.
    let requests = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: shop\r\n\r\n".repeat(64);
    deaf.send(&requests).await;
    let closed = async {
        loop {
            let metrics = shop.get("/metrics", None).await;
            let line = "seckill_http_connections_refused_total{reason=\"slow_reader\"} 1";
            if metrics.text().lines().any(|shown| shown == line) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("it is closed");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let shop = Shop::with(Options { connections_max: 1, ..Options::default() }).await;
    let mut first = Connection::open(shop.address).await;
    first.send(b"GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    assert_eq!(first.answer().await.status, 200);
    let mut second = Connection::open(shop.address).await;
    let answer = second.answer().await;
    assert_eq!((answer.status, answer.json()["code"].clone()), (503, "overloaded".into()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(second.closed().await, 0);
}

#[tokio::test]
async fn large_heads_and_bodies_are_refused_unread() {
    let shop = Shop::open().await;
    let token = shop.buyer(1);
    let item = shop.live_item(1).await;
    for path in [format!("/api/v1/items/{item}/buy"), "/api/v1/login".to_owned()] {
        let mut large = Connection::open(shop.address).await;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: 1000000000\r\n\r\n"
        );
        large.send(request.as_bytes()).await;
        assert_eq!(large.answer().await.problem(), (413, "body_too_large".to_owned()), "{path}");

        // Without an announced length, once it has grown too large.
        let mut endless = Connection::open(shop.address).await;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        endless.send(request.as_bytes()).await;
        let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
        for _ in 0..65 {
            if !endless.try_send(chunk.as_bytes()).await {
                break;
            }
        }
        assert_eq!(endless.answer().await.problem(), (413, "body_too_large".to_owned()), "{path}");
    }
    for (headers, has_body) in [(70, true), (10_000, false)] {
        let mut many = Connection::open(shop.address).await;
        let mut request = b"GET /livez HTTP/1.1\r\nhost: shop\r\n".to_vec();
        request.extend(b"x-padding: 1\r\n".repeat(headers));
        request.extend(b"\r\n");
        many.try_send(&request).await;
        match many.try_answer().await {
            Some(answer) if has_body => {
                assert_eq!(answer.problem(), (431, "headers_too_large".to_owned()));
            }
            Some(answer) => assert_eq!(answer.status, 431),
            None => assert!(!has_body, "closed without an answer"),
        }
    }
}

#[tokio::test]
async fn what_is_not_http_is_closed() {
    let shop = Shop::open().await;
    for garbage in [&b"\0\x01\x02\x03 garbage\r\n\r\n"[..], b"GET /livez HTTP/9.9\r\n\r\n"] {
        let mut connection = Connection::open(shop.address).await;
        connection.send(garbage).await;
        if let Some(answer) = connection.try_answer().await {
            assert!((400..600).contains(&answer.status), "{answer:?}");
        }
        connection.closed().await;
    }
    assert_eq!(shop.get("/livez", None).await.status, 200);
}

#[tokio::test]
async fn http2_streams_opened_and_reset_in_a_row_end_the_connection() {
    let shop = Shop::open().await;
    let mut rapid = Connection::open(shop.address).await;
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frames.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // GET http / from HPACK's static table, and `:authority` as a literal.
    let head = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
    for stream in (1..20_001_u32).step_by(2) {
        frames.extend([0, 0, head.len() as u8, 1, 5]);
        frames.extend(stream.to_be_bytes());
        frames.extend(head);
        frames.extend([0, 0, 4, 3, 0]);
        frames.extend(stream.to_be_bytes());
        frames.extend(8_u32.to_be_bytes());
    }
    rapid.try_send(&frames).await;
    let bytes = rapid.closed().await;
    assert!(bytes < 1 << 20, "{bytes} bytes of answers");
    assert_eq!(shop.get("/livez", None).await.status, 200);
}

#[tokio::test]
async fn purchases_come_over_http2_too() {
    let shop = Shop::open().await;
    let item = shop.live_item(1).await;
    let mut connection = Connection::open(shop.address).await;
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frames.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // POST http from HPACK's static table, the rest as literals; numbers of seven bits.
    let mut head = vec![0x83, 0x86];
    let path = format!("/api/v1/items/{item}/buy");
    let authorization = format!("Bearer {}", shop.buyer(1));
    for (name, value) in [
        (":path", path.as_str()),
        (":authority", "shop"),
        ("content-type", "application/json"),
        ("authorization", authorization.as_str()),
    ] {
        head.extend([0, name.len() as u8]);
        head.extend(name.as_bytes());
        // Lengths from 127 on go into a second byte, those from 255 into a third.
        match value.len() {
            length @ ..127 => head.push(length as u8),
            length => {
                let rest = length - 127;
                head.extend([127, (rest % 128) as u8 | 0x80, (rest / 128) as u8]);
            }
        }
        head.extend(value.as_bytes());
    }
    frames.extend([0, (head.len() >> 8) as u8, head.len() as u8, 1, 4, 0, 0, 0, 1]);
    frames.extend(head);
    let body = b"{\"quantity\":1}";
    frames.extend([0, 0, body.len() as u8, 0, 1, 0, 0, 0, 1]);
    frames.extend(body);
    connection.send(&frames).await;
    let answer = connection.read_until(b"\"status\":\"reserved\"").await;
    assert!(answer, "no order came");
}

#[tokio::test]
async fn a_drain_answers_what_is_open_and_takes_nothing_new() {
    let shop =
        Shop::with(Options { drain_timeout: Duration::from_secs(5), ..Options::default() }).await;
    let item = shop.live_item(1).await;
    let token = shop.buyer(1);
    let mut open = Connection::open(shop.address).await;
    let head = format!(
        "POST /api/v1/items/{item}/buy HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 14\r\n\r\n"
    );
    open.send(head.as_bytes()).await;
    // The head has arrived once another request sees it in flight.
    loop {
        let metrics = shop.get("/metrics", None).await;
        if metrics.text().lines().any(|line| line == "seckill_http_requests_in_flight 2") {
            break;
        }
    }
    shop.shut();
    open.send(b"{\"quantity\":1}").await;
    assert_eq!(open.answer().await.status, 201);
    assert_eq!(open.closed().await, 0);
    let address = shop.address;
    shop.close().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_drain_has_an_end_even_if_a_client_has_not() {
    let shop = Shop::with(Options { drain_timeout: SHORT, ..Options::default() }).await;
    let item = shop.live_item(1).await;
    let token = shop.buyer(1);
    let mut open = Connection::open(shop.address).await;
    let head = format!(
        "POST /api/v1/items/{item}/buy HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 14\r\n\r\n"
    );
    open.send(head.as_bytes()).await;
    tokio::time::timeout(Duration::from_secs(10), shop.close()).await.expect("the drain ends");
    assert_eq!(open.closed().await, 0);
}
