//! What must stay secret does: in the directory, and in the log of a run that logs all it can.

use crate::support::{Attempt, Offer, Site, Witness, sell};
use std::os::unix::fs::PermissionsExt;

const OFFER: Offer = Offer { allotted: 1_000, limit: 20, window_seconds: 600 };
const PASSWORD: &str = "correct-horse-battery-staple";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_tokens_nor_passwords_nor_the_signing_secret_leave_their_place() {
    let site = Site::new().with("LOG__FILTER", "trace");
    let (server, shop) = site.open_shop(16, &[OFFER]).await;
    let mut client = server.client().await;
    let account = format!(r#"{{"user_name":"ursula","password":"{PASSWORD}"}}"#);
    let made = client.send("POST", "/api/v1/users", "", &[], &account).await.expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    let login = client.send("POST", "/api/v1/login", "", &[], &account).await.expect("an answer");
    let session = login.json()["token"].as_str().expect("a token").to_owned();
    let wrong = account.replace("staple", "stable");
    let refused = client.send("POST", "/api/v1/login", "", &[], &wrong).await.expect("an answer");
    assert_eq!(refused.status, 401, "{}", refused.text());
    let witness = Witness::default();
    for number in 0..20 {
        let attempt = Attempt { item: shop.items[0], buyer: 3, key: format!("key-{number}") };
        sell(&server, &shop, &witness, attempt).await;
    }
    let forged = format!("{session}x");
    let answer = client.send("GET", "/api/v1/orders", &forged, &[], "").await.expect("an answer");
    assert_eq!(answer.status, 401, "{}", answer.text());
    let metrics = server.look("/metrics").await.text().to_owned();
    let ready = server.look("/readyz?verbose").await.text().to_owned();
    server.stop().await;

    let key = site.data().join("secrets/token.key");
    let mode = std::fs::metadata(&key).expect("the secret").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600, "of {}", key.display());
    let secret = std::fs::read_to_string(&key).expect("the secret");
    let config = site.run(&["config", "check"]);
    let config = String::from_utf8_lossy(&config.stdout).into_owned();
    let log = site.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "it logs all it can");
    for (place, text) in
        [("the log", &log), ("metrics", &metrics), ("readiness", &ready), ("the settings", &config)]
    {
        for secret in [
            PASSWORD,
            "correct-horse-battery-stable",
            secret.trim(),
            &session,
            &shop.tokens[3],
            &shop.operator,
            &shop.approver,
        ] {
            assert!(!text.contains(secret), "{place} holds {secret}");
        }
    }
    // Nor does the order store hold the password.
    for entry in std::fs::read_dir(site.data()).expect("the directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("a file");
            let holds = bytes.windows(PASSWORD.len()).any(|some| some == PASSWORD.as_bytes());
            assert!(!holds, "{} holds a password", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signing_secret_that_is_gone_is_told_with_what_that_means() {
    const TOLD: &str =
        "the secret that signs tokens was gone and is made anew: no token, session or link";
    let site = Site::new();
    let (server, shop) = site.open_shop(1, &[OFFER]).await;
    server.stop().await;
    site.start().await.stop().await;
    assert!(!site.log().contains(TOLD), "{}", site.log());
    std::fs::remove_file(site.data().join("secrets/token.key")).expect("removed");
    let server = site.start().await;
    site.logged(TOLD).await;
    let mut client = server.client().await;
    let answer = client.send("GET", "/api/v1/orders", &shop.tokens[0], &[], "").await;
    assert_eq!(answer.expect("an answer").status, 401);
    server.stop().await;
}
