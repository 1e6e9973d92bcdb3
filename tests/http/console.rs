//! The console's pages over plain HTTP, as a browser without scripts asks for them: who gets in, what a form
//! does and says, and when a session is over.

mod lists;

use super::browser::{Browser, PASSWORD, hidden, leads_to};
use harness::http::{Answer, Connection};
use seckill::http::{LimitOptions, Options, Role, operator_link};
use seckill::store::catalogue::Catalogue;
use support::{Setup, Shop, offer};

/// The fields of a sale with one item, as the form has them.
pub fn sale_fields<'a>(title: &'a str, price: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("title", title),
        ("starts_at", "2020-01-01T00:00"),
        ("ends_at", "2036-01-01T00:00"),
        ("items", "1"),
        ("items-0-product_id", "mug-1"),
        ("items-0-title", "搪瓷杯"),
        ("items-0-price", price),
        ("items-0-list_price", "29.00"),
        ("items-0-currency", "CNY"),
        ("items-0-allotted", "1000"),
        ("items-0-limit_per_user", "1"),
        ("items-0-payment_window_seconds", "600"),
    ]
}

#[tokio::test]
async fn a_link_is_opened_often_and_used_once() {
    let shop = Shop::open().await;
    let mut eva = Browser::at(shop.address);
    let strange = eva.get("/console/orders?user=1").await;
    assert_eq!(leads_to(&strange), "/console/log-in?to=/console/orders%3Fuser%3D1");
    let roles = "operator admin".parse().expect("roles");
    let code = operator_link::code(&shop.signer, "eva", roles, shop.engine.now());
    for _ in 0..2 {
        let page = eva.get("/console/accept").await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    let short = eva.submit("/console/accept", &[("code", &code), ("password", "short")]).await;
    assert_eq!(short.status, 422);
    assert!(short.text().contains("href=\"#password\""), "{}", short.text());
    assert!(short.text().contains(&code), "what was typed is kept");
    let used = eva.submit("/console/accept", &[("code", &code), ("password", PASSWORD)]).await;
    assert_eq!(leads_to(&used), "/console");
    let cookie = used.headers("set-cookie").into_iter().find(|line| line.contains("_console="));
    let cookie = cookie.expect("a cookie");
    for part in ["Path=/console", "SameSite=Strict", "HttpOnly", "Max-Age=28800"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let tonight = eva.get("/console").await;
    assert!(tonight.text().contains("<bdi>eva</bdi>"), "{}", tonight.text());
    let mut thief = Browser::at(shop.address);
    let again = thief.submit("/console/accept", &[("code", &code), ("password", PASSWORD)]).await;
    assert_eq!(again.status, 409, "{}", again.text());
    assert!(thief.cookies.is_empty());
    let forged = [("code", "x"), ("password", PASSWORD)];
    assert_eq!(thief.submit("/console/accept", &forged).await.status, 422);

    let out = eva.submit("/console/log-out", &[]).await;
    assert_eq!(leads_to(&out), "/console/log-in");
    assert_eq!(leads_to(&eva.get("/console").await), "/console/log-in");
    let wrong = [("name", "eva"), ("password", "another one entirely")];
    let refused = eva.submit("/console/log-in", &wrong).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("value=\"eva\""), "{}", refused.text());
    let right = [("name", "EVA"), ("password", PASSWORD), ("to", "/console/log")];
    assert_eq!(leads_to(&eva.submit("/console/log-in", &right).await), "/console/log");
    let elsewhere = [("name", "eva"), ("password", PASSWORD), ("to", "//evil.example")];
    assert_eq!(leads_to(&eva.submit("/console/log-in", &elsewhere).await), "/console");
}

#[tokio::test]
async fn wrong_passwords_are_held_to_a_rate_and_hinder_nobody_else() {
    let limits = LimitOptions { login_name_per_minute: 5, ..LimitOptions::NONE };
    let shop = Shop::with(Options { limits, ..Options::default() }).await;
    for name in ["eva", "bo"] {
        Browser::accept(&shop, shop.address, name, "operator").await;
    }
    let wrong = [("name", "Eva"), ("password", "another one entirely")];
    let mut refused = None;
    for _ in 0..20 {
        let answer = Browser::at(shop.address).submit("/console/log-in", &wrong).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 422, "{}", answer.text());
    }
    let refused = refused.expect("there is an end to it");
    assert!(refused.text().contains("value=\"Eva\""), "what was typed is kept: {}", refused.text());
    assert!(refused.text().contains("tried too often"), "not that others are: {}", refused.text());
    assert!(refused.header("retry-after").is_some(), "when again");
    let bo = [("name", "bo"), ("password", PASSWORD)];
    let inside = Browser::at(shop.address).submit("/console/log-in", &bo).await;
    assert_eq!(leads_to(&inside), "/console");
}

