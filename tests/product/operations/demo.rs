//! The demo's sales: made anew when they are over, and never in a shop of its own.

use crate::support::{Offer, Server, Site};

const OFFERS: &[Offer] = &[Offer { allotted: 1, limit: 1, window_seconds: 600 }];

/// The demo's sales last a week.
const EIGHT_DAYS_ON: &str = "wall-clock=return(691200000)";

/// Titles of the sales that are not over.
async fn open_sales(server: &Server) -> Vec<String> {
    let now = server.get("/api/v1/time").await.json()["now"].as_str().expect("a time").to_owned();
    let answer = server.get("/api/v1/sales").await.json();
    let sales = answer["data"].as_array().expect("sales").iter();
    let open = sales.filter(|sale| sale["ends_at"].as_str().is_some_and(|end| end > now.as_str()));
    open.map(|sale| sale["title"].as_str().expect("a title").to_owned()).collect()
}

#[tokio::test]
async fn a_week_later_there_is_something_to_buy_again() {
    let site = Site::new().with("DEMO__ENABLED", "true");
    let server = site.start().await;
    let first = open_sales(&server).await;
    assert_eq!(first.len(), 2, "{first:?}");
    server.stop().await;
    let server = site.start().await;
    assert_eq!(open_sales(&server).await, first, "made once");
    server.stop().await;

    let server = site.start_with(EIGHT_DAYS_ON).await;
    assert_eq!(open_sales(&server).await, first);
    assert_eq!(server.get("/api/v1/items/4").await.status, 200, "the first of the new ones");
    server.stop().await;
}

#[tokio::test]
async fn a_shop_with_a_sale_of_its_own_gets_no_demo() {
    let site = Site::new().with("DEMO__ENABLED", "false");
    let (server, _) = site.open_shop(1, OFFERS).await;
    server.stop().await;
    let site = site.with("DEMO__ENABLED", "true");
    let server = site.start().await;
    assert!(!open_sales(&server).await.iter().any(|title| title.contains("秒杀")));
    server.stop().await;
}

#[tokio::test]
async fn a_shop_that_lost_its_catalogue_gets_no_demo() {
    let site = Site::new().with("DEMO__ENABLED", "false");
    let (server, _) = site.open_shop(1, OFFERS).await;
    server.stop().await;
    for name in ["orders.db", "orders.db-wal", "orders.db-shm"] {
        let _ = std::fs::remove_file(site.data().join(name));
    }
    let site = site.with("DEMO__ENABLED", "true");
    let server = site.start().await;
    assert_eq!(open_sales(&server).await, Vec::<String>::new());
    server.stop().await;
}

/// Runs `seckill demo`, which must succeed, and returns what it said.
fn renew(site: &Site) -> String {
    let output = site.run(&["demo"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_is_renewed_in_a_shop_that_runs_and_in_one_that_is_stopped() {
    let mut site = Site::new().with("DEMO__ENABLED", "true");
    let server = site.start().await;
    let first = open_sales(&server).await;
    site.set("HTTP__LISTEN", &server.address().to_string());
    let said = renew(&site);
    assert!(said.contains("/api/v1/items/4/buy -H 'Authorization: Bearer "), "{said}");
    assert_eq!(server.get("/api/v1/items/1").await.json()["state"], "ended");
    let renewed = server.get("/api/v1/items/4").await.json();
    assert_eq!(
        (&renewed["counters"]["available"], &renewed["product_id"]),
        (&100.into(), &"phone".into())
    );
    server.stop().await;

    site.set("HTTP__LISTEN", "127.0.0.1:0");
    let said = renew(&site);
    assert!(said.contains("Start `seckill serve`"), "{said}");
    let server = site.start().await;
    assert_eq!(server.get("/api/v1/items/4").await.json()["state"], "ended");
    assert_eq!(server.get("/api/v1/items/7").await.json()["counters"]["available"], 100);
    let titles = open_sales(&server).await;
    assert!(first.iter().all(|title| titles.contains(title)), "{titles:?}");
    server.stop().await;
    site.audit([]).must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_is_not_forced_upon_a_shop_of_its_own() {
    let site = Site::new().with("DEMO__ENABLED", "false");
    let (server, _) = site.open_shop(1, OFFERS).await;
    server.stop().await;
    let refused = |site: &Site, code: i32, words: &str| {
        let output = site.run(&["demo"]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(errors.contains(words), "{errors}");
    };
    refused(&site, 3, "demo.enabled is false");
    let site = site.with("DEMO__ENABLED", "true");
    refused(&site, 4, "this shop has a sale of its own");
}
