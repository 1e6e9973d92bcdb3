//! What pages without scripts say to people: where a form leads whose session is over, what is wrong with what was
//! typed, and how it can be put right.

use super::browser::{Browser, hidden, leads_to};
use super::console::sale_fields;
use harness::http::{Answer, Connection};
use harness::until;
use seckill::http::{LimitOptions, Options};
use serde_json::{Value, json};
use support::{Shop, offer};

const OWN: (&str, &str) = ("origin", "http://shop");

/// Sends a form of the shop as this buyer, whose session is in a cookie.
async fn send(shop: &Shop, path: &str, form: &str, buyer: Option<u64>) -> Answer {
    let cookie = buyer.map(|user_id| format!("seckill={}", shop.buyer(user_id)));
    let mut headers = vec![("accept", "text/html"), OWN];
    headers.extend(cookie.as_deref().map(|cookie| ("cookie", cookie)));
    shop.submit(path, form, &headers).await
}

async fn look(shop: &Shop, path: &str, user_id: u64) -> Answer {
    let cookie = format!("seckill={}", shop.buyer(user_id));
    let headers = [("accept", "text/html"), ("cookie", cookie.as_str())];
    shop.ask("GET", path, support::Ask { headers: &headers, ..support::Ask::default() }).await
}

/// A sale with one item of which one person may have two.
async fn two_each(shop: &Shop, units: u32) -> (String, String) {
    let mut pear = offer("pear", units);
    pear["limit_per_user"] = json!(2);
    let (sale, items) = shop.sale(shop.draft(&[pear])).await;
    (sale, items[0].clone())
}

#[tokio::test]
async fn a_buyer_whose_session_is_over_comes_back_to_a_page() {
    let shop = Shop::open().await;
    let (_, item) = two_each(&shop, 9).await;
    let order = shop.buy(&item, 1, "k").await.json();
    let order = order["order_id"].as_str().expect("an identity");
    for (form, page) in [
        (format!("/en/orders/{order}/pay"), format!("/en/orders/{order}")),
        (format!("/en/orders/{order}/cancel"), format!("/en/orders/{order}")),
        (format!("/en/items/{item}/buy"), format!("/en/items/{item}/buy")),
        ("/en/account".to_owned(), "/en/account".to_owned()),
    ] {
        let led = send(&shop, &form, "quantity=1&key=k", None).await;
        assert_eq!(leads_to(&led), format!("/en/login?to={page}"), "{form}");
        assert_eq!(look(&shop, &page, 1).await.status, 200, "{page} is shown");
    }
}

#[tokio::test]
async fn an_operator_whose_session_is_over_comes_back_to_a_page_and_hears_of_it() {
    let shop = Shop::open().await;
    let (sale, item) = two_each(&shop, 9).await;
    let draft = shop.draft(&[offer("fig", 1)]);
    let draft = shop.post("/api/v1/admin/sales", &shop.operator("ann"), Some(draft)).await.json();
    let draft = draft["sale_id"].as_str().expect("an identity");
    let mut eva = Browser::accept(&shop, shop.address, "eva", "approver admin").await;
    let (of_draft, of_sale) = (format!("/console/sales/{draft}"), format!("/console/sales/{sale}"));
    let live = format!("{of_sale}/live");
    let mut forms = vec![
        ("/console/sales/new".to_owned(), "/console/sales/new".to_owned()),
        (format!("{of_draft}/edit"), format!("{of_draft}/edit")),
        (format!("{of_sale}/approve"), format!("{of_sale}/approve")),
        (format!("{of_sale}/items/{item}/units"), live.clone()),
        (format!("{of_sale}/items/{item}/guard"), format!("{of_sale}/items/{item}/guard")),
    ];
    let steps = ["submit", "withdraw", "revise", "delete"];
    forms.extend(steps.map(|step| (format!("{of_draft}/{step}"), of_draft.clone())));
    let brakes = ["pause", "resume", "end"];
    forms.extend(brakes.map(|brake| (format!("{of_sale}/{brake}"), live.clone())));
    forms.extend(
        [
            ("rules/entries", "rules"),
            ("rules/entries/deny_user-7/remove", "rules"),
            ("rules/limits", "rules/limits"),
            ("refunds/9-1", "refunds"),
            ("dead-letters/replay", "dead-letters"),
            ("operators/link", "operators"),
            ("operators/switch", "operators"),
        ]
        .map(|(form, page)| (format!("/console/{form}"), format!("/console/{page}"))),
    );
    for (form, page) in forms {
        let mut stranger = Browser::at(shop.address);
        let led = stranger.submit(&form, &[("title", "Noon")]).await;
        assert_eq!(leads_to(&led), format!("/console/log-in?to={page}"), "{form}");
        let log_in = stranger.get(leads_to(&led)).await;
        assert!(log_in.text().contains("nothing was saved or done"), "{form}: {}", log_in.text());
        assert_eq!(eva.get(&page).await.status, 200, "{page} is shown");
    }
    let looked = Browser::at(shop.address).get("/console/sales/new").await;
    assert!(looked.headers("set-cookie").is_empty(), "who only looked has lost nothing");
}

