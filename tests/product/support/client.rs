//! A small client that speaks HTTP/1.1 over one connection.

use serde_json::Value;
use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// The header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}{}", self.head, self.text()))
    }

    /// The code of a problem; empty where it is none.
    pub fn code(&self) -> String {
        if self.status < 400 {
            return String::new();
        }
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The number that this field holds as text.
    pub fn id(&self, field: &str) -> u64 {
        let json = self.json();
        json[field].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{json}"))
    }

    fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A connection, opened again where the server has closed it after an answer.
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    unread: Vec<u8>,
    request: String,
}

impl Client {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let mut client = Self { address, stream: None, unread: Vec::new(), request: String::new() };
        client.connect().await?;
        Ok(client)
    }

    /// Connects where there is no connection.
    pub async fn connect(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
            self.unread.clear();
        }
        Ok(())
    }

    /// Sends a request and reads its answer. After an error it may or may not have arrived.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Answer> {
        let mut request = std::mem::take(&mut self.request);
        request.clear();
        // Writing to a string cannot fail.
        let _ = write!(request, "{method} {path} HTTP/1.1\r\nhost: drill\r\n");
        if !token.is_empty() {
            let _ = write!(request, "authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request.push_str("content-type: application/json\r\n");
        }
        let _ = write!(request, "content-length: {}\r\n\r\n{body}", body.len());
        let answer = self.exchange(request.as_bytes()).await;
        self.request = request;
        if answer.as_ref().map_or(true, Answer::closes) {
            self.stream = None;
        }
        answer
    }

    /// Sends these bytes and reads one answer.
    pub async fn exchange(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        self.connect().await?;
        let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
        // A server that has heard enough answers and closes while there is more to send.
        let sent = stream.write_all(bytes).await;
        match read_answer(stream, &mut self.unread).await {
            Err(error) => Err(sent.err().unwrap_or(error)),
            answer => answer,
        }
    }
}

/// Reads one answer, whole.
async fn read_answer(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Answer> {
    let head_end = loop {
        if let Some(at) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, unread).await?;
    };
    let head = String::from_utf8_lossy(&unread[..head_end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    let mut answer =
        Answer { status: status.ok_or(ErrorKind::InvalidData)?, head, body: Vec::new() };
    let length = answer.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while unread.len() < head_end + length {
        more(stream, unread).await?;
    }
    answer.body = unread[head_end..head_end + length].to_vec();
    unread.drain(..head_end + length);
    Ok(answer)
}

async fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(unread).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
