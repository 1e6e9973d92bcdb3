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
