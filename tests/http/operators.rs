//! Accounts of operators over the API: who sees and changes them, and what ends with one.

use seckill::http::Role;
use seckill::store::catalogue::{Acceptance, Catalogue};
use serde_json::json;
use support::{Ask, Shop, offer};

fn admin(shop: &Shop, name: &str) -> String {
    shop.signer.mint(name, Role::Admin, shop.engine.now(), 3_600)
}

#[tokio::test]
async fn admins_alone_see_and_change_accounts() {
    let shop = Shop::open().await;
    let catalogue = Catalogue::new(shop.orders.database());
    let now = shop.engine.now();
    let acceptance = Acceptance {
        name: "王伟",
        roles: "operator admin".parse().expect("roles"),
        issued_at: now,
        password_hash: "$argon2id$hash",
        now,
    };
    catalogue.accept_operator(acceptance).await.expect("accepted");
    let root = admin(&shop, "root");
    let path = "/api/v1/admin/operators";
    for token in [shop.operator("ann"), shop.approver("bob"), shop.buyer(1)] {
        let listed = shop.get(path, Some(&token)).await;
        assert_eq!(listed.problem(), (403, "forbidden".to_owned()));
        let disabled = shop.post(&format!("{path}/ann/disable"), &token, None).await;
        assert_eq!(disabled.problem(), (403, "forbidden".to_owned()));
    }
    let listed = shop.get(path, Some(&root)).await;
    assert_eq!(
        listed.json()["data"][0]["roles"],
        json!(["operator", "admin"]),
        "{}",
        listed.text()
    );
    assert!(!listed.text().contains("argon2id"), "{}", listed.text());
    let named = format!("{path}/%E7%8E%8B%E4%BC%9F");
    let disabled = shop.post(&format!("{named}/disable"), &root, None).await;
    assert_eq!(disabled.json()["disabled"], json!(true), "{}", disabled.text());
    let enabled = shop.post(&format!("{named}/enable"), &root, None).await;
    assert_eq!(enabled.json()["disabled"], json!(false), "{}", enabled.text());
    let nobody = shop.post(&format!("{path}/nobody/enable"), &root, None).await;
    assert_eq!(nobody.problem(), (404, "not_found".to_owned()));
    let misnamed = shop.post(&format!("{path}/ev%D0%B0/disable"), &root, None).await;
    assert_eq!(misnamed.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn admins_read_the_log_in_which_their_own_changes_stand() {
    let shop = Shop::open().await;
    let root = admin(&shop, "root");
    let disabled = shop.post("/api/v1/admin/operators/ann/disable", &root, None).await;
    assert_eq!(disabled.status, 200, "{}", disabled.text());
    let log = "/api/v1/admin/audit-log";
    let entry = shop.get(log, Some(&root)).await.json()["data"][0].clone();
    assert_eq!((&entry["actor"], &entry["action"]), (&json!("root"), &json!("operator.disable")));
    assert_eq!(shop.get(log, Some(&shop.buyer(1))).await.status, 403);
    let cookie = format!("seckill_console={root}");
    let headers = [("accept", "text/html"), ("cookie", cookie.as_str())];
    for path in ["/console/log", "/console"] {
        let page = shop.ask("GET", path, Ask { headers: &headers, ..Ask::default() }).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        let (links, shown) = page.text().split_once("<main").expect("a page");
        assert!(links.contains("href=\"/console/log\""), "{path}: {links}");
        assert!(shown.contains("root"), "{path}: {shown}");
    }
}

/// A token cannot be taken back, but its name can.
#[tokio::test]
async fn a_disabled_name_has_no_good_token_from_before() {
    let shop = Shop::open().await;
    let (ann, root) = (shop.operator("ann"), admin(&shop, "root"));
    let sales = "/api/v1/admin/sales";
    assert_eq!(shop.get(sales, Some(&ann)).await.status, 200);
    let path = "/api/v1/admin/operators/Ann";
    assert_eq!(shop.post(&format!("{path}/disable"), &root, None).await.status, 200);
    let own = shop.post("/api/v1/admin/operators/Root/disable", &root, None).await;
    assert_eq!(own.problem(), (409, "state_conflict".to_owned()), "nobody locks themselves out");
    let refused = shop.get(sales, Some(&ann)).await;
    assert_eq!(refused.problem(), (401, "unauthenticated".to_owned()));
    let draft = shop.draft(&[offer("pear", 1)]);
    let refused = shop.post(sales, &ann, Some(draft)).await;
    assert_eq!(refused.problem(), (401, "unauthenticated".to_owned()));
    // Not even a new one, until the name is enabled; then the old one is still worthless.
    let later = shop.engine.now().plus_milliseconds(2_000);
    let newer = shop.signer.mint("ann", Role::Operator, later, 3_600);
    assert_eq!(shop.get(sales, Some(&newer)).await.status, 401);
    assert_eq!(shop.post(&format!("{path}/enable"), &root, None).await.status, 200);
    assert_eq!(shop.get(sales, Some(&newer)).await.status, 200);
    assert_eq!(shop.get(sales, Some(&ann)).await.status, 401);
    assert_eq!(shop.get(sales, Some(&shop.operator("bo"))).await.status, 200, "others go on");
}

/// Accounts are in the catalogue; a sale is run without it.
#[tokio::test]
async fn a_database_that_is_away_revokes_nobody_who_was_not() {
    let shop = Shop::open().await;
    let item = shop.live_item(3).await;
    let (ann, bo, root) = (shop.operator("ann"), shop.operator("bo"), admin(&shop, "root"));
    let path = "/api/v1/admin/operators/bo/disable";
    assert_eq!(shop.post(path, &root, None).await.status, 200);
    shop.orders.database().close().await;
    let sale = shop.get(&format!("/api/v1/items/{item}"), None).await.json();
    let pause = format!("/api/v1/admin/sales/{}/pause", sale["sale_id"].as_str().expect("a sale"));
    let revoked = shop.post(&pause, &bo, None).await;
    assert_eq!(revoked.problem(), (401, "unauthenticated".to_owned()), "it is still known");
    let paused = shop.post(&pause, &ann, None).await;
    assert_eq!(paused.status, 200, "{}", paused.text());
}
