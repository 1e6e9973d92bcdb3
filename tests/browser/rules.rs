//! Limits, risk rules and lists on the console's pages: changed with a reason, set back, and by whom.

use super::support::{Screen, Shop, in_browser, in_seconds, offer};
use crate::console::enter;
use harness::until;
use serde_json::json;
use std::path::Path;

const LIMITS: &str = "/api/v1/admin/settings/limits";

async fn limits(shop: &Shop) -> serde_json::Value {
    shop.operate("GET", LIMITS, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_changes_limits_sees_the_difference_and_sets_them_back() {
    in_browser(&[], async |shop, [eva, bo]| {
        eva.screen(Screen::DESKTOP).await;
        enter(shop, eva, "eva", &["operator", "admin"]).await;
        eva.click("header a[href=\"/console/rules\"]").await;
        eva.until_text("h1", "Rules").await;
        eva.click("main a[href=\"/console/rules/limits\"]").await;
        eva.fill("#set-user_per_s", "5000").await;
        eva.click("#settings .button").await;
        eva.until_text(".errors", "A whole number from 0 to 1000.").await;
        assert_eq!(eva.value("#set-user_per_s").await, "5000", "what was typed is kept");
        eva.fill("#set-user_per_s", "3").await;
        eva.click("#settings .button").await;
        eva.until_text("h2", "What changes").await;
        assert!(eva.text("tbody").await.contains("10 3"), "{}", eva.text("tbody").await);
        eva.click("button[name=\"confirmed\"]").await;
        eva.until_text(".errors", "Give a reason").await;
        assert_eq!(limits(shop).await["version"], 0, "nothing is done without a reason");
        eva.fill("#reason", "Singles Day begins").await;
        eva.click("button[name=\"confirmed\"]").await;
        eva.until_text(".flash", "Changed").await;
        let view = limits(shop).await;
        assert_eq!((&view["values"]["user_per_s"], &view["actor"]), (&json!(3), &json!("eva")));
        assert_eq!(view["reason"], "Singles Day begins");

        // Somebody else is faster: nothing is done, and the difference is from what holds now.
        eva.fill("#set-user_per_s", "2").await;
        let body = json!({ "values": { "user_per_s": 4 }, "reason": "a test" });
        assert_eq!(shop.change("PUT", LIMITS, "\"1\"", body).await.status, 200);
        eva.click("#settings .button").await;
        eva.until_text("#errors", "eva changed them after you opened the form").await;
        assert!(eva.text("tbody").await.contains("4 2"), "{}", eva.text("tbody").await);
        assert_eq!(limits(shop).await["version"], 2);
        eva.fill("#reason", "tighter still").await;
        eva.click("button[name=\"confirmed\"]").await;
        eva.until_text(".flash", "Changed").await;
        assert_eq!(limits(shop).await["values"]["user_per_s"], 2);

        eva.click("button[name=\"rollback\"][value=\"1\"]").await;
        eva.until_text("h2", "Back to version 1").await;
        eva.fill("#reason", "too tight").await;
        eva.click("button[name=\"confirmed\"]").await;
        eva.until_text(".flash", "Changed").await;
        assert_eq!(limits(shop).await["values"]["user_per_s"], 3);
        eva.until_text("#history ~ form tbody", "too tight").await;
        eva.open_page("/console/log").await;
        eva.until_text("tbody", "settings.rollback").await;

        // An approver sees them and changes nothing, whatever is sent.
        enter(shop, bo, "bo", &["approver"]).await;
        bo.open_page("/console/rules/limits").await;
        bo.until_text(".note", "An admin changes these").await;
        let sent = "const done = arguments[arguments.length - 1]; fetch('/console/rules/limits', { method: 'POST', body: new URLSearchParams({ version: '4', rollback: '0', reason: 'mine', confirmed: 'yes' }) }).then((answer) => done(answer.status))";
        assert_eq!(bo.run_to_end(sent).await, 403);
        assert_eq!(limits(shop).await["version"], 4);
        // With a role less, not even that.
        enter(shop, bo, "mei", &["viewer"]).await;
        bo.open_page("/console/rules").await;
        bo.until_text("h1", "Not allowed").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_put_on_a_list_is_not_admitted_until_taken_off_it() {
    in_browser(&[], async |shop, [eva]| {
        eva.screen(Screen::DESKTOP).await;
        let now = shop.now().await;
        let (_, items) =
            shop.sale("Noon", in_seconds(now, -60), vec![offer("mug", "Mug", 5)]).await;
        let buyers = shop.buyers(2);
        let buy = format!("/api/v1/items/{}/buy", items[0]);
        enter(shop, eva, "eva", &["operator"]).await;
        eva.open_page("/console/rules").await;
        eva.click(".other summary").await;
        eva.run("document.getElementById('list').value = 'deny_address'").await;
        eva.fill("#value", "nowhere").await;
        eva.fill("#note", "a thousand accounts an hour").await;
        eva.click("form[action$=\"/entries\"] button").await;
        eva.until_text(".errors", "Give an address or a network").await;
        assert_eq!(eva.value("#note").await, "a thousand accounts an hour");
        eva.fill("#value", "127.0.0.0/8").await;
        eva.click("form[action$=\"/entries\"] button").await;
        eva.until_text(".flash", "Added to the list").await;
        assert_eq!(shop.ask("POST", &buy, &buyers[0], None).await.code(), "not_admitted");
        eva.reload().await;
        eva.until_text("section[aria-labelledby=\"found\"] tbody", "Denied address").await;
        eva.click("form[action$=\"/remove\"] button").await;
        eva.until_text(".flash", "Removed from the list").await;
        assert_eq!(shop.ask("POST", &buy, &buyers[0], None).await.status, 201);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_gets_its_pictures_words_and_guards_in_its_form() {
    in_browser(&[("SECKILL__CHALLENGE__PREFIX", "0")], async |shop, [eva, bo]| {
        eva.screen(Screen::DESKTOP).await;
        enter(shop, eva, "eva", &["operator"]).await;
        let picture = eva.screenshot("upload").await;
        eva.open_page("/console/sales/new").await;
        for (field, typed) in [
            ("title", "Singles Day"),
            ("items-0-product_id", "mug"),
            ("items-0-title", "Enamel mug"),
            ("items-0-price", "9.90"),
            ("items-0-allotted", "10"),
            ("items-0-description", "Holds 350 ml."),
        ] {
            eva.fill(&format!("#{field}"), typed).await;
        }
        // What the server would not read is not sent, and nothing that was typed is lost.
        let folder = tempfile::tempdir().expect("a folder");
        let large = folder.path().join("large.jpg");
        std::fs::write(&large, vec![0; 13_000_000]).expect("a file");
        eva.choose("#items-0-picture", &large).await;
        eva.until_text("#items-0-picture-large", "At most 8 MB").await;
        eva.click("button[name=\"upload\"]").await;
        eva.click(".sale-form > .actions .button:not(.quiet)").await;
        assert_eq!(eva.run("return document.activeElement.id").await, "items-0-picture");
        assert_eq!(eva.value("#title").await, "Singles Day", "what was typed is kept");
        let found = eva.accessibility().await;
        assert!(found.is_empty(), "{found:?}");
        eva.run("document.getElementById('items-0-picture').value = ''").await;
        let wrong = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        eva.choose("#items-0-picture", wrong).await;
        eva.click("button[name=\"upload\"]").await;
        eva.until_text(".errors", "Item 1: This is no PNG").await;
        assert_eq!(eva.value("#items-0-title").await, "Enamel mug", "what was typed is kept");
        eva.choose("#items-0-picture", &picture).await;
        eva.click("button[name=\"upload\"]").await;
        let shown = "return (document.querySelector('img')?.naturalWidth ?? 0) > 0";
        until("the picture", async || (eva.run(shown).await == true).then_some(())).await;
        for (field, value) in [
            ("starts_at", "2026-01-01T00:00:00"),
            ("ends_at", "2036-01-01T00:00:00"),
            ("items-0-admission-challenge", "proof"),
        ] {
            eva.run(&format!("document.getElementById('{field}').value = '{value}'")).await;
        }
        eva.fill("#items-0-admission-lead_seconds", "x").await;
        eva.click(".sale-form > .actions .button:not(.quiet)").await;
        eva.until_text(".errors", "Item 1: Give 0 to 86,400 seconds").await;
        eva.fill("#items-0-admission-lead_seconds", "30").await;
        eva.click(".sale-form > .actions .button:not(.quiet)").await;
        eva.until_text(".flash", "Saved").await;
        let sale = eva.path().await;
        // What an edit does not touch, it keeps.
        eva.open_page(&format!("{sale}/edit")).await;
        assert_eq!(eva.value("#items-0-admission-lead_seconds").await, "30");
        eva.fill("#title", "Singles' Day").await;
        eva.click(".sale-form > .actions .button:not(.quiet)").await;
        eva.until_text(".flash", "Saved").await;
        eva.click("form[action$=\"/submit\"] button").await;
        enter(shop, bo, "bo", &["approver"]).await;
        bo.open_page(&format!("{sale}/approve")).await;
        bo.until_text("main", "Holds 350 ml.").await;
        bo.until_text("main", "proof of work, from 30 s before").await;
        until("the picture", async || (bo.run(shown).await == true).then_some(())).await;
        bo.click("button[name=\"approve\"]").await;
        bo.until_text("#checks", "Ready to sell").await;

        // A buyer sees all of it, and the browser solves what is asked.
        eva.open_page(&format!("{sale}/live")).await;
        let item = eva.run("return document.querySelector('[data-item]').dataset.item").await;
        let item = item.as_str().expect("a number");
        shop.buyer("wei").await;
        bo.log_in("wei").await;
        bo.open_page(&format!("/en/items/{item}")).await;
        until("the picture", async || (bo.run(shown).await == true).then_some(())).await;
        bo.until_text(".description", "Holds 350 ml.").await;
        bo.until_text("#buy-label", "Buy now").await;
        // The guard is taken away while it sells: everybody may buy.
        eva.click(&format!("a[href=\"{sale}/items/{item}/guard\"]")).await;
        assert_eq!(eva.value("#challenge").await, "proof");
        eva.run("document.getElementById('challenge').value = ''").await;
        eva.click("main form .button").await;
        eva.until_text(".flash", "guarded as you said").await;
        let buyers = shop.buyers(1);
        let bought = shop.ask("POST", &format!("/api/v1/items/{item}/buy"), &buyers[0], None).await;
        assert_eq!(bought.status, 201, "{}", bought.text());
    })
    .await;
}
