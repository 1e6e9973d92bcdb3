//! What is slow, large or too much is closed or refused, and the rest is served.

use harness::http::Connection;
use seckill::http::{ConnectionsMax, Options, UnreadBytesMax};
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
    shop.until_shown("seckill_http_connections_refused_total{reason=\"slow_head\"} 1").await;
}

#[tokio::test]
async fn a_head_that_begins_behind_a_request_has_the_time_of_any_head() {
    let shop = Shop::with(Options { header_timeout: SHORT, ..Options::default() }).await;
    let token = shop.buyer(1);
    let bodiless = "GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n".to_owned();
    let with_body = format!(
        "POST /api/v1/login HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    for (request, status) in [(bodiless, 200), (with_body, 422)] {
        let mut slow = Connection::open(shop.address).await;
        slow.send(format!("{request}GET /livez HTTP/1.1\r\nhost: sh").as_bytes()).await;
        assert_eq!(slow.answer().await.status, status);
        assert_eq!(slow.closed().await, 0);
    }
    shop.until_shown("seckill_http_connections_refused_total{reason=\"slow_head\"} 2").await;
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
    let shop = Shop::with(Options { header_timeout: SHORT, ..Options::default() }).await;
    let mut silent = Connection::open(shop.address).await;
    assert_eq!(silent.closed().await, 0);
    shop.until_shown("seckill_http_connections_refused_total{reason=\"slow_head\"} 1").await;
    let shop = Shop::with(Options { idle_timeout: SHORT, ..Options::default() }).await;
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
    shop.until_shown("seckill_http_connections_refused_total{reason=\"slow_reader\"} 1").await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let connections_max = ConnectionsMax { all: 2, of_address: 1 };
    let shop = Shop::with(Options { connections_max, ..Options::default() }).await;
    let mut first = Connection::open(shop.address).await;
    first.send(b"GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    assert_eq!(first.answer().await.status, 200);
    let mut second = Connection::open(shop.address).await;
    assert_eq!(second.answer().await.problem(), (503, "overloaded".to_owned()));
    assert_eq!(second.closed().await, 0);
    shop.until_shown("seckill_http_connections_refused_total{reason=\"too_many_of_address\"} 1")
        .await;
}

#[tokio::test]
async fn those_who_run_the_shop_are_answered_while_buyers_hold_all_connections() {
    let connections_max = ConnectionsMax { all: 1, of_address: 1 };
    let shop = Shop::with(Options { connections_max, ..Options::default() }).await;
    let _held = Connection::open(shop.address).await;
    shop.until_shown("seckill_http_connections 1").await;
    assert_eq!(shop.get("/livez", None).await.status, 503);
    for path in ["/livez", "/readyz", "/readyz?verbose", "/metrics"] {
        assert_eq!(shop.look(path).await.status, 200, "{path}");
    }
    assert_eq!(shop.look("/api/v1/time").await.problem(), (404, "not_found".to_owned()));
    assert!(shop.shows("seckill_http_connections_refused_total{reason=\"too_many\"} 1").await);
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
    for (headers, may_close) in [(70, false), (101, false), (10_000, true)] {
        let mut many = Connection::open(shop.address).await;
        let mut request = b"GET /livez HTTP/1.1\r\nhost: shop\r\n".to_vec();
        request.extend(b"x-padding: 1\r\n".repeat(headers));
        request.extend(b"\r\n");
        many.try_send(&request).await;
        match many.try_answer().await {
            Some(answer) => assert_eq!(answer.problem(), (431, "headers_too_large".to_owned())),
            None => assert!(may_close, "closed without an answer"),
        }
    }
}

#[tokio::test]
async fn what_is_not_http_is_told_so_and_closed() {
    let shop = Shop::open().await;
    let live = b"GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n";
    for garbage in [
        &b"\0\x01\x02\x03 garbage\r\n\r\n"[..],
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: shop\r\nbad header\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: shop\r\n\r\ngarbage\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: shop\r\nhost: shop\r\n\r\n",
        b"POST /api/v1/login HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut connection = Connection::open(shop.address).await;
        connection.send(garbage).await;
        if garbage.starts_with(live) {
            assert_eq!(connection.answer().await.status, 200);
        }
        let said = String::from_utf8_lossy(garbage);
        let answer = connection.answer().await;
        assert_eq!(answer.problem(), (400, "bad_request".to_owned()), "{said}");
    }
    assert_eq!(shop.get("/livez", None).await.status, 200);
}

/// The preface of HTTP/2 with the client's settings: its window for each stream.
fn http2_preface(window: u32) -> Vec<u8> {
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frames.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4]);
    frames.extend(window.to_be_bytes());
    frames
}

