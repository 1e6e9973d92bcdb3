//! Paying at a provider, and giving money back, in a browser.

use super::console::enter;
use super::support::{Screen, in_browser, in_seconds, offer};
use harness::http::Client;
use harness::{PROVIDER_KEY, PaymentProvider, sign_callback, until};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_gives_money_back_and_says_by_what_it_is_found() {
    in_browser(&[], async |shop, [eva]| {
        let now = shop.now().await;
        let (_, items) =
            shop.sale("Noon", in_seconds(now, -60), vec![offer("mug", "Mug", 5)]).await;
        let payment = shop.paid_twice(&items[0], "wei").await;
        eva.screen(Screen::DESKTOP).await;
        enter(shop, eva, "eva", &["operator"]).await;
        eva.click("nav a[href=\"/console/refunds\"]").await;
        eva.until_text("tbody", &payment).await;
        let field = format!("[id=\"reference-{payment}\"]");
        // A browser does not send what is empty, and the server does not take what is wrong.
        eva.fill(&field, "not one word").await;
        eva.click("tbody form button").await;
        eva.until_text(".errors", "1 to 64 visible characters").await;
        assert_eq!(eva.value(&field).await, "not one word", "what was typed is kept");
        let found = eva.accessibility().await;
        assert!(found.is_empty(), "{found:?}");
        eva.fill(&field, "re_c9f0f895").await;
        eva.click("tbody form button").await;
        eva.until_text(".flash", "marked as made").await;
        until("the refund as made", async || {
            eva.open_page("/console/refunds?state=refunded").await;
            eva.text("main").await.contains("re_c9f0f895").then_some(())
        })
        .await;
        let found = eva.accessibility().await;
        assert!(found.is_empty(), "{found:?}");
        eva.open_page("/console/log").await;
        eva.until_text("tbody", "payment.refund").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_is_led_to_the_provider_and_finds_the_order_paid() {
    let provider = PaymentProvider::open().await;
    let (url, secret) = (provider.url(), PaymentProvider::secret());
    let settings = [
        ("SECKILL__PAYMENTS__SANDBOX", "false"),
        ("SECKILL__PAYMENTS__PROVIDER", "mall-pay"),
        ("SECKILL__PAYMENTS__URL", url.as_str()),
        ("SECKILL__PAYMENTS__SECRET", secret.as_str()),
    ];
    in_browser(&settings, async |shop, [wei]| {
        let now = shop.now().await;
        let (_, items) =
            shop.sale("Noon", in_seconds(now, -60), vec![offer("mug", "Mug", 5)]).await;
        let token = shop.buyer("wei").await;
        let path = format!("/api/v1/items/{}/buy", items[0]);
        let bought = shop.ask("POST", &path, &token, None).await;
        let order = bought.json()["order_id"].as_str().expect("an identity").to_owned();
        wei.log_in("wei").await;
        wei.open_page(&format!("/en/orders/{order}")).await;
        wei.until_text("main", "payment provider").await;
        wei.click("form[action$=\"/pay\"] button").await;
        // The page between leads on by itself.
        wei.until_text("h1", "Pay here").await;
        let told = json!({
            "payment_id": format!("{order}-1"), "result": "captured", "reference": "ch_1",
            "amount": 990, "currency": "CNY",
        })
        .to_string();
        let headers = sign_callback(&PROVIDER_KEY, now / 1000, &told);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut client = Client::open(shop.address()).await.expect("it listens");
        let path = "/api/v1/payments/callbacks/mall-pay";
        let noted = client.send("POST", path, "", &headers, &told).await.expect("it answers");
        assert_eq!(noted.json()["state"], "captured", "{}", noted.text());
        // Where the provider sends the buyer back to, in the language that the buyer chose.
        wei.open_page(&format!("/orders/{order}")).await;
        wei.until_text("main .badge", "Paid").await;
    })
    .await;
}