#[tokio::test]
async fn a_quantity_that_cannot_be_is_answered_with_what_can() {
    let shop = Shop::open().await;
    let (_, item) = two_each(&shop, 9).await;
    let path = |language: &str| format!("/{language}/items/{item}/buy");
    for quantity in ["0", "abc", "1.5", ""] {
        let form = format!("key=a&quantity={quantity}");
        let refused = send(&shop, &path("en"), &form, Some(1)).await;
        assert_eq!(refused.status, 422, "{quantity}: {}", refused.text());
        assert!(refused.text().contains("a whole number from 1 to 2."), "{}", refused.text());
        assert!(!refused.text().contains("`errors`"), "{}", refused.text());
        let chinese = send(&shop, &path("zh"), &form, Some(1)).await;
        assert!(chinese.text().contains("1 到 2 的整数"), "{}", chinese.text());
    }
    let english = send(&shop, &path("en"), "key=b&quantity=3", Some(1)).await;
    assert_eq!(english.status, 409, "{}", english.text());
    assert!(english.text().contains("One person may have 2 of this item."), "{}", english.text());
    assert!(!english.text().contains("the detail says"), "{}", english.text());
    let chinese = send(&shop, &path("zh"), "key=b&quantity=3", Some(1)).await;
    assert!(chinese.text().contains("每人限购 2 件。"), "{}", chinese.text());
    assert!(!chinese.text().contains("已达到"), "this buyer has none: {}", chinese.text());

    assert_eq!(send(&shop, &path("en"), "key=c&quantity=1", Some(1)).await.status, 303);
    let again = send(&shop, &path("en"), "key=c&quantity=2", Some(1)).await;
    assert_eq!(again.status, 409, "{}", again.text());
    assert!(again.text().contains("This form was sent before"), "{}", again.text());
    assert!(!again.text().contains("program"), "{}", again.text());
}

#[tokio::test]
async fn who_tried_too_often_hears_so_and_when_again() {
    let limits = LimitOptions { login_name_per_minute: 5, ..LimitOptions::NONE };
    let shop = Shop::with(Options { limits, ..Options::default() }).await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = send(&shop, "/en/login", "user_name=ann&password=wrong+one", None).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("there is an end to it");
    let seconds = refused.header("retry-after").expect("when again");
    let said = match seconds {
        "1" => "Try again in 1 second.".to_owned(),
        seconds => format!("tried too often from here. Try again in {seconds} seconds."),
    };
    assert!(refused.text().contains(&said), "{}", refused.text());
    assert!(!refused.text().contains("Too many people"), "{}", refused.text());
}

