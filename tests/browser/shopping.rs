//! A buyer's journeys: from the first look to the paid order, and what can come between.

use super::support::{Browser, Screen, Shop, in_browser, in_seconds, offer};
use harness::until;
use serde_json::json;
use thirtyfour::Key;

/// Notes in the page what it sends, from now on.
const WATCH: &str = "window.sent = []; const real = window.fetch; \
    window.fetch = (url, options = {}) => { window.sent.push((options.method ?? 'GET') + ' ' + url); return real(url, options); };";

async fn register(browser: &Browser, name: &str, to: &str) {
    browser.open_page(&format!("/en/register?to={to}")).await;
    browser.fill("#user_name", name).await;
    browser.fill("#password", "correct horse").await;
    browser.click("main button").await;
    browser.until_path(to).await;
}

async fn bought(shop: &Shop, token: &str) -> usize {
    let orders = shop.ask("GET", "/api/v1/orders", token, None).await.json();
    orders["data"].as_array().expect("a list").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_registers_waits_buys_pays_and_finds_the_order() {
    in_browser(&[], async |shop, [browser]| {
        // A device whose clock is an hour off.
        let off = "const real = Date.now; Date.now = () => real() + 3_600_000;";
        let added = json!({ "source": off });
        browser.command("Page.addScriptToEvaluateOnNewDocument", added).await;
        let starts_at = in_seconds(shop.now().await, 12);
        let (_, items) = shop.sale("Singles Day", starts_at, vec![offer("mug", "Enamel mug", 10)]).await;
        let path = format!("/en/items/{}", items[0]);
        register(browser, "wei", &path).await;
        browser.until_text(".flash", "").await;
        browser.until_text("#buy-label", "Starts ").await;
        browser.until_text("#timer", "Starts in 00:00:0").await;
        // The server answered between the two looks, so its time lies between what they say.
        let times = browser.run_to_end("const done = arguments[arguments.length - 1]; const any = document.querySelector('script[src$=\"item.js\"]').src; import(any.replace('item.js', 'clock.js')).then(async (clock) => { const before = clock.now(); const answer = await fetch('/api/v1/time'); const { unix_ms } = await answer.json(); done([before, unix_ms, clock.now()]); });").await;
        let [before, real, after] = [0, 1, 2].map(|place| times[place].as_f64().expect("a time"));
        assert!(before - 50.0 <= real && real <= after + 50.0, "{times}: the server's clock to 50 ms, not the device's");
        browser.run(WATCH).await;
        browser.until_text("#buy-label", "Buy now").await;
        assert_eq!(browser.run("return window.sent").await, json!([]), "at the start nothing is sent but what is pressed");
        browser.run("for (let press = 0; press < 20; press += 1) document.getElementById('buy').click();").await;
        browser.until_text("#buy-label", "Pay within 0").await;
        let posts = "return window.sent.filter((line) => line.includes('/buy')).length";
        assert_eq!(browser.run(posts).await, 1, "twenty presses are one request");
        browser.until_text("#live", "You have got it").await;
        browser.reload().await;
        browser.until_text("#buy-label", "Pay within 0").await;
        browser.click("#buy").await;
        browser.until_text(".badge", "not paid yet").await;
        browser.until_text("#timer", "left to pay").await;
        browser.click("form[action$=\"/pay\"] button").await;
        browser.until_text(".badge", "Paid").await;
        browser.until_text(".flash", "Paid. Thank you!").await;
        browser.click("header a[href=\"/en/orders\"]").await;
        browser.until_path("/en/orders").await;
        assert!(browser.text(".orders").await.contains("Enamel mug"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_want_the_last_unit_the_other_gets_it_when_it_comes_back() {
    in_browser(&[], async |shop, [ann, bob]| {
        let now = shop.now().await;
        let (_, items) =
            shop.sale("One", in_seconds(now, -60), vec![offer("one", "The last one", 1)]).await;
        let path = format!("/en/items/{}", items[0]);
        for (browser, name) in [(ann, "ann"), (bob, "bob")] {
            register(browser, name, &path).await;
            browser.until_text("#buy-label", "Buy now").await;
        }
        ann.click("#buy").await;
        ann.until_text("#buy-label", "Pay within").await;
        bob.click("#buy").await;
        bob.until_text("#buy-label", "Sold out").await;
        bob.until_text("#says", "1 unpaid").await;
        ann.click("#buy").await;
        ann.until_text(".badge", "not paid yet").await;
        ann.click("form[action$=\"/cancel\"] button").await;
        ann.until_text(".badge", "Given up").await;
        bob.until_text("#buy-label", "Buy now").await;
        bob.click("#buy").await;
        bob.until_text("#buy-label", "Pay within").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_ended_is_claimed_no_more() {
    in_browser(&[], async |shop, [browser]| {
        let now = shop.now().await;
        let (mut short, long) = (offer("mug", "Mug", 1), offer("tea", "Tea", 1));
        short["payment_window_seconds"] = json!(3);
        let (_, items) = shop.sale("Ends", in_seconds(now, -60), vec![short, long]).await;
        let token = shop.buyer("wei").await;
        browser.log_in("wei").await;
        let buy = async |item: &str| {
            browser.open_page(&format!("/en/items/{item}")).await;
            browser.until_text("#buy-label", "Buy now").await;
            browser.click("#buy").await;
            browser.until_text("#buy-label", "Pay within").await;
        };
        buy(&items[0]).await;
        browser.until_text("#buy-label", "Buy now").await;
        browser.until_text("#says", "The time to pay ran out").await;
        browser.click("#buy").await;
        browser.until_text("#buy-label", "Pay within").await;

        buy(&items[1]).await;
        let orders = shop.ask("GET", "/api/v1/orders", &token, None).await.json();
        let order = orders["data"][0]["order_id"].as_str().expect("an identity");
        let paid = shop.ask("POST", &format!("/api/v1/orders/{order}/pay"), &token, None).await;
        assert_eq!(paid.status, 200, "{}", paid.text());
        // The buyer comes back from another tab.
        browser.run("document.dispatchEvent(new Event('visibilitychange'))").await;
        browser.until_text("#buy-label", "Paid").await;
        browser.click("#buy").await;
        browser.until_path(&format!("/en/orders/{order}")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_came_is_asked_for_after_a_reload_and_buys_once() {
    in_browser(&[], async |shop, [browser]| {
        let now = shop.now().await;
        let (_, items) = shop.sale("Two", in_seconds(now, -60), vec![offer("mug", "Mug", 5)]).await;
        let token = shop.buyer("wei").await;
        browser.log_in("wei").await;
        browser.open_page(&format!("/en/items/{}", items[0])).await;
        browser.until_text("#buy-label", "Buy now").await;
        // The purchase arrives, and its answer is lost on the way.
        browser.run("const real = window.fetch; window.fetch = async (url, options) => { const answer = await real(url, options); if (options?.method === 'POST') throw new TypeError('cut'); return answer; };").await;
        browser.click("#buy").await;
        browser.until_text("#buy-label", "Checking what became of it").await;
        browser.reload().await;
        browser.until_text("#buy-label", "Pay within").await;
        assert_eq!(bought(shop, &token).await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_answers_is_what_the_button_says() {
    in_browser(&[], async |shop, [browser]| {
        let now = shop.now().await;
        let (_, items) = shop.sale("Three", in_seconds(now, -60), vec![offer("mug", "Mug", 5)]).await;
        shop.buyer("wei").await;
        browser.log_in("wei").await;
        for (status, code, wanted) in [
            (409, "limit_reached", "You have yours"),
            (409, "attempts_exhausted", "No more tries"),
            (409, "sale_ended", "Over"),
            (503, "overloaded", "Very busy"),
            (503, "outcome_unknown", "Checking"),
            (429, "rate_limited", "Too fast"),
            (403, "not_admitted", "Not available to you"),
            (418, "teapot", "Try again"),
        ] {
            // Forgotten where no script of the item's page would take the purchase up again.
            browser.visit(&shop.url("/livez")).await;
            browser.run("localStorage.clear()").await;
            browser.open_page(&format!("/en/items/{}", items[0])).await;
            browser.until_text("#buy-label", "Buy now").await;
            browser.run(&format!("const real = window.fetch; window.fetch = async (url, options) => options?.method === 'POST' && url.endsWith('/buy') ? new Response(JSON.stringify({{ code: '{code}', request_id: 'r-17' }}), {{ status: {status}, headers: {{ 'retry-after': '3' }} }}) : real(url, options);")).await;
            browser.click("#buy").await;
            browser.until_text("#buy-label", wanted).await;
        }
        browser.until_text("#says", "r-17").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_every_page_is_there_and_every_form_works() {
    in_browser(&[], async |shop, [browser]| {
        let now = shop.now().await;
        let (sale, items) =
            shop.sale("Four", in_seconds(now, -60), vec![offer("mug", "Enamel mug", 5)]).await;
        browser.scripts(false).await;
        browser.open_page("/en/").await;
        assert!(browser.text("main").await.contains("Enamel mug"));
        browser.open_page(&format!("/en/sales/{sale}")).await;
        assert!(browser.text("main").await.contains("CN¥9.90"));
        browser.open_page(&format!("/en/items/{}", items[0])).await;
        assert!(browser.text("main").await.contains("1 per person · 10 minutes to pay"));
        browser.click("#buy").await;
        browser.until_path(&format!("/en/login?to=/en/items/{}/buy", items[0])).await;
        browser.click("main a").await;
        browser.until_text("h1", "Register").await;
        browser.fill("#user_name", "a b").await;
        browser.fill("#password", "short").await;
        browser.click("main button").await;
        browser.until_text("#errors", "user name needs").await;
        assert_eq!(browser.value("#user_name").await, "a b", "what was typed is kept");
        browser.fill("#user_name", "wei").await;
        browser.fill("#password", "correct horse").await;
        browser.click("main button").await;
        browser.until_text("h1", "Buy now?").await;
        browser.click("main button").await;
        browser.until_text(".badge", "not paid yet").await;
        browser.click("form[action$=\"/pay\"] button").await;
        browser.until_text(".badge", "Paid").await;
        browser.open_page("/en/account").await;
        browser.fill("#password", "wrong horse").await;
        browser.fill("#new_password", "another horse").await;
        browser.click("form[action$=\"/account\"] button").await;
        browser.until_text("#errors", "not your present password").await;
        browser.fill("#password", "correct horse").await;
        browser.fill("#new_password", "another horse").await;
        browser.click("form[action$=\"/account\"] button").await;
        browser.until_text(".flash", "Your password is changed").await;
        browser.click("form[action$=\"/logout\"] button").await;
        browser.until_text(".flash", "You are logged out").await;
        browser.fill("#user_name", "wei").await;
        browser.fill("#password", "another horse").await;
        browser.click("main button").await;
        browser.until_path("/en/").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_a_guarded_item_says_what_a_person_can_do() {
    in_browser(&[], async |shop, [browser]| {
        let now = shop.now().await;
        let mut mug = offer("mug", "Enamel mug", 5);
        mug["admission"] = json!({ "buy_token": true, "challenge": "proof" });
        let (_, items) = shop.sale("Guarded", in_seconds(now, -60), vec![mug]).await;
        shop.buyer("wei").await;
        browser.log_in("wei").await;
        browser.scripts(false).await;
        browser.open_page(&format!("/en/items/{}", items[0])).await;
        browser.until_text("main", "Scripts are off").await;
        browser.click("#buy").await;
        browser.until_text("#errors", "Switch JavaScript on for this shop").await;
        // No button that could only be refused: the way back to where it can be bought.
        browser.click("main .button").await;
        browser.until_path(&format!("/en/items/{}", items[0])).await;
        browser.scripts(true).await;
        browser.reload().await;
        assert!(!browser.text("main").await.contains("Scripts are off"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_buys() {
    in_browser(&[], async |shop, [browser]| {
        browser.screen(Screen::DESKTOP).await;
        let now = shop.now().await;
        let (_, items) = shop.sale("Five", in_seconds(now, -60), vec![offer("mug", "Mug", 5)]).await;
        shop.buyer("wei").await;
        browser.log_in("wei").await;
        browser.open_page(&format!("/en/items/{}", items[0])).await;
        browser.until_text("#buy-label", "Buy now").await;
        let mut steps = 0;
        while browser.run("return document.activeElement.id").await != "buy" {
            browser.press(Key::Tab).await;
            steps += 1;
            assert!(steps < 20, "the button is never reached");
            let ring = "const shown = getComputedStyle(document.activeElement); return shown.outlineStyle !== 'none' || document.activeElement === document.body";
            assert_eq!(browser.run(ring).await, true, "the focus is seen at step {steps}");
        }
        browser.press(Key::Enter).await;
        browser.until_text("#buy-label", "Pay within").await;
        assert_eq!(browser.run("return document.activeElement.id").await, "buy", "the focus stays");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_cannot_buy_nor_log_in() {
    in_browser(&[], async |shop, [browser]| {
        let other = Shop::start().await;
        let now = shop.now().await;
        let (_, items) = shop.sale("Six", in_seconds(now, -60), vec![offer("mug", "Mug", 5)]).await;
        let token = shop.buyer("wei").await;
        other.buyer("wei").await;
        browser.log_in("wei").await;
        // Two shops on one host, each with its own session.
        browser.visit(&other.url("/en/login")).await;
        browser.fill("#user_name", "wei").await;
        browser.fill("#password", "correct horse").await;
        browser.click("main button").await;
        until("the other shop", async || (browser.path().await == "/en/").then_some(())).await;
        // From there, a form of the first shop's, as an attacker would send it.
        let buy = shop.url(&format!("/en/items/{}/buy", items[0]));
        browser.visit("about:blank").await;
        for path in [buy, shop.url("/en/login")] {
            browser.run(&format!("const form = document.body.appendChild(document.createElement('form')); form.method = 'post'; form.action = '{path}'; for (const [name, value] of [['quantity', '1'], ['key', 'k'], ['user_name', 'wei'], ['password', 'correct horse']]) {{ const field = form.appendChild(document.createElement('input')); field.name = name; field.value = value; }} form.submit();")).await;
            browser.until_text("h1", "Not allowed").await;
            browser.visit("about:blank").await;
        }
        assert_eq!(bought(shop, &token).await, 0);
        browser.open_page("/en/orders").await;
        browser.until_text("h1", "My orders").await;
    })
    .await;
}
