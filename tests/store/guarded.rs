//! Requests to servers whose URL somebody entered, with servers that try to lead them elsewhere.

use domain::Timestamp;
use futures_util::future::BoxFuture;
use harness::{HookAnswer, HookReceiver, certificates, patiently};
use seckill::clock::Clock;
use seckill::store::outbound::{
    Guard, GuardedOptions, GuardedOutbound, Heard, NotAllowed, OutboundError, Resolve,
    SystemResolver,
};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A resolver that answers each question with the next of its answers, and with the last one for ever.
struct Scripted {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let read =
            |answer: &&[&str]| answer.iter().map(|text| text.parse().expect("one")).collect();
        let answers = Mutex::new(answers.iter().map(read).collect());
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().expect("no panic");
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Box::pin(async move { Ok(answer) })
    }
}

const OPTIONS: GuardedOptions = GuardedOptions { timeout: Duration::from_secs(20), idle_max: 4 };

fn guarded(
    networks: &[&str],
    resolver: Arc<dyn Resolve>,
    authority: Option<&[u8]>,
) -> GuardedOutbound {
    within(OPTIONS, networks, resolver, authority)
}

fn within(
    options: GuardedOptions,
    networks: &[&str],
    resolver: Arc<dyn Resolve>,
    authority: Option<&[u8]>,
) -> GuardedOutbound {
    let guard = Guard::new(networks.iter().map(|network| network.parse().expect("a network")));
    let clock = Clock::start(Timestamp(0));
    GuardedOutbound::new(guard, resolver, authority, options, clock).expect("a client")
}

async fn post(outbound: &GuardedOutbound, url: &str) -> Result<Heard, OutboundError> {
    let target = outbound.target(url).expect("a URL that may lead there");
    let posting = outbound.post(&target, "application/json", &[], "{}".into());
    patiently("an answer", posting).await
}

#[tokio::test]
async fn a_name_that_changes_after_the_check_leads_to_what_was_checked() {
    let checked = HookReceiver::open().await;
    let port = checked.address().port();
    // What the name leads to from the second question on: the same port of another address of this machine.
    let other = HookReceiver::open_at(&format!("127.0.0.2:{port}")).await;
    let resolver = Scripted::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let outbound = guarded(&["127.0.0.0/8"], resolver.clone(), None);
    let heard = post(&outbound, &format!("http://erp.example:{port}/hooks")).await;
    assert_eq!(heard.expect("an answer").status, 204);
    assert_eq!(resolver.asked.load(Ordering::Relaxed), 1, "it is resolved once");
    assert_eq!((checked.asked().len(), other.asked().len()), (1, 0));
    assert!(checked.asked()[0].head.contains("host: erp.example"), "its name stays");
    // The connection is kept, and the next request goes the same way without a question.
    post(&outbound, &format!("http://erp.example:{port}/hooks")).await.expect("an answer");
    assert_eq!((checked.asked().len(), other.asked().len()), (2, 0));
}

#[tokio::test]
async fn a_name_with_an_address_that_is_not_allowed_leads_nowhere() {
    let server = HookReceiver::open().await;
    let port = server.address().port();
    let private: IpAddr = "10.1.2.3".parse().expect("an address");
    for answer in [&["127.0.0.1", "10.1.2.3"][..], &["10.1.2.3", "127.0.0.1"]] {
        let outbound = guarded(&["127.0.0.1"], Scripted::new(&[answer]), None);
        let refused = post(&outbound, &format!("http://erp.example:{port}/")).await;
        let expected = Err(OutboundError::NotAllowed(NotAllowed::Address(private)));
        assert_eq!(refused, expected, "{answer:?}");
    }
    // It was allowed at the first connection, and leads elsewhere at the next one.
    let resolver = Scripted::new(&[&["127.0.0.1"], &["10.1.2.3"]]);
    let idle = GuardedOptions { idle_max: 0, ..OPTIONS };
    let outbound = within(idle, &["127.0.0.1"], resolver, None);
    let url = format!("http://erp.example:{port}/");
    assert_eq!(post(&outbound, &url).await.expect("an answer").status, 204);
    let expected = Err(OutboundError::NotAllowed(NotAllowed::Address(private)));
    assert_eq!(post(&outbound, &url).await, expected);
    let none = guarded(&["127.0.0.1"], Scripted::new(&[&[]]), None);
    let nowhere = post(&none, &url).await;
    assert_eq!(nowhere, Err(OutboundError::NotAllowed(NotAllowed::NoAddress)));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn this_machine_by_its_name_is_not_the_internet() {
    let outbound = guarded(&[], Arc::new(SystemResolver), None);
    let refused = post(&outbound, "https://localhost/").await;
    let is_refused = matches!(
        refused,
        Err(OutboundError::NotAllowed(NotAllowed::Address(address))) if address.is_loopback()
    );
    assert!(is_refused, "{refused:?}");
}

#[tokio::test]
async fn no_redirect_is_followed_and_no_body_is_waited_for() {
    let server = HookReceiver::open().await;
    let outbound = guarded(&["127.0.0.1"], Arc::new(SystemResolver), None);
    let location = "location: http://169.254.169.254/latest/meta-data/\r\n".to_owned();
    for status in [301, 302, 307, 308] {
        let location = location.clone();
        server.answers(move |_| HookAnswer::With(status, location.clone()));
        assert_eq!(post(&outbound, &server.url()).await.expect("an answer").status, status);
    }
    assert_eq!(server.asked().len(), 4, "nobody came back");
    server.answers(|_| HookAnswer::Endless);
    assert_eq!(post(&outbound, &server.url()).await.expect("an answer").status, 200);
    let again = "retry-after: 120\r\n".to_owned();
    server.answers(move |_| HookAnswer::With(503, again.clone()));
    let heard = post(&outbound, &server.url()).await.expect("an answer");
    assert_eq!(heard, Heard { status: 503, retry_after: Some(Duration::from_secs(120)) });
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let server = HookReceiver::open().await;
    server.answers(|_| HookAnswer::Hang);
    let options = GuardedOptions { timeout: Duration::from_millis(300), idle_max: 4 };
    let outbound = within(options, &["127.0.0.1"], Arc::new(SystemResolver), None);
    assert_eq!(post(&outbound, &server.url()).await, Err(OutboundError::TimedOut));
    let gone = server.url();
    drop(server);
    // Nobody listens there any more, once its task is gone.
    harness::until("nobody", async || {
        matches!(post(&outbound, &gone).await, Err(OutboundError::Broken(_))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_certificate_is_the_names_and_not_the_addresses() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (authority, key, certificate) = (path("authority.pem"), path("key.pem"), path("it.pem"));
    if !certificates::make(&path("authority-key.pem"), &authority, &key, &certificate) {
        println!("skipped: openssl is not installed");
        return;
    }
    let certificate = CertificateDer::from_pem_file(&certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&key).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    let pem = std::fs::read(&authority).expect("the certificate");
    let resolver = Scripted::new(&[&["127.0.0.1"]]);
    let outbound = guarded(&["127.0.0.1"], resolver.clone(), Some(&pem));
    let heard = post(&outbound, &format!("https://localhost:{port}/")).await;
    assert_eq!(heard.expect("an answer").status, 200);
    // The same address under another name.
    let refused = post(&outbound, &format!("https://erp.example:{port}/")).await;
    assert!(
        matches!(&refused, Err(OutboundError::Broken(why)) if why.contains("certificate")),
        "{refused:?}"
    );
    let public = guarded(&["127.0.0.1"], resolver, None);
    assert!(post(&public, &format!("https://localhost:{port}/")).await.is_err());
    server.abort();
}
