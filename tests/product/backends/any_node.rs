//! Three processes that are one shop and listen for each other: whichever of them is asked, the one that has the
//! item answers.

use super::cluster::{BUYERS, LASTING, Servers, decided, settled};
use crate::support::{Attempt, Crowd, OpenSale, Random, Server, Site, Witness, until};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A node that listens for its peers.
fn site(servers: &Servers, node: &str) -> Site {
    servers.linked_site(node)
}

/// The orders that a buyer is shown by a node, newest first.
async fn listed(node: &Server, shop: &OpenSale, buyer: usize) -> Vec<String> {
    let mut client = node.client().await;
    let answer = client.send("GET", "/api/v1/orders", &shop.tokens[buyer], &[], "").await;
    let answer = answer.expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page = answer.json();
    let orders = page["data"].as_array().expect("a list").iter();
    orders.map(|order| order["order_id"].as_str().expect("an id").to_owned()).collect()
}

/// Buys, reads, pays, cancels and lists at nodes that have nothing.
async fn asks_the_wrong_nodes(
    owner: &Server,
    [second, third]: [&Server; 2],
    shop: &OpenSale,
    witness: &Witness,
) {
    let attempt = |key: &str| Attempt { item: shop.items[0], buyer: 0, key: key.to_owned() };
    let (paid, cancelled) = (attempt("to-be-paid"), attempt("to-be-cancelled"));
    for attempt in [&paid, &cancelled] {
        assert_eq!(decided(&[second], shop, witness, attempt).await, (0, 201));
        assert_eq!(decided(&[third], shop, witness, attempt).await, (0, 200), "a repeat");
        assert_eq!(decided(&[owner], shop, witness, attempt).await, (0, 200), "a repeat");
    }
    let orders = witness.orders();
    let order_of = |attempt: &Attempt| {
        let mut found = orders.iter().filter(|(_, seen)| seen.attempt.key == attempt.key);
        *found.next().expect("an order").0
    };
    let (paid, cancelled) = (order_of(&paid), order_of(&cancelled));
    let mut clients = [second.client().await, third.client().await, owner.client().await];
    for (node, order, step, status) in [
        (0, paid, "pay", 200),
        (1, paid, "pay", 200),
        (1, paid, "cancel", 409),
        (1, cancelled, "cancel", 200),
        (0, cancelled, "pay", 409),
    ] {
        let answer = shop.step(&mut clients[node], order, 0, step).await.expect("it answers");
        assert_eq!(answer.status, status, "{step}: {}", answer.text());
    }
    for client in &mut clients {
        for (order, status) in [(paid, "paid"), (cancelled, "cancelled")] {
            let answer = shop.order(client, order, 0).await.expect("it answers");
            assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some(status)));
            let answer = shop.order(client, order, 1).await.expect("it answers");
            assert_eq!((answer.status, answer.code().as_str()), (404, "order_not_found"));
        }
        let unknown = shop.buy(client, 999_999, 0, "no-such-item").await.expect("it answers");
        assert_eq!((unknown.status, unknown.code().as_str()), (404, "item_not_found"));
        let other = shop.buy(client, shop.items[1], 0, "to-be-paid").await.expect("it answers");
        assert_eq!((other.status, other.code().as_str()), (409, "idempotency_key_reused"));
    }
    let expected = listed(owner, shop, 0).await;
    assert_eq!(expected.len(), 2);
    for node in [second, third] {
        assert_eq!(listed(node, shop, 0).await, expected);
        assert_eq!(node.get("/readyz").await.status, 200, "it sells what the other one has");
        assert_eq!(node.figure("seckill_peer_links").await, 2, "one link to each other node");
    }
    assert!(owner.figure("seckill_peer_calls_served_total").await > 0);
}

