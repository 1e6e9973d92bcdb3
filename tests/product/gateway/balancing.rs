//! What nginx does with nodes that answer, die and are away.

use super::node::{Manner, Node, ask, request};
use super::{nginx_with, upstream};
use harness::Nginx;
use harness::http::Connection;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

const ITEMS: usize = 1_000;
/// As many looks as there are from one address.
const UNLIMITED: (&str, &str) =
    ("zone=requests:16m rate=100r/s;", "zone=requests:16m rate=100000r/s;");
const COMPAT: &str = "/orderservice/order/pay";

type Behind = (Nginx, Vec<Node>, tempfile::TempDir);

async fn behind(nodes: usize, manner: Manner) -> Option<Behind> {
    behind_with(nodes, manner, &[]).await
}

async fn behind_with(nodes: usize, manner: Manner, others: &[(&str, &str)]) -> Option<Behind> {
    let folder = tempfile::tempdir().expect("a directory");
    let mut started = Vec::new();
    for number in 0..nodes {
        started.push(Node::start(number, manner).await);
    }
    let addresses: Vec<String> = started.iter().map(Node::address).collect();
    let nginx = nginx_with(&upstream(folder.path(), &addresses), folder.path(), others)?;
    Some((nginx, started, folder))
}

/// Which node answers for each item.
async fn places(gateway: SocketAddr) -> Vec<usize> {
    let mut places = Vec::new();
    for item in 0..ITEMS {
        let answer = ask(gateway, "GET", &format!("/api/v1/items/{item}")).await;
        assert_eq!(answer.status, 200, "item {item}: {}", answer.text());
        places.push(answer.text().parse().expect("a number"));
    }
    places
}

#[tokio::test]
async fn an_item_stays_at_its_node_and_only_those_of_a_node_that_is_away_move() {
    let behind = behind_with(3, Manner::Answers, &[UNLIMITED]).await;
    let Some((nginx, mut nodes, _folder)) = behind else { return };
    let before = places(nginx.address()).await;
    for node in 0..nodes.len() {
        let count = before.iter().filter(|place| **place == node).count();
        assert!(count > ITEMS / 10, "node {node} has {count} items");
    }
    // A purchase, its token and the item's page go where the item is.
    for (method, begin, end) in [
        ("POST", "/api/v1/items/", "/buy"),
        ("POST", "/api/v1/items/", "/buy-token"),
        ("GET", "/en/items/", ""),
    ] {
        for (item, place) in before.iter().enumerate().take(10) {
            let answer = ask(nginx.address(), method, &format!("{begin}{item}{end}")).await;
            assert_eq!(answer.text(), place.to_string(), "{begin}{item}{end}");
        }
    }
    assert_eq!(places(nginx.address()).await, before);
    // Little more than its share moves with it.
    let moved = before.iter().filter(|place| **place == 2).count();
    assert!(moved <= ITEMS / nodes.len() + ITEMS / 10, "{moved} items");
    nodes.truncate(2);
    let after = places(nginx.address()).await;
    for (item, (before, after)) in before.into_iter().zip(after).enumerate() {
        assert!(after < 2 && (before == 2 || before == after), "item {item}: {before} to {after}");
    }
}

#[tokio::test]
async fn what_a_node_has_read_is_sent_to_no_other() {
    let Some((nginx, nodes, _folder)) = behind(2, Manner::Dies).await else { return };
    let asked = || nodes.iter().map(|node| node.asked().len()).sum::<usize>();
    let bought = ask(nginx.address(), "POST", "/api/v1/items/7/buy").await;
    assert_eq!(bought.problem(), (503, "outcome_unknown".to_owned()));
    assert_eq!(asked(), 1, "a purchase");
    let older = ask(nginx.address(), "POST", COMPAT).await;
    assert_eq!(older.status, 503);
    assert_eq!(older.header("content-type"), Some("application/json;charset=UTF-8"));
    let envelope = older.json();
    assert_eq!(envelope["code"], "5031");
    assert!(envelope["timestamp"].as_u64().is_some_and(|now| now > 1_700_000_000_000));
    assert!(envelope["data"].is_null());
    assert_eq!(asked(), 2, "an older service's purchase");
    // Looking changes nothing: it may be asked of the next one.
    let looked = ask(nginx.address(), "GET", "/api/v1/items/7").await;
    assert_eq!(looked.problem(), (503, "owner_unavailable".to_owned()));
    assert_eq!(asked(), 4, "a look");
}