#[tokio::test]
async fn units_that_cannot_be_changed_so_stay_in_their_field_with_what_can() {
    let shop = Shop::open().await;
    let (sale, item) = two_each(&shop, 1_150).await;
    for user_id in 1..=3 {
        assert_eq!(shop.buy(&item, user_id, "k").await.status, 201);
    }
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    let units = format!("/console/sales/{sale}/items/{item}/units");
    for (typed, button, said) in [
        ("1150", "reduce", "At most 1,147 can be taken back"),
        ("1148", "reduce", "At most 1,147 can be taken back"),
        ("abc", "reduce", "Give a number of units"),
        ("abc", "restock", "Give a number of units"),
    ] {
        let refused = eva.submit(&units, &[("units", typed), (button, "yes"), ("key", "k")]).await;
        assert_eq!(refused.status, 422, "{typed}: {}", refused.text());
        assert!(refused.text().contains(said), "{typed}: {}", refused.text());
        let kept = format!("name=\"units\" type=\"text\" value=\"{typed}\"");
        assert!(refused.text().contains(&kept), "{typed}: {}", refused.text());
    }
    let reduce = [("units", "1147"), ("reduce", "yes"), ("key", "r")];
    let asked = eva.submit(&units, &reduce).await;
    assert!(asked.text().contains("<span>1,150</span> → <strong>3</strong>"), "{}", asked.text());
    // Somebody buys one before it is confirmed.
    assert_eq!(shop.buy(&item, 4, "k").await.status, 201);
    let confirmed =
        |fields: &[(&'static str, &'static str)]| [fields, &[("confirmed", "yes")]].concat();
    let late = eva.submit(&units, &confirmed(&reduce)).await;
    assert_eq!(late.status, 422, "{}", late.text());
    assert!(late.text().contains("At most 1,146 can be taken back"), "{}", late.text());
    // Sent twice it is done once, also where no so many are left.
    let reduce = confirmed(&[("units", "1146"), ("reduce", "yes"), ("key", "s")]);
    for _ in 0..2 {
        leads_to(&eva.submit(&units, &reduce).await);
    }
    let restock = |units| confirmed(&[("units", units), ("restock", "yes"), ("key", "t")]);
    leads_to(&eva.submit(&units, &restock("1")).await);
    let other = eva.submit(&units, &restock("2")).await;
    assert_eq!(other.status, 409, "{}", other.text());
    assert!(other.text().contains("This form was sent before"), "{}", other.text());
    assert!(!other.text().contains("program"), "{}", other.text());
}

#[tokio::test]
async fn one_order_that_was_searched_for_is_no_file_of_all() {
    let shop = Shop::open().await;
    let (_, item) = two_each(&shop, 9).await;
    let order = shop.buy(&item, 1, "k").await.json();
    let order = order["order_id"].as_str().expect("an identity");
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    let one = eva.get(&format!("/console/orders?order={order}")).await;
    assert!(!one.text().contains("orders.csv"), "{}", one.text());
    let some = eva.get("/console/orders?status=paid").await;
    assert!(some.text().contains("orders.csv?status=paid&#38;excel=false"), "{}", some.text());
}