#[tokio::test]
async fn a_session_is_over_with_the_next_request_after_its_account_was_disabled() {
    let shop = Shop::open().await;
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    let mut root = Browser::accept(&shop, shop.address, "root", "admin").await;
    assert_eq!(eva.get("/console/orders").await.status, 200);
    let refused = eva.get("/console/operators").await;
    assert_eq!(refused.status, 403, "an operator is no admin");
    let off = [("name", "eva"), ("disable", "yes")];
    assert_eq!(
        leads_to(&root.submit("/console/operators/switch", &off).await),
        "/console/operators"
    );
    assert_eq!(leads_to(&eva.get("/console/orders").await), "/console/log-in?to=/console/orders");
    let right = [("name", "eva"), ("password", PASSWORD)];
    assert_eq!(eva.submit("/console/log-in", &right).await.status, 422);
    // Another process does it as well: the account is read from the catalogue.
    let mut bo = Browser::accept(&shop, shop.address, "bo", "approver").await;
    assert_eq!(bo.get("/console/sales").await.status, 200);
    let catalogue = Catalogue::new(shop.orders.database());
    let now = shop.engine.now().plus_milliseconds(1);
    catalogue.disable_operator("bo", true, "command-line", now).await.expect("disabled");
    assert_eq!(leads_to(&bo.get("/console/sales").await), "/console/log-in?to=/console/sales");
}

#[tokio::test]
async fn a_session_is_over_once_its_account_has_another_password() {
    let shop = Shop::open().await;
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    assert_eq!(eva.get("/console").await.status, 200);
    let mut again = Browser::accept(&shop, shop.address, "eva", "viewer").await;
    assert_eq!(again.get("/console").await.status, 200);
    assert_eq!(leads_to(&eva.get("/console").await), "/console/log-in");
}

#[tokio::test]
async fn a_database_that_is_away_keeps_nobody_known_from_the_brake() {
    let shop = Shop::open().await;
    let item = shop.live_item(3).await;
    let sale = shop.get(&format!("/api/v1/items/{item}"), None).await.json();
    let live = format!("/console/sales/{}/live", sale["sale_id"].as_str().expect("a sale"));
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    assert_eq!(eva.get(&live).await.status, 200);
    shop.orders.database().close().await;
    let page = eva.get(&live).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let key = hidden(page.text(), "key");
    let pause = live.replace("/live", "/pause");
    assert_eq!(leads_to(&eva.submit(&pause, &[("key", key)]).await), live);
    assert_eq!(shop.buy(&item, 1, "k").await.problem(), (409, "sale_paused".to_owned()));
    // Nobody else is known; but a token proves itself.
    let mut bo = Browser::at(shop.address);
    let right = [("name", "bo"), ("password", PASSWORD)];
    assert_eq!(bo.submit("/console/log-in", &right).await.status, 503);
    let token = shop.operator("bo");
    assert_eq!(leads_to(&bo.submit("/console/log-in", &[("token", &token)]).await), "/console");
    assert_eq!(bo.get(&live).await.status, 200);
    let buyer = shop.buyer(1);
    let refused = Browser::at(shop.address).submit("/console/log-in", &[("token", &buyer)]).await;
    assert_eq!(refused.status, 422);
}

