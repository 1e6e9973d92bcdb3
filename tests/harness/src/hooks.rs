//! A receiver of webhooks, as a mall's own system is: it answers as a test says, and keeps what it was sent. It verifies
//! signatures by itself, so that a mistake of the shop's is not made twice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request that a receiver was sent.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Its request line and headers.
    pub head: String,
    /// Its body.
    pub body: String,
    /// The status that it was answered with; 0 while it was not.
    pub status: u16,
}

/// How a receiver answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HookAnswer {
    /// With this status.
    Status(u16),
    /// With this status and these header lines, each ended by CR LF.
    With(u16, String),
    /// Not at all: the connection stays open.
    Hang,
    /// With 200 and a body that never ends.
    Endless,
}

type Answering = Box<dyn FnMut(&Hook) -> HookAnswer + Send>;

/// A receiver that runs until it is dropped.
pub struct HookReceiver {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    server: JoinHandle<()>,
}

struct Kept {
    answering: Answering,
    hooks: Vec<Hook>,
    /// Requests of each order that were not answered yet.
    under_way: BTreeMap<String, usize>,
    /// The orders of which two were under way at once.
    overlaps: BTreeSet<String>,
}

impl Drop for HookReceiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Hook {
    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The event in it.
    ///
    /// # Panics
    ///
    /// If the body is not JSON.
    #[must_use]
    pub fn event(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Its event's type.
    #[must_use]
    pub fn kind(&self) -> String {
        self.event()["type"].as_str().unwrap_or_default().to_owned()
    }

    /// Whose event it is: the order or the item.
    #[must_use]
    pub fn key(&self) -> String {
        self.event()["partitionkey"].as_str().unwrap_or_default().to_owned()
    }

    /// Its event's place in its shard.
    #[must_use]
    pub fn sequence(&self) -> String {
        self.event()["sequence"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether one of its signatures is of this secret, `whsec_` and base64.
    #[must_use]
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let Some(key) = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok())
        else {
            return false;
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let header = |name| self.header(name).unwrap_or_default();
        let signed =
            format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), self.body);
        let tag = format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes())));
        header("webhook-signature").split(' ').any(|found| found == tag)
    }
}

impl HookReceiver {
    /// Opens one that takes everything.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub async fn open() -> Self {
        Self::open_at("127.0.0.1:0").await
    }

    /// Opens one at this address.
    ///
    /// # Panics
    ///
    /// If the address is taken.
    pub async fn open_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let kept = Arc::new(Mutex::new(Kept {
            answering: Box::new(|_| HookAnswer::Status(204)),
            hooks: Vec::new(),
            under_way: BTreeMap::new(),
            overlaps: BTreeSet::new(),
        }));
        let shared = Arc::clone(&kept);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, kept, server }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it takes webhooks.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// Lets it answer like this from now on.
    pub fn answers(&self, answering: impl FnMut(&Hook) -> HookAnswer + Send + 'static) {
        lock(&self.kept).answering = Box::new(answering);
    }

    /// All that it was sent, in the order of arrival.
    #[must_use]
    pub fn asked(&self) -> Vec<Hook> {
        lock(&self.kept).hooks.clone()
    }

    /// What it has taken, pings left out, in the order of arrival.
    #[must_use]
    pub fn taken(&self) -> Vec<Hook> {
        let is_taken = |hook: &Hook| (200..300).contains(&hook.status);
        let asked = self.asked().into_iter();
        asked.filter(|hook| is_taken(hook) && hook.kind() != "seckill.webhook.ping").collect()
    }

    /// The orders of which two events were under way at once, or of which a later event was taken before an earlier
    /// one was taken for the first time.
    #[must_use]
    pub fn disordered(&self) -> BTreeSet<String> {
        let mut found = lock(&self.kept).overlaps.clone();
        let mut highest: BTreeMap<String, String> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for hook in self.taken() {
            let (key, sequence) = (hook.key(), hook.sequence());
            let is_first = seen.insert((key.clone(), sequence.clone()));
            let last = highest.entry(key.clone()).or_default();
            if is_first && sequence < *last {
                found.insert(key);
            } else if sequence > *last {
                *last = sequence;
            }
        }
        found
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(mut stream: TcpStream, kept: Arc<Mutex<Kept>>) {
    let mut request = Vec::new();
    loop {
        let (head, body) = loop {
            if let Some(whole) = split(&request) {
                break whole;
            }
            let mut piece = [0; 4_096];
            match stream.read(&mut piece).await {
                Ok(length) if length > 0 => request.extend_from_slice(&piece[..length]),
                _ => return,
            }
        };
        // The client waits for the answer, so it has sent no more.
        request.clear();
        let hook = Hook { head, body, status: 0 };
        let key = serde_json::from_str::<Value>(&hook.body).map(|_| hook.key()).unwrap_or_default();
        let (place, answer) = {
            let mut kept = lock(&kept);
            let count = kept.under_way.entry(key.clone()).or_default();
            *count += 1;
            if *count > 1 && !key.is_empty() {
                kept.overlaps.insert(key.clone());
            }
            let answer = (kept.answering)(&hook);
            kept.hooks.push(hook);
            (kept.hooks.len() - 1, answer)
        };
        let (status, lines) = match &answer {
            HookAnswer::Status(status) => (*status, ""),
            HookAnswer::With(status, lines) => (*status, lines.as_str()),
            HookAnswer::Endless => (200, ""),
            HookAnswer::Hang => {
                // Until the client has had enough of it.
                let mut piece = [0; 1];
                let _ = stream.read(&mut piece).await;
                release(&kept, &key);
                return;
            }
        };
        {
            let mut kept = lock(&kept);
            kept.hooks[place].status = status;
        }
        release(&kept, &key);
        let length = if answer == HookAnswer::Endless {
            "transfer-encoding: chunked"
        } else {
            "content-length: 0"
        };
        let head = format!("HTTP/1.1 {status} It is so\r\n{lines}{length}\r\n\r\n");
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        if answer == HookAnswer::Endless {
            while stream.write_all(b"4\r\nmore\r\n").await.is_ok() {}
            return;
        }
    }
}

fn release(kept: &Mutex<Kept>, key: &str) {
    let mut kept = lock(kept);
    if let Some(count) = kept.under_way.get_mut(key) {
        *count -= 1;
    }
}

/// Head and body of a request, once it is whole.
fn split(request: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(request);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")
            .map(|length| length.trim().to_owned())
    });
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    (body.len() >= length).then(|| (head.to_owned(), body.to_owned()))
}