/// A request for the server's time, as a frame of HTTP/2.
fn http2_request(stream: u32) -> Vec<u8> {
    // GET and http from HPACK's static table, path and `:authority` as literals.
    let mut head = vec![0x82, 0x86, 0x04, 12];
    head.extend(b"/api/v1/time");
    head.extend([0x41, 0x01, b'a']);
    let mut frame = vec![0, 0, head.len() as u8, 1, 5];
    frame.extend(stream.to_be_bytes());
    frame.extend(head);
    frame
}

#[tokio::test]
async fn an_answer_that_http2_has_no_window_for_is_closed_once() {
    let shop = Shop::with(Options { write_timeout: SHORT, ..Options::default() }).await;
    let mut deaf = Connection::open(shop.address).await;
    deaf.send(&http2_preface(0)).await;
    for stream in [1, 3, 5] {
        deaf.send(&http2_request(stream)).await;
    }
    shop.until_shown("seckill_http_connections 0").await;
    for line in [
        "seckill_http_connections_refused_total{reason=\"slow_reader\"} 1",
        "seckill_http_connections_refused_total{reason=\"idle\"} 0",
    ] {
        assert!(shop.shows(line).await, "{line}");
    }
    // Its answers are dropped by tasks of their own.
    shop.until_shown("seckill_http_unread_bytes 0").await;
    deaf.closed().await;
}

#[tokio::test]
async fn a_connection_cannot_pile_up_answers() {
    let unread_bytes_max = UnreadBytesMax { connection: 150, all: 1_000 };
    let shop = Shop::with(Options { unread_bytes_max, ..Options::default() }).await;
    let mut deaf = Connection::open(shop.address).await;
    deaf.send(&http2_preface(0)).await;
    for stream in (1..20).step_by(2) {
        deaf.send(&http2_request(stream)).await;
    }
    // Two answers have 130 bytes, and eight times more was asked for than may wait.
    shop.until_shown("seckill_http_problems_total{code=\"overloaded\"} 8").await;
    assert_eq!(shop.get("/api/v1/time", None).await.status, 200, "others are answered");
    drop(deaf);
    shop.until_shown("seckill_http_unread_bytes 0").await;
}

#[tokio::test]
async fn http2_streams_opened_and_reset_in_a_row_end_the_connection() {
    let shop = Shop::open().await;
    let mut rapid = Connection::open(shop.address).await;
    rapid.try_send(&harness::hostile::rapid_resets(10_000)).await;
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
    shop.until_shown("seckill_http_requests_in_flight 1").await;
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

#[tokio::test]
async fn too_many_headers_are_told_how_many_there_may_be() {
    let shop = Shop::open().await;
    for count in [65, 99, 100, 101, 300] {
        let more: String = (0..count).map(|number| format!("x-{number}: 1\r\n")).collect();
        let mut connection = Connection::open(shop.address).await;
        let request = format!("GET /livez HTTP/1.1\r\nhost: shop\r\n{more}\r\n");
        connection.send(request.as_bytes()).await;
        let answer = connection.answer().await;
        assert_eq!(answer.problem(), (431, "headers_too_large".to_owned()), "{count}");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains("64 headers"), "{count}: {detail}");
    }
}
