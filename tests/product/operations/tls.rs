//! A shop that speaks HTTPS itself: with the certificate of its settings, and with the next one after SIGHUP.

use crate::support::{Server, Site, until};
use harness::certificates;
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;

/// An authority and a certificate that it signed; false where they cannot be made.
fn certify(site: &Site, authority: &str) -> bool {
    let path = |name: &str| site.path(name).to_str().expect("UTF-8").to_owned();
    let authority_key = path("authority-key.pem");
    certificates::make(&authority_key, &path(authority), &path("key.pem"), &path("shop.pem"))
}

/// What curl, which trusts this authority alone, gets; none if it does not believe the certificate.
fn curl(program: &Path, site: &Site, server: &Server, authority: &str) -> Option<String> {
    /// The peer's certificate cannot be authenticated.
    const NOT_BELIEVED: i32 = 60;
    let url = format!("https://localhost:{}/en/", server.address().port());
    let authority = site.path(authority);
    let arguments = ["-sSi", "--http2", "--max-time", "60", "--cacert"];
    let output = Command::new(program).args(arguments).arg(authority).arg(url).output();
    let output = output.expect("curl runs");
    if output.status.code() == Some(NOT_BELIEVED) {
        return None;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until readiness has the certificate as this, and returns what it says that means.
async fn told(server: &Server, is_well: bool) -> String {
    until("what readiness says of the certificate", async || {
        let now = server.look("/readyz?verbose").await.json();
        let all = now["dependencies"].as_array()?;
        let found = all.iter().find(|found| found["name"] == "certificate")?;
        let meaning = found["meaning"].as_str().filter(|_| found["healthy"] == is_well);
        meaning.map(str::to_owned)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_presented_and_changed_by_sighup() {
    let Some(program) = harness::program("curl") else { return };
    let mut site = Site::new().with("HTTP__PUBLIC_URL", "https://localhost");
    if !certify(&site, "first.pem") {
        return;
    }
    let path = |name: &str| site.path(name).to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (path("shop.pem"), path("key.pem"));
    site.set("HTTP__TLS_CERTIFICATE_FILE", &certificate);
    site.set("HTTP__TLS_KEY_FILE", &key);
    let server = site.start().await;
    let page = curl(&program, &site, &server, "first.pem").expect("a page");
    assert!(page.starts_with("HTTP/2 200"), "{page}");
    assert!(page.to_lowercase().contains("strict-transport-security: max-age="), "{page}");

    let held = told(&server, true).await;
    assert_eq!(held, "what was read last is presented");

    // On this machine the shop is known by the same file.
    site.set("HTTP__LISTEN", &server.address().to_string());
    for words in [&["config", "get", "limits"][..], &["webhooks", "list"]] {
        let asked = site.run(words);
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.success(), "{words:?}: {said}");
    }

    std::fs::write(&certificate, "no certificate").expect("written");
    server.signal(Signal::HUP);
    site.logged("the one of before is presented").await;
    assert!(curl(&program, &site, &server, "first.pem").is_some());
    let meaning = told(&server, false).await;
    assert!(meaning.contains("kept out") && meaning.contains("shop.pem"), "{meaning}");
    assert_eq!(server.look("/readyz?verbose").await.json()["status"], "degraded");
    let refused = "seckill_certificate_reloads_total{result=\"refused\"}";
    assert_eq!(server.figure(refused).await, 1);

    assert!(certify(&site, "second.pem"));
    let asked = site.run(&["config", "get", "limits"]);
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(!asked.status.success() && said.contains("send it SIGHUP if that is new"), "{said}");
    server.signal(Signal::HUP);
    site.logged("the certificate was read again").await;
    assert!(curl(&program, &site, &server, "second.pem").is_some());
    assert!(curl(&program, &site, &server, "first.pem").is_none());
    assert_eq!(told(&server, true).await, held);
    assert_eq!(server.figure(refused).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_at_the_start() {
    let site = Site::new()
        .with("HTTP__PUBLIC_URL", "https://localhost")
        .with("HTTP__TLS_CERTIFICATE_FILE", "/nowhere/shop.pem")
        .with("HTTP__TLS_KEY_FILE", "/nowhere/key.pem");
    let refused = site.run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("/nowhere/shop.pem: No such file"), "{said}");
    assert!(!site.data().exists(), "nothing was made");
}
