//! What browsers see: pages, the files that they refer to, and the session in a cookie.

use harness::http::Answer;
use seckill::http::{Options, PageOptions};
use serde_json::json;
use support::{Ask, Shop, offer};

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const OWN: (&str, &str) = ("origin", "http://shop");

async fn look(shop: &Shop, path: &str, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[HTML], headers].concat();
    shop.ask("GET", path, Ask { headers: &headers, ..Ask::default() }).await
}

async fn submit(shop: &Shop, path: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[HTML], headers].concat();
    shop.submit(path, form, &headers).await
}

async fn register(shop: &Shop, name: &str) {
    let body = Some(json!({ "user_name": name, "password": "correct horse" }));
    let answer = shop.ask("POST", "/api/v1/users", Ask { body, ..Ask::default() }).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// The cookies that an answer sets, as a browser sends them back.
fn cookies(answer: &Answer) -> String {
    let set = answer.headers("set-cookie");
    let pairs: Vec<&str> = set.iter().map(|line| line.split(';').next().unwrap()).collect();
    pairs.join("; ")
}

async fn log_in(shop: &Shop, name: &str) -> String {
    let form = format!("user_name={name}&password=correct+horse&to=%2Fen%2F");
    let answer = submit(shop, "/en/login", &form, &[OWN]).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/en/")),
        "{}",
        answer.text()
    );
    cookies(&answer)
}

