//! A client that speaks HTTP/1.1 by hand, so that a test can also speak it badly.

use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The header's value, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}{}", self.head, self.text()))
    }

    /// Status and code of a problem, having looked at everything else that a problem must have.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status, "{json}");
        assert_eq!(json["request_id"].as_str(), self.header("x-request-id"), "{json}");
        for field in ["type", "title", "detail"] {
            assert!(json[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {json}");
        }
        assert_eq!(self.status == 503, self.header("retry-after").is_some(), "{self:?}");
        let code = json["code"].as_str().expect("a code").to_owned();
        (self.status, code)
    }
}

/// A connection.
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        Self { stream, unread: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server reads");
    }

    /// Sends as much as the server takes before it closes.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next answer, whole.
    pub async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("the server answers")
    }

    /// The next answer, or nothing where the server closed without one.
    pub async fn try_answer(&mut self) -> Option<Answer> {
        let head = self.head().await?;
        let mut answer = Answer { status: status_of(&head), head, body: Vec::new() };
        if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().expect("a length");
            while self.unread.len() < length {
                assert!(self.read().await > 0, "the body broke off: {answer:?}");
            }
            answer.body = self.unread.drain(..length).collect();
        } else if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                answer.body.extend(chunk);
            }
        }
        Some(answer)
    }

    /// The next answer's head.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return Some(String::from_utf8(head).expect("the head is text"));
            }
            if self.read().await == 0 {
                assert!(self.unread.is_empty(), "the head broke off");
                return None;
            }
        }
    }

    /// The next chunk of a body that comes in chunks; nothing after the last.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let line = std::str::from_utf8(&self.unread[..end]).expect("a chunk's length");
                let length = usize::from_str_radix(line, 16).expect("a chunk's length");
                if self.unread.len() >= end + 2 + length + 2 {
                    let chunk = self.unread[end + 2..end + 2 + length].to_vec();
                    self.unread.drain(..end + 2 + length + 2);
                    return (length > 0).then_some(chunk);
                }
            }
            assert!(self.read().await > 0, "the chunks broke off");
        }
    }

    /// Reads until the server closes; how many bytes came.
    pub async fn closed(&mut self) -> usize {
        let mut bytes = self.unread.len();
        loop {
            match self.read().await {
                0 => return bytes,
                more => bytes += more,
            }
        }
    }

    /// Reads until `wanted` came, or the server closed without it.
    pub async fn read_until(&mut self, wanted: &[u8]) -> bool {
        while find(&self.unread, wanted).is_none() {
            if self.read().await == 0 {
                return false;
            }
        }
        true
    }

    /// Reads what is there; 0 where the connection is closed or reset.
    async fn read(&mut self) -> usize {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        let bytes = read.expect("the server says something in time").unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..bytes]);
        bytes
    }
}

fn status_of(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