#[tokio::test]
async fn a_purchase_that_was_sent_to_nobody_is_said_to_have_done_nothing() {
    let Some((nginx, mut nodes, _folder)) = behind(2, Manner::Answers).await else { return };
    nodes.clear();
    // Until both are known to be away, and then.
    for _ in 0..12 {
        let bought = ask(nginx.address(), "POST", "/api/v1/items/7/buy").await;
        assert_eq!(bought.problem(), (503, "owner_unavailable".to_owned()));
    }
}

#[tokio::test]
async fn a_flood_is_refused_in_the_shops_words_and_other_addresses_are_not() {
    const SENT_MAX: usize = 20_000;
    let behind = behind_with(1, Manner::Answers, &[UNLIMITED]).await;
    let Some((nginx, nodes, _folder)) = behind else { return };
    let refused = async |path: &str| {
        for _ in 0..SENT_MAX {
            let answer = ask(nginx.address(), "POST", path).await;
            if answer.status != 200 {
                return answer;
            }
        }
        panic!("none of {SENT_MAX} was refused at {path}");
    };
    let answer = refused("/api/v1/items/7/buy").await;
    assert_eq!(answer.problem(), (429, "rate_limited".to_owned()));
    let answer = refused("/en/items/7/buy").await;
    assert_eq!(answer.problem(), (429, "rate_limited".to_owned()), "by the form");
    assert_eq!(ask(nginx.address(), "GET", "/en/items/7/buy").await.status, 200, "the form");
    let answer = refused(COMPAT).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (429, Some("4290")));
    // What the client says of itself counts for nothing.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("another address");
    let mut other = socket.connect(nginx.address()).await.expect("it listens");
    let text = request("POST", "/api/v1/items/8/buy");
    let text = text.replace("host: shop", "host: shop\r\nx-forwarded-for: 9.9.9.9");
    other.write_all(text.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let asked = nodes[0].asked();
    let heard = asked.last().expect("a request").to_lowercase();
    assert!(heard.contains("x-forwarded-for: 127.0.0.2\r\n"), "{heard}");
    assert!(!heard.contains("9.9.9.9"), "{heard}");
}

#[tokio::test]
async fn what_is_for_operators_or_too_large_does_not_reach_a_node() {
    let Some((nginx, nodes, folder)) = behind(1, Manner::Answers).await else { return };
    for path in
        ["/api/v1/admin/sales", "/console", "/console/live", "/metrics", "/readyz", "/livez"]
    {
        let answer = ask(nginx.address(), "GET", path).await;
        assert_eq!(answer.problem(), (404, "not_found".to_owned()), "{path}");
    }
    let refused = async |path: &str| {
        let body = " ".repeat(2_000);
        let head = format!("POST {path} HTTP/1.1\r\nhost: shop\r\ncontent-length: 2000\r\n");
        let mut connection = Connection::open(nginx.address()).await;
        connection.send(format!("{head}\r\n{body}").as_bytes()).await;
        connection.answer().await
    };
    let large = refused("/api/v1/items/7/buy").await;
    assert_eq!(large.problem(), (413, "body_too_large".to_owned()));
    // Its clients read the code of what is told with 200.
    let older = refused(COMPAT).await;
    assert_eq!((older.status, older.json()["code"].as_str()), (200, Some("2006")));
    std::fs::create_dir(folder.path().join("en")).expect("made");
    std::fs::write(folder.path().join("en/page.html"), "a page").expect("written");
    let answer = ask(nginx.address(), "POST", "/en/page").await;
    assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()));
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    let long = "x".repeat(10_000);
    for (head, status, code) in [
        (format!("GET /{long} HTTP/1.1\r\nhost: shop\r\n"), 431, "headers_too_large"),
        (format!("GET / HTTP/1.1\r\nhost: shop\r\nx: {long}\r\n"), 431, "headers_too_large"),
        ("GET / HTTP/1.1\r\n".to_owned(), 400, "bad_request"),
    ] {
        let mut connection = Connection::open(nginx.address()).await;
        connection.send(format!("{head}\r\n").as_bytes()).await;
        assert_eq!(connection.answer().await.problem(), (status, code.to_owned()));
    }
    assert_eq!(nodes[0].asked(), Vec::<String>::new());
}