#[tokio::test]
async fn visitors_are_led_to_their_language() {
    let shop = Shop::open().await;
    for (headers, to) in [
        (&[][..], "/en/"),
        (&[("accept-language", "zh-CN,zh;q=0.9")], "/zh/"),
        (&[("accept-language", "zh"), ("cookie", "seckill_language=en")], "/en/"),
    ] {
        let answer = look(&shop, "/", headers).await;
        assert_eq!((answer.status, answer.header("location")), (302, Some(to)));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert_eq!(look(&shop, "/zh", &[]).await.header("location"), Some("/zh/"));
    let chosen = look(&shop, "/language/zh?to=/console", &[]).await;
    assert_eq!((chosen.status, chosen.header("location")), (303, Some("/console")));
    assert_eq!(cookies(&chosen), "seckill_language=zh");
    let astray = look(&shop, "/language/zh?to=//evil.example/", &[]).await;
    assert_eq!(astray.header("location"), Some("/zh/"));
    assert_eq!(look(&shop, "/language/fr", &[]).await.status, 404);
}

#[tokio::test]
async fn a_page_runs_nothing_from_elsewhere_and_is_sent_once() {
    let shop = Shop::open().await;
    let page = look(&shop, "/zh/", &[]).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<html lang=\"zh-CN\">"), "{}", page.text());
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert_eq!(page.header("strict-transport-security"), None);
    let etag = page.header("etag").unwrap();
    let any = look(&shop, "/zh/", &[("if-none-match", "*")]).await;
    assert_eq!((any.status, any.header("etag")), (304, Some(etag)));
    let again = look(&shop, "/zh/", &[("if-none-match", etag)]).await;
    assert_eq!((again.status, again.text().len()), (304, 0));
    let packed = look(&shop, "/zh/", &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_sale_is_on_the_home_page_once_it_is_approved() {
    let shop = Shop::open().await;
    assert!(!look(&shop, "/en/", &[]).await.text().contains("Noon"));
    let draft = shop.draft(&[offer("pear", 7)]);
    let (sale, items) = shop.sale(draft).await;
    let page = look(&shop, "/en/", &[]).await.text().to_owned();
    for part in ["Noon", "€49.99", &format!("/en/sales/{sale}"), &format!("/en/items/{}", items[0])]
    {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
}

#[tokio::test]
async fn files_are_kept_for_ever_unless_their_build_is_another() {
    let shop = Shop::open().await;
    let page = look(&shop, "/en/", &[]).await.text().to_owned();
    let path = page.split('"').find(|text| text.ends_with("/shop.css")).unwrap().to_owned();
    let file = look(&shop, &path, &[]).await;
    assert_eq!(file.status, 200);
    assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(file.header("content-type"), Some("text/css; charset=utf-8"));
    let other = look(&shop, "/assets/0000000000000000/shop.css", &[]).await;
    assert_eq!((other.status, other.header("cache-control")), (200, Some("no-store")));
    assert_eq!(other.text(), file.text());
    assert_eq!(look(&shop, "/assets/0000000000000000/none.css", &[]).await.status, 404);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.css"), "body{}").unwrap();
    let pages = PageOptions { dev_assets: Some(folder.path().into()), ..PageOptions::default() };
    let shop = Shop::with(Options { pages, ..Options::default() }).await;
    assert!(look(&shop, &path, &[]).await.text().ends_with("body{}"));
}

#[tokio::test]
async fn a_cookie_stands_for_a_token_where_there_is_none() {
    let shop = Shop::open().await;
    register(&shop, "ann").await;
    let cookie = log_in(&shop, "ann").await;
    assert!(cookie.contains("seckill_who=ann."), "{cookie}");
    let item = shop.live_item(3).await;
    let path = format!("/api/v1/items/{item}/buy");
    let buy = async |headers: &[(&str, &str)]| {
        shop.ask("POST", &path, Ask { headers, ..Ask::default() }).await
    };
    let session = ("cookie", cookie.as_str());
    assert_eq!(buy(&[session, OWN]).await.status, 201);
    for from in [
        ("origin", "http://evil.example"),
        ("origin", "http://shop:8081"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("x-nothing", "said"),
    ] {
        assert_eq!(
            buy(&[session, from]).await.problem(),
            (403, "forbidden".to_owned()),
            "{from:?}"
        );
    }
    // Reading is allowed from anywhere: only this origin can see the answer.
    let ask = Ask { headers: &[session], ..Ask::default() };
    let orders = shop.ask("GET", "/api/v1/orders", ask).await;
    assert_eq!(orders.json()["data"].as_array().unwrap().len(), 1);
    // A header that is there is the one that counts.
    let ask = Ask { token: Some("nonsense"), headers: &[session, OWN], ..Ask::default() };
    assert_eq!(shop.ask("POST", &path, ask).await.status, 401);
    // What operators may do, no cookie may.
    let operator = format!("seckill={}", shop.operator("ann"));
    let headers = [("cookie", operator.as_str()), OWN];
    for (method, path) in [("GET", "/api/v1/admin/sales"), ("GET", "/api/v1/orders")] {
        let answer = shop.ask(method, path, Ask { headers: &headers, ..Ask::default() }).await;
        assert!(matches!(answer.status, 401 | 403), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_session_is_renewed_and_ended() {
    let options = Options { token_lifetime_seconds: 4, ..Options::default() };
    let shop = Shop::with(options).await;
    register(&shop, "ann").await;
    let cookie = log_in(&shop, "ann").await;
    let renew = async |headers: &[(&str, &str)]| {
        shop.ask("POST", "/api/v1/session/renew", Ask { headers, ..Ask::default() }).await
    };
    let renewed = renew(&[("cookie", &cookie), OWN]).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    assert!(!renewed.text().contains("token"), "a script never sees it: {}", renewed.text());
    assert!(cookies(&renewed).contains("seckill_who=ann."));
    assert_eq!(renew(&[("cookie", &cookie)]).await.status, 403);
    assert_eq!(renew(&[]).await.status, 401);
    let token = shop.buyer(7);
    let ask = Ask { token: Some(&token), ..Ask::default() };
    let with_header = shop.ask("POST", "/api/v1/session/renew", ask).await;
    assert!(with_header.json()["token"].is_string());
    assert!(with_header.headers("set-cookie").is_empty());

    let ended = submit(&shop, "/en/logout", "", &[("cookie", &cookie), OWN]).await;
    assert_eq!(ended.status, 303);
    assert_eq!(cookies(&ended), "seckill_flash=logged_out; seckill=; seckill_who=");
    let said = look(&shop, "/en/login", &[("cookie", "seckill_flash=logged_out")]).await;
    assert!(said.text().contains("You are logged out."), "{}", said.text());
    assert_eq!(cookies(&said), "seckill_flash=");
}

#[tokio::test]
async fn a_form_comes_back_with_what_was_typed_and_refuses_other_sites() {
    let shop = Shop::open().await;
    register(&shop, "ann").await;
    let form = "user_name=%3Cb%3Eann&password=wrong&to=%2Fzh%2F";
    let wrong = submit(&shop, "/zh/login", form, &[OWN]).await;
    assert_eq!(wrong.status, 422);
    let page = wrong.text();
    for part in ["&#60;b&#62;ann", "aria-invalid=\"true\"", "href=\"#user_name\"", "value=\"/zh/\""]
    {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(!page.contains("<b>ann"));
    let right = "user_name=ann&password=correct+horse";
    let foreign = submit(&shop, "/zh/login", right, &[("origin", "http://evil.example")]).await;
    assert_eq!(foreign.status, 403);
    assert!(foreign.headers("set-cookie").is_empty());
    assert!(foreign.text().contains("<html lang=\"zh-CN\">"), "a browser sees a page");
    let astray = format!("{right}&to=https%3A%2F%2Fevil.example%2F");
    let answer = submit(&shop, "/zh/login", &astray, &[OWN]).await;
    assert_eq!(answer.header("location"), Some("/zh/"));
}

#[tokio::test]
async fn what_is_missing_is_a_page_for_browsers_and_a_problem_for_programs() {
    let shop = Shop::open().await;
    for (path, title) in [("/zh/nothing", "没有这个页面"), ("/nothing", "There is no such page")]
    {
        let page = look(&shop, path, &[]).await;
        assert_eq!(page.status, 404);
        let request_id = page.header("x-request-id").unwrap();
        assert!(page.text().contains(title) && page.text().contains(request_id), "{}", page.text());
    }
    assert_eq!(shop.get("/zh/nothing", None).await.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_purchase_by_the_form_is_counted_and_timed_as_any_other() {
    let shop = Shop::open().await;
    let path = format!("/en/items/{}/buy", shop.live_item(1).await);
    for (buyer, key, status) in [(1, "one", 303), (1, "one", 303), (2, "two", 409)] {
        let cookie = format!("seckill={}", shop.buyer(buyer));
        let form = format!("quantity=1&key={key}");
        let answer = submit(&shop, &path, &form, &[("cookie", &cookie), OWN]).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    for line in [
        "seckill_purchases_total{outcome=\"placed\"} 1",
        "seckill_purchases_total{outcome=\"replayed\"} 1",
        "seckill_purchases_total{outcome=\"sold_out\"} 1",
        "seckill_http_request_duration_seconds_count{route=\"buy\"} 3",
    ] {
        assert!(shop.shows(line).await, "{line}");
    }
}

#[tokio::test]
async fn another_password_ends_the_other_sessions_and_keeps_this_one() {
    let shop = Shop::open().await;
    register(&shop, "ann").await;
    let (here, elsewhere) = (log_in(&shop, "ann").await, log_in(&shop, "ann").await);
    let form = "password=correct+horse&new_password=another+horse";
    let changed = submit(&shop, "/en/account", form, &[("cookie", &here), OWN]).await;
    assert_eq!((changed.status, changed.header("location")), (303, Some("/en/account")));
    let account = async |cookie: &str| look(&shop, "/en/account", &[("cookie", cookie)]).await;
    let here = cookies(&changed);
    assert!(here.contains("seckill_who=ann."), "{here}");
    assert_eq!(account(&here).await.status, 200);
    let gone = account(&elsewhere).await;
    assert_eq!((gone.status, gone.header("location")), (303, Some("/en/login?to=/en/account")));
    let ask = Ask { headers: &[("cookie", &elsewhere)], ..Ask::default() };
    assert_eq!(shop.ask("GET", "/api/v1/orders", ask).await.status, 401);

    let body = Some(json!({ "password": "another horse", "new_password": "a third horse" }));
    let ask = Ask { headers: &[("cookie", &here), OWN], body, ..Ask::default() };
    let changed = shop.ask("PUT", "/api/v1/password", ask).await;
    assert_eq!(changed.status, 204, "{}", changed.text());
    assert_eq!(account(&here).await.status, 303);
    assert_eq!(account(&cookies(&changed)).await.status, 200);
}
