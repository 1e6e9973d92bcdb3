//! Pictures of items: sent by an operator, named by a draft, shown to everybody.

use harness::http::{Answer, Connection};
use seckill::http::Options;
use serde_json::{Value, json};
use support::{Ask, Shop, offer};

/// A PNG of one red pixel.
const PNG: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00, 0x00, 0x90, 0x77, 0x53,
    0xde, 0x00, 0x00, 0x00, 0x0c, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0xf8, 0xcf, 0xc0, 0x00,
    0x00, 0x03, 0x01, 0x01, 0x00, 0xc9, 0xfe, 0x92, 0xef, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e,
    0x44, 0xae, 0x42, 0x60, 0x82,
];

async fn send(shop: &Shop, token: &str, kind: &str, bytes: &[u8]) -> Answer {
    let head = format!(
        "POST /api/v1/admin/media HTTP/1.1\r\nhost: shop\r\nconnection: close\r\nauthorization: \
         Bearer {token}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        bytes.len()
    );
    let mut connection = Connection::open(shop.address).await;
    connection.send(&[head.as_bytes(), bytes].concat()).await;
    connection.answer().await
}

async fn draft_with(shop: &Shop, picture: &Value) -> Answer {
    let mut item = offer("pear", 1);
    item["description"] = json!("Picked today.\n\nFrom the tree.");
    item["picture"] = picture.clone();
    shop.post("/api/v1/admin/sales", &shop.operator("ann"), Some(shop.draft(&[item]))).await
}

#[tokio::test]
async fn a_picture_is_sent_named_and_shown() {
    let shop = Shop::open().await;
    let ann = shop.operator("ann");
    let sent = send(&shop, &ann, "image/png", PNG).await;
    assert_eq!(sent.status, 201, "{}", sent.text());
    let picture = sent.json();
    assert_eq!((picture["width"].clone(), picture["height"].clone()), (json!(1), json!(1)));
    let path = picture["path"].as_str().unwrap();
    assert_eq!(sent.header("location"), Some(path));

    let shown = shop.get(path, None).await;
    assert_eq!((shown.status, shown.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(shown.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(shown.body.len(), picture["bytes"].as_u64().unwrap() as usize);
    assert!(shown.body.starts_with(&[0xff, 0xd8]));
    let tag = shown.header("etag").unwrap();
    for (method, value) in [("GET", tag), ("GET", "*"), ("HEAD", "*")] {
        let headers = &[("if-none-match", value)];
        let again = shop.ask(method, path, Ask { headers, ..Ask::default() }).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{method} {value}");
        assert_eq!(again.header("etag"), Some(tag));
    }
    // What is not there is no match of anything.
    let headers = &[("if-none-match", "*")];
    let none = format!("/media/{}", "0".repeat(path.len() - "/media/".len()));
    let missing = shop.ask("GET", &none, Ask { headers, ..Ask::default() }).await;
    assert_eq!(missing.status, 404, "{}", missing.text());

    // The same one twice is one, and the log has it once.
    assert_eq!(send(&shop, &ann, "image/png", PNG).await.json(), picture);
    let log = shop.get("/api/v1/admin/audit-log", Some(&ann)).await.json();
    let added = log["data"].as_array().unwrap().iter();
    assert_eq!(added.filter(|entry| entry["action"] == "media.add").count(), 1, "{log}");

    let created = draft_with(&shop, &picture["picture"]).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let item = &created.json()["items"][0];
    assert_eq!(item["picture"], picture["picture"]);
    assert_eq!(item["description"], "Picked today.\n\nFrom the tree.");
}

/// What its caller can do about it is said as it is: this route knows no Idempotency-Key, and needs none.
#[tokio::test]
async fn a_picture_whose_answer_is_late_can_be_sent_again() {
    let request_timeout = std::time::Duration::ZERO;
    let shop = Shop::with(Options { request_timeout, ..Options::default() }).await;
    let ann = shop.operator("ann");
    let late = send(&shop, &ann, "image/png", PNG).await;
    assert_eq!(late.problem(), (503, "outcome_unknown".to_owned()));
    let detail = late.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("sent twice is done once") && !detail.contains("Key"), "{detail}");
    let path = "/api/v1/admin/sales";
    for (headers, advice) in [
        (&[][..], "look at what is there"),
        (&[("idempotency-key", "k")], "the same Idempotency-Key"),
    ] {
        let body = Some(shop.draft(&[offer("pear", 1)]));
        let ask = Ask { token: Some(&ann), headers, body };
        let late = shop.ask("POST", path, ask).await.json();
        assert!(late["detail"].as_str().unwrap().contains(advice), "{late}");
    }
}

#[tokio::test]
async fn a_buyer_reads_what_is_said_of_an_item() {
    let shop = Shop::open().await;
    let picture = send(&shop, &shop.operator("ann"), "image/png", PNG).await.json();
    let mut item = offer("pear", 1);
    item["description"] = json!("Picked today.");
    item["picture"] = picture["picture"].clone();
    let (sale_id, _) = shop.sale(shop.draft(&[item])).await;
    let sale = shop.get(&format!("/api/v1/sales/{sale_id}"), None).await.json();
    assert_eq!(sale["items"][0]["description"], "Picked today.");
    assert_eq!(sale["items"][0]["picture"], picture["picture"]);
    // A list of a day has the pictures, and leaves the paragraphs to the sale.
    let today = domain::catalogue::Day::of(shop.engine.now());
    let day = shop.get(&format!("/api/v1/sales?date={today}"), None).await.json();
    assert_eq!(day["data"][0]["items"][0]["picture"], picture["picture"]);
    assert_eq!(day["data"][0]["items"][0]["description"], Value::Null);
}

#[tokio::test]
async fn what_is_no_picture_is_refused() {
    let shop = Shop::open().await;
    let ann = shop.operator("ann");
    let refused = send(&shop, &ann, "image/png", b"not a picture").await;
    assert_eq!(refused.problem(), (422, "invalid_field".to_owned()));
    let refused = send(&shop, &ann, "image/svg+xml", b"<svg/>").await;
    assert_eq!(refused.problem(), (415, "unsupported_media_type".to_owned()));
    let refused = send(&shop, &shop.buyer(1), "image/png", PNG).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    let unknown = json!("0".repeat(64));
    let refused = draft_with(&shop, &unknown).await;
    assert_eq!(refused.problem(), (422, "invalid_field".to_owned()));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/items/0/picture");
    for name in ["0".repeat(64), "x".to_owned(), "..%2f".to_owned()] {
        let answer = shop.get(&format!("/media/{name}"), None).await;
        assert_eq!(answer.problem(), (404, "not_found".to_owned()), "{name}");
    }
}
