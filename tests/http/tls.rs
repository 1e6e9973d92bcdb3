//! TLS on the shop's own listener: what is spoken behind the handshake is the same, a certificate is changed while
//! connections go on, and who does not speak it is sent away.

use harness::certificates;
use harness::http::Connection;
use seckill::http::{CertificateFiles, Options, Tls};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use support::{Setup, Shop};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const LOOK: &str = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A certificate with its authority, in a directory of its own.
struct Made {
    directory: tempfile::TempDir,
}

impl Made {
    fn new() -> Option<Self> {
        let made = Self { directory: tempfile::tempdir().expect("a directory") };
        made.again().then_some(made)
    }

    /// Makes all of it anew.
    fn again(&self) -> bool {
        let path = |name: &str| self.path(name).to_str().expect("UTF-8").to_owned();
        let (authority_key, authority) = (path("authority-key.pem"), path("authority.pem"));
        certificates::make(&authority_key, &authority, &path("key.pem"), &path("shop.pem"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn files(&self) -> CertificateFiles {
        CertificateFiles { certificate: self.path("shop.pem"), key: self.path("key.pem") }
    }

    /// A client that trusts this authority and would speak these protocols.
    fn client(&self, protocols: &[&[u8]]) -> TlsConnector {
        let authority = CertificateDer::from_pem_file(self.path("authority.pem")).expect("PEM");
        let mut roots = RootCertStore::empty();
        roots.add(authority).expect("a certificate");
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

async fn connect(shop: &Shop, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(shop.address).await.expect("it listens");
    client.connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

/// Sends this and returns the answer, whose body has this end.
async fn ask(stream: &mut TlsStream<TcpStream>, request: &str, end: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).trim_end().ends_with(end) {
        let read = harness::patiently(end, stream.read_buf(&mut answer)).await;
        assert_ne!(read.expect("it answers"), 0, "{}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_spoken_behind_the_handshake_is_the_same() {
    let Some(made) = Made::new() else { return };
    let tls = Tls::open(made.files()).expect("a certificate");
    let shop = Setup { tls: Some(tls), ..Setup::default() }.open().await;
    let mut stream = connect(&shop, &made.client(&[b"http/1.1"])).await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    for _ in 0..2 {
        let answer = ask(&mut stream, LOOK, "ok").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let buy = "POST /api/v1/items/7/buy HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
    let answer = ask(&mut stream, buy, "}").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    // What is no HTTP has the shop's own answer there too.
    let answer = ask(&mut stream, "no HTTP\r\n\r\n", "}").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("bad_request"), "{answer}");

    let stream = connect(&shop, &made.client(&[b"h2", b"http/1.1"])).await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // Those who run the shop come by another way.
    let mut plain = Connection::open(shop.operations).await;
    plain.send(LOOK.as_bytes()).await;
    assert_eq!(plain.answer().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_changed_while_connections_go_on() {
    let (Some(made), Some(other)) = (Made::new(), Made::new()) else { return };
    let tls = Tls::open(made.files()).expect("a certificate");
    let shop = Setup { tls: Some(tls.clone()), ..Setup::default() }.open().await;
    let (before, now) = (made.client(&[]), shop.engine.now());
    let mut stream = connect(&shop, &before).await.expect("a handshake");

    // Not of each other, no PEM, and not there: what was presented before is presented still.
    std::fs::copy(other.path("key.pem"), made.path("key.pem")).expect("copied");
    let mixed = tls.reload(now).expect_err("not of each other");
    assert!(mixed.to_string().contains("cannot be used together"), "{mixed}");
    std::fs::write(made.path("shop.pem"), "no PEM").expect("written");
    let empty = tls.reload(now).expect_err("no certificate");
    assert!(empty.to_string().contains("shop.pem has no certificate"), "{empty}");
    std::fs::remove_file(made.path("shop.pem")).expect("removed");
    let gone = tls.reload(now).expect_err("not there");
    assert!(gone.to_string().contains("shop.pem: No such file"), "{gone}");
    connect(&shop, &before).await.expect("a handshake with what was before");

    assert!(made.again());
    tls.reload(now).expect("a certificate");
    let until = tls.valid_until().expect("a time");
    assert!(until > now);
    let expired = tls.reload(until).expect_err("not valid any more");
    assert!(expired.to_string().contains("shop.pem was valid until 20"), "{expired}");
    let after = made.client(&[]);
    let mut new = connect(&shop, &after).await.expect("a handshake");
    connect(&shop, &before).await.expect_err("of another authority");
    for stream in [&mut stream, &mut new] {
        let answer = ask(stream, LOOK, "ok").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_speak_it_is_sent_away_in_time() {
    let Some(made) = Made::new() else { return };
    let tls = Tls::open(made.files()).expect("a certificate");
    let http = Options { header_timeout: Duration::from_millis(200), ..Options::default() };
    let shop = Setup { tls: Some(tls), http, ..Setup::default() }.open().await;
    let mut heard = Vec::new();
    let mut plain = TcpStream::connect(shop.address).await.expect("it listens");
    plain.write_all(LOOK.as_bytes()).await.expect("it reads");
    // It may be cut off before it has read what it was told, an alert.
    let _ = harness::patiently("the end", plain.read_to_end(&mut heard)).await;
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
    let mut silent = TcpStream::connect(shop.address).await.expect("it listens");
    let _ = harness::patiently("the end", silent.read_to_end(&mut heard)).await;
    let refusal = "seckill_http_connections_refused_total{reason=\"no_handshake\"} 2";
    assert!(shop.shows(refusal).await);
}
