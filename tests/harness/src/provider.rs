//! A payment provider, as an adapter in front of a real one is: it answers where a buyer pays, keeps what it was asked,
//! and signs what it tells. It signs by itself, so that a mistake of the shop's is not made twice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The bytes of the secret that shop and provider share.
pub const PROVIDER_KEY: [u8; 32] = [0x5a; 32];

/// A provider that runs until it is dropped.
pub struct PaymentProvider {
    origin: String,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Drop for PaymentProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl PaymentProvider {
    /// Opens one that answers with an address of its own.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let page = format!("{{\"url\":\"{origin}/pay-here\"}}");
        let answer = Arc::new(Mutex::new((200, page)));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (says, hears) = (Arc::clone(&answer), Arc::clone(&asked));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&says), Arc::clone(&hears)));
            }
        });
        Self { origin, answer, asked, server }
    }

    /// Where payments begin.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/payments", self.origin)
    }

    /// Where it sends buyers.
    #[must_use]
    pub fn page(&self) -> String {
        format!("{}/pay-here", self.origin)
    }

    /// The secret that shop and provider share, as a setting.
    #[must_use]
    pub fn secret() -> String {
        format!("whsec_{}", STANDARD.encode(PROVIDER_KEY))
    }

    /// Lets it answer with this status and body from now on.
    pub fn says(&self, status: u16, body: &str) {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        *answer = (status, body.to_owned());
    }

    /// What it was asked, head and body of each request, in their order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The headers of a callback with this body, signed with these bytes at this time in seconds.
#[must_use]
pub fn sign_callback(key: &[u8], seconds: u64, body: &str) -> [(&'static str, String); 3] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("cb.{seconds}.{body}").as_bytes());
    [
        ("webhook-id", "cb".to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", format!("v1,{}", STANDARD.encode(tag))),
    ]
}

async fn serve(
    mut stream: TcpStream,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut request = Vec::new();
    // Head and body: the client waits for the answer, so it sends no more.
    while !is_whole(&request) {
        let mut piece = [0; 4_096];
        match stream.read(&mut piece).await {
            Ok(length) if length > 0 => request.extend_from_slice(&piece[..length]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let (status, kind, body) = if request.starts_with("GET ") {
        let page =
            "<!doctype html><html lang=\"en\"><title>Provider</title><h1>Pay here</h1></html>";
        (200, "text/html", page.to_owned())
    } else {
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let (status, body) = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (status, "application/json", body)
    };
    let head = format!(
        "HTTP/1.1 {status} It is so\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // A client that has gone away needs no answer.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0)
}
