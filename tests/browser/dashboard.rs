//! The dashboard while a shop sells: figures that move, a shop that goes away and comes back, and how it looks.

use super::support::{Screen, Shop, in_browser, in_seconds, offer};
use crate::console::enter;
use crate::markup;
use harness::until;
use serde_json::{Value, json};

/// A screen on a wall.
const WALL: Screen = Screen { width: 1920, height: 1080, is_phone: false };

/// A sale of a few items that has begun.
async fn sale(shop: &Shop) -> Vec<String> {
    let now = shop.now().await;
    let mug = offer("mug", "搪瓷杯 Enamel mug", 12);
    let mut lamp = offer("lamp", "台灯 Desk lamp", 500);
    lamp["admission"] = json!({ "buy_token": true });
    shop.sale("双十一 Singles Day", in_seconds(now, -60), vec![mug, lamp]).await.1
}

/// So many buyers who buy one after the other, some with a token of the guarded item; each third pays.
async fn rush(shop: &Shop, items: &[String], buyers: &[String]) {
    for (place, buyer) in buyers.iter().enumerate() {
        let bought =
            shop.ask("POST", &format!("/api/v1/items/{}/buy", items[0]), buyer, None).await;
        if bought.status == 201 && place.is_multiple_of(3) {
            let order = bought.json()["order_id"].as_str().expect("an identity").to_owned();
            shop.ask("POST", &format!("/api/v1/orders/{order}/pay"), buyer, None).await;
        }
        let token = format!("/api/v1/items/{}/buy-token", items[1]);
        let token = shop.ask("POST", &token, buyer, None).await.json();
        shop.ask("POST", token["buy_url"].as_str().expect("a path"), buyer, None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_move_while_the_shop_sells_and_tell_when_it_is_gone() {
    in_browser(&[], async |shop, [eva]| {
        eva.screen(Screen::DESKTOP).await;
        let items = sale(shop).await;
        let buyers = shop.buyers(20);
        enter(shop, eva, "eva", &["operator"]).await;
        eva.open_page("/console/dashboard").await;
        eva.until_text("#verdict", "Selling 2 items. All is well.").await;
        eva.until_text("#items", "搪瓷杯").await;
        let first = eva.text("#heard").await;
        until("the next second", async || (eva.text("#heard").await != first).then_some(())).await;
        // Watched by the page itself: no second is missed.
        eva.run("window.seen = {}; for (const name of ['requests', 'placed', 'tokens', 'paid']) { const element = document.querySelector(`[data-figure=\"${name}\"], [data-funnel=\"${name}\"]`); window.seen[name] = new Set(); new MutationObserver(() => window.seen[name].add(element.textContent)).observe(element, { childList: true, characterData: true, subtree: true }); }").await;
        rush(shop, &items, &buyers).await;
        eva.until_text("#refusals", "Sold out").await;
        eva.until_text("#items tr:first-child", "0 8 4 12").await;
        for name in ["requests", "placed", "tokens", "paid"] {
            let script = format!("return [...window.seen['{name}']].some((text) => Number(text) > 0)");
            until(name, async || (eva.run(&script).await == true).then_some(())).await;
        }
        let drawn = "return [...document.querySelectorAll('.chart')].filter((chart) => !chart.querySelector('path, circle')).length";
        assert_eq!(eva.run(drawn).await, 0, "each chart has a line");
        eva.until_text("#sums", "add up").await;

        shop.kill();
        until("the figures to be old", async || {
            (eva.run("return document.getElementById('live').classList.contains('stale')").await == true).then_some(())
        })
        .await;
        eva.until_text("#heard", "Last heard").await;
        eva.screenshot("dashboard-stale").await;
        shop.restart().await;
        until("the figures to be new", async || {
            (eva.run("return document.getElementById('live').classList.contains('stale')").await == false).then_some(())
        })
        .await;
        eva.until_text("#verdict", "Selling").await;
        // The units are what they were.
        eva.until_text("#items tr:first-child", "0 8 4 12").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_shown_in_one_zone_on_texts_and_axes() {
    in_browser(&[], async |shop, [eva]| {
        eva.screen(Screen::DESKTOP).await;
        sale(shop).await;
        eva.command("Emulation.setTimezoneOverride", json!({ "timezoneId": "America/New_York" })).await;
        enter(shop, eva, "eva", &["operator"]).await;
        eva.until_text("main time", "UTC+8").await;
        let choose = |zone: &str| format!("const zone = document.getElementById('zone'); zone.value = '{zone}'; zone.dispatchEvent(new Event('change'));");
        let at = eva.run("return Date.parse(document.querySelector('main time').dateTime)").await;
        let hour = |shift: u64| (at.as_f64().expect("a time") as u64 / 3_600_000 + shift) % 24;
        eva.run(&choose("utc")).await;
        eva.until_text("main time", &format!(" {:02}:", hour(0))).await;
        eva.open_page("/console/dashboard").await;
        eva.until_text("#heard", "UTC").await;
        until("the axis", async || {
            let text = eva.run("return [...document.querySelectorAll('.chart .axes text')].map((text) => text.textContent).filter((text) => text.includes(':')).at(-1) ?? ''").await;
            let now = eva.text("#heard").await;
            let is_same = text.as_str().is_some_and(|text| text.len() == 8 && now.starts_with(&text[..5]));
            is_same.then_some(())
        })
        .await;
        eva.run(&choose("own")).await;
        until("another zone", async || (!eva.text("#heard").await.contains("UTC")).then_some(())).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fits_desktop_wall_and_phone_and_breaks_no_rule() {
    in_browser(&[], async |shop, [eva]| {
        let items = sale(shop).await;
        enter(shop, eva, "eva", &["operator"]).await;
        eva.open_page("/console/dashboard").await;
        eva.until_text("#items", "搪瓷杯").await;
        rush(shop, &items, &shop.buyers(30)).await;
        let mut wrong: Vec<String> = Vec::new();
        let views = [
            ("dashboard-desktop", "/console/dashboard", Screen::DESKTOP),
            ("dashboard-wall", "/console/dashboard?wall", WALL),
            ("dashboard-phone", "/console/dashboard", Screen::PHONE),
        ];
        for (name, path, screen) in views {
            eva.screen(screen).await;
            for scheme in ["light", "dark"] {
                eva.prefer("prefers-color-scheme", scheme).await;
                for language in ["zh", "en"] {
                    eva.open_page(&format!("/console/language/{language}")).await;
                    eva.open_page(path).await;
                    // The history came, and a look after it.
                    until("a look", async || {
                        let text = eva.text("#heard").await;
                        text.contains(':').then_some(())
                    })
                    .await;
                    let shown = format!("{name}-{language}-{scheme}");
                    eva.screenshot(&shown).await;
                    if name == "dashboard-desktop" && (language, scheme) == ("en", "light") {
                        // While it sells.
                        let more = shop.buyers_from(2_000_000, 60);
                        let selling = async {
                            let placed = "return Number(document.querySelector('[data-figure=\"placed\"]').textContent) > 0";
                            until("orders", async || (eva.run(placed).await == true).then_some(())).await;
                            eva.picture("dashboard").await;
                        };
                        tokio::join!(rush(shop, &items, &more), selling);
                    }
                    if eva.overflows().await {
                        wrong.push(format!("{shown} is wider than the screen"));
                    }
                    let found = eva.accessibility().await;
                    wrong.extend(found.into_iter().map(|rule| format!("{shown}: {rule}")));
                }
            }
            let scripts = eva.bytes(".js").await;
            println!("{name}: {scripts} bytes of scripts");
            if !(1..=25 * 1024).contains(&scripts) {
                wrong.push(format!("{name} takes {scripts} bytes of scripts"));
            }
            let low = eva.low_controls().await;
            wrong.extend(low.into_iter().map(|control| format!("{name}, low: {control}")));
            let html: Value = eva.run_to_end("const done = arguments[arguments.length - 1]; fetch(location.href, { headers: { accept: 'text/html' } }).then((answer) => answer.text()).then(done);").await;
            let found = markup::errors(html.as_str().expect("a page"));
            wrong.extend(found.into_iter().map(|error| format!("{name}: {error}")));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}
