//! What is changed of sales at one node, as buyers read it at another.

use super::cluster::{LASTING, Servers, settled};
use crate::support::{Server, until};

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