/// What operators do to items, and what readers see of them, at nodes that have nothing.
async fn operates_the_wrong_nodes(
    owner: &Server,
    others: [&Server; 2],
    shop: &OpenSale,
    witness: &Witness,
) {
    let [second, third] = others;
    let mut clients = [second.client().await, third.client().await, owner.client().await];
    let item = shop.items[0];
    let shown = owner.get(&format!("/api/v1/items/{item}")).await.json();
    let sale = format!("/api/v1/admin/sales/{}", shown["sale_id"].as_str().expect("an id"));
    let try_to_buy = Attempt { item, buyer: 3, key: "while-it-is-paused".to_owned() };
    let mut operate = async |node: usize, path: &str, body: &str| {
        let path = format!("{sale}{path}");
        let key = [("idempotency-key", path.as_str())];
        let answer = clients[node].send("POST", &path, &shop.operator, &key, body).await;
        let answer = answer.expect("it answers");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    };
    let paused = operate(0, "/pause", "").await;
    assert_eq!(paused["items"].as_array().map(Vec::len), Some(shop.items.len()), "all of them");
    let answer = shop.buy(&mut third.client().await, item, 3, &try_to_buy.key).await;
    let answer = answer.expect("it answers");
    assert_eq!((answer.status, answer.code().as_str()), (409, "sale_paused"));
    operate(1, "/resume", "").await;
    let restock = format!("/items/{item}/restock");
    for node in [1, 0] {
        let restocked = operate(node, &restock, r#"{"units":5}"#).await;
        assert_eq!(restocked["counters"]["allotted"], LASTING.allotted + 5, "once");
    }
    assert_eq!(decided(&[third], shop, witness, &try_to_buy).await, (0, 201));
    for path in [
        format!("/api/v1/items/{item}"),
        format!("/api/v1/sales/{}", shown["sale_id"].as_str().expect("an id")),
    ] {
        until("every node to show the same units", async || {
            let expected = owner.get(&path).await.json()["counters"].clone();
            for node in others {
                let shown = node.get(&path).await;
                assert_eq!(shown.status, 200, "{}", shown.text());
                if shown.json()["counters"] != expected {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}

/// A stream of an order's events, as it comes.
struct Followed(TcpStream, String);

impl Followed {
    async fn open(node: &Server, shop: &OpenSale, order: u64, buyer: usize) -> Self {
        let mut stream = TcpStream::connect(node.address()).await.expect("it listens");
        let token = &shop.tokens[buyer];
        let request = format!(
            "GET /api/v1/orders/{order}/events HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("it reads");
        Self(stream, String::new())
    }

    async fn tells(&mut self, words: &str) {
        while !self.1.contains(words) {
            let mut piece = [0; 4_096];
            let read = self.0.read(&mut piece);
            let read = tokio::time::timeout(Duration::from_secs(60), read).await;
            let count = read.expect("it goes on").expect("it is readable");
            assert!(count > 0, "it ended: {}", self.1);
            self.1.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
    }
}

/// Who follows an order at one node hears what was done to it at another.
async fn follows_at_the_wrong_nodes(nodes: [&Server; 3], shop: &OpenSale, witness: &Witness) {
    let attempt = Attempt { item: shop.items[1], buyer: 4, key: "followed".to_owned() };
    decided(&[nodes[1]], shop, witness, &attempt).await;
    let orders = witness.orders();
    let mut found = orders.iter().filter(|(_, seen)| seen.attempt.key == attempt.key);
    let order = *found.next().expect("an order").0;
    let mut streams = Vec::new();
    for node in nodes {
        let mut followed = Followed::open(node, shop, order, attempt.buyer).await;
        followed.tells("id: reserved").await;
        streams.push(followed);
    }
    let paid = shop.step(&mut nodes[2].client().await, order, attempt.buyer, "pay").await;
    assert_eq!(paid.expect("it answers").status, 200);
    for followed in &mut streams {
        followed.tells("id: paid").await;
    }
}

/// Every unknown purchase is repeated, and every order that a buyer knows is shown by every node, as one.
async fn agree(nodes: &[&Server], shop: &OpenSale, witness: &Witness) {
    for (number, attempt) in witness.take_unknown(|_| true).into_iter().enumerate() {
        decided(&[nodes[number % nodes.len()]], shop, witness, &attempt).await;
    }
    for (order, seen) in witness.orders() {
        for node in nodes {
            let mut client = node.client().await;
            until("an order's owner to be found", async || {
                let answer = shop.order(&mut client, order, seen.attempt.buyer).await;
                let answer = answer.expect("it answers");
                witness.looked(order, &seen.attempt, &answer);
                (answer.status == 200).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_any_request() {
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b", "c"].map(|node| site(&servers, node));
    let first = sites[0].start().await;
    settled(&[&first]).await;
    let shop = Arc::new(sites[0].open_sale(&first, BUYERS, &[LASTING; 3]).await);
    let (second, third) = (sites[1].start().await, sites[2].start().await);
    settled(&[&first, &second, &third]).await;
    let witness = Arc::new(Witness::default());
    asks_the_wrong_nodes(&first, [&second, &third], &shop, &witness).await;

    operates_the_wrong_nodes(&first, [&second, &third], &shop, &witness).await;
    follows_at_the_wrong_nodes([&first, &second, &third], &shop, &witness).await;

    // The owner dies in the midst of what another node hands to it.
    let mut random = Random::of("a wrong node");
    let mut crowd = Crowd::enter(&second, &shop, &witness, &mut random);
    crowd.answers(300).await;
    first.kill().await;
    settled(&[&second, &third]).await;
    crowd.answers(300).await;
    crowd.leave().await;
    let known = Attempt { item: shop.items[0], buyer: 0, key: "to-be-paid".to_owned() };
    for node in [&second, &third] {
        assert_eq!(decided(&[node], &shop, &witness, &known).await, (0, 200), "one order");
    }
    agree(&[&second, &third], &shop, &witness).await;
    for node in [&second, &third] {
        for item in &shop.items {
            let attempt =
                Attempt { item: *item, buyer: 1, key: format!("{}-{item}", node.address()) };
            assert_eq!(decided(&[node], &shop, &witness, &attempt).await, (0, 201), "{attempt:?}");
        }
    }

    // A node that is stopped gives its shards away while the other one is asked for them.
    let crowd = Crowd::enter(&third, &shop, &witness, &mut random);
    second.stop().await;
    settled(&[&third]).await;
    crowd.leave().await;
    agree(&[&third], &shop, &witness).await;
    third.stop().await;
    servers.judge(&witness).await;
    for site in &sites {
        assert!(!site.log().contains("panicked at"), "{}", site.log());
    }
}