#[tokio::test]
async fn an_order_whose_money_went_back_is_refunded() {
    let shop = Shop::open().await;
    let backends = shop.start_backends().await;
    let mut pear = offer("pear", 5);
    pear["payment_window_seconds"] = json!(1);
    let (_, items) = shop.sale(shop.draft(&[pear])).await;
    let order = shop.buy(&items[0], 1, "k").await.json();
    let order = order["order_id"].as_str().expect("an identity").to_owned();
    let late = json!({ "payment": { "outcome": "late", "delay_ms": 1_100 } });
    let path = format!("/api/v1/orders/{order}");
    let paid = shop.post(&format!("{path}/pay"), &shop.buyer(1), Some(late)).await;
    assert_eq!(paid.json()["status"], "refund_due", "{}", paid.text());
    let ann = shop.operator("ann");
    let query = |status: &str| format!("/api/v1/admin/orders?status={status}");
    let paged = async |status: &str| {
        let page = shop.get(&query(status), Some(&ann)).await.json();
        let rows = page["data"].as_array().expect("a page").iter();
        rows.map(|row| row["status"].clone()).collect::<Vec<Value>>()
    };
    let listed = async |status: &str| {
        let found = paged(status).await;
        let file = shop.get(&format!("{}&format=csv", query(status)), Some(&ann)).await;
        assert_eq!(file.text().lines().count(), found.len() + 1, "{}", file.text());
        assert_eq!(file.text().contains(&format!(",{status},")), !found.is_empty());
        found
    };
    until("the order in the store", async || {
        (paged("refund_due").await == [json!("refund_due")]).then_some(())
    })
    .await;
    assert_eq!(listed("refund_due").await, [json!("refund_due")]);
    assert!(listed("refunded").await.is_empty());
    let shown = look(&shop, &format!("/en/orders/{order}"), 1).await;
    assert!(shown.text().contains("It will be returned."), "{}", shown.text());

    let refunds = until("the refund", async || {
        let due = shop.get("/api/v1/admin/refunds", Some(&ann)).await.json();
        due["data"][0]["payment_id"].as_str().map(str::to_owned)
    });
    let payment = refunds.await;
    let body = Some(json!({ "reference": "re_1" }));
    let settled = shop.post(&format!("/api/v1/admin/refunds/{payment}"), &ann, body).await;
    assert_eq!(settled.status, 200, "{}", settled.text());
    until("the order as refunded", async || {
        let shown = shop.get(&path, Some(&shop.buyer(1))).await.json();
        (shown["status"] == "refunded").then_some(())
    })
    .await;
    let all = shop.get("/api/v1/orders", Some(&shop.buyer(1))).await.json();
    assert_eq!(all["data"][0]["status"], "refunded");
    assert_eq!(listed("refunded").await, [json!("refunded")]);
    assert!(listed("refund_due").await.is_empty());
    let shown = look(&shop, &format!("/en/orders/{order}"), 1).await;
    assert!(shown.text().contains("It was returned."), "{}", shown.text());
    assert!(look(&shop, "/en/orders", 1).await.text().contains("Refunded"));
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    for query in ["status=refunded".to_owned(), format!("order={order}")] {
        let found = eva.get(&format!("/console/orders?{query}")).await;
        assert!(
            found.text().contains("<span class=\"badge \">Refunded</span>"),
            "{}",
            found.text()
        );
    }
    let due = eva.get("/console/orders?status=refund_due").await;
    assert!(!due.text().contains(&order), "{}", due.text());
    backends.stop(&shop.engine, support::DRAIN_MAX).await;
}

/// Sends the form of a new sale with a file of so many bytes as its picture; only its head, if that says enough.
async fn send_picture(eva: &Browser, bytes: usize, is_whole: bool) -> Answer {
    let mut body = Vec::new();
    for (name, value) in sale_fields("Typed with care", "9.90") {
        let part =
            format!("--xyz\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let file = "--xyz\r\ncontent-disposition: form-data; name=\"items-0-file\"; filename=\"a.jpg\"\r\n\
                content-type: image/jpeg\r\n\r\n";
    body.extend_from_slice(file.as_bytes());
    let end = b"\r\n--xyz--\r\n";
    let length = body.len() + bytes + end.len();
    let cookies: Vec<String> =
        eva.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let head = format!(
        "POST /console/sales/new HTTP/1.1\r\nhost: {}\r\naccept: text/html\r\nconnection: close\r\n\
         sec-fetch-site: same-origin\r\ncookie: {}\r\ncontent-type: multipart/form-data; boundary=xyz\r\n\
         content-length: {length}\r\n\r\n",
        eva.address,
        cookies.join("; "),
    );
    let mut connection = Connection::open(eva.address).await;
    connection.send(head.as_bytes()).await;
    if is_whole {
        body.extend(std::iter::repeat_n(0, bytes));
        body.extend_from_slice(end);
        connection.send(&body).await;
    }
    connection.answer().await
}

#[tokio::test]
async fn a_picture_that_is_too_large_is_called_so() {
    let shop = Shop::open().await;
    let eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    let large = send_picture(&eva, 8_400_000, true).await;
    assert_eq!(large.status, 422, "{}", large.text());
    assert!(large.text().contains("At most 8 MB of pictures"), "{}", large.text());
    assert!(large.text().contains("value=\"Typed with care\""), "what was typed is kept");
    assert!(!hidden(large.text(), "key").is_empty());
    let larger = send_picture(&eva, 13_000_000, false).await;
    assert_eq!(larger.status, 413, "{}", larger.text());
    assert!(larger.text().contains("choose smaller pictures"), "{}", larger.text());
    assert!(larger.text().contains("Nothing was saved."), "{}", larger.text());
}