#[tokio::test]
async fn a_sale_is_written_judged_by_another_and_run() {
    let shop = Shop::open().await;
    let mut eva = Browser::accept(&shop, shop.address, "eva", "approver").await;
    let mut bo = Browser::accept(&shop, shop.address, "bo", "approver").await;

    // Three mistakes at once; everything that was typed is there again.
    let form = eva.get("/console/sales/new").await;
    let key = hidden(form.text(), "key").to_owned();
    let mut wrong = sale_fields(" ", "9.905");
    wrong[9].1 = "none";
    wrong.push(("key", &key));
    let refused = eva.submit("/console/sales/new", &wrong).await;
    assert_eq!(refused.status, 422);
    for (field, typed) in [("title", " "), ("items-0-price", "9.905"), ("items-0-allotted", "none")]
    {
        let text = refused.text();
        assert!(text.contains(&format!("href=\"#{field}\"")), "{field}: {text}");
        assert!(
            text.contains(&format!(
                "id=\"{field}\" name=\"{field}\" type=\"text\" value=\"{typed}\""
            ))
        );
    }
    let more = eva.submit("/console/sales/new", &[&wrong[..], &[("add", "yes")]].concat()).await;
    assert!(more.text().contains("name=\"items-1-title\""), "an item is added without a script");

    let mut right = sale_fields("Singles Day <b>\u{202e}", "9.90");
    right.push(("key", &key));
    let saved = eva.submit("/console/sales/new", &right).await;
    let path = leads_to(&saved).to_owned();
    assert_eq!(
        leads_to(&eva.submit("/console/sales/new", &right).await),
        path,
        "sent twice, made once"
    );
    let page = eva.get(&path).await;
    assert!(page.text().contains("Singles Day &#60;b&#62;"), "{}", page.text());
    assert!(!page.text().contains("<b>"), "{}", page.text());

    // Two editors of one draft: the second hears of it, and may save over it.
    let edit = format!("{path}/edit");
    let (first, second) = (eva.get(&edit).await, bo.get(&edit).await);
    let save = |page: &Answer, price: &'static str| {
        let mut fields: Vec<(String, String)> = sale_fields("Singles Day", price)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for name in ["key", "revision", "seen"] {
            let value = hidden(page.text(), name).replace("&#34;", "\"");
            fields.push((name.to_owned(), value));
        }
        fields
    };
    let submit = async |browser: &mut Browser, fields: &[(String, String)]| {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        browser.submit(&edit, &fields).await
    };
    assert_eq!(leads_to(&submit(&mut eva, &save(&first, "8.80")).await), path);
    let conflict = submit(&mut bo, &save(&second, "7.70")).await;
    assert_eq!(conflict.status, 412, "{}", conflict.text());
    assert!(conflict.text().contains("<del><bdi>9.90</bdi></del>"), "{}", conflict.text());
    assert!(conflict.text().contains("<ins><bdi>8.80</bdi></ins>"), "{}", conflict.text());
    assert!(conflict.text().contains("value=\"7.70\""), "what was typed is kept");
    assert_eq!(leads_to(&submit(&mut bo, &save(&conflict, "7.70")).await), path);

    // Judged by a third person, because both have written it.
    let step = async |browser: &mut Browser, step: &str, extra: &[(&str, &str)]| {
        let page = browser.get(&path).await;
        let (key, revision) = (hidden(page.text(), "key"), hidden(page.text(), "revision"));
        let fields = [&[("key", key), ("revision", revision)], extra].concat();
        browser.submit(&format!("{path}/{step}"), &fields).await
    };
    assert_eq!(leads_to(&step(&mut eva, "submit", &[]).await), path);
    let approve = format!("{path}/approve");
    let own = bo.get(&approve).await;
    assert!(!own.text().contains("name=\"approve\""), "{}", own.text());
    let own = bo.submit(&approve, &[("revision", "4"), ("approve", "yes")]).await;
    assert_eq!(own.status, 403, "{}", own.text());

    let mut cem = Browser::accept(&shop, shop.address, "cem", "approver").await;
    let looked = cem.get(&approve).await;
    let judge = |page: &Answer| {
        let value = |name| hidden(page.text(), name).replace("&#34;", "\"");
        [("key", value("key")), ("revision", value("revision")), ("seen", value("seen"))]
    };
    let seen = judge(&looked);
    assert_eq!(leads_to(&step(&mut eva, "withdraw", &[]).await), path);
    let page = eva.get(&edit).await;
    assert_eq!(leads_to(&submit(&mut eva, &save(&page, "0.77")).await), path);
    assert_eq!(leads_to(&step(&mut eva, "submit", &[]).await), path);
    let fields = |seen: &[(&'static str, String); 3]| {
        let mut fields: Vec<(&'static str, String)> = seen.to_vec();
        fields.push(("approve", "yes".to_owned()));
        fields
    };
    let send = async |browser: &mut Browser, fields: &[(&'static str, String)]| {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        browser.submit(&approve, &fields).await
    };
    let stale = send(&mut cem, &fields(&seen)).await;
    assert_eq!(stale.status, 412, "{}", stale.text());
    assert!(stale.text().contains("<del><bdi>7.70</bdi></del>"), "{}", stale.text());
    assert!(stale.text().contains("<ins><bdi>0.77</bdi></ins>"), "{}", stale.text());
    let approved = send(&mut cem, &fields(&judge(&stale))).await;
    assert_eq!(leads_to(&approved), path, "{}", approved.text());

    // It sells; pause is one press, more units are asked for twice, the end is typed.
    let live = cem.get(&format!("{path}/live")).await;
    let item = live.text().split_once("data-item=\"").expect("an item").1;
    let item = item.split_once('"').expect("a number").0.to_owned();
    assert_eq!(shop.buy(&item, 1, "a").await.status, 201);
    let page = cem.get(&format!("{path}/live")).await;
    let key = hidden(page.text(), "key").to_owned();
    assert_eq!(
        leads_to(&cem.submit(&format!("{path}/pause"), &[("key", &key)]).await),
        format!("{path}/live")
    );
    assert_eq!(shop.buy(&item, 2, "b").await.problem(), (409, "sale_paused".to_owned()));
    let page = cem.get(&format!("{path}/live")).await;
    let key = hidden(page.text(), "key").to_owned();
    let resumed = cem.submit(&format!("{path}/resume"), &[("key", &key)]).await;
    assert_eq!(leads_to(&resumed), format!("{path}/live"));
    assert_eq!(shop.buy(&item, 2, "c").await.status, 201);
    let units = format!("{path}/items/{item}/units");
    let asked = cem.submit(&units, &[("units", "100"), ("restock", "yes"), ("key", "k1")]).await;
    assert_eq!(asked.status, 200);
    assert!(
        asked.text().contains("<span>1,000</span> → <strong>1,100</strong>"),
        "{}",
        asked.text()
    );
    let shown = shop.get(&format!("/api/v1/items/{item}"), None).await.json();
    assert_eq!(shown["counters"]["allotted"], 1_000, "nothing was done yet");
    let confirmed = [("units", "100"), ("restock", "yes"), ("key", "k1"), ("confirmed", "yes")];
    for _ in 0..2 {
        assert_eq!(leads_to(&cem.submit(&units, &confirmed).await), format!("{path}/live"));
    }
    let shown = shop.get(&format!("/api/v1/items/{item}"), None).await.json();
    assert_eq!(shown["counters"]["allotted"], 1_100, "sent twice, done once");
    let end = format!("{path}/end");
    let wrong = cem.submit(&end, &[("title", "Singles"), ("key", "e")]).await;
    assert_eq!(wrong.status, 422);
    assert_eq!(shop.buy(&item, 3, "d").await.status, 201);
    let ended = cem.submit(&end, &[("title", "Singles Day"), ("key", "e")]).await;
    assert_eq!(leads_to(&ended), format!("{path}/live"));
    assert_eq!(shop.buy(&item, 4, "e").await.problem(), (409, "sale_ended".to_owned()));
}

#[tokio::test]
async fn forms_of_other_sites_do_nothing() {
    let shop = Shop::open().await;
    let item = shop.live_item(3).await;
    let sale = shop.get(&format!("/api/v1/items/{item}"), None).await.json();
    let pause = format!("/console/sales/{}/pause", sale["sale_id"].as_str().expect("a sale"));
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    let host = shop.address;
    let other_port = format!("origin: http://{}:1\r\n", host.ip());
    for headers in [
        "",
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-site\r\n",
        "origin: http://evil.example\r\n",
        "origin: null\r\n",
        other_port.as_str(),
    ] {
        let refused = eva.ask("POST", &pause, headers, "key=x").await;
        assert_eq!(refused.status, 403, "{headers}: {}", refused.text());
    }
    assert_eq!(shop.buy(&item, 1, "a").await.status, 201, "it was never paused");
    // A browser on plain HTTP in a local network sends no more than this.
    let lan = format!("origin: http://{host}\r\n");
    assert_eq!(eva.ask("POST", &pause, &lan, "key=x").await.status, 303);
    // The console's session is nothing to the API, and the API's tokens are nothing to the pages.
    let cookie = eva.cookies.iter().next().expect("a session");
    let as_bearer = shop.get("/api/v1/admin/sales", Some(cookie.1)).await;
    assert_eq!(as_bearer.problem(), (401, "unauthenticated".to_owned()));
    let api = eva.get("/api/v1/admin/sales").await;
    assert_eq!(api.status, 401);
    let token = shop.signer.mint("eva", Role::Operator, shop.engine.now(), 60);
    let bearer = format!("authorization: Bearer {token}\r\n");
    let page = Browser::at(shop.address).ask("GET", "/console/sales", &bearer, "").await;
    assert_eq!(leads_to(&page), "/console/log-in?to=/console/sales");
}

#[tokio::test]
async fn the_operations_listener_has_the_console_where_buyers_hold_all_connections() {
    let options = seckill::http::Options {
        connections_max: seckill::http::ConnectionsMax { all: 4, of_address: 4 },
        public_url: Some("https://shop.example".to_owned()),
        ..seckill::http::Options::default()
    };
    let shop = Setup { http: options, ..Setup::default() }.open().await;
    let item = shop.live_item(3).await;
    let sale = shop.get(&format!("/api/v1/items/{item}"), None).await.json();
    let live = format!("/console/sales/{}/live", sale["sale_id"].as_str().expect("a sale"));
    let mut crowd = Vec::new();
    for _ in 0..4 {
        crowd.push(Connection::open(shop.address).await);
    }
    harness::until("the crowd to be let in", async || {
        let full = Browser::at(shop.address).get("/console").await;
        (full.status == 503).then_some(())
    })
    .await;
    let mut eva = Browser::accept(&shop, shop.operations, "eva", "operator").await;
    let page = eva.get(&live).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let key = hidden(page.text(), "key").to_owned();
    let pause = live.replace("/live", "/pause");
    assert_eq!(leads_to(&eva.submit(&pause, &[("key", &key)]).await), live);
    let style = page.text().split_once("rel=\"stylesheet\" href=\"").expect("a style").1;
    let style = eva.get(style.split_once('"').expect("its path").0).await;
    assert_eq!(style.status, 200);
    drop(crowd);
    assert_eq!(eva.get(&live).await.status, 200);
}

#[tokio::test]
async fn names_and_titles_from_hell_break_no_page() {
    let shop = Shop::open().await;
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator admin").await;
    let mut hostile = offer("mug", 5);
    let title = format!("</td><script>alert(1)</script>\u{202e}\"'&\u{1f4a5}{}", "长".repeat(150));
    hostile["title"] = serde_json::json!(title);
    let mut draft = shop.draft(&[hostile]);
    draft["title"] = serde_json::json!("<img src=x onerror=alert(1)>\u{2066}");
    let (sale, items) = shop.sale(draft).await;
    assert_eq!(shop.buy(&items[0], 1, "k").await.status, 201);
    let backends = shop.start_backends().await;
    backends.stop(&shop.engine, support::DRAIN_MAX).await;
    for path in [
        "/console".to_owned(),
        "/console/sales".to_owned(),
        format!("/console/sales/{sale}"),
        format!("/console/sales/{sale}/live"),
        format!("/console/sales/{sale}/approve"),
        "/console/orders".to_owned(),
        "/console/orders?buyer=%3Cscript%3E".to_owned(),
        "/console/orders?status=%22%3E%3Cb%3E&from=x&to=y&sale=-1".to_owned(),
        "/console/dead-letters".to_owned(),
        "/console/log".to_owned(),
        "/console/operators".to_owned(),
    ] {
        let page = eva.get(&path).await;
        assert!(matches!(page.status, 200 | 422), "{path}: {} {}", page.status, page.text());
        for tag in ["<script>", "<img src=x", "\"><b>"] {
            assert!(!page.text().contains(tag), "{path}: {}", page.text());
        }
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("script-src 'self'"), "{policy}");
    }
    let file = eva.get("/console/orders.csv?excel=true").await;
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
}

#[tokio::test]
async fn every_setting_is_explained_in_the_operators_language() {
    let shop = Shop::open().await;
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    for name in ["limits", "risk", "challenge"] {
        let path = format!("/api/v1/admin/settings/{name}");
        let view = shop.get(&path, Some(&shop.operator("ann"))).await.json();
        let (path, tag) = (format!("/console/rules/{name}"), "accept-language: zh\r\n");
        let chinese = eva.ask("GET", &path, tag, "").await;
        assert_eq!(chinese.status, 200, "{}", chinese.text());
        let english = eva.ask("GET", &path, "accept-language: en\r\n", "").await;
        for field in view["fields"].as_array().expect("fields") {
            let about = field["about"].as_str().expect("words");
            let about = about.replace('`', "").replace('"', "&#34;");
            let (key, begin) =
                (&field["key"], about.split(['\n', '&', '\'']).next().unwrap_or_default());
            assert!(english.text().contains(begin), "{key} is not explained in English");
            assert!(!chinese.text().contains(begin), "{key} is not explained in Chinese");
        }
    }
    let other = eva.submit("/console/rules/limits", &[("rollback", "0"), ("version", "0")]).await;
    assert_eq!(other.status, 403, "an operator changes none of them");
}

#[tokio::test]
async fn an_admin_alone_sees_the_rules_and_writes_no_list() {
    let shop = Shop::open().await;
    let mut ada = Browser::accept(&shop, shop.address, "ada", "admin").await;
    assert!(ada.get("/console").await.text().contains("href=\"/console/rules\""));
    let rules = ada.get("/console/rules").await;
    assert_eq!(rules.status, 200);
    assert!(!rules.text().contains("action=\"/console/rules/entries\""));
    assert_eq!(ada.get("/console/rules/risk").await.status, 200);
    let entry = [("list", "deny_user"), ("value", "7")];
    assert_eq!(ada.submit("/console/rules/entries", &entry).await.status, 403);
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    let past = [("list", "deny_user"), ("value", "7"), ("expires_at", "2020-01-01T00:00")];
    let refused = eva.submit("/console/rules/entries", &past).await;
    assert_eq!(refused.status, 422);
    assert_eq!(leads_to(&eva.submit("/console/rules/entries", &entry).await), "/console/rules");
}
