//! Files of very many orders.

use super::{ALONE, resident_bytes};
use sqlx::{Connection as _, SqliteConnection};
use support::{Setup, Shop};

/// Fills the order store with so many orders.
async fn fill(shop: &Shop, orders: u64) {
    let path = shop.directory.path().join("orders.db");
    let mut connection =
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.expect("it opens");
    let text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
                INSERT INTO orders (order_id, sale_id, item_id, user_id, request_id, attempt, \
                quantity, amount, currency, status, expires_at, changed_at, version) \
                SELECT (i << 22) + 1, 1, 1, i, i, 1, 1, 4999, 'EUR', 2, 1790000600000, \
                1790000000000, i FROM n";
    sqlx::query(text).bind(orders.cast_signed()).execute(&mut connection).await.expect("filled");
    connection.close().await.expect("closed");
}

/// A million rows take no more memory than a hundred thousand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_a_million_orders_is_flat_and_two_run_at_once() {
    let _alone = ALONE.lock().await;
    const ORDERS: u64 = 1_000_000;
    let shop = Shop::open().await;
    let _ = shop.live_item(1).await;
    fill(&shop, ORDERS).await;
    let ann = shop.operator("ann");
    let begin = async || {
        let mut connection = harness::http::Connection::open(shop.address).await;
        let head = format!(
            "GET /api/v1/admin/orders?format=csv HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer \
             {ann}\r\nconnection: close\r\n\r\n"
        );
        connection.send(head.as_bytes()).await;
        let head = connection.head().await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        connection
    };
    let (mut first, second) = (begin().await, begin().await);
    let third = shop.get("/api/v1/admin/orders?format=csv", Some(&ann)).await;
    assert_eq!(third.problem(), (503, "overloaded".to_owned()));
    let (mut lines, mut early, mut most) = (0_u64, 0, 0);
    while let Some(chunk) = first.chunk().await {
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        if early == 0 && lines > 100_000 {
            early = resident_bytes();
        }
        most = most.max(if early == 0 { 0 } else { resident_bytes() });
    }
    assert_eq!(lines, ORDERS + 1);
    let grown = most.saturating_sub(early);
    assert!(grown < 16 << 20, "{grown} bytes more after 900,000 orders more");
    // The one that was not read gives its place back when its client goes.
    drop(second);
    harness::until("a place for an export", async || {
        let answer = shop.get("/api/v1/admin/orders?format=csv&user=1", Some(&ann)).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// A file that ends early must not look whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_whose_database_goes_away_breaks_off() {
    let _alone = ALONE.lock().await;
    let shop = Setup::default().open().await;
    let _ = shop.live_item(1).await;
    fill(&shop, 200_000).await;
    let ann = shop.operator("ann");
    let mut connection = harness::http::Connection::open(shop.address).await;
    let head = format!(
        "GET /api/v1/admin/orders?format=csv HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {ann}\
         \r\nconnection: close\r\n\r\n"
    );
    connection.send(head.as_bytes()).await;
    assert!(connection.head().await.is_some_and(|head| head.starts_with("HTTP/1.1 200")));
    assert!(connection.chunk().await.is_some());
    shop.orders.database().close().await;
    let is_whole = connection.read_until(b"\r\n0\r\n\r\n").await;
    assert!(!is_whole, "it ended as if that were all");
}
