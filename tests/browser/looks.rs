//! How pages look and what they are made of: sizes, rules of accessibility, markup, words from strangers.

use super::support::{Browser, Screen, Shop, in_browser, in_seconds, offer};
use crate::markup;
use serde_json::json;

/// What a stranger may call a thing: markup, a script's end, both directions, pictures, and 200 characters.
const HOSTILE: [&str; 4] = [
    "</script><script>alert(1)</script><b>\"'&amp;",
    "شال صوف \u{202E}evil\u{202C} 🧣👩‍👩‍👧",
    "{{ 7 * 7 }} ${7*7} <!-- ]]>",
    "abababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababab",
];

/// The shop's pages for a buyer with one order, each with a name for its picture.
async fn pages(shop: &Shop, token: &str) -> Vec<(&'static str, String)> {
    let now = shop.now().await;
    let mut mug = offer("mug", "搪瓷杯 Enamel mug", 100);
    mug["description"] = json!("A mug of enamelled steel, 350 ml.\nKeeps its colour for decades.");
    let mut lamp = offer("lamp", "台灯 Desk lamp", 20);
    lamp["limit_per_user"] = json!(3);
    let (sale, items) =
        shop.sale("双十一 Singles Day", in_seconds(now, -60), vec![mug, lamp]).await;
    shop.sale("下一场 Next round", in_seconds(now, 90_000), vec![offer("watch", "手表 Watch", 5)])
        .await;
    let bought = shop.ask("POST", &format!("/api/v1/items/{}/buy", items[0]), token, None).await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    let order = bought.json()["order_id"].as_str().expect("an identity").to_owned();
    vec![
        ("home", "/".to_owned()),
        ("sale", format!("/sales/{sale}")),
        ("item", format!("/items/{}", items[1])),
        ("item-bought", format!("/items/{}", items[0])),
        ("confirm", format!("/items/{}/buy", items[1])),
        ("orders", "/orders".to_owned()),
        ("order", format!("/orders/{order}")),
        ("login", "/login".to_owned()),
        ("register", "/register".to_owned()),
        ("account", "/account".to_owned()),
        ("missing", "/nothing".to_owned()),
    ]
}

