//! The console in a browser: an operator's and an approver's evening, and how its pages look.

use super::support::{Browser, Screen, Shop, in_browser, in_seconds, offer};
use crate::markup;
use harness::until;
use serde_json::json;

const PASSWORD: &str = "long jing 1886";

/// Opens a one-time link, as somebody does who was given it, and chooses a password.
pub async fn enter(shop: &Shop, browser: &Browser, name: &str, roles: &[&str]) {
    let mut words = vec!["operator", "link", name];
    for role in roles {
        words.extend(["--role", role]);
    }
    let link = shop.run(&words);
    let (_, code) = link.split_once('#').expect("a code");
    for _ in 0..2 {
        // A preview asks for the page and uses nothing up.
        browser.open_page(&format!("/console/accept?looked#{code}")).await;
        browser.until_text("#invited-name", name).await;
    }
    let address = browser.run("return location.hash").await;
    assert_eq!(address, "", "the code is not left in the address");
    browser.fill("#password", PASSWORD).await;
    browser.click("main button").await;
    browser.until_path("/console").await;
    browser.until_text(".flash", "Welcome").await;
}

/// Gives a field of a date and a time its value, as a picker does.
async fn pick(browser: &Browser, css: &str, value: &str) {
    browser.run(&format!("document.querySelector('{css}').value = '{value}'")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_and_an_approver_bring_a_sale_to_its_end() {
    in_browser(&[], async |shop, [eva, bo]| {
        eva.screen(Screen::DESKTOP).await;
        enter(shop, eva, "eva", &["operator", "admin"]).await;
        eva.click("main a[href=\"/console/sales/new\"]").await;
        eva.fill("#title", "Singles Day").await;
        eva.fill("#items-0-price", "9.905").await;
        eva.fill("#items-0-allotted", "some").await;
        eva.click(".sale-form > .actions .button:not(.quiet)").await;
        eva.until_text(".errors", "Item 1: Give a price").await;
        assert_eq!(eva.run("return document.activeElement.id").await, "errors");
        assert_eq!(eva.value("#items-0-allotted").await, "some", "what was typed is kept");
        assert_eq!(eva.value("#title").await, "Singles Day");
        for (field, typed) in [
            ("product_id", "mug"),
            ("title", "搪瓷杯"),
            ("price", "9.90"),
            ("list_price", "29"),
            ("allotted", "1000"),
        ] {
            eva.fill(&format!("#items-0-{field}"), typed).await;
        }
        pick(eva, "#starts_at", "2026-01-01T00:00:00").await;
        pick(eva, "#ends_at", "2036-01-01T00:00:00").await;
        eva.click(".sale-form > .actions .button:not(.quiet)").await;
        eva.until_text(".flash", "Saved").await;
        let sale = eva.path().await;
        eva.click("form[action$=\"/submit\"] button").await;
        eva.until_text(".flash", "Another person").await;
        eva.click(&format!("a[href=\"{sale}/approve\"]")).await;
        eva.until_text(".note", "another person").await;

        enter(shop, bo, "bo", &["approver"]).await;
        bo.until_text("main", "Waits for your judgement").await;
        bo.open_page(&format!("{sale}/approve")).await;
        bo.until_text("main", "9,900.00").await;
        // The maker changes the price while the approver looks at the one of before.
        eva.open_page(&sale).await;
        eva.click("form[action$=\"/withdraw\"] button").await;
        eva.until_text(".flash", "Withdrawn").await;
        eva.open_page(&format!("{sale}/edit")).await;
        eva.fill("#items-0-price", "0.99").await;
        eva.click(".sale-form > .actions .button:not(.quiet)").await;
        eva.until_text(".flash", "Saved").await;
        eva.click("form[action$=\"/submit\"] button").await;
        eva.until_text(".flash", "Another person").await;
        bo.fill("#note", "looks right").await;
        bo.click("button[name=\"approve\"]").await;
        bo.until_text(".errors", "Somebody changed this sale").await;
        assert!(bo.text(".errors").await.contains("9.90 0.99"), "{}", bo.text(".errors").await);
        bo.click("button[name=\"approve\"]").await;
        bo.until_text(".flash", "Approved").await;
        bo.until_text("#checks", "Ready to sell").await;

        let token = shop.buyer("wei").await;
        eva.open_page(&format!("{sale}/live")).await;
        let item = eva.run("return document.querySelector('[data-item]').dataset.item").await;
        let buy = format!("/api/v1/items/{}/buy", item.as_str().expect("a number"));
        assert_eq!(shop.ask("POST", &buy, &token, None).await.status, 201);
        eva.until_text("[data-field=\"reserved\"]", "1").await;
        assert_eq!(eva.text("[data-field=\"available\"]").await, "999");
        eva.click("form[action$=\"/pause\"] button").await;
        eva.until_text(".flash", "Paused").await;
        let other = shop.buyer("li").await;
        assert_eq!(shop.ask("POST", &buy, &other, None).await.code(), "sale_paused");
        eva.click("form[action$=\"/resume\"] button").await;
        eva.until_text(".flash", "Resumed").await;
        assert_eq!(shop.ask("POST", &buy, &other, None).await.status, 201);
        eva.fill("input[name=\"units\"]", "100").await;
        eva.click("button[name=\"restock\"]").await;
        eva.until_text(".change", "1,000 → 1,100").await;
        eva.click("button[name=\"confirmed\"]").await;
        eva.until_text("[data-field=\"allotted\"]", "1,100").await;
        eva.click(".other summary").await;
        eva.fill("#title", "Singles").await;
        eva.click("form[action$=\"/end\"] button").await;
        eva.until_text(".errors", "not the sale").await;
        eva.fill("#title", "Singles Day").await;
        eva.click("form[action$=\"/end\"] button").await;
        eva.until_text(".flash", "ended").await;

        until("the orders to be stored", async || {
            eva.open_page("/console/orders?buyer=wei").await;
            eva.text("tbody").await.contains("搪瓷杯").then_some(())
        })
        .await;
        assert!(!eva.text("tbody").await.contains("li"), "the search is for one buyer");
        let file = "const done = arguments[arguments.length - 1]; \
                    fetch('/console/orders.csv?excel=false').then((answer) => answer.text()).then(done)";
        let file = eva.run_to_end(file).await;
        assert_eq!(file.as_str().expect("a file").lines().count(), 3, "{file}");

        // The account is disabled: the next request is out.
        eva.open_page("/console/operators").await;
        eva.click("button[name=\"disable\"]").await;
        eva.until_text(".flash", "disabled").await;
        bo.open_page("/console/sales").await;
        assert_eq!(bo.path().await, "/console/log-in?to=/console/sales");
    })
    .await;
}

/// The console's pages, each with a name for its picture.
async fn pages(shop: &Shop) -> Vec<(&'static str, String)> {
    let now = shop.now().await;
    let mug = offer("mug", "搪瓷杯 Enamel mug", 100);
    let lamp = offer("lamp", "台灯 Desk lamp", 20);
    let (sale, items) =
        shop.sale("双十一 Singles Day", in_seconds(now, -60), vec![mug, lamp]).await;
    let token = shop.buyer("wei").await;
    let bought = shop.ask("POST", &format!("/api/v1/items/{}/buy", items[0]), &token, None).await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    let text = |at: u64| seckill::http::timestamp::to_string(domain::Timestamp(at));
    let mut cheap = offer("mug", "</td><script>alert(1)</script> \u{202E}evil\u{202C} 🧣", 1_000);
    cheap["price"] = json!(99);
    let draft = json!({
        "title": "下一场 Next round", "starts_at": text(now + 90_000_000),
        "ends_at": text(now + 99_000_000), "items": [cheap],
    });
    let made = shop.operate("POST", "/api/v1/admin/sales", Some(draft)).await;
    let next = made["sale_id"].as_str().expect("an identity").to_owned();
    let submit = format!("/api/v1/admin/sales/{next}/submit");
    shop.operate("POST", &submit, None).await;
    let mut guarded = offer("tea", "龙井茶 Longjing tea", 50);
    guarded["admission"] = json!({ "buy_token": true, "challenge": "proof" });
    guarded["description"] = json!("明前茶，250 克。\nPicked before Qingming, 250 g.");
    let draft = json!({
        "title": "草稿 Draft", "starts_at": text(now + 90_000_000),
        "ends_at": text(now + 99_000_000), "items": [guarded],
    });
    let made = shop.operate("POST", "/api/v1/admin/sales", Some(draft)).await;
    let made = made["sale_id"].as_str().expect("an identity").to_owned();
    let limits = json!({ "values": { "user_per_s": 5 }, "reason": "双十一 begins" });
    shop.change("PUT", "/api/v1/admin/settings/limits", "*", limits).await;
    let entry = json!({ "entries": [{
        "list": "deny_address", "value": "192.0.2.0/24", "note": "a thousand accounts an hour",
    }] });
    shop.operate("POST", "/api/v1/admin/risk/entries", Some(entry)).await;
    shop.paid_twice(&items[1], "mei").await;
    vec![
        ("tonight", "/console".to_owned()),
        ("sales", "/console/sales".to_owned()),
        ("new", "/console/sales/new".to_owned()),
        ("sale", format!("/console/sales/{sale}")),
        ("live", format!("/console/sales/{sale}/live")),
        ("approve", format!("/console/sales/{next}/approve")),
        ("edit-guarded", format!("/console/sales/{made}/edit")),
        ("guard", format!("/console/sales/{sale}/items/{}/guard", items[0])),
        ("rules", "/console/rules".to_owned()),
        ("rules-limits", "/console/rules/limits".to_owned()),
        ("rules-risk", "/console/rules/risk".to_owned()),
        ("orders", "/console/orders".to_owned()),
        ("orders-wrong", "/console/orders?buyer=nobody&sale=x".to_owned()),
        ("refunds", "/console/refunds".to_owned()),
        ("refunds-made", "/console/refunds?state=refunded".to_owned()),
        ("dead-letters", "/console/dead-letters".to_owned()),
        ("log", "/console/log".to_owned()),
        ("operators", "/console/operators".to_owned()),
        ("missing", "/console/nothing".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_every_screen_breaks_no_rule_and_is_well_formed() {
    in_browser(&[], async |shop, [browser]| {
        let mut wrong = Vec::new();
        let mut look = async |name: &str, path: &str| {
            browser.open_page(path).await;
            browser.screenshot(&format!("console-{name}")).await;
            if name == "approve-en-desktop-light" {
                browser.picture("console").await;
            }
            if browser.overflows().await {
                wrong.push(format!("{name} is wider than the screen"));
            }
            let found = browser.accessibility().await;
            wrong.extend(found.into_iter().map(|rule| format!("{name}: {rule}")));
            let low = browser.low_controls().await;
            wrong.extend(low.into_iter().map(|control| format!("{name}, low: {control}")));
            let bytes = browser.bytes("").await;
            if !(1..=60 * 1024).contains(&bytes) {
                wrong.push(format!("{name} takes {bytes} bytes"));
            }
            let html = browser.run_to_end("const done = arguments[arguments.length - 1]; fetch(location.href, { headers: { accept: 'text/html' } }).then((answer) => answer.text()).then(done);").await;
            let found = markup::errors(html.as_str().expect("a page"));
            wrong.extend(found.into_iter().map(|error| format!("{name}: {error}")));
        };
        let pages = pages(shop).await;
        look("log-in", "/console/log-in").await;
        look("accept", "/console/accept").await;
        enter(shop, browser, "eva", &["approver", "admin"]).await;
        for (screen, size) in [(Screen::PHONE, "phone"), (Screen::DESKTOP, "desktop")] {
            browser.screen(screen).await;
            for scheme in ["light", "dark"] {
                browser.prefer("prefers-color-scheme", scheme).await;
                for language in ["zh", "en"] {
                    browser.open_page(&format!("/console/language/{language}")).await;
                    for (name, path) in &pages {
                        look(&format!("{name}-{language}-{size}-{scheme}"), path).await;
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_title_leaves_the_figures_in_sight() {
    in_browser(&[], async |shop, [eva]| {
        let now = shop.now().await;
        let long = "Abcdefghij".repeat(12);
        let items = vec![offer("long", &long, 5)];
        let (sale, _) = shop.sale(&long, in_seconds(now, -60), items).await;
        enter(shop, eva, "eva", &["operator"]).await;
        let pages = [
            ("/console".to_owned(), "main h3 .badge"),
            ("/console/sales".to_owned(), "tbody .badge"),
            (format!("/console/sales/{sale}/live"), "[data-field=\"available\"]"),
        ];
        for (path, figure) in &pages {
            eva.open_page(path).await;
            let edges = format!("return [document.querySelector('{figure}').getBoundingClientRect().right, document.documentElement.clientWidth]");
            let edges = eva.run(&edges).await;
            assert!(edges[0].as_f64() <= edges[1].as_f64(), "{figure} of {path} is out of sight: {edges}");
            assert!(!eva.overflows().await, "{path} is wider than the screen");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_every_form_works() {
    in_browser(&[], async |shop, [eva]| {
        eva.screen(Screen::DESKTOP).await;
        let now = shop.now().await;
        let (sale, _) = shop.sale("Noon", in_seconds(now, -60), vec![offer("mug", "Mug", 5)]).await;
        let link = shop.run(&["operator", "link", "eva", "--role", "operator"]);
        eva.scripts(false).await;
        eva.open_page("/console/accept").await;
        eva.fill("#code", &link).await;
        eva.fill("#password", PASSWORD).await;
        eva.click("main button").await;
        eva.until_path("/console").await;
        eva.open_page(&format!("/console/sales/{sale}/live")).await;
        eva.click("form[action$=\"/pause\"] button").await;
        eva.until_text(".flash", "Paused").await;
        eva.until_text("[data-field=\"state\"]", "Paused").await;
        eva.open_page("/console/sales/new").await;
        eva.click("button[name=\"add\"]").await;
        eva.until_text("main", "Item 2").await;
        eva.click("button[name=\"remove\"]").await;
        eva.until_text(".sale-form", "Add an item").await;
        eva.click("header form button").await;
        eva.until_text(".flash", "logged out").await;
    })
    .await;
}
