//! What is changed and sold at one node, as it is shown at another.

use super::cluster::{LASTING, Servers, settled};
use crate::support::{Server, until};
use harness::http::Connection;
use serde_json::Value;

/// Pieces of a stream that are read at most, a look each or less.
const CHUNKS_MAX: u32 = 60;

/// What a node shows everybody: the first page, and the list of sales.
async fn shown(node: &Server) -> [String; 2] {
    let page = node.get("/en/").await;
    let list = node.get("/api/v1/sales").await;
    assert_eq!((page.status, list.status), (200, 200), "{}{}", page.text(), list.text());
    [page.text().to_owned(), list.text().to_owned()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_changes_the_others_show() {
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b"].map(|node| servers.linked_site(node));
    let (first, second) = (sites[0].start().await, sites[1].start().await);
    settled(&[&first, &second]).await;
    for round in 0..3 {
        // What is remembered and rendered now is out of date afterwards.
        for node in [&first, &second] {
            shown(node).await;
        }
        let shop = sites[0].open_sale([&first, &second][round % 2], 1, &[LASTING]).await;
        let item = first.get(&format!("/api/v1/items/{}", shop.items[0])).await.json();
        let sale = item["sale_id"].as_str().expect("an identity").to_owned();
        for node in [&first, &second] {
            until("a node to show the sale", async || {
                let [page, list] = shown(node).await;
                let is_linked = page.contains(&format!("/en/sales/{sale}"));
                (is_linked && list.contains(&format!("\"{sale}\""))).then_some(())
            })
            .await;
        }
    }
    for node in [first, second] {
        node.stop().await;
    }
}

/// The live figures, as an operator's program watches them.
struct Live(Connection);

impl Live {
    async fn open(node: &Server, operator: &str) -> Self {
        let mut connection = Connection::open(node.address()).await;
        let asked = format!(
            "GET /console/live HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {operator}\r\n\r\n"
        );
        connection.send(asked.as_bytes()).await;
        let head = connection.head().await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Self(connection)
    }

    /// Reads looks until one has this item with so many units reserved; they come once a second.
    async fn shows(&mut self, item: u64, reserved: u64) {
        let mut text = String::new();
        for _ in 0..CHUNKS_MAX {
            let chunk = self.0.chunk().await.expect("the stream goes on");
            text += std::str::from_utf8(&chunk).expect("text");
            while let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let look: Value = serde_json::from_str(data.unwrap_or("{}")).expect("JSON");
                let items = look["items"].as_array().cloned().unwrap_or_default();
                let of_item = items.iter().find(|it| it["id"] == item.to_string().as_str());
                if of_item.is_some_and(|it| it["reserved"] == reserved) {
                    return;
                }
                text = rest.to_owned();
            }
        }
        panic!("item {item} is not shown with {reserved} units reserved");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_sells_is_seen_live_at_the_others() {
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b"].map(|node| servers.linked_site(node));
    let (first, second) = (sites[0].start().await, sites[1].start().await);
    settled(&[&first, &second]).await;
    let shop = sites[0].open_sale(&first, 2, &[LASTING]).await;
    let item = shop.items[0];
    let operator = sites[0].mint("--operator", "ann");
    let mut watched = [Live::open(&first, &operator).await, Live::open(&second, &operator).await];
    for (buyer, node) in [&first, &second].into_iter().enumerate() {
        let mut client = node.client().await;
        let bought = shop.buy(&mut client, item, buyer, "once").await.expect("it answers");
        assert_eq!(bought.status, 201, "{}", bought.text());
        for live in &mut watched {
            live.shows(item, buyer as u64 + 1).await;
        }
    }
    for node in [first, second] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_shards_shows_what_is_on_sale_before_anybody_watches() {
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b"].map(|node| servers.linked_site(node));
    let (first, second) = (sites[0].start().await, sites[1].start().await);
    settled(&[&first, &second]).await;
    sites[0].open_sale(&first, 1, &[LASTING]).await;
    let operator = sites[0].mint("--operator", "ann");
    until("the page to show the item", async || {
        let mut client = second.client().await;
        let headers = &[("accept-language", "en")];
        let page = client.send("GET", "/console/dashboard", &operator, headers, "").await;
        let page = page.expect("it answers");
        assert_eq!(page.status, 200, "{}", page.text());
        let text = page.text();
        (text.contains("Selling one item") && text.contains("1,000,000")).then_some(())
    })
    .await;
    for node in [first, second] {
        node.stop().await;
    }
}