/// Waits until the page has learnt what it asks for at the start.
async fn settled(browser: &Browser, name: &str) {
    if name.starts_with("item") {
        harness::until("the button", async || {
            let state =
                browser.run("return document.getElementById('buy').dataset.state ?? ''").await;
            (state != "loading" && state != "").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_every_screen_and_breaks_no_rule_of_accessibility() {
    in_browser(&[], async |shop, [browser]| {
        let token = shop.buyer("wei").await;
        let pages = pages(shop, &token).await;
        browser.log_in("wei").await;
        let mut wrong = Vec::new();
        for (screen, size) in [(Screen::PHONE, "phone"), (Screen::DESKTOP, "desktop")] {
            browser.screen(screen).await;
            for scheme in ["light", "dark"] {
                browser.prefer("prefers-color-scheme", scheme).await;
                for language in ["zh", "en"] {
                    for (name, path) in &pages {
                        browser.open_page(&format!("/{language}{path}")).await;
                        settled(browser, name).await;
                        let shown = format!("{name}-{language}-{size}-{scheme}");
                        browser.screenshot(&shown).await;
                        if shown == "item-en-desktop-light" {
                            browser.picture("shop").await;
                        }
                        if browser.overflows().await {
                            wrong.push(format!("{shown} is wider than the screen"));
                        }
                        let found = browser.accessibility().await;
                        wrong.extend(found.into_iter().map(|rule| format!("{shown}: {rule}")));
                        let low = browser.low_controls().await;
                        wrong.extend(
                            low.into_iter().map(|control| format!("{shown}, low: {control}")),
                        );
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_strangers_stay_words_on_the_narrowest_screen() {
    in_browser(&[], async |shop, [browser]| {
        let now = shop.now().await;
        browser.screen(Screen { width: 320, height: 640, is_phone: true }).await;
        for (place, title) in HOSTILE.iter().enumerate() {
            let mut item = offer("thing", title, 1);
            item["description"] = json!(format!("{title}\n{title}"));
            let starts_at = in_seconds(now, -60 - place as i64);
            let (sale, items) = shop.sale(title, starts_at, vec![item]).await;
            for path in ["/en/".to_owned(), format!("/en/sales/{sale}"), format!("/zh/items/{}", items[0])] {
                browser.open_page(&path).await;
                assert!(!browser.overflows().await, "{path} is wider than the screen with {title}");
                let scripts = "return [...document.scripts].filter((script) => !script.src && script.type !== 'application/json').length";
                assert_eq!(browser.run(scripts).await, 0, "{path} runs what {title} says");
            }
            let shown = browser.run("return document.querySelector('h1 bdi').textContent").await;
            assert_eq!(shown, *title);
            browser.screenshot(&format!("hostile-{place}")).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_well_formed() {
    in_browser(&[], async |shop, [browser]| {
        let token = shop.buyer("wei").await;
        let pages = pages(shop, &token).await;
        browser.log_in("wei").await;
        let mut wrong = Vec::new();
        for language in ["zh", "en"] {
            for (name, path) in &pages {
                browser.open_page(&format!("/{language}{path}")).await;
                // As it was sent, before a script touched it.
                let html = browser.run_to_end("const done = arguments[arguments.length - 1]; fetch(location.href, { headers: { accept: 'text/html' } }).then((answer) => answer.text()).then(done);").await;
                let found = markup::errors(html.as_str().expect("a page"));
                wrong.extend(found.into_iter().map(|error| format!("{name} {language}: {error}")));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_an_item_is_small_and_asks_for_little() {
    in_browser(&[], async |shop, [browser]| {
        let now = shop.now().await;
        let (_, items) = shop.sale("Bars", in_seconds(now, 600), vec![offer("mug", "Mug", 5)]).await;
        browser.open_page(&format!("/en/items/{}", items[0])).await;
        settled(browser, "item").await;
        let script = "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].map((entry) => new URL(entry.name).pathname)";
        let cold = browser.run(script).await;
        let cold = cold.as_array().expect("a list");
        let bytes = browser.bytes("").await;
        println!("cold: {} requests, {bytes} bytes of HTML, CSS and JS: {cold:?}", cold.len());
        assert!(bytes > 0 && bytes <= 25 * 1024, "{bytes} bytes");
        assert!(cold.len() <= 11, "{} requests: {cold:?}", cold.len());
        browser.open_page(&format!("/en/items/{}", items[0])).await;
        settled(browser, "item").await;
        let script = "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].filter((entry) => entry.transferSize > 0).map((entry) => entry.name)";
        let warm = browser.run(script).await;
        let shift = browser.run("return performance.getEntriesByType('layout-shift').length").await;
        println!("warm: {warm}; shifts: {shift}");
        assert!(warm.as_array().expect("a list").len() <= 4, "{warm}");
        let shifts = browser.run_to_end("const done = arguments[arguments.length - 1]; new PerformanceObserver((list) => done(list.getEntries().reduce((sum, entry) => sum + entry.value, 0))).observe({ type: 'layout-shift', buffered: true }); setTimeout(() => done(0), 500);").await;
        assert!(shifts.as_f64().expect("a number") < 0.001, "the page moves: {shifts}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_an_item_with_a_picture_is_light_on_a_slow_phone() {
    in_browser(&[], async |shop, [browser]| {
        let now = shop.now().await;
        // What a browser shows, as a picture of the kind that an operator sends.
        browser.open_page("/en/register").await;
        let sent = std::fs::read(browser.screenshot("sent").await).expect("a picture");
        let mut mug = offer("mug", "Enamel mug", 5);
        mug["picture"] = json!(shop.keep_picture(&sent).await);
        let (_, items) = shop.sale("Bars", in_seconds(now, 600), vec![mug]).await;
        browser.command("Network.enable", json!({})).await;
        browser.command("Network.setCacheDisabled", json!({ "cacheDisabled": true })).await;
        let slow = json!({
            "offline": false, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 200_000,
        });
        browser.command("Network.emulateNetworkConditions", slow).await;
        browser.command("Emulation.setCPUThrottlingRate", json!({ "rate": 4 })).await;
        let watch = "window.found = { lcp: 0, long: [] }; new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.found.lcp = Math.max(window.found.lcp, entry.startTime); }).observe({ type: 'largest-contentful-paint', buffered: true }); new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.found.long.push(entry.duration); }).observe({ type: 'longtask', buffered: true });";
        browser.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": watch })).await;
        browser.open_page(&format!("/en/items/{}", items[0])).await;
        settled(browser, "item").await;
        let script = "return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname)";
        let loaded = browser.run(script).await;
        let loaded = loaded.as_array().expect("a list");
        let bytes = browser.bytes("").await;
        println!("{bytes} bytes with a picture; {}", browser.run("return window.found").await);
        assert!(loaded.iter().any(|entry| entry.as_str().is_some_and(|path| path.starts_with("/media/"))));
        assert!(bytes <= 65 * 1024, "{bytes} bytes: {loaded:?}");
    })
    .await;
}
