//! Orders for operators: found by what is known of them, and as a file.

use serde_json::{Value, json};
use support::{Ask, DRAIN_MAX, Shop, offer};

async fn settle(shop: &Shop) {
    let backends = shop.start_backends().await;
    backends.stop(&shop.engine, DRAIN_MAX).await;
}

fn ids(page: &Value) -> Vec<&str> {
    let orders = page["data"].as_array().expect("a page");
    orders.iter().map(|order| order["order_id"].as_str().expect("an identity")).collect()
}

#[tokio::test]
async fn orders_are_found_by_sale_item_buyer_status_and_time() {
    let shop = Shop::open().await;
    let ann = shop.operator("ann");
    let (sale, items) = shop.sale(shop.draft(&[offer("pear", 9), offer("fig", 9)])).await;
    let other = shop.live_item(9).await;
    let mut placed = Vec::new();
    for (item, user, key) in
        [(&items[0], 1, "a"), (&items[1], 2, "b"), (&other, 1, "c"), (&other, 3, "d")]
    {
        let order = shop.buy(item, user, key).await;
        placed.push(order.json()["order_id"].as_str().expect("an identity").to_owned());
    }
    let paid = format!("/api/v1/orders/{}/pay", placed[0]);
    assert_eq!(shop.post(&paid, &shop.buyer(1), None).await.status, 200);
    settle(&shop).await;
    let find = async |query: &str| {
        let found = shop.get(&format!("/api/v1/admin/orders{query}"), Some(&ann)).await;
        assert_eq!(found.status, 200, "{query}: {}", found.text());
        found.json()
    };
    for (query, expected) in [
        (String::new(), &[3, 2, 1, 0][..]),
        ("?user=1".to_owned(), &[2, 0]),
        (format!("?sale={sale}"), &[1, 0]),
        (format!("?item={other}"), &[3, 2]),
        (format!("?user=1&item={other}"), &[2]),
        ("?status=paid".to_owned(), &[0]),
        ("?status=reserved&user=1".to_owned(), &[2]),
        ("?status=expired".to_owned(), &[]),
        ("?to=2024-01-01T00:00:00Z".to_owned(), &[]),
        ("?from=2024-01-01T00:00:00Z&user=3".to_owned(), &[3]),
    ] {
        let page = find(&query).await;
        let expected: Vec<&str> = expected.iter().map(|place| placed[*place].as_str()).collect();
        assert_eq!(ids(&page), expected, "{query}");
        assert_eq!((&page["has_more"], &page["next"]), (&json!(false), &Value::Null), "{query}");
    }
    let first = find("?limit=3").await;
    assert_eq!((first["has_more"].clone(), first["next"].clone()), (json!(true), json!(placed[1])));
    let rest = find(&format!("?limit=3&starting_after={}", placed[1])).await;
    assert_eq!((ids(&rest), rest["has_more"].clone()), (vec![placed[0].as_str()], json!(false)));
    for query in ["?status=open", "?user=ann", "?from=x", "?colour=red", "?excel=true"] {
        let refused = shop.get(&format!("/api/v1/admin/orders{query}"), Some(&ann)).await;
        assert_eq!(refused.problem(), (422, "invalid_field".to_owned()), "{query}");
    }
    let buyer = shop.get("/api/v1/admin/orders", Some(&shop.buyer(1))).await;
    assert_eq!(buyer.problem(), (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn a_file_says_what_is_called_how_and_harms_no_spreadsheet() {
    let shop = Shop::open().await;
    let ann = shop.operator("ann");
    let registered = json!({ "user_name": "-li.na", "password": "long jing 1886" });
    let ask = Ask { body: Some(registered.clone()), ..Ask::default() };
    let user = shop.ask("POST", "/api/v1/users", ask).await.json();
    let ask = Ask { body: Some(registered), ..Ask::default() };
    let login = shop.ask("POST", "/api/v1/login", ask).await.json();
    let mut pear = offer("pear", 9);
    pear["title"] = json!("=HYPERLINK(\"http://evil\",\"x\"), \"梨\"");
    let (_, items) = shop.sale(shop.draft(&[pear])).await;
    let path = format!("/api/v1/items/{}/buy", items[0]);
    let token = login["token"].as_str().expect("a token");
    let bought = shop.post(&path, token, Some(json!({ "quantity": 1 }))).await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    settle(&shop).await;
    let order = bought.json()["order_id"].as_str().expect("an identity").to_owned();
    let plain = shop.get("/api/v1/admin/orders?format=csv", Some(&ann)).await;
    let text = plain.text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(lines[0].ends_with("product_id,item_title,sale_title,user_name"), "{text}");
    assert!(lines[1].starts_with(&format!("{order},")), "{text}");
    let names = r#","pear","'=HYPERLINK(""http://evil"",""x""), ""梨""","Noon","'-li.na""#;
    assert!(lines[1].ends_with(names), "{text}");
    let excel = shop.get("/api/v1/admin/orders?format=csv&excel=true", Some(&ann)).await;
    assert!(excel.body.starts_with(b"\xEF\xBB\xBForder_id,"), "{}", excel.text());
    let user_id = user["user_id"].as_str().expect("an identity");
    for id in [order.as_str(), user_id] {
        assert!(excel.text().contains(&format!("\"=\"\"{id}\"\"\",")), "{}", excel.text());
    }
}
