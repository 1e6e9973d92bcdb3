//! What can come between a buyer and an order: time that runs out, a guarded item, a page that came over plain
//! HTTP; large letters, forced colours, and motion that is not wanted.

use super::support::{Browser, Screen, Shop, in_browser, in_seconds, offer};
use harness::until;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

async fn button_says(browser: &Browser, wanted: &str) {
    browser.until_text("#buy-label", wanted).await;
}

async fn buy_and_pay(browser: &Browser) {
    button_says(browser, "Buy now").await;
    browser.click("#buy").await;
    button_says(browser, "Pay within").await;
    browser.click("#buy").await;
    browser.until_text(".badge", "not paid yet").await;
    browser.click("form[action$=\"/pay\"] button").await;
    browser.until_text(".badge", "Paid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_not_paid_runs_out_before_its_buyers_eyes() {
    in_browser(&[], async |shop, [browser]| {
        let now = shop.now().await;
        let mut mug = offer("mug", "Mug", 1);
        mug["payment_window_seconds"] = json!(15);
        let (_, items) = shop.sale("Short", in_seconds(now, -60), vec![mug]).await;
        shop.buyer("wei").await;
        browser.log_in("wei").await;
        browser.open_page(&format!("/en/items/{}", items[0])).await;
        button_says(browser, "Buy now").await;
        browser.click("#buy").await;
        button_says(browser, "Pay within 00:").await;
        browser.click("#buy").await;
        browser.until_text("#timer", "left to pay").await;
        // The server decides, and the page says so by itself.
        browser.until_text(".badge", "Not paid in time").await;
        browser.until_text("main", "the units went back on sale").await;
        // The unit is there again.
        browser.open_page(&format!("/en/items/{}", items[0])).await;
        button_says(browser, "Buy now").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_item_is_bought_with_what_the_browser_solved() {
    in_browser(&[("SECKILL__CHALLENGE__PREFIX", "0")], async |shop, [browser]| {
        let starts_at = in_seconds(shop.now().await, 25);
        let mut mug = offer("mug", "Mug", 5);
        mug["admission"] =
            json!({ "buy_token": true, "challenge": "proof", "spread_milliseconds": 500 });
        let (_, items) = shop.sale("Guarded", starts_at, vec![mug]).await;
        shop.buyer("wei").await;
        browser.log_in("wei").await;
        browser.open_page(&format!("/en/items/{}", items[0])).await;
        // Solved and given out before the start, so that nothing but the purchase is left for it.
        browser.until_text("#says", "Prepared").await;
        buy_and_pay(browser).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_plain_http_of_a_local_network_one_buys_and_is_told_what_needs_more() {
    in_browser(&[], async |shop, [browser]| {
        let now = shop.now().await;
        let mut guarded = offer("lamp", "Lamp", 5);
        guarded["admission"] = json!({ "buy_token": true, "challenge": "proof" });
        let (_, items) =
            shop.sale("Lan", in_seconds(now, -60), vec![offer("mug", "Mug", 5), guarded]).await;
        shop.buyer("wei").await;
        let url = |path: &str| shop.url(path).replace("localhost", "shop.lan");
        browser.visit(&url(&format!("/en/login?to=/en/items/{}", items[1]))).await;
        assert_eq!(browser.run("return window.isSecureContext").await, false);
        browser.fill("#user_name", "wei").await;
        browser.fill("#password", "correct horse").await;
        browser.click("main button").await;
        button_says(browser, "Cannot be prepared here").await;
        browser.until_text("#says", "https").await;
        browser.visit(&url(&format!("/en/items/{}", items[0]))).await;
        buy_and_pay(browser).await;
    })
    .await;
}

/// A provider of challenges on this machine: its script, and its judgement, which is that all is well.
fn provider() -> u16 {
    const SCRIPT: &str = "window.turnstile = { render: (root, { sitekey, action, callback }) => { \
        const button = document.createElement('button'); button.textContent = sitekey + ' ' + action; \
        button.style.color = 'red'; button.onclick = () => callback('solved'); root.append(button); } };";
    const JUDGED: &str = r#"{"success":true,"hostname":"localhost","action":"buy"}"#;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut asked = Vec::new();
            let mut piece = [0; 4_096];
            // A question has its head and, if it is judged, a body with the solution.
            while let Ok(length @ 1..) = stream.read(&mut piece) {
                asked.extend_from_slice(&piece[..length]);
                let text = String::from_utf8_lossy(&asked);
                let is_script = text.starts_with("GET");
                if (is_script && text.contains("\r\n\r\n")) || text.contains("response=solved") {
                    let (kind, body) = if is_script {
                        ("text/javascript", SCRIPT)
                    } else {
                        ("application/json", JUDGED)
                    };
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(format!("{head}{body}").as_bytes());
                    break;
                }
            }
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_challenge_is_shown_in_a_frame_and_buys() {
    let port = provider();
    let (script, judge) =
        (format!("http://127.0.0.1:{port}/api.js"), format!("http://127.0.0.1:{port}/siteverify"));
    let settings = [
        ("SECKILL__CHALLENGE__PROVIDER", "turnstile"),
        ("SECKILL__CHALLENGE__SITE_KEY", "site"),
        ("SECKILL__CHALLENGE__SECRET", "hidden"),
        ("SECKILL__CHALLENGE__HOSTNAME", "localhost"),
        ("SECKILL__CHALLENGE__SCRIPT_URL", script.as_str()),
        ("SECKILL__CHALLENGE__VERIFY_URL", judge.as_str()),
    ];
    in_browser(&settings, async |shop, [browser]| {
        let now = shop.now().await;
        let mut mug = offer("mug", "Mug", 5);
        mug["admission"] = json!({ "buy_token": true, "challenge": "external" });
        let (_, items) = shop.sale("Checked", in_seconds(now, -60), vec![mug]).await;
        shop.buyer("wei").await;
        browser.log_in("wei").await;
        browser.open_page(&format!("/en/items/{}", items[0])).await;
        let press = "const button = document.querySelector('#check iframe')?.contentDocument?.querySelector('button'); button?.click(); return button?.textContent ?? ''";
        until("the challenge", async || (browser.run(press).await == "site buy").then_some(())).await;
        buy_and_pay(browser).await;
        // The page around it stays as strict as every other.
        let policies = browser.run_to_end("const done = arguments[arguments.length - 1]; Promise.all(['/en/', '/challenge'].map((path) => fetch(path).then((answer) => answer.headers.get('content-security-policy')))).then(done)").await;
        let policy = |place: usize| policies[place].as_str().expect("a policy").to_owned();
        assert!(!policy(0).contains("127.0.0.1") && policy(0).contains("trusted-types"), "{policies}");
        assert!(policy(1).contains("frame-ancestors 'self'") && policy(1).contains("127.0.0.1"), "{policies}");
    })
    .await;
}

/// The pages that a buyer goes through, one of whose orders is unpaid.
async fn pages(shop: &Shop) -> Vec<String> {
    let now = shop.now().await;
    let mut mug = offer("mug", "搪瓷杯 Enamel mug", 100);
    mug["limit_per_user"] = json!(3);
    let (sale, items) = shop.sale("双十一 Singles Day", in_seconds(now, -60), vec![mug]).await;
    let token = shop.buyer("wei").await;
    let bought = shop.ask("POST", &format!("/api/v1/items/{}/buy", items[0]), &token, None).await;
    let order = bought.json()["order_id"].as_str().expect("an identity").to_owned();
    ["/", "/orders", "/login", "/register", "/account", "/nothing"]
        .into_iter()
        .map(str::to_owned)
        .chain([
            format!("/sales/{sale}"),
            format!("/items/{}", items[0]),
            format!("/items/{}/buy", items[0]),
            format!("/orders/{order}"),
        ])
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_twice_the_size_fit_the_narrowest_screen() {
    in_browser(&[], async |shop, [browser]| {
        let pages = pages(shop).await;
        browser.log_in("wei").await;
        browser.screen(Screen { width: 320, height: 640, is_phone: true }).await;
        let mut wrong = Vec::new();
        for language in ["zh", "en"] {
            for (place, path) in pages.iter().enumerate() {
                browser.open_page(&format!("/{language}{path}")).await;
                browser.run("document.documentElement.style.fontSize = '200%'").await;
                browser.screenshot(&format!("large-{language}-{place}")).await;
                if browser.overflows().await {
                    wrong.push(format!("/{language}{path}"));
                }
            }
        }
        assert!(wrong.is_empty(), "wider than the screen: {wrong:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forced_colours_leave_edges_and_unwanted_motion_is_not_there() {
    in_browser(&[], async |shop, [browser]| {
        let pages = pages(shop).await;
        browser.log_in("wei").await;
        browser.screen(Screen::DESKTOP).await;
        for (place, path) in pages.iter().enumerate() {
            browser.prefer("forced-colors", "active").await;
            browser.open_page(&format!("/en{path}")).await;
            browser.screenshot(&format!("forced-{place}")).await;
            let edgeless = browser.run("return [...document.querySelectorAll('.button, input:not([type=hidden]), .badge:not(:empty)')].filter((element) => { const style = getComputedStyle(element); return element.checkVisibility() && (style.borderStyle === 'none' || style.borderWidth === '0px' || style.color === style.backgroundColor); }).map((element) => element.outerHTML)").await;
            assert_eq!(edgeless, json!([]), "without an edge at {path}");
            browser.prefer("prefers-reduced-motion", "reduce").await;
            browser.reload().await;
            let moving = browser.run("return document.getAnimations().length").await;
            assert_eq!(moving, 0, "something moves at {path}");
        }
    })
    .await;
}
