//! Requests of others' servers, over TLS with an authority of their own.

use domain::Timestamp;
use harness::certificates;
use harness::until;
use seckill::clock::Clock;
use seckill::store::outbound::{Outbound, OutboundError, OutboundOptions};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server that is ended with the test.
struct OpenSsl(Child);

impl Drop for OpenSsl {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_server_is_believed_if_the_authority_signed_its_certificate() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (authority, key, certificate) =
        (path("authority.pem"), path("key.pem"), path("certificate.pem"));
    if !certificates::make(&path("authority-key.pem"), &authority, &key, &certificate) {
        println!("skipped: openssl is not installed");
        return;
    }
    std::fs::write(path("keys.json"), "{\"keys\":[]}").expect("written");
    // Free as soon as the listener is dropped, at the end of the statement.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let address = address.expect("a free port");
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-quiet", "-WWW", "-accept", &address.to_string()])
        .args(["-key", &key, "-cert", &certificate])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _server = OpenSsl(command.spawn().expect("openssl runs"));
    until("the server", async || std::net::TcpStream::connect(address).ok()).await;

    let options = OutboundOptions {
        timeout: Duration::from_secs(20),
        in_flight_max: 1,
        failures_max: u32::MAX,
        pause: Duration::ZERO,
    };
    let url = format!("https://localhost:{}/keys.json", address.port());
    let clock = Clock::start(Timestamp(0));
    let pem = std::fs::read(&authority).expect("the certificate");
    let trusting = Outbound::trusting(Some(&pem), &url, options, clock.clone()).expect("a URL");
    let answer = trusting.get().await.expect("an answer");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{\"keys\":[]}"[..]));
    // The public authorities did not sign it.
    let public = Outbound::new(&url, options, clock.clone()).expect("a URL");
    let refused = public.get().await;
    assert!(
        matches!(&refused, Err(OutboundError::Broken(why)) if why.contains("certificate")),
        "{refused:?}"
    );
    // Nor is it the certificate of another name.
    let other = format!("https://localhost.localdomain:{}/keys.json", address.port());
    if let Ok(other) = Outbound::trusting(Some(&pem), &other, options, clock.clone()) {
        assert!(other.get().await.is_err());
    }
    for bad in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Outbound::trusting(Some(bad), &url, options, clock.clone()).is_err());
    }
    for bad in ["ftp://localhost/", "localhost", "https://", ""] {
        assert!(Outbound::new(bad, options, clock.clone()).is_err(), "{bad}");
    }
}
