//! A mall's own log-in service, with the real program: its keys, its users, and what it costs to be without.

use crate::support::{Offer, Server, Site, until};
use harness::http::Answer;
use harness::{Issuer, Manner, SigningKey};
use serde_json::json;

const OFFERS: &[Offer] = &[Offer { allotted: 10, limit: 1, window_seconds: 600 }];

fn site(issuer: &Issuer) -> Site {
    Site::new()
        .with("OIDC__ISSUER", &issuer.name())
        .with("OIDC__AUDIENCE", "seckill")
        .with("OIDC__JWKS_URL", &issuer.jwks_url())
}

async fn buy(server: &Server, path: &str, token: &str) -> Answer {
    let mut client = server.client().await;
    client.send("POST", path, token, &[("idempotency-key", "k")], "").await.expect("it answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malls_users_keep_their_numbers_over_a_restart() {
    let key = SigningKey::p256("2026");
    let issuer = Issuer::publishing(&[&key]).await;
    let site = site(&issuer);
    let (server, sale) = site.open_shop(1, OFFERS).await;
    let now = server.get("/api/v1/time").await.json()["unix_ms"].as_u64().expect("a time") / 1000;
    let claims = json!({
        "iss": issuer.name(), "aud": "seckill", "sub": "u-1", "iat": now, "exp": now + 3_600,
    });
    let token = key.token(&claims);
    let path = format!("/api/v1/items/{}/buy", sale.items[0]);
    let bought = buy(&server, &path, &token).await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    server.stop().await;

    // The issuer is away: the shop starts, and says what that means.
    issuer.behave(Manner::IsSilent);
    let server = site.start().await;
    let refused = buy(&server, &path, &token).await;
    assert_eq!(refused.problem(), (503, "issuer_unavailable".to_owned()));
    let ready = server.look("/readyz?verbose").await;
    assert!(ready.text().contains("\"name\":\"issuer\",\"kind\":\"oidc\",\"healthy\":false"));
    server.stop().await;

    issuer.publish(&[&key]);
    let server = site.start().await;
    let again = until("the keys", async || {
        let again = buy(&server, &path, &token).await;
        (again.status != 503).then_some(again)
    })
    .await;
    assert_eq!((again.status, again.json()), (200, bought.json()), "the same user as before");
    server.stop().await;
    site.audit([]).must_balance();
}
