//! What an operator sees of a rush, and of an order store that goes away in the middle of a sale.

use super::support::{Screen, Shop, in_browser, in_seconds, offer};
use crate::console::enter;
use futures_util::future::join_all;
use harness::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_at_the_start_is_watched_with_every_sum_right() {
    in_browser(&[], async |shop, [eva]| {
        eva.screen(Screen::DESKTOP).await;
        let buyers = shop.buyers(200);
        enter(shop, eva, "eva", &["operator"]).await;
        let starts_at = in_seconds(shop.now().await, 15);
        let (sale, items) = shop.sale("Singles Day", starts_at, vec![offer("mug", "Mug", 40)]).await;
        eva.open_page(&format!("/console/sales/{sale}/live")).await;
        eva.until_text("[data-field=\"available\"]", "40").await;
        // Every figure that the page shows, from now on: the sum has to be right in each.
        eva.run("window.wrong = []; window.looks = 0; const row = document.querySelector('[data-item]'); new MutationObserver(() => { const [available, reserved, sold, allotted] = ['available', 'reserved', 'sold', 'allotted'].map((field) => Number(row.querySelector(`[data-field=\"${field}\"]`).textContent)); window.looks += 1; if (available + reserved + sold !== allotted) window.wrong.push([available, reserved, sold, allotted]); }).observe(row, { childList: true, characterData: true, subtree: true });").await;
        let buy = format!("/api/v1/items/{}/buy", items[0]);
        until("the start", async || (shop.now().await >= starts_at).then_some(())).await;
        let answers = join_all(buyers.iter().map(|buyer| shop.ask("POST", &buy, buyer, None))).await;
        let placed = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(placed, 40);
        assert!(answers.iter().all(|answer| answer.status == 201 || answer.code() == "sold_out"));
        eva.until_text("[data-field=\"reserved\"]", "40").await;
        eva.until_text("[data-field=\"state\"]", "Sold out").await;
        assert_eq!(eva.run("return window.wrong").await, serde_json::json!([]));
        eva.open_page("/console/dashboard").await;
        eva.until_text("#refusals", "160").await;
        eva.until_text("#sums", "add up").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_store_that_is_killed_is_named_with_its_consequence_and_heals() {
    let Some(mariadb) = harness::mariadb() else { return };
    let url = mariadb.url();
    in_browser(&[("SECKILL__ORDERS__MYSQL_URL", url.as_str())], async |shop, [eva]| {
        eva.screen(Screen::DESKTOP).await;
        let now = shop.now().await;
        let (sale, items) =
            shop.sale("Singles Day", in_seconds(now, -60), vec![offer("mug", "Mug", 50)]).await;
        let buyers = shop.buyers(4);
        let buy = format!("/api/v1/items/{}/buy", items[0]);
        enter(shop, eva, "eva", &["operator"]).await;
        assert_eq!(shop.ask("POST", &buy, &buyers[0], None).await.status, 201);
        eva.open_page("/console/dashboard").await;
        eva.until_text("#verdict", "All is well").await;
        mariadb.kill();
        for buyer in &buyers[1..3] {
            assert_eq!(shop.ask("POST", &buy, buyer, None).await.status, 201, "the sale goes on");
        }
        eva.until_text("#verdict", "is lost").await;
        eva.until_text("#dependencies", "orders wait in the journal, none is lost").await;
        eva.screenshot("dashboard-away").await;
        // The brake works without it, for an operator who is known.
        eva.open_page(&format!("/console/sales/{sale}/live")).await;
        eva.until_text("[data-field=\"reserved\"]", "3").await;
        eva.click("form[action$=\"/pause\"] button").await;
        eva.until_text(".flash", "Paused").await;
        assert_eq!(shop.ask("POST", &buy, &buyers[3], None).await.code(), "sale_paused");
        // In the words of the language: what is away, and what that means.
        eva.open_page("/console/language/zh").await;
        eva.until_text(".verdict", "订单在日志中等待").await;
        mariadb.restart().expect("it starts again");
        until("the store to have it all", async || {
            eva.open_page("/console").await;
            (!eva.text(".verdict").await.contains("订单在日志中等待")).then_some(())
        })
        .await;
        assert_eq!(store_orders(shop).await, 3);
    })
    .await;
}

/// How many orders the store has, once it has as many as it ever will.
async fn store_orders(shop: &Shop) -> usize {
    until("the orders", async || {
        let orders = shop.operate("GET", "/api/v1/admin/orders", None).await;
        let count = orders["data"].as_array().expect("a list").len();
        (count >= 3).then_some(count)
    })
    .await
}
